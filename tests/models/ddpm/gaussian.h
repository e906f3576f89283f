/* Data x_0 ~ N(0, 1/4) in every pixel and its best network, where everything has a closed form:
 *     x_0-hat = E[x_0 | x_t] = signal / 4 / D x_t,  eps-hat = noise / D x_t,
 *     D = signal^2 / 4 + noise^2, the variance of x_t,
 * and Var[x_0 | x_t] = noise^2 / 4 / D. */
#ifndef ITO_TESTS_GAUSSIAN_H
#define ITO_TESTS_GAUSSIAN_H

#include "autograd/ops.h"
#include "models/ddpm/diffusion.h"

#include <math.h>

static inline double gaussian_variance(ito_level at)
{
    return 0.25 * at.signal * at.signal + at.noise * at.noise;
}

/* What the network says of x_t = 1, by the meaning of d's prediction; written out from the
 * definitions in the papers, not from the library's coefficients. */
static inline double gaussian_output(const ito_diffusion *d, const ito_step *s)
{
    double A = s->at.signal, N = s->at.noise, D = gaussian_variance(s->at);
    double x_0 = 0.25 * A / D, eps = N / D;
    const ito_prediction *p = d->prediction;
    if (p->target == ito_prediction_eps.target)
        return eps;
    if (p->target == ito_prediction_x_0.target)
        return x_0;
    if (p->target == ito_prediction_v.target)
        return A * eps - N * x_0;
    if (p->target == ito_prediction_score.target)
        return -eps / N;
    if (p->target == ito_prediction_flow.target)
        return eps - x_0;
    if (p->target == ito_prediction_edm.target) {
        /* D(y) = c_skip y + c_out F(c_in y), y = x_t / A */
        double sigma = N / A, sd = p->sigma_data, both = sigma * sigma + sd * sd;
        return (x_0 - sd * sd / both / A) / (sigma * sd / sqrt(both));
    }
    /* mu~ of eq. (7), for schedules that preserve variance */
    double ab = A * A, before = s->before.signal * s->before.signal, alpha = ab / before;
    return sqrt(before) * (1.0 - alpha) / (1.0 - ab) * x_0 +
           sqrt(alpha) * (1.0 - before) / (1.0 - ab);
}

/* What edm is to take for the deviation of the data: not their own, with which the best output is 0
 * everywhere and no test of it could fail. Nothing for others. */
static inline double gaussian_sigma_data(const ito_prediction *p)
{
    return p->uses & ITO_USES_SIGMA_DATA ? 0.3 : ITO_UNSET;
}

/* The best network. Any axes, f32 or f64. */
typedef struct gaussian_network {
    ito_network base;
    const ito_diffusion *d;
    double v; /* what a second head says everywhere */
} gaussian_network;

static inline ito_tensor *gaussian_evaluate(ito_network *self, const ito_network_input *in)
{
    const gaussian_network *g = (const gaussian_network *)self;
    const ito_prediction *p = g->d->prediction;
    int64_t n = ito_size(in->time, 0);
    ito_shape shape = {.ndim = ito_ndim(in->x), .dim = {n, 1, 1, 1, 1, 1, 1, 1}};
    ito_tensor *gain = ito_empty(shape, ITO_F64);
    for (int64_t i = 0; gain != NULL && i < n; i++) {
        double time = ((const double *)ito_const_data(in->time))[i];
        ito_step s = ito_step_between(g->d->process, time, time - 1.0);
        double seen = p->c_in == NULL ? 1.0 : 1.0 / hypot(s.at.noise, s.at.signal * p->sigma_data);
        ((double *)ito_data(gain))[i] = gaussian_output(g->d, &s) / seen;
    }
    ito_tensor *y = gain == NULL ? NULL : ito_mul(in->x, ito_cast(gain, ito_dtype_of(in->x)));
    return g->d->variance->learned ? ito_cat(ITO_TENSORS(y, ito_full_like(in->x, g->v)), 1) : y;
}

static inline gaussian_network gaussian_make(const ito_diffusion *d, double v)
{
    return (gaussian_network){{.evaluate = gaussian_evaluate}, d, v};
}

#endif
