/* The blocked matrix product: packs blocks and tiles as planned (gemm_plan.c) and leaves the
 * arithmetic to gemm_micro. The invariant is that of gemm_blocks.h.
 *
 * The kernel takes one operand as scalars, the other as vectors. If the one taken as scalars lies
 * with k contiguous, it is not packed but read in place: a strip of its rows stays in the
 * first-level cache, and the next is asked for, while panels of the other pass by from the second.
 * Else both are packed, and a panel of vectors stays while scalars pass by. A private block
 * (GEMM_PRIVATE_BYTES) fills half of the second-level cache; the shared operand comes from the
 * third. Sharing costs barriers, which lose several times over when other programs hold a
 * processor, so shared blocks are large.
 */
#include "tensor/gemm/gemm.h"

#include "tensor/gemm/gemm_blocks.h"

#include <omp.h>

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

/* The part of C that two packed blocks make: m rows, whose places are known, from column n0 on; and
 * where its sums wait, if they do. */
typedef struct block {
    int64_t m, n, n0;
    const int64_t *rows, *add_rows, *sums_rows;
    char *sums;
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

/* The product of two blocks at depth block d: the kernel for it, and its first tile. */
typedef struct work {
    const gemm_plan *q;
    void (*micro)(int64_t k, const void *x, int64_t x_row, const void *y, const gemm_tile *to);
    int64_t k, row;
    int64_t m, n;
    int64_t c_size; /* of an element of what the tile is stored in */
    gemm_tile first;
    const factor *x, *y;
} work;

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
    w->micro(w->k, w->x->data + x0 * w->x->stride, w->row, w->y->data + y0 * w->y->stride, &t);
}

/* Asks for part `part` of `parts` of each of a strip's rows. */
static void prefetch_rows(const factor *x, int64_t first, int64_t rows, int64_t bytes, int64_t part,
                          int64_t parts)
{
    int64_t length = ceil_div(ceil_div(bytes, parts), GEMM_LINE) * GEMM_LINE;
    const char *from = x->data + first * x->stride + part * length;
    for (int64_t i = 0; i < rows; i++, from += x->stride)
        for (int64_t at = 0; at < length; at += GEMM_LINE)
            __builtin_prefetch(from + at, 0, 2);
}

/* c from depth block d of both. */
static void multiply(const round *r, int64_t d, const factor *x, const factor *y, const block *c)
{
    const gemm_plan *q = &r->p->plan;
    bool to_sums = q->keeps_sums && d < q->depths - 1;
    const kernel_table *t = to_sums ? r->sum_kernels : r->kernels;
    work w = {.q = q,
              .micro = q->flipped ? t->gemm_micro_flipped : t->gemm_micro,
              .k = depth_of(r->p, d),
              .row = q->pairs ? GEMM_PAIR_PANELS : q->row,
              .m = c->m,
              .n = c->n,
              .c_size = to_sums ? q->size : r->size,
              .first = first_tile(r, d, c),
              .x = x,
              .y = y};
    int64_t xs = q->flipped ? c->n : c->m, ys = q->flipped ? c->m : c->n;
    int64_t x_width = q->flipped ? q->b_width : q->a_width;
    int64_t y_width = q->flipped ? q->a_width : q->b_width;
    if (q->row == 0) {
        for (int64_t j = 0; j < ys; j += y_width)
            for (int64_t i = 0; i < xs; i += x_width)
                multiply_tile(&w, i, j);
        return;
    }
    int64_t bytes = w.k * q->size,
            chunk = max_of(GEMM_PRIVATE_BYTES / max_of(y->stride, 1) / y_width, 1) * y_width;
    bool far = xs * bytes > GEMM_PRIVATE_BYTES; /* x is not in the second-level cache already */
    for (int64_t j0 = 0; j0 < ys; j0 += chunk) {
        int64_t panels = ceil_div(min_of(chunk, ys - j0), y_width);
        for (int64_t i = 0; i < xs; i += x_width) {
            int64_t next = i + x_width < xs ? i + x_width : 0;
            for (int64_t j = 0; j < panels; j++) {
                if (far)
                    prefetch_rows(x, next, min_of(x_width, xs - next), bytes, j, panels);
                multiply_tile(&w, i, j0 + j * y_width);
            }
        }
    }
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
               .n0 = q->share_a ? first : r->first};
    place_rows(r, q->share_a ? r->first : first, &c, own);
    for (int64_t d = r->depth_first; d < r->depth_end; d++) {
        int64_t stride = gemm_panel_bytes(q, depth_of(p, d)), k0 = d * q->depth;
        factor shared = {shared_block(r, d), stride}, private = {own, stride};
        if (q->row > 0 && q->shared_in_place)
            shared = factor_in_place(r, r->first, k0);
        else if (q->row > 0)
        private = factor_in_place(r, first, k0);
        if (q->row == 0 || q->shared_in_place)
            pack(r, q->share_a ? &p->b : &p->a, own, width, first, count, d, reals_of(q, own));
        bool shared_scalars = q->share_a != q->flipped;
        multiply(r, d, shared_scalars ? &shared : &private, shared_scalars ? &private : &shared,
                 &c);
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
        int64_t me = omp_get_thread_num();
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
