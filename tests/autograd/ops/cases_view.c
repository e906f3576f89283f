/* Views: every element is where index arithmetic on the original says, and storage is shared. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>

/* 0, 1, 2, ... in this shape, f64. */
static ito_tensor *counted(ito_shape shape)
{
    ito_tensor *t = ito_empty(shape, ITO_F64);
    cr_assert_not_null(t, "%s", ito_error());
    double *v = ito_data(t);
    for (int64_t i = 0; i < ito_numel(t); i++)
        v[i] = (double)i;
    return t;
}

static void assert_shape(const ito_tensor *t, ito_shape shape)
{
    cr_assert_not_null(t, "%s", ito_error());
    cr_assert(shape_equal(ito_shape_of(t), shape), "%s, not %s", tensor_shape_str(t),
              shape_str(shape));
}

static bool shares(const ito_tensor *a, const ito_tensor *b)
{
    return a->storage == b->storage;
}

/* ---- reshape
 * ------------------------------------------------------------------------------------- */

static ito_tensor *f_reshape(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_reshape(in[0], 4, -1);
}

static ito_tensor *f_reshape_transposed(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_reshape(ito_transpose(in[0], 0, 1), 6, 2);
}

static void check_reshape_values(void)
{
    ito_tensor *x = counted(ITO_SHAPE(2, 3, 4));
    double want[24];
    for (int i = 0; i < 24; i++)
        want[i] = i;
    ito_tensor *y = ito_reshape(x, 6, 1, 2, 2);
    assert_shape(y, ITO_SHAPE(6, 1, 2, 2));
    assert_elements(y, want, 24, 0, "reshape");
    cr_assert(shares(x, y));
    for (int i = 0; i < 24; i++) /* element i of the transposed list sits at (i % 6, i / 6) */
        want[i] = i % 6 * 4 + i / 6;
    ito_tensor *t = ito_transpose(ito_reshape(x, 6, 4), 0, 1);
    ito_tensor *z = ito_reshape(t, 24);
    cr_assert_not(shares(x, z));
    assert_elements(z, want, 24, 0, "reshape of a transpose");
}

/* What NumPy and PyTorch can view, and what they cannot. */
static void check_reshape_strides(void)
{
    ito_tensor *image =
        ito_permute(counted(ITO_SHAPE(2, 3, 4, 5)), 0, 3, 1, 2);  /* N H W C memory */
    assert_shape(ito_view(image, 2, 5, 12), ITO_SHAPE(2, 5, 12)); /* H and W run on, C apart */
    assert_shape(ito_view(image, 2, 5, 3, 2, 2), ITO_SHAPE(2, 5, 3, 2, 2));
    cr_assert_null(ito_view(image, 10, 12));
    assert_error(ITO_ERR_SHAPE,
                 "view: the strides of [2, 5, 3, 4] allow no view as [10, 12] (see ito_reshape)");
    ito_tensor *wide = ito_expand(counted(ITO_SHAPE(3, 1)), 3, 4);
    cr_assert_null(ito_view(wide, 12));
    ito_error_clear();
    assert_shape(ito_view(wide, 3, 2, 2), ITO_SHAPE(3, 2, 2)); /* within the repeated axis */
    ito_tensor *every_second = ito_slice(counted(ITO_SHAPE(12)), 0, 0, 12, 2);
    assert_shape(ito_view(every_second, 2, 3), ITO_SHAPE(2, 3));
    double want[] = {0, 2, 4, 6, 8, 10};
    assert_elements(ito_view(every_second, 2, 3), want, 6, 0, "view of every second");
    ito_tensor *part = ito_narrow(counted(ITO_SHAPE(4, 3)), 1, 0, 2);
    cr_assert_null(ito_view(part, 8));
    ito_error_clear();
    assert_shape(ito_view(part, 2, 1, 2, 2, 1), ITO_SHAPE(2, 1, 2, 2, 1));
}

static void check_reshape_edges(void)
{
    assert_shape(ito_reshape(counted(ITO_SHAPE(1, 1))), ITO_SHAPE());
    assert_shape(ito_reshape(counted(ITO_SHAPE()), 1, 1), ITO_SHAPE(1, 1));
    assert_shape(ito_reshape(counted(ITO_SHAPE(0, 3)), 5, 0), ITO_SHAPE(5, 0));
    assert_shape(ito_reshape(counted(ITO_SHAPE(0, 3)), -1, 3), ITO_SHAPE(0, 3));
    assert_shape(ito_reshape(counted(ITO_SHAPE(6)), 2, -1), ITO_SHAPE(2, 3));
    cr_assert_null(ito_reshape(counted(ITO_SHAPE(2, 3)), 4));
    assert_error(ITO_ERR_SHAPE, "reshape: [2, 3] of 6 elements does not become [4]");
    cr_assert_null(ito_reshape(counted(ITO_SHAPE(2, 3)), -1, -1));
    assert_error(ITO_ERR_SHAPE, "reshape: [2, 3] of 6 elements does not become [-1, -1]");
    cr_assert_null(ito_reshape(counted(ITO_SHAPE(2, 3)), -1, 4));
    assert_error(ITO_ERR_SHAPE, "reshape: [2, 3] of 6 elements does not become [-1, 4]");
    cr_assert_null(ito_view(counted(ITO_SHAPE(0, 3)), -1, 0));
    assert_error(ITO_ERR_SHAPE, "view: [0, 3] of 0 elements does not become [-1, 0]");
    cr_assert_null(ito_reshape(counted(ITO_SHAPE(2)), INT64_MAX, INT64_MAX));
    assert_error(ITO_ERR_SHAPE, "reshape: [2] of 2 elements does not become [9223372036854775807, "
                                "9223372036854775807]");
}

void case_reshape(void)
{
    check_reshape_values();
    check_reshape_strides();
    check_reshape_edges();
    op_check_run(
        (op_check){.what = "reshape", .f = f_reshape, .n = 1, .shape = {ITO_SHAPE(2, 3, 2)}});
    op_check_run((op_check){.what = "reshape of a transpose",
                            .f = f_reshape_transposed,
                            .n = 1,
                            .shape = {ITO_SHAPE(3, 4)}});
}

Test(ops_view, squeeze_unsqueeze_and_flatten_move_sizes_only)
{
    ito_tensor *x = counted(ITO_SHAPE(2, 1, 3));
    assert_shape(ito_squeeze(x, 1), ITO_SHAPE(2, 3));
    assert_shape(ito_squeeze(x, -2), ITO_SHAPE(2, 3));
    assert_shape(ito_unsqueeze(x, 0), ITO_SHAPE(1, 2, 1, 3));
    assert_shape(ito_unsqueeze(x, -1), ITO_SHAPE(2, 1, 3, 1));
    assert_shape(ito_unsqueeze(x, 3), ITO_SHAPE(2, 1, 3, 1));
    assert_shape(ito_flatten(x, 0, -1), ITO_SHAPE(6));
    assert_shape(ito_flatten(x, 1, 2), ITO_SHAPE(2, 3));
    assert_shape(ito_flatten(x, 1, 1), ITO_SHAPE(2, 1, 3));
    assert_shape(ito_flatten(counted(ITO_SHAPE()), 0, -1), ITO_SHAPE(1));
    cr_assert(shares(x, ito_squeeze(ito_permute(x, 2, 1, 0), 1)));
    cr_assert(shares(x, ito_unsqueeze(ito_permute(x, 2, 1, 0), 1)));
    cr_assert_null(ito_squeeze(x, 0));
    assert_error(ITO_ERR_SHAPE, "squeeze: axis 0 of [2, 1, 3] is not of size 1");
    cr_assert_null(ito_squeeze(x, 3));
    assert_error(ITO_ERR_RANGE, "squeeze: axis 3 of a tensor of 3 axes");
    cr_assert_null(ito_unsqueeze(x, 4));
    assert_error(ITO_ERR_RANGE, "unsqueeze: axis 4 of a tensor of 4 axes");
    cr_assert_null(ito_unsqueeze(counted(ITO_SHAPE(1, 1, 1, 1, 1, 1, 1, 2)), 0));
    assert_error(ITO_ERR_SHAPE, "unsqueeze: [1, 1, 1, 1, 1, 1, 1, 2] has 8 axes already");
    cr_assert_null(ito_flatten(x, 2, 1));
    assert_error(ITO_ERR_ARGUMENT, "flatten: axis 2 comes after axis 1");
    cr_assert_null(ito_flatten(x, 0, 3));
    assert_error(ITO_ERR_RANGE, "flatten: axis 3 of a tensor of 3 axes");
}

/* ---- permute
 * ------------------------------------------------------------------------------------- */

static ito_tensor *f_permute(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_permute(in[0], 2, 0, -2);
}

static ito_tensor *f_transpose(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_transpose(in[0], 0, -1);
}

void case_permute(void)
{
    ito_tensor *x = counted(ITO_SHAPE(2, 3, 4));
    ito_tensor *y = ito_permute(x, 2, 0, 1);
    assert_shape(y, ITO_SHAPE(4, 2, 3));
    cr_assert(shares(x, y));
    double want[24];
    for (int k = 0, at = 0; k < 4; k++)
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 3; j++)
                want[at++] = i * 12 + j * 4 + k;
    assert_elements(y, want, 24, 0, "permute");
    assert_elements(ito_transpose(ito_transpose(y, 0, 2), 0, 2), want, 24, 0, "transposed twice");
    assert_shape(ito_permute(counted(ITO_SHAPE())), ITO_SHAPE());
    cr_assert_null(ito_permute(x, 0, 1, 1));
    assert_error(ITO_ERR_ARGUMENT, "permute: axes [0, 1, 1] are no order of the axes of [2, 3, 4]");
    cr_assert_null(ito_permute(x, 0, 1));
    assert_error(ITO_ERR_ARGUMENT, "permute: axes [0, 1] are no order of the axes of [2, 3, 4]");
    cr_assert_null(ito_permute(x, 0, 1, 3));
    assert_error(ITO_ERR_ARGUMENT, "permute: axes [0, 1, 3] are no order of the axes of [2, 3, 4]");
    cr_assert_null(ito_transpose(x, 0, 3));
    assert_error(ITO_ERR_RANGE, "transpose: axis 3 of a tensor of 3 axes");
    op_check_run(
        (op_check){.what = "permute", .f = f_permute, .n = 1, .shape = {ITO_SHAPE(2, 3, 4)}});
    op_check_run(
        (op_check){.what = "transpose", .f = f_transpose, .n = 1, .shape = {ITO_SHAPE(2, 0, 4)}});
}

/* ---- expand
 * -------------------------------------------------------------------------------------- */

static ito_tensor *f_expand(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_expand(in[0], 2, 3, -1, 2);
}

void case_expand(void)
{
    ito_tensor *x = counted(ITO_SHAPE(3, 1));
    ito_tensor *y = ito_expand(x, 2, -1, 4);
    assert_shape(y, ITO_SHAPE(2, 3, 4));
    cr_assert(shares(x, y));
    double want[24];
    for (int i = 0; i < 24; i++)
        want[i] = i / 4 % 3;
    assert_elements(y, want, 24, 0, "expand");
    assert_shape(ito_expand(x, 3, 0), ITO_SHAPE(3, 0));
    assert_shape(ito_expand(counted(ITO_SHAPE()), 2, 2), ITO_SHAPE(2, 2));
    cr_assert_null(ito_expand(x, 4, 4));
    assert_error(ITO_ERR_SHAPE, "expand: [3, 1] does not expand to [4, 4]");
    cr_assert_null(ito_expand(x, 3));
    assert_error(ITO_ERR_SHAPE, "expand: [3, 1] does not expand to [3]");
    cr_assert_null(ito_expand(x, -1, 3, 1));
    assert_error(ITO_ERR_SHAPE, "expand: [3, 1] does not expand to [-1, 3, 1]");
    cr_assert_null(ito_expand(x, INT64_MAX, 3, 1));
    assert_error(ITO_ERR_SHAPE, "expand: [3, 1] does not expand to [9223372036854775807, 3, 1]");
    op_check_run(
        (op_check){.what = "expand", .f = f_expand, .n = 1, .shape = {ITO_SHAPE(3, 4, 1)}});
}

/* ---- slice
 * --------------------------------------------------------------------------------------- */

typedef struct bounds {
    int axis;
    int64_t start, end, step;
} bounds;

static ito_tensor *f_slice(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const bounds *b = context;
    return ito_slice(in[0], b->axis, b->start, b->end, b->step);
}

/* The elements that Python's range(start, end, step) names after its rules for bounds. */
static void check_slice(int64_t size, int64_t start, int64_t end, int64_t step)
{
    double want[32];
    int64_t n = 0;
    for (int64_t i = 0; i < size; i++) {
        int64_t s = start < 0 ? start + size : start, e = end < 0 ? end + size : end;
        s = s < 0 ? 0 : s;
        if (i >= s && i < e && (i - s) % step == 0)
            want[n++] = (double)i;
    }
    ito_tensor *x = counted(ITO_SHAPE(size));
    ito_tensor *y = ito_slice(x, 0, start, end, step);
    cr_assert(shares(x, y));
    assert_elements(y, want, n, 0, "slice");
}

void case_slice(void)
{
    for (int64_t start = -8; start <= 8; start++)
        for (int64_t end = -8; end <= 8; end++)
            for (int64_t step = 1; step <= 4; step++)
                check_slice(7, start, end, step);
    check_slice(5, 1, INT64_MAX, INT64_MAX);
    check_slice(0, 0, 3, 1);
    cr_assert_null(ito_slice(counted(ITO_SHAPE(2, 3)), 1, 0, 2, 0));
    assert_error(ITO_ERR_ARGUMENT, "slice: step 0 is not positive");
    cr_assert_null(ito_slice(counted(ITO_SHAPE(2, 3)), 2, 0, 2, 1));
    assert_error(ITO_ERR_RANGE, "slice: axis 2 of a tensor of 2 axes");
    static bounds cases[] = {
        {1, 1, 4, 1}, {1, 1, 5, 2}, {0, 0, 3, 3}, {2, -2, -1, 1}, {0, 2, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        op_check_run((op_check){.what = "slice",
                                .f = f_slice,
                                .context = &cases[i],
                                .n = 1,
                                .shape = {ITO_SHAPE(3, 5, 2)}});
}

Test(ops_view, narrow_and_select_take_what_they_name)
{
    ito_tensor *x = counted(ITO_SHAPE(2, 3));
    assert_elements(ito_narrow(x, 1, 1, 2), (double[]){1, 2, 4, 5}, 4, 0, "narrow");
    assert_shape(ito_narrow(x, 1, 3, 0), ITO_SHAPE(2, 0));
    assert_elements(ito_select(x, 1, 2), (double[]){2, 5}, 2, 0, "select");
    assert_elements(ito_select(x, -2, -1), (double[]){3, 4, 5}, 3, 0, "select from the end");
    cr_assert(shares(x, ito_select(x, 1, 2)));
    cr_assert_null(ito_narrow(x, 1, 2, 2));
    assert_error(ITO_ERR_RANGE, "narrow: axis 1 of [2, 3] has no 2 elements from 2 on");
    cr_assert_null(ito_narrow(x, 1, -1, 1));
    assert_error(ITO_ERR_RANGE, "narrow: axis 1 of [2, 3] has no 1 elements from -1 on");
    cr_assert_null(ito_narrow(x, 1, 1, INT64_MAX));
    ito_error_clear();
    cr_assert_null(ito_select(x, 0, 2));
    assert_error(ITO_ERR_RANGE, "select: axis 0 of [2, 3] has no index 2");
}

/* Sizes as torch.chunk and torch.split give them. */
Test(ops_view, chunk_and_split_cut_as_pytorch_does)
{
    ito_tensor *x = counted(ITO_SHAPE(7));
    int64_t sizes[] = {3, 3, 1};
    for (int64_t i = 0, start = 0; i < 3; start += sizes[i++]) {
        double want[3] = {(double)start, (double)start + 1, (double)start + 2};
        assert_elements(ito_chunk(x, 3, 0, i), want, sizes[i], 0, "chunk");
        assert_elements(ito_split(x, 3, 0, i), want, sizes[i], 0, "split");
    }
    ito_tensor *four = ito_narrow(x, 0, 0, 4);
    assert_shape(ito_chunk(four, 3, 0, 1), ITO_SHAPE(2)); /* two pieces of 2, not three */
    cr_assert_null(ito_chunk(four, 3, 0, 2));
    assert_error(ITO_ERR_RANGE, "chunk: no piece 2 among the 2 along axis 0 of [4]");
    cr_assert_null(ito_split(x, 3, 0, -1));
    assert_error(ITO_ERR_RANGE, "split: no piece -1 among the 3 along axis 0 of [7]");
    cr_assert_null(ito_chunk(x, 0, 0, 0));
    assert_error(ITO_ERR_ARGUMENT, "chunk: 0 pieces are not at least one");
    cr_assert_null(ito_split(x, 0, 0, 0));
    assert_error(ITO_ERR_ARGUMENT, "split: size 0 is not positive");
    ito_tensor *none = counted(ITO_SHAPE(0));
    assert_shape(ito_chunk(none, 2, 0, 1), ITO_SHAPE(0));
    assert_shape(ito_split(none, 2, 0, 0), ITO_SHAPE(0));
}

Test(ops_view, views_of_nothing_are_nothing)
{
    cr_assert_null(ito_reshape(NULL, 1));
    cr_assert_null(ito_permute(NULL, 0));
    cr_assert_null(ito_expand(NULL, 1));
    cr_assert_null(ito_squeeze(NULL, 0));
    cr_assert_null(ito_unsqueeze(NULL, 0));
    cr_assert_null(ito_flatten(NULL, 0, 0));
    cr_assert_null(ito_slice(NULL, 0, 0, 1, 1));
    cr_assert_null(ito_narrow(NULL, 0, 0, 1));
    cr_assert_null(ito_select(NULL, 0, 0));
    cr_assert_null(ito_chunk(NULL, 1, 0, 0));
    cr_assert_null(ito_split(NULL, 1, 0, 0));
    cr_assert_null(ito_transpose(NULL, 0, 1));
    cr_assert_eq(ito_error_code(), ITO_OK);
}
