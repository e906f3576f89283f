/* The blocked product by tiles of bf16 (tensor/kernels/tiles.h). B is packed into tiles once for
 * all threads; units, some rows of C each, are done by one thread, block after block of 32 x 32
 * sums. Rows of A in bf16 with k contiguous are read where they lie.
 *
 * Invariant: an element of C takes the blocks of k, which depend on k alone, in order, and in each
 * the steps of tiles in order. Which unit or block it lies in changes nothing.
 */
#include "tensor/gemm/gemm_blocks.h"
#include "tensor/threads.h"

#include <string.h>

enum {
    DEPTH_WHOLE = 4608,       /* up to here k is one block */
    DEPTH_MOST = 2048,        /* of a block of k, where C can hold sums */
    SHARED_BYTES = 6 << 20,   /* of packed B */
    SHARED_A_BYTES = 1 << 20, /* of packed A, if it is all packed at once */
    SUMS_BYTES = 16 << 20,    /* of rows of a deep product whose C cannot hold sums */
    UNIT_BYTES = 512 << 10,   /* of packed A: a quarter of the second-level cache, B has the rest */
    UNIT_ROWS = 256,
    UNIT_ROWS_LEAST = 64,                                       /* unless C has fewer */
    UNITS_A_THREAD = 3,                                         /* for balance */
    BLOCK_BYTES = TILE_BLOCK * TILE_BLOCK * (int)sizeof(float), /* of sums */
    PANELS = 4, /* that are packed at a time: two lines of a cache across bf16 */
};

static int64_t steps_of(int64_t k)
{
    return ceil_div(k, TILE_STEP);
}

/* Of a panel of 16 columns of B. */
static int64_t panel_bytes(int64_t k)
{
    return steps_of(k) * TILE_BYTES;
}

static bool lies_in_rows(const gemm_blocks *p)
{
    const gemm_matrix *m = p->a.source;
    return p->a.pack == gemm_pack_matrix && m->dtype == ITO_BF16 && m->stride_k == 1 &&
           m->stride > 0 && p->k % TILE_STEP == 0;
}

static void plan_units(tile_plan *q, const gemm_blocks *p)
{
    int64_t wanted = q->by_item ? 1 : UNITS_A_THREAD * q->threads;
    int64_t most = max_of(UNIT_BYTES / (q->depth * 2) / TILE_BLOCK, 1) * TILE_BLOCK;
    q->rows = min_of(min_of(most, UNIT_ROWS), round_up(p->m, TILE_BLOCK));
    while (q->rows > UNIT_ROWS_LEAST && ceil_div(p->m, q->rows) < wanted)
        q->rows = round_up(q->rows / 2, TILE_BLOCK);
    int64_t parts = ceil_div(wanted, ceil_div(p->m, q->rows));
    q->columns = round_up(ceil_div(q->span, parts), TILE_BLOCK);
}

size_t gemm_tiles_plan(gemm_blocks *p)
{
    tile_plan *q = &p->by_tiles;
    int64_t k = max_of(p->k, 1);
    q->depth = round_up(k <= DEPTH_WHOLE ? k : ceil_div(k, ceil_div(k, DEPTH_MOST)), TILE_STEP);
    q->depths = ceil_div(k, q->depth);
    int64_t most = max_of(SHARED_BYTES / (q->depth * 2) / TILE_BLOCK, 1) * TILE_BLOCK;
    q->span = round_up(ceil_div(p->n, ceil_div(p->n, most)), TILE_BLOCK);
    q->threads = threads_for_products((double)p->items * (double)p->m * (double)p->n * (double)k /
                                      TILE_SIDE);
    q->by_item = q->threads > 1 && (p->items >= 4 * q->threads || p->items % q->threads == 0);
    q->a_in_place = lies_in_rows(p);
    plan_units(q, p);
    int64_t units = ceil_div(p->m, q->rows) * ceil_div(q->span, q->columns);
    q->threads = (int)min_of(q->threads, q->by_item ? p->items : units);
    q->a_row = q->depth * 2 + GEMM_LINE; /* rows 4096 bytes apart would share places of a cache */
    int64_t a_bytes = round_up(p->m, TILE_BLOCK) * q->a_row;
    q->a_shared = !q->a_in_place && a_bytes <= SHARED_A_BYTES;
    q->b_bytes = q->span / TILE_SIDE * panel_bytes(q->depth);
    q->a_bytes = q->a_shared ? round_up(a_bytes, GEMM_LINE) : 0;
    bool keeps_sums = p->c_dtype != ITO_F32 && q->depths > 1;
    int64_t rows = SUMS_BYTES / (q->span * (int64_t)sizeof(float)) / q->rows * q->rows;
    q->height = keeps_sums ? min_of(p->m, max_of(rows, q->rows)) : p->m;
    q->sums_bytes = keeps_sums ? q->height * q->span * (int64_t)sizeof(float) : 0;
    q->shared_bytes = q->b_bytes + q->a_bytes + q->sums_bytes;
    q->own_bytes = round_up(q->rows * q->a_row, GEMM_LINE) + BLOCK_BYTES +
                   3 * round_up(q->rows * (int64_t)sizeof(int64_t), GEMM_LINE) +
                   TILE_SIDE * q->depth * (int64_t)sizeof(float);
    int64_t copies = q->by_item ? q->threads : 1;
    return (size_t)(copies * q->shared_bytes + q->threads * q->own_bytes);
}

/* The part of B that is packed: columns [first, first + count) of an item at a depth; and the rows
 * [top, top + height) that are multiplied by it. */
typedef struct round {
    const gemm_blocks *p;
    int64_t item, depth_index;
    int64_t k0, k;
    int64_t top, height;
    int64_t first, count;
    char *shared, *shared_a;
    float *sums; /* of these rows, until the last block of k, where C cannot hold them; or NULL */
} round;

/* The memory of a thread. */
typedef struct own_memory {
    char *rows; /* of A */
    float *sums;
    int64_t *places, *add_places, *sums_places; /* of rows of C, of add and of sums */
    float *reals;                               /* panels that are gathered as reals */
} own_memory;

static own_memory divide(const tile_plan *q, char *own)
{
    int64_t places = round_up(q->rows * (int64_t)sizeof(int64_t), GEMM_LINE);
    own_memory o = {.rows = own};
    own += round_up(q->rows * q->a_row, GEMM_LINE);
    o.sums = (float *)(void *)own;
    own += BLOCK_BYTES;
    o.places = (int64_t *)(void *)own;
    o.add_places = (int64_t *)(void *)(own + places);
    o.sums_places = (int64_t *)(void *)(own + 2 * places);
    o.reals = (float *)(void *)(own + 3 * places);
    return o;
}

static tile_source part_of(const gemm_matrix *m, int64_t item, int64_t first, int64_t k0)
{
    int64_t at = item * m->stride_item + first * m->stride + k0 * m->stride_k;
    return (tile_source){m->dtype, (const char *)m->data + at * (int64_t)ito_dtype_size(m->dtype),
                         m->stride, m->stride_k, NULL};
}

/* 16 rows (columns) of an operand from `first` on as reals, [k][16]; what tiles are made of where
 * only the pack of an operand knows its elements. */
static tile_source gather(const round *r, const gemm_operand *x, int64_t first, int64_t width,
                          float *reals)
{
    x->pack(x->source, r->item, (char *)reals, TILE_SIDE, first, width, r->k0, r->k);
    return (tile_source){ITO_F32, reals, 1, TILE_SIDE, NULL};
}

/* PANELS panels of B, or those that are left. */
static void pack_panels(const round *r, int64_t panel, float *reals)
{
    const tile_plan *q = &r->p->by_tiles;
    const gemm_operand *b = &r->p->b;
    int64_t first = panel * TILE_SIDE, size = panel_bytes(r->k);
    int64_t width = min_of(PANELS * TILE_SIDE, r->count - first);
    tile_packed to = {r->shared + panel * size, TILE_ROW_BYTES, TILE_BYTES, size};
    if (b->pack == gemm_pack_matrix) {
        tile_source from = part_of(b->source, r->item, r->first + first, r->k0);
        q->kernels->pack_b(&to, &from, width, r->k);
        return;
    }
    for (int64_t i = 0; i < width && r->k > 0; i += TILE_SIDE, to.data += size) {
        int64_t columns = min_of(TILE_SIDE, width - i);
        tile_source from = gather(r, b, r->first + first + i, columns, reals);
        q->kernels->pack_b(&to, &from, columns, r->k);
    }
}

/* Rows [m0, m0 + m) of A as bf16 with k contiguous. Rows past the last are zeros: they take part in
 * tiles. */
static void pack_rows(const round *r, int64_t m0, int64_t m, char *rows, float *reals)
{
    const gemm_operand *a = &r->p->a;
    const tile_plan *q = &r->p->by_tiles;
    tile_packed to = {rows, q->a_row, TILE_ROW_BYTES, q->a_row * TILE_SIDE};
    if (a->pack == gemm_pack_matrix) {
        tile_source from = part_of(a->source, r->item, m0, r->k0);
        q->kernels->pack_a(&to, &from, m, r->k);
        return;
    }
    for (int64_t i = 0; i < m && r->k > 0; i += TILE_SIDE, to.data += to.panel) {
        int64_t width = min_of(TILE_SIDE, m - i);
        if (a->rows != NULL) {
            a->rows(a->source, r->item, to.data, to.row, m0 + i, width, r->k0, r->k);
            memset(to.data + width * to.row, 0, (size_t)((TILE_SIDE - width) * to.row));
            continue;
        }
        tile_source from = gather(r, a, m0 + i, width, reals);
        q->kernels->pack_a(&to, &from, width, r->k);
    }
}

/* The same for a unit: where they lie, packed by all threads, or packed now. */
static tile_operand rows_of_a(const round *r, int64_t m0, int64_t m, const own_memory *own)
{
    const tile_plan *q = &r->p->by_tiles;
    if (q->a_in_place && m % TILE_SIDE == 0) {
        tile_source from = part_of(r->p->a.source, r->item, m0, r->k0);
        int64_t row = from.stride * (int64_t)sizeof(uint16_t);
        return (tile_operand){from.data, row, TILE_ROW_BYTES, row * TILE_SIDE};
    }
    char *rows = own->rows;
    if (q->a_shared)
        rows = r->shared_a + (m0 - r->top) * q->a_row;
    else
        pack_rows(r, m0, m, rows, own->reals);
    return (tile_operand){rows, q->a_row, TILE_ROW_BYTES, q->a_row * TILE_SIDE};
}

/* What threads pack before they multiply: panels of B and, if it is shared, rows of A. */
static int64_t packing_units(const round *r)
{
    int64_t columns = PANELS * TILE_SIDE, rows = r->p->by_tiles.a_shared ? r->height : 0;
    return ceil_div(r->count, columns) + ceil_div(rows, columns);
}

static void pack_unit(const round *r, int64_t unit, float *reals)
{
    int64_t columns = PANELS * TILE_SIDE, of_b = ceil_div(r->count, columns);
    if (unit < of_b) {
        pack_panels(r, unit * PANELS, reals);
        return;
    }
    int64_t below = (unit - of_b) * columns;
    pack_rows(r, r->top + below, min_of(columns, r->height - below),
              r->shared_a + below * r->p->by_tiles.a_row, reals);
}

/* What happens to the sums of the block at row m0 of the unit and column n0 of C. */
static gemm_tile store_of(const round *r, const own_memory *own, int64_t m0, int64_t n0)
{
    const gemm_blocks *p = r->p;
    int64_t size = (int64_t)ito_dtype_size(p->c_dtype);
    bool first = r->depth_index == 0, last = r->depth_index == p->by_tiles.depths - 1;
    float *sums = r->sums != NULL ? r->sums + n0 - r->first : NULL;
    if (sums != NULL && !last)
        return (gemm_tile){.c = sums, .rows = own->sums_places + m0, .accumulate = !first};
    gemm_tile t = {.c = (char *)p->c + n0 * size,
                   .rows = own->places + m0,
                   .earlier = sums,
                   .earlier_rows = own->sums_places + m0,
                   .accumulate = p->accumulate || (!first && sums == NULL)};
    if (last && p->bias != NULL)
        t.bias = (const float *)p->bias + r->item * p->bias_item + n0;
    if (last && p->add != NULL) {
        t.add = (const char *)p->add + n0 * size;
        t.add_rows = own->add_places + m0;
    }
    return t;
}

/* The sums of the block at row i of m in the unit and column j, of n, of what is packed. */
static void multiply(const round *r, const tile_operand *a, int64_t i, int64_t m, int64_t j,
                     int64_t n, float *sums)
{
    static const int64_t no_taps[1] = {0};
    int64_t panel = panel_bytes(r->k);
    tile_block b = {.a = *a,
                    .b = {r->shared + j / TILE_SIDE * panel, TILE_ROW_BYTES, TILE_BYTES, panel},
                    .taps = no_taps,
                    .tap_count = 1,
                    .steps = steps_of(r->k),
                    .one_row = m - i <= TILE_SIDE,
                    .one_column = n <= TILE_SIDE,
                    .sums = sums,
                    .sums_row = TILE_BLOCK};
    b.a.data += i * a->row;
    r->p->by_tiles.kernels->multiply(&b);
}

static void run_unit(const round *r, int64_t unit, const own_memory *own)
{
    const gemm_blocks *p = r->p;
    const tile_plan *q = &p->by_tiles;
    bool to_sums = r->sums != NULL && r->depth_index < q->depths - 1;
    const kernel_table *t = kernels(to_sums ? ITO_F32 : p->c_dtype);
    int64_t parts = ceil_div(r->count, q->columns);
    int64_t below = unit / parts * q->rows, m0 = r->top + below;
    int64_t m = min_of(q->rows, r->height - below);
    int64_t left = unit % parts * q->columns, right = min_of(left + q->columns, r->count);
    gemm_find_rows(&p->layout, r->item, m0, m, own->places);
    if (p->add != NULL)
        gemm_find_rows(&p->add_layout, r->item, m0, m, own->add_places);
    for (int64_t i = 0; r->sums != NULL && i < m; i++)
        own->sums_places[i] = (below + i) * q->span;
    tile_operand a = rows_of_a(r, m0, m, own);
    for (int64_t j = left; j < right; j += TILE_BLOCK)
        for (int64_t i = 0; i < m; i += TILE_BLOCK) {
            gemm_tile to = store_of(r, own, i, r->first + j);
            to.m = min_of(TILE_BLOCK, m - i);
            to.n = min_of(TILE_BLOCK, right - j);
            multiply(r, &a, i, m, j, to.n, own->sums);
            t->gemm_store(own->sums, TILE_BLOCK, &to);
        }
}

static int64_t units_of(const round *r)
{
    const tile_plan *q = &r->p->by_tiles;
    return ceil_div(r->height, q->rows) * ceil_div(r->count, q->columns);
}

/* Goes from one round of an item to the next; false after the last. Blocks of k come in order. */
static bool next_round(round *r)
{
    const tile_plan *q = &r->p->by_tiles;
    if (r->count > 0 && ++r->depth_index == q->depths) {
        r->depth_index = 0;
        r->first += r->count;
        if (r->first == r->p->n && (r->top += r->height) < r->p->m)
            r->first = 0;
    }
    r->height = min_of(q->height, r->p->m - r->top);
    r->count = min_of(q->span, r->p->n - r->first);
    r->k0 = r->depth_index * q->depth;
    r->k = min_of(q->depth, r->p->k - r->k0);
    return r->count > 0;
}

static round first_round(const gemm_blocks *p, int64_t item, char *shared)
{
    const tile_plan *q = &p->by_tiles;
    char *a = shared + q->b_bytes, *sums = a + q->a_bytes;
    return (round){.p = p,
                   .item = item,
                   .shared = shared,
                   .shared_a = a,
                   .sums = q->sums_bytes > 0 ? (float *)(void *)sums : NULL};
}

static void run_item(const gemm_blocks *p, int64_t item, char *shared, const own_memory *own)
{
    round r = first_round(p, item, shared);
    while (next_round(&r)) {
        for (int64_t unit = 0; unit < packing_units(&r); unit++)
            pack_unit(&r, unit, own->reals);
        for (int64_t unit = 0; unit < units_of(&r); unit++)
            run_unit(&r, unit, own);
    }
}

/* Nobody packs while others may still be reading what was packed before. */
static void run_item_in_team(const gemm_blocks *p, int64_t item, char *shared,
                             const own_memory *own)
{
    round r = first_round(p, item, shared);
    for (int64_t rounds = item; next_round(&r); rounds++) {
        int64_t packing = packing_units(&r), units = units_of(&r);
        if (rounds > 0) {
#pragma omp barrier
        }
#pragma omp for schedule(dynamic)
        for (int64_t unit = 0; unit < packing; unit++)
            pack_unit(&r, unit, own->reals);
#pragma omp for schedule(dynamic) nowait
        for (int64_t unit = 0; unit < units; unit++)
            run_unit(&r, unit, own);
    }
}

/* A thread of a team of one or more. */
static void run_thread(const gemm_blocks *p, char *scratch)
{
    const tile_plan *q = &p->by_tiles;
    int64_t me = thread_number();
    q->kernels->begin();
    if (q->by_item) {
        char *mine = scratch + me * (q->shared_bytes + q->own_bytes);
        own_memory own = divide(q, mine + q->shared_bytes);
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < p->items; item++)
            run_item(p, item, mine, &own);
    } else {
        own_memory own = divide(q, scratch + q->shared_bytes + me * q->own_bytes);
        for (int64_t item = 0; item < p->items; item++)
            run_item_in_team(p, item, scratch, &own);
    }
    q->kernels->end();
}

void gemm_tiles_run(const gemm_blocks *p, char *scratch)
{
    const tile_plan *q = &p->by_tiles;
    if (q->threads > 1) {
#pragma omp parallel num_threads(q->threads)
        run_thread(p, scratch);
        return;
    }
    own_memory own = divide(q, scratch + q->shared_bytes);
    q->kernels->begin();
    for (int64_t item = 0; item < p->items; item++)
        run_item(p, item, scratch, &own);
    q->kernels->end();
}
