/* The loops of reductions: which axis is walked how, and who works on what.
 *
 * Axes are sorted by x's strides and merged. If the fastest one is reduced, rows of it go to the
 * row kernel, one result at a time. If it is kept, or reduced but very short, the column kernel
 * makes a tile of results at a time, vectorised along the fastest kept axis. */
#include "autograd/ops/reduce.h"
#include "tensor/convert.h"
#include "tensor/iterate.h"
#include "tensor/kernels/kernels.h"

enum {
    PIECE = 4096,    /* terms that are reduced in one go, by one thread */
    TILE = 256,      /* columns at a time at most; */
    LEAST_TILE = 64, /* fewer where that gives more threads something to do */
    SHORT_ROW = 8,   /* up to here the row kernel sums in sequence, as the column kernel does */
    ITEM_COST = 100, /* nanoseconds to get going */
};

typedef struct axes {
    int n;
    int64_t size[ITO_MAX_DIMS], x[ITO_MAX_DIMS], y[ITO_MAX_DIMS]; /* strides in elements */
} axes;

typedef struct reduce_plan {
    const reducer *r;
    ito_dtype dtype;
    const char *x;
    char *y;
    axes kept, reduced;
    int64_t terms, parts; /* of each result, and pieces they are cut into */
    int64_t outer;        /* rows of results */
    int64_t columns;      /* results in a row, x_stride apart in x, side by side in y */
    int64_t tile, tiles;
    int64_t x_stride;
    bool by_columns;
    double *partial; /* [outer][parts][columns], if there are several parts */
} reduce_plan;

static void push(axes *a, int64_t size, int64_t x, int64_t y)
{
    a->size[a->n] = size;
    a->x[a->n] = x;
    a->y[a->n++] = y;
}

static int64_t product(const axes *a, int n)
{
    int64_t p = 1;
    for (int i = 0; i < n; i++)
        p *= a->size[i];
    return p;
}

/* x's axes with the strides that y has along them, 0 where reduced, sorted and merged. */
static iterate_plan sorted_axes(const ito_tensor *y, const ito_tensor *x, unsigned reduced)
{
    iterate_plan p = {.operands = 2};
    bool keepdim = y->ndim == x->ndim;
    for (int i = 0, j = 0; i < x->ndim; i++) {
        bool gone = (reduced >> i & 1) != 0;
        if (x->shape[i] != 1) {
            p.size[p.ndim] = x->shape[i];
            p.stride[0][p.ndim] = x->stride[i];
            p.stride[1][p.ndim++] = gone ? 0 : y->stride[j];
        }
        j += !gone || keepdim;
    }
    iterate_plan_sort(&p, 0);
    iterate_plan_merge(&p);
    return p;
}

static reduce_plan plan_make(ito_tensor *y, const ito_tensor *x, unsigned reduced, const reducer *r)
{
    reduce_plan p = {.r = r, .dtype = x->dtype, .x = tensor_data(x), .y = tensor_data(y)};
    iterate_plan sorted = sorted_axes(y, x, reduced);
    for (int i = 0; i < sorted.ndim; i++)
        push(sorted.stride[1][i] == 0 ? &p.reduced : &p.kept, sorted.size[i], sorted.stride[0][i],
             sorted.stride[1][i]);
    bool fastest_kept = sorted.ndim > 0 && sorted.stride[1][sorted.ndim - 1] != 0;
    if (p.reduced.n == 0)
        push(&p.reduced, 1, 0, 0);
    p.by_columns = p.kept.n > 0 && (fastest_kept || p.reduced.size[p.reduced.n - 1] <= SHORT_ROW);
    p.terms = product(&p.reduced, p.reduced.n);
    p.parts = (p.terms + PIECE - 1) / PIECE;
    p.columns = 1;
    if (p.by_columns) {
        p.kept.n--;
        p.columns = p.kept.size[p.kept.n];
        p.x_stride = p.kept.x[p.kept.n];
    }
    p.outer = product(&p.kept, p.kept.n);
    p.tile = TILE; /* a column's sum is the same in any */
    while (p.tile > LEAST_TILE && p.outer * p.parts * (p.columns / p.tile) < ito_threads())
        p.tile /= 2;
    p.tiles = (p.columns + p.tile - 1) / p.tile;
    return p;
}

static void put(const reduce_plan *p, int64_t at, double value)
{
    value /= p->r->divisor;
    if (p->dtype == ITO_F64)
        ((double *)p->y)[at] = value;
    else if (p->dtype == ITO_BF16)
        ((uint16_t *)p->y)[at] = f32_to_bf16((float)value);
    else
        ((float *)p->y)[at] = (float)value;
}

/* Where row o of the results begins in x and in y. */
static void kept_offset(const reduce_plan *p, int64_t o, int64_t *x, int64_t *y)
{
    *x = *y = 0;
    for (int i = p->kept.n - 1; i >= 0; i--) {
        int64_t index = o % p->kept.size[i];
        o /= p->kept.size[i];
        *x += index * p->kept.x[i];
        *y += index * p->kept.y[i];
    }
}

/* acc = the reduction of terms first .. end of the n results that begin at offset in x. */
static void reduce_piece(const reduce_plan *p, double *acc, int64_t offset, int64_t first,
                         int64_t end, int64_t n)
{
    const axes *a = &p->reduced;
    int last = a->n - 1;
    size_t element = ito_dtype_size(p->dtype);
    for (int64_t term = first, step; term < end; term += step) {
        int64_t rest = term / a->size[last], start = term % a->size[last];
        int64_t at = offset + start * a->x[last];
        for (int i = last - 1; i >= 0; i--) {
            at += rest % a->size[i] * a->x[i];
            rest /= a->size[i];
        }
        step = a->size[last] - start < end - term ? a->size[last] - start : end - term;
        const void *x = p->x + at * (int64_t)element;
        if (p->by_columns)
            p->r->columns(acc, x, a->x[last], step, p->x_stride, n);
        else
            p->r->row(acc, x, a->x[last], step);
    }
}

/* One piece of the terms of one tile of one row of results. */
static void reduce_item(const reduce_plan *p, int64_t item)
{
    int64_t part = item % p->parts, tile = item / p->parts % p->tiles;
    int64_t o = item / p->parts / p->tiles, x, y, first = tile * p->tile;
    int64_t n = p->columns - first < p->tile ? p->columns - first : p->tile;
    int64_t end = (part + 1) * PIECE < p->terms ? (part + 1) * PIECE : p->terms;
    double acc[TILE];
    for (int64_t j = 0; j < n; j++)
        acc[j] = p->r->start;
    kept_offset(p, o, &x, &y);
    reduce_piece(p, acc, x + first * p->x_stride, part * PIECE, end, n);
    if (p->parts == 1)
        for (int64_t j = 0; j < n; j++)
            put(p, y + first + j, acc[j]);
    else
        for (int64_t j = 0; j < n; j++)
            p->partial[(o * p->parts + part) * p->columns + first + j] = acc[j];
}

static void combine_parts(const reduce_plan *p)
{
#pragma omp parallel for num_threads(threads_for(p->outer * p->columns * p->parts)) schedule(static)
    for (int64_t o = 0; o < p->outer; o++) {
        int64_t x, y;
        kept_offset(p, o, &x, &y);
        for (int64_t j = 0; j < p->columns; j++) {
            const double *partial = p->partial + o * p->parts * p->columns + j;
            double total = p->r->start;
            for (int64_t part = 0; part < p->parts; part++)
                total = p->r->combine(total, partial[part * p->columns]);
            put(p, y + j, total);
        }
    }
}

bool reduce_axes(ito_tensor *y, const ito_tensor *x, unsigned reduced, const reducer *r)
{
    if (ito_numel(y) == 0)
        return true;
    if (ito_numel(x) == 0) {
        tensor_fill(y, r->start / r->divisor);
        return true;
    }
    reduce_plan p = plan_make(y, x, reduced, r);
    if (p.parts > 1) {
        p.partial = mem_alloc((size_t)(p.outer * p.parts * p.columns) * sizeof *p.partial);
        if (p.partial == NULL)
            return false;
    }
    int64_t items = p.outer * p.tiles * p.parts;
    int64_t work = (ito_numel(x) + items * ITEM_COST) / 4; /* a term takes a quarter nanosecond */
    PARALLEL_FOR(item, items, work, reduce_item(&p, item));
    if (p.parts > 1)
        combine_parts(&p);
    mem_free(p.partial);
    return true;
}
