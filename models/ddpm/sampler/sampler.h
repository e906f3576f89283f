/* Samplers: from noise to data, at all times of the process or a few.
 *
 * One run visits a falling list of times. At each the network is evaluated once, which gives an
 * estimate of x_0 and of eps, and the sampler gives the step to the next time: by the coefficients
 * of an update, or by a function that may use earlier estimates or evaluate the network again.
 * Example i of a run draws everything from the random stream (seed, i), so it does not depend on
 * the batch size, nor on threads.
 *
 *     ito_tensor *x = ito_diffusion_sample(d, &unet->network, ITO_SHAPE(64, 1, 28, 28),
 *                                          .sampler = &ito_sampler_dpmpp_2m, .steps = 20);
 */
#ifndef ITO_DDPM_SAMPLER_H
#define ITO_DDPM_SAMPLER_H

#include "../diffusion.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The choice of the n times that a run visits. In steps they are whole, and all are the same with
 * n = T. */
typedef struct ito_spacing {
    const char *name, *help, *source; /* see choices.h */
    unsigned uses;
    /** Fill in n falling times of p, from about t_max down to about t_min. */
    void (*times)(const ito_process *p, int64_t n, double *times);
    bool above_t_min; /* the last of them is one step above the clean data, not t_min */
} ito_spacing;

/** Each of these is described by its own help and source, in spacings.def. */
#define ITO_SPACING(name) ITO_API extern const ito_spacing name;
#include "spacings.def"

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_spacing *ito_spacing_find(const char *name);

/**
 * The n times visited, falling. Sampling goes from each to the next one, and from the last to the
 * clean data.
 * @param spacing  NULL: linspace.
 * @param times    room for n numbers.
 * @return         ITO_ERR_RANGE unless n is at least 1 and, in steps, at most T.
 */
ITO_API ito_status ito_timesteps(const ito_process *p, const ito_spacing *spacing, int64_t n,
                                 double *times);

/** x at the step's end = x_t x_t + x_0 x_0-hat + eps eps-hat + noise z, with z standard normal. */
typedef struct ito_sampler_update {
    double x_t, x_0, eps, noise; /* coefficients */
    bool learned;                /* noise times the deviation that the network has learned */
} ito_sampler_update;

/** A run from noise to data, as a sampler's step function sees it; see below. */
typedef struct ito_sampler_state ito_sampler_state;

/** The largest number of earlier estimates that a run keeps. */
#define ITO_SAMPLER_HISTORY 3

/** A sampler: the update of one step. */
typedef struct ito_sampler {
    const char *name, *help, *source; /* see choices.h */
    unsigned uses;                    /* ITO_USES_ETA, ITO_USES_CHURN, ITO_USES_VARIANCE */
    /** For samplers that evaluate once and use no history. eta as in the options below. */
    ito_sampler_update (*update)(const ito_diffusion *d, const ito_step *step, double eta);
    /** Or, if update is NULL: x at the step's end, of the current scope. */
    ito_tensor *(*step)(ito_sampler_state *s);
    int history; /* earlier estimates that it uses, 0 to ITO_SAMPLER_HISTORY */
    int order; /* of accuracy, where a family has several; at most history + 1, and 0 counts as 1 */
    int variant;                /* where a family has variants */
    const ito_spacing *spacing; /* its usual times; NULL: linspace */
} ito_sampler;

/** Each of these is described by its own help and source, in samplers.def. dpmpp_2m has .variant 1,
 * its Heun form, and unipc has .variant 1, B(h) = -h: copy one to set it. */
#define ITO_SAMPLER(name) ITO_API extern const ito_sampler name;
#include "samplers.def"

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_sampler *ito_sampler_find(const char *name);

/** The spacing that a run of this sampler has if none is given: karras for a process whose time is
 * sigma, of which equal steps would leave the small ones out; else the sampler's own. */
ITO_API const ito_spacing *ito_sampler_spacing(const ito_sampler *sampler, const ito_process *p);

/** Called after each step; false stops the sampling. x is borrowed. */
typedef bool ito_sample_progress(int64_t done, int64_t steps, ito_tensor *x, void *context);
/** Called after each step with the state: s->estimate.x_0 is the estimate of the clean data from
 * s->x, and x is the result of the step. All are borrowed. */
typedef void ito_sample_observe(const ito_sampler_state *s, ito_tensor *x, void *context);
/** Standard normal numbers shaped as s->x, instead of those of the streams. */
typedef ito_tensor *ito_sample_noise(const ito_sampler_state *s, void *context);

/** All steps of a process; in continuous time, 50. */
#define ITO_ALL_STEPS (-1)

/** How to sample. A choice that is NULL is the default. */
typedef struct ito_sample_options {
    int reserved_;
    const ito_sampler *sampler;               /* default ito_sampler_ddpm */
    int64_t steps ITO_DEFAULT(ITO_ALL_STEPS); /* the number of times visited */
    const ito_spacing *spacing;               /* default ito_sampler_spacing's */
    const double *times;                      /* [steps] a list, falling, instead of a spacing */
    double start ITO_DEFAULT(ITO_UNSET);      /* begin at this time, for any list */
    bool end_at_first; /* end at t_min, without evaluating there, not at the clean data; spacing
                          then makes so many steps down to it. For solvers that would lose their
                          order in the last step, to no noise */
    double eta;        /* ddim: 0 deterministic, 1 the noise of fixedsmall */
    double s_churn;    /* noise added before each step, for samplers without history: 0 none. Sigma
                          grows by min(s_churn / steps, sqrt(2) - 1); in steps, to the nearest
                          one (Karras et al. 2022, algorithm 2) */
    double s_tmin;     /* where sigma is from s_tmin */
    double s_tmax ITO_DEFAULT(INFINITY); /* to s_tmax; */
    double s_noise ITO_DEFAULT(1.0);     /* the deviation of that noise */
    bool keep_order;    /* keep the order of multistep solvers in the last steps; by
                           default it falls to 1. A step to the clean data has order 1 always */
    bool no_clip;       /* leave x_0-hat unclipped, as in the paper; the authors' code clips to
                           [-1, 1] */
    double threshold;   /* dynamic thresholding instead: clip to this quantile of |x_0-hat| where
                           it is above 1, and divide by it (Saharia et al. 2022,
                           arXiv:2205.11487, section 2.3); 0.995 is usual, 0 is off */
    bool rederive_eps;  /* take eps-hat from the clipped x_0-hat, not from the network */
    bool noise_at_last; /* ddpm: add noise in the step to the clean data too; off in the paper */
    uint64_t seed;
    int64_t first_image; /* example i of the batch draws from stream first_image + i */
    bool same_noise;     /* all examples draw from stream first_image */
    ito_dtype dtype;     /* f32 or f64 */
    ito_sample_progress *progress;
    void *progress_context;
    ito_sample_observe *observe;
    void *observe_context;
    ito_sample_noise *noise;
    void *noise_context;
} ito_sample_options;
#define ITO_DEFAULTS_ito_sample_options                                                            \
    .steps = ITO_ALL_STEPS, .start = ITO_UNSET, .s_tmax = (double)INFINITY, .s_noise = 1.0

/**
 * Generate data from noise; nothing is recorded for gradients.
 *
 * @param network  a trajectory begins: see network.h.
 * @param shape    [N, ...].
 * @return         of the current scope; images are about in [-1, 1]. NULL on error: ITO_ERR_SHAPE;
 *                 ITO_ERR_RANGE for steps, eta, churn or times; ITO_ERR_ARGUMENT if the
 *                 prediction does not determine x_0 at some time, for churn with a sampler with
 *                 history, or if a user's sampler uses too many estimates; the network's errors;
 *                 or, with no error recorded, if progress stopped it.
 */
ITO_API ito_tensor *ito_diffusion_sample_with(const ito_diffusion *d, ito_network *network,
                                              ito_shape shape, ito_sample_options options);
#define ito_diffusion_sample(...)                                                                  \
    ITO_AT(ITO_CALL_3(ito_diffusion_sample_with, ito_sample_options, __VA_ARGS__, ))

/** The same from given noise x_T [N, ...], f32 or f64, which counts as data at the first of the
 * times visited; the streams serve the later noise. */
ITO_API ito_tensor *ito_diffusion_sample_from_with(const ito_diffusion *d, ito_network *network,
                                                   ito_tensor *x_T, ito_sample_options options);
#define ito_diffusion_sample_from(...)                                                             \
    ITO_AT(ITO_CALL_3(ito_diffusion_sample_from_with, ito_sample_options, __VA_ARGS__, ))

/* ---- for samplers of one's own ---- */

/** A step made earlier. */
typedef struct ito_sampler_past {
    ito_level at;
    ito_tensor *x, *x_0, *eps; /* the data then, and the estimate */
} ito_sampler_past;

/** A run from noise to data, as a sampler's step function sees it. */
struct ito_sampler_state {
    const ito_diffusion *d;
    const ito_sampler *sampler;
    ito_sample_options o;
    int64_t i, n;          /* step i of n */
    ito_step step;         /* from step.at to step.to */
    ito_tensor *x;         /* the current data; a sampler may replace it by a corrected version */
    ito_estimate estimate; /* of them */
    int n_past;            /* the number of entries in past */
    ito_sampler_past past[ITO_SAMPLER_HISTORY]; /* past[0] is the step before this one */
    struct sampler_run *run;                    /* internal */
};

/** Evaluate the network on other data at the beginning of another step. False after an error. */
ITO_API bool ito_sampler_evaluate(ito_sampler_state *s, ito_tensor *x, const ito_step *step,
                                  ito_estimate *out);
/** Standard normal numbers shaped as s->x, from each example's own stream. */
ITO_API ito_tensor *ito_sampler_noise(ito_sampler_state *s);
/** The order of a multistep solver at this step: its own, or less at the ends. */
ITO_API int ito_sampler_order(const ito_sampler_state *s);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_sampler_find(...) ITO_AT(ito_sampler_find(__VA_ARGS__))
#define ito_spacing_find(...) ITO_AT(ito_spacing_find(__VA_ARGS__))
#define ito_timesteps(...) ITO_AT(ito_timesteps(__VA_ARGS__))
#endif

#endif
