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
 * definitions in the papers, not from the library's pairs. */
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
 * everywhere and no test of it could fail. 0 for others. */
static inline double gaussian_sigma_data(const ito_prediction *p)
{
    return p->sigma_data != 0.0 ? 0.3 : 0.0;
}

typedef struct gaussian_network {
    const ito_diffusion *d;
    double v; /* what a second head says everywhere */
} gaussian_network;

/* The best network; context is a gaussian_network. Any axes, f32 or f64. */
static inline ito_tensor *gaussian_ask(ito_tensor *x, ito_tensor *t, void *context)
{
    const gaussian_network *g = context;
    const ito_prediction *p = g->d->prediction;
    int64_t n = ito_size(t, 0);
    ito_shape shape = {.ndim = ito_ndim(x), .dim = {n, 1, 1, 1, 1, 1, 1, 1}};
    ito_tensor *gain = ito_empty(shape, ITO_F64);
    for (int64_t i = 0; gain != NULL && i < n; i++) {
        int64_t step = ((const int64_t *)ito_const_data(t))[i];
        ito_step s = ito_step_between(g->d->process, step, step - 1);
        double seen = p->input == NULL ? 1.0 : 1.0 / hypot(s.at.noise, s.at.signal * p->sigma_data);
        ((double *)ito_data(gain))[i] = gaussian_output(g->d, &s) / seen;
    }
    ito_tensor *y = gain == NULL ? NULL : ito_mul(x, ito_cast(gain, ito_dtype_of(x)));
    return g->d->variance->learned ? ito_cat(ITO_TENSORS(y, ito_full_like(x, g->v)), 1) : y;
}

#endif
