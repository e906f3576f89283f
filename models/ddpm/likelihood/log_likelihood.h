/* The exact log likelihood of data, by the probability-flow ODE: data and the logarithm of their
 * density are followed from the data to the noise, whose density is known.
 *
 *     ito_log_likelihoods l;
 *     ito_log_likelihood(d, &net->network, points, &l, .probes = 0);   // an exact trace
 *     ito_log_likelihood(d, &unet->network, images, &l, .dequantise = 2.0 / 255);
 *     double bits = ito_item(ito_mean(l.bits));
 *
 * With u and the angle a of sampler/probability_flow.h, du/da = v(u, a) and
 *     log p(u at t_min) = log N(u at t_max; 0, 1) + integral of div v over the angle,
 * div v = trace(dv/du). The density is that of what ito_diffusion_sample_ode makes: of x_t / signal
 * at t_min, clean data with the little noise of that time.
 */
#ifndef ITO_DDPM_LOG_LIKELIHOOD_H
#define ITO_DDPM_LOG_LIKELIHOOD_H

#include "../../../autograd/ode.h"
#include "../diffusion.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The law of the probes of Hutchinson's estimator: trace J = E[z J z] if E[z z] = 1. */
typedef enum ito_probe {
    ITO_PROBE_RADEMACHER, /* -1 or 1: no variance from the diagonal of J, so the least */
    ITO_PROBE_GAUSSIAN
} ito_probe;

/** How the likelihood is computed. */
typedef struct ito_log_likelihood_options {
    int reserved_;
    /** Of Hutchinson's estimator, each with forward mode: a step costs about 2 probes evaluations
     * of the network. 0: the exact trace, by as many as an example has elements. */
    int64_t probes ITO_DEFAULT(1);
    ito_probe probe;
    const ito_ode_method *method; /* these as in ito_ode_options; the norm is ITO_ODE_MAX, over all
                                     elements and over log p a dimension */
    int64_t steps ITO_DEFAULT(ITO_ODE_ADAPTIVE);
    double rtol ITO_DEFAULT(1e-5);
    double atol ITO_DEFAULT(1e-5);
    int64_t max_evaluations ITO_DEFAULT(100000);
    ito_ode_report *report;
    double t_min ITO_DEFAULT(ITO_UNSET); /* default those of the process */
    double t_max ITO_DEFAULT(ITO_UNSET);
    /** x_0 lie on a grid of this spacing, as 8-bit pixels scaled to [-1, 1] do with 2 / 255: each
     * gets uniform noise of up to half of it, and the bits are those of the values on the grid, an
     * upper bound on average (Theis et al. 2015, arXiv:1511.01844). 0: neither. */
    double dequantise;
    double scale ITO_DEFAULT(1.0); /* x_0 are so many times the data whose density is wanted */
    uint64_t seed;
    int64_t first_image; /* example i draws from stream first_image + i: uniform noise, then probes
                          */
} ito_log_likelihood_options;
#define ITO_DEFAULTS_ito_log_likelihood_options                                                    \
    .probes = 1, .steps = ITO_ODE_ADAPTIVE, .rtol = 1e-5, .atol = 1e-5, .max_evaluations = 100000, \
    .t_min = ITO_UNSET, .t_max = ITO_UNSET, .scale = 1.0

/** The likelihoods of N examples, f64, of the current scope. */
typedef struct ito_log_likelihoods {
    ito_tensor *log_p; /* [N] in nats: the density of x_0 / scale; if dequantised, with its noise */
    ito_tensor *bits;  /* [N] a dimension: -log2 of that density; if dequantised, -log2 of the mass
                          of  the cell of the grid, log_p plus the logarithm of its volume */
    ito_tensor *error; /* [N] standard error of log_p from the probes; NULL with fewer than two */
    ito_tensor *noise; /* [N, ...] x at t_max, of x_0's dtype */
} ito_log_likelihoods;

/**
 * The log likelihood of each example. It depends on the others of its batch by less than the
 * tolerance, and not at all with .steps.
 *
 * @param network  made of operations of the library, through which forward mode passes, and pure:
 *                 it forgets earlier evaluations before each one. Example i of its output depends
 * on example i of its input alone. Its training mode and its gradients do not matter here, but
 * dropout does: switch it off.
 * @param x_0      [N, ...] f32 or f64; the network is evaluated in that, everything else is f64.
 * @param out      written on success.
 * @return         ITO_ERR_SHAPE or ITO_ERR_DTYPE for x_0, ITO_ERR_RANGE for probes, dequantise,
 *                 scale or times, ITO_ERR_ARGUMENT if the prediction does not determine x_0 and eps
 *                 at an end; what ito_ode_solve, ito_jvp and the network say.
 * Source: Song et al. 2020, arXiv:2011.13456, section 4.3 and appendix D.2; Chen et al. 2018,
 *         arXiv:1806.07366, theorem 1; Grathwohl et al. 2018, arXiv:1810.01367 (FFJORD).
 */
ITO_API ito_status ito_log_likelihood_with(const ito_diffusion *d, ito_network *network,
                                           ito_tensor *x_0, ito_log_likelihood_options options,
                                           ito_log_likelihoods *out);
#define ito_log_likelihood(...)                                                                    \
    ITO_AT(ITO_CALL_3_OUT(ito_log_likelihood_with, ito_log_likelihood_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
