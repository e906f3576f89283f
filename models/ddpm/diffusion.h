/* A diffusion: a schedule, what the network predicts, the variance of a reverse step, the loss and
 * its weights, in any combination that makes sense.
 *
 * Each is a small struct with a function of one step; numbers in, numbers out. What the network is
 * asked for is always linear in the clean image and the noise, a x_0 + b eps, so a prediction is
 * one pair of numbers, and everything else (loss, bound, samplers) is written once for all of them.
 * The functions get their own struct first: copy a built-in one, change its numbers, and pass that.
 *
 *     ito_ddpm_weighting weights = ito_ddpm_min_snr;
 *     weights.gamma = 1.0;
 *     ito_diffusion *d = ito_diffusion_create(.schedule = &ito_ddpm_cosine,
 *                                             .prediction = &ito_ddpm_predict_v,
 *                                             .weighting = &weights);
 *     ito_tensor *loss = ito_ddpm_loss(d, ito_unet_network, unet, x_0, t, eps);
 */
#ifndef ITO_DDPM_DIFFUSION_H
#define ITO_DDPM_DIFFUSION_H

#include "../../tensor/tensor.h"
#include "process/process.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A step t of the process, and the one that sampling goes to from there. */
typedef struct ito_ddpm_step {
    const ito_ddpm_schedule *schedule;
    int64_t t;             /* what the network is told */
    ito_ddpm_level at;     /* at t */
    ito_ddpm_level before; /* at t - 1, one step of the schedule earlier; clean at t = 0 */
    int64_t t_to;          /* where the reverse step leads, or -1: to the clean image */
    ito_ddpm_level to;     /* there */
} ito_ddpm_step;

/** a first + b second. */
typedef struct ito_ddpm_pair {
    double a, b;
} ito_ddpm_pair;

/** What the network's output stands for. */
typedef struct ito_ddpm_prediction ito_ddpm_prediction;
struct ito_ddpm_prediction {
    const char *name;
    /** The output that would be right: a x_0 + b eps. */
    ito_ddpm_pair (*target)(const ito_ddpm_prediction *self, const ito_ddpm_step *step);
    /** What x_t is multiplied by before the network sees it; NULL: 1. */
    double (*input)(const ito_ddpm_prediction *self, const ito_ddpm_step *step);
    double sigma_data; /* edm: standard deviation of the data's pixels */
};

/** The variance of a reverse step. */
typedef struct ito_ddpm_variance {
    const char *name;
    /** Its logarithm, a + b v, where v is what the network's second head says. */
    ito_ddpm_pair (*log_variance)(const ito_ddpm_step *step);
    bool learned; /* the network has a second head: twice the channels, the last half being v */
} ito_ddpm_variance;

/** Whose squared error a weight is for. */
typedef enum ito_ddpm_quantity { ITO_DDPM_OUTPUT, ITO_DDPM_X_0, ITO_DDPM_EPS } ito_ddpm_quantity;

/** What the squared error of an image noised to t counts in the loss. */
typedef struct ito_ddpm_weighting ito_ddpm_weighting;
struct ito_ddpm_weighting {
    const char *name;
    double (*weight)(const ito_ddpm_weighting *self, const ito_ddpm_step *step); /* NULL: 1 */
    /** Of the network's output, or of the x_0 or eps that it implies: one weight that is right for
     * every prediction. */
    ito_ddpm_quantity of;
    double gamma, k, sigma_data;
};

/** What is minimised: simple times the weighted error + vlb times the term of the bound. */
typedef struct ito_ddpm_objective {
    const char *name;
    double simple, vlb;
    bool whole_bound; /* the term counts T times: the mean over t estimates the bound itself */
    bool detach_mean; /* the term trains the variance alone */
    /** Of output - target, element by element; NULL: the square. */
    ito_tensor *(*distance)(ito_tensor *difference);
} ito_ddpm_objective;

/* ---- what there is ---- */

/** The noise that was added (Ho et al. 2020, eq. 11). */
ITO_API extern const ito_ddpm_prediction ito_ddpm_predict_eps;
/** The clean image. */
ITO_API extern const ito_ddpm_prediction ito_ddpm_predict_x_0;
/** mu~, the mean of q(x_{t-1} | x_t, x_0), eq. (7). */
ITO_API extern const ito_ddpm_prediction ito_ddpm_predict_x_prev;
/** signal eps - noise x_0 (Salimans, Ho 2022, arXiv:2202.00512). */
ITO_API extern const ito_ddpm_prediction ito_ddpm_predict_v;
/** grad log q(x_t | x_0) = -eps / noise. */
ITO_API extern const ito_ddpm_prediction ito_ddpm_predict_score;
/** F of EDM's preconditioned denoiser; the network sees images of unit variance (Karras et al.
 * 2022, arXiv:2206.00364, table 1). sigma_data 0.5. */
ITO_API extern const ito_ddpm_prediction ito_ddpm_predict_edm;
/** eps - x_0, the velocity of the straight path. */
ITO_API extern const ito_ddpm_prediction ito_ddpm_predict_flow;

/** beta~_t, right for data that is one point. At the last step, where it is 0, that of t = 1. */
ITO_API extern const ito_ddpm_variance ito_ddpm_fixedsmall;
/** beta_t, right for data that is standard normal; at the last step as fixedsmall. */
ITO_API extern const ito_ddpm_variance ito_ddpm_fixedlarge;
/** log variance = v. */
ITO_API extern const ito_ddpm_variance ito_ddpm_learned;
/** log variance = f log beta_t + (1 - f) log beta~_t with f = (v + 1) / 2 (Nichol, Dhariwal 2021,
 * eq. 15). */
ITO_API extern const ito_ddpm_variance ito_ddpm_learned_range;

/** 1 for the output: L_simple, eq. (14), if that is eps. */
ITO_API extern const ito_ddpm_weighting ito_ddpm_simple;
/** That of the bound, eq. (12), with fixedlarge's variance: beta^2 / (2 sigma^2 alpha (1 -
 * alpha_bar)) for eps, and its equivalents. */
ITO_API extern const ito_ddpm_weighting ito_ddpm_bound_weights;
/** min(SNR, gamma) for x_0, SNR = (signal / noise)^2 (Hang et al. 2023, arXiv:2303.09556). gamma 5.
 */
ITO_API extern const ito_ddpm_weighting ito_ddpm_min_snr;
/** 1 / (k + SNR)^gamma for eps (Choi et al. 2022, arXiv:2204.00227). k 1, gamma 1. */
ITO_API extern const ito_ddpm_weighting ito_ddpm_p2;
/** 1 / sigma^2 + 1 / sigma_data^2 for x_0, sigma = noise / signal: 1 for EDM's F. sigma_data 0.5.
 */
ITO_API extern const ito_ddpm_weighting ito_ddpm_edm;

/** The weighted squared error: L_simple. */
ITO_API extern const ito_ddpm_objective ito_ddpm_loss_simple;
/** The term of the bound in bits a dimension, L_vlb: the mean over t. */
ITO_API extern const ito_ddpm_objective ito_ddpm_loss_vlb;
/** The same times T: the bound. */
ITO_API extern const ito_ddpm_objective ito_ddpm_loss_rescaled;
/** L_simple + 0.001 of the bound, whose mean is detached (Nichol, Dhariwal 2021, eq. 16). */
ITO_API extern const ito_ddpm_objective ito_ddpm_loss_hybrid;

/** The one of that name: "eps", "x_0", "x_prev", "v", "score", "edm", "flow"; "fixedsmall",
 * "fixedlarge", "learned", "learned_range"; "simple", "bound", "min_snr", "p2", "edm"; "simple",
 * "vlb", "rescaled", "hybrid". NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it.
 */
ITO_API const ito_ddpm_prediction *ito_ddpm_prediction_find(const char *name);
ITO_API const ito_ddpm_variance *ito_ddpm_variance_find(const char *name);
ITO_API const ito_ddpm_weighting *ito_ddpm_weighting_find(const char *name);
ITO_API const ito_ddpm_objective *ito_ddpm_objective_find(const char *name);

/* ---- the object ---- */

typedef struct ito_diffusion {
    ito_ddpm_schedule *schedule; /* owned */
    const ito_ddpm_prediction *prediction;
    const ito_ddpm_variance *variance;
    const ito_ddpm_weighting *weighting;
    const ito_ddpm_objective *loss;
    /* what those point to if options gave their numbers */
    ito_ddpm_weighting numbered;
    ito_ddpm_prediction numbered_prediction;
} ito_diffusion;

typedef struct ito_diffusion_options {
    int reserved_;
    const ito_ddpm_betas *schedule;        /* default ito_ddpm_linear */
    int64_t steps;                         /* T; default 1000 */
    ito_ddpm_schedule_options betas;       /* the schedule's own settings */
    const ito_ddpm_prediction *prediction; /* default ito_ddpm_predict_eps */
    const ito_ddpm_variance *variance;     /* default ito_ddpm_fixedlarge */
    const ito_ddpm_weighting *weighting;   /* default ito_ddpm_simple */
    double gamma, k;                       /* of the weighting, in place of its own; 0: its own */
    double sigma_data;                     /* of edm, the prediction and the weighting; 0: 0.5 */
    const ito_ddpm_objective *loss;        /* default ito_ddpm_loss_simple */
    const double *list;                    /* [steps] betas of one's own instead of a schedule */
} ito_diffusion_options;
#define ITO_DEFAULTS_ito_diffusion_options .reserved_ = 0

/**
 * Owned by the caller, freed by ito_diffusion_free; what options points to must outlive it (but
 * list, which is copied).
 * @return  NULL with the schedule's error, or ITO_ERR_ARGUMENT for choices that do not go together:
 *          a learned variance that the loss does not train, a loss that trains a fixed one, weights
 *          for a loss without them, a gamma, k or sigma_data where there is none, a weight that is
 *          not finite at some step, the bound where the prediction does not tell x_0.
 */
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
/** The x_0, and the eps, that an output implies: a x_t + b output. Infinite if it tells nothing. */
ITO_API ito_ddpm_pair ito_ddpm_x_0_of(const ito_ddpm_prediction *p, const ito_ddpm_step *step);
ITO_API ito_ddpm_pair ito_ddpm_eps_of(const ito_ddpm_prediction *p, const ito_ddpm_step *step);
/** The mean of q(x_to | x_t, x_0), eq. (7): a x_t + b x_0. Its variance is in *variance. */
ITO_API ito_ddpm_pair ito_ddpm_posterior(const ito_ddpm_step *step, double *variance);

/**
 * Jump from clean images straight to step t of the forward (noising) process:
 *     x_t = signal[t] * x_0 + noise[t] * eps
 * with signal = sqrt(alpha_bar) and noise = sqrt(1 - alpha_bar) for the paper's schedules.
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
 * an error recorded. With a learned variance it has 2 C channels. Image i's output depends on image
 * i and t[i] alone. See condition.h for networks that take more.
 */
typedef ito_tensor *ito_ddpm_network(ito_tensor *x_t, ito_tensor *t, void *context);

/**
 * One Monte Carlo sample of the training objective for each image: noise x_0 to steps t, ask the
 * network, and weigh the error, averaged over the image's pixels.
 *
 * @param x_0, eps, t  as in ito_ddpm_q_sample.
 * @return             [N], differentiable in the network's parameters. ITO_ERR_SHAPE if the network
 *                     has not the heads that the variance asks for.
 */
ITO_API ito_tensor *ito_ddpm_losses(const ito_diffusion *d, ito_ddpm_network *network,
                                    void *context, ito_tensor *x_0, ito_tensor *t, ito_tensor *eps);
/** Their mean: a single number. For t drawn uniformly; see steps.h for other ways. */
ITO_API ito_tensor *ito_ddpm_loss(const ito_diffusion *d, ito_ddpm_network *network, void *context,
                                  ito_tensor *x_0, ito_tensor *t, ito_tensor *eps);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_ddpm_prediction_find(...) ITO_AT(ito_ddpm_prediction_find(__VA_ARGS__))
#define ito_ddpm_variance_find(...) ITO_AT(ito_ddpm_variance_find(__VA_ARGS__))
#define ito_ddpm_weighting_find(...) ITO_AT(ito_ddpm_weighting_find(__VA_ARGS__))
#define ito_ddpm_objective_find(...) ITO_AT(ito_ddpm_objective_find(__VA_ARGS__))
#define ito_ddpm_q_sample(...) ITO_AT(ito_ddpm_q_sample(__VA_ARGS__))
#define ito_ddpm_losses(...) ITO_AT(ito_ddpm_losses(__VA_ARGS__))
#define ito_ddpm_loss(...) ITO_AT(ito_ddpm_loss(__VA_ARGS__))
#endif

#endif
