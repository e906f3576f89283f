/* What happens to operands of different dtypes: a float without axes takes the dtype of the float
 * tensor beside it; nothing else mixes. */
#include "ito.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>

static ito_tensor *number(double value, ito_dtype dtype)
{
    return ito_requires_grad(ito_scalar(value, dtype), true);
}

Test(op, a_number_takes_the_dtype_beside_it)
{
    static const ito_dtype floats[] = {ITO_F32, ITO_F64, ITO_BF16};
    ito_scope_begin();
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            ito_tensor *x = ito_ones(ITO_SHAPE(3), floats[i]), *c = number(2, floats[j]);
            ito_tensor *results[] = {ito_add(x, c),
                                     ito_sub(c, x),
                                     ito_mul(c, x),
                                     ito_div(c, x),
                                     ito_maximum(x, c),
                                     ito_axpby(1, x, 1, c),
                                     ito_where(ito_ones(ITO_SHAPE(3), ITO_BOOL), c, x),
                                     ito_addcmul(x, x, c)};
            double want[] = {3, 1, 2, 2, 2, 3, 2, 3};
            for (int k = 0; k < 8; k++) {
                assert_elements(results[k], (double[]){want[k], want[k], want[k]}, 3, 0, "number");
                cr_assert_eq(ito_dtype_of(results[k]), floats[i]);
                ito_tensor *dc = ito_grad(ito_sum(results[k]), c);
                cr_assert_eq(ito_dtype_of(dc), floats[j], "its gradient has its own");
            }
            cr_assert_eq(ito_dtype_of(ito_lt(x, c)), ITO_BOOL);
        }
    ito_scope_end();
}

Test(op, other_dtypes_do_not_mix)
{
    ito_scope_begin();
    ito_tensor *x = ito_ones(ITO_SHAPE(2), ITO_F32);
    cr_assert_null(ito_add(x, ito_ones(ITO_SHAPE(1), ITO_F64)));
    assert_error(ITO_ERR_DTYPE, "add: f32 [2] and f64 [1] do not mix (see ito_cast)");
    cr_assert_null(ito_mul(x, ito_scalar(1, ITO_I64)));
    assert_error(ITO_ERR_DTYPE, "mul: f32 [2] and i64 [] do not mix (see ito_cast)");
    cr_assert_null(ito_mul(ito_scalar(1, ITO_F32), ito_scalar(1, ITO_F64)));
    assert_error(ITO_ERR_DTYPE, "mul: f32 [] and f64 [] do not mix (see ito_cast)");
    cr_assert_null(ito_where(ito_scalar(1, ITO_BOOL), x, ito_scalar(1, ITO_I64)));
    assert_error(ITO_ERR_DTYPE, "where: f32 [2] and i64 [] do not mix (see ito_cast)");
    cr_assert_null(ito_mul(ito_ones(ITO_SHAPE(2), ITO_I64), ito_scalar(1, ITO_F32)));
    assert_error(ITO_ERR_DTYPE, "mul: i64 [2] and f32 [] do not mix (see ito_cast)");
    ito_scope_end();
}

static ito_tensor *times(ito_tensor *const *x, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_mul(x[0], x[1]);
}

Test(op, forward_mode_goes_through_the_conversion)
{
    ito_scope_begin();
    ito_tensor *x[] = {ito_ones(ITO_SHAPE(2), ITO_F32), ito_scalar(3, ITO_F64)}, *value;
    ito_tensor *along[] = {NULL, ito_scalar(2, ITO_F64)};
    assert_elements(ito_jvp(times, NULL, x, 2, along, &value), (double[]){2, 2}, 2, 0, "tangent");
    ito_scope_end();
}

Test(op, no_memory_for_the_conversion)
{
    ito_scope_begin();
    ito_tensor *x = ito_ones(ITO_SHAPE(2), ITO_F32), *c = ito_scalar(3, ITO_F64);
    int64_t blocks = ito_memory_blocks(), failed = 0;
    for (int64_t nth = 1;; nth++) {
        ito_scope_begin();
        ito_memory_fail_nth(nth);
        ito_tensor *y = ito_add(x, c);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), y == NULL ? ITO_ERR_MEMORY : ITO_OK);
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks);
        if (y != NULL)
            break;
        failed++;
    }
    cr_assert_gt(failed, 2);
    ito_scope_end();
}
