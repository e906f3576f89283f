/* Concatenation. Image tensors joined along their channels stay channels-last: a U-Net's skips. */
#include "autograd/op.h"
#include "autograd/ops/layout.h"

/* The shape of all tensors joined along axis, or false with an error. */
static bool joined_shape(const op_call *c, int axis, ito_shape *shape)
{
    *shape = c->shape[0];
    for (int64_t i = 1; i < c->n; i++) {
        if (c->dtype[i] != c->dtype[0])
            return error_false(ITO_ERR_DTYPE, "cat: %s %s and %s %s do not mix (see ito_cast)",
                               ito_dtype_name(c->dtype[0]), shape_str(c->shape[0]),
                               ito_dtype_name(c->dtype[i]), shape_str(c->shape[i]));
        ito_shape other = c->shape[i];
        int64_t size = axis < other.ndim ? other.dim[axis] : 0;
        if (other.ndim > axis)
            other.dim[axis] = shape->dim[axis];
        if (!shape_equal(other, *shape))
            return error_false(ITO_ERR_SHAPE, "cat: shapes %s and %s do not join along axis %d",
                               shape_str(c->shape[0]), shape_str(c->shape[i]), axis);
        if (__builtin_add_overflow(shape->dim[axis], size, &shape->dim[axis]))
            return error_false(ITO_ERR_SHAPE, "cat: axis %d becomes too long", axis);
    }
    return true;
}

/* The order of the first tensor; of images, channels-last if one of them is so. */
static ito_tensor *joined_empty(const op_call *c, ito_shape shape)
{
    const ito_tensor *like = c->in[0];
    for (int64_t i = 0; i < c->n; i++)
        if (layout_is_nhwc(c->in[i])) {
            like = c->in[i];
            break;
        }
    return empty_in_order_of(like, shape, c->dtype[0]);
}

ito_tensor *op_cat_forward(op_call *c)
{
    int axis = *(const int *)c->params;
    ito_shape shape;
    if (!joined_shape(c, axis, &shape))
        return NULL;
    ito_tensor *out = joined_empty(c, shape);
    if (out == NULL)
        return NULL;
    int64_t offset = out->offset;
    for (int64_t i = 0; i < c->n; i++) {
        ito_tensor *part = tensor_view(out, c->shape[i], out->stride, offset);
        if (part == NULL)
            return NULL;
        tensor_copy(part, c->in[i]);
        offset += c->shape[i].dim[axis] * out->stride[axis];
    }
    return out;
}

bool op_cat_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    int axis = *(const int *)c->params;
    int64_t start = 0;
    for (int64_t i = 0; i < c->n; i++) {
        int64_t size = c->shape[i].dim[axis];
        if (c->needs[i]) {
            dx[i] = ito_narrow(dy, axis, start, size);
            if (dx[i] == NULL)
                return false;
        }
        start += size;
    }
    return true;
}

ito_tensor *ito_cat(ito_tensor *const *tensors, int64_t n, int axis)
{
    if (n < 1)
        return error_null(ITO_ERR_ARGUMENT, "cat: no tensors");
    if (tensors[0] == NULL)
        return NULL;
    int a = axis_normalize("cat", axis, tensors[0]->ndim);
    return a < 0 ? NULL : op_apply(OP_cat, tensors, n, &a, sizeof a);
}
