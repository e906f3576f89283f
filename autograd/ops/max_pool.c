/* Max pooling as two operations: the places of the largest elements, which have no gradient, and a
 * gather. Its gradient adds at those places; unpooling puts elements back to them. Places are
 * counted row-major over the axes of a channel, as in PyTorch, however it lies in memory. A result
 * lies as what it is made of: channels-last images stay so.
 */
#include "autograd/ops/max_pool.h"
#include "autograd/ops/layout.h"
#include "autograd/ops/params.h"
#include "tensor/convert.h"

#include <math.h>
#include <string.h>

/* ---- memory ---- */

/* A tensor [N, C, ...] whose pixels follow each other at one distance: strides in elements. */
typedef struct planes {
    int64_t images, channels, pixels;
    int64_t image, channel, pixel;
    char *data;
} planes;

static bool pixels_follow(const ito_tensor *t, int64_t *pixel)
{
    int64_t next = 0;
    bool first = true;
    for (int i = t->ndim - 1; i >= 2; i--) {
        if (t->shape[i] == 1)
            continue;
        if (!first && t->stride[i] != next)
            return false;
        *pixel = first ? t->stride[i] : *pixel;
        next = t->stride[i] * t->shape[i];
        first = false;
    }
    return true;
}

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How many blocks of so many channels there are. */
static int64_t blocks_of(const planes *p, int64_t block)
{
    return (p->channels + block - 1) / block;
}

/* t, or a row-major copy of it, as planes; false without memory. */
static bool as_planes(const ito_tensor *t, planes *p)
{
    int64_t pixel = 1;
    if (!pixels_follow(t, &pixel)) {
        t = tensor_contiguous(t);
        pixel = 1;
    }
    if (t == NULL)
        return false;
    *p = (planes){.images = t->shape[0],
                  .channels = t->shape[1],
                  .pixels = 1,
                  .image = t->stride[0],
                  .channel = t->stride[1],
                  .pixel = pixel,
                  .data = tensor_data(t)};
    for (int i = 2; i < t->ndim; i++)
        p->pixels *= t->shape[i];
    return true;
}

/* A new tensor of this shape: channels behind pixels in memory where they are so in `like`. */
static ito_tensor *empty_planes(const planes *like, ito_shape shape, ito_dtype dtype)
{
    ito_shape memory = shape;
    if (like->channel >= like->pixel || like->pixels == 1)
        return tensor_empty(shape, dtype);
    for (int i = 1; i + 1 < shape.ndim; i++)
        memory.dim[i] = shape.dim[i + 1];
    memory.dim[shape.ndim - 1] = shape.dim[1];
    ito_tensor *t = tensor_empty(memory, dtype);
    if (t == NULL)
        return NULL;
    int64_t stride[ITO_MAX_DIMS] = {t->stride[0], t->stride[shape.ndim - 1]};
    for (int i = 2; i < shape.ndim; i++)
        stride[i] = t->stride[i - 1];
    return tensor_view(t, shape, stride, 0);
}

/* A copy of t whose channels follow each other. */
static const ito_tensor *channels_behind(const ito_tensor *t)
{
    ito_shape shape = ito_shape_of(t);
    int64_t stride[ITO_MAX_DIMS] = {t->stride[0]};
    int last = t->ndim - 1;
    for (int i = 1; i < last; i++) {
        shape.dim[i] = t->shape[i + 1];
        stride[i] = t->stride[i + 1];
    }
    shape.dim[last] = t->shape[1];
    stride[last] = t->stride[1];
    ito_tensor *behind = tensor_contiguous(tensor_view(t, shape, stride, t->offset));
    if (behind == NULL)
        return NULL;
    int64_t back[ITO_MAX_DIMS] = {behind->stride[0], 1};
    for (int i = 2; i <= last; i++)
        back[i] = behind->stride[i - 1];
    return tensor_view(behind, ito_shape_of(t), back, behind->offset);
}

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

enum { CHANNELS = 32 }; /* at a time */

/* For each of n channels the place of the largest element, the first one of equals; of the last
 * NaN, if there is one. size: of the last two axes. Places are compared as numbers as wide as
 * elements, which makes vectors of both. */
#define LARGEST(type, real, whole, load)                                                           \
    static void largest_##type(int64_t *place, const char *data, const planes *x, int64_t n,       \
                               const int64_t *size, const span *s)                                 \
    {                                                                                              \
        real most[CHANNELS];                                                                       \
        whole best[CHANNELS];                                                                      \
        for (int64_t c = 0; c < n; c++) {                                                          \
            most[c] = -(real)HUGE_VAL;                                                             \
            best[c] = (whole)((s[0].from * size[1] + s[1].from) * size[2] + s[2].from);            \
        }                                                                                          \
        for (int64_t d = s[0].from; d < s[0].to; d += s[0].step)                                   \
            for (int64_t h = s[1].from; h < s[1].to; h += s[1].step)                               \
                for (int64_t w = s[2].from; w < s[2].to; w += s[2].step) {                         \
                    whole at = (whole)((d * size[1] + h) * size[2] + w);                           \
                    const type *v = (const type *)data + (int64_t)at * x->pixel;                   \
                    int64_t step = x->channel;                                                     \
                    if (step == 1)                                                                 \
                        for (int64_t c = 0; c < n; c++)                                            \
                            LARGER(real, load, c);                                                 \
                    else                                                                           \
                        for (int64_t c = 0; c < n; c++)                                            \
                            LARGER(real, load, c *step);                                           \
                }                                                                                  \
        for (int64_t c = 0; c < n; c++)                                                            \
            place[c] = (int64_t)best[c];                                                           \
    }
#define LARGER(real, load, i)                                                                      \
    do {                                                                                           \
        real here = load(v[i]);                                                                    \
        bool larger = here > most[c] || here != here;                                              \
        most[c] = larger ? here : most[c];                                                         \
        best[c] = larger ? at : best[c];                                                           \
    } while (0)
LARGEST(float, float, uint32_t, )
LARGEST(double, double, uint64_t, )
LARGEST(uint16_t, float, uint32_t, bf16_to_f32)

typedef struct pool_job {
    planes x, index;
    ito_dtype dtype;
    window_axes window;
    int64_t size[SPATIAL_AXES];
    int64_t block; /* channels at a time: 1 where they lie far apart */
} pool_job;

/* Results of `block` channels along one line of the last axis. */
static void pool_line(const pool_job *j, int64_t l)
{
    const window_axes *w = &j->window;
    int64_t blocks = blocks_of(&j->x, j->block);
    int64_t h = l % w->out[1], d = l / w->out[1] % w->out[0], rest = l / w->out[1] / w->out[0];
    int64_t image = rest / blocks, channel = rest % blocks * j->block;
    int64_t n = lesser(j->block, j->x.channels - channel), place[CHANNELS];
    const char *data = j->x.data + (image * j->x.image + channel * j->x.channel) *
                                       (int64_t)ito_dtype_size(j->dtype);
    int64_t *index = (int64_t *)(void *)j->index.data + image * j->index.image +
                     channel * j->index.channel + (d * w->out[1] + h) * w->out[2] * j->index.pixel;
    span s[SPATIAL_AXES] = {span_of(w, 0, d, j->size[0]), span_of(w, 1, h, j->size[1])};
    for (int64_t o = 0; o < w->out[2]; o++) {
        s[2] = span_of(w, 2, o, j->size[2]);
        (j->dtype == ITO_F32   ? largest_float
         : j->dtype == ITO_F64 ? largest_double
                               : largest_uint16_t)(place, data, &j->x, n, j->size, s);
        for (int64_t c = 0; c < n; c++)
            index[o * j->index.pixel + c * j->index.channel] = place[c];
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
    int n = c->shape[0].ndim - 2;
    pool_job j = {.dtype = c->dtype[0], .window = three_axes(c->params, n), .size = {1, 1, 1}};
    ito_shape shape = c->shape[0];
    int64_t elements = 1; /* of a window, about */
    for (int i = 0; i < n; i++) {
        int to = SPATIAL_AXES - n + i;
        j.size[to] = shape.dim[2 + i];
        elements *= j.window.adaptive ? j.size[to] / j.window.out[to] + 1 : j.window.kernel[to];
        shape.dim[2 + i] = j.window.out[to];
    }
    if (!as_planes(c->in[0], &j.x))
        return NULL;
    if (j.x.pixels > UINT32_MAX && j.dtype != ITO_F64)
        return error_null(ITO_ERR_SHAPE, "max_pool: x %s has more than 2^32 elements in a channel",
                          shape_str(c->shape[0]));
    ito_tensor *index = empty_planes(&j.x, shape, ITO_I64);
    if (index == NULL || !as_planes(index, &j.index))
        return NULL;
    if (j.x.channel >= j.x.pixel && j.x.channels >= CHANNELS / 4) { /* the copy pays */
        const ito_tensor *behind = channels_behind(c->in[0]);
        if (behind == NULL || !as_planes(behind, &j.x))
            return NULL;
    }
    j.block = j.x.channel < j.x.pixel ? CHANNELS : 1;
    int64_t lines = j.x.images * blocks_of(&j.x, j.block) * j.window.out[0] * j.window.out[1];
    PARALLEL_FOR(l, lines, ito_numel(index) * elements, pool_line(&j, l));
    return index;
}

ito_tensor *max_pool_indices(ito_tensor *x, const window_axes *w)
{
    return op_apply(OP_max_pool_indices, &x, 1, w, sizeof *w);
}

/* ---- reading and writing at places ---- */

/* Few elements y and many x, or the other way round; index is shaped as the few. */
typedef struct places {
    planes few, index, many;
} places;

/* The few pixels of `n` channels of an image, one after the other. */
#define AT_PLACES(name, type, statement)                                                           \
    static void name(const places *p, int64_t image, int64_t channel, int64_t n)                   \
    {                                                                                              \
        const int64_t *index = (const int64_t *)(void *)p->index.data + image * p->index.image +   \
                               channel * p->index.channel;                                         \
        type *few = (type *)(void *)p->few.data + image * p->few.image + channel * p->few.channel; \
        type *many =                                                                               \
            (type *)(void *)p->many.data + image * p->many.image + channel * p->many.channel;      \
        for (int64_t i = 0; i < p->few.pixels; i++)                                                \
            for (int64_t c = 0; c < n; c++) {                                                      \
                int64_t at = index[i * p->index.pixel + c * p->index.channel] * p->many.pixel +    \
                             c * p->many.channel;                                                  \
                int64_t k = i * p->few.pixel + c * p->few.channel;                                 \
                statement;                                                                         \
            }                                                                                      \
    }
AT_PLACES(gather_16, uint16_t, few[k] = many[at])
AT_PLACES(gather_32, uint32_t, few[k] = many[at])
AT_PLACES(gather_64, uint64_t, few[k] = many[at])
AT_PLACES(put_16, uint16_t, many[at] = few[k])
AT_PLACES(put_32, uint32_t, many[at] = few[k])
AT_PLACES(put_64, uint64_t, many[at] = few[k])
AT_PLACES(add_f32, float, many[at] += few[k])
AT_PLACES(add_f64, double, many[at] += few[k])

typedef void at_places(const places *p, int64_t image, int64_t channel, int64_t n);

/* Each channel has one thread, which takes its pixels in order. */
static void run_at_places(const places *p, at_places *run)
{
    int64_t block = p->few.channel < p->few.pixel ? CHANNELS : 1;
    int64_t blocks = blocks_of(&p->few, block);
    PARALLEL_FOR(u, p->few.images * blocks, p->few.images * p->few.channels * p->few.pixels,
                 run(p, u / blocks, u % blocks * block,
                     lesser(block, p->few.channels - u % blocks * block)));
}

ito_tensor *op_gather_places_forward(op_call *c)
{
    places p;
    if (!as_planes(c->in[0], &p.many) || !as_planes(c->in[1], &p.index))
        return NULL;
    ito_tensor *y = empty_planes(&p.index, c->shape[1], c->dtype[0]);
    if (y == NULL || !as_planes(y, &p.few))
        return NULL;
    size_t size = ito_dtype_size(y->dtype);
    run_at_places(&p, size == 2 ? gather_16 : size == 4 ? gather_32 : gather_64);
    return y;
}

bool op_gather_places_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = scatter_places(dy, c->in[1], c->shape[0], true);
    return dx[0] != NULL;
}

ito_tensor *gather_places(ito_tensor *x, ito_tensor *indices)
{
    return op_apply(OP_gather_places, (ito_tensor *[]){x, indices}, 2, NULL, 0);
}

static ito_tensor *converted(const ito_tensor *t, ito_dtype dtype)
{
    ito_tensor *y = tensor_empty_as(t, dtype);
    if (y != NULL)
        tensor_copy(y, t);
    return y;
}

/* Sums of bf16 are made in f32 and rounded once. */
ito_tensor *op_scatter_places_forward(op_call *c)
{
    const scatter_places_params *s = c->params;
    const ito_tensor *x = c->in[0];
    bool widened = s->add && x->dtype == ITO_BF16;
    places p;
    if (widened)
        x = converted(x, ITO_F32);
    if (x == NULL || !as_planes(x, &p.few) || !as_planes(c->in[1], &p.index))
        return NULL;
    ito_tensor *y = empty_planes(&p.index, s->shape, x->dtype);
    if (y == NULL || !as_planes(y, &p.many))
        return NULL;
    tensor_fill(y, 0);
    size_t size = ito_dtype_size(x->dtype);
    run_at_places(&p, s->add      ? size == 4 ? add_f32 : add_f64
                      : size == 2 ? put_16
                      : size == 4 ? put_32
                                  : put_64);
    return widened ? converted(y, ITO_BF16) : y;
}

/* Where elements are put, each place is named once, or it is as in PyTorch: an element that another
 * one replaces has a gradient all the same. */
bool op_scatter_places_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = gather_places(dy, c->in[1]);
    return dx[0] != NULL;
}

ito_tensor *scatter_places(ito_tensor *x, ito_tensor *indices, ito_shape shape, bool add)
{
    scatter_places_params p = {shape, add};
    return op_apply(OP_scatter_places, (ito_tensor *[]){x, indices}, 2, &p, sizeof p);
}
