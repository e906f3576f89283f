/* The VAE's mathematics: divergences and likelihoods against quadrature and plain loops, and the
 * bounds against a linear model of normal data, where all of it has a closed form. */
#include "models/vae/vae.h"

#include "autograd/ops.h"
#include "nn/layers.h"
#include "tests/expect.h"

#include <math.h>

/* ---- one dimension ---- */

static double log_normal(double x, double mean, double variance)
{
    return -0.5 * log(2 * M_PI * variance) - (x - mean) * (x - mean) / (2 * variance);
}

/* The integral of q log(q / p) over the line, by the midpoint rule. */
static double divergence(double mean, double log_variance)
{
    enum { STEPS = 20000 };
    double sum = 0, v = exp(log_variance), span = 12 * sqrt(v), width = 2 * span / STEPS;
    for (int i = 0; i < STEPS; i++) {
        double z = mean - span + (i + 0.5) * width, q = log_normal(z, mean, v);
        sum += exp(q) * (q - log_normal(z, 0, 1)) * width;
    }
    return sum;
}

Test(vae, kl_is_the_integral)
{
    static const double mean[] = {0, 1, -2.5, 0.3}, log_variance[] = {0, 0, 1.2, -4};
    ito_tensor *m = ito_from_data(mean, ITO_SHAPE(4, 1), ITO_F64);
    ito_tensor *l = ito_from_data(log_variance, ITO_SHAPE(4, 1), ITO_F64);
    ito_tensor *kl = ito_vae_kl(m, l);
    const double *nats = ito_const_data(kl);
    for (int i = 0; i < 4; i++)
        cr_expect_float_eq(nats[i], divergence(mean[i], log_variance[i]), 1e-9);
    cr_expect_eq(nats[0], 0);
    cr_expect_eq(nats[1], 0.5);
    /* A code of four numbers, in whatever axes, has the sum. */
    ito_tensor *whole = ito_vae_kl(ito_reshape(m, 1, 2, 1, 2), ito_reshape(l, 1, 2, 1, 2));
    cr_assert_eq(ito_ndim(whole), 1);
    cr_expect_float_eq(ito_item(whole), nats[0] + nats[1] + nats[2] + nats[3], 1e-12);
}

/* log p(x|z) of one pixel. */
static double one_pixel(const ito_vae_likelihood *likelihood, double output, double x)
{
    ito_vae vae = {.likelihood = *likelihood};
    ito_shape one = ITO_SHAPE(1, 1);
    return ito_item(
        ito_vae_log_likelihood(&vae, ito_full(one, output, ITO_F64), ito_full(one, x, ITO_F64)));
}

static double one_mean(const ito_vae_likelihood *likelihood, double output)
{
    ito_vae vae = {.likelihood = *likelihood};
    return ito_item(ito_vae_mean(&vae, ito_full(ITO_SHAPE(1, 1), output, ITO_F64)));
}

Test(vae, bernoulli_is_a_distribution_with_its_mean)
{
    static const double logits[] = {-30, -2, 0, 0.7, 40};
    for (int i = 0; i < 5; i++) {
        double zero = exp(one_pixel(&ito_vae_bernoulli, logits[i], 0));
        double one = exp(one_pixel(&ito_vae_bernoulli, logits[i], 1));
        cr_expect_float_eq(zero + one, 1, 1e-12);
        cr_expect_float_eq(one, 1 / (1 + exp(-logits[i])), 1e-12);
        cr_expect_float_eq(one_mean(&ito_vae_bernoulli, logits[i]), one, 1e-12);
        /* A grey pixel: the mean over what it may become. */
        cr_expect_float_eq(one_pixel(&ito_vae_bernoulli, logits[i], 0.25),
                           0.75 * one_pixel(&ito_vae_bernoulli, logits[i], 0) +
                               0.25 * one_pixel(&ito_vae_bernoulli, logits[i], 1),
                           1e-12);
    }
}

Test(vae, gaussian_is_a_density_with_its_mean)
{
    ito_vae_likelihood narrow = ito_vae_gaussian, wide = ito_vae_gaussian;
    cr_expect_eq(narrow.sigma, 0.1);
    wide.sigma = 3;
    const ito_vae_likelihood *both[] = {&narrow, &wide};
    for (int i = 0; i < 2; i++) {
        double sigma = both[i]->sigma, width = sigma / 100, mass = 0, mean = 0;
        for (int k = -1000; k < 1000; k++) {
            double x = 0.4 + (k + 0.5) * width, p = exp(one_pixel(both[i], 0.4, x));
            mass += p * width;
            mean += p * x * width;
        }
        cr_expect_float_eq(mass, 1, 1e-9);
        cr_expect_float_eq(mean, one_mean(both[i], 0.4), 1e-9);
        cr_expect_float_eq(one_pixel(both[i], 0.4, 0.4 + sigma) - one_pixel(both[i], 0.4, 0.4),
                           -0.5, 1e-12);
    }
}

/* ---- a linear model of normal data ----
 * x = W z + b + sigma noise, of three numbers and a code of two: x is normal with covariance
 * W W^T + sigma^2. The columns of W are orthogonal, so the true q(z|x) has a diagonal covariance,
 * 1 / (1 + |W_j|^2 / sigma^2), and its mean is linear in x. */

enum { X = 3, Z = 2 };

static const double W[X][Z] = {{1.0, 0.5}, {-0.4, 0.8}, {0.6, -0.3}};
static const double b[X] = {0.2, -0.1, 0.4};
static const double sigma = 0.7;
static const double point[X] = {0.9, -0.7, 1.1};

static double column(int j, int k)
{
    double sum = 0;
    for (int i = 0; i < X; i++)
        sum += W[i][j] * W[i][k];
    return sum;
}

/* log N(x; b, W W^T + sigma^2), by elimination. */
static double exact_log_p(const double *x)
{
    double a[X][X + 1], log_det = 0, quadratic = 0;
    for (int i = 0; i < X; i++) {
        for (int k = 0; k < X; k++)
            a[i][k] = W[i][0] * W[k][0] + W[i][1] * W[k][1] + (i == k ? sigma * sigma : 0);
        a[i][X] = x[i] - b[i];
    }
    for (int i = 0; i < X; i++) {
        log_det += log(a[i][i]);
        quadratic += a[i][X] * a[i][X] / a[i][i];
        for (int r = i + 1; r < X; r++)
            for (int k = X; k >= i; k--)
                a[r][k] -= a[r][i] / a[i][i] * a[i][k];
    }
    return -0.5 * (X * log(2 * M_PI) + log_det + quadratic);
}

/* The model, whose q has the true means moved by `off` and the true variances times `spread`. */
static ito_vae *linear_model(double off, double spread)
{
    ito_vae *vae = ito_module_create(NULL, "", sizeof *vae);
    ito_linear_layer *encoder =
        ito_linear_create(&vae->base, "encoder", X, 2 * Z, .dtype = ITO_F64);
    ito_linear_layer *decoder = ito_linear_create(&vae->base, "decoder", Z, X, .dtype = ITO_F64);
    vae->encoder = &encoder->base;
    vae->decoder = &decoder->base;
    vae->likelihood = ito_vae_gaussian;
    vae->likelihood.sigma = sigma;
    double *to_z = ito_data(encoder->weight), *z_0 = ito_data(encoder->bias);
    double *to_x = ito_data(decoder->weight), *x_0 = ito_data(decoder->bias);
    for (int j = 0; j < Z; j++) {
        double variance = 1 / (1 + column(j, j) / (sigma * sigma));
        z_0[j] = off;
        z_0[Z + j] = log(variance * spread);
        for (int i = 0; i < X; i++) {
            to_z[X * j + i] = variance * W[i][j] / (sigma * sigma);
            z_0[j] -= to_z[X * j + i] * b[i];
            to_x[Z * i + j] = W[i][j];
            x_0[i] = b[i];
        }
    }
    return vae;
}

static ito_tensor *copies_of_point(int64_t n)
{
    return ito_expand(ito_from_data(point, ITO_SHAPE(1, X), ITO_F64), n, X);
}

typedef struct spread_of {
    double mean, error; /* of the mean: one standard deviation */
} spread_of;

static spread_of judge(ito_tensor *t)
{
    cr_assert_not_null(t, "%s", ito_error());
    double n = (double)ito_size(t, 0);
    return (spread_of){ito_item(ito_mean(t)), sqrt(ito_item(ito_var(t)) / n)};
}

/* Of a q with these errors: E_q log p(x|z) - KL(q || p). */
static double exact_elbo(double off, double spread)
{
    double sum = -X * log(sigma) - 0.5 * X * log(2 * M_PI), z[Z], v[Z];
    for (int j = 0; j < Z; j++) {
        v[j] = 1 / (1 + column(j, j) / (sigma * sigma));
        z[j] = off;
        for (int i = 0; i < X; i++)
            z[j] += v[j] * W[i][j] / (sigma * sigma) * (point[i] - b[i]);
        v[j] *= spread;
        sum -= 0.5 * v[j] * column(j, j) / (sigma * sigma) + divergence(z[j], log(v[j]));
    }
    for (int i = 0; i < X; i++) {
        double rest = point[i] - b[i] - W[i][0] * z[0] - W[i][1] * z[1];
        sum -= 0.5 * rest * rest / (sigma * sigma);
    }
    return sum;
}

Test(vae, with_the_true_posterior_every_weight_is_p)
{
    cr_assert_float_eq(column(0, 1), 0, 1e-15);
    ito_vae *vae = linear_model(0, 1);
    ito_generator g = ito_generator_make(1, 0);
    for (int64_t k = 1; k <= 100; k += 33) {
        const double *nats = ito_const_data(ito_vae_bound(vae, copies_of_point(7), k, &g));
        for (int i = 0; i < 7; i++)
            cr_expect_float_eq(nats[i], exact_log_p(point), 1e-12);
    }
    cr_expect_float_eq(exact_elbo(0, 1), exact_log_p(point), 1e-9);
    ito_module_free(&vae->base);
}

Test(vae, elbo_has_its_expectation)
{
    ito_vae *vae = linear_model(0.5, 1.5);
    ito_generator g = ito_generator_make(2, 0);
    spread_of elbo = judge(ito_vae_elbo(vae, copies_of_point(100000), &g));
    cr_expect_float_eq(elbo.mean, exact_elbo(0.5, 1.5), 5 * elbo.error);
    cr_expect_lt(elbo.error, 0.01);
    cr_expect_lt(exact_elbo(0.5, 1.5), exact_log_p(point) - 0.2, "the wrong q costs something");
    ito_module_free(&vae->base);
}

Test(vae, bound_rises_with_k_from_the_elbo_to_log_p)
{
    ito_vae *vae = linear_model(0.5, 1.5);
    ito_generator g = ito_generator_make(3, 0);
    spread_of last = judge(ito_vae_bound(vae, copies_of_point(100000), 1, &g));
    cr_expect_float_eq(last.mean, exact_elbo(0.5, 1.5), 5 * last.error);
    for (int64_t k = 2; k <= 32; k *= 4) {
        spread_of next = judge(ito_vae_bound(vae, copies_of_point(20000), k, &g));
        cr_expect_gt(next.mean, last.mean + 5 * (last.error + next.error), "k = %d", (int)k);
        cr_expect_lt(next.mean, exact_log_p(point) + 5 * next.error);
        last = next;
    }
    /* The bias falls as 1 / k: at 5000 it is below the error. */
    spread_of most = judge(ito_vae_bound(vae, copies_of_point(200), 5000, &g));
    cr_expect_float_eq(most.mean, exact_log_p(point), 5 * most.error);
    cr_expect_lt(most.error, 0.002);
    ito_module_free(&vae->base);
}

/* log w = log p(x|z) + log p(z) - log q(z|x), written out. */
Test(vae, bound_is_the_mean_of_weights)
{
    enum { N = 4, K = 3 };
    ito_vae *vae = linear_model(-0.3, 0.6);
    ito_generator g = ito_generator_make(4, 0), again = g;
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(N, X), ITO_F64), *mean, *log_variance;
    again = g;
    ito_tensor *bound = ito_vae_bound(vae, x, K, &g);
    cr_assert_eq(ito_vae_encode(vae, x, &mean, &log_variance), ITO_OK);
    const double *m = ito_const_data(ito_contiguous(mean)), *data = ito_const_data(x);
    const double *l = ito_const_data(ito_contiguous(log_variance));
    double weights[N] = {0};
    for (int k = 0; k < K; k++) {
        const double *eps = ito_const_data(ito_randn(&again, ITO_SHAPE(N, Z), ITO_F64));
        for (int n = 0; n < N; n++) {
            double log_w = 0, z[Z];
            for (int j = 0; j < Z; j++) {
                double v = exp(l[Z * n + j]);
                z[j] = m[Z * n + j] + sqrt(v) * eps[Z * n + j];
                log_w += log_normal(z[j], 0, 1) - log_normal(z[j], m[Z * n + j], v);
            }
            for (int i = 0; i < X; i++)
                log_w += log_normal(data[X * n + i], b[i] + W[i][0] * z[0] + W[i][1] * z[1],
                                    sigma * sigma);
            weights[n] += exp(log_w) / K;
        }
    }
    for (int n = 0; n < N; n++)
        cr_expect_float_eq(((const double *)ito_const_data(bound))[n], log(weights[n]), 1e-12);
    ito_module_free(&vae->base);
}

Test(vae, elbo_is_made_of_its_parts)
{
    ito_vae *vae = linear_model(0.2, 2);
    ito_generator g = ito_generator_make(5, 0), same = g, third = g;
    ito_tensor *x = copies_of_point(3), *mean, *log_variance;
    const double *whole = ito_const_data(ito_vae_elbo(vae, x, &g, .beta = 4));
    const double *without = ito_const_data(ito_vae_elbo(vae, x, &third, .beta = 0));
    cr_assert_eq(ito_vae_encode(vae, x, &mean, &log_variance), ITO_OK);
    ito_tensor *z = ito_vae_draw(mean, log_variance, &same);
    cr_expect_eq(memcmp(&g, &same, sizeof g), 0, "both draw once");
    const double *nats = ito_const_data(ito_vae_log_likelihood(vae, ito_vae_decode(vae, z), x));
    const double *kl = ito_const_data(ito_vae_kl(mean, log_variance));
    for (int n = 0; n < 3; n++) {
        cr_expect_float_eq(whole[n], nats[n] - 4 * kl[n], 1e-12);
        cr_expect_eq(without[n], nats[n], "0 is 0");
    }
    ito_module_free(&vae->base);
}

/* Moments of draws: mean and variance. */
Test(vae, draws_are_normal)
{
    enum { N = 100000 };
    ito_generator g = ito_generator_make(6, 0);
    ito_tensor *mean = ito_full(ITO_SHAPE(N), 2.5, ITO_F64);
    ito_tensor *z = ito_vae_draw(mean, ito_full(ITO_SHAPE(N), log(9), ITO_F64), &g);
    cr_expect_float_eq(ito_item(ito_mean(z)), 2.5, 5 * 3 / sqrt(N));
    cr_expect_float_eq(ito_item(ito_var(z)), 9, 5 * 9 * sqrt(2.0 / N));
}

/* ---- refusals ---- */

static ito_tensor *to_three(ito_tensor *x)
{
    return ito_narrow(ito_cat(ITO_TENSORS(x, x), 1), 1, 0, 3);
}

Test(vae, refuses_what_does_not_fit)
{
    ito_vae *vae = linear_model(0, 1), bare = {.image = ITO_SHAPE()};
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *x = copies_of_point(2), *z = ito_zeros(ITO_SHAPE(2, Z), ITO_F64), *m, *l;
    expect_refused(ito_vae_elbo(&bare, x, &g), ITO_ERR_ARGUMENT, "vae: the model has no encoder");
    expect_refused(ito_vae_decode(&bare, z), ITO_ERR_ARGUMENT, "vae: the model has no decoder");
    expect_refused(ito_vae_mean(&bare, x), ITO_ERR_ARGUMENT, "vae: the model has no likelihood");
    bare.likelihood.log_prob = ito_vae_gaussian.log_prob;
    expect_refused(ito_vae_mean(&bare, x), ITO_ERR_ARGUMENT, "vae: the likelihood has no mean");
    bare.likelihood.log_prob = NULL;
    expect_refused(ito_vae_log_likelihood(&bare, x, x), ITO_ERR_ARGUMENT,
                   "vae: the model has no likelihood");
    expect_refused(ito_vae_log_likelihood(vae, z, x), ITO_ERR_SHAPE,
                   "vae: the decoder gives [2, 2] of data [2, 3]");
    expect_refused(ito_vae_bound(vae, x, 0, &g), ITO_ERR_RANGE,
                   "vae_bound: k is 0; it must be at least 1");
    expect_refused(ito_vae_elbo(vae, x, &g, .beta = -1), ITO_ERR_RANGE,
                   "vae_elbo: beta is -1; it must be finite and at least 0");
    expect_refused(ito_vae_elbo(vae, x, &g, .beta = (double)NAN), ITO_ERR_RANGE,
                   "vae_elbo: beta is nan; it must be finite and at least 0");
    vae->likelihood.sigma = 0;
    expect_refused(ito_vae_elbo(vae, x, &g), ITO_ERR_RANGE,
                   "vae: sigma is 0; it must be positive and finite");
    vae->likelihood = ito_vae_bernoulli;
    expect_refused(ito_vae_elbo(vae, x, &g), ITO_ERR_RANGE,
                   "vae: pixels of ito_vae_bernoulli are in [0, 1], not -0.7");
    expect_refused(ito_vae_elbo(vae, ito_abs(x), &g), ITO_ERR_RANGE,
                   "vae: pixels of ito_vae_bernoulli are in [0, 1], not 1.1");
    vae->encoder = &ito_activation_create(&vae->base, "three", to_three)->base;
    cr_expect_eq(ito_vae_encode(vae, x, &m, &l), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "vae: the encoder gives [2, 3]; axis 1 holds the means, then as "
                                "many log variances");
    ito_vae_encode(NULL, x, &m, &l);
    expect_error(ITO_ERR_ARGUMENT, "vae_encode: vae is NULL");
    ito_vae_encode(vae, NULL, &m, &l);
    expect_error(ITO_ERR_ARGUMENT, "vae_encode: x is NULL");
    ito_vae_encode(vae, x, NULL, &l);
    expect_error(ITO_ERR_ARGUMENT, "vae_encode: mean is NULL");
    ito_vae_encode(vae, x, &m, NULL);
    expect_error(ITO_ERR_ARGUMENT, "vae_encode: log_variance is NULL");
    ito_module_free(&vae->base);
}
