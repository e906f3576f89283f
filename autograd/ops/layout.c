/* The memory order of results. Axes of size 1 have no place in memory, so they never decide: an
 * image of one channel counts as row-major. */
#include "autograd/ops/layout.h"

static const int row_major[ITO_MAX_DIMS] = {0, 1, 2, 3, 4, 5, 6, 7};
static const int nhwc[4] = {0, 2, 3, 1};

bool layout_follows(const ito_tensor *t, const int *order)
{
    int64_t last = INT64_MAX;
    for (int k = 0; k < t->ndim; k++) {
        int i = order[k];
        if (t->shape[i] == 1)
            continue;
        if (t->stride[i] == 0 || t->stride[i] > last)
            return false;
        last = t->stride[i];
    }
    return true;
}

bool layout_is_nhwc(const ito_tensor *t)
{
    return t->ndim == 4 && !layout_follows(t, row_major) && layout_follows(t, nhwc);
}

/* Axes from the slowest to the fastest; row-major where an axis repeats. */
static void find_order(const ito_tensor *t, int order[ITO_MAX_DIMS])
{
    for (int i = 0; i < ITO_MAX_DIMS; i++)
        order[i] = i;
    if (layout_follows(t, row_major))
        return;
    for (int i = 0; i < t->ndim; i++)
        if (t->stride[i] == 0 && t->shape[i] != 1)
            return;
    for (int i = 1; i < t->ndim; i++)
        for (int j = i; j > 0 && t->stride[order[j - 1]] < t->stride[order[j]]; j--) {
            int swap = order[j];
            order[j] = order[j - 1];
            order[j - 1] = swap;
        }
}

ito_tensor *empty_in_order_of(const ito_tensor *like, ito_shape shape, ito_dtype dtype)
{
    if (layout_is_nhwc(like))
        return tensor_empty_channels_last(shape, dtype);
    int order[ITO_MAX_DIMS];
    find_order(like, order);
    ito_shape sorted = {.ndim = shape.ndim};
    for (int k = 0; k < shape.ndim; k++)
        sorted.dim[k] = shape.dim[order[k]];
    ito_tensor *dense = tensor_empty(sorted, dtype);
    if (dense == NULL || layout_follows(like, row_major))
        return dense;
    int64_t stride[ITO_MAX_DIMS];
    for (int k = 0; k < shape.ndim; k++)
        stride[order[k]] = dense->stride[k];
    return tensor_view(dense, shape, stride, 0);
}
