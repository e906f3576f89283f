/* Internal: the exact step for an x_0-hat that stays, in lambda = log(signal / noise), which
 * DPM-Solver++ and UniPC correct. With h = lambda_to - lambda,
 *     x_to = noise_to / noise x + signal_to (1 - e^-h) x_0-hat.
 * It exists at both ends of the process. */
#ifndef ITO_DDPM_SAMPLER_EXPONENTIAL_H
#define ITO_DDPM_SAMPLER_EXPONENTIAL_H

#include "autograd/ops.h"
#include "models/ddpm/sampler/run.h"

#include <math.h>

static inline double lambda_of(ito_level level)
{
    return log(level.signal) - log(level.noise);
}

/* e^-h, by levels: 0 from no signal or to no noise. */
static inline double decay(ito_level at, ito_level to)
{
    return at.signal * to.noise / (at.noise * to.signal);
}

/* The exact step; x + share y if there is a correction y. */
static inline ito_tensor *exact_step(ito_tensor *x, ito_level at, ito_level to, ito_tensor *x_0,
                                     double share, ito_tensor *correction)
{
    x = ito_axpby(to.noise / at.noise, x, to.signal * (1.0 - decay(at, to)), x_0);
    return correction == NULL ? x : ito_axpby(1.0, x, share, correction);
}

/* (a - b) / r */
static inline ito_tensor *slope(ito_tensor *a, ito_tensor *b, double r)
{
    return ito_axpby(1.0 / r, a, -1.0 / r, b);
}

#endif
