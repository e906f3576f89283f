/* Average pooling and nearest-neighbour upsampling by a whole factor. Both carry a factor,
 *     pool: y = factor * (sum of a window),   upsample: y = factor * x repeated,
 * so that each with the same factor is exactly the other's adjoint, hence its backward.
 * Images are channels-last in memory: a window is a sum of vectors of channels.
 */
#include "autograd/op.h"
#include "tensor/kernels/kernels.h"
#include "tensor/stream.h"

#include <omp.h>
#include <string.h>

typedef struct pool_params {
    int64_t size;
    double factor;
} pool_params;

static bool is_image(const char *op, const ito_tensor *x)
{
    if (x->ndim != 4)
        ito_error_set(ITO_ERR_SHAPE, "%s: x %s is not [N, C, H, W]", op, tensor_shape_str(x));
    return x->ndim == 4;
}

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

ito_tensor *ito_avg_pool2d(ito_tensor *x, int64_t size)
{
    if (x == NULL || !is_image("avg_pool2d", x))
        return NULL;
    if (size < 1 || x->shape[2] % size != 0 || x->shape[3] % size != 0)
        return error_null(ITO_ERR_SHAPE,
                          "avg_pool2d: windows of size %" PRId64 " do not tile an image of %" PRId64
                          " x %" PRId64,
                          size, x->shape[2], x->shape[3]);
    pool_params p = {.size = size, .factor = 1.0 / ((double)size * (double)size)};
    return op_apply(OP_avg_pool2d, &x, 1, &p, sizeof p);
}

/* ---- upsample_nearest2d ---- */

/* Line i of x, wide, to the p->size lines that it becomes: the first is made where it lies, or, if
 * the result is too big for the caches, in `own`, and copied from there. */
static void upsample_line(ito_tensor *y, const ito_tensor *x, int64_t i, const pool_params *p,
                          char *own)
{
    int64_t w = x->shape[3], channels = x->shape[1];
    int64_t line = w * channels * (int64_t)ito_dtype_size(y->dtype), wide = line * p->size;
    char *to = (char *)tensor_data(y) + i * wide * p->size, *first = own != NULL ? own : to;
    kernels(y->dtype)->upsample_line(first, (const char *)tensor_data(x) + i * line, w, channels,
                                     p->size, p->factor);
    for (int64_t j = own != NULL ? 0 : 1; j < p->size; j++)
        if (own != NULL)
            stream_copy(to + j * wide, own, wide);
        else
            memcpy(to + j * wide, first, (size_t)wide);
    if (own != NULL)
        stream_end();
}

ito_tensor *op_upsample_nearest2d_forward(op_call *c)
{
    const pool_params *p = c->params;
    ito_shape s = c->shape[0];
    ito_shape shape = ITO_SHAPE(s.dim[0], s.dim[1], s.dim[2] * p->size, s.dim[3] * p->size);
    const ito_tensor *x = tensor_channels_last(c->in[0]);
    ito_tensor *y = tensor_empty_channels_last(shape, c->dtype[0]);
    if (x == NULL || y == NULL)
        return NULL;
    int64_t wide = shape.dim[3] * s.dim[1] * (int64_t)ito_dtype_size(y->dtype);
    int threads = threads_for(ito_numel(y));
    bool stream = stream_pays(wide * shape.dim[2] * s.dim[0]);
    char *own = stream ? mem_alloc((size_t)(threads * wide)) : NULL;
    if (stream && own == NULL)
        return NULL;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < s.dim[0] * s.dim[2]; i++)
        upsample_line(y, x, i, p, stream ? own + omp_get_thread_num() * wide : NULL);
    mem_free(own);
    return y;
}

bool op_upsample_nearest2d_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = op_apply(OP_avg_pool2d, &dy, 1, c->params, sizeof(pool_params));
    return dx[0] != NULL;
}

ito_tensor *ito_upsample_nearest2d(ito_tensor *x, int64_t scale)
{
    if (x == NULL || !is_image("upsample_nearest2d", x))
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
