/* Draws follow their distributions. N of them, so a mean lies within five of its standard errors of
 * what it should be with probability 1 - 6e-7; seeds are fixed, so a test that passes stays so. */
#include "ito.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { N = 40000 };

/* Of N numbers: their mean and variance are those given, kurtosis being that of one number
 * (E (x - mean)^4 / variance^2), which is what the variance's own error hangs on. */
static void assert_moments(ito_tensor *x, double mean, double variance, double kurtosis)
{
    cr_assert_not_null(x, "%s", ito_error());
    double m = ito_item(ito_mean(ito_cast(x, ITO_F64))),
           v = ito_item(ito_var(ito_cast(x, ITO_F64)));
    double mean_error = sqrt(variance / N), variance_error = variance * sqrt((kurtosis - 1) / N);
    cr_assert_float_eq(m, mean, 5 * mean_error, "mean %g, not %g", m, mean);
    cr_assert_float_eq(v, variance, 5 * variance_error, "variance %g, not %g", v, variance);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov's: the empirical distribution function lies within 2.8 / sqrt(N) of the true one with
 * probability 1 - 3e-7. */
static void assert_distribution(ito_tensor *x, double (*distribution)(double))
{
    double *v = malloc(N * sizeof *v), worst = 0;
    cr_assert_eq(ito_to_data(x, v, ITO_F64), ITO_OK, "%s", ito_error());
    qsort(v, N, sizeof *v, ascending);
    for (int i = 0; i < N; i++) {
        double p = distribution(v[i]);
        worst = fmax(worst, fmax(fabs(p - (double)i / N), fabs(p - (double)(i + 1) / N)));
    }
    free(v);
    cr_assert_lt(worst * sqrt(N), 2.8, "%g", worst * sqrt(N));
}

static ito_tensor *all(double value)
{
    return ito_full(ITO_SHAPE(N), value, ITO_F64);
}

static double normal_function(double x)
{
    return 0.5 * erfc(-(x - 1) / 2 / M_SQRT2);
}

static double laplace_function(double x)
{
    return x < 1 ? 0.5 * exp((x - 1) / 2) : 1 - 0.5 * exp(-(x - 1) / 2);
}

static double gumbel_function(double x)
{
    return exp(-exp(-(x - 1) / 2));
}

static double exponential_function(double x)
{
    return 1 - exp(-2 * x);
}

/* Of gamma's with concentration 3: one minus the first terms of exp(x), over exp(x). */
static double gamma_function(double x)
{
    return 1 - exp(-x) * (1 + x + x * x / 2);
}

static double beta_function(double x) /* a = 2, b = 1 */
{
    return x * x;
}

Test(random_draws, continuous_ones_have_their_distribution)
{
    ito_generator g = ito_generator_make(1, 2);
    assert_distribution(ito_normal(all(1), all(2), &g), normal_function);
    assert_distribution(ito_laplace(all(1), all(2), &g), laplace_function);
    assert_distribution(ito_gumbel(all(1), all(2), &g), gumbel_function);
    assert_distribution(ito_exponential(all(2), &g), exponential_function);
    assert_distribution(ito_standard_gamma(all(3), &g), gamma_function);
    assert_distribution(ito_beta(all(2), all(1), &g), beta_function);
}

Test(random_draws, moments_are_those_of_the_distribution)
{
    ito_generator g = ito_generator_make(3, 4);
    static const double concentrations[] = {0.1, 0.9, 7, 300};
    for (int i = 0; i < 4; i++) {
        double a = concentrations[i];
        assert_moments(ito_standard_gamma(all(a), &g), a, a, 3 + 6 / a);
    }
    static const double rates[] = {0.2, 3, 9.9, 10, 25, 4000};
    for (int i = 0; i < 6; i++)
        assert_moments(ito_poisson(all(rates[i]), &g), rates[i], rates[i], 3 + 1 / rates[i]);
    assert_moments(ito_bernoulli_of(all(0.3), &g), 0.3, 0.21, 1 / 0.21 - 3);
    assert_moments(ito_rademacher(ITO_SHAPE(N), ITO_I64, &g), 0, 1, 1.5);
    ito_tensor *d = ito_dirichlet(ito_full(ITO_SHAPE(N, 4), 0.5, ITO_F64), &g);
    assert_close(ito_sum(d, .dims = ITO_DIMS(-1)), all(1), 1e-14, "sums");
    assert_moments(ito_select(d, 1, 2), 0.25, 0.0625, 6); /* Beta(0.5, 1.5): kurtosis 2.7 */
}

Test(random_draws, poisson_counts_have_their_probabilities)
{
    ito_generator g = ito_generator_make(5, 6);
    static const double rates[] = {4, 15};
    for (int r = 0; r < 2; r++) {
        ito_tensor *x = ito_poisson(all(rates[r]), &g);
        const double *v = ito_const_data(x);
        for (int k = 0; k < 30; k++) {
            double p = exp(k * log(rates[r]) - rates[r] - lgamma(k + 1)), count = 0;
            for (int i = 0; i < N; i++)
                count += v[i] == k;
            cr_assert_float_eq(count, N * p, 5 * sqrt(N * p) + 1, "rate %g: %g of %d, not %g",
                               rates[r], count, k, N * p);
        }
    }
}

/* How often each of 4 classes comes, against these probabilities. */
static void assert_frequencies(ito_tensor *index, const double *p, int64_t draws)
{
    index = ito_contiguous(index);
    cr_assert_not_null(index, "%s", ito_error());
    const int64_t *v = ito_const_data(index);
    for (int k = 0; k < 4; k++) {
        double count = 0, n = (double)draws;
        for (int64_t i = 0; i < draws; i++)
            count += v[i] == k;
        cr_assert_float_eq(count, n * p[k], 5 * sqrt(n * p[k] * (1 - p[k])) + 1e-9, "%g of %d",
                           count, k);
    }
}

Test(random_draws, classes_have_their_probabilities)
{
    static const double p[] = {0.1, 0.4, 0, 0.5};
    ito_generator g = ito_generator_make(7, 8);
    ito_tensor *row = ito_from_data(p, ITO_SHAPE(1, 4), ITO_F64);
    ito_tensor *rows = ito_expand(row, N, 4);
    assert_frequencies(ito_categorical(ito_log(rows), &g), p, N);
    assert_frequencies(ito_multinomial(row, N, &g, .replacement = true), p, N);
    assert_frequencies(ito_select(ito_multinomial(rows, 3, &g), 1, 0), p, N);
    /* the second draw: p_j times the sum of p_i / (1 - p_i) over the others */
    double second[4];
    for (int j = 0; j < 4; j++) {
        second[j] = 0;
        for (int i = 0; i < 4; i++)
            second[j] += i == j ? 0 : p[j] * p[i] / (1 - p[i]);
    }
    assert_frequencies(ito_select(ito_multinomial(rows, 2, &g), 1, 1), second, N);
    ito_tensor *soft = ito_gumbel_softmax(ito_log(rows), &g, .hard = true);
    assert_frequencies(ito_argmax(soft, .dim = -1), p, N);
}

Test(random_draws, hard_gumbel_softmax_is_one_hot_with_the_soft_gradient)
{
    ito_generator g = ito_generator_make(9, 10), again = g;
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(5, 4), -1, 1, 1), true);
    ito_tensor *w = random_tensor(ITO_SHAPE(5, 4), -1, 1, 2);
    ito_tensor *hard = ito_gumbel_softmax(x, &g, .tau = 0.5, .hard = true);
    ito_tensor *soft = ito_gumbel_softmax(x, &again, .tau = 0.5);
    assert_close(ito_max(ito_detach(hard), .dims = ITO_DIMS(1)), ito_ones(ITO_SHAPE(5), ITO_F64),
                 1e-15, "1");
    assert_close(ito_sum(ito_detach(hard), .dims = ITO_DIMS(1)), ito_ones(ITO_SHAPE(5), ITO_F64),
                 1e-15, "0");
    assert_close(ito_grad(hard, x, .cotangent = w), ito_grad(soft, x, .cotangent = w), 1e-15, "dx");
}

Test(random_draws, no_index_comes_twice_without_replacement)
{
    ito_generator g = ito_generator_make(11, 12);
    ito_tensor *index = ito_multinomial(ito_rand(&g, ITO_SHAPE(50, 9), ITO_F32), 9, &g);
    ito_tensor *sorted = ito_sum(ito_one_hot(index, 9, ITO_F64), .dims = ITO_DIMS(1));
    assert_close(sorted, ito_ones(ITO_SHAPE(50, 9), ITO_F64), 0, "each index once");
}

/* A draw advances the generator, and each dtype takes the same numbers. */
Test(random_draws, numbers_are_the_same_in_each_dtype)
{
    ito_generator g = ito_generator_make(13, 14), h = g;
    ito_tensor *a = ito_full(ITO_SHAPE(50), 1.5, ITO_F64), *b = ito_cast(a, ITO_F32);
    for (int i = 0; i < 3; i++) { /* f32 rounds what f64 draws */
        assert_close(ito_standard_gamma(b, &h), ito_standard_gamma(a, &g), 0x1p-23, "gamma");
        assert_close(ito_exponential(b, &h), ito_exponential(a, &g), 0x1p-22, "exponential");
        assert_close(ito_poisson(b, &h), ito_poisson(a, &g), 0, "poisson");
        cr_assert_eq(g.offset, h.offset);
    }
    cr_assert_gt(g.offset, 0);
}

Test(random_draws, second_derivative_of_gamma_is_refused)
{
    ito_generator g = ito_generator_make(15, 16);
    ito_tensor *a = ito_requires_grad(ito_full(ITO_SHAPE(3), 2, ITO_F64), true);
    ito_tensor *slope = ito_grad(ito_sum(ito_standard_gamma(a, &g)), a, .create_graph = true);
    cr_assert_not_null(slope, "%s", ito_error());
    cr_assert_null(ito_grad(ito_sum(slope), a));
    assert_error(ITO_ERR_GRAD, "standard_gamma: has no second derivative");
}

/* Extremes of the concentration: nothing is NaN, and what is below the smallest number is that. */
Test(random_draws, extreme_concentrations_give_numbers)
{
    ito_generator g = ito_generator_make(17, 18);
    double v[] = {1e-8, 1e-3, 1, 1e5, 1e9};
    ito_tensor *a = ito_requires_grad(ito_from_data(v, ITO_SHAPE(5), ITO_F64), true);
    ito_tensor *x = ito_standard_gamma(a, &g), *slope = ito_grad(ito_sum(x), a);
    const double *sample = ito_const_data(x), *s = ito_const_data(slope);
    for (int i = 0; i < 5; i++)
        cr_assert(isfinite(sample[i]) && sample[i] > 0 && isfinite(s[i]) && s[i] >= 0, "%g: %g, %g",
                  v[i], sample[i], s[i]);
    cr_assert_float_eq(sample[4] / 1e9, 1, 3e-4); /* nine standard deviations */
}
