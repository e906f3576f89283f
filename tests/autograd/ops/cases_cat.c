/* Concatenation, padding and reversal, against index arithmetic. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

/* ---- cat
 * ----------------------------------------------------------------------------------------- */

static ito_tensor *f_cat(ito_tensor *const *in, int64_t n, void *context)
{
    return ito_cat(in, n, *(const int *)context);
}

/* Element [i, j, k] of the result, from whichever tensor it falls into. */
static void check_cat_values(int axis, ito_shape a, ito_shape b)
{
    ito_tensor *x = random_tensor(a, -1, 1, 1), *y = random_tensor(b, -1, 1, 2);
    const double *xv = ito_const_data(x), *yv = ito_const_data(y);
    int64_t d[3], at = 0;
    for (int i = 0; i < 3; i++)
        d[i] = a.dim[i] + (i == axis ? b.dim[i] : 0);
    double want[200];
    for (int64_t i = 0; i < d[0]; i++)
        for (int64_t j = 0; j < d[1]; j++)
            for (int64_t k = 0; k < d[2]; k++) {
                int64_t p[3] = {i, j, k};
                bool second = p[axis] >= a.dim[axis];
                p[axis] -= second ? a.dim[axis] : 0;
                const ito_shape *s = second ? &b : &a;
                want[at++] = (second ? yv : xv)[(p[0] * s->dim[1] + p[1]) * s->dim[2] + p[2]];
            }
    ito_tensor *joined = ito_cat(ITO_TENSORS(x, y), axis);
    assert_elements(joined, want, at, 0, "cat");
    cr_assert(ito_is_contiguous(joined));
    ito_tensor *in = ito_cast(x, ITO_U8);
    cr_assert_eq(ito_dtype_of(ito_cat(ITO_TENSORS(in, in), axis)), ITO_U8);
}

static ito_tensor *channels_last(ito_shape shape, uint64_t seed)
{
    return tensor_channels_last(random_tensor(shape, -1, 1, seed));
}

/* A U-Net's skips: whatever else is joined, one channels-last image makes the result so. */
static void check_cat_layout(void)
{
    ito_tensor *x = channels_last(ITO_SHAPE(2, 3, 4, 5), 1);
    ito_tensor *y = channels_last(ITO_SHAPE(2, 1, 4, 5), 2);
    ito_tensor *rows = random_tensor(ITO_SHAPE(2, 2, 4, 5), -1, 1, 3);
    ito_tensor *part = ito_narrow(x, 1, 1, 2);
    cr_assert(ito_is_channels_last(ito_cat(ITO_TENSORS(x, x), 1)));
    cr_assert(ito_is_channels_last(ito_cat(ITO_TENSORS(y, x), 1)));
    cr_assert(ito_is_channels_last(ito_cat(ITO_TENSORS(rows, x), 1)));
    cr_assert(ito_is_channels_last(ito_cat(ITO_TENSORS(part, part), 1)));
    cr_assert(ito_is_contiguous(ito_cat(ITO_TENSORS(rows, rows), 1)));
    cr_assert(ito_is_contiguous(ito_cat(ITO_TENSORS(y, y), 1)));
    ito_tensor *want = ito_cat(ITO_TENSORS(tensor_contiguous(rows), tensor_contiguous(part)), 1);
    assert_close(ito_cat(ITO_TENSORS(rows, part), 1), want, 0, "cat of two layouts");
    ito_tensor *turned = ito_permute(random_tensor(ITO_SHAPE(3, 4, 5), -1, 1, 1), 2, 0, 1);
    ito_tensor *joined = ito_cat(ITO_TENSORS(turned, turned), 1);
    cr_assert(tensor_is_dense(joined) && ito_stride(joined, 2) > ito_stride(joined, 0));
}

static void check_cat_backward_copies_nothing(void)
{
    ito_tensor *a = ito_requires_grad(channels_last(ITO_SHAPE(2, 3, 2, 2), 1), true);
    ito_tensor *b = ito_requires_grad(channels_last(ITO_SHAPE(2, 2, 2, 2), 2), true);
    ito_tensor *y = ito_cat(ITO_TENSORS(a, b), 1), *dy = channels_last(ito_shape_of(y), 3);
    ito_tensor *grads[2];
    ito_backward_options options = {.cotangent = dy};
    cr_assert_eq(ito_grads(y, (ito_tensor *[]){a, b}, 2, grads, options), ITO_OK);
    cr_assert_eq(grads[0]->storage, dy->storage);
    cr_assert_eq(grads[1]->storage, dy->storage);
}

void case_cat(void)
{
    check_cat_values(0, ITO_SHAPE(2, 3, 4), ITO_SHAPE(1, 3, 4));
    check_cat_values(1, ITO_SHAPE(2, 3, 4), ITO_SHAPE(2, 5, 4));
    check_cat_values(2, ITO_SHAPE(2, 3, 4), ITO_SHAPE(2, 3, 1));
    check_cat_values(1, ITO_SHAPE(2, 0, 4), ITO_SHAPE(2, 5, 4));
    check_cat_layout();
    check_cat_backward_copies_nothing();
    ito_tensor *a = ito_zeros(ITO_SHAPE(2, 3), ITO_F32), *b = ito_zeros(ITO_SHAPE(2, 4), ITO_F32);
    cr_assert_null(ito_cat(ITO_TENSORS(a, b), 0));
    assert_error(ITO_ERR_SHAPE, "cat: shapes [2, 3] and [2, 4] do not join along axis 0");
    cr_assert_null(ito_cat(ITO_TENSORS(a, ito_select(b, 0, 0)), 1));
    assert_error(ITO_ERR_SHAPE, "cat: shapes [2, 3] and [4] do not join along axis 1");
    cr_assert_null(ito_cat(ITO_TENSORS(a, ito_cast(b, ITO_I64)), 1));
    assert_error(ITO_ERR_DTYPE, "cat: f32 [2, 3] and i64 [2, 4] do not mix (see ito_cast)");
    cr_assert_null(ito_cat(ITO_TENSORS(a, b), 2));
    assert_error(ITO_ERR_RANGE, "cat: axis 2 of a tensor of 2 axes");
    cr_assert_null(ito_cat(&a, 0, 0));
    assert_error(ITO_ERR_ARGUMENT, "cat: no tensors");
    int axis[] = {1, -1};
    op_check_run(
        (op_check){.what = "cat along channels",
                   .f = f_cat,
                   .context = &axis[0],
                   .n = 3,
                   .shape = {ITO_SHAPE(2, 2, 2, 3), ITO_SHAPE(2, 1, 2, 3), ITO_SHAPE(2, 0, 2, 3)}});
    op_check_run((op_check){.what = "cat",
                            .f = f_cat,
                            .context = &axis[1],
                            .n = 2,
                            .shape = {ITO_SHAPE(2, 3), ITO_SHAPE(2, 4)},
                            .large = {ITO_SHAPE(300, 301), ITO_SHAPE(300, 100)}});
}

/* ---- pad
 * ----------------------------------------------------------------------------------------- */

static ito_tensor *f_pad(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    return ito_pad_with(in[0], 1.5, *(const ito_shape *)context);
}

/* Row-major [rows, columns] padded by (left, right, top, bottom). */
static void check_pad_values(int64_t left, int64_t right, int64_t top, int64_t bottom)
{
    enum { ROWS = 3, COLUMNS = 4 };
    ito_tensor *x = random_tensor(ITO_SHAPE(ROWS, COLUMNS), -1, 1, 1);
    const double *v = ito_const_data(x);
    double want[200];
    int64_t n = 0;
    for (int64_t i = -top; i < ROWS + bottom; i++)
        for (int64_t j = -left; j < COLUMNS + right; j++) {
            bool inside = i >= 0 && i < ROWS && j >= 0 && j < COLUMNS;
            want[n++] = inside ? v[i * COLUMNS + j] : 7;
        }
    assert_elements(ito_pad(x, 7, left, right, top, bottom), want, n, 0, "pad");
    ito_tensor *t = ito_transpose(ito_contiguous(ito_transpose(x, 0, 1)), 0, 1);
    assert_elements(ito_pad(t, 7, left, right, top, bottom), want, n, 0, "pad of a transpose");
}

void case_pad(void)
{
    for (int64_t left = -2; left <= 2; left++)
        for (int64_t right = -2; right <= 2; right++)
            for (int64_t top = -2; top <= 1; top++)
                for (int64_t bottom = -1; bottom <= 2; bottom++)
                    check_pad_values(left, right, top, bottom);
    check_pad_values(0, -4, 1, 1);
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 3), ITO_I64);
    cr_assert_eq(ito_item(ito_sum(ito_cast(ito_pad(x, 2, 1, 1), ITO_F64))), 8);
    ito_tensor *image = channels_last(ITO_SHAPE(1, 3, 4, 4), 1);
    cr_assert(ito_is_channels_last(ito_pad(image, 0, 0, 1, 0, 1)));
    cr_assert_null(ito_pad(x, 0, 1));
    assert_error(ITO_ERR_ARGUMENT, "pad: 1 numbers are no pairs for the axes of [2, 3]");
    cr_assert_null(ito_pad(x, 0, 1, 1, 1, 1, 1, 1));
    assert_error(ITO_ERR_ARGUMENT, "pad: 6 numbers are no pairs for the axes of [2, 3]");
    cr_assert_null(ito_pad(x, 0, -2, -2));
    assert_error(ITO_ERR_SHAPE, "pad: -2 before and -2 after do not fit axis 1 of [2, 3]");
    cr_assert_null(ito_pad(x, 0, -4, 4));
    assert_error(ITO_ERR_SHAPE, "pad: -4 before and 4 after do not fit axis 1 of [2, 3]");
    cr_assert_null(ito_pad(x, 0, INT64_MAX, 1));
    assert_error(ITO_ERR_SHAPE,
                 "pad: 9223372036854775807 before and 1 after do not fit axis 1 of [2, 3]");
    ito_shape pads[] = {ITO_SHAPE(1, 2, 0, 1), ITO_SHAPE(-1, 2, 1, -1), ITO_SHAPE(-1, -1)};
    for (size_t i = 0; i < sizeof pads / sizeof *pads; i++)
        op_check_run((op_check){
            .what = "pad", .f = f_pad, .context = &pads[i], .n = 1, .shape = {ITO_SHAPE(2, 3, 4)}});
    op_check_run((op_check){.what = "pad of nothing",
                            .f = f_pad,
                            .context = &pads[0],
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 0, 4)}});
}

/* ---- flip
 * ---------------------------------------------------------------------------------------- */

static ito_tensor *f_flip(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    return ito_flip(in[0], *(const int *)context);
}

void case_flip(void)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(2, 3, 4), -1, 1, 1);
    const double *v = ito_const_data(x);
    double want[24];
    for (int i = 0; i < 24; i++)
        want[i] = v[i / 12 * 12 + (2 - i / 4 % 3) * 4 + i % 4];
    assert_elements(ito_flip(x, 1), want, 24, 0, "flip");
    for (int i = 0; i < 24; i++)
        want[i] = v[i / 4 * 4 + 3 - i % 4];
    assert_elements(ito_flip(x, -1), want, 24, 0, "flip of the last axis");
    assert_elements(ito_flip(ito_zeros(ITO_SHAPE(2, 0), ITO_F32), 1), want, 0, 0,
                    "flip of nothing");
    cr_assert(ito_is_channels_last(ito_flip(channels_last(ITO_SHAPE(2, 3, 4, 5), 1), 3)));
    cr_assert_null(ito_flip(x, 3));
    assert_error(ITO_ERR_RANGE, "flip: axis 3 of a tensor of 3 axes");
    int axis = 1;
    op_check_run((op_check){.what = "flip",
                            .f = f_flip,
                            .context = &axis,
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 3, 2)},
                            .large = {ITO_SHAPE(40, 50, 60)}});
}
