/* Padding and reversal. */
#include "autograd/ops/pad.h"
#include "autograd/ops.h"
#include "autograd/ops/layout.h"
#include "autograd/ops/spatial.h"

/* ---- pad
 * ----------------------------------------------------------------------------------------- */

static int64_t positive(int64_t n)
{
    return n > 0 ? n : 0;
}

/* The padded shape, or false with an error. */
static bool padded_shape(const pad_params *p, ito_shape in, ito_shape *out)
{
    *out = in;
    for (int i = 0; i < in.ndim; i++) {
        int64_t size;
        if (__builtin_add_overflow(in.dim[i], p->before[i], &size) ||
            __builtin_add_overflow(size, p->after[i], &size) || size < 0 ||
            p->before[i] < -in.dim[i] || p->after[i] < -in.dim[i])
            return error_false(ITO_ERR_SHAPE,
                               "pad: %" PRId64 " before and %" PRId64
                               " after do not fit axis %d of %s",
                               p->before[i], p->after[i], i, shape_str(in));
        out->dim[i] = size;
    }
    return true;
}

/* The part of t that is [first, first + count) along axis. */
static bool narrow_to(ito_shape *shape, int64_t *offset, const int64_t *stride, int axis,
                      int64_t first, int64_t count)
{
    shape->dim[axis] = count;
    *offset += first * stride[axis];
    return count > 0;
}

/* Fills the border of `out` axis by axis: before and after the inner part along this axis, within
 * the inner part along the axes before it, all along those behind it. So nothing is written twice.
 * *shape and *offset become those of the inner part. */
static bool fill_border(const pad_params *p, const ito_tensor *out, ito_shape *shape,
                        int64_t *offset)
{
    for (int i = 0; i < out->ndim; i++) {
        int64_t before = positive(p->before[i]), after = positive(p->after[i]);
        int64_t inner = out->shape[i] - before - after;
        for (int side = 0; side < 2; side++) {
            ito_shape slab = *shape;
            int64_t at = *offset;
            if (!narrow_to(&slab, &at, out->stride, i, side == 0 ? 0 : before + inner,
                           side == 0 ? before : after))
                continue;
            ito_tensor *border = tensor_view(out, slab, out->stride, at);
            if (border == NULL)
                return false;
            tensor_fill(border, p->value);
        }
        narrow_to(shape, offset, out->stride, i, before, inner);
    }
    return true;
}

ito_tensor *op_pad_forward(op_call *c)
{
    const pad_params *p = c->params;
    const ito_tensor *x = c->in[0];
    ito_shape shape, kept = c->shape[0];
    if (!padded_shape(p, c->shape[0], &shape))
        return NULL;
    int64_t from = x->offset;
    for (int i = 0; i < x->ndim; i++) {
        int64_t cut = positive(-p->before[i]);
        narrow_to(&kept, &from, x->stride, i, cut, x->shape[i] - cut - positive(-p->after[i]));
    }
    if (shape_numel(kept) == 0)
        from = x->offset;
    ito_tensor *part = tensor_view(x, kept, x->stride, from);
    if (part == NULL || shape_equal(kept, shape))
        return part;
    ito_tensor *out = empty_in_order_of(x, shape, x->dtype);
    if (out == NULL)
        return NULL;
    int64_t at = out->offset;
    if (!fill_border(p, out, &shape, &at))
        return NULL;
    ito_tensor *inner = tensor_view(out, kept, out->stride, at);
    if (inner == NULL)
        return NULL;
    tensor_copy(inner, part);
    return out;
}

/* What was added is cut, what was cut is added. */
bool op_pad_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const pad_params *p = c->params;
    pad_params q = {0};
    for (int i = 0; i < dy->ndim; i++) {
        q.before[i] = -p->before[i];
        q.after[i] = -p->after[i];
    }
    dx[0] = pad_axes(dy, &q);
    return dx[0] != NULL;
}

bool tangent_pad(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    pad_params p = *(const pad_params *)c->params;
    p.value = 0;
    *dt = pad_axes(t[0], &p);
    return *dt != NULL;
}

ito_tensor *pad_axes(ito_tensor *x, const pad_params *p)
{
    return op_apply(OP_pad, &x, 1, p, sizeof *p);
}

ito_tensor *ito_pad_with(ito_tensor *x, double value, ito_shape pads)
{
    if (x == NULL)
        return NULL;
    if (pads.ndim < 0 || pads.ndim % 2 != 0 || pads.ndim / 2 > x->ndim)
        return error_null(ITO_ERR_ARGUMENT, "pad: %d numbers are no pairs for the axes of %s",
                          pads.ndim, tensor_shape_str(x));
    pad_params p = {.value = value};
    for (int i = 0; i < pads.ndim / 2; i++) {
        p.before[x->ndim - 1 - i] = pads.dim[2 * i];
        p.after[x->ndim - 1 - i] = pads.dim[2 * i + 1];
    }
    return pad_axes(x, &p);
}

/* ---- other borders --------------------------------------------------------------------------- */

/* axis of x with `before` and `after` more; x itself for none. */
static ito_tensor *pad_by_mode(ito_tensor *x, int axis, int64_t before, int64_t after,
                               ito_padding_mode mode)
{
    if (x == NULL)
        return NULL;
    int64_t size = x->shape[axis], total;
    if (before < -size || after < -size || __builtin_add_overflow(size, before, &total) ||
        __builtin_add_overflow(total, after, &total) || total < 0)
        return error_null(ITO_ERR_SHAPE,
                          "pad_mode: %" PRId64 " before and %" PRId64
                          " after do not fit axis %d of %s",
                          before, after, axis, tensor_shape_str(x));
    return spatial_mode_fits("pad_mode", size, before, after, mode)
               ? spatial_pad(x, axis, before, after, mode)
               : NULL;
}

ito_tensor *ito_pad_mode(ito_tensor *x, ito_shape pads, ito_padding_mode mode)
{
    if (mode == ITO_PADDING_ZEROS)
        return ito_pad_with(x, 0, pads);
    if (x == NULL)
        return NULL;
    if ((unsigned)mode > ITO_PADDING_CIRCULAR)
        return error_null(ITO_ERR_ARGUMENT, "pad_mode: %d is no mode of padding", (int)mode);
    if (pads.ndim < 0 || pads.ndim % 2 != 0 || pads.ndim / 2 > x->ndim)
        return error_null(ITO_ERR_ARGUMENT, "pad_mode: %d numbers are no pairs for the axes of %s",
                          pads.ndim, tensor_shape_str(x));
    ito_scope_begin();
    ito_tensor *y = x;
    for (int i = 0; i < pads.ndim / 2; i++)
        y = pad_by_mode(y, x->ndim - 1 - i, pads.dim[2 * i], pads.dim[2 * i + 1], mode);
    y = ito_keep(y == x ? ito_clone(x) : y);
    ito_scope_end();
    return y;
}

/* ---- flip ------------------------------------------------------------------------------------ */

ito_tensor *op_flip_forward(op_call *c)
{
    unsigned axes = *(const unsigned *)c->params; /* a bit for each */
    const ito_tensor *x = c->in[0];
    int64_t stride[ITO_MAX_DIMS], last = x->offset;
    for (int i = 0; i < x->ndim; i++) {
        bool turned = (axes >> i & 1) != 0;
        /* for this copy only: no tensor that leaves has such strides */
        stride[i] = turned ? -x->stride[i] : x->stride[i];
        last += turned ? positive(x->shape[i] - 1) * x->stride[i] : 0;
    }
    ito_tensor *out = tensor_empty_as(x, x->dtype);
    ito_tensor *reversed = tensor_view(x, c->shape[0], stride, last);
    if (out == NULL || reversed == NULL)
        return NULL;
    tensor_copy(out, reversed);
    return out;
}

static ito_tensor *flip(ito_tensor *x, unsigned axes)
{
    return op_apply(OP_flip, &x, 1, &axes, sizeof axes);
}

bool op_flip_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = flip(dy, *(const unsigned *)c->params);
    return dx[0] != NULL;
}

ito_tensor *ito_flip_to(ito_tensor *x, ito_shape axes)
{
    unsigned bits = 0;
    if (x == NULL)
        return NULL;
    for (int i = 0; i < axes.ndim; i++) {
        int a = axis_normalize("flip", axes.dim[i], x->ndim);
        if (a < 0)
            return NULL;
        if ((bits >> a & 1) != 0)
            return error_null(ITO_ERR_ARGUMENT, "flip: axis %d appears twice in %s", a,
                              shape_str(axes));
        bits |= 1u << a;
    }
    return flip(x, bits);
}
