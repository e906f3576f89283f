/* The probability-flow ODE: the paths without noise whose points at each time are distributed as
 * the noisy data are. Solved to a tolerance by the solvers of autograd/ode.h, it leads from noise
 * to data (here) and from data to noise with their likelihood (likelihood/log_likelihood.h).
 *
 *     ito_tensor *x = ito_diffusion_sample_ode(d, &net->network, ITO_SHAPE(64, 2), .rtol = 1e-4);
 *
 * For x_t = signal x_0 + noise eps it is solved in u = x_t / r, r = hypot(signal, noise), and the
 * angle a = atan(noise / signal), from 0 where there is no noise to pi/2 where there is no signal:
 *     u = cos(a) x_0 + sin(a) eps,    du/da = cos(a) eps-hat - sin(a) x_0-hat,
 * one equation for all processes, without their derivatives, and regular at both ends. Equal steps
 * are equal in the angle.
 */
#ifndef ITO_DDPM_PROBABILITY_FLOW_H
#define ITO_DDPM_PROBABILITY_FLOW_H

#include "../../../autograd/ode.h"
#include "../diffusion.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How to sample along the probability-flow ODE. */
typedef struct ito_sample_ode_options {
    int reserved_;
    const ito_ode_method *method; /* these as in ito_ode_options; the norm is ITO_ODE_MAX */
    int64_t steps ITO_DEFAULT(ITO_ODE_ADAPTIVE);
    double rtol ITO_DEFAULT(1e-5);
    double atol ITO_DEFAULT(1e-5);
    int64_t max_evaluations ITO_DEFAULT(100000);
    ito_ode_report *report;
    double t_min ITO_DEFAULT(ITO_UNSET); /* where it ends; default that of the process */
    double t_max ITO_DEFAULT(ITO_UNSET); /* where it begins, likewise */
    bool denoise;                        /* end with the estimate of x_0 at t_min */
    uint64_t seed;
    int64_t first_image; /* example i draws from stream first_image + i */
    ito_dtype dtype;     /* f32 or f64; the equation is solved in f64 */
} ito_sample_ode_options;
#define ITO_DEFAULTS_ito_sample_ode_options                                                        \
    .steps = ITO_ODE_ADAPTIVE, .rtol = 1e-5, .atol = 1e-5, .max_evaluations = 100000,              \
    .t_min = ITO_UNSET, .t_max = ITO_UNSET

/**
 * Data from noise along the probability-flow ODE. They are x_t / signal at t_min: clean data with
 * the little noise of that time, distributed with the density that ito_log_likelihood gives. An
 * example depends on the others of its batch by less than the tolerance, and not at all with
 * .steps.
 *
 * @param network  pure: it forgets earlier evaluations before each one (ito_network_begin).
 * @param shape    [N, ...].
 * @return         of the current scope; nothing is recorded for gradients. NULL on error:
 *                 ITO_ERR_RANGE unless t_min < t_max are times of the process, ITO_ERR_ARGUMENT if
 *                 the prediction does not determine both x_0 and eps there, those of ito_ode_solve
 *                 and the network's.
 * Source: Song et al. 2020, arXiv:2011.13456, section 4.3 and appendix D.1.
 */
ITO_API ito_tensor *ito_diffusion_sample_ode_with(const ito_diffusion *d, ito_network *network,
                                                  ito_shape shape, ito_sample_ode_options options);
#define ito_diffusion_sample_ode(...)                                                              \
    ITO_AT(ITO_CALL_3(ito_diffusion_sample_ode_with, ito_sample_ode_options, __VA_ARGS__, ))

/** The same from given x at t_max, [N, ...] f32 or f64: what ito_log_likelihood found for data
 * leads back to them. */
ITO_API ito_tensor *ito_diffusion_sample_ode_from_with(const ito_diffusion *d, ito_network *network,
                                                       ito_tensor *x,
                                                       ito_sample_ode_options options);
#define ito_diffusion_sample_ode_from(...)                                                         \
    ITO_AT(ITO_CALL_3(ito_diffusion_sample_ode_from_with, ito_sample_ode_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
