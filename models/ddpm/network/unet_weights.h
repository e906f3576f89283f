/* Weights of other programs in a U-Net: under the names of diffusers, those that it had before
 * version 0.17, and those of guided-diffusion, DDIM and the original release. docs/interchange.md
 * has the tables.
 *
 *     ito_weights *w = ito_weights_open("256x256_diffusion_uncond.pt");
 *     ito_unet_config config;
 *     ito_unet_config_of(w, &config, .height = 256, .width = 256, .head_channels = 64);
 *     ito_unet *unet = ito_unet_create(&config, NULL);
 *     ito_unet_load(unet, w);
 */
#ifndef ITO_DDPM_UNET_WEIGHTS_H
#define ITO_DDPM_UNET_WEIGHTS_H

#include "../../../tensor/io/weights.h"
#include "unet.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Whose names a file of weights has. */
typedef enum ito_unet_names {
    ITO_UNET_NAMES_DIFFUSERS,     /* diffusers', which are Ito's */
    ITO_UNET_NAMES_OLD_DIFFUSERS, /* its attention has query, key, value and proj_attn */
    ITO_UNET_NAMES_GUIDED,        /* github.com/openai/guided-diffusion and improved-diffusion */
    ITO_UNET_NAMES_DDIM,          /* github.com/ermongroup/ddim: PyTorch's port of the next */
    ITO_UNET_NAMES_TENSORFLOW,    /* github.com/hojonathanho/diffusion, layouts of TensorFlow */
    ITO_UNET_NAMES                /* how many there are */
} ito_unet_names;

/** "diffusers", "guided-diffusion", ... NULL for another number. */
ITO_API const char *ito_unet_names_text(ito_unet_names names);

/** Options of ito_unet_config_of: what no shape shows. */
typedef struct ito_unet_config_of_options {
    int reserved_;
    int64_t height, width; /* of the images; must be given */
    int64_t heads;         /* guided-diffusion's num_heads; 0: 1 */
    int64_t head_channels; /* its num_head_channels, in place of heads; 0: by heads */
    const char *prefix;    /* in front of all names; NULL: it is found */
} ito_unet_config_of_options;
#define ITO_DEFAULTS_ito_unet_config_of_options .reserved_ = 0

/**
 * Find the settings of the network that a file is for, by names and shapes:
 * ito_unet_config_of(w, &config, .height = 64, .width = 64). What the programs of these names have
 * in common is set: the features of the time, padding, eps of the norms.
 *
 * @param config  receives them on success.
 * @return        ITO_ERR_FORMAT if the names are none that are known, or diffusers', whose settings
 *                are in the config.json beside the file; ITO_ERR_ARGUMENT for heads of different
 *                widths, which no U-Net here has; what ito_unet_check says of the settings.
 */
ITO_API ito_status ito_unet_config_of_with(const ito_weights *w, ito_unet_config *config,
                                           ito_unet_config_of_options options);
#define ito_unet_config_of(...)                                                                    \
    ITO_AT(ITO_CALL_2(ito_unet_config_of_with, ito_unet_config_of_options, __VA_ARGS__, ))

/** What ito_unet_load did. */
typedef struct ito_unet_load_report {
    ito_unet_names names;
    int64_t loaded;  /* tensors of the network that have their value from the file */
    int64_t unused;  /* tensors of the file that are not under the prefix */
    char prefix[64]; /* what stands in front of the names in the file: "module."; "" */
    char suffix[64]; /* and behind: "/ExponentialMovingAverage"; "" */
} ito_unet_load_report;

/** Options of ito_unet_load. */
typedef struct ito_unet_load_options {
    int reserved_;
    bool new_attention_order;     /* guided-diffusion's use_new_attention_order: in a fused qkv the
                                   * queries of all heads come first */
    const char *prefix;           /* in front of all names; NULL: it is found */
    ito_unet_load_report *report; /* receives what was done, on success; or NULL */
} ito_unet_load_options;
#define ITO_DEFAULTS_ito_unet_load_options .reserved_ = 0

/**
 * Read the weights of a U-Net under any of these names: ito_unet_load(unet, w). A fused qkv is
 * taken apart, 1x1 convolutions become matrices, and TensorFlow's axes are put in order.
 *
 * All is read and checked before anything changes. What stands in front of the names is found:
 * wrappers' names, or the dict of a checkpoint. Of TensorFlow's variables the moving averages are
 * taken where they are beside others.
 * @return  ITO_ERR_FORMAT if the names are none that are known, stand under several prefixes, one
 *          is missing or one is more; else as ito_module_load.
 */
ITO_API ito_status ito_unet_load_with(ito_unet *unet, const ito_weights *w,
                                      ito_unet_load_options options);
#define ito_unet_load(...)                                                                         \
    ITO_AT(ITO_CALL_2(ito_unet_load_with, ito_unet_load_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_unet_names_text(...) ITO_AT(ito_unet_names_text(__VA_ARGS__))
#endif

#endif
