/* Casts and copies: values, memory order, whose storage it is. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

/* ---- cast
 * ---------------------------------------------------------------------------------------- */

/* There and back: the gradient passes two casts. */
static ito_tensor *f_cast(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    ito_dtype here = ito_dtype_of(in[0]), there = here == ITO_F64 ? ITO_F32 : ITO_F64;
    return ito_cast(ito_cast(in[0], there), here);
}

static ito_tensor *f_same(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_cast(in[0], ito_dtype_of(in[0]));
}

static ito_tensor *numbers(const double *v, int64_t n)
{
    ito_tensor *x = ito_from_data(v, ITO_SHAPE(n), ITO_F64);
    cr_assert_not_null(x, "%s", ito_error());
    return x;
}

void case_cast(void)
{
    double v[] = {0, -0.75, 1.5, 2.999, 200.5, 1e10, (double)NAN};
    ito_tensor *x = numbers(v, 7);
    double i32[] = {0, 0, 1, 2, 200, 2147483647, 0}, i64[] = {0, 0, 1, 2, 200, 1e10, 0};
    double u8[] = {0, 0, 1, 2, 200, 255, 0}, truth[] = {0, 1, 1, 1, 1, 1, 1};
    double bf16[] = {0, -0.75, 1.5, 3, 200, 9999220736.0, (double)NAN};
    double f16[] = {0, -0.75, 1.5, round(2.999 * 512) / 512, 200.5, (double)INFINITY, (double)NAN};
    assert_elements(ito_cast(x, ITO_I32), i32, 7, 0, "to i32");
    assert_elements(ito_cast(x, ITO_I64), i64, 7, 0, "to i64");
    assert_elements(ito_cast(x, ITO_U8), u8, 7, 0, "to u8");
    assert_elements(ito_cast(x, ITO_BOOL), truth, 7, 0, "to bool");
    assert_elements(ito_cast(x, ITO_BF16), bf16, 7, 0, "to bf16");
    assert_elements(ito_cast(x, ITO_F16), f16, 7, 0, "to f16");
    cr_assert_eq(ito_cast(x, ITO_F64)->storage, x->storage);
    ito_tensor *image = tensor_channels_last(random_tensor(ITO_SHAPE(2, 3, 4, 5), -1, 1, 1));
    cr_assert(ito_is_channels_last(ito_cast(image, ITO_F32)));
    ito_tensor *leaf = ito_requires_grad(ito_clone(image), true);
    cr_assert_not(ito_has_grad_path(ito_cast(leaf, ITO_I64)));
    cr_assert(ito_has_grad_path(ito_cast(leaf, ITO_BF16)));
    cr_assert_null(ito_cast(x, (ito_dtype)99));
    assert_error(ITO_ERR_DTYPE, "cast: 99 is no dtype");
    /* dy itself, rounded to f32 on its way; differences of f32 numbers would be too coarse */
    ito_tensor *in[] = {ito_requires_grad(random_tensor(ITO_SHAPE(2, 3), -2, 2, 1), true)};
    ito_tensor *dy = random_tensor(ITO_SHAPE(2, 3), -1, 1, 2);
    ito_tensor *dx = ito_grad(f_cast(in, 1, NULL), in[0], .cotangent = dy);
    cr_assert_eq(ito_dtype_of(dx), ITO_F64);
    assert_close(dx, dy, 1e-7, "gradient through a cast to f32 and back");
    op_check_run((op_check){.what = "cast", .f = f_same, .n = 1, .shape = {ITO_SHAPE(2, 3)}});
}

/* ---- contiguous and clone
 * ------------------------------------------------------------------------ */

static ito_tensor *f_contiguous(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_contiguous(in[0]);
}

static ito_tensor *f_clone(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_clone(in[0]);
}

void case_contiguous(void)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(2, 3, 4, 5), -1, 1, 1);
    ito_tensor *image = tensor_channels_last(x);
    ito_tensor *rows = ito_contiguous(image), *same = ito_contiguous(x);
    cr_assert(ito_is_contiguous(rows));
    assert_close(rows, x, 0, "contiguous");
    cr_assert_neq(same, x);
    cr_assert_eq(same->storage, x->storage);
    ito_tensor *copy = ito_clone(image),
               *wide = ito_clone(ito_expand(ito_select(x, 3, 0), 3, 2, 3, 4));
    cr_assert(ito_is_channels_last(copy));
    cr_assert_neq(copy->storage, image->storage);
    assert_close(copy, x, 0, "clone");
    cr_assert(ito_is_contiguous(wide));
    cr_assert_neq(ito_clone(x)->storage, x->storage);
    op_check_run((op_check){.what = "contiguous",
                            .f = f_contiguous,
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 3, 2)},
                            .large = {ITO_SHAPE(50, 60, 70)}});
    op_check_run((op_check){.what = "clone", .f = f_clone, .n = 1, .shape = {ITO_SHAPE(2, 3, 2)}});
}
