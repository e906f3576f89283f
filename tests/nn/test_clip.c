/* Clipping: the norm against a plain sum, and what happens to the gradients. */
#include "autograd/ops.h"
#include "nn/optim.h"
#include "tests/nn/nn_check.h"

#include <math.h>

enum { BIG = 70001, SMALL = 13 };

static ito_module *model(ito_tensor **big, ito_tensor **small)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    *big = ito_module_parameter(m, "big", ito_zeros(ITO_SHAPE(BIG), ITO_F32));
    *small = ito_module_parameter(m, "small", ito_zeros(ITO_SHAPE(SMALL), ITO_F32));
    cr_assert_eq(ito_module_flatten(m), ITO_OK, "%s", ito_error());
    ito_generator g = ito_generator_make(4, 0);
    fill_gradient(*big, ito_data(ito_randn(&g, ITO_SHAPE(BIG), ITO_F32)));
    fill_gradient(*small, ito_data(ito_randn(&g, ITO_SHAPE(SMALL), ITO_F32)));
    return m;
}

static double square_sum(ito_tensor *parameter)
{
    const float *g = ito_const_data(ito_grad_of(parameter));
    long double sum = 0;
    for (int64_t i = 0; i < ito_numel(parameter); i++)
        sum += (long double)g[i] * (long double)g[i];
    return (double)sum;
}

Test(clip, returns_the_norm_before_and_scales_to_the_limit)
{
    ito_tensor *big, *small;
    ito_module *m = model(&big, &small);
    double wanted = sqrt(square_sum(big) + square_sum(small));
    float first = *(const float *)ito_const_data(ito_grad_of(big));
    double norm = ito_clip_grad_norm(m, 2);
    cr_expect(fabs(norm - wanted) < 1e-12 * wanted); /* double sums of 70,000 terms */
    double scaled = (double)first * 2 / (wanted + 1e-6);
    cr_expect(fabs((double)*(const float *)ito_const_data(ito_grad_of(big)) - scaled) <
              1e-6 * fabs(scaled)); /* the factor and the product are rounded to float */
    double after = sqrt(square_sum(big) + square_sum(small));
    cr_expect(fabs(after - 2) < 1e-5);
    ito_module_free(m);
}

Test(clip, leaves_gradients_within_the_limit_alone)
{
    ito_tensor *big, *small;
    ito_module *m = model(&big, &small);
    double before = square_sum(big);
    double norm = ito_clip_grad_norm(m, 1e9);
    cr_expect_eq(square_sum(big), before);
    cr_expect_eq(ito_clip_grad_norm(m, (double)INFINITY), norm);
    cr_expect_eq(square_sum(big), before);
    ito_module_free(m);
}

Test(clip, the_norm_has_the_same_bits_for_any_number_of_threads)
{
    ito_tensor *big, *small;
    ito_module *m = model(&big, &small);
    ito_set_threads(1);
    double one = ito_clip_grad_norm(m, (double)INFINITY);
    for (int threads = 2; threads <= 7; threads += 5) {
        ito_set_threads(threads);
        cr_expect_eq(ito_clip_grad_norm(m, (double)INFINITY), one);
    }
    ito_module_free(m);
}

Test(clip, leaves_gradients_that_are_not_finite_alone)
{
    ito_tensor *big, *small;
    ito_module *m = model(&big, &small);
    float *g = ito_data(ito_grad_of(small));
    double before = square_sum(big);
    g[3] = INFINITY;
    cr_expect_eq(ito_clip_grad_norm(m, 1), (double)INFINITY);
    cr_expect_eq(square_sum(big), before);
    g[3] = NAN;
    cr_expect(isnan(ito_clip_grad_norm(m, 1)));
    cr_expect_eq(square_sum(big), before);
    cr_expect_eq(ito_error_code(), ITO_OK);
    ito_module_free(m);
}

Test(clip, frozen_parameters_do_not_count)
{
    ito_tensor *big, *small;
    ito_module *m = model(&big, &small);
    ito_requires_grad(big, false);
    double wanted = sqrt(square_sum(small)), before = square_sum(big);
    cr_expect(fabs(ito_clip_grad_norm(m, 0.5) - wanted) < 1e-12 * wanted);
    cr_expect_eq(square_sum(big), before);
    ito_module_free(m);
}

Test(clip, gradients_of_zero_have_norm_zero)
{
    ito_tensor *big, *small;
    ito_module *m = model(&big, &small);
    ito_module_zero_grad(m);
    cr_expect_eq(ito_clip_grad_norm(m, 1), 0);
    ito_module_free(m);
}

Test(clip, works_in_f64)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_tensor *p = ito_module_parameter(m, "p", ito_zeros(ITO_SHAPE(2), ITO_F64));
    cr_assert_eq(ito_module_flatten(m), ITO_OK);
    double *g = ito_data(ito_grad_of(p));
    g[0] = 3;
    g[1] = 4;
    cr_expect_eq(ito_clip_grad_norm(m, 1), 5);
    cr_expect(fabs(g[0] - 3 / (5 + 1e-6)) < 1e-15);
    ito_module_free(m);
}

Test(clip, a_limit_of_zero_makes_gradients_zero)
{
    ito_tensor *big, *small;
    ito_module *m = model(&big, &small);
    double wanted = sqrt(square_sum(big) + square_sum(small));
    cr_expect(fabs(ito_clip_grad_norm(m, 0) - wanted) < 1e-12 * wanted);
    cr_expect_eq(square_sum(big), 0);
    cr_expect_eq(square_sum(small), 0);
    ito_module_free(m);
}

Test(clip, refuses_limits_that_are_negative)
{
    ito_tensor *big, *small;
    ito_module *m = model(&big, &small);
    cr_expect(isnan(ito_clip_grad_norm(m, -1)));
    expect_error(ITO_ERR_RANGE, "clip_grad_norm: max_norm -1 is negative or not a number");
    cr_expect(isnan(ito_clip_grad_norm(m, (double)NAN)));
    expect_error(ITO_ERR_RANGE, "clip_grad_norm: max_norm nan is negative or not a number");
    ito_module_free(m);
}
