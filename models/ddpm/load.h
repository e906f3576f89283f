/* A trained network in one call: what ito-ddpm train and ito-ddpm export write, and diffusers, with
 * all that is needed to sample from it.
 *
 *     ito_ddpm *model = ito_ddpm_load("runs/mine");
 *     model->guidance->scale = 2.0;
 *     double boot = (double)ito_ddpm_class(model, "boot");
 *     model->condition->labels = ito_full(ITO_SHAPE(16), boot, ITO_I64);
 *     ito_tensor *x = ito_diffusion_sample(model->diffusion, model->network,
 *                                          ito_ddpm_shape(model, 16), .steps = 50);
 *     ito_ddpm_free(model);
 *
 * The files, and the keys of their metadata, are described in docs/diffusion.md.
 */
#ifndef ITO_DDPM_LOAD_H
#define ITO_DDPM_LOAD_H

#include "../../tensor/io/safetensors.h"
#include "network/condition.h"
#include "network/guidance.h"
#include "network/self_condition.h"
#include "recipe.h"
#include "settings.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How the run that a network is of has its samples made; each is ready for ito_sample_options. */
typedef struct ito_ddpm_sampling {
    const ito_recipe *recipe; /* NULL: it does not say; likewise: */
    const ito_sampler *sampler;
    const ito_spacing *spacing;
    int64_t steps;                   /* ITO_ALL_STEPS: it does not say */
    double guidance;                 /* the scale; NaN: it does not say */
    double guidance_lo, guidance_hi; /* sigma_lo and sigma_hi of guidance.h: 0, infinity */
    bool no_clip, end_at_first;      /* as in ito_sample_options; likewise: */
    double threshold;
} ito_ddpm_sampling;

/** A trained network. What is around it may be changed: the class of the next images by
 * condition->labels, guidance by guidance->scale and its other fields. */
typedef struct ito_ddpm {
    ito_ddpm_settings settings;
    ito_diffusion *diffusion;
    ito_unet *unet;         /* with the weights, in evaluation mode */
    ito_network *network;   /* for losses, samplers, ...: the outermost of the unet and these, */
    ito_guidance *guidance; /* of scale 1, the network alone, with the run's guidance interval */
    ito_self_condition *self_condition; /* NULL unless the network takes its own estimate */
    ito_class_condition *condition;     /* NULL without classes */
    const char *const *class_names;     /* [settings.model.classes]; NULL without classes */
    double label_dropout;               /* of the training; 0: "no class" was not learned */
    ito_ddpm_sampling sampling;
    int64_t step;          /* of the training */
    ito_safetensors *file; /* the weights, open; NULL: of a diffusers directory */
    const char *path;      /* of the weights */
    char *text;            /* all settings as they are stored: a JSON object */
    char *notes; /* lines about a diffusers directory: what was assumed, or is otherwise here; NULL:
                    nothing */
} ito_ddpm;

/** What to load. */
typedef struct ito_ddpm_load_options {
    int reserved_;
    bool plain;         /* of a run or a checkpoint, the weights themselves, not their averages */
    bool settings_only; /* no network: diffusion, unet, network and what is around it are NULL */
} ito_ddpm_load_options;
#define ITO_DEFAULTS_ito_ddpm_load_options .reserved_ = 0

/**
 * Load a trained network: ito_ddpm_load("runs/mine", .plain = true).
 *
 * @param path  the directory of a run, which gives its newest checkpoint; a checkpoint step-N; a
 *              file of weights in one; a file that ito-ddpm export wrote; or what diffusers wrote:
 * a pipeline of a UNet2DModel, the directory of the UNet alone, or its file of weights with
 * config.json beside it. docs/interchange.md has the settings that are read.
 * @return      freed by ito_ddpm_free. NULL on error: ITO_ERR_ARGUMENT for NULL, a directory that
 *              is none of these, and .plain for all but a run or a checkpoint; ITO_ERR_IO for what
 *              cannot be read, a run without a checkpoint, and a file that nothing says the
 * settings of; ITO_ERR_FORMAT for settings or weights that are damaged, or do not fit each other,
 * and for settings of diffusers that Ito has not; ITO_ERR_MEMORY. The message names the file.
 */
ITO_API ito_ddpm *ito_ddpm_load_with(const char *path, ito_ddpm_load_options options);
#define ito_ddpm_load(...)                                                                         \
    ITO_AT(ITO_CALL_1(ito_ddpm_load_with, ito_ddpm_load_options, __VA_ARGS__, ))

/** The network that comes with the library, of Fashion-MNIST's ten classes; docs/results.md says
 * how it was trained. Its weights are part of the library. Freed by ito_ddpm_free. NULL:
 * ITO_ERR_MEMORY. */
ITO_API ito_ddpm *ito_ddpm_fashion_mnist(void);

/** The number of the class of this name. -1 on error: ITO_ERR_ARGUMENT, with the names there are,
 * or for a network without classes. */
ITO_API int64_t ito_ddpm_class(const ito_ddpm *model, const char *name);

/** The shape of n images: [n, C, H, W]. */
ITO_API ito_shape ito_ddpm_shape(const ito_ddpm *model, int64_t n);

/** Let reverse steps have another variance than that of the training: ito_variance_fixedsmall, say.
 * @return  ITO_ERR_ARGUMENT for a network that has learned its own, or to be one that is learned.
 */
ITO_API ito_status ito_ddpm_set_variance(ito_ddpm *model, const ito_variance *variance);

/** How to save. */
typedef struct ito_ddpm_save_options {
    int reserved_;
    bool bf16; /* the weights rounded to bf16: half of the bytes */
} ito_ddpm_save_options;
#define ITO_DEFAULTS_ito_ddpm_save_options .reserved_ = 0

/**
 * Write the weights of model->unet, model->text and model->step to one file, which ito_ddpm_load
 * and the --model of ito-ddpm take: ito_ddpm_save(model, "mine.safetensors", .bf16 = true).
 * @return  ITO_ERR_ARGUMENT for NULL and for a model of .settings_only; the errors of
 *          ito_module_save.
 */
ITO_API ito_status ito_ddpm_save_with(const ito_ddpm *model, const char *path,
                                      ito_ddpm_save_options options);
#define ito_ddpm_save(...)                                                                         \
    ITO_AT(ITO_CALL_2(ito_ddpm_save_with, ito_ddpm_save_options, __VA_ARGS__, ))

/** Accepts NULL. */
ITO_API void ito_ddpm_free(ito_ddpm *model);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_ddpm_fashion_mnist(...) ITO_AT(ito_ddpm_fashion_mnist(__VA_ARGS__))
#define ito_ddpm_class(...) ITO_AT(ito_ddpm_class(__VA_ARGS__))
#define ito_ddpm_set_variance(...) ITO_AT(ito_ddpm_set_variance(__VA_ARGS__))
#endif

#endif
