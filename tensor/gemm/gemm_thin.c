/* Few rows times a large operand that is read where it lies. Of one block of k at a time, some
 * columns of it are taken for all rows, so that it comes from memory once. See gemm_thin.h. */
#include "tensor/gemm/gemm_thin.h"

#include "tensor/gemm/cache.h"
#include "tensor/gemm/gemm_blocks.h"

enum {
    STRIPS = 2,              /* of the register tile, where columns lie side by side */
    STRIPS_NEAR = 4,         /* if Y is at most */
    NEAR = 2,                /* times as large as the second-level cache */
    BYTES_A_NANOSECOND = 32, /* that a thread reads, from caches */
    PRODUCTS_A_NANOSECOND = 32,
    SHORT = 32,         /* k that is too short for squares of it */
    UNITS_A_THREAD = 2, /* for balance */
    COLUMNS = 128,      /* units are multiples of it */
    PLACES = 64 /* columns of Y that are read beside each other; a multiple of all vectors */
};

/* The product as C = X Y or, with both swapped, C^T = Y^T X^T: few rows of X, many columns of Y. */
typedef struct thin {
    const gemm_problem *p;
    const kernel_table *kernels;
    bool along;      /* k lies side by side in Y, not columns */
    bool transposed; /* what is made is C^T */
    int64_t size;    /* of an element */
    int64_t few, many;
    const char *x, *y;
    int64_t x_row, x_k, x_batch;
    int64_t y_column, y_k, y_batch;
    int64_t depth; /* of a block of k */
} thin;

/* Swapped, a single column of C is a row if it lies as one and no bias is added to it. */
static thin thin_of(const gemm_problem *p, bool swapped)
{
    thin f = {.p = p,
              .kernels = kernels(p->c_dtype),
              .size = (int64_t)ito_dtype_size(p->c_dtype),
              .few = swapped ? p->n : p->m,
              .many = swapped ? p->m : p->n,
              .x = swapped ? p->b : p->a,
              .x_row = swapped ? p->b_col : p->a_row,
              .x_k = swapped ? p->b_row : p->a_col,
              .x_batch = swapped ? p->b_batch : p->a_batch,
              .y = swapped ? p->a : p->b,
              .y_column = swapped ? p->a_row : p->b_col,
              .y_k = swapped ? p->a_col : p->b_row,
              .y_batch = swapped ? p->a_batch : p->b_batch,
              .depth = gemm_depth(p->k)};
    f.along = f.y_column != 1;
    f.transposed = swapped && !(p->n == 1 && p->c_row == 1 && p->bias == NULL);
    return f;
}

static bool serves(const thin *f)
{
    const gemm_problem *p = f->p;
    bool alike = p->a_dtype == p->c_dtype && p->b_dtype == p->c_dtype;
    if (!alike || p->c_dtype == ITO_BF16 || p->k == 0 || f->few > f->many)
        return false;
    if (f->along)
        return f->y_k == 1 && p->k >= SHORT && f->few <= f->kernels->gemm_thin_rows();
    bool near = f->many * p->k * f->size <= NEAR * cache_bytes();
    return !f->transposed && f->few <= (near ? STRIPS_NEAR : STRIPS) * f->kernels->gemm_tile_rows();
}

/* Columns [first, first + count) of Y at [k0, k0 + k): a strip of rows of X after the other. */
static void run_block(const thin *f, int64_t item, int64_t first, int64_t count, int64_t k0,
                      int64_t k)
{
    const gemm_problem *p = f->p;
    int64_t strip = f->kernels->gemm_tile_rows(), rows[PLACES];
    int64_t c = item * p->c_batch + first * (f->transposed ? p->c_row : 1);
    const char *y = f->y + (item * f->y_batch + first * f->y_column + k0 * f->y_k) * f->size;
    gemm_tile to = {.c = (char *)p->c + c * f->size, .rows = rows};
    to.accumulate = p->accumulate || k0 > 0;
    if (p->bias != NULL && k0 + k == p->k)
        to.bias = (const char *)p->bias + (f->transposed ? 0 : first) * f->size;
    for (int64_t i0 = 0; i0 < f->few; i0 += strip) {
        int64_t few = min_of(strip, f->few - i0);
        const char *x = f->x + (item * f->x_batch + i0 * f->x_row + k0 * f->x_k) * f->size;
        to.m = f->transposed ? count : few;
        to.n = f->transposed ? few : count;
        for (int64_t i = 0; i < to.m; i++)
            rows[i] = (i0 + i) * p->c_row;
        if (f->along)
            f->kernels->gemm_thin_along(k, x, f->x_row, f->x_k, y, f->y_column, f->transposed, &to);
        else
            f->kernels->gemm_thin_across(k, x, f->x_row, f->x_k, y, f->y_k, &to);
    }
}

static void run_unit(const thin *f, int64_t item, int64_t first, int64_t count)
{
    bool one_strip = f->few <= f->kernels->gemm_tile_rows();
    int64_t step = f->along || !one_strip ? PLACES : count;
    for (int64_t j = first; j < first + count; j += step)
        for (int64_t k0 = 0; k0 < f->p->k; k0 += f->depth)
            run_block(f, item, j, min_of(step, first + count - j), k0,
                      min_of(f->depth, f->p->k - k0));
}

static int threads_of(const thin *f, int64_t items)
{
    double read = (double)items * (double)f->many * (double)f->p->k;
    double bytes = read * (double)f->size, products = read * (double)f->few;
    double work = bytes / BYTES_A_NANOSECOND + products / PRODUCTS_A_NANOSECOND;
    return threads_for(work < 1e15 ? (int64_t)work : (int64_t)1e15);
}

static void run(const thin *f)
{
    int64_t items = f->p->batch, threads = threads_of(f, items);
    if (threads == 1) {
        for (int64_t item = 0; item < items; item++)
            run_unit(f, item, 0, f->many);
        return;
    }
    int64_t wanted = ceil_div(UNITS_A_THREAD * threads, items);
    int64_t width = round_up(ceil_div(f->many, wanted), COLUMNS), units = ceil_div(f->many, width);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t u = 0; u < items * units; u++) {
        int64_t first = u % units * width;
        run_unit(f, u / units, first, min_of(width, f->many - first));
    }
}

bool gemm_thin(const gemm_problem *p)
{
    for (int swapped = 0; swapped < 2; swapped++) {
        thin f = thin_of(p, swapped);
        if (serves(&f)) {
            run(&f);
            return true;
        }
    }
    return false;
}
