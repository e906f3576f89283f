/* The blocked matrix product: cuts the work into blocks for the caches and tiles for the threads,
 * packs, and leaves the arithmetic to gemm_micro. The invariant is that of gemm_blocks.h.
 *
 * A panel of B (depth x 2 vectors) stays in the first-level cache while panels of A pass by; the
 * private block (PRIVATE_BYTES) fills half of the second-level cache, the shared operand comes from
 * the third. The operand of the smaller dimension is the shared one: every thread is busy on tiles
 * of the larger dimension, with two barriers for each SHARED_BYTES packed. Smaller shared blocks,
 * so more barriers, lose several times over when other programs hold a processor.
 */
#include "tensor/gemm.h"

#include "tensor/gemm_blocks.h"

#include <omp.h>

enum {
    PANELS_BYTES = 33 << 10,    /* one of A and one of B, a block of k deep: a first-level cache */
    DEPTH_MOST = 384,           /* at 16 + 6 floats, and where panels are narrower still */
    DEPTH_STEP = 16,            /* blocks of k are multiples of it */
    PRIVATE_BYTES = 224 << 10,  /* half of a small second-level cache */
    PRIVATE_MOST = 768,         /* rows or columns in a tile, if the depth is small */
    SHARED_BYTES = 4 << 20,     /* of the third-level cache */
    TILES_A_THREAD = 3,         /* for balance */
    PRODUCTS_A_NANOSECOND = 32, /* multiply-adds, to tell threads_for about the work */
    CACHE_LINE = 64
};

/* ---- the plan ------------------------------------------------------------------------------- */

/* What panels hold and sums are made in. */
static ito_dtype panel_dtype(const gemm_blocks *p)
{
    return p->c_dtype == ITO_F64 ? ITO_F64 : ITO_F32;
}

static int wanted_threads(const gemm_blocks *p)
{
    double work =
        (double)p->items * (double)p->m * (double)p->n * (double)(p->k + 1) / PRODUCTS_A_NANOSECOND;
    return threads_for(work < 1e15 ? (int64_t)work : (int64_t)1e15);
}

/* Panels as the kernel has them, or exchanged where that leaves a good deal less padding. */
static void plan_panels(gemm_plan *q, const gemm_blocks *p)
{
    const kernel_table *t = kernels(panel_dtype(p));
    int64_t rows = t->gemm_tile_rows(), columns = t->gemm_tile_columns();
    int64_t tiles = ceil_div(p->m, rows) * ceil_div(p->n, columns);
    int64_t flipped_tiles = ceil_div(p->n, rows) * ceil_div(p->m, columns);
    q->flipped = flipped_tiles <= tiles * 3 / 4;
    q->a_width = q->flipped ? columns : rows;
    q->b_width = q->flipped ? rows : columns;
}

static void plan_tiles(gemm_plan *q, int64_t extent, int64_t width, int64_t bytes_of_one)
{
    int64_t most = min_of(PRIVATE_MOST, PRIVATE_BYTES / bytes_of_one) / width * width;
    int64_t tiles = ceil_div(extent, max_of(most, width));
    if (q->threads > 1 && !q->by_item)
        tiles = round_up(max_of(tiles, TILES_A_THREAD * q->threads), q->threads);
    q->tile = round_up(max_of(ceil_div(extent, tiles), min_of(extent, 2 * width)), width);
    q->tiles = ceil_div(extent, q->tile);
}

/* Scratch memory of one thread. */
static int64_t own_bytes(const gemm_blocks *p)
{
    return p->plan.private_bytes + (p->add != NULL ? 2 : 1) * p->plan.rows_bytes;
}

size_t gemm_blocks_plan(gemm_blocks *p)
{
    gemm_plan *q = &p->plan;
    *q = (gemm_plan){0};
    if (p->items <= 0 || p->m <= 0 || p->n <= 0)
        return 0;
    int64_t size = (int64_t)ito_dtype_size(panel_dtype(p));
    plan_panels(q, p);
    int64_t depth_most =
        PANELS_BYTES / ((q->a_width + q->b_width) * size) / DEPTH_STEP * DEPTH_STEP;
    q->depths = max_of(1, ceil_div(p->k, min_of(depth_most, DEPTH_MOST)));
    q->depth = round_up(max_of(1, ceil_div(p->k, q->depths)), DEPTH_STEP);
    q->depths = max_of(1, ceil_div(p->k, q->depth));
    q->share_a = p->m < p->n;
    q->threads = wanted_threads(p);
    q->by_item = p->items >= 4 * q->threads || p->items % q->threads == 0;

    int64_t extent = q->share_a ? p->m : p->n;
    int64_t width = q->share_a ? q->a_width : q->b_width;
    int64_t other = q->share_a ? q->b_width : q->a_width;
    int64_t most = max_of(width, SHARED_BYTES / (q->depth * size) / width * width);
    q->span = round_up(ceil_div(extent, ceil_div(extent, most)), width);
    int64_t block_bytes = q->depth * q->span * size;
    q->group = min_of(max_of(1, SHARED_BYTES / block_bytes), q->depths);
    plan_tiles(q, q->share_a ? p->n : p->m, other, q->depth * size);

    q->threads = (int)min_of(q->threads, q->by_item ? p->items : q->tiles);
    q->shared_bytes = round_up(q->group * block_bytes, CACHE_LINE);
    q->private_bytes = round_up(q->depth * q->tile * size, CACHE_LINE);
    q->rows_bytes =
        round_up((q->share_a ? q->span : q->tile) * (int64_t)sizeof(int64_t), CACHE_LINE);
    int64_t copies = q->by_item ? q->threads : 1;
    return (size_t)(copies * q->shared_bytes + q->threads * own_bytes(p));
}

/* ---- the work ------------------------------------------------------------------------------- */

/* One round: the part of the shared operand that is packed, and of one item. */
typedef struct round {
    const gemm_blocks *p;
    const kernel_table *kernels;
    int64_t size; /* of an element */
    int64_t item;
    int64_t first, count; /* of the shared operand */
    int64_t depth_first, depth_end;
    char *shared;
} round;

static int64_t depth_of(const gemm_blocks *p, int64_t d)
{
    return min_of(p->plan.depth, p->k - d * p->plan.depth);
}

static char *shared_block(const round *r, int64_t d)
{
    const gemm_plan *q = &r->p->plan;
    return r->shared + (d - r->depth_first) * q->depth * q->span * r->size;
}

/* Units of packing: each panel of each block of k. */
static int64_t shared_panels(const round *r)
{
    return ceil_div(r->count, r->p->plan.share_a ? r->p->plan.a_width : r->p->plan.b_width);
}

static void pack_shared(const round *r, int64_t unit)
{
    const gemm_blocks *p = r->p;
    const gemm_operand *from = p->plan.share_a ? &p->a : &p->b;
    int64_t width = p->plan.share_a ? p->plan.a_width : p->plan.b_width;
    int64_t panels = shared_panels(r), d = r->depth_first + unit / panels, panel = unit % panels;
    int64_t k = depth_of(p, d);
    if (k > 0)
        from->pack(from->source, r->item, shared_block(r, d) + panel * k * width * r->size, width,
                   r->first + panel * width, min_of(width, r->count - panel * width),
                   d * p->plan.depth, k);
}

static void find_rows(const gemm_layout *l, int64_t item, int64_t first, int64_t count,
                      int64_t *rows)
{
    int64_t j = first % l->grid_w, line = first / l->grid_w;
    int64_t i = line % l->grid_h, image = line / l->grid_h;
    for (int64_t r = 0; r < count; r++) {
        rows[r] =
            item * l->item + image * l->image_stride + i * l->line_stride + j * l->pixel_stride;
        if (++j == l->grid_w) {
            j = 0;
            if (++i == l->grid_h) {
                i = 0;
                image++;
            }
        }
    }
}

/* The part of C that two packed blocks make: m rows, whose places are known, from column n0 on. */
typedef struct block {
    int64_t m, n, n0;
    const int64_t *rows, *add_rows;
} block;

/* What happens to the first row and column of it after depth block d. */
static gemm_tile tile_of(const round *r, int64_t d, const block *c)
{
    const gemm_blocks *p = r->p;
    bool last = d == p->plan.depths - 1;
    gemm_tile t = {.c = (char *)p->c + c->n0 * r->size, .accumulate = d > 0 || p->accumulate};
    if (last && p->bias != NULL)
        t.bias = (const char *)p->bias + (r->item * p->bias_item + c->n0) * r->size;
    if (last && p->add != NULL)
        t.add = (const char *)p->add + c->n0 * r->size;
    return t;
}

static const void *after(const void *p, int64_t bytes)
{
    return p != NULL ? (const char *)p + bytes : NULL;
}

/* c from packed panels of depth block d. */
static void multiply(const round *r, int64_t d, const char *a, const char *b, const block *c)
{
    const gemm_plan *q = &r->p->plan;
    int64_t k = depth_of(r->p, d);
    gemm_tile first = tile_of(r, d, c);
    for (int64_t j = 0; j < c->n; j += q->b_width)
        for (int64_t i = 0; i < c->m; i += q->a_width) {
            const char *a_panel = a + i * k * r->size, *b_panel = b + j * k * r->size;
            gemm_tile t = {.m = min_of(q->a_width, c->m - i),
                           .n = min_of(q->b_width, c->n - j),
                           .c = (char *)first.c + j * r->size,
                           .rows = c->rows + i,
                           .accumulate = first.accumulate,
                           .bias = after(first.bias, j * r->size),
                           .add = after(first.add, j * r->size),
                           .add_rows = c->add_rows + i};
            if (q->flipped)
                r->kernels->gemm_micro_flipped(k, b_panel, a_panel, &t);
            else
                r->kernels->gemm_micro(k, a_panel, b_panel, &t);
        }
}

/* own: scratch memory of the thread, for panels and then for the places of rows. */
static void run_tile(const round *r, int64_t tile, char *own)
{
    const gemm_blocks *p = r->p;
    const gemm_plan *q = &p->plan;
    const gemm_operand *from = q->share_a ? &p->b : &p->a;
    int64_t first = tile * q->tile, count = min_of(q->tile, (q->share_a ? p->n : p->m) - first);
    int64_t m0 = q->share_a ? r->first : first;
    int64_t *rows = (int64_t *)(void *)(own + q->private_bytes);
    int64_t *add_rows = rows + q->rows_bytes / (int64_t)sizeof *rows;
    block c = {.m = q->share_a ? r->count : count,
               .n = q->share_a ? count : r->count,
               .n0 = q->share_a ? first : r->first,
               .rows = rows,
               .add_rows = p->add != NULL ? add_rows : rows};
    find_rows(&p->layout, r->item, m0, c.m, rows);
    if (p->add != NULL)
        find_rows(&p->add_layout, r->item, m0, c.m, add_rows);
    for (int64_t d = r->depth_first; d < r->depth_end; d++) {
        int64_t k = depth_of(p, d);
        if (k > 0)
            from->pack(from->source, r->item, own, q->share_a ? q->b_width : q->a_width, first,
                       count, d * q->depth, k);
        const char *shared = shared_block(r, d);
        multiply(r, d, q->share_a ? shared : own, q->share_a ? own : shared, &c);
    }
}

/* Call it again and again: goes from one round of an item to the next, false after the last. */
static bool next_round(round *r)
{
    const gemm_blocks *p = r->p;
    const gemm_plan *q = &p->plan;
    int64_t extent = q->share_a ? p->m : p->n;
    if (r->depth_end == q->depths) { /* also the state before the first round */
        r->first += r->count;
        r->depth_end = 0;
    }
    if (r->first >= extent)
        return false;
    r->count = min_of(q->span, extent - r->first);
    r->depth_first = r->depth_end;
    r->depth_end = min_of(r->depth_first + q->group, q->depths);
    return true;
}

static round first_round(const gemm_blocks *p, int64_t item, char *shared)
{
    return (round){.p = p,
                   .kernels = kernels(panel_dtype(p)),
                   .size = (int64_t)ito_dtype_size(panel_dtype(p)),
                   .item = item,
                   .depth_end = p->plan.depths,
                   .shared = shared};
}

/* One thread does all of an item. */
static void run_item(const gemm_blocks *p, int64_t item, char *shared, char *own)
{
    round r = first_round(p, item, shared);
    while (next_round(&r)) {
        int64_t units = shared_panels(&r) * (r.depth_end - r.depth_first);
        for (int64_t u = 0; u < units; u++)
            pack_shared(&r, u);
        for (int64_t tile = 0; tile < p->plan.tiles; tile++)
            run_tile(&r, tile, own);
    }
}

/* A team does an item together. The rounds are the same in every thread. */
static void run_item_in_team(const gemm_blocks *p, int64_t item, char *shared, char *own)
{
    round r = first_round(p, item, shared);
    while (next_round(&r)) {
        int64_t units = shared_panels(&r) * (r.depth_end - r.depth_first);
#pragma omp for schedule(dynamic, 4)
        for (int64_t u = 0; u < units; u++)
            pack_shared(&r, u);
#pragma omp for schedule(dynamic)
        for (int64_t tile = 0; tile < p->plan.tiles; tile++)
            run_tile(&r, tile, own);
    }
}

void gemm_blocks_run(const gemm_blocks *p, void *scratch)
{
    const gemm_plan *q = &p->plan;
    if (q->tiles == 0)
        return;
    char *shared = scratch;
    if (q->threads == 1) {
        for (int64_t item = 0; item < p->items; item++)
            run_item(p, item, shared, shared + q->shared_bytes);
        return;
    }
#pragma omp parallel num_threads(q->threads)
    {
        int64_t me = omp_get_thread_num();
        if (q->by_item) {
            char *mine = shared + me * (q->shared_bytes + own_bytes(p));
#pragma omp for schedule(dynamic)
            for (int64_t item = 0; item < p->items; item++)
                run_item(p, item, mine, mine + q->shared_bytes);
        } else {
            char *own = shared + q->shared_bytes + me * own_bytes(p);
            for (int64_t item = 0; item < p->items; item++)
                run_item_in_team(p, item, shared, own);
        }
    }
}

/* ---- matrices ------------------------------------------------------------------------------- */

void gemm_pack_matrix(const void *source, int64_t item, char *panels, int64_t width, int64_t first,
                      int64_t count, int64_t k0, int64_t k)
{
    const gemm_matrix *x = source;
    const kernel_table *t = kernels(x->dtype);
    int64_t size = (int64_t)ito_dtype_size(x->dtype);
    const char *from = (const char *)x->data +
                       (item * x->stride_item + first * x->stride + k0 * x->stride_k) * size;
    for (int64_t i = 0; i < count; i += width)
        t->gemm_pack_strided(panels + i * k * size, width, from + i * x->stride * size, x->stride,
                             x->stride_k, min_of(width, count - i), k);
}

ito_status gemm(const gemm_problem *problem)
{
    gemm_problem q = *problem;
    q.batch = q.batch == 0 ? 1 : q.batch;
    if (q.batch > 1 && q.b_batch == 0 && q.a_batch == q.m * q.a_row && q.c_batch == q.m * q.c_row) {
        q.m *= q.batch; /* rows on rows against one B: one tall product, bit for bit */
        q.batch = 1;
    }
    gemm_matrix a = {q.a_dtype, q.a, q.a_row, q.a_col, q.a_batch};
    gemm_matrix b = {q.b_dtype, q.b, q.b_col, q.b_row, q.b_batch};
    gemm_blocks p = {.a_dtype = q.a_dtype,
                     .b_dtype = q.b_dtype,
                     .c_dtype = q.c_dtype,
                     .items = q.batch,
                     .m = q.m,
                     .n = q.n,
                     .k = q.k,
                     .a = {gemm_pack_matrix, &a},
                     .b = {gemm_pack_matrix, &b},
                     .c = q.c,
                     .layout = {.item = q.c_batch,
                                .grid_h = 1,
                                .grid_w = q.m > 0 ? q.m : 1,
                                .pixel_stride = q.c_row},
                     .bias = q.bias,
                     .accumulate = q.accumulate};
    void *scratch = mem_alloc(gemm_blocks_plan(&p));
    if (scratch == NULL)
        return ITO_ERR_MEMORY;
    gemm_blocks_run(&p, scratch);
    mem_free(scratch);
    return ITO_OK;
}
