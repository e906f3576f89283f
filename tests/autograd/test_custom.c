/* Operations defined outside the library. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>

typedef struct power_params {
    double exponent;
} power_params;

static ito_tensor *power_forward(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    return ito_pow_scalar(in[0], ((const power_params *)params)->exponent);
}

static ito_tensor *power_backward(int64_t i, ito_tensor *const *in, int64_t n, ito_tensor *y,
                                  ito_tensor *dy, const void *params)
{
    (void)i, (void)n, (void)y;
    double p = ((const power_params *)params)->exponent;
    return ito_mul(dy, ito_mul_scalar(ito_pow_scalar(in[0], p - 1), p));
}

static const ito_custom_op power = {.name = "power",
                                    .forward = power_forward,
                                    .backward = power_backward,
                                    .params_size = sizeof(power_params)};

static ito_tensor *cube(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)unused;
    return ito_custom(&power, in, n, &(power_params){3});
}

Test(custom, is_differentiated_like_any_other)
{
    op_check_run((op_check){.what = "power",
                            .f = cube,
                            .n = 1,
                            .shape = {ITO_SHAPE(3, 2)},
                            .low = 0.5,
                            .high = 2,
                            .gradient_roundings = 3});
}

static ito_tensor *pass_through(ito_tensor *const *in, int64_t n, const void *unused)
{
    (void)n, (void)unused;
    return in[0];
}

static ito_tensor *straight_through(int64_t i, ito_tensor *const *in, int64_t n, ito_tensor *y,
                                    ito_tensor *dy, const void *unused)
{
    (void)i, (void)in, (void)n, (void)y, (void)unused;
    return dy;
}

Test(custom, may_return_its_input)
{
    const ito_custom_op op = {.name = "id", .forward = pass_through, .backward = straight_through};
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(2), ITO_F64), true);
    ito_tensor *y = ito_custom(&op, &x, 1, NULL);
    cr_assert_neq(x, y);
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
    assert_elements(ito_grad_of(x), (double[]){1, 1}, 2, 0, "identity");
}

Test(custom, without_a_backward_it_refuses_to_need_one)
{
    const ito_custom_op op = {.name = "opaque", .forward = pass_through};
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(2), ITO_F64), true);
    cr_assert_null(ito_custom(&op, &x, 1, NULL));
    assert_error(ITO_ERR_GRAD, "opaque: has no gradient, and an input requires one");
    ito_tensor *constant = ito_ones(ITO_SHAPE(2), ITO_F64);
    cr_assert_not_null(ito_custom(&op, &constant, 1, NULL));
}

static ito_tensor *nothing(ito_tensor *const *in, int64_t n, const void *unused)
{
    (void)in, (void)n, (void)unused;
    return NULL;
}

static ito_tensor *too_small(int64_t i, ito_tensor *const *in, int64_t n, ito_tensor *y,
                             ito_tensor *dy, const void *unused)
{
    (void)i, (void)in, (void)n, (void)y, (void)dy, (void)unused;
    return ito_ones(ITO_SHAPE(1), ITO_F64);
}

static ito_tensor *no_gradient(int64_t i, ito_tensor *const *in, int64_t n, ito_tensor *y,
                               ito_tensor *dy, const void *unused)
{
    (void)i, (void)in, (void)n, (void)y, (void)dy, (void)unused;
    return NULL;
}

Test(custom, its_mistakes_are_named)
{
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(2), ITO_F64), true);
    const ito_custom_op empty = {.name = "empty", .forward = nothing};
    cr_assert_null(ito_custom(&empty, &x, 1, NULL));
    assert_error(ITO_ERR_ARGUMENT, "empty: its forward gave no result");
    cr_assert_null(ito_custom(&(ito_custom_op){.name = "x"}, &x, 1, NULL));
    assert_error(ITO_ERR_ARGUMENT,
                 "custom: an operation needs a name, a forward, an input and its params");
    const ito_custom_op small = {.name = "small", .forward = pass_through, .backward = too_small};
    cr_assert_eq(ito_backward(ito_sum(ito_custom(&small, &x, 1, NULL))), ITO_ERR_GRAD);
    assert_error(ITO_ERR_GRAD, "backward: small gave a gradient f64 [1] for its input f64 [2]");
    const ito_custom_op none = {.name = "none", .forward = pass_through, .backward = no_gradient};
    cr_assert_eq(ito_backward(ito_sum(ito_custom(&none, &x, 1, NULL))), ITO_ERR_GRAD);
    assert_error(ITO_ERR_GRAD, "none: its backward gave no gradient for input 0");
}
