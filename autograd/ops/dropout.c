/* Dropout. The mask is never stored: backward draws it again from a copy of the generator.
 *
 * Element number i takes the i-th 32-bit word after the generator's offset, and is dropped where
 * the word lies below p 2^32. Elements are numbered row-major over their axes; over the axes N H W
 * C of [N, C, H, W], so that numbers follow memory in a U-Net. So the mask depends on neither
 * memory order, element type nor threads. */
#include "autograd/ops/dropout.h"
#include "autograd/ops/params.h"
#include "tensor/kernels/kernels.h"

/* x and y as rows of elements in the order of their numbers; axis ndim - 1 runs along a row. */
typedef struct number_order {
    int ndim;
    int64_t size[ITO_MAX_DIMS], x[ITO_MAX_DIMS], y[ITO_MAX_DIMS]; /* sizes and both strides */
} number_order;

static number_order order_elements(const ito_tensor *x, const ito_tensor *y)
{
    static const int nhwc[4] = {0, 2, 3, 1};
    number_order o = {0};
    for (int k = 0; k < x->ndim; k++) {
        int i = x->ndim == 4 ? nhwc[k] : k, last = o.ndim - 1;
        int64_t size = x->shape[i];
        if (size == 1)
            continue;
        if (last >= 0 && o.x[last] == size * x->stride[i] && o.y[last] == size * y->stride[i]) {
            o.size[last] *= size; /* the axis before runs on into this one */
            o.x[last] = x->stride[i];
            o.y[last] = y->stride[i];
        } else {
            o.size[o.ndim] = size;
            o.x[o.ndim] = x->stride[i];
            o.y[o.ndim++] = y->stride[i];
        }
    }
    if (o.ndim == 0)
        o = (number_order){.ndim = 1, .size = {1}, .x = {1}, .y = {1}};
    return o;
}

enum { BLOCKS = 256, WORDS = 4 * BLOCKS }; /* random words drawn at a time */

/* Elements [first, first + count), whose words are given: row by row. */
static void drop_chunk(const ito_tensor *x, ito_tensor *y, const number_order *o,
                       const uint32_t *words, uint32_t threshold, double scale, int64_t first,
                       int64_t count)
{
    const kernel_table *k = kernels(x->dtype);
    size_t element = ito_dtype_size(x->dtype);
    int inner = o->ndim - 1;
    int64_t n = 0;
    for (int64_t done = 0; done < count; done += n) {
        int64_t row = (first + done) / o->size[inner], column = (first + done) % o->size[inner];
        int64_t from = column * o->x[inner], to = column * o->y[inner];
        for (int i = inner - 1; i >= 0; i--) {
            from += row % o->size[i] * o->x[i];
            to += row % o->size[i] * o->y[i];
            row /= o->size[i];
        }
        n = o->size[inner] - column < count - done ? o->size[inner] - column : count - done;
        k->dropout((char *)tensor_data(y) + (size_t)to * element, o->y[inner],
                   (const char *)tensor_data(x) + (size_t)from * element, o->x[inner], words + done,
                   threshold, scale, n);
    }
}

uint32_t dropout_threshold(double p)
{
    double t = p * 0x1p32 + 0.5;
    return t >= 0x1p32 ? UINT32_MAX : (uint32_t)t;
}

void dropout_row(ito_dtype dtype, void *x, const ito_generator *g, double p, int64_t number,
                 int64_t n)
{
    char *at = x;
    int64_t count = 0;
    for (int64_t done = 0; done < n; done += count) {
        uint32_t words[WORDS];
        int64_t first = number + done, skip = first % 4;
        count = n - done < WORDS - skip ? n - done : WORDS - skip;
        kernels(ITO_F32)->philox(words, g->seed, g->stream, g->offset + (uint64_t)(first / 4),
                                 (skip + count + 3) / 4);
        char *row = at + (size_t)done * ito_dtype_size(dtype);
        kernels(dtype)->dropout(row, 1, row, 1, words + skip, dropout_threshold(p), 1 / (1 - p),
                                count);
    }
}

/* y = the elements of x that are kept, scaled. y may be x. */
static void drop(ito_tensor *y, const ito_tensor *x, const dropout_params *p)
{
    const ito_generator *g = &p->generator;
    number_order o = order_elements(x, y);
    int64_t n = ito_numel(x);
#pragma omp parallel for num_threads(threads_for(2 * n)) schedule(static)
    for (int64_t first = 0; first < n; first += WORDS) {
        uint32_t words[WORDS];
        int64_t count = n - first < WORDS ? n - first : WORDS;
        kernels(ITO_F32)->philox(words, g->seed, g->stream, g->offset + (uint64_t)(first / 4),
                                 (count + 3) / 4);
        drop_chunk(x, y, &o, words, dropout_threshold(p->p), 1 / (1 - p->p), first, count);
    }
}

ito_tensor *op_dropout_forward(op_call *c)
{
    const dropout_params *p = c->params;
    const ito_tensor *x = c->in[0];
    if (p->p == 0)
        return tensor_view(x, c->shape[0], x->stride, x->offset);
    ito_tensor *y = tensor_empty_as(x, x->dtype);
    if (y != NULL)
        drop(y, x, p);
    return y;
}

/* The same linear function of dy. */
bool op_dropout_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    if (c->own_dy) {
        drop(dy, dy, c->params);
        dx[0] = dy;
        return true;
    }
    dx[0] = op_apply(OP_dropout, &dy, 1, c->params, sizeof(dropout_params));
    return dx[0] != NULL;
}

ito_tensor *ito_dropout(ito_tensor *x, double p, ito_generator *g)
{
    if (x == NULL)
        return NULL;
    if (!(p >= 0 && p < 1))
        return error_null(ITO_ERR_RANGE, "dropout: probability %g is not in [0, 1)", p);
    if (g == NULL)
        return error_null(ITO_ERR_ARGUMENT, "dropout: no generator");
    dropout_params params = {.p = p, .generator = *g};
    ito_tensor *y = op_apply(OP_dropout, &x, 1, &params, sizeof params);
    if (y != NULL && p > 0)
        g->offset += (uint64_t)(ito_numel(x) + 3) / 4;
    return y;
}
