/* Initial values: bounds, moments, independence of memory order, and what is refused. */
#include "autograd/ops.h"
#include "nn/init.h"
#include "tensor/internal.h"
#include "tests/nn/nn_check.h"

#include <math.h>

typedef struct moments {
    double mean, variance, largest;
} moments;

static moments measure(const ito_tensor *t)
{
    int64_t n = ito_numel(t);
    double *v = malloc((size_t)n * sizeof *v), sum = 0, squares = 0, largest = 0;
    cr_assert_eq(ito_to_data(t, v, ITO_F64), ITO_OK);
    for (int64_t i = 0; i < n; i++) {
        sum += v[i];
        squares += v[i] * v[i];
        largest = fmax(largest, fabs(v[i]));
    }
    free(v);
    double mean = sum / (double)n;
    return (moments){mean, squares / (double)n - mean * mean, largest};
}

/* Of n numbers with variance s^2 the mean lies within 5 s / sqrt(n), and the variance within
 * 5 s^2 sqrt(2 / n) (normal; uniform is closer), but for one case in a million each. */
static void expect_moments(const ito_tensor *t, double mean, double variance)
{
    moments m = measure(t);
    double n = (double)ito_numel(t);
    cr_expect(fabs(m.mean - mean) < 5 * sqrt(variance / n), "mean %g", m.mean);
    cr_expect(fabs(m.variance - variance) < 5 * variance * sqrt(2 / n), "variance %g", m.variance);
}

Test(init, uniform_fills_its_interval)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *t = ito_init_uniform(ito_zeros(ITO_SHAPE(100, 100), ITO_F32), -1, 3, &g);
    expect_moments(t, 1, 16.0 / 12);
    moments m = measure(t);
    cr_expect(m.largest < 3 && m.largest > 2.99);
    cr_expect_eq(g.offset, 2500); /* four numbers a block */
}

Test(init, normal_has_its_moments)
{
    ito_generator g = ito_generator_make(1, 0);
    expect_moments(ito_init_normal(ito_zeros(ITO_SHAPE(10000), ITO_F32), 2, 3, &g), 2, 9);
    expect_moments(ito_init_normal(ito_zeros(ITO_SHAPE(10000), ITO_F64), -1, 0.1, &g), -1, 0.01);
}

/* fan_in = 20 * 9, fan_out = 60 * 9. */
Test(init, fans_count_the_receptive_field)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *t = ito_zeros(ITO_SHAPE(60, 20, 3, 3), ITO_F32);
    double glorot = 2.0 / (180 + 540);
    expect_moments(ito_init_glorot_uniform(t, 1, &g), 0, glorot);
    cr_expect(measure(t).largest <= sqrt(3 * glorot) * (1 + 1e-6)); /* one rounding to float */
    expect_moments(ito_init_glorot_uniform(t, 1e-10, &g), 0, 1e-10 * glorot);
    expect_moments(ito_init_kaiming_uniform(t, sqrt(2), &g), 0, 2.0 / 180);
    cr_expect(measure(t).largest <= sqrt(6.0 / 180) * (1 + 1e-6));
    expect_moments(ito_init_kaiming_normal(t, sqrt(2), &g), 0, 2.0 / 180);
}

Test(init, values_do_not_depend_on_memory_order)
{
    ito_generator a = ito_generator_make(5, 2), b = a;
    ito_tensor *rows = ito_init_normal(ito_zeros(ITO_SHAPE(4, 3, 3, 3), ITO_F32), 0, 1, &a);
    ito_tensor *last =
        ito_init_normal(tensor_empty_channels_last(ITO_SHAPE(4, 3, 3, 3), ITO_F32), 0, 1, &b);
    for (int64_t i = 0; i < 108; i++)
        cr_expect_eq(element(rows, i), element(last, i));
}

Test(init, constant_fills_views)
{
    ito_tensor *t = ito_zeros(ITO_SHAPE(2, 4), ITO_F32);
    ito_init_constant(ito_slice(t, 1, 0, 4, 2), 7);
    for (int64_t i = 0; i < 8; i++)
        cr_expect_eq(element(t, i), i % 2 == 0 ? 7 : 0);
}

Test(init, refuses_what_it_cannot_fill)
{
    ito_generator g = ito_generator_make(1, 0);
    cr_expect_null(ito_init_normal(ito_zeros(ITO_SHAPE(2), ITO_I64), 0, 1, &g));
    expect_error(ITO_ERR_DTYPE, "init: fills f32 or f64, not i64");
    cr_expect_null(ito_init_glorot_uniform(ito_zeros(ITO_SHAPE(4), ITO_F32), 1, &g));
    expect_error(ITO_ERR_SHAPE, "init: [4] has no fan; a weight has at least 2 axes");
    cr_expect_null(ito_init_uniform(ito_zeros(ITO_SHAPE(4), ITO_F32), 0, 1, NULL));
    expect_error(ITO_ERR_ARGUMENT, "rand: no generator");
    cr_expect_null(ito_init_constant(NULL, 1));
    cr_expect_null(ito_init_normal(NULL, 0, 1, &g));
    cr_expect_eq(ito_error_code(), ITO_OK);
}
