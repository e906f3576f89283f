/* A diffusion: a process, the prediction, the time input of the network, the variance of a reverse
 * step, the objective and its weighting, in any valid combination.
 *
 *     ito_diffusion *d = ito_diffusion_create(.schedule = &ito_schedule_cosine,
 *                                             .prediction = &ito_prediction_v,
 *                                             .weighting = &ito_weighting_min_snr, .gamma = 1);
 *     ito_tensor *loss = ito_diffusion_loss(d, &unet->network, x_0, t, eps);
 *
 * Data are [N, ...]: points [N, D], signals [N, C, L], images [N, C, H, W], volumes.
 */
#ifndef ITO_DIFFUSION_H
#define ITO_DIFFUSION_H

#include "network/network.h"
#include "objective/objective.h"
#include "process/process.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A process and the choices that go with it; read only. */
typedef struct ito_diffusion {
    ito_process *process; /* owned */
    const ito_prediction *prediction;
    const ito_time_input *time_input;
    const ito_variance *variance;
    const ito_weighting *weighting;
    const ito_objective *objective;
    /* copies with the numbers that options set; the pointers above then point here */
    ito_weighting own_weighting;
    ito_prediction own_prediction;
} ito_diffusion;

/** The choices of a diffusion. NULL means the default. */
typedef struct ito_diffusion_options {
    int reserved_;
    const ito_schedule_family *schedule;        /* default ito_schedule_linear */
    int64_t steps ITO_DEFAULT(ITO_USUAL_STEPS); /* these six as in ito_process_options */
    double beta_start ITO_DEFAULT(1e-4);
    double beta_end ITO_DEFAULT(0.02);
    double sigma_min ITO_DEFAULT(0.002);
    double sigma_max ITO_DEFAULT(80.0);
    double shift ITO_DEFAULT(1.0);
    bool zero_terminal_snr;              /* likewise */
    const double *betas;                 /* [steps] a list of betas instead of a schedule; copied */
    const ito_prediction *prediction;    /* default ito_prediction_eps */
    const ito_time_input *time_input;    /* default ito_time_input_timestep */
    const ito_variance *variance;        /* default ito_variance_fixedlarge */
    const ito_weighting *weighting;      /* default ito_weighting_simple */
    double gamma ITO_DEFAULT(ITO_UNSET); /* of the weighting, in place of its own */
    double k ITO_DEFAULT(ITO_UNSET);
    double sigma_data ITO_DEFAULT(ITO_UNSET); /* of edm, the prediction and the weighting */
    const ito_objective *objective;           /* default ito_objective_simple */
} ito_diffusion_options;
#define ITO_DEFAULTS_ito_diffusion_options                                                         \
    .steps = ITO_USUAL_STEPS, .beta_start = 1e-4, .beta_end = 0.02, .sigma_min = 0.002,            \
    .sigma_max = 80.0, .shift = 1.0, .gamma = ITO_UNSET, .k = ITO_UNSET, .sigma_data = ITO_UNSET

/**
 * A diffusion of these options. It is owned by the caller and freed by ito_diffusion_free. What
 * options points to must outlive it, except betas, which is copied.
 * @return  NULL with the process's error, or ITO_ERR_ARGUMENT for choices that are incompatible: a
 *          learned variance that the objective does not train, an objective that trains a fixed
 *          one, weights for an objective without them, a gamma, k or sigma_data that no choice
 *          uses, a weight that is not finite at some time, the bound where the prediction does not
 *          determine x_0, a choice that needs a process in steps with one in continuous time.
 */
ITO_API ito_diffusion *ito_diffusion_create_with(ito_diffusion_options options);
#define ito_diffusion_create(...)                                                                  \
    ITO_AT(ITO_CALL_0(ito_diffusion_create_with, ito_diffusion_options, __VA_ARGS__))
/** Accepts NULL. */
ITO_API void ito_diffusion_free(ito_diffusion *d);

/**
 * Jump from clean data straight to time t of the forward (noising) process:
 *     x_t = signal(t) x_0 + noise(t) eps
 * with signal = sqrt(alpha_bar) and noise = sqrt(1 - alpha_bar) for the paper's schedules.
 *
 * @param p    borrowed.
 * @param x_0  [N, ...] f32 or f64; images have pixels scaled to [-1, 1].
 * @param eps  of x_0's shape and dtype, standard normal.
 * @param t    [N] i64, f32 or f64: times of the process from t_min to t_max; in steps, whole
 *             numbers of [0, T), where the paper counts from 1 to T.
 * @return     x_t, shaped as x_0, owned by the current scope; differentiable in x_0 and eps.
 *             NULL on error: ITO_ERR_SHAPE if shapes disagree, ITO_ERR_DTYPE, ITO_ERR_RANGE for a
 *             bad t.
 * Source: Ho, Jain, Abbeel 2020, arXiv:2006.11239, eq. (4).
 */
ITO_API ito_tensor *ito_q_sample(const ito_process *p, ito_tensor *x_0, ito_tensor *eps,
                                 ito_tensor *t);

/**
 * One Monte Carlo sample of the training objective for each example: noise x_0 to time t, evaluate
 * the network, and weigh the error, averaged over the example's elements.
 *
 * @param x_0, t, eps  as in ito_q_sample.
 * @return             [N], differentiable in the network's parameters. NULL on error: ITO_ERR_SHAPE
 *                     if the network has not the heads that the variance needs; what
 *                     ito_q_sample and the network say.
 */
ITO_API ito_tensor *ito_diffusion_losses(const ito_diffusion *d, ito_network *network,
                                         ito_tensor *x_0, ito_tensor *t, ito_tensor *eps);
/** The mean of ito_diffusion_losses: a scalar. For t drawn uniformly; for other laws see
 * timestep_sampler.h. */
ITO_API ito_tensor *ito_diffusion_loss(const ito_diffusion *d, ito_network *network,
                                       ito_tensor *x_0, ito_tensor *t, ito_tensor *eps);

/** The network's estimates for noisy data. */
typedef struct ito_estimate {
    ito_tensor *x_0; /* the clean data; in sampling, clipped as the options say */
    ito_tensor *eps; /* the noise; -eps / noise(t) is the score, grad log q(x_t) */
    ito_tensor *v;   /* the second head, or NULL */
} ito_estimate;

/**
 * Estimate the clean data and the noise in noisy data. A trajectory begins.
 *
 * @param x_t  [N, ...] f32 or f64.
 * @param t    as in ito_q_sample.
 * @param out  written on success: tensors shaped as x_t, of the current scope, differentiable in
 *             x_t and the network's parameters.
 * @return     ITO_OK, or the errors of ito_q_sample and of the network.
 */
ITO_API ito_status ito_diffusion_estimate(const ito_diffusion *d, ito_network *network,
                                          ito_tensor *x_t, ito_tensor *t, ito_estimate *out);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_diffusion_estimate(...) ITO_AT(ito_diffusion_estimate(__VA_ARGS__))
#define ito_q_sample(...) ITO_AT(ito_q_sample(__VA_ARGS__))
#define ito_diffusion_losses(...) ITO_AT(ito_diffusion_losses(__VA_ARGS__))
#define ito_diffusion_loss(...) ITO_AT(ito_diffusion_loss(__VA_ARGS__))
#endif

#endif
