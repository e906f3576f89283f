/* Data N(mean, covariance) in three dimensions and their best network. Along the reflection Q the
 * covariance is diagonal, with variances lambda, so the noisy data have
 *     x_0-hat = mean + Q g Q (x_t - signal mean),  g = signal lambda / (signal^2 lambda + noise^2)
 * and eps-hat = (x_t - signal x_0-hat) / noise. On the probability flow each
 *     z = Q (u - cos mean) / sqrt(cos^2 lambda + sin^2)
 * is constant: variances grow as they do, and the flow of Gaussian data is affine. */
#ifndef ITO_TESTS_CORRELATED_H
#define ITO_TESTS_CORRELATED_H

#include "autograd/ops.h"
#include "models/ddpm/diffusion.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>

enum { CORRELATED = 3 };

static const double correlated_mean[CORRELATED] = {0.3, -0.2, 0.1};
static const double correlated_lambda[CORRELATED] = {0.5, 0.1, 0.02};
static const double correlated_Q[CORRELATED][CORRELATED] = {
    {7.0 / 9, -4.0 / 9, -4.0 / 9}, {-4.0 / 9, 1.0 / 9, -8.0 / 9}, {-4.0 / 9, -8.0 / 9, 1.0 / 9}};

/* Q v */
static inline void correlated_reflect(const double *v, double *out)
{
    for (int i = 0; i < CORRELATED; i++) {
        out[i] = 0;
        for (int j = 0; j < CORRELATED; j++)
            out[i] += correlated_Q[i][j] * v[j];
    }
}

/* The variance of direction j of noisy data. */
static inline double correlated_variance(ito_level at, int j)
{
    return at.signal * at.signal * correlated_lambda[j] + at.noise * at.noise;
}

typedef struct correlated_network {
    ito_network base;
    const ito_diffusion *d;
} correlated_network;

/* What is predicted, from its definition in the papers, given x_0-hat and eps-hat. */
static inline ito_tensor *correlated_output(const ito_diffusion *d, const ito_step *s,
                                            ito_tensor *x_t, ito_tensor *x_0, ito_tensor *eps)
{
    double A = s->at.signal, N = s->at.noise;
    const ito_prediction *p = d->prediction;
    if (p->target == ito_prediction_eps.target)
        return eps;
    if (p->target == ito_prediction_x_0.target)
        return x_0;
    if (p->target == ito_prediction_v.target)
        return ito_axpby(A, eps, -N, x_0);
    if (p->target == ito_prediction_score.target)
        return ito_mul_scalar(eps, -1 / N);
    if (p->target == ito_prediction_flow.target)
        return ito_axpby(1, eps, -1, x_0);
    if (p->target == ito_prediction_edm.target) {
        double sigma = N / A, sd = p->sigma_data, both = sigma * sigma + sd * sd;
        double c_out = sigma * sd / sqrt(both);
        return ito_axpby(1 / c_out, x_0, -sd * sd / both / A / c_out, x_t);
    }
    double ab = A * A, before = s->before.signal * s->before.signal, alpha = ab / before;
    return ito_axpby(sqrt(before) * (1 - alpha) / (1 - ab), x_0,
                     sqrt(alpha) * (1 - before) / (1 - ab), x_t);
}

static inline ito_tensor *correlated_evaluate(ito_network *self, const ito_network_input *in)
{
    const correlated_network *c = (const correlated_network *)self;
    ito_step s = ito_step_between(c->d->process, input_time(in, 0), c->d->process->t_clean);
    double matrix[CORRELATED][CORRELATED];
    for (int i = 0; i < CORRELATED; i++)
        for (int j = 0; j < CORRELATED; j++) {
            matrix[i][j] = 0;
            for (int k = 0; k < CORRELATED; k++)
                matrix[i][j] += correlated_Q[i][k] * s.at.signal * correlated_lambda[k] /
                                correlated_variance(s.at, k) * correlated_Q[k][j];
        }
    ito_dtype dtype = ito_dtype_of(in->x_t);
    ito_tensor *mean = ito_from_data(correlated_mean, ITO_SHAPE(1, CORRELATED), ITO_F64);
    ito_tensor *M = ito_from_data(matrix, ITO_SHAPE(CORRELATED, CORRELATED), ITO_F64);
    mean = ito_cast(mean, dtype);
    ito_tensor *off = ito_sub(in->x_t, ito_mul_scalar(mean, s.at.signal));
    ito_tensor *x_0 = ito_add(mean, ito_matmul(off, ito_cast(M, dtype)));
    ito_tensor *eps = ito_axpby(1 / s.at.noise, in->x_t, -s.at.signal / s.at.noise, x_0);
    return correlated_output(c->d, &s, in->x_t, x_0, eps);
}

static inline correlated_network correlated_make(const ito_diffusion *d)
{
    return (correlated_network){{.evaluate = correlated_evaluate}, d};
}

/* log p(x) of the data with noise of this variance added. */
static inline double correlated_log_density(const double *x, double noise_variance)
{
    double off[CORRELATED], z[CORRELATED], sum = 0;
    for (int j = 0; j < CORRELATED; j++)
        off[j] = x[j] - correlated_mean[j];
    correlated_reflect(off, z);
    for (int j = 0; j < CORRELATED; j++) {
        double variance = correlated_lambda[j] + noise_variance;
        sum -= 0.5 * (z[j] * z[j] / variance + log(2 * M_PI * variance));
    }
    return sum;
}

/* Where the flow that is at x / signal = y at one level is at the other, in the plane of u; the sum
 * of log |du_to/du_from|. */
static inline double correlated_flow(const double *u_from, ito_level from, ito_level to,
                                     double *u_to)
{
    double size = hypot(from.signal, from.noise), to_size = hypot(to.signal, to.noise), sum = 0;
    double off[CORRELATED], z[CORRELATED];
    for (int j = 0; j < CORRELATED; j++)
        off[j] = u_from[j] - from.signal / size * correlated_mean[j];
    correlated_reflect(off, z);
    for (int j = 0; j < CORRELATED; j++) {
        double growth =
            sqrt(correlated_variance(to, j) / correlated_variance(from, j)) * size / to_size;
        z[j] *= growth;
        sum += log(growth);
    }
    correlated_reflect(z, u_to);
    for (int j = 0; j < CORRELATED; j++)
        u_to[j] += to.signal / to_size * correlated_mean[j];
    return sum;
}

/* [n, 3] f64: points about where the data are. */
static inline ito_tensor *correlated_points(int64_t n)
{
    ito_generator g = ito_generator_make(11, 0);
    ito_tensor *z = ito_randn(&g, ITO_SHAPE(n, CORRELATED), ITO_F64);
    for (int64_t i = 0; z != NULL && i < n; i++) {
        double *v = (double *)ito_data(z) + CORRELATED * i, scaled[CORRELATED];
        for (int j = 0; j < CORRELATED; j++)
            scaled[j] = sqrt(correlated_lambda[j]) * v[j];
        correlated_reflect(scaled, v);
        for (int j = 0; j < CORRELATED; j++)
            v[j] += correlated_mean[j];
    }
    return z;
}

#endif
