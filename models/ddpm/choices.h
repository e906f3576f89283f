/* Choices: every sampler, schedule, prediction, ... is a struct that begins with a name, one line
 * of help and its source. Their lists are public, so a program builds its options, its help and its
 * messages from them:
 *
 *     int64_t n;
 *     const ito_choice *const *samplers = ito_choices("sampler", &n);
 *
 * Adding one is its own file and its row in the list of its kind (samplers.def, ...).
 */
#ifndef ITO_DDPM_CHOICES_H
#define ITO_DDPM_CHOICES_H

#include "../../tensor/base.h"

#include <math.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The value of an optional number that is not set. */
#define ITO_UNSET ((double)NAN)

/** The options of a diffusion that a choice uses, and what it requires of the process. */
enum {
    ITO_USES_BETAS = 1 << 0,      /* beta_start, beta_end */
    ITO_USES_SIGMAS = 1 << 1,     /* sigma_min, sigma_max */
    ITO_USES_GAMMA = 1 << 2,      /* gamma */
    ITO_USES_K = 1 << 3,          /* k */
    ITO_USES_SIGMA_DATA = 1 << 4, /* sigma_data */
    ITO_USES_ETA = 1 << 5,        /* eta */
    ITO_USES_CHURN = 1 << 6,      /* s_churn, s_tmin, s_tmax, s_noise */
    ITO_USES_VARIANCE = 1 << 7,   /* the variance of a reverse step */
    ITO_USES_EPS = 1 << 8,        /* an estimate of eps, which .rederive_eps changes */
    ITO_NEEDS_STEPS = 1 << 9,     /* a process in steps */
    ITO_USES_SHIFT = 1 << 10,     /* shift */
    ITO_USES_NORMAL = 1 << 11     /* mean, std: those of a normal distribution */
};

/**
 * All choices of a kind, in the order of their list.
 *
 * @param kind  "schedule", "timestep_law", "prediction", "time_input", "variance", "weighting",
 *              "objective", "sampler", "spacing", "recipe", "optimizer" or "ode_method".
 * @param n     written: their number; 0 if there is no such kind.
 * @return      [n], static; each is the first member of an ito_sampler, ito_schedule_family, ...
 *              NULL and ITO_ERR_ARGUMENT if there is no such kind.
 */
ITO_API const ito_choice *const *ito_choices(const char *kind, int64_t *n);

/**
 * The choice of this kind and name.
 * @return  static. NULL and ITO_ERR_ARGUMENT, with a list of the names, if none has it.
 */
ITO_API const ito_choice *ito_choice_find(const char *kind, const char *name);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_choices(...) ITO_AT(ito_choices(__VA_ARGS__))
#define ito_choice_find(...) ITO_AT(ito_choice_find(__VA_ARGS__))
#endif

#endif
