/* gradcheck finds right gradients right and wrong ones wrong; jvp. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static ito_tensor *product(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_mul(ito_sin(in[0]), ito_exp(in[1]));
}

static ito_tensor *same(ito_tensor *const *in, int64_t n, const void *unused)
{
    (void)n, (void)unused;
    return ito_clone(in[0]);
}

/* Off by one part in a hundred. */
static ito_tensor *wrong(int64_t i, ito_tensor *const *in, int64_t n, ito_tensor *y, ito_tensor *dy,
                         const void *unused)
{
    (void)i, (void)in, (void)n, (void)y, (void)unused;
    return ito_mul_scalar(dy, 1.01);
}

/* Right at first, but with no dependence of the gradient on x where there should be one. */
static ito_tensor *square_forward(ito_tensor *const *in, int64_t n, const void *unused)
{
    (void)n, (void)unused;
    return ito_square(in[0]);
}

static ito_tensor *square_detached(int64_t i, ito_tensor *const *in, int64_t n, ito_tensor *y,
                                   ito_tensor *dy, const void *unused)
{
    (void)i, (void)n, (void)y, (void)unused;
    return ito_mul(dy, ito_mul_scalar(ito_detach(in[0]), 2));
}

static ito_tensor *apply_custom(ito_tensor *const *in, int64_t n, void *op)
{
    return ito_custom(op, in, n, NULL);
}

static void two_inputs(ito_tensor **in)
{
    in[0] = ito_requires_grad(random_tensor(ITO_SHAPE(2, 3), -1, 1, 1), true);
    in[1] = ito_requires_grad(random_tensor(ITO_SHAPE(3), -1, 1, 2), true);
}

typedef struct counted {
    int64_t calls;
} counted;

static ito_tensor *count_calls(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    ((counted *)context)->calls++;
    return ito_sin(in[0]);
}

/* One call for the gradient and two for each element. */
Test(check, as_many_elements_are_checked_as_is_said)
{
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(5, 8), -1, 1, 1), true);
    const int64_t elements[] = {-1, 1, 7, 40, 1000}, calls[] = {81, 3, 15, 81, 81};
    for (int i = 0; i < 5; i++) {
        counted c = {0};
        cr_expect_eq(ito_gradcheck(count_calls, &c, &x, 1, .elements = elements[i]), ITO_OK, "%s",
                     ito_error());
        cr_expect_eq(c.calls, calls[i], "%d", (int)c.calls);
    }
}

Test(check, right_gradients_pass)
{
    ito_tensor *in[2];
    two_inputs(in);
    cr_assert_eq(ito_gradcheck(product, NULL, in, 2), ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_gradgradcheck(product, NULL, in, 2), ITO_OK, "%s", ito_error());
}

Test(check, a_wrong_gradient_fails_and_is_named)
{
    const ito_custom_op op = {.name = "off", .forward = same, .backward = wrong};
    ito_tensor *in[2];
    two_inputs(in);
    cr_assert_eq(ito_gradcheck(apply_custom, (void *)(uintptr_t)&op, in, 1), ITO_ERR_GRAD);
    cr_assert_eq(strncmp(ito_error_message(),
                         "gradcheck: element 0 of input 0 [2, 3]: the graph gives ", 56),
                 0, "%s", ito_error());
}

Test(check, a_wrong_second_derivative_fails)
{
    const ito_custom_op op = {
        .name = "square", .forward = square_forward, .backward = square_detached};
    ito_tensor *in[2];
    two_inputs(in);
    cr_assert_eq(ito_gradcheck(apply_custom, (void *)(uintptr_t)&op, in, 1), ITO_OK, "%s",
                 ito_error());
    cr_assert_eq(ito_gradgradcheck(apply_custom, (void *)(uintptr_t)&op, in, 1), ITO_ERR_GRAD);
}

Test(check, inputs_come_back_unchanged)
{
    ito_tensor *in[2], *copy;
    two_inputs(in);
    copy = ito_clone(ito_detach(in[0]));
    ito_gradcheck(product, NULL, in, 2);
    assert_close(in[0], copy, 0, "input");
}

Test(check, wants_f64)
{
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(2), ITO_F32), true);
    cr_assert_eq(ito_gradcheck(product, NULL, ((ito_tensor *[]){x, x}), 2), ITO_ERR_DTYPE);
    assert_error(ITO_ERR_DTYPE, "gradcheck: input 0 is f32, not f64");
}

Test(check, of_nothing_does_not_pass)
{
    ito_tensor *x = ito_ones(ITO_SHAPE(2), ITO_F64);
    cr_assert_eq(ito_gradcheck(product, NULL, ((ito_tensor *[]){x, x}), 2), ITO_ERR_ARGUMENT);
    assert_error(ITO_ERR_ARGUMENT, "gradcheck: no input requires a gradient");
}
