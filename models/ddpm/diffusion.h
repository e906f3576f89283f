/* A diffusion: a schedule, what the network predicts, the variance of a reverse step and the weight
 * of the loss, in any combination.
 *
 * Each of the last three is a small struct of functions of one step; numbers in, numbers out. What
 * the network is asked for is always linear in the clean image and the noise, so a prediction is
 * three pairs of coefficients, and everything else (loss, samplers) is written once for all of
 * them.
 *
 *     ito_diffusion *d = ito_diffusion_create(.schedule = &ito_ddpm_cosine);
 *     ito_tensor *loss = ito_ddpm_loss(d, ito_unet_network, unet, x_0, t, eps);
 */
#ifndef ITO_DDPM_DIFFUSION_H
#define ITO_DDPM_DIFFUSION_H

#include "../../tensor/tensor.h"
#include "schedule.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A step t of the process, and the one that sampling goes to from there. */
typedef struct ito_ddpm_step {
    int64_t t;           /* what the network is told */
    double alpha_bar;    /* at t */
    double alpha_bar_to; /* where the reverse step leads: 1 behind the last one */
} ito_ddpm_step;

/** a first + b second. */
typedef struct ito_ddpm_pair {
    double a, b;
} ito_ddpm_pair;

/** What the network's output stands for. */
typedef struct ito_ddpm_prediction {
    const char *name;
    /** The output that would be right: a x_0 + b eps. */
    ito_ddpm_pair (*target)(const ito_ddpm_step *step);
    /** The clean image that an output implies: a x_t + b output. */
    ito_ddpm_pair (*x_0)(const ito_ddpm_step *step);
    /** The noise that an output implies: a x_t + b output. */
    ito_ddpm_pair (*eps)(const ito_ddpm_step *step);
} ito_ddpm_prediction;

/** The variance of a reverse step. */
typedef struct ito_ddpm_variance {
    const char *name;
    double (*variance)(const ito_ddpm_step *step);
} ito_ddpm_variance;

/** What the squared error of an image noised to t counts in the loss. */
typedef struct ito_ddpm_weighting {
    const char *name;
    double (*weight)(const ito_ddpm_step *step); /* NULL: 1 everywhere */
} ito_ddpm_weighting;

/** The noise that was added (Ho et al. 2020, eq. 11). */
ITO_API extern const ito_ddpm_prediction ito_ddpm_predict_eps;
/** beta~_t, right for data that is one point; 0 at the last step. */
ITO_API extern const ito_ddpm_variance ito_ddpm_fixedsmall;
/** beta_t, right for data that is standard normal. */
ITO_API extern const ito_ddpm_variance ito_ddpm_fixedlarge;
/** L_simple, eq. (14). */
ITO_API extern const ito_ddpm_weighting ito_ddpm_simple;

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_ddpm_variance *ito_ddpm_variance_find(const char *name);

typedef struct ito_diffusion {
    ito_ddpm_schedule *schedule; /* owned */
    const ito_ddpm_prediction *prediction;
    const ito_ddpm_variance *variance;
    const ito_ddpm_weighting *weighting;
} ito_diffusion;

typedef struct ito_diffusion_options {
    int reserved_;
    const ito_ddpm_betas *schedule;        /* default ito_ddpm_linear */
    int64_t steps;                         /* T; default 1000 */
    ito_ddpm_schedule_options betas;       /* the schedule's own settings */
    const ito_ddpm_prediction *prediction; /* default ito_ddpm_predict_eps */
    const ito_ddpm_variance *variance;     /* default ito_ddpm_fixedlarge */
    const ito_ddpm_weighting *weighting;   /* default ito_ddpm_simple */
} ito_diffusion_options;

/** Owned by the caller, freed by ito_diffusion_free; what options points to must outlive it. NULL
 * with the schedule's error. */
ITO_API ito_diffusion *ito_diffusion_create_with(ito_diffusion_options options);
#define ito_diffusion_create(...)                                                                  \
    ITO_AT(ito_diffusion_create_with(ITO_OPTIONS(ito_diffusion_options, __VA_ARGS__)))
/** Accepts NULL. */
ITO_API void ito_diffusion_free(ito_diffusion *d);

/**
 * The step from t to an earlier step `to`, or behind the last one if to is -1. Both are within the
 * schedule; the caller has checked.
 */
ITO_API ito_ddpm_step ito_ddpm_step_at(const ito_ddpm_schedule *s, int64_t t, int64_t to);

/**
 * Jump from clean images straight to step t of the forward (noising) process:
 *     x_t = sqrt(alpha_bar[t]) * x_0 + sqrt(1 - alpha_bar[t]) * eps
 *
 * @param s    schedule of T steps; borrowed.
 * @param x_0  [N, ...] f32 or f64, pixels scaled to [-1, 1].
 * @param eps  of x_0's shape and dtype, standard normal.
 * @param t    [N] i64, step indices in [0, T); the paper counts from 1 to T.
 * @return     x_t, shaped as x_0, owned by the current scope; differentiable in x_0 and eps.
 *             NULL on error: ITO_ERR_SHAPE if shapes disagree, ITO_ERR_DTYPE, ITO_ERR_RANGE for a
 *             bad t.
 * Source: Ho, Jain, Abbeel 2020, arXiv:2006.11239, eq. (4).
 */
ITO_API ito_tensor *ito_ddpm_q_sample(const ito_ddpm_schedule *s, ito_tensor *x_0, ito_tensor *eps,
                                      ito_tensor *t);

/**
 * A network: its output, shaped as x_t, for images x_t [N, C, H, W] at steps t [N] i64; NULL with
 * an error recorded. Image i's output depends on image i and t[i] alone.
 */
typedef ito_tensor *ito_ddpm_network(ito_tensor *x_t, ito_tensor *t, void *context);

/**
 * One Monte Carlo sample of the training objective: noise x_0 to steps t, ask the network, and
 * average the weighted squared error over images and pixels.
 *
 * @param x_0, eps, t  as in ito_ddpm_q_sample; t is drawn uniformly.
 * @return             a single number, differentiable in the network's parameters.
 */
ITO_API ito_tensor *ito_ddpm_loss(const ito_diffusion *d, ito_ddpm_network *network, void *context,
                                  ito_tensor *x_0, ito_tensor *t, ito_tensor *eps);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_ddpm_variance_find(...) ITO_AT(ito_ddpm_variance_find(__VA_ARGS__))
#define ito_ddpm_q_sample(...) ITO_AT(ito_ddpm_q_sample(__VA_ARGS__))
#define ito_ddpm_loss(...) ITO_AT(ito_ddpm_loss(__VA_ARGS__))
#endif

#endif
