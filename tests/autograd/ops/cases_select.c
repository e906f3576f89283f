/* Cases of where and masked_fill. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

/* A bool tensor, true where a random number is below 1/2. */
static ito_tensor *random_mask(ito_shape shape, uint64_t seed)
{
    return ito_lt(random_tensor(shape, 0, 1, seed), ito_scalar(0.5, ITO_F64));
}

static ito_tensor *apply(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_where(in[0], in[1], in[2]);
}

/* condition [2, 1, 5], a [3, 1], b [2, 3, 5], in every dtype and with strided operands. */
static void forward_checks(ito_dtype dtype, bool strided)
{
    ito_tensor *condition = random_mask(ITO_SHAPE(2, 1, 5), 1);
    ito_tensor *a = ito_cast(random_tensor(ITO_SHAPE(3, 1), 0, 100, 2), dtype);
    ito_tensor *b = ito_cast(random_tensor(ITO_SHAPE(2, 3, 5), 0, 100, 3), dtype);
    if (strided) {
        condition = ito_slice(random_mask(ITO_SHAPE(2, 1, 10), 1), 2, 0, 10, 2);
        b = ito_permute_to(ito_cast(random_tensor(ITO_SHAPE(5, 2, 3), 0, 100, 3), dtype),
                           ITO_DIMS(1, 2, 0));
    }
    uint8_t c[10];
    double va[3], vb[30], want[30];
    ito_to_data(condition, c, ITO_BOOL);
    ito_to_data(a, va, ITO_F64);
    ito_to_data(b, vb, ITO_F64);
    for (int i = 0; i < 30; i++)
        want[i] = c[i / 15 * 5 + i % 5] ? va[i / 5 % 3] : vb[i];
    ito_tensor *y = ito_where(condition, a, b);
    assert_elements(y, want, 30, 0, "where");
    cr_assert_eq(y->dtype, dtype);
    cr_assert(shape_equal(ito_shape_of(y), ITO_SHAPE(2, 3, 5)));
}

static void error_checks(void)
{
    ito_tensor *mask = random_mask(ITO_SHAPE(2), 1), *x = ito_zeros(ITO_SHAPE(3), ITO_F32);
    ito_tensor *y = ito_zeros(ITO_SHAPE(4), ITO_F32);
    cr_assert_null(ito_where(x, x, x));
    assert_error(ITO_ERR_DTYPE, "where: the condition is f32, not bool");
    cr_assert_null(ito_where(mask, x, ito_cast(x, ITO_I32)));
    assert_error(ITO_ERR_DTYPE, "where: f32 [3] and i32 [3] do not mix (see ito_cast)");
    cr_assert_null(ito_where(mask, x, x));
    assert_error(ITO_ERR_SHAPE, "where: shapes [2], [3] and [3] do not broadcast");
    cr_assert_null(ito_where(mask, x, y));
    assert_error(ITO_ERR_SHAPE, "where: shapes [2], [3] and [4] do not broadcast");
}

void case_where(void)
{
    ito_scope_begin();
    for (int d = 0; d < ITO_DTYPES; d++) {
        forward_checks((ito_dtype)d, false);
        forward_checks((ito_dtype)d, true);
    }
    error_checks();
    op_check c = {.what = "where", .f = apply, .n = 3};
    c.given[0] = random_mask(ITO_SHAPE(3, 4), 1);
    c.shape[1] = c.shape[2] = ITO_SHAPE(3, 4);
    op_check_run(c);
    c.shape[1] = ITO_SHAPE(2, 1, 4), c.shape[2] = ITO_SHAPE();
    op_check_run(c);
    ito_scope_end();
}

Test(ops_select, where_hides_what_it_does_not_choose)
{
    ito_scope_begin();
    ito_tensor *x = ito_from_data((double[]){-1, 4}, ITO_SHAPE(2), ITO_F64);
    ito_tensor *zero = ito_scalar(0, ITO_F64);
    ito_tensor *y = ito_where(ito_gt(x, zero), ito_sqrt(x), zero);
    assert_elements(y, (double[]){0, 2}, 2, 0, "not even NaN shows");
    ito_scope_end();
}

Test(ops_select, masked_fill_writes_where_the_mask_holds)
{
    ito_scope_begin();
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(2, 3), -1, 1, 1), true);
    ito_tensor *mask = ito_from_data((uint8_t[]){0, 1, 0}, ITO_SHAPE(3), ITO_BOOL);
    const double *v = ito_data(x);
    ito_tensor *y = ito_masked_fill(x, mask, 7);
    assert_elements(y, (double[]){v[0], 7, v[2], v[3], 7, v[5]}, 6, 0, "value");
    assert_elements(ito_grad(ito_sum(y), x), (double[]){1, 0, 1, 1, 0, 1}, 6, 0, "gradient");
    cr_assert_null(ito_masked_fill(x, random_mask(ITO_SHAPE(4, 1, 3), 1), 0));
    assert_error(ITO_ERR_SHAPE, "masked_fill: the mask [4, 1, 3] does not broadcast to [2, 3]");
    cr_assert_null(ito_masked_fill(x, random_mask(ITO_SHAPE(2), 1), 0));
    assert_error(ITO_ERR_SHAPE, "masked_fill: the mask [2] does not broadcast to [2, 3]");
    cr_assert_null(ito_masked_fill(x, x, 0));
    assert_error(ITO_ERR_DTYPE, "where: the condition is f64, not bool");
    ito_scope_end();
}
