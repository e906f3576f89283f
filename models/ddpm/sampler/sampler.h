/* Samplers: from noise to images, along the whole schedule or a few of its steps.
 *
 * One driver walks the steps. At each it asks the network once, which gives an x_0-hat and an
 * eps-hat, and the sampler says where to go from there: by the coefficients of a move, or by a
 * function that may look back at earlier guesses or ask again. Image i of a run draws everything
 * from the stream (seed, i), so it does not depend on how many images are made at once, nor on
 * threads.
 *
 *     ito_tensor *x = ito_ddpm_sample(d, ito_unet_network, unet, ITO_SHAPE(64, 1, 28, 28),
 *                                     .sampler = &ito_ddpm_dpm_2m, .steps = 20);
 */
#ifndef ITO_DDPM_SAMPLER_H
#define ITO_DDPM_SAMPLER_H

#include "../diffusion.h"

#ifdef __cplusplus
extern "C" {
#endif

/** x at the step's end = x_t x_t + x_0 x_0-hat + eps eps-hat + noise z, with z standard normal. */
typedef struct ito_ddpm_move {
    double x_t, x_0, eps, noise;
    bool learned; /* noise times the deviation that the network has learned */
} ito_ddpm_move;

typedef struct ito_ddpm_walk ito_ddpm_walk;

/** How many earlier guesses a walk keeps at most. */
#define ITO_DDPM_PAST 3

typedef struct ito_ddpm_sampler {
    const char *name;
    /** For samplers that ask once and have no memory. eta as in the options below. */
    ito_ddpm_move (*move)(const ito_diffusion *d, const ito_ddpm_step *step, double eta);
    /** Or, if move is NULL: x at the step's end, of the current scope. */
    ito_tensor *(*step)(ito_ddpm_walk *w);
    int past;    /* how many earlier guesses it looks back at, 0 to ITO_DDPM_PAST */
    int order;   /* of accuracy, where a family has several; at most past + 1, and 0 counts as 1 */
    int variant; /* where a family has variants */
} ito_ddpm_sampler;

/** "ddpm": algorithm 2 of Ho et al. 2020: the mean of eq. (7) at x_0-hat, the diffusion's variance.
 */
ITO_API extern const ito_ddpm_sampler ito_ddpm_ancestral;
/** "ddim": Song et al. 2020, arXiv:2010.02502, eq. (12) and (16); deterministic with eta 0. */
ITO_API extern const ito_ddpm_sampler ito_ddpm_ddim;
/** "euler": a step of dx/dsigma = eps in x / signal, sigma = noise / signal (Karras et al. 2022);
 * the same move as ddim with eta 0. "euler-a": the ancestral kind, as ddim with eta 1. */
ITO_API extern const ito_ddpm_sampler ito_ddpm_euler, ito_ddpm_euler_ancestral;
/** "heun": Karras et al. 2022, algorithm 1, or 2 with the options' churn. Asks twice a step. */
ITO_API extern const ito_ddpm_sampler ito_ddpm_heun;
/** "lms": linear multistep in sigma; order 4 (Karras 2022's code). */
ITO_API extern const ito_ddpm_sampler ito_ddpm_lms;
/** "deis", "deis3": Zhang, Chen 2022, arXiv:2204.13902, tAB in log rho; order 2 or 3. */
ITO_API extern const ito_ddpm_sampler ito_ddpm_deis, ito_ddpm_deis3;
/** "pndm": Liu et al. 2022, arXiv:2202.09778: three Runge-Kutta steps of four asks, then four-step
 * Adams-Bashforth. "plms": without those, one improved Euler step. */
ITO_API extern const ito_ddpm_sampler ito_ddpm_pndm, ito_ddpm_plms;
/** "dpm++1s", "dpm++2s", "dpm++2m", "dpm++3m": Lu et al. 2022, arXiv:2211.01095, single step and
 * multistep, midpoint form. variant 1 of dpm++2m is its Heun form. 2s asks once a step, as all do;
 * every other step of it is of order 1 and only helps the next. */
ITO_API extern const ito_ddpm_sampler ito_ddpm_dpm_1s, ito_ddpm_dpm_2s, ito_ddpm_dpm_2m,
    ito_ddpm_dpm_3m;
/** "dpm++2m-sde": SDE-DPM-Solver++ 2M, which adds noise. */
ITO_API extern const ito_ddpm_sampler ito_ddpm_dpm_2m_sde;
/** "unipc", "unipc3": Zhao et al. 2023, arXiv:2302.04867, predicting x_0, B(h) = e^-h - 1; order 2
 * or 3. variant 1 has B(h) = -h. */
ITO_API extern const ito_ddpm_sampler ito_ddpm_unipc, ito_ddpm_unipc3;

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_ddpm_sampler *ito_ddpm_sampler_find(const char *name);

/** Which steps of T are taken when there are S < T. All are the same with S = T. */
typedef enum ito_ddpm_spacing {
    ITO_SPACING_LINSPACE, /* round(i (T-1) / (S-1)): both ends; T-1 if S is 1 */
    ITO_SPACING_LEADING,  /* floor(i T / S): from 0, not up to T-1, as DDIM's authors */
    ITO_SPACING_TRAILING, /* round((i+1) T / S) - 1: up to T-1, not from 0 */
    ITO_SPACING_KARRAS,   /* both ends, sigma^(1/7) in equal steps, each at the nearest t */
    ITO_SPACING_RATE      /* both ends, (signal / noise)^0.4 likewise: steps that tell about as
                             much of the image each, as progressive coding wants them */
} ito_ddpm_spacing;

/** That called "linspace", "leading", "trailing", "karras" or "rate". ITO_ERR_ARGUMENT if there is
 * none. */
ITO_API ito_status ito_ddpm_spacing_find(const char *name, ito_ddpm_spacing *out);

/**
 * The S steps taken, falling. Sampling goes from each to the next one, and from the last to the
 * clean image.
 * @param times  room for S numbers.
 * @return       ITO_ERR_RANGE unless 1 <= S <= T.
 */
ITO_API ito_status ito_ddpm_timesteps(const ito_ddpm_schedule *s, ito_ddpm_spacing spacing,
                                      int64_t S, int64_t *times);

/** Called after each step; false stops the sampling. x is borrowed. */
typedef bool ito_ddpm_progress(int64_t done, int64_t steps, ito_tensor *x, void *context);
/** Called after each step with the walk: w->guess.x_0 is the clean image that the network sees in
 * w->x, and x is where the step leads. All are borrowed. */
typedef void ito_ddpm_observe(const ito_ddpm_walk *w, ito_tensor *x, void *context);
/** Standard normal numbers shaped as w->x, in place of those of the streams. */
typedef ito_tensor *ito_ddpm_noise(const ito_ddpm_walk *w, void *context);

/** Noise added before each step (Karras et al. 2022, algorithm 2); for samplers without memory. */
typedef struct ito_ddpm_churn {
    double amount;    /* S_churn: 0 none. Sigma grows by min(amount / steps, sqrt(2) - 1), to the
                         nearest step there is */
    double low, high; /* where sigma is in this range; high 0 means no bound */
    double noise;     /* S_noise: deviation of the noise; default 1 */
} ito_ddpm_churn;

typedef struct ito_ddpm_sample_options {
    int reserved_;
    const ito_ddpm_sampler *sampler; /* default ito_ddpm_ancestral */
    int64_t steps;                   /* S; default the schedule's T */
    ito_ddpm_spacing spacing;        /* default linspace */
    const int64_t *times;            /* [steps] an explicit list, falling, instead of spacing */
    int64_t start;                   /* begin at this step, whatever the list; 0: at its first */
    bool end_at_first;    /* end at step 0, without asking there, not at the clean image; spacing
                             then makes S steps down to it. For solvers whose order the last step,
                             down to no noise, would spoil */
    double eta;           /* ddim: 0 deterministic, 1 the noise of fixedsmall */
    ito_ddpm_churn churn; /* samplers without memory: euler, heun, ... */
    bool keep_order;      /* leave the order of multistep solvers as it is in the last steps; by
                             default it falls to 1. A step to the clean image has order 1 always */
    bool no_clip;         /* leave x_0-hat as it is, as in the paper; the authors' code clips to
                             [-1, 1] */
    double threshold;     /* dynamic thresholding instead: clip to this quantile of |x_0-hat| where
                             it is above 1, and divide by it (Saharia et al. 2022,
                             arXiv:2205.11487, section 2.3); 0.995 is usual, 0 is off */
    bool rederive_eps;    /* take eps-hat from the clipped x_0-hat, not from the network */
    bool noise_at_last;   /* ddpm: add noise in the step to the clean image too; off in the paper */
    uint64_t seed;
    int64_t first_image; /* image i of the batch draws from stream first_image + i */
    bool same_noise;     /* or, all of them from stream first_image */
    ito_dtype dtype;     /* f32 or f64 */
    ito_ddpm_progress *progress;
    void *progress_context;
    ito_ddpm_observe *observe;
    void *observe_context;
    ito_ddpm_noise *noise;
    void *noise_context;
} ito_ddpm_sample_options;
#define ITO_DEFAULTS_ito_ddpm_sample_options .reserved_ = 0

/**
 * Images made of noise; nothing is recorded for gradients.
 *
 * @param shape  [N, C, H, W].
 * @return       about in [-1, 1], of the current scope. NULL on error: ITO_ERR_SHAPE; ITO_ERR_RANGE
 *               for steps, eta or times; ITO_ERR_ARGUMENT if the prediction does not tell x_0 at
 *               some step, if churn meets a sampler with memory, or if one's own sampler looks back
 *               too far; what the network says; or, with no error recorded, if progress stopped it.
 */
ITO_API ito_tensor *ito_ddpm_sample_with(const ito_diffusion *d, ito_ddpm_network *network,
                                         void *context, ito_shape shape,
                                         ito_ddpm_sample_options options);
#define ito_ddpm_sample(d, network, context, shape, ...)                                           \
    ITO_AT(ito_ddpm_sample_with(d, network, context, shape,                                        \
                                ITO_OPTIONS(ito_ddpm_sample_options, __VA_ARGS__)))

/** The same from given noise x_T [N, C, H, W], f32 or f64, which counts as images at the first of
 * the steps taken; the streams serve the later noise. */
ITO_API ito_tensor *ito_ddpm_sample_from_with(const ito_diffusion *d, ito_ddpm_network *network,
                                              void *context, ito_tensor *x_T,
                                              ito_ddpm_sample_options options);
#define ito_ddpm_sample_from(d, network, context, x_T, ...)                                        \
    ITO_AT(ito_ddpm_sample_from_with(d, network, context, x_T,                                     \
                                     ITO_OPTIONS(ito_ddpm_sample_options, __VA_ARGS__)))

/* ---- for samplers of one's own ---- */

/** What the network says of images. */
typedef struct ito_ddpm_guess {
    ito_tensor *x_0; /* clipped as the options say */
    ito_tensor *eps;
    ito_tensor *v; /* the second head, or NULL */
} ito_ddpm_guess;

/** A step made earlier. */
typedef struct ito_ddpm_past {
    ito_ddpm_level at;
    ito_tensor *x, *x_0, *eps; /* the images then, and the guess */
} ito_ddpm_past;

/** The walk from noise to images, as a sampler's step function sees it. */
struct ito_ddpm_walk {
    const ito_diffusion *d;
    const ito_ddpm_sampler *sampler;
    ito_ddpm_sample_options o;
    int64_t i, n;         /* step i of n */
    ito_ddpm_step step;   /* from step.at to step.to */
    ito_tensor *x;        /* the images now; a corrected version may be put in its place */
    ito_ddpm_guess guess; /* of them */
    int known;            /* how many of past there are */
    ito_ddpm_past past[ITO_DDPM_PAST]; /* past[0] is the step before this one */
    struct ito_ddpm_drive *drive;      /* the driver's own */
};

/** Ask the network of other images, at another step. False after an error. */
ITO_API bool ito_ddpm_ask(ito_ddpm_walk *w, ito_tensor *x, const ito_ddpm_step *step,
                          ito_ddpm_guess *out);
/** Standard normal numbers shaped as w->x, of each image's own stream. */
ITO_API ito_tensor *ito_ddpm_draw(ito_ddpm_walk *w);
/** The order that a multistep solver has at this step: its own, or less at the ends. */
ITO_API int ito_ddpm_order(const ito_ddpm_walk *w);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_ddpm_sampler_find(...) ITO_AT(ito_ddpm_sampler_find(__VA_ARGS__))
#define ito_ddpm_spacing_find(...) ITO_AT(ito_ddpm_spacing_find(__VA_ARGS__))
#define ito_ddpm_timesteps(...) ITO_AT(ito_ddpm_timesteps(__VA_ARGS__))
#endif

#endif
