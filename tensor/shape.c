/* Sizes, strides and layouts: products are checked for overflow here and nowhere else. */
#include "tensor/internal.h"

int64_t checked_mul(int64_t a, int64_t b)
{
    int64_t product;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product))
        return -1;
    return product;
}

/* A size 0 anywhere makes 0, unless the others alone overflow: such a shape is refused. */
int64_t sizes_numel(const ito_shape *sizes)
{
    int64_t n = 1;
    bool empty = false;
    for (int i = 0; i < sizes->ndim; i++) {
        if (sizes->dim[i] == 0)
            empty = true;
        else
            n = checked_mul(n, sizes->dim[i]);
        if (n < 0)
            return -1;
    }
    return empty ? 0 : n;
}

int64_t shape_numel(ito_shape shape)
{
    return sizes_numel(&shape);
}

int64_t ito_shape_numel(ito_shape shape)
{
    return shape_numel(shape);
}

bool shape_equal(ito_shape a, ito_shape b)
{
    if (a.ndim != b.ndim)
        return false;
    for (int i = 0; i < a.ndim; i++)
        if (a.dim[i] != b.dim[i])
            return false;
    return true;
}

bool tensor_has_shape(const ito_tensor *t, const ito_shape *shape)
{
    if (t->ndim != shape->ndim)
        return false;
    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] != shape->dim[i])
            return false;
    return true;
}

bool shape_broadcast(ito_shape a, ito_shape b, ito_shape *out)
{
    ito_shape s = {.ndim = a.ndim > b.ndim ? a.ndim : b.ndim};
    for (int i = 1; i <= s.ndim; i++) {
        int64_t da = i <= a.ndim ? a.dim[a.ndim - i] : 1;
        int64_t db = i <= b.ndim ? b.dim[b.ndim - i] : 1;
        if (da != db && da != 1 && db != 1)
            return false;
        s.dim[s.ndim - i] = da == 1 ? db : da;
    }
    *out = s;
    return true;
}

int axis_normalize(const char *op, int64_t axis, int ndim)
{
    if (axis >= -ndim && axis < ndim)
        return (int)(axis < 0 ? axis + ndim : axis);
    ito_error_set(ITO_ERR_RANGE, "%s: axis %" PRId64 " of a tensor of %d axes", op, axis, ndim);
    return -1;
}

bool ito_is_contiguous(const ito_tensor *t)
{
    if (t == NULL)
        return false;
    int64_t expected = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        if (t->shape[i] == 0)
            return true;
        if (t->shape[i] != 1 && t->stride[i] != expected)
            return false;
        expected *= t->shape[i];
    }
    return true;
}

/* As strides of [N, H, W, C] would have it; axes of size 1 may have any stride. */
bool ito_is_channels_last(const ito_tensor *t)
{
    if (t == NULL || t->ndim != 4)
        return false;
    static const int order[4] = {1, 3, 2, 0};
    int64_t expected = 1;
    for (int k = 0; k < 4; k++) {
        int i = order[k];
        if (t->shape[i] == 0)
            return true;
        if (t->shape[i] != 1 && t->stride[i] != expected)
            return false;
        expected *= t->shape[i];
    }
    return true;
}

bool tensor_is_dense(const ito_tensor *t)
{
    if (ito_is_contiguous(t))
        return true;
    int64_t expected = 1;
    bool seen[ITO_MAX_DIMS] = {false};
    for (int i = 0; i < t->ndim; i++) {
        if (t->shape[i] == 0)
            return true;
        seen[i] = t->shape[i] == 1;
    }
    for (int k = 0; k < t->ndim; k++) {
        int next = -1;
        for (int i = 0; i < t->ndim; i++)
            if (!seen[i] && t->stride[i] == expected)
                next = i;
        if (next < 0)
            break;
        seen[next] = true;
        expected *= t->shape[next];
    }
    for (int i = 0; i < t->ndim; i++)
        if (!seen[i])
            return false;
    return true;
}

bool tensor_same_layout(const ito_tensor *a, const ito_tensor *b)
{
    if (a->ndim != b->ndim)
        return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] != b->shape[i] || (a->shape[i] != 1 && a->stride[i] != b->stride[i]))
            return false;
    return true;
}
