/* Element-wise copies between any strides and dtypes.
 *
 * Axes are sorted by the destination's strides and neighbours that join are merged, so that a copy
 * between dense tensors becomes one run and a transpose a loop over rows. */
#include "tensor/convert.h"
#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"
#include "tensor/nontemporal.h"

#include <string.h>

typedef struct copy_plan {
    int ndim; /* axis ndim - 1 is the fastest */
    int64_t size[ITO_MAX_DIMS], to[ITO_MAX_DIMS], from[ITO_MAX_DIMS];
} copy_plan;

static void plan_swap(copy_plan *p, int i, int j)
{
    int64_t size = p->size[i], to = p->to[i], from = p->from[i];
    p->size[i] = p->size[j], p->to[i] = p->to[j], p->from[i] = p->from[j];
    p->size[j] = size, p->to[j] = to, p->from[j] = from;
}

static copy_plan plan_copy(const ito_tensor *dst, const ito_tensor *src)
{
    copy_plan p = {0};
    for (int i = 0; i < dst->ndim; i++)
        if (dst->shape[i] != 1) {
            p.size[p.ndim] = dst->shape[i];
            p.to[p.ndim] = dst->stride[i];
            p.from[p.ndim++] = src->stride[i];
        }
    for (int i = 1; i < p.ndim; i++)
        for (int j = i; j > 0 && p.to[j - 1] < p.to[j]; j--)
            plan_swap(&p, j - 1, j);
    for (int i = p.ndim - 2; i >= 0; i--) /* merge i + 1 into i where both sides run on */
        if (p.to[i] == p.size[i + 1] * p.to[i + 1] && p.from[i] == p.size[i + 1] * p.from[i + 1]) {
            p.size[i] *= p.size[i + 1];
            p.to[i] = p.to[i + 1];
            p.from[i] = p.from[i + 1];
            for (int j = i + 1; j + 1 < p.ndim; j++)
                plan_swap(&p, j, j + 1);
            p.ndim--;
        }
    if (p.ndim == 0) {
        p.ndim = 1;
        p.size[0] = 1;
        p.to[0] = p.from[0] = 1;
    }
    return p;
}

typedef void row_fn(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t n);

/* Rows of one type: moves, no conversion. */
#define COPY_ROW(type)                                                                             \
    static void copy_row_##type(void *to, int64_t ts, const void *from, int64_t fs, int64_t n)     \
    {                                                                                              \
        type *y = to;                                                                              \
        const type *x = from;                                                                      \
        if (ts == 1 && fs == 1)                                                                    \
            memcpy(y, x, (size_t)n * sizeof *y);                                                   \
        else                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                        \
                y[i * ts] = x[i * fs];                                                             \
    }
COPY_ROW(uint8_t)
COPY_ROW(uint16_t)
COPY_ROW(uint32_t)
COPY_ROW(uint64_t)

static row_fn *move_row(size_t size)
{
    return size == 1   ? copy_row_uint8_t
           : size == 2 ? copy_row_uint16_t
           : size == 4 ? copy_row_uint32_t
                       : copy_row_uint64_t;
}

/* Conversions go through double, which holds every f32, bf16, f16, i32, u8 exactly; i64 to i64 is
 * a move. A float to an integer drops the fraction; NaN becomes 0, out of range the nearest bound.
 */
static double load_element(const void *p, ito_dtype dtype, int64_t i)
{
    switch (dtype) {
    case ITO_F32:
        return (double)((const float *)p)[i];
    case ITO_F64:
        return ((const double *)p)[i];
    case ITO_BF16:
        return (double)bf16_to_f32(((const uint16_t *)p)[i]);
    case ITO_F16:
        return (double)f16_to_f32(((const uint16_t *)p)[i]);
    case ITO_I32:
        return ((const int32_t *)p)[i];
    case ITO_I64:
        return (double)((const int64_t *)p)[i];
    default:
        return ((const uint8_t *)p)[i];
    }
}

static int64_t to_integer(double v, double low, double high, int64_t low_value, int64_t high_value)
{
    return v != v ? 0 : v <= low ? low_value : v >= high ? high_value : (int64_t)v;
}

static void store_element(void *p, ito_dtype dtype, int64_t i, double v)
{
    switch (dtype) {
    case ITO_F32:
        ((float *)p)[i] = (float)v;
        break;
    case ITO_F64:
        ((double *)p)[i] = v;
        break;
    case ITO_BF16:
        ((uint16_t *)p)[i] = f32_to_bf16((float)v);
        break;
    case ITO_F16:
        ((uint16_t *)p)[i] = f32_to_f16((float)v);
        break;
    case ITO_I32:
        ((int32_t *)p)[i] = (int32_t)to_integer(v, -0x1p31, 0x1p31, INT32_MIN, INT32_MAX);
        break;
    case ITO_I64:
        ((int64_t *)p)[i] = to_integer(v, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX);
        break;
    case ITO_U8:
        ((uint8_t *)p)[i] = (uint8_t)to_integer(v, 0, 255, 0, 255);
        break;
    default:
        ((uint8_t *)p)[i] = v != 0;
    }
}

static void convert_row(void *to, ito_dtype td, int64_t ts, const void *from, ito_dtype fd,
                        int64_t fs, int64_t n)
{
    bool dense = ts == 1 && fs == 1;
    if (dense && td == ITO_F32 && (fd == ITO_BF16 || fd == ITO_F64)) {
        kernels(fd)->to_f32(to, from, n);
    } else if (dense && fd == ITO_F32 && (td == ITO_BF16 || td == ITO_F64)) {
        kernels(td)->from_f32(to, from, n);
    } else if (fd == ITO_U8 && td == ITO_F32) {
        for (int64_t i = 0; i < n; i++)
            ((float *)to)[i * ts] = ((const uint8_t *)from)[i * fs];
    } else if (fd == ITO_F32 && td == ITO_BF16) {
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)to)[i * ts] = f32_to_bf16(((const float *)from)[i * fs]);
    } else if (fd == ITO_BF16 && td == ITO_F32) {
        for (int64_t i = 0; i < n; i++)
            ((float *)to)[i * ts] = bf16_to_f32(((const uint16_t *)from)[i * fs]);
    } else {
        for (int64_t i = 0; i < n; i++)
            store_element(to, td, i * ts, load_element(from, fd, i * fs));
    }
}

/* The axis along which the source runs, if that is another than the destination's and moves are by
 * the square: a transpose of many rows. -1 otherwise. */
static int transposed_axis(const copy_plan *p)
{
    enum { LEAST = 8 };
    int inner = p->ndim - 1;
    if (p->to[inner] != 1 || p->from[inner] == 1 || p->size[inner] < LEAST)
        return -1;
    for (int i = 0; i < inner; i++)
        if (p->from[i] == 1 && p->size[i] >= LEAST)
            return i;
    return -1;
}

/* A block of the axes `axis` and inner at a time, by the kernel for elements of this size. */
static void copy_transposed(const copy_plan *p, int axis, char *to, const char *from,
                            ito_dtype moved)
{
    enum { ROWS = 256, COLUMNS = 64 };
    int inner = p->ndim - 1;
    int64_t size = (int64_t)ito_dtype_size(moved), blocks = 1;
    copy_plan q = *p; /* counts blocks along the two axes */
    q.size[inner] = (p->size[inner] + ROWS - 1) / ROWS;
    q.size[axis] = (p->size[axis] + COLUMNS - 1) / COLUMNS;
    q.to[inner] = ROWS, q.from[inner] = ROWS * p->from[inner];
    q.to[axis] = COLUMNS * p->to[axis], q.from[axis] = COLUMNS;
    int64_t elements = 1;
    for (int i = 0; i < p->ndim; i++) {
        blocks *= q.size[i];
        elements *= p->size[i];
    }
    const kernel_table *k = kernels(moved);
#pragma omp parallel for num_threads(threads_for(elements)) schedule(static)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t rest = b, t = 0, f = 0, row = 0, column = 0;
        for (int i = inner; i >= 0; i--) {
            int64_t at = rest % q.size[i];
            t += at * q.to[i], f += at * q.from[i], rest /= q.size[i];
            row = i == inner ? at * ROWS : row;
            column = i == axis ? at * COLUMNS : column;
        }
        int64_t rows = p->size[inner] - row, columns = p->size[axis] - column;
        k->transpose(to + t * size, p->to[axis], from + f * size, p->from[inner],
                     rows < ROWS ? rows : ROWS, columns < COLUMNS ? columns : COLUMNS);
    }
}

/* A copy row by row: the rows of n elements along the fastest axis, each in parts where there is
 * but one. */
typedef struct row_copy {
    const copy_plan *plan;
    ito_dtype to_dtype, from_dtype;
    char *to;
    const char *from;
    row_fn *move; /* NULL: convert */
    bool nontemporal;
} row_copy;

static void copy_row_at(const row_copy *c, int64_t t, int64_t f, int64_t n)
{
    int inner = c->plan->ndim - 1;
    int64_t ts = c->plan->to[inner], fs = c->plan->from[inner];
    int64_t size = (int64_t)ito_dtype_size(c->to_dtype);
    char *to = c->to + t * size;
    const char *from = c->from + f * (int64_t)ito_dtype_size(c->from_dtype);
    if (c->nontemporal)
        nontemporal_copy(to, from, n * size);
    else if (c->move != NULL)
        c->move(to, ts, from, fs, n);
    else
        convert_row(to, c->to_dtype, ts, from, c->from_dtype, fs, n);
}

/* Rows [first, end): only the first one's place is had by division. */
static void copy_rows(const row_copy *c, int64_t first, int64_t end)
{
    const copy_plan *p = c->plan;
    int inner = p->ndim - 1;
    int64_t at[ITO_MAX_DIMS], rest = first, t = 0, f = 0;
    for (int i = inner - 1; i >= 0; i--) {
        at[i] = rest % p->size[i];
        t += at[i] * p->to[i], f += at[i] * p->from[i], rest /= p->size[i];
    }
    for (int64_t r = first; r < end; r++) {
        copy_row_at(c, t, f, p->size[inner]);
        for (int i = inner - 1; i >= 0; i--) {
            t += p->to[i], f += p->from[i];
            if (++at[i] < p->size[i])
                break;
            t -= at[i] * p->to[i], f -= at[i] * p->from[i], at[i] = 0;
        }
    }
}

/* Part [first, end) of the elements if there is but one row, else of the rows. */
static void copy_part(const row_copy *c, bool one, int64_t first, int64_t end)
{
    const copy_plan *p = c->plan;
    if (one)
        copy_row_at(c, first * p->to[p->ndim - 1], first * p->from[p->ndim - 1], end - first);
    else
        copy_rows(c, first, end);
    if (c->nontemporal)
        nontemporal_end();
}

void tensor_copy(ito_tensor *dst, const ito_tensor *src)
{
    enum { AT_ONCE = 1 << 14 /* elements, or else a row */, LINE = 64 /* of a cache */ };
    copy_plan p = plan_copy(dst, src);
    int inner = p.ndim - 1;
    int64_t rows = 1, n = p.size[inner], size = (int64_t)ito_dtype_size(dst->dtype);
    for (int i = 0; i < inner; i++)
        rows *= p.size[i];
    bool move = dst->dtype == src->dtype;
    row_copy c = {&p, dst->dtype, src->dtype, tensor_data(dst), tensor_data(src), NULL, false};
    c.move = move ? move_row((size_t)size) : NULL;
    bool one = rows == 1; /* it goes by parts of the row, others by rows */
    bool lines = one || (n * size % LINE == 0 && p.to[inner - 1] * size % LINE == 0); /* whole */
    c.nontemporal = move && p.to[inner] == 1 && p.from[inner] == 1 && lines &&
                    nontemporal_pays(rows * n * size);
    int axis = move && size > 1 ? transposed_axis(&p) : -1;
    if (axis >= 0) {
        copy_transposed(&p, axis, c.to, c.from,
                        size == 2   ? ITO_BF16
                        : size == 4 ? ITO_F32
                                    : ITO_F64);
        return;
    }
    int64_t extent = one ? n : rows, step = one ? AT_ONCE : AT_ONCE / (n > 0 ? n : 1) + 1;
    PARALLEL_FOR(
        part, (extent + step - 1) / step, rows * n,
        copy_part(&c, one, part * step, extent - part * step < step ? extent : (part + 1) * step));
}

void tensor_fill(ito_tensor *t, double value)
{
    uint64_t element = 0;
    store_element(&element, t->dtype, 0, value);
    storage s = {.data = &element, .refs = 1};
    ito_tensor source = *t; /* the value itself, with stride 0 along every axis */
    memset(source.stride, 0, sizeof source.stride);
    source.offset = 0;
    source.storage = &s;
    tensor_copy(t, &source);
}
