/* Changes in place: values, refusals, and that backward notices them. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

Test(ops_inplace, add_accumulates_whatever_the_strides)
{
    for (int d = 0; d < 2; d++) {
        ito_scope_begin();
        ito_dtype dtype = d == 0 ? ITO_F32 : ITO_F64;
        ito_tensor *a = ito_cast(random_tensor(ITO_SHAPE(7, 600, 3), -1, 1, 1), dtype);
        ito_tensor *b = ito_cast(random_tensor(ITO_SHAPE(600, 3, 7), -1, 1, 2), dtype);
        ito_tensor *y[] = {a, ito_permute_to(a, ITO_DIMS(1, 2, 0)), ito_slice(a, 1, 0, 600, 3),
                           ito_permute_to(a, ITO_DIMS(1, 0, 2))};
        ito_tensor *x[] = {
            ito_permute_to(b, ITO_DIMS(2, 0, 1)), b,
            ito_permute_to(ito_narrow(b, 0, 7, 200), ITO_DIMS(2, 0, 1)),
            ito_expand_to(ito_narrow(ito_contiguous(ito_permute_to(b, ITO_DIMS(0, 2, 1))), 0, 3, 1),
                          ITO_DIMS(600, 7, 3))};
        for (int k = 0; k < 4; k++) {
            ito_tensor *want =
                ito_add(ito_cast(y[k], ITO_F64), ito_mul_scalar(ito_cast(x[k], ITO_F64), -0.5));
            cr_assert_eq(ito_add_(y[k], x[k], -0.5), y[k], "%s", ito_error());
            assert_close(y[k], want, d == 0 ? 0x1p-23 : 0x1p-52, "add_");
        }
        ito_scope_end();
    }
}

Test(ops_inplace, a_source_that_overlaps_is_read_first)
{
    ito_scope_begin();
    ito_tensor *x = ito_arange(0, 6, 1, ITO_F64);
    cr_assert_not_null(ito_add_(ito_narrow(x, 0, 1, 5), ito_narrow(x, 0, 0, 5), 1));
    assert_elements(x, (double[]){0, 1, 3, 5, 7, 9}, 6, 0, "add_");
    cr_assert_not_null(ito_copy_(ito_narrow(x, 0, 1, 5), ito_narrow(x, 0, 0, 5)));
    assert_elements(x, (double[]){0, 0, 1, 3, 5, 7}, 6, 0, "copy_");
    cr_assert_not_null(ito_copy_(x, ito_flip(x, 0)));
    assert_elements(x, (double[]){7, 5, 3, 1, 0, 0}, 6, 0, "copy_ reversed");
    cr_assert_eq(ito_copy_(x, x), x);
    cr_assert_not_null(ito_add_(x, x, 1));
    assert_elements(x, (double[]){14, 10, 6, 2, 0, 0}, 6, 0, "twice itself");
    ito_scope_end();
}

Test(ops_inplace, copy_broadcasts_and_converts)
{
    ito_scope_begin();
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 3), ITO_I32);
    ito_tensor *src = ito_from_data((double[]){1.9, -2.9, 3}, ITO_SHAPE(3), ITO_F64);
    cr_assert_eq(ito_copy_(x, src), x);
    assert_elements(x, (double[]){1, -2, 3, 1, -2, 3}, 6, 0, "copy_");
    cr_assert_not_null(ito_copy_(ito_permute_to(x, ITO_DIMS(1, 0)), ito_arange(0, 2, 1, ITO_I64)));
    assert_elements(x, (double[]){0, 0, 0, 1, 1, 1}, 6, 0, "copy_ to a view");
    ito_scope_end();
}

Test(ops_inplace, fill_and_scale_reach_exactly_the_view)
{
    ito_scope_begin();
    ito_tensor *x = ito_ones(ITO_SHAPE(2, 3), ITO_F32);
    cr_assert_not_null(ito_fill_(ito_select(x, 1, 1), 4));
    assert_elements(x, (double[]){1, 4, 1, 1, 4, 1}, 6, 0, "fill_");
    cr_assert_eq(ito_mul_scalar_(x, 2), x);
    cr_assert_not_null(ito_mul_scalar_(ito_select(x, 1, 2), -3));
    assert_elements(x, (double[]){2, 8, -6, 2, 8, -6}, 6, 0, "mul_scalar_");
    ito_tensor *flags = ito_zeros(ITO_SHAPE(3), ITO_BOOL);
    assert_elements(ito_fill_(flags, 7), (double[]){1, 1, 1}, 3, 0, "fill_ of bool");
    ito_scope_end();
}

Test(ops_inplace, a_tensor_without_elements_shares_none)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(4, 0), ITO_F32);
    cr_assert_eq(ito_add_(x, x, 1), x, "%s", ito_error());
    cr_assert_eq(ito_fill_(x, 1), x, "%s", ito_error());
}

Test(ops_inplace, a_tensor_with_history_is_refused_while_history_is_recorded)
{
    ito_scope_begin();
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(2, 3), ITO_F32), true);
    ito_tensor *other = ito_ones(ITO_SHAPE(2, 3), ITO_F32), *y = ito_mul_scalar(x, 2);
#define REFUSED(call, name)                                                                        \
    cr_assert_null(call);                                                                          \
    assert_error(ITO_ERR_GRAD, name ": [2, 3] requires a gradient; change it in place where no "   \
                                    "history is recorded (see ITO_NO_GRAD)")
    REFUSED(ito_copy_(x, other), "copy_");
    REFUSED(ito_fill_(x, 1), "fill_");
    REFUSED(ito_add_(y, other, 1), "add_");
    REFUSED(ito_mul_scalar_(y, 1), "mul_scalar_");
#undef REFUSED
    ITO_NO_GRAD
    {
        cr_assert_eq(ito_add_(x, other, 1), x);
    }
    assert_elements(x, (double[]){2, 2, 2, 2, 2, 2}, 6, 0, "without history");
    ito_scope_end();
}

Test(ops_inplace, backward_notices_that_a_saved_value_changed)
{
    for (int k = 0; k < 4; k++) {
        ito_scope_begin();
        ito_tensor *x = ito_ones(ITO_SHAPE(2), ITO_F64);
        ito_tensor *w = ito_requires_grad(ito_ones(ITO_SHAPE(2), ITO_F64), true);
        ito_tensor *loss = ito_sum(ito_mul(x, w));
        cr_assert_not_null(k == 0   ? ito_add_(x, x, 1)
                           : k == 1 ? ito_fill_(x, 1)
                           : k == 2 ? ito_mul_scalar_(x, 1)
                                    : ito_copy_(x, ito_zeros_like(x)));
        cr_assert_eq(ito_backward(loss), ITO_ERR_GRAD);
        assert_error(ITO_ERR_GRAD,
                     "backward: input 0 of mul, [2], was changed in place after it ran");
        ito_scope_end();
    }
}

Test(ops_inplace, what_does_not_fit_is_refused)
{
    ito_scope_begin();
    ito_tensor *x = ito_ones(ITO_SHAPE(2), ITO_F32), *y = ito_ones(ITO_SHAPE(3), ITO_F32);
    cr_assert_null(ito_add_(x, y, 1));
    assert_error(ITO_ERR_SHAPE, "add_: shapes [2] and [3] differ");
    cr_assert_null(ito_add_(x, ito_ones(ITO_SHAPE(2), ITO_F64), 1));
    assert_error(ITO_ERR_DTYPE, "add_: f32 [2] and f64 [2] do not mix (see ito_cast)");
    cr_assert_null(ito_add_(ito_ones(ITO_SHAPE(2), ITO_I32), x, 1));
    assert_error(ITO_ERR_DTYPE, "add_: takes f32, f64 or bf16, not i32 (see ito_cast)");
    cr_assert_null(ito_mul_scalar_(ito_ones(ITO_SHAPE(2), ITO_U8), 1));
    assert_error(ITO_ERR_DTYPE, "mul_scalar_: takes f32, f64 or bf16, not u8 (see ito_cast)");
    cr_assert_null(ito_copy_(x, y));
    assert_error(ITO_ERR_SHAPE, "copy_: [3] does not broadcast to [2]");
    cr_assert_null(ito_copy_(x, ito_ones(ITO_SHAPE(2, 2), ITO_F32)));
    assert_error(ITO_ERR_SHAPE, "copy_: [2, 2] does not broadcast to [2]");
    cr_assert_null(ito_fill_(ito_expand_to(ito_ones(ITO_SHAPE(1), ITO_F32), ITO_DIMS(4)), 1));
    assert_error(ITO_ERR_ARGUMENT, "fill_: elements of [4] share memory along axis 0");
    cr_assert_null(ito_add_(NULL, x, 1));
    cr_assert_null(ito_copy_(x, NULL));
    cr_assert_eq(ito_error_code(), ITO_OK);
    ito_scope_end();
}
