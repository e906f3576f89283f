/* softmax and log_softmax against the definition in long double, and their laws. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static const double EXACT = 1e-14;    /* exp within an ulp and a sum of up to 70 terms, in double */
static const double F32_ROUND = 3e-7; /* some ulps of float */

static ito_tensor *softmax(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    return ito_softmax(in[0], *(const int *)context);
}

static ito_tensor *log_softmax(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    return ito_log_softmax(in[0], *(const int *)context);
}

/* x [outer, n, inner] over its middle axis. */
static void check_axis(int64_t outer, int64_t n, int64_t inner)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(outer, n, inner), -9, 9, 1);
    const double *v = ito_const_data(x);
    double *p = malloc((size_t)(outer * n * inner + 1) * sizeof *p);
    double *logs = malloc((size_t)(outer * n * inner + 1) * sizeof *logs);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            long double sum = 0;
            for (int64_t k = 0; k < n; k++)
                sum += expl((long double)v[(o * n + k) * inner + i]);
            for (int64_t k = 0; k < n; k++) {
                int64_t at = (o * n + k) * inner + i;
                p[at] = (double)(expl((long double)v[at]) / sum);
                logs[at] = (double)((long double)v[at] - logl(sum));
            }
        }
    assert_elements(ito_softmax(x, 1), p, outer * n * inner, EXACT, "softmax");
    assert_elements(ito_log_softmax(x, 1), logs, outer * n * inner, EXACT, "log_softmax");
    free(p);
    free(logs);
}

static void check_axes(void)
{
    static const int64_t sizes[] = {0, 1, 2, 3, 7, 31, 63};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_axis(2, sizes[i], 1);
        check_axis(2, sizes[i], 3);
    }
    check_axis(0, 3, 2);
}

void case_softmax(void)
{
    check_axes();
    int axis = 1;
    op_check_run((op_check){.what = "softmax",
                            .f = softmax,
                            .context = &axis,
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 5, 2)},
                            .gradient_roundings = 3, /* y, by itself and in the sum */
                            .large = {ITO_SHAPE(700, 257)}});
    int last = -1;
    op_check_run((op_check){.what = "softmax, last axis",
                            .f = softmax,
                            .context = &last,
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 9)},
                            .gradient_roundings = 3});
    cr_assert_null(ito_softmax(ito_zeros(ITO_SHAPE(2, 3), ITO_F32), 2));
    assert_error(ITO_ERR_RANGE, "softmax: axis 2 of a tensor of 2 axes");
}

void case_log_softmax(void)
{
    int axis = 0;
    op_check_run((op_check){.what = "log_softmax",
                            .f = log_softmax,
                            .context = &axis,
                            .n = 1,
                            .shape = {ITO_SHAPE(5, 3)},
                            .gradient_roundings = 3, /* y in the exponent, with exp(y) |y| < 0.4 */
                            .large = {ITO_SHAPE(257, 700)}});
    cr_assert_null(ito_log_softmax(ito_zeros(ITO_SHAPE(2, 3), ITO_F32), -3));
    assert_error(ITO_ERR_RANGE, "log_softmax: axis -3 of a tensor of 2 axes");
}

Test(ops_softmax, of_a_number_is_one)
{
    cr_assert_eq(ito_item(ito_softmax(ito_scalar(-7, ITO_F32), 0)), 1.0);
    cr_assert_eq(ito_item(ito_log_softmax(ito_scalar(-7, ITO_F32), -1)), 0.0);
}

Test(ops_softmax, does_not_change_when_all_are_shifted)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(5, 37), -3, 3, 1);
    ito_tensor *shifted = ito_add_scalar(x, 1000);
    assert_close(ito_softmax(shifted, 1), ito_softmax(x, 1), 1e-12,
                 "shift"); /* 1000 costs 10 bits */
    assert_close(ito_log_softmax(shifted, 1), ito_log_softmax(x, 1), 1e-12, "shift");
}

Test(ops_softmax, large_numbers_stay_finite)
{
    float v[] = {1000, 1000, -1000, 88, 90, 120};
    ito_tensor *x = ito_from_data(v, ITO_SHAPE(2, 3), ITO_F32);
    assert_elements(ito_softmax(x, 1), (double[]){0.5, 0.5, 0, exp(-32.0), exp(-30.0), 1}, 6,
                    F32_ROUND, "softmax");
    assert_elements(ito_log_softmax(x, 1),
                    (double[]){-log(2.0), -log(2.0), -2000 - log(2.0), -32, -30, 0}, 6, F32_ROUND,
                    "log_softmax");
}

Test(ops_softmax, infinities_and_nan_follow_the_formula)
{
    double inf = (double)INFINITY, nan = (double)NAN;
    double v[] = {-inf, 0, -inf, -inf, -inf, -inf, inf, 0, 1, nan, 0, 1, 0, 1, nan};
    ito_tensor *x = ito_from_data(v, ITO_SHAPE(5, 3), ITO_F64);
    double want[] = {0, 1, 0, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan};
    /* infinity - infinity is NaN, exp(0 - infinity) is 0, and the sum is NaN */
    assert_elements(ito_softmax(x, 1), want, 15, EXACT, "softmax");
    assert_elements(ito_softmax(ito_cast(x, ITO_F32), 1), want, 15, F32_ROUND, "softmax");
}

Test(ops_softmax, a_masked_key_gets_no_gradient)
{
    double v[] = {1, -(double)INFINITY, 2};
    ito_tensor *x = ito_requires_grad(ito_from_data(v, ITO_SHAPE(3), ITO_F64), true);
    ito_tensor *dy = random_tensor(ITO_SHAPE(3), -1, 1, 1);
    cr_assert_eq(ito_backward(ito_softmax(x, 0), .cotangent = dy), ITO_OK);
    const double *g = ito_const_data(ito_grad_of(x));
    cr_assert_eq(g[1], 0.0);
    cr_assert_float_eq(g[0] + g[2], 0.0, EXACT);
}
