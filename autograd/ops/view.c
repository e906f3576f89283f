/* Views: the same storage seen with another shape or other strides. Only reshape may copy. */
#include "autograd/op.h"
#include "autograd/ops/index.h"
#include "autograd/ops/pad.h"
#include "autograd/ops/params.h"

/* ---- reshape
 * ------------------------------------------------------------------------------------- */

/* The strides that show t's elements, in order, in another shape of as many; false if none do.
 * Going from the last axis to the first, old axes that run on into each other form a block, and new
 * axes must fill each block exactly. */
static bool reshape_strides(const ito_tensor *t, ito_shape shape, int64_t *stride)
{
    int64_t size[ITO_MAX_DIMS + 1], step[ITO_MAX_DIMS + 1];
    int old = 0, next = shape.ndim - 1;
    for (int i = 0; i < t->ndim; i++) /* axes of size 1 have no say */
        if (t->shape[i] != 1) {
            size[old] = t->shape[i];
            step[old++] = t->stride[i];
        }
    if (old == 0 || ito_numel(t) == 0) {
        for (int64_t i = next, run = 1; i >= 0; run *= shape.dim[i] > 0 ? shape.dim[i] : 1, i--)
            stride[i] = run;
        return true;
    }
    int64_t base = step[old - 1], block = 1;
    for (int i = old - 1; i >= 0; i--) {
        block *= size[i];
        if (i > 0 && step[i - 1] == block * base)
            continue;
        int64_t filled = 1;
        for (; next >= 0 && (filled < block || shape.dim[next] == 1); next--) {
            stride[next] = filled * base;
            filled *= shape.dim[next];
        }
        if (filled != block)
            return false;
        base = i > 0 ? step[i - 1] : base;
        block = 1;
    }
    return true;
}

ito_tensor *op_reshape_forward(op_call *c)
{
    const reshape_params *p = c->params;
    const ito_tensor *x = c->in[0];
    int64_t stride[ITO_MAX_DIMS];
    if (!reshape_strides(x, p->shape, stride)) {
        if (p->view)
            return error_null(ITO_ERR_SHAPE,
                              "view: the strides of %s allow no view as %s (see ito_reshape)",
                              tensor_shape_str(x), shape_str(p->shape));
        x = tensor_contiguous(x);
        if (x == NULL || !reshape_strides(x, p->shape, stride))
            return NULL;
    }
    return tensor_view(x, p->shape, stride, x->offset);
}

bool op_reshape_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = ito_reshape_to(dy, c->shape[0]);
    return dx[0] != NULL;
}

/* shape with its -1 replaced by what is left of x's elements; false with an error. */
static bool fill_in(const char *op, const ito_tensor *x, ito_shape *shape)
{
    int64_t known = 1, total = ito_numel(x);
    int open = -1;
    ito_shape given = *shape;
    bool fits = given.ndim >= 0 && given.ndim <= ITO_MAX_DIMS;
    for (int i = 0; fits && i < given.ndim; i++) {
        if (given.dim[i] == -1 && open < 0)
            open = i;
        else
            known = checked_mul(known, given.dim[i]);
        fits = known >= 0;
    }
    if (fits && open >= 0) {
        fits = known > 0 && total % known == 0;
        shape->dim[open] = fits ? total / known : 0;
    } else if (fits) {
        fits = known == total;
    }
    if (!fits)
        ito_error_set(ITO_ERR_SHAPE, "%s: %s of %" PRId64 " elements does not become %s", op,
                      tensor_shape_str(x), total, shape_str(given));
    return fits;
}

static ito_tensor *reshape(const char *op, ito_tensor *x, ito_shape shape, bool view)
{
    reshape_params p = {.shape = shape, .view = view};
    if (x == NULL || !fill_in(op, x, &p.shape))
        return NULL;
    return op_apply(OP_reshape, &x, 1, &p, sizeof p);
}

ito_tensor *ito_reshape_to(ito_tensor *x, ito_shape shape)
{
    return reshape("reshape", x, shape, false);
}

ito_tensor *ito_view_to(ito_tensor *x, ito_shape shape)
{
    return reshape("view", x, shape, true);
}

ito_tensor *ito_squeeze(ito_tensor *x, int axis)
{
    int a = x == NULL ? -1 : axis_normalize("squeeze", axis, x->ndim);
    if (a < 0)
        return NULL;
    if (x->shape[a] != 1)
        return error_null(ITO_ERR_SHAPE, "squeeze: axis %d of %s is not of size 1", a,
                          tensor_shape_str(x));
    ito_shape shape = ito_shape_of(x);
    for (int i = a; i + 1 < shape.ndim; i++)
        shape.dim[i] = shape.dim[i + 1];
    shape.ndim--;
    return reshape("squeeze", x, shape, true);
}

ito_tensor *ito_unsqueeze(ito_tensor *x, int axis)
{
    if (x == NULL)
        return NULL;
    if (x->ndim == ITO_MAX_DIMS)
        return error_null(ITO_ERR_SHAPE, "unsqueeze: %s has 8 axes already", tensor_shape_str(x));
    int a = axis_normalize("unsqueeze", axis, x->ndim + 1);
    if (a < 0)
        return NULL;
    ito_shape shape = ito_shape_of(x);
    for (int i = shape.ndim++; i > a; i--)
        shape.dim[i] = shape.dim[i - 1];
    shape.dim[a] = 1;
    return reshape("unsqueeze", x, shape, true);
}

ito_tensor *ito_flatten(ito_tensor *x, int first, int last)
{
    if (x == NULL)
        return NULL;
    int axes = x->ndim > 0 ? x->ndim : 1; /* a number becomes a list of one */
    int a = axis_normalize("flatten", first, axes);
    int b = a < 0 ? -1 : axis_normalize("flatten", last, axes);
    if (b < 0)
        return NULL;
    if (a > b)
        return error_null(ITO_ERR_ARGUMENT, "flatten: axis %d comes after axis %d", a, b);
    ito_shape old = ito_shape_of(x), shape = {0};
    for (int i = 0; i < axes; i++) {
        int64_t size = i < old.ndim ? old.dim[i] : 1;
        if (i > a && i <= b)
            shape.dim[a] *= size; /* no overflow: part of a shape that exists */
        else
            shape.dim[shape.ndim++] = size;
    }
    return reshape("flatten", x, shape, false);
}

/* ---- permute
 * ------------------------------------------------------------------------------------- */

ito_tensor *op_permute_forward(op_call *c)
{
    const ito_shape *axes = c->params; /* non-negative */
    const ito_tensor *x = c->in[0];
    ito_shape shape = {.ndim = x->ndim};
    int64_t stride[ITO_MAX_DIMS];
    for (int i = 0; i < x->ndim; i++) {
        shape.dim[i] = x->shape[axes->dim[i]];
        stride[i] = x->stride[axes->dim[i]];
    }
    return tensor_view(x, shape, stride, x->offset);
}

bool op_permute_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const ito_shape *axes = c->params;
    ito_shape inverse = {.ndim = axes->ndim};
    for (int i = 0; i < axes->ndim; i++)
        inverse.dim[axes->dim[i]] = i;
    dx[0] = ito_permute_to(dy, inverse);
    return dx[0] != NULL;
}

ito_tensor *ito_permute_to(ito_tensor *x, ito_shape axes)
{
    if (x == NULL)
        return NULL;
    ito_shape order = {.ndim = x->ndim};
    unsigned seen = 0;
    bool fits = axes.ndim == x->ndim;
    for (int i = 0; fits && i < x->ndim; i++) {
        int64_t a = axes.dim[i] < 0 ? axes.dim[i] + x->ndim : axes.dim[i];
        fits = a >= 0 && a < x->ndim && (seen >> a & 1) == 0;
        order.dim[i] = a;
        seen |= fits ? 1u << a : 0;
    }
    if (!fits)
        return error_null(ITO_ERR_ARGUMENT, "permute: axes %s are no order of the axes of %s",
                          shape_str(axes), tensor_shape_str(x));
    return op_apply(OP_permute, &x, 1, &order, sizeof order);
}

ito_tensor *ito_transpose(ito_tensor *x, int axis0, int axis1)
{
    int a = x == NULL ? -1 : axis_normalize("transpose", axis0, x->ndim);
    int b = a < 0 ? -1 : axis_normalize("transpose", axis1, x->ndim);
    if (b < 0)
        return NULL;
    ito_shape axes = {.ndim = x->ndim};
    for (int i = 0; i < x->ndim; i++)
        axes.dim[i] = i == a ? b : i == b ? a : i;
    return ito_permute_to(x, axes);
}

/* ---- expand
 * -------------------------------------------------------------------------------------- */

ito_tensor *op_expand_forward(op_call *c)
{
    const ito_shape *shape = c->params; /* without -1 */
    const ito_tensor *x = c->in[0];
    int front = shape->ndim - x->ndim;
    int64_t stride[ITO_MAX_DIMS];
    for (int i = 0; i < shape->ndim; i++)
        stride[i] = i < front || x->shape[i - front] != shape->dim[i] ? 0 : x->stride[i - front];
    return tensor_view(x, *shape, stride, x->offset);
}

bool op_expand_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = sum_to_shape(dy, c->shape[0]);
    return dx[0] != NULL;
}

ito_tensor *ito_expand_to(ito_tensor *x, ito_shape shape)
{
    if (x == NULL)
        return NULL;
    ito_shape full = shape;
    int front = shape.ndim - x->ndim;
    bool fits = front >= 0 && shape.ndim <= ITO_MAX_DIMS;
    for (int i = 0; fits && i < shape.ndim; i++) {
        int64_t size = i < front ? 1 : x->shape[i - front];
        if (i >= front && full.dim[i] == -1)
            full.dim[i] = size;
        fits = full.dim[i] >= 0 && (size == full.dim[i] || size == 1);
    }
    if (!fits || shape_numel(full) < 0)
        return error_null(ITO_ERR_SHAPE, "expand: %s does not expand to %s", tensor_shape_str(x),
                          shape_str(shape));
    return op_apply(OP_expand, &x, 1, &full, sizeof full);
}

/* ---- slice
 * --------------------------------------------------------------------------------------- */

ito_tensor *op_slice_forward(op_call *c)
{
    const slice_params *p = c->params;
    const ito_tensor *x = c->in[0];
    ito_shape shape = ito_shape_of(x);
    int64_t stride[ITO_MAX_DIMS];
    for (int i = 0; i < x->ndim; i++)
        stride[i] = x->stride[i];
    shape.dim[p->axis] = p->count;
    if (p->count > 1) /* else step times stride might overflow */
        stride[p->axis] *= p->step;
    return tensor_view(x, shape, stride,
                       x->offset + (p->count > 0 ? p->start * x->stride[p->axis] : 0));
}

/* dy where the slice was, zeros around and between. */
bool op_slice_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const slice_params *p = c->params;
    int64_t size = c->shape[0].dim[p->axis];
    if (p->step == 1 || p->count < 2) {
        pad_params pad = {0};
        pad.before[p->axis] = p->start;
        pad.after[p->axis] = size - p->start - p->count;
        dx[0] = pad_axes(dy, &pad);
    } else {
        ito_tensor *index = tensor_empty(ITO_SHAPE(p->count), ITO_I64);
        if (index == NULL)
            return false;
        int64_t *k = tensor_data(index);
        for (int64_t i = 0; i < p->count; i++)
            k[i] = p->start + i * p->step;
        dx[0] = index_add_to_zeros(dy, p->axis, index, size);
    }
    return dx[0] != NULL;
}

static ito_tensor *slice(ito_tensor *x, int axis, int64_t start, int64_t count, int64_t step)
{
    slice_params p = {.axis = axis, .start = start, .count = count, .step = step};
    return op_apply(OP_slice, &x, 1, &p, sizeof p);
}

static int64_t clip(int64_t bound, int64_t size)
{
    bound = bound < 0 ? bound + size : bound;
    return bound < 0 ? 0 : bound > size ? size : bound;
}

ito_tensor *ito_slice(ito_tensor *x, int axis, int64_t start, int64_t end, int64_t step)
{
    int a = x == NULL ? -1 : axis_normalize("slice", axis, x->ndim);
    if (a < 0)
        return NULL;
    if (step < 1)
        return error_null(ITO_ERR_ARGUMENT, "slice: step %" PRId64 " is not positive", step);
    int64_t first = clip(start, x->shape[a]), last = clip(end, x->shape[a]);
    return slice(x, a, first, first < last ? (last - first - 1) / step + 1 : 0, step);
}

ito_tensor *ito_narrow(ito_tensor *x, int axis, int64_t start, int64_t length)
{
    int a = x == NULL ? -1 : axis_normalize("narrow", axis, x->ndim);
    if (a < 0)
        return NULL;
    if (start < 0 || length < 0 || start > x->shape[a] || length > x->shape[a] - start)
        return error_null(ITO_ERR_RANGE,
                          "narrow: axis %d of %s has no %" PRId64 " elements from %" PRId64 " on",
                          a, tensor_shape_str(x), length, start);
    return slice(x, a, start, length, 1);
}

ito_tensor *ito_select(ito_tensor *x, int axis, int64_t index)
{
    int a = x == NULL ? -1 : axis_normalize("select", axis, x->ndim);
    if (a < 0)
        return NULL;
    int64_t size = x->shape[a], i = index < 0 ? index + size : index;
    if (i < 0 || i >= size)
        return error_null(ITO_ERR_RANGE, "select: axis %d of %s has no index %" PRId64, a,
                          tensor_shape_str(x), index);
    return ito_squeeze(slice(x, a, i, 1, 1), a);
}

/* The index-th of the `pieces` pieces of this size, the last maybe shorter. */
static ito_tensor *piece(const char *op, ito_tensor *x, int axis, int64_t size, int64_t pieces,
                         int64_t index)
{
    if (index < 0 || index >= pieces)
        return error_null(ITO_ERR_RANGE,
                          "%s: no piece %" PRId64 " among the %" PRId64 " along axis %d of %s", op,
                          index, pieces, axis, tensor_shape_str(x));
    int64_t start = index * size, left = x->shape[axis] - start;
    return slice(x, axis, start, size < left ? size : left, 1);
}

/* As in PyTorch the pieces have the size rounded up, so there may be fewer than n. */
ito_tensor *ito_chunk(ito_tensor *x, int64_t n, int axis, int64_t index)
{
    int a = x == NULL ? -1 : axis_normalize("chunk", axis, x->ndim);
    if (a < 0)
        return NULL;
    if (n < 1)
        return error_null(ITO_ERR_ARGUMENT, "chunk: %" PRId64 " pieces are not at least one", n);
    int64_t total = x->shape[a], size = total / n + (total % n > 0);
    return piece("chunk", x, a, size, size == 0 ? n : (total - 1) / size + 1, index);
}

ito_tensor *ito_split(ito_tensor *x, int64_t size, int axis, int64_t index)
{
    int a = x == NULL ? -1 : axis_normalize("split", axis, x->ndim);
    if (a < 0)
        return NULL;
    if (size < 1)
        return error_null(ITO_ERR_ARGUMENT, "split: size %" PRId64 " is not positive", size);
    int64_t total = x->shape[a];
    return piece("split", x, a, size, total == 0 ? 1 : (total - 1) / size + 1, index);
}
