/* Max pooling as two operations: the places of the largest elements, which have no gradient, and a
 * gather. Unpooling puts elements back to their places. Rows of places are counted row-major over
 * the axes of a channel, as in PyTorch.
 */
#include "autograd/ops/max_pool.h"
#include "tensor/convert.h"

#include <math.h>
#include <string.h>

/* ---- max_pool_indices ---- */

/* Elements from, from + step, .. below to. */
typedef struct span {
    int64_t from, to, step;
} span;

int64_t window_first(const window_axes *w, int i, int64_t o)
{
    int64_t from = o * w->stride[i] - w->padding[i];
    return from >= 0 ? from : from + (-from + w->dilation[i] - 1) / w->dilation[i] * w->dilation[i];
}

static span span_of(const window_axes *w, int i, int64_t o, int64_t in)
{
    span s = {.step = 1};
    if (w->adaptive) {
        spatial_cell(o, in, w->out[i], &s.from, &s.to);
        return s;
    }
    int64_t end = o * w->stride[i] - w->padding[i] + (w->kernel[i] - 1) * w->dilation[i] + 1;
    return (span){window_first(w, i, o), end < in ? end : in, w->dilation[i]};
}

/* A channel of three axes, missing ones in front of size 1. */
typedef struct channel {
    int64_t size[SPATIAL_AXES], stride[SPATIAL_AXES];
} channel;

/* The place of the largest element, the first one of equals; of the last NaN, if there is one. */
#define LARGEST(type, real, load)                                                                  \
    static int64_t largest_##type(const void *data, const channel *c, const span *s)               \
    {                                                                                              \
        const type *x = data;                                                                      \
        int64_t place = (s[0].from * c->size[1] + s[1].from) * c->size[2] + s[2].from;             \
        real most = -(real)HUGE_VAL;                                                               \
        for (int64_t d = s[0].from; d < s[0].to; d += s[0].step)                                   \
            for (int64_t h = s[1].from; h < s[1].to; h += s[1].step)                               \
                for (int64_t w = s[2].from; w < s[2].to; w += s[2].step) {                         \
                    real v = load(x[d * c->stride[0] + h * c->stride[1] + w * c->stride[2]]);      \
                    if (v > most || v != v) {                                                      \
                        most = v;                                                                  \
                        place = (d * c->size[1] + h) * c->size[2] + w;                             \
                    }                                                                              \
                }                                                                                  \
        return place;                                                                              \
    }
LARGEST(float, float, )
LARGEST(double, double, )
LARGEST(uint16_t, float, bf16_to_f32)

/* The results of one line along the last axis: line l of all lines of all channels. */
static void indices_of_line(int64_t *index, const ito_tensor *x, const window_axes *w,
                            const channel *c, int64_t l)
{
    int64_t h = l % w->out[1], d = l / w->out[1] % w->out[0], plane = l / w->out[1] / w->out[0];
    int64_t at = plane / x->shape[1] * x->stride[0] + plane % x->shape[1] * x->stride[1];
    const char *data = (const char *)tensor_data(x) + at * (int64_t)ito_dtype_size(x->dtype);
    span s[SPATIAL_AXES] = {span_of(w, 0, d, c->size[0]), span_of(w, 1, h, c->size[1])};
    int64_t (*largest)(const void *, const channel *, const span *) =
        x->dtype == ITO_F32   ? largest_float
        : x->dtype == ITO_F64 ? largest_double
                              : largest_uint16_t;
    for (int64_t o = 0; o < w->out[2]; o++) {
        s[2] = span_of(w, 2, o, c->size[2]);
        index[l * w->out[2] + o] = largest(data, c, s);
    }
}

/* The windows of n axes as those of three. */
static window_axes three_axes(const window_axes *w, int n)
{
    window_axes t = {.adaptive = w->adaptive,
                     .out = {1, 1, 1},
                     .kernel = {1, 1, 1},
                     .stride = {1, 1, 1},
                     .dilation = {1, 1, 1}};
    for (int i = 0; i < n; i++) {
        int to = SPATIAL_AXES - n + i;
        t.out[to] = w->out[i];
        t.kernel[to] = w->kernel[i];
        t.stride[to] = w->stride[i];
        t.padding[to] = w->padding[i];
        t.dilation[to] = w->dilation[i];
    }
    return t;
}

ito_tensor *op_max_pool_indices_forward(op_call *c)
{
    const ito_tensor *x = c->in[0];
    int n = x->ndim - 2;
    window_axes w = three_axes(c->params, n);
    channel plane = {.size = {1, 1, 1}};
    ito_shape shape = c->shape[0];
    int64_t elements = 1; /* of a window, about */
    for (int i = 0; i < n; i++) {
        int to = SPATIAL_AXES - n + i;
        plane.size[to] = x->shape[2 + i];
        plane.stride[to] = x->stride[2 + i];
        shape.dim[2 + i] = w.out[to];
        elements *= w.adaptive ? x->shape[2 + i] / w.out[to] + 1 : w.kernel[to];
    }
    ito_tensor *index = tensor_empty(shape, ITO_I64);
    if (index == NULL)
        return NULL;
    int64_t total = ito_numel(index), *to = tensor_data(index);
    PARALLEL_FOR(l, total / w.out[2], total * elements, indices_of_line(to, x, &w, &plane, l));
    return index;
}

ito_tensor *max_pool_indices(ito_tensor *x, const window_axes *w)
{
    return op_apply(OP_max_pool_indices, &x, 1, w, sizeof *w);
}

/* ---- places ---- */

ito_tensor *gather_places(ito_tensor *x, ito_tensor *indices)
{
    enum { AXIS = 2 };
    int axis = AXIS;
    if (x == NULL || indices == NULL)
        return NULL;
    ito_tensor *in[] = {ito_flatten(x, AXIS, -1), ito_flatten(indices, AXIS, -1)};
    ito_tensor *y = op_apply(OP_gather, in, 2, &axis, sizeof axis);
    return ito_reshape_to(y, ito_shape_of(indices));
}

static void put_back(char *y, const char *x, const int64_t *index, int64_t n, size_t size)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(y + (size_t)index[i] * size, x + (size_t)i * size, size);
}

ito_tensor *op_max_unpool_forward(op_call *c)
{
    const ito_shape *shape = c->params;
    const ito_tensor *x = tensor_contiguous(c->in[0]), *index = tensor_contiguous(c->in[1]);
    ito_tensor *y = tensor_empty(*shape, c->dtype[0]);
    if (x == NULL || index == NULL || y == NULL)
        return NULL;
    tensor_fill(y, 0);
    int64_t planes = shape->dim[0] * shape->dim[1], total = ito_numel(x);
    if (total == 0)
        return y;
    int64_t from = total / planes, to = ito_numel(y) / planes;
    size_t size = ito_dtype_size(y->dtype);
    PARALLEL_FOR(i, planes, total,
                 put_back((char *)tensor_data(y) + (size_t)(i * to) * size,
                          (const char *)tensor_data(x) + (size_t)(i * from) * size,
                          (const int64_t *)tensor_data(index) + i * from, from, size));
    return y;
}

/* Each place is named once, or as PyTorch: an element that another one overwrites has a gradient
 * all the same. */
bool op_max_unpool_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = gather_places(dy, c->in[1]);
    return dx[0] != NULL;
}

ito_tensor *max_unpool(ito_tensor *x, ito_tensor *indices, ito_shape shape)
{
    return op_apply(OP_max_unpool, (ito_tensor *[]){x, indices}, 2, &shape, sizeof shape);
}
