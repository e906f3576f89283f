/* The blocked matrix product: packs blocks and tiles as planned (gemm_plan.c) and leaves the
 * arithmetic to gemm_micro. The invariant is that of gemm_blocks.h.
 *
 * The kernel takes one operand as scalars, the other as vectors. If the one taken as scalars lies
 * with k contiguous, it is not packed but read in place: a strip of its rows stays in the
 * first-level cache, and the next is asked for, while panels of the other pass by from the second.
 * Else both are packed, and a panel of vectors stays while scalars pass by. A private block
 * fills half of the second-level cache; the shared operand comes from the third. Where all vectors
 * fit beside each other, a strip goes through all blocks of k before the next, so that C comes and
 * goes once. Sharing costs barriers, which lose several times over when other programs hold a
 * processor, so shared blocks are large.
 */
#include "tensor/gemm/gemm.h"

#include "tensor/gemm/gemm_blocks.h"
#include "tensor/gemm/gemm_thin.h"
#include "tensor/threads.h"

/* ---- the work ------------------------------------------------------------------------------- */

/* One round: the part of the shared operand that is packed, and of one item. */
typedef struct round {
    const gemm_blocks *p;
    const kernel_table *kernels, *sum_kernels; /* of C, and of reals */
    int64_t size;                              /* of an element of C */
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
    return r->shared + (d - r->depth_first) * gemm_panel_bytes(q, q->depth) * q->span;
}

/* The thread's panel of reals. */
static char *reals_of(const gemm_plan *q, char *own)
{
    return own + q->own_bytes - q->reals_bytes;
}

/* Rows (columns) [first, first + count) of an operand, depth block d. */
static void pack(const round *r, const gemm_operand *from, char *panels, int64_t width,
                 int64_t first, int64_t count, int64_t d, char *reals)
{
    const gemm_plan *q = &r->p->plan;
    int64_t k = depth_of(r->p, d), k0 = d * q->depth;
    if (k <= 0)
        return;
    if (!q->pairs) {
        from->pack(from->source, r->item, panels, width, first, count, k0, k);
        return;
    }
    for (int64_t i = 0; i < count; i += width) {
        from->pack(from->source, r->item, reals, width, first + i, min_of(width, count - i), k0, k);
        r->sum_kernels->gemm_pack_pairs(panels + i * gemm_panel_bytes(q, k), reals, width, k);
    }
}

/* Units of packing: each panel of each block of k. */
static int64_t shared_panels(const round *r)
{
    if (r->p->plan.shared_in_place)
        return 0;
    return ceil_div(r->count, r->p->plan.share_a ? r->p->plan.a_width : r->p->plan.b_width);
}

static void pack_shared(const round *r, int64_t unit, char *own)
{
    const gemm_plan *q = &r->p->plan;
    int64_t width = q->share_a ? q->a_width : q->b_width, panels = shared_panels(r);
    int64_t d = r->depth_first + unit / panels, at = unit % panels * width;
    pack(r, q->share_a ? &r->p->a : &r->p->b,
         shared_block(r, d) + at * gemm_panel_bytes(q, depth_of(r->p, d)), width, r->first + at,
         min_of(width, r->count - at), d, reals_of(q, own));
}

void gemm_find_rows(const gemm_layout *l, int64_t item, int64_t first, int64_t count, int64_t *rows)
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

/* The part of C that a tile makes in a round: m rows, whose places are known, from column n0 on;
 * and where its sums wait, if they do. Blocks of k [depth_first, depth_end) of what is not shared,
 * from `first` on, are in reach: packed in `own`, unless they are read in place. */
typedef struct block {
    int64_t m, n, n0;
    const int64_t *rows, *add_rows, *sums_rows;
    char *sums;
    int64_t first;
    int64_t depth_first, depth_end;
    char *own;
} block;

static const void *after(const void *p, int64_t bytes)
{
    return p != NULL ? (const char *)p + bytes : NULL;
}

/* What happens to row 0 and column 0 of it after depth block d. */
static gemm_tile first_tile(const round *r, int64_t d, const block *c)
{
    const gemm_blocks *p = r->p;
    const gemm_plan *q = &p->plan;
    bool last = d == q->depths - 1;
    gemm_tile t = {.c = c->sums, .rows = c->sums_rows, .accumulate = d > 0};
    if (!last && q->keeps_sums)
        return t;
    t.c = (char *)p->c + c->n0 * r->size;
    t.rows = c->rows;
    t.accumulate = p->accumulate || (d > 0 && !q->keeps_sums);
    t.earlier = q->keeps_sums ? c->sums : NULL;
    t.earlier_rows = c->sums_rows;
    if (last) {
        t.bias = after(p->bias, (r->item * p->bias_item + c->n0) * q->size);
        t.add = after(p->add, c->n0 * r->size);
        t.add_rows = c->add_rows;
    }
    return t;
}

/* What the kernel takes as scalars or as vectors: panels, or rows in place; and the bytes from a
 * row (column) to the next. */
typedef struct factor {
    const char *data;
    int64_t stride;
} factor;

/* Row `first` of the operand in place, at depth k0. */
static factor factor_in_place(const round *r, int64_t first, int64_t k0)
{
    const gemm_plan *q = &r->p->plan;
    const gemm_matrix *x = (q->flipped ? &r->p->b : &r->p->a)->source;
    return (factor){(const char *)x->data +
                        (r->item * x->stride_item + first * x->stride + k0) * q->size,
                    x->stride * q->size};
}

static char *private_block(const gemm_plan *q, const block *c, int64_t d)
{
    return c->own + (d - c->depth_first) * gemm_panel_bytes(q, q->depth) * q->tile_most;
}

/* Of what is shared, or of what is not, at depth block d. */
static factor find_factor(const round *r, const block *c, bool shared, int64_t d)
{
    const gemm_plan *q = &r->p->plan;
    if (q->row > 0 && shared == q->shared_in_place)
        return factor_in_place(r, shared ? r->first : c->first, d * q->depth);
    return (factor){shared ? shared_block(r, d) : private_block(q, c, d),
                    gemm_panel_bytes(q, depth_of(r->p, d))};
}

/* The product of two blocks at one depth: the kernel for it, and its first tile. */
typedef struct work {
    const gemm_plan *q;
    void (*micro)(int64_t k, const void *x, int64_t x_row, const void *y, const gemm_tile *to);
    int64_t k, row;
    int64_t m, n;
    int64_t c_size; /* of an element of what the tile is stored in */
    gemm_tile first;
    factor x, y;
} work;

static work find_work(const round *r, const block *c, int64_t d)
{
    const gemm_plan *q = &r->p->plan;
    bool to_sums = q->keeps_sums && d < q->depths - 1, shared_scalars = q->share_a != q->flipped;
    const kernel_table *t = to_sums ? r->sum_kernels : r->kernels;
    return (work){.q = q,
                  .micro = q->flipped ? t->gemm_micro_flipped : t->gemm_micro,
                  .k = depth_of(r->p, d),
                  .row = q->pairs ? GEMM_PAIR_PANELS : q->row,
                  .m = c->m,
                  .n = c->n,
                  .c_size = to_sums ? q->size : r->size,
                  .first = first_tile(r, d, c),
                  .x = find_factor(r, c, shared_scalars, d),
                  .y = find_factor(r, c, !shared_scalars, d)};
}

/* The tile at row x0 of the scalars and y0 of the vectors. */
static void multiply_tile(const work *w, int64_t x0, int64_t y0)
{
    const gemm_plan *q = w->q;
    int64_t i = q->flipped ? y0 : x0, j = q->flipped ? x0 : y0;
    gemm_tile t = w->first;
    t.m = min_of(q->a_width, w->m - i);
    t.n = min_of(q->b_width, w->n - j);
    t.c = (char *)t.c + j * w->c_size;
    t.rows += i;
    t.earlier = after(t.earlier, j * q->size);
    t.earlier_rows += i;
    t.bias = after(t.bias, j * q->size);
    t.add = after(t.add, j * w->c_size);
    t.add_rows += i;
    w->micro(w->k, w->x.data + x0 * w->x.stride, w->row, w->y.data + y0 * w->y.stride, &t);
}

/* Asks for part `part` of `parts` of `bytes` bytes from each of some rows, `stride` bytes apart. */
static void prefetch(const char *from, int64_t stride, int64_t rows, int64_t bytes, int64_t part,
                     int64_t parts)
{
    int64_t length = ceil_div(ceil_div(bytes, parts), GEMM_LINE) * GEMM_LINE;
    int64_t end = min_of((part + 1) * length, bytes);
    for (int64_t i = 0; i < rows; i++, from += stride)
        for (int64_t at = part * length; at < end; at += GEMM_LINE)
            __builtin_prefetch(from + at, 0, 2);
}

/* Sizes of the two factors in a block of C, and of their panels. */
typedef struct extents {
    int64_t xs, x_width, ys, y_width;
} extents;

/* A panel of vectors stays in the first-level cache while scalars pass by. */
static void multiply_by_panels(const round *r, const block *c, const extents *e)
{
    for (int64_t j = 0; j < e->ys; j += e->y_width)
        for (int64_t d = c->depth_first; d < c->depth_end; d++) {
            work w = find_work(r, c, d);
            for (int64_t i = 0; i < e->xs; i += e->x_width)
                multiply_tile(&w, i, j);
        }
}

/* A strip of scalars stays in the first-level cache, and the next is asked for, while panels of
 * vectors pass by from the second, as many as fit there. */
static void multiply_by_strips(const round *r, const block *c, const extents *e)
{
    const gemm_plan *q = &r->p->plan;
    int64_t bytes = gemm_panel_bytes(q, q->depth) * (c->depth_end - c->depth_first);
    int64_t y_most = max_of(q->private_most / max_of(bytes, 1) / e->y_width, 1) * e->y_width;
    bool far = e->xs * bytes > q->private_most; /* x is not in the second-level cache already */
    for (int64_t j0 = 0; j0 < e->ys; j0 += y_most) {
        int64_t panels = ceil_div(min_of(y_most, e->ys - j0), e->y_width);
        for (int64_t i = 0; i < e->xs; i += e->x_width) {
            int64_t next = i + e->x_width < e->xs ? i + e->x_width : 0;
            int64_t rows = min_of(e->x_width, e->xs - next);
            for (int64_t d = c->depth_first; d < c->depth_end; d++) {
                work w = find_work(r, c, d);
                for (int64_t j = 0; j < panels; j++) {
                    if (far)
                        prefetch(w.x.data + next * w.x.stride, w.x.stride, rows, w.k * q->size, j,
                                 panels);
                    multiply_tile(&w, i, j0 + j * e->y_width);
                }
            }
        }
    }
}

/* The part of C from the blocks of k that are in reach. */
static void multiply(const round *r, const block *c)
{
    const gemm_plan *q = &r->p->plan;
    extents e = q->flipped ? (extents){c->n, q->b_width, c->m, q->a_width}
                           : (extents){c->m, q->a_width, c->n, q->b_width};
    if (q->row > 0)
        multiply_by_strips(r, c, &e);
    else
        multiply_by_panels(r, c, &e);
}

/* Finds the rows of a block in the memory of the thread. */
static void place_rows(const round *r, int64_t m0, block *c, char *own)
{
    const gemm_blocks *p = r->p;
    const gemm_plan *q = &p->plan;
    int64_t *rows = (int64_t *)(void *)(own + q->private_bytes);
    int64_t *add_rows = rows + q->rows_bytes / (int64_t)sizeof *rows;
    int64_t *sums_rows = add_rows + q->rows_bytes / (int64_t)sizeof *rows;
    gemm_find_rows(&p->layout, r->item, m0, c->m, rows);
    if (p->add != NULL)
        gemm_find_rows(&p->add_layout, r->item, m0, c->m, add_rows);
    for (int64_t i = 0; q->keeps_sums && i < c->m; i++)
        sums_rows[i] = i * q->sums_row;
    c->rows = rows;
    c->add_rows = add_rows;
    c->sums_rows = sums_rows;
    c->sums = own + q->private_bytes + 3 * q->rows_bytes;
}

/* own: scratch memory of the thread. */
static void run_tile(const round *r, int64_t tile, char *own)
{
    const gemm_blocks *p = r->p;
    const gemm_plan *q = &p->plan;
    int64_t width = q->share_a ? q->b_width : q->a_width, extent = q->share_a ? p->n : p->m;
    int64_t first = tile * q->panels / q->tiles * width;
    int64_t count = min_of((tile + 1) * q->panels / q->tiles * width, extent) - first;
    block c = {.m = q->share_a ? r->count : count,
               .n = q->share_a ? count : r->count,
               .n0 = q->share_a ? first : r->first,
               .first = first,
               .own = own};
    place_rows(r, q->share_a ? r->first : first, &c, own);
    for (int64_t d0 = r->depth_first; d0 < r->depth_end; d0 = c.depth_end) {
        c.depth_first = d0;
        c.depth_end = min_of(d0 + q->stage, r->depth_end);
        bool packs = q->private_bytes > 0;
        for (int64_t d = d0; d < c.depth_end && packs; d++)
            pack(r, q->share_a ? &p->b : &p->a, private_block(q, &c, d), width, first, count, d,
                 reals_of(q, own));
        multiply(r, &c);
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
                   .kernels = kernels(p->c_dtype),
                   .sum_kernels = kernels(gemm_reals(p)),
                   .size = (int64_t)ito_dtype_size(p->c_dtype),
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
            pack_shared(&r, u, own);
        for (int64_t tile = 0; tile < p->plan.tiles; tile++)
            run_tile(&r, tile, own);
    }
}

/* A team does an item together. The rounds are the same in every thread. Nobody packs while others
 * may still be reading what was packed before. */
static void run_item_in_team(const gemm_blocks *p, int64_t item, char *shared, char *own)
{
    round r = first_round(p, item, shared);
    for (int64_t rounds = item; next_round(&r); rounds++) {
        int64_t units = shared_panels(&r) * (r.depth_end - r.depth_first);
        if (units > 0) {
            if (rounds > 0) {
#pragma omp barrier
            }
#pragma omp for schedule(dynamic, 4)
            for (int64_t u = 0; u < units; u++)
                pack_shared(&r, u, own);
        }
#pragma omp for schedule(dynamic) nowait
        for (int64_t tile = 0; tile < p->plan.tiles; tile++)
            run_tile(&r, tile, own);
    }
}

void gemm_blocks_run(const gemm_blocks *p, void *scratch)
{
    const gemm_plan *q = &p->plan;
    if (p->by_tiles.kernels != NULL) {
        gemm_tiles_run(p, scratch);
        return;
    }
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
        int64_t me = thread_number();
        if (q->by_item) {
            char *mine = shared + me * (q->shared_bytes + q->own_bytes);
#pragma omp for schedule(dynamic)
            for (int64_t item = 0; item < p->items; item++)
                run_item(p, item, mine, mine + q->shared_bytes);
        } else {
            char *own = shared + q->shared_bytes + me * q->own_bytes;
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
    int64_t panel = width * k * (int64_t)(x->dtype == ITO_F64 ? sizeof(double) : sizeof(float));
    const char *from = (const char *)x->data +
                       (item * x->stride_item + first * x->stride + k0 * x->stride_k) * size;
    if (x->stride == 1 && x->stride_k != 1) { /* along rows, a few at a time, as memory likes it */
        enum { PACK_ROWS = 8 };
        for (int64_t p = 0; p < k; p += PACK_ROWS) {
            int64_t steps = min_of(PACK_ROWS, k - p);
            for (int64_t i = 0; i < count; i += width)
                t->gemm_pack_strided(panels + i / width * panel + p * (panel / k), width,
                                     from + (i + p * x->stride_k) * size, 1, x->stride_k,
                                     min_of(width, count - i), steps);
        }
        return;
    }
    for (int64_t i = 0; i < count; i += width, panels += panel, from += width * x->stride * size)
        t->gemm_pack_strided(panels, width, from, x->stride, x->stride_k, min_of(width, count - i),
                             k);
}

ito_status gemm(const gemm_problem *problem)
{
    gemm_problem q = *problem;
    q.batch = q.batch == 0 ? 1 : q.batch;
    if (q.batch > 1 && q.b_batch == 0 && q.a_batch == q.m * q.a_row && q.c_batch == q.m * q.c_row) {
        q.m *= q.batch; /* rows on rows against one B: one tall product, bit for bit */
        q.batch = 1;
    }
    if (gemm_thin(&q))
        return ITO_OK;
    gemm_matrix a = {q.a_dtype, q.a, q.a_row, q.a_col, q.a_batch};
    gemm_matrix b = {q.b_dtype, q.b, q.b_col, q.b_row, q.b_batch};
    gemm_blocks p = {.a_dtype = q.a_dtype,
                     .b_dtype = q.b_dtype,
                     .c_dtype = q.c_dtype,
                     .way = q.way,
                     .items = q.batch,
                     .m = q.m,
                     .n = q.n,
                     .k = q.k,
                     .a = {.pack = gemm_pack_matrix, .source = &a},
                     .b = {.pack = gemm_pack_matrix, .source = &b},
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
