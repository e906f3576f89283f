/* Windows: every one along an axis, and those of images as columns (im2col) with its transpose.
 * Windows overlap, so they are read by index_select, whose gradient adds; and added by index_add.
 */
#include "autograd/ops.h"
#include "autograd/ops/index.h"
#include "autograd/ops/lines.h"

/* Where the elements of n windows lie: i64 [n size], window by window if by_window, else element by
 * element: window i begins at i step, element j of it stands at j dilation from there. */
static ito_tensor *window_index(int64_t n, int64_t step, int64_t size, int64_t dilation,
                                bool by_window)
{
    ito_tensor *index = tensor_empty(ITO_SHAPE(n * size), ITO_I64);
    if (index == NULL)
        return NULL;
    int64_t *k = tensor_data(index);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < size; j++)
            k[by_window ? i * size + j : j * n + i] = i * step + j * dilation;
    return index;
}

/* ---- along an axis --------------------------------------------------------------------------- */

static ito_tensor *unfold_axis(ito_tensor *x, int axis, int64_t n, int64_t size, int64_t step)
{
    ito_tensor *y = index_select_entries(x, axis, window_index(n, step, size, 1, true));
    y = ito_unflatten(y, axis, ITO_SHAPE(n, size));
    return ito_movedim(y, ITO_DIMS(axis + 1), ITO_DIMS(-1));
}

ito_tensor *ito_unfold_axis(ito_tensor *x, int axis, int64_t size, int64_t step)
{
    int a = x == NULL ? -1 : axis_normalize("unfold_axis", axis, x->ndim);
    if (a < 0)
        return NULL;
    if (x->ndim == ITO_MAX_DIMS)
        return error_null(ITO_ERR_SHAPE, "unfold_axis: %s has 8 axes already", tensor_shape_str(x));
    if (step < 1)
        return error_null(ITO_ERR_ARGUMENT, "unfold_axis: step %" PRId64 " is not positive", step);
    if (size < 0 || size > x->shape[a])
        return error_null(ITO_ERR_SHAPE,
                          "unfold_axis: windows of %" PRId64 " do not fit axis %d of %s", size, a,
                          tensor_shape_str(x));
    ito_scope_begin();
    ito_tensor *y = ito_keep(unfold_axis(x, a, (x->shape[a] - size) / step + 1, size, step));
    ito_scope_end();
    return y;
}

/* ---- of images ------------------------------------------------------------------------------- */

/* One side of an image and of its windows. */
typedef struct side {
    int64_t size, kernel, dilation, padding, stride, windows;
} side;

/* Two numbers, each at least `least`; false with an error. */
static bool pair(const char *op, const char *what, ito_shape list, int64_t least, int64_t *two)
{
    if (list.ndim != 1 && list.ndim != 2)
        return error_false(ITO_ERR_ARGUMENT, "%s: %s is one number or two, not %d", op, what,
                           list.ndim);
    for (int i = 0; i < 2; i++) {
        two[i] = list.dim[list.ndim == 1 ? 0 : i];
        if (two[i] < least || two[i] > INT32_MAX)
            return error_false(ITO_ERR_ARGUMENT, "%s: %s %" PRId64 " is out of range", op, what,
                               two[i]);
    }
    return true;
}

/* How windows lie in an image of `size`; false with an error. */
static bool sides(const char *op, const int64_t *size, ito_shape kernel,
                  const ito_unfold_options *o, side *s)
{
    int64_t k[2], dilation[2], padding[2], stride[2];
    if (!pair(op, "kernel", kernel, 1, k) || !pair(op, "dilation", o->dilation, 1, dilation) ||
        !pair(op, "padding", o->padding, 0, padding) || !pair(op, "stride", o->stride, 1, stride))
        return false;
    for (int i = 0; i < 2; i++) {
        s[i] = (side){size[i], k[i], dilation[i], padding[i], stride[i], 0};
        int64_t left = size[i] + 2 * padding[i] - dilation[i] * (k[i] - 1) - 1;
        if (left < 0)
            return error_false(ITO_ERR_SHAPE,
                               "%s: a kernel of %" PRId64 " with dilation %" PRId64
                               " does not fit %" PRId64 " pixels with padding %" PRId64,
                               op, k[i], dilation[i], size[i], padding[i]);
        s[i].windows = left / stride[i] + 1;
    }
    return true;
}

/* [.., C, H, W] -> [.., C, KH OH, KW OW], element by element. */
static ito_tensor *read_windows(ito_tensor *x, const side *s)
{
    ito_tensor *y = ito_pad(x, 0, s[1].padding, s[1].padding, s[0].padding, s[0].padding);
    for (int i = 0; i < 2 && y != NULL; i++)
        y = index_select_entries(
            y, y->ndim - 2 + i,
            window_index(s[i].windows, s[i].stride, s[i].kernel, s[i].dilation, false));
    return y;
}

/* The transpose of read_windows. */
static ito_tensor *add_windows(ito_tensor *x, const side *s)
{
    ito_tensor *y = x;
    for (int i = 0; i < 2 && y != NULL; i++)
        y = index_add_to_zeros(
            y, y->ndim - 2 + i,
            window_index(s[i].windows, s[i].stride, s[i].kernel, s[i].dilation, false),
            s[i].size + 2 * s[i].padding);
    return ito_pad(y, 0, -s[1].padding, -s[1].padding, -s[0].padding, -s[0].padding);
}

ito_tensor *ito_unfold_with(ito_tensor *x, ito_shape kernel, ito_unfold_options options)
{
    side s[2];
    if (x == NULL || !takes_reals("unfold", x))
        return NULL;
    if (x->ndim != 3 && x->ndim != 4)
        return error_null(ITO_ERR_SHAPE, "unfold: %s is neither [N, C, H, W] nor [C, H, W]",
                          tensor_shape_str(x));
    if (!sides("unfold", &x->shape[x->ndim - 2], kernel, &options, s))
        return NULL;
    int64_t n = x->ndim == 4 ? x->shape[0] : 1, c = x->shape[x->ndim - 3];
    int64_t taps = s[0].kernel * s[1].kernel, windows = s[0].windows * s[1].windows;
    ito_scope_begin();
    ito_tensor *y = read_windows(x, s);
    y = ito_reshape(y, n, c, s[0].kernel, s[0].windows, s[1].kernel, s[1].windows);
    y = ito_permute(y, 0, 1, 2, 4, 3, 5);
    y = x->ndim == 4 ? ito_reshape(y, n, c * taps, windows) : ito_reshape(y, c * taps, windows);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_fold_with(ito_tensor *x, ito_shape output, ito_shape kernel,
                          ito_unfold_options options)
{
    side s[2];
    int64_t size[2];
    if (x == NULL || !takes_reals("fold", x))
        return NULL;
    if (x->ndim != 2 && x->ndim != 3)
        return error_null(ITO_ERR_SHAPE, "fold: %s is neither [N, C KH KW, L] nor [C KH KW, L]",
                          tensor_shape_str(x));
    if (!pair("fold", "output", output, 1, size) || !sides("fold", size, kernel, &options, s))
        return NULL;
    int64_t taps = s[0].kernel * s[1].kernel, windows = s[0].windows * s[1].windows;
    int64_t n = x->ndim == 3 ? x->shape[0] : 1, rows = x->shape[x->ndim - 2];
    if (rows % taps != 0 || x->shape[x->ndim - 1] != windows)
        return error_null(ITO_ERR_SHAPE,
                          "fold: %s has no columns of %" PRId64 " taps in %" PRId64 " windows",
                          tensor_shape_str(x), taps, windows);
    int64_t c = rows / taps;
    ito_scope_begin();
    ito_tensor *y = ito_reshape(x, n, c, s[0].kernel, s[1].kernel, s[0].windows, s[1].windows);
    y = ito_permute(y, 0, 1, 2, 4, 3, 5);
    ito_shape images = x->ndim == 3
                           ? ITO_SHAPE(n, c, s[0].kernel * s[0].windows, s[1].kernel * s[1].windows)
                           : ITO_SHAPE(c, s[0].kernel * s[0].windows, s[1].kernel * s[1].windows);
    y = ito_keep(add_windows(ito_reshape_to(y, images), s));
    ito_scope_end();
    return y;
}
