/* Where the largest elements of windows are, and reading and writing at such places. Internal; the
 * public functions are in pool_axes.c. */
#ifndef ITO_OPS_MAX_POOL_H
#define ITO_OPS_MAX_POOL_H

#include "autograd/ops/spatial.h"

/* Window o along an axis has the elements o stride - padding, .. + dilation, .. that are inside, or
 * those of an adaptive cell. The sizes are checked, and each window sees an element. */
typedef struct window_axes {
    bool adaptive;
    int64_t out[SPATIAL_AXES];
    int64_t kernel[SPATIAL_AXES], stride[SPATIAL_AXES], padding[SPATIAL_AXES],
        dilation[SPATIAL_AXES];
} window_axes;

/* The first element that window o sees along axis i, which may be outside. */
int64_t window_first(const window_axes *w, int i, int64_t o);
/* i64 [N, C, out]: the places of the largest elements of x [N, C, ...] in their channel, counted
 * row-major. */
ito_tensor *max_pool_indices(ito_tensor *x, const window_axes *w);
/* The elements of x [N, C, ...] at indices [N, C, out], which are inside. */
ito_tensor *gather_places(ito_tensor *x, ito_tensor *indices);
/* Zeros of this shape [N, C, ...], to which x's elements are added at indices, shaped as x and
 * inside; or which they replace, the last one of equal places. */
ito_tensor *scatter_places(ito_tensor *x, ito_tensor *indices, ito_shape shape, bool add);

#endif
