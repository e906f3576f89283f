/* Convolutions with few channels at one end: see conv_thin.h. The thin image is x or y, the other
 * one is the grid. Pixel g of the grid meets pixel g * step + off + t * tap of the thin image by
 * way of filter tap t, along each axis; column tap * tap_column + channel * channel_column of the
 * matrix is chosen so that the weights are the other factor as they lie.
 */
#include "tensor/conv/conv_thin.h"

#include "tensor/gemm/gemm.h"
#include "tensor/gemm/gemm_blocks.h"

#include <string.h>

enum { FEW = 4, COLUMNS_MOST = 64, COPIES_A_NANOSECOND = 2 };

/* Along one axis: how pixels of the image that is written meet those of the one that is read. */
typedef struct axis {
    int64_t written, read, step, off, tap, taps;
} axis;

typedef struct thin {
    axis h, w; /* the grid is written */
    int64_t n, few, columns, tap_column, channel_column;
} thin;

static bool x_is_thin(const conv_shape *s)
{
    return s->ci < s->co;
}

static thin thin_of(const conv_shape *s)
{
    int64_t taps = s->kh * s->kw;
    if (x_is_thin(s))
        return (thin){.h = {s->oh, s->h, s->stride_h, -s->pad_top, s->dilation_h, s->kh},
                      .w = {s->ow, s->w, s->stride_w, -s->pad_left, s->dilation_w, s->kw},
                      .n = s->n,
                      .few = s->ci,
                      .columns = taps * s->ci,
                      .tap_column = s->ci,
                      .channel_column = 1};
    return (thin){.h = {s->h, s->oh, 1, s->pad_top, -s->dilation_h, s->kh},
                  .w = {s->w, s->ow, 1, s->pad_left, -s->dilation_w, s->kw},
                  .n = s->n,
                  .few = s->co,
                  .columns = taps * s->co,
                  .tap_column = 1,
                  .channel_column = taps};
}

/* Into few channels by a sum; of weights, where y has few, and into many channels from one by a
 * matrix of patches: elsewhere gathering them while packing is as fast, as measured. With a stride,
 * a pixel of a thin y, or of the gradient of a thin x, meets only some pixels of the grid: that is
 * left to conv.c. */
bool conv_by_thin(conv_pass pass, const conv_shape *s)
{
    int64_t few = min_of(s->ci, s->co), taps = s->kh * s->kw;
    bool strided = s->stride_h > 1 || s->stride_w > 1;
    bool into_many = pass == (x_is_thin(s) ? CONV_FORWARD : CONV_DATA);
    bool pays = into_many ? few == 1 : pass != CONV_WEIGHT || !x_is_thin(s);
    return pays && s->groups == 1 && few <= FEW && s->ci != s->co && taps > 1 &&
           few * taps <= COLUMNS_MOST && (!strided || (x_is_thin(s) && into_many));
}

static ito_dtype real_dtype(ito_dtype images)
{
    return images == ITO_F64 ? ITO_F64 : ITO_F32;
}

/* The pixels [from, to) of a written line whose tap t is inside; returns what the first one reads.
 */
static int64_t span(const axis *a, int64_t t, int64_t *from, int64_t *to)
{
    int64_t off = a->off + t * a->tap;
    *from = off >= 0 ? 0 : min_of(ceil_div(-off, a->step), a->written);
    *to = off >= a->read ? 0 : min_of((a->read - 1 - off) / a->step + 1, a->written);
    return *from * a->step + off;
}

/* ---- image to matrix and back -----------------------------------------------------------------
 */

/* One line of the grid: rows of the matrix u, which are zero. */
static void unfold_line(const kernel_table *k, const thin *f, int64_t size, char *u,
                        const char *image, int64_t i)
{
    for (int64_t p = 0; p < f->h.taps; p++) {
        int64_t line = i * f->h.step + f->h.off + p * f->h.tap;
        for (int64_t q = 0; q < f->w.taps && (uint64_t)line < (uint64_t)f->h.read; q++) {
            int64_t from, to, first = span(&f->w, q, &from, &to);
            int64_t column = (p * f->w.taps + q) * f->tap_column;
            k->conv_spread(u + (from * f->columns + column) * size, f->columns, f->channel_column,
                           image + (line * f->w.read + first) * f->few * size, f->w.step * f->few,
                           f->few, to - from);
        }
    }
}

/* The patches of all grid pixels, [pixels][columns]; NULL if there is no memory. */
static void *unfold(ito_dtype dtype, const void *image, const thin *f)
{
    int64_t size = (int64_t)ito_dtype_size(dtype);
    int64_t lines = f->n * f->h.written, line = f->w.written * f->columns * size;
    char *u = mem_alloc((size_t)(lines * line));
#pragma omp parallel for num_threads(threads_for(lines *line / size / COPIES_A_NANOSECOND))
    for (int64_t l = 0; l < (u != NULL ? lines : 0); l++) {
        int64_t n = l / f->h.written, i = l % f->h.written;
        memset(u + l * line, 0, (size_t)line);
        unfold_line(kernels(dtype), f, size, u + l * line,
                    (const char *)image + n * f->h.read * f->w.read * f->few * size, i);
    }
    return u;
}

/* The sums over taps for line i of the thin image, from the matrix z of its image. */
static void fold_line(const kernel_table *reals, const thin *f, char *sums, int64_t real,
                      const char *z, int64_t i)
{
    axis back = {f->w.read, f->w.written, 1, -f->w.off, -f->w.tap, f->w.taps};
    memset(sums, 0, (size_t)(f->w.read * f->few * real));
    for (int64_t p = 0; p < f->h.taps; p++) {
        int64_t line = i - f->h.off - p * f->h.tap;
        for (int64_t q = 0; q < f->w.taps && (uint64_t)line < (uint64_t)f->h.written; q++) {
            int64_t from, to, first = span(&back, q, &from, &to);
            int64_t column = (p * f->w.taps + q) * f->tap_column;
            reals->conv_collect(sums + from * f->few * real,
                                z + ((line * f->w.written + first) * f->columns + column) * real,
                                f->columns, f->channel_column, f->few, to - from);
        }
    }
}

/* image = what the matrix z sums to + what is added; sums: as many reals as the image has
 * elements. */
static void fold(ito_dtype dtype, void *image, const char *z, const conv_addends *e, const thin *f,
                 char *sums)
{
    const kernel_table *k = kernels(dtype), *reals = kernels(real_dtype(dtype));
    int64_t size = (int64_t)ito_dtype_size(dtype),
            real = (int64_t)ito_dtype_size(real_dtype(dtype));
    int64_t lines = f->n * f->h.read, line = f->w.read * f->few;
    int64_t matrix = f->h.written * f->w.written * f->columns * real;
#pragma omp parallel for num_threads(threads_for(lines *line * f->columns / COPIES_A_NANOSECOND))
    for (int64_t l = 0; l < lines; l++) {
        int64_t n = l / f->h.read, at = e->add_per_image ? n * f->few : l * line;
        char *mine = sums + l * line * real;
        fold_line(reals, f, mine, real, z + n * matrix, l % f->h.read);
        k->conv_finish((char *)image + l * line * size, mine, e->bias,
                       e->add != NULL ? (const char *)e->add + at * size : NULL,
                       e->add_per_image ? 0 : f->few, f->few, f->w.read);
    }
}

/* ---- products with the matrix -----------------------------------------------------------------
 */

static int64_t grid_pixels(const thin *f)
{
    return f->n * f->h.written * f->w.written;
}

/* image = the fold of grid [pixels][k] times w, whose element (k, column) is w[k * row + column *
 * step]. */
static ito_status product_and_fold(ito_dtype dtype, void *image, const void *grid, int64_t k,
                                   const void *w, int64_t row, int64_t step, const conv_addends *e,
                                   const thin *f)
{
    int64_t elements = grid_pixels(f) * f->columns, sums = f->n * f->h.read * f->w.read * f->few;
    char *z = mem_alloc((size_t)(elements + sums) * ito_dtype_size(real_dtype(dtype)));
    if (z == NULL)
        return ITO_ERR_MEMORY;
    gemm_problem p = {.a_dtype = dtype,
                      .b_dtype = real_dtype(dtype),
                      .c_dtype = real_dtype(dtype),
                      .m = grid_pixels(f),
                      .n = f->columns,
                      .k = k,
                      .a = grid,
                      .a_row = k,
                      .a_col = 1,
                      .b = w,
                      .b_row = row,
                      .b_col = step,
                      .c = z,
                      .c_row = f->columns};
    ito_status status = gemm(&p);
    if (status == ITO_OK)
        fold(dtype, image, z, e, f, z + elements * (int64_t)ito_dtype_size(real_dtype(dtype)));
    mem_free(z);
    return status;
}

ito_status thin_forward(ito_dtype dtype, void *y, const void *x, const void *w,
                        const conv_addends *e, const conv_shape *s)
{
    thin f = thin_of(s);
    if (!x_is_thin(s))
        return product_and_fold(dtype, y, x, s->ci, w, 1, s->ci, e, &f);
    void *u = unfold(dtype, x, &f);
    if (u == NULL)
        return ITO_ERR_MEMORY;
    conv_shape pointwise = {s->n, s->oh, s->ow, f.columns, s->oh, s->ow, s->co, 1,
                            1,    1,     1,     0,         0,     1,     1,     1};
    ito_status status = conv2d_forward(dtype, y, u, w, e, &pointwise);
    mem_free(u);
    return status;
}

ito_status thin_backward_data(ito_dtype dtype, void *dx, const void *dy, const void *w,
                              const conv_shape *s)
{
    thin f = thin_of(s);
    if (x_is_thin(s))
        return product_and_fold(dtype, dx, dy, s->co, w, f.columns, 1, &(conv_addends){0}, &f);
    void *u = unfold(dtype, dy, &f);
    if (u == NULL)
        return ITO_ERR_MEMORY;
    gemm_problem p = {.a_dtype = dtype,
                      .b_dtype = real_dtype(dtype),
                      .c_dtype = dtype,
                      .m = grid_pixels(&f),
                      .n = s->ci,
                      .k = f.columns,
                      .a = u,
                      .a_row = f.columns,
                      .a_col = 1,
                      .b = w,
                      .b_row = s->ci,
                      .b_col = 1,
                      .c = dx,
                      .c_row = s->ci};
    ito_status status = gemm(&p);
    mem_free(u);
    return status;
}

/* dw = the transpose of the patches of dy, times x. */
ito_status thin_backward_weight(ito_dtype dtype, void *dw, const void *x, const void *dy,
                                const conv_shape *s)
{
    thin f = thin_of(s);
    void *u = unfold(dtype, dy, &f);
    if (u == NULL)
        return ITO_ERR_MEMORY;
    gemm_problem p = {.a_dtype = dtype,
                      .b_dtype = dtype,
                      .c_dtype = real_dtype(dtype),
                      .m = f.columns,
                      .n = s->ci,
                      .k = grid_pixels(&f),
                      .a = u,
                      .a_row = 1,
                      .a_col = f.columns,
                      .b = x,
                      .b_row = s->ci,
                      .b_col = 1,
                      .c = dw,
                      .c_row = s->ci};
    ito_status status = gemm(&p);
    mem_free(u);
    return status;
}
