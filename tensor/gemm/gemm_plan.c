/* How a blocked product is cut (see gemm_blocks.h): which operand the kernel takes as scalars and
 * which as vectors, which is shared, which is read in place, and the sizes of blocks and tiles.
 *
 * Invariant: what decides bits, the blocks of k and whether pairs of bf16 are multiplied, depends
 * on k, the dtypes and the instruction set alone.
 */
#include "tensor/gemm/gemm_blocks.h"

#include "tensor/gemm/cache.h"

enum {
    DEPTH_MOST = 512,       /* of a block of k: a panel of vectors in a first-level cache */
    DEPTH_STEP = 16,        /* blocks of k are multiples of it */
    PRIVATE_MOST = 768,     /* rows or columns in a tile, if the depth is small */
    SHARED_BYTES = 4 << 20, /* of the third-level cache */
    SHARED_ROWS = 4096,     /* of an operand that is read in place */
    SUMS_ROWS = 512,        /* the same where sums wait beside it */
    TILES_A_THREAD = 3,     /* for balance */
    PANELS_A_TILE = 8,      /* at least */
    PACKING = 2,            /* so many elements cost as much as a step of a row of a tile */
    TURNING = 8             /* steps of k that the transpose of a tile takes */
};

/* Depends on dtypes and the instruction set alone: the bits depend on it. */
static gemm_way choose_way(const gemm_blocks *p)
{
    if (p->a_dtype != ITO_BF16 && p->b_dtype != ITO_BF16)
        return GEMM_REALS;
    if (p->way != GEMM_FASTEST)
        return p->way;
    return tiles_in_use() != NULL ? GEMM_TILES : pairs_are_fast() ? GEMM_PAIRS : GEMM_REALS;
}

/* How far rows of A (columns of B) lie apart if they can be read in place, else 0. Where multiples
 * of 4096 bytes would send all of them to the same few places of the cache, packing is faster. */
static int64_t row_in_place(const gemm_blocks *p, const gemm_operand *x)
{
    enum { APART = 4096 };
    const gemm_matrix *m = x->source;
    if (p->plan.pairs || x->pack != gemm_pack_matrix || m->dtype != gemm_reals(p) ||
        m->stride_k != 1)
        return 0;
    bool crowded = m->stride * (int64_t)ito_dtype_size(m->dtype) % APART == 0;
    return m->stride > 0 && !crowded ? m->stride : 0;
}

/* Steps of k for one row of the register tile. The last strip takes thirds of it; a panel half of
 * which is in use, all rows, and two thirds of the time. */
static int64_t steps_of(int64_t scalars, int64_t rows, int64_t vectors, int64_t columns)
{
    int64_t strip = round_up(scalars, rows / 3), rest = vectors % columns, last = 0;
    if (rest > 0)
        last = rest <= columns / 2 ? round_up(scalars, rows) * 2 / 3 : strip;
    return vectors / columns * strip + last;
}

/* Which operand is taken as scalars: A, or B where that leaves less to do. The unit is a step;
 * packing an element costs about half of that, and turning a tile of C as much as TURNING steps
 * of it. */
static void plan_panels(gemm_plan *q, const gemm_blocks *p)
{
    const kernel_table *t = kernels(gemm_reals(p));
    int64_t rows = t->gemm_tile_rows(), columns = t->gemm_tile_columns();
    int64_t a_row = row_in_place(p, &p->a), b_row = row_in_place(p, &p->b);
    int64_t plain = steps_of(p->m, rows, p->n, columns) + (p->n + (a_row > 0 ? 0 : p->m)) / PACKING;
    int64_t flipped =
        steps_of(p->n, rows, p->m, columns) + (p->m + (b_row > 0 ? 0 : p->n)) / PACKING;
    flipped += flipped * TURNING / max_of(p->k, 1);
    q->flipped = flipped * 16 <= plain * 15;
    q->a_width = q->flipped ? columns : rows;
    q->b_width = q->flipped ? rows : columns;
    q->row = q->flipped ? b_row : a_row;
}

/* Whether A is the shared operand: the smaller one. Of an operand in place there is nothing to
 * share but reading, which all threads then do, unless they take tiles of it: so they do if it is
 * tall. */
static bool plan_sharing(const gemm_plan *q, const gemm_blocks *p)
{
    if (q->row == 0)
        return p->m < p->n;
    int64_t vectors = q->flipped ? p->m : p->n, scalars = q->flipped ? p->n : p->m;
    bool share_vectors = q->threads > 1 && !q->by_item && vectors < scalars;
    return q->flipped == share_vectors;
}

/* How much of the shared operand is packed at a time. */
static void plan_shared(gemm_plan *q, int64_t extent, int64_t width)
{
    int64_t block = gemm_panel_bytes(q, q->depth);
    int64_t most = SHARED_BYTES / (block * (q->keeps_sums ? q->depths : 1));
    if (q->shared_in_place)
        most = q->keeps_sums ? SUMS_ROWS : SHARED_ROWS;
    most = max_of(most / width, 1) * width;
    q->span = round_up(ceil_div(extent, ceil_div(extent, most)), width);
    q->group = min_of(max_of(1, SHARED_BYTES / (block * q->span)), q->depths);
    if (q->shared_in_place || q->keeps_sums)
        q->group = q->depths;
    if (!q->shared_in_place)
        q->shared_bytes = round_up(q->group * block * q->span, GEMM_LINE);
}

/* Of k, how much a tile goes through at a time. Where vectors are so few that all of k is in the
 * second-level cache, rows in place are read to their ends and C comes and goes once; else wide
 * tiles are worth more. */
static int64_t plan_stage(const gemm_plan *q, const gemm_blocks *p)
{
    int64_t vectors = q->flipped ? p->m : p->n;
    bool near = vectors * gemm_panel_bytes(q, p->k) <= q->private_most;
    return q->row > 0 && near ? q->group : 1;
}

/* Cuts the operand that is not shared into tiles, whole panels each, one panel more or less. */
static void plan_tiles(gemm_plan *q, int64_t extent, int64_t width)
{
    int64_t bytes = gemm_panel_bytes(q, q->depth) * q->stage;
    int64_t most = max_of(min_of(PRIVATE_MOST, q->private_most / bytes) / width, 1);
    q->panels = ceil_div(extent, width);
    q->tiles = ceil_div(q->panels, most);
    if (q->threads > 1 && !q->by_item) {
        int64_t wanted = min_of(TILES_A_THREAD * q->threads, q->panels / PANELS_A_TILE);
        q->tiles = round_up(max_of(q->tiles, wanted), q->threads);
    }
    q->tiles = min_of(q->tiles, q->panels);
    q->tile_most = ceil_div(q->panels, q->tiles) * width;
}

/* The scratch memory of a thread: its panels, the places of rows of C, of add and of sums, the sums
 * that wait for the last block of k, and a panel of reals that become pairs. */
static void plan_scratch(gemm_plan *q)
{
    int64_t one = q->tile_most, rows = q->share_a ? q->span : one;
    q->sums_row = q->share_a ? one : q->span;
    if (q->row == 0 || q->shared_in_place)
        q->private_bytes = round_up(gemm_panel_bytes(q, q->depth) * one * q->stage, GEMM_LINE);
    q->rows_bytes = round_up(rows * (int64_t)sizeof(int64_t), GEMM_LINE);
    q->sums_bytes = q->keeps_sums ? round_up(rows * q->sums_row * q->size, GEMM_LINE) : 0;
    q->reals_bytes = q->pairs ? max_of(q->a_width, q->b_width) * q->depth * q->size : 0;
    q->own_bytes = q->private_bytes + 3 * q->rows_bytes + q->sums_bytes + q->reals_bytes;
}

/* Blocks have about the same depth. */
int64_t gemm_depth(int64_t k)
{
    int64_t blocks = max_of(1, ceil_div(k, DEPTH_MOST));
    return round_up(max_of(1, ceil_div(k, blocks)), DEPTH_STEP);
}

size_t gemm_blocks_plan(gemm_blocks *p)
{
    gemm_plan *q = &p->plan;
    *q = (gemm_plan){0};
    p->by_tiles = (tile_plan){0};
    if (p->items <= 0 || p->m <= 0 || p->n <= 0)
        return 0;
    gemm_way way = choose_way(p);
    p->by_tiles.kernels = way == GEMM_TILES ? tiles_or_emulated() : NULL;
    if (way == GEMM_TILES)
        return gemm_tiles_plan(p);
    q->size = (int64_t)ito_dtype_size(gemm_reals(p));
    q->pairs = way == GEMM_PAIRS;
    q->private_most = cache_bytes() / 2;
    q->depth = gemm_depth(p->k);
    q->depths = max_of(1, ceil_div(p->k, q->depth));
    q->keeps_sums = p->c_dtype != gemm_reals(p) && q->depths > 1;
    plan_panels(q, p);
    q->threads =
        threads_for_products((double)p->items * (double)p->m * (double)p->n * (double)(p->k + 1));
    q->by_item = p->items >= 4 * q->threads || p->items % q->threads == 0;
    q->share_a = plan_sharing(q, p);
    q->shared_in_place = q->row > 0 && q->share_a != q->flipped;
    int64_t width = q->share_a ? q->b_width : q->a_width;
    plan_shared(q, q->share_a ? p->m : p->n, q->share_a ? q->a_width : q->b_width);
    q->stage = plan_stage(q, p);
    plan_tiles(q, q->share_a ? p->n : p->m, width);
    q->threads = (int)min_of(q->threads, q->by_item ? p->items : q->tiles);
    plan_scratch(q);
    int64_t copies = q->by_item ? q->threads : 1;
    return (size_t)(copies * q->shared_bytes + q->threads * q->own_bytes);
}
