/* Recipes: the choices and numbers of a paper under a name, each with its place in the paper.
 *
 *     ito_recipe_values edm;
 *     ito_recipe_read(&ito_recipe_edm, &edm);
 *     ito_diffusion *d = ito_diffusion_create_with(edm.diffusion);
 *     ito_timestep_sampler *times = ito_timestep_sampler_create(d->process, &edm.timestep_law);
 *     ...
 *     ito_tensor *x = ito_diffusion_sample_with(d, &unet->network, shape, edm.sampling);
 *
 * A recipe is independent of the network and the size of the training: it has neither the number of
 * steps, nor the batch, nor how long the learning rate rises. What it does not say has the default
 * of the library.
 */
#ifndef ITO_DDPM_RECIPE_H
#define ITO_DDPM_RECIPE_H

#include "../../nn/optim.h"
#include "process/timestep_sampler.h"
#include "sampler/sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A setting: one of the names listed at ito_recipe_read, and its value. */
typedef struct ito_recipe_setting {
    const char *name;
    const char *choice; /* the name of a choice, or NULL: */
    double number;
    const char *source; /* where the paper has it: "table 1" */
} ito_recipe_setting;

/** A named list of settings. */
typedef struct ito_recipe {
    const char *name, *help, *source; /* see choices.h */
    unsigned uses;
    const ito_recipe_setting *settings; /* closed by a NULL name */
} ito_recipe;

/** Each of these is described by its own help and source, in recipes.def. */
#define ITO_RECIPE(name) ITO_API extern const ito_recipe name;
#include "recipes.def"

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_recipe *ito_recipe_find(const char *name);

/** What a recipe says, ready for use; numbers that it does not say are NaN. */
typedef struct ito_recipe_values {
    ito_diffusion_options diffusion;
    ito_timestep_law timestep_law; /* with the mean and std of the recipe */
    ito_sample_options sampling;
    int64_t uncertainty;             /* channels of a learned one; 0: none */
    double guidance;                 /* the scale of classifier-free guidance */
    double guidance_lo, guidance_hi; /* and its interval: sigma_lo and sigma_hi of guidance.h */
    const ito_optimizer_algorithm *optimizer; /* NULL: it does not say */
    double lr, beta1, beta2, weight_decay;    /* of the optimiser */
    double ema;                               /* the decay of the averages at each step */
    double ema_sigma_rel; /* or the width of those of a power of time: see nn/ema.h */
    double dropout, label_dropout;
} ito_recipe_values;

/**
 * The values of a recipe, which may be a user's own. Its settings may be
 *     schedule, steps, beta_start, beta_end, sigma_min, sigma_max, shift, prediction, time_input,
 *     variance, objective, weighting, gamma, k, sigma_data: members of ito_diffusion_options;
 *     timestep_law, and behind it mean, std; uncertainty; sampler, spacing, sampling_steps;
 *     guidance, guidance_lo, guidance_hi; optimizer, lr, beta1, beta2, weight_decay, ema,
 *     ema_sigma_rel, dropout, label_dropout.
 *
 * @param out  written on success.
 * @return     ITO_ERR_ARGUMENT for NULL, a setting that there is not, a choice in place of a number
 *             or the other way round, an unknown choice, or a mean or std of a law that has none;
 *             ITO_ERR_RANGE for a count that is not a whole number.
 */
ITO_API ito_status ito_recipe_read(const ito_recipe *recipe, ito_recipe_values *out);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_recipe_find(...) ITO_AT(ito_recipe_find(__VA_ARGS__))
#define ito_recipe_read(...) ITO_AT(ito_recipe_read(__VA_ARGS__))
#endif

#endif
