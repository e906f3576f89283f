/* Average pooling and nearest-neighbour upsampling by a whole factor. Both carry a factor,
 *     pool: y = factor * (sum of a window),   upsample: y = factor * x repeated,
 * so that each with the same factor is exactly the other's adjoint, hence its backward.
 * Images are channels-last in memory: a window is a sum of vectors of channels.
 */
#include "autograd/ops/pool.h"
#include "autograd/ops/params.h"
#include "autograd/ops/spatial.h"
#include "tensor/kernels/kernels.h"

#include <string.h>

/* ---- avg_pool2d ---- */

ito_tensor *op_avg_pool2d_forward(op_call *c)
{
    const pool_params *p = c->params;
    ito_shape s = c->shape[0];
    int64_t channels = s.dim[1], oh = s.dim[2] / p->size, ow = s.dim[3] / p->size;
    const ito_tensor *x = tensor_channels_last(c->in[0]);
    ito_tensor *y = tensor_empty_channels_last(ITO_SHAPE(s.dim[0], channels, oh, ow), c->dtype[0]);
    if (x == NULL || y == NULL)
        return NULL;
    const kernel_table *k = kernels(y->dtype);
    const char *from = tensor_data(x);
    char *to = tensor_data(y);
    int64_t line = ow * channels * (int64_t)ito_dtype_size(y->dtype), lines = s.dim[0] * oh;
#pragma omp parallel for num_threads(threads_for(ito_numel(x))) schedule(static)
    for (int64_t i = 0; i < lines; i++)
        k->pool_line(to + i * line, from + i * line * p->size * p->size, ow, channels, p->size,
                     p->factor);
    return y;
}

bool op_avg_pool2d_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = op_apply(OP_upsample_nearest2d, &dy, 1, c->params, sizeof(pool_params));
    return dx[0] != NULL;
}

ito_tensor *avg_pool_tiles(ito_tensor *x, int64_t size)
{
    pool_params p = {.size = size, .factor = 1.0 / ((double)size * (double)size)};
    return op_apply(OP_avg_pool2d, &x, 1, &p, sizeof p);
}

/* ---- upsample_nearest2d ---- */

ito_tensor *op_upsample_nearest2d_forward(op_call *c)
{
    const pool_params *p = c->params;
    ito_shape s = c->shape[0];
    int64_t channels = s.dim[1], w = s.dim[3];
    ito_shape shape = ITO_SHAPE(s.dim[0], channels, s.dim[2] * p->size, w * p->size);
    const ito_tensor *x = tensor_channels_last(c->in[0]);
    ito_tensor *y = tensor_empty_channels_last(shape, c->dtype[0]);
    if (x == NULL || y == NULL)
        return NULL;
    const kernel_table *k = kernels(y->dtype);
    const char *from = tensor_data(x);
    char *to = tensor_data(y);
    int64_t line = w * channels * (int64_t)ito_dtype_size(y->dtype), lines = s.dim[0] * s.dim[2];
    int64_t wide = line * p->size;
#pragma omp parallel for num_threads(threads_for(ito_numel(y))) schedule(static)
    for (int64_t i = 0; i < lines; i++) {
        char *first = to + i * wide * p->size;
        k->upsample_line(first, from + i * line, w, channels, p->size, p->factor);
        for (int64_t j = 1; j < p->size; j++)
            memcpy(first + j * wide, first, (size_t)wide);
    }
    return y;
}

bool op_upsample_nearest2d_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = op_apply(OP_avg_pool2d, &dy, 1, c->params, sizeof(pool_params));
    return dx[0] != NULL;
}

ito_tensor *ito_upsample_nearest2d(ito_tensor *x, int64_t scale)
{
    if (x == NULL || !spatial_rank_fits("upsample_nearest2d", x, 2))
        return NULL;
    if (scale < 1)
        return error_null(ITO_ERR_ARGUMENT, "upsample_nearest2d: scale %" PRId64 " is less than 1",
                          scale);
    if (checked_mul(x->shape[2], scale) < 0 || checked_mul(x->shape[3], scale) < 0)
        return error_null(ITO_ERR_SHAPE,
                          "upsample_nearest2d: an image of %" PRId64 " x %" PRId64
                          " cannot grow by %" PRId64,
                          x->shape[2], x->shape[3], scale);
    pool_params p = {.size = scale, .factor = 1.0};
    return op_apply(OP_upsample_nearest2d, &x, 1, &p, sizeof p);
}
