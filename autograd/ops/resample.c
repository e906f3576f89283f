/* y = W x along one axis, where W is a sparse matrix that a rule makes: pooling by averages and all
 * interpolation is this, an axis at a time. Backward is the product with the transposed matrix, the
 * same operation with its flag turned, so gradients of any order follow.
 *
 * Rules are those of PyTorch (aten/src/ATen/native/UpSample.h, Pool.h): cubic is Keys' kernel with
 * a = -0.75, antialiased -0.5 (Keys 1981, IEEE TASSP 29, eq. 15); antialiasing widens the kernel by
 * the scale. A row of y is a sum in the order of x's entries and has one writer.
 */
#include "autograd/ops/resample.h"
#include "autograd/ops/layout.h"
#include "autograd/ops/spatial.h"
#include "tensor/convert.h"

#include <math.h>

/* ---- rules: the entries [first, first + count) that output i takes, and their weights ---- */

typedef struct taps {
    int64_t first, count;
} taps;

static taps clipped(int64_t from, int64_t to, int64_t in)
{
    from = from < 0 ? 0 : from;
    to = to > in ? in : to;
    return (taps){from, to > from ? to - from : 0};
}

static taps window(const resample_params *p, int64_t i, double *weight)
{
    int64_t from = i * p->stride - p->padding, to = from + p->kernel;
    to = to > p->in + p->padding ? p->in + p->padding : to;
    taps t = clipped(from, to, p->in);
    double each = p->average == AVERAGE_FACTOR
                      ? p->factor
                      : 1 / (double)(p->average == AVERAGE_PADDED ? to - from : t.count);
    for (int64_t k = 0; k < t.count; k++)
        weight[k] = each;
    return t;
}

static taps adaptive(const resample_params *p, int64_t i, double *weight)
{
    int64_t from, to;
    spatial_cell(i, p->in, p->out, &from, &to);
    for (int64_t k = 0; k < to - from; k++)
        weight[k] = 1 / (double)(to - from);
    return (taps){from, to - from};
}

/* PyTorch rounds the place to f32 first, which mends most products that fall short of a whole
 * number. */
static taps nearest(const resample_params *p, int64_t i, double *weight)
{
    double half = p->rule == RESAMPLE_NEAREST_EXACT ? 0.5 : 0;
    int64_t at = (int64_t)floorf((float)(((double)i + half) * p->scale));
    weight[0] = 1;
    return (taps){at < p->in - 1 ? at : p->in - 1, 1};
}

/* Where output i lies in the input. */
static double place(const resample_params *p, int64_t i)
{
    return p->align_corners ? p->scale * (double)i : p->scale * ((double)i + 0.5) - 0.5;
}

static taps linear(const resample_params *p, int64_t i, double *weight)
{
    double at = p->in == p->out ? (double)i : fmax(place(p, i), 0);
    int64_t first = (int64_t)floor(at);
    weight[0] = 1;
    if (first >= p->in - 1)
        return (taps){p->in - 1, 1};
    weight[1] = at - (double)first;
    weight[0] -= weight[1];
    return (taps){first, 2};
}

/* Keys' kernel at a distance of x. */
static double keys(double x, double a)
{
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* Entries outside repeat the border. */
static taps cubic(const resample_params *p, int64_t i, double *weight)
{
    double at = place(p, i), low = floor(at);
    taps t = clipped((int64_t)low - 1, (int64_t)low + 3, p->in);
    if (t.count == 0)
        t = (taps){low < 0 ? 0 : p->in - 1, 1};
    for (int64_t k = 0; k < t.count; k++)
        weight[k] = 0;
    for (int64_t k = (int64_t)low - 1; k < (int64_t)low + 3; k++) {
        int64_t inside = k < t.first ? t.first : k >= t.first + t.count ? t.first + t.count - 1 : k;
        weight[inside - t.first] += keys(at - (double)k, -0.75);
    }
    return t;
}

/* The kernel, as wide as an output pixel where that is more than an input pixel, about the middle
 * of output i; weights add up to 1. */
static taps antialiased(const resample_params *p, int64_t i, double *weight)
{
    double wide = fmax(p->scale, 1), reach = (p->rule == RESAMPLE_LINEAR ? 1 : 2) * wide;
    double middle = p->scale * ((double)i + 0.5), sum = 0;
    taps t = clipped((int64_t)(middle - reach + 0.5), (int64_t)(middle + reach + 0.5), p->in);
    for (int64_t k = 0; k < t.count; k++) {
        double x = ((double)(t.first + k) - middle + 0.5) / wide;
        weight[k] = p->rule == RESAMPLE_LINEAR ? fmax(1 - fabs(x), 0) : keys(x, -0.5);
        sum += weight[k];
    }
    for (int64_t k = 0; k < t.count && sum != 0; k++)
        weight[k] /= sum;
    return t;
}

static taps row_of(const resample_params *p, int64_t i, double *weight)
{
    switch (p->rule) {
    case RESAMPLE_WINDOWS:
        return window(p, i, weight);
    case RESAMPLE_ADAPTIVE:
        return adaptive(p, i, weight);
    case RESAMPLE_NEAREST:
    case RESAMPLE_NEAREST_EXACT:
        return nearest(p, i, weight);
    case RESAMPLE_LINEAR:
        return p->antialias ? antialiased(p, i, weight) : linear(p, i, weight);
    default:
        return p->antialias ? antialiased(p, i, weight) : cubic(p, i, weight);
    }
}

/* How many entries an output takes at most. */
static int64_t most_taps(const resample_params *p)
{
    int64_t most = 4;
    if (p->rule == RESAMPLE_WINDOWS)
        most = p->kernel;
    else if (p->rule == RESAMPLE_ADAPTIVE)
        most = p->in / p->out + 2;
    else if (p->antialias)
        most = p->scale < (double)p->in ? 4 * (int64_t)(p->scale + 1) + 2 : p->in;
    return most < p->in ? most : p->in;
}

/* ---- the matrix by rows ---- */

/* Row r takes entries column[begin[r]], .., column[begin[r + 1] - 1]. */
typedef struct matrix {
    int64_t rows, *begin, *column;
    double *weight;
    void *memory;
} matrix;

static bool matrix_alloc(matrix *m, int64_t rows, int64_t entries)
{
    int64_t words = checked_mul(entries, 2);
    *m = (matrix){.rows = rows};
    if (words < 0 || words > INT64_MAX / 16 - rows - 1) {
        ito_error_set(ITO_ERR_MEMORY, "resample: %" PRId64 " weights do not fit in memory",
                      entries);
        return false;
    }
    m->memory = mem_alloc((size_t)(words + rows + 1) * sizeof(int64_t));
    if (m->memory == NULL)
        return false;
    m->begin = m->memory;
    m->column = m->begin + rows + 1;
    m->weight = (double *)(void *)(m->column + entries);
    return true;
}

static bool matrix_of(const resample_params *p, matrix *m)
{
    int64_t entries = checked_mul(p->out, most_taps(p));
    if (!matrix_alloc(m, p->out, entries < 0 ? INT64_MAX : entries))
        return false;
    int64_t count = 0;
    for (int64_t i = 0; i < p->out; i++) {
        taps t = row_of(p, i, m->weight + count);
        m->begin[i] = count;
        for (int64_t k = 0; k < t.count; k++)
            m->column[count++] = t.first + k;
    }
    m->begin[p->out] = count;
    return true;
}

/* The transpose, whose rows list their columns in ascending order. */
static bool transpose_of(const matrix *m, int64_t columns, matrix *t)
{
    int64_t entries = m->begin[m->rows];
    if (!matrix_alloc(t, columns, entries))
        return false;
    for (int64_t r = 0; r <= columns; r++)
        t->begin[r] = 0;
    for (int64_t k = 0; k < entries; k++)
        t->begin[m->column[k] + 1]++;
    for (int64_t r = 0; r < columns; r++)
        t->begin[r + 1] += t->begin[r];
    for (int64_t r = 0; r < m->rows; r++)
        for (int64_t k = m->begin[r]; k < m->begin[r + 1]; k++) {
            int64_t at = t->begin[m->column[k]]++;
            t->column[at] = r;
            t->weight[at] = m->weight[k];
        }
    for (int64_t r = columns; r > 0; r--)
        t->begin[r] = t->begin[r - 1];
    t->begin[0] = 0;
    return true;
}

/* ---- the product ---- */

/* y [inner] = row r of m times x [size][inner]; and y [rows][inner] = m x for few inner ones. */
#define PRODUCT(name, type, real, load, store)                                                     \
    static void product_##name(void *to, const void *from, const matrix *m, int64_t r,             \
                               int64_t inner)                                                      \
    {                                                                                              \
        enum { BLOCK = 128 };                                                                      \
        type *y = to;                                                                              \
        const type *x = from;                                                                      \
        for (int64_t j = 0; j < inner; j += BLOCK) {                                               \
            int64_t n = inner - j < BLOCK ? inner - j : BLOCK;                                     \
            real sum[BLOCK];                                                                       \
            for (int64_t b = 0; b < n; b++)                                                        \
                sum[b] = 0;                                                                        \
            for (int64_t k = m->begin[r]; k < m->begin[r + 1]; k++) {                              \
                const type *entry = x + m->column[k] * inner + j;                                  \
                real weight = (real)m->weight[k];                                                  \
                for (int64_t b = 0; b < n; b++)                                                    \
                    sum[b] += weight * load(entry[b]);                                             \
            }                                                                                      \
            for (int64_t b = 0; b < n; b++)                                                        \
                y[j + b] = store(sum[b]);                                                          \
        }                                                                                          \
    }                                                                                              \
    static void line_##name(void *to, const void *from, const matrix *m, int64_t inner)            \
    {                                                                                              \
        type *y = to;                                                                              \
        const type *x = from;                                                                      \
        for (int64_t r = 0; r < m->rows; r++)                                                      \
            for (int64_t b = 0; b < inner; b++) {                                                  \
                real sum = 0;                                                                      \
                for (int64_t k = m->begin[r]; k < m->begin[r + 1]; k++)                            \
                    sum += (real)m->weight[k] * load(x[m->column[k] * inner + b]);                 \
                y[r * inner + b] = store(sum);                                                     \
            }                                                                                      \
    }
PRODUCT(f32, float, float, , )
PRODUCT(f64, double, double, , )
PRODUCT(bf16, uint16_t, float, bf16_to_f32, f32_to_bf16)

/* The loops of a dtype. */
typedef struct loops {
    void (*product)(void *, const void *, const matrix *, int64_t, int64_t);
    void (*line)(void *, const void *, const matrix *, int64_t);
} loops;

static loops loops_of(ito_dtype dtype)
{
    return dtype == ITO_F32   ? (loops){product_f32, line_f32}
           : dtype == ITO_F64 ? (loops){product_f64, line_f64}
                              : (loops){product_bf16, line_bf16};
}

static void multiply(ito_tensor *y, const ito_tensor *x, int axis, const matrix *m)
{
    enum { FEW = 8 };
    int64_t size = x->shape[axis], inner = 1, total = ito_numel(y);
    for (int i = 0; i < x->ndim; i++) /* the axes that lie within this one in memory */
        if (size > 1 ? x->shape[i] != 1 && x->stride[i] < x->stride[axis] : i > axis)
            inner *= x->shape[i];
    if (total == 0)
        return;
    int64_t rows = m->rows, outer = total / inner / rows, work = outer * m->begin[rows] * inner;
    int64_t bytes = inner * (int64_t)ito_dtype_size(x->dtype);
    char *to = tensor_data(y);
    const char *from = tensor_data(x);
    loops f = loops_of(x->dtype);
    if (inner < FEW) {
        PARALLEL_FOR(u, outer, work,
                     f.line(to + u * rows * bytes, from + u * size * bytes, m, inner));
    } else {
        PARALLEL_FOR(u, outer * rows, work,
                     f.product(to + u * bytes, from + u / rows * size * bytes, m, u % rows, inner));
    }
}

/* x itself if it is dense and its axis is longer than 1, so that its stride says where it lies. */
static const ito_tensor *dense(const ito_tensor *x, int axis)
{
    return tensor_is_dense(x) && x->shape[axis] > 1 ? x : tensor_contiguous(x);
}

ito_tensor *op_resample_forward(op_call *c)
{
    const resample_params *p = c->params;
    matrix m, t;
    ito_shape shape = c->shape[0];
    shape.dim[p->axis] = p->transposed ? p->in : p->out;
    const ito_tensor *x = dense(c->in[0], p->axis);
    ito_tensor *y = x == NULL ? NULL : empty_in_order_of(x, shape, c->dtype[0]);
    if (y == NULL || !matrix_of(p, &m))
        return NULL;
    if (p->transposed) {
        bool made = transpose_of(&m, p->in, &t);
        mem_free(m.memory);
        if (!made)
            return NULL;
        m = t;
    }
    multiply(y, x, p->axis, &m);
    mem_free(m.memory);
    return y;
}

bool op_resample_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    resample_params p = *(const resample_params *)c->params;
    p.transposed = !p.transposed;
    dx[0] = resample(dy, &p);
    return dx[0] != NULL;
}

ito_tensor *resample(ito_tensor *x, const resample_params *p)
{
    return op_apply(OP_resample, &x, 1, p, sizeof *p);
}

ito_tensor *resample_axes(ito_tensor *x, const resample_params *p, int n)
{
    if (x == NULL)
        return NULL;
    ito_dtype dtype = x->dtype;
    ito_scope_begin();
    ito_tensor *y = n > 1 && dtype == ITO_BF16 ? ito_cast(x, ITO_F32) : x;
    for (int i = n - 1; i >= 0; i--)
        y = resample(y, &p[i]);
    y = y == NULL || y->dtype == dtype ? y : ito_cast(y, dtype);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}
