/* Images are laid out on a canvas: one line of pixels after another, with so many zero pixels
 * between lines, and zero lines between images, that a tap which leaves its image meets zeros. Then
 * output pixel r of the canvas reads, for tap (p, q), pixel r + p * pitch + q, so the pixels that
 * 16 outputs in a row read are rows of a tile where they lie, for every tap: no patches are
 * gathered. Outputs between lines and images are computed and dropped, one or two of a line.
 *
 * The gradient of the data is the convolution of dy with the filters turned around. The gradient of
 * the weights is, for each tap, a product over the pixels of the canvas: of dy, turned, by pairs of
 * pixels of x; pairs begin at even pixels or at odd ones, so there are two sets of them.
 *
 * Invariant: what an output or a gradient is summed over, and in which order, depends on the shape
 * alone, that of an output not even on n.
 */
#include "tensor/conv/conv_tiles.h"

#include "tensor/gemm/gemm_blocks.h"
#include "tensor/threads.h"

#include <string.h>

enum {
    HALF = sizeof(uint16_t),
    CANVAS_BYTES = 384 << 10, /* of a unit: the second-level cache has room for filters beside it */
    UNIT_ROWS = 512,
    UNITS_A_THREAD = 3,     /* for balance */
    PACKED_COLUMNS = 64,    /* of filters at a time */
    SUM_ROWS = 2048,        /* of the canvas, at a time, in the weights' sums, */
    SUM_ROWS_LEAST = 512,   /* and at least: sums of tiles are loaded and stored for each */
    SUM_BYTES = 512 << 10,  /* of these rows of dy */
    PARTS_FLOATS = 1 << 20, /* of the sums of all parts */
    PARTS_MOST = 16,
    GROUP = 64, /* channels of x whose pairs are in the second-level cache with them */
    TAPS_MOST = 64
};

bool conv_by_tiles(ito_dtype dtype, const conv_shape *s)
{
    enum { CHANNELS = 8, REACH = 32 }; /* beyond it a canvas would be mostly zeros */
    int64_t reach_h = (s->kh - 1) * s->dilation_h, reach_w = (s->kw - 1) * s->dilation_w;
    return dtype == ITO_BF16 && tiles_in_use() != NULL && s->groups == 1 && s->stride_h == 1 &&
           s->stride_w == 1 && s->kh * s->kw > 1 && s->kh * s->kw <= TAPS_MOST &&
           reach_h <= REACH && reach_w <= REACH && s->pad_top <= reach_h &&
           s->pad_left <= reach_w && s->ci >= CHANNELS && s->co >= CHANNELS;
}

/* ---- the canvas -------------------------------------------------------------------------------
 */

/* Output (n, i, j) and input pixel (n, i, j) are pixel (n * lines + i) * pitch + j of the canvas.
 */
typedef struct canvas {
    int64_t lines, pitch;
    int64_t all_lines; /* of all images */
    int64_t reach;     /* lines that an output reads beyond its own, above and below */
    int64_t margin;    /* pixels before the first line and behind the last that taps may reach */
} canvas;

static canvas make_canvas(const conv_shape *s)
{
    int64_t reach_h = (s->kh - 1) * s->dilation_h, reach_w = (s->kw - 1) * s->dilation_w;
    int64_t below = max_of(s->oh + reach_h - s->pad_top - s->h, 0);
    int64_t right = max_of(s->ow + reach_w - s->pad_left - s->w, 0);
    canvas c = {.lines = max_of(s->h + max_of(s->pad_top, below), s->oh),
                .pitch = max_of(s->w + max_of(s->pad_left, right), s->ow),
                .reach = reach_h,
                .margin = reach_w};
    c.all_lines = s->n * c.lines;
    return c;
}

/* Where taps are, in pixels from the first of them. */
static void find_taps(const conv_shape *s, const canvas *c, int64_t *taps)
{
    for (int64_t p = 0; p < s->kh; p++)
        for (int64_t q = 0; q < s->kw; q++)
            taps[p * s->kw + q] = p * s->dilation_h * c->pitch + q * s->dilation_w;
}

/* [n][h][w][channels] */
typedef struct images {
    const char *data;
    int64_t n, h, w, channels;
} images;

/* How many pixels of line l of the canvas are of an image, and the first of them. */
static int64_t line_of(const canvas *c, const images *x, int64_t l, const char **first)
{
    int64_t n = l >= 0 ? l / c->lines : -1, i = l - n * c->lines;
    bool there = n >= 0 && n < x->n && i < x->h;
    *first = there ? x->data + (n * x->h + i) * x->w * x->channels * HALF : NULL;
    return there ? x->w : 0;
}

/* Lines [line, line + count) of the canvas: pixels of `row` bytes, zeros where they are not of an
 * image and behind their channels. */
static void draw_lines(const canvas *c, const images *x, int64_t line, int64_t count, int64_t row,
                       char *to)
{
    int64_t bytes = x->channels * HALF;
    for (int64_t l = line; l < line + count; l++, to += c->pitch * row) {
        const char *from;
        int64_t pixels = line_of(c, x, l, &from);
        if (bytes == row && pixels > 0)
            memcpy(to, from, (size_t)(pixels * row));
        for (int64_t j = 0; bytes < row && j < pixels; j++) {
            memcpy(to + j * row, from + j * bytes, (size_t)bytes);
            memset(to + j * row + bytes, 0, (size_t)(row - bytes));
        }
        memset(to + pixels * row, 0, (size_t)((c->pitch - pixels) * row));
    }
}

/* Pointers to the pixels of these lines, and to zeros for those that are of no image. */
static void list_lines(const canvas *c, const images *x, int64_t line, int64_t count,
                       const void *zeros, const void **list)
{
    for (int64_t l = line; l < line + count; l++, list += c->pitch) {
        const char *from;
        int64_t pixels = line_of(c, x, l, &from);
        for (int64_t j = 0; j < pixels; j++)
            list[j] = from + j * x->channels * HALF;
        for (int64_t j = pixels; j < c->pitch; j++)
            list[j] = zeros;
    }
}

/* ---- forward, and the gradient of the data ------------------------------------------------------
 */

typedef struct tiles_work {
    const tile_kernels *kernels;
    const kernel_table *store;
    conv_shape s; /* of the data gradient: of the convolution of dy */
    canvas c;
    bool turned; /* w belongs to the convolution whose gradient this is */
    images x;
    char *y;
    const float *w;
    const conv_addends *e;
    char *filters;
    int64_t steps, tap_count;
    int64_t taps[TAPS_MOST]; /* in bytes */
    int64_t row;             /* bytes of a pixel of the canvas */
    int64_t panel;           /* bytes of 16 filters */
    int64_t lines, columns;  /* of a unit */
    int64_t line_units, column_units;
    int64_t canvas_bytes, own_bytes;
    int threads;
} tiles_work;

static void plan(tiles_work *q)
{
    const conv_shape *s = &q->s;
    q->c = make_canvas(s);
    q->steps = ceil_div(s->ci, TILE_STEP);
    q->row = q->steps * TILE_ROW_BYTES;
    q->tap_count = s->kh * s->kw;
    find_taps(s, &q->c, q->taps);
    for (int64_t t = 0; t < q->tap_count; t++)
        q->taps[t] *= q->row;
    q->panel = q->tap_count * q->steps * TILE_BYTES;
    q->threads = threads_for_products((double)(s->n * s->oh * s->ow * s->co) *
                                      (double)(s->ci * q->tap_count) / TILE_SIDE);
    int64_t wanted = q->threads > 1 ? UNITS_A_THREAD * q->threads : 1;
    int64_t line = q->c.pitch * q->row;
    q->lines = min_of(CANVAS_BYTES / line - q->c.reach, UNIT_ROWS / q->c.pitch);
    q->lines = max_of(min_of(q->lines, ceil_div(q->c.all_lines, wanted)), 1);
    /* Few lines would be drawn several times over: fewer units then, of fewer columns. */
    q->lines = min_of(max_of(q->lines, q->c.reach), q->c.all_lines);
    q->line_units = ceil_div(q->c.all_lines, q->lines);
    q->columns = round_up(ceil_div(s->co, ceil_div(wanted, q->line_units)), TILE_BLOCK);
    q->column_units = ceil_div(s->co, q->columns);
    int64_t rows = q->lines * q->c.pitch;
    q->canvas_bytes =
        ((q->lines + q->c.reach) * q->c.pitch + 2 * q->c.margin + TILE_BLOCK) * q->row;
    q->own_bytes = q->canvas_bytes + 2 * round_up(rows * (int64_t)sizeof(int64_t), GEMM_LINE) +
                   TILE_BLOCK * TILE_BLOCK * (int64_t)sizeof(float);
}

static void pack_filters(const tiles_work *q, int64_t unit)
{
    int64_t tap = unit % q->tap_count, first = unit / q->tap_count * PACKED_COLUMNS;
    int64_t ci = q->s.ci, co = q->s.co;
    tile_packed to = {q->filters + first / TILE_SIDE * q->panel + tap * q->steps * TILE_BYTES,
                      TILE_ROW_BYTES, TILE_BYTES, q->panel};
    tile_source from = {ITO_F32, q->w + (first * q->tap_count + tap) * ci, q->tap_count * ci, 1,
                        NULL};
    if (q->turned) /* w is [ci][taps][co] */
        from = (tile_source){ITO_F32, q->w + (q->tap_count - 1 - tap) * co + first, 1,
                             q->tap_count * co, NULL};
    q->kernels->pack_b(&to, &from, min_of(PACKED_COLUMNS, co - first), ci);
}

/* Where the outputs of lines from `line` on lie in y and in what is added; -1 where there is none.
 */
static void find_places(const tiles_work *q, int64_t line, int64_t rows, int64_t *places,
                        int64_t *add_places)
{
    const conv_shape *s = &q->s;
    int64_t n = line / q->c.lines, i = line % q->c.lines;
    for (int64_t r = 0; r < rows; r += q->c.pitch) {
        int64_t pixels = i < s->oh ? s->ow : 0, at = (n * s->oh + i) * s->ow * s->co;
        for (int64_t j = 0; j < pixels; j++) {
            places[r + j] = at + j * s->co;
            add_places[r + j] = q->e->add_per_image ? n * s->co : places[r + j];
        }
        for (int64_t j = pixels; j < q->c.pitch; j++)
            places[r + j] = -1;
        if (++i == q->c.lines) {
            i = 0;
            n++;
        }
    }
}

static void run_unit(const tiles_work *q, int64_t unit, char *own)
{
    const conv_shape *s = &q->s;
    int64_t line = unit / q->column_units * q->lines;
    int64_t lines = min_of(q->lines, q->c.all_lines - line), rows = lines * q->c.pitch;
    int64_t left = unit % q->column_units * q->columns, right = min_of(left + q->columns, s->co);
    int64_t *places = (int64_t *)(void *)(own + q->canvas_bytes);
    int64_t *add_places = places + round_up(q->lines * q->c.pitch, GEMM_LINE / 8);
    float *sums = (float *)(void *)(add_places + round_up(q->lines * q->c.pitch, GEMM_LINE / 8));
    int64_t drawn = (lines + q->c.reach) * q->c.pitch;
    char *pixels = own + q->c.margin * q->row;
    memset(own, 0, (size_t)(q->c.margin * q->row));
    draw_lines(&q->c, &q->x, line - s->pad_top, lines + q->c.reach, q->row, pixels);
    memset(pixels + drawn * q->row, 0, (size_t)((q->c.margin + TILE_BLOCK) * q->row));
    find_places(q, line, rows, places, add_places);
    for (int64_t j = left; j < right; j += TILE_BLOCK)
        for (int64_t i = 0; i < rows; i += TILE_BLOCK) {
            tile_block b = {
                .a = {pixels + (i - s->pad_left) * q->row, q->row, TILE_ROW_BYTES,
                      TILE_SIDE * q->row},
                .b = {q->filters + j / TILE_SIDE * q->panel, TILE_ROW_BYTES, TILE_BYTES, q->panel},
                .taps = q->taps,
                .tap_count = q->tap_count,
                .steps = q->steps,
                .one_row = rows - i <= TILE_SIDE,
                .one_column = right - j <= TILE_SIDE,
                .sums = sums,
                .sums_row = TILE_BLOCK};
            q->kernels->multiply(&b);
            gemm_tile to = {.m = min_of(TILE_BLOCK, rows - i),
                            .n = min_of(TILE_BLOCK, right - j),
                            .c = q->y + j * HALF,
                            .rows = places + i,
                            .bias = q->e->bias != NULL ? (const float *)q->e->bias + j : NULL,
                            .add = q->e->add != NULL ? (const char *)q->e->add + j * HALF : NULL,
                            .add_rows = add_places + i};
            q->store->gemm_store(sums, TILE_BLOCK, &to);
        }
}

static ito_status convolve(tiles_work *q)
{
    if (q->s.n * q->s.oh * q->s.ow * q->s.co == 0)
        return ITO_OK;
    plan(q);
    int64_t bytes = ceil_div(q->s.co, PACKED_COLUMNS) * PACKED_COLUMNS / TILE_SIDE * q->panel;
    q->filters = mem_alloc((size_t)(bytes + q->threads * q->own_bytes));
    if (q->filters == NULL)
        return ITO_ERR_MEMORY;
    int64_t packing = ceil_div(q->s.co, PACKED_COLUMNS) * q->tap_count;
    int64_t units = q->line_units * q->column_units;
#pragma omp parallel num_threads(q->threads)
    {
        char *own = q->filters + bytes + thread_number() * q->own_bytes;
        q->kernels->begin();
#pragma omp for schedule(dynamic)
        for (int64_t unit = 0; unit < packing; unit++)
            pack_filters(q, unit);
#pragma omp for schedule(dynamic)
        for (int64_t unit = 0; unit < units; unit++)
            run_unit(q, unit, own);
        q->kernels->end();
    }
    mem_free(q->filters);
    return ITO_OK;
}

ito_status tiles_forward(void *y, const void *x, const float *w, const conv_addends *e,
                         const conv_shape *s)
{
    tiles_work q = {.kernels = tiles_in_use(),
                    .store = kernels(ITO_BF16),
                    .s = *s,
                    .x = {x, s->n, s->h, s->w, s->ci},
                    .y = y,
                    .w = w,
                    .e = e};
    return convolve(&q);
}

/* dx[i] = the sum over p of dy[i + pad - p] w[p], which is dy[i + p' - (reach - pad)] w[reach -
 * p']. */
ito_status tiles_backward_data(void *dx, const void *dy, const float *w, const conv_shape *s)
{
    tiles_work q = {.kernels = tiles_in_use(),
                    .store = kernels(ITO_BF16),
                    .s = *s,
                    .turned = true,
                    .x = {dy, s->n, s->oh, s->ow, s->co},
                    .y = dx,
                    .w = w,
                    .e = &(conv_addends){0}};
    q.s.h = s->oh;
    q.s.w = s->ow;
    q.s.ci = s->co;
    q.s.oh = s->h;
    q.s.ow = s->w;
    q.s.co = s->ci;
    q.s.pad_top = (s->kh - 1) * s->dilation_h - s->pad_top;
    q.s.pad_left = (s->kw - 1) * s->dilation_w - s->pad_left;
    return convolve(&q);
}

/* ---- the gradient of the weights ----------------------------------------------------------------
 */

typedef struct weight_work {
    const tile_kernels *kernels;
    conv_shape s;
    canvas c;
    images x, dy;
    int64_t tap_count, taps[TAPS_MOST]; /* in pixels */
    float *sums;                        /* [parts][co][taps][ci]: dw, or what is added up to it */
    int64_t sums_part, sums_row, sums_tap;
    int64_t co, ci, group; /* channels of a unit; of x, in pairs at a time */
    int64_t co_units, ci_units;
    int64_t parts;         /* of the lines, each summed apart: several where dw is small */
    int64_t lines, blocks; /* of the canvas in a block, and how many blocks */
    int64_t rows, x_rows;  /* pixels of them: of dy, whole steps; of x, with what taps reach */
    int64_t pair_row;      /* bytes from a pair of pixels of x to the next */
    int64_t list_bytes, dy_bytes, pairs_bytes, own_bytes;
    const char *zeros; /* as many as a pixel has */
    int threads;
} weight_work;

static void plan_weights(weight_work *q)
{
    const conv_shape *s = &q->s;
    q->c = make_canvas(s);
    q->tap_count = s->kh * s->kw;
    find_taps(s, &q->c, q->taps);
    q->threads = threads_for_products((double)(s->n * s->oh * s->ow * s->co) *
                                      (double)(s->ci * q->tap_count) / TILE_SIDE);
    q->co = round_up(s->co, TILE_SIDE);
    q->ci = round_up(s->ci, TILE_SIDE);
    int64_t rows = max_of(min_of(SUM_BYTES / (s->co * HALF), SUM_ROWS), SUM_ROWS_LEAST);
    int64_t most = max_of(rows / q->c.pitch, 1);
    q->lines = ceil_div(q->c.all_lines, ceil_div(q->c.all_lines, most));
    q->blocks = ceil_div(q->c.all_lines, q->lines);
    q->sums_tap = round_up(s->ci, TILE_SIDE);
    q->sums_row = q->tap_count * q->sums_tap;
    q->sums_part = round_up(s->co, TILE_SIDE) * q->sums_row;
    q->parts = 1;
    while (2 * q->parts * q->sums_part <= PARTS_FLOATS &&
           2 * q->parts <= min_of(q->blocks, PARTS_MOST))
        q->parts *= 2;
    /* No more units than threads: each packs what it needs. */
    while (q->parts * ceil_div(s->co, q->co) * ceil_div(s->ci, q->ci) < q->threads &&
           max_of(q->co, q->ci) > TILE_BLOCK) {
        bool fewer_pairs = q->ci > GROUP || q->co <= TILE_BLOCK;
        int64_t *part = fewer_pairs ? &q->ci : &q->co;
        *part = round_up(*part / 2, TILE_BLOCK);
    }
    q->group = min_of(q->ci, GROUP);
    q->co_units = ceil_div(s->co, q->co);
    q->ci_units = ceil_div(s->ci, q->ci);
    q->rows = round_up(q->lines * q->c.pitch, TILE_STEP);
    q->x_rows = q->rows + q->c.reach * q->c.pitch + q->c.margin + 1;
    q->pair_row = q->group * 2 * HALF + GEMM_LINE; /* powers of two would share places of a cache */
    q->dy_bytes = q->rows * q->co * HALF;
    q->pairs_bytes = round_up(q->x_rows, TILE_STEP) / 2 * q->pair_row;
    q->list_bytes =
        round_up((q->x_rows + q->c.pitch + s->pad_left) * (int64_t)sizeof(void *), GEMM_LINE);
    q->own_bytes = q->list_bytes + q->dy_bytes + 2 * q->pairs_bytes;
}

/* dy of a block of lines, of q->co channels from `co` on, as tiles: a row for each channel, k over
 * pixels. What is no output of an image is zero. */
static void pack_gradient(const weight_work *q, int64_t co, int64_t line, const void **list,
                          char *to)
{
    int64_t lines = min_of(q->lines, q->c.all_lines - line), pixels = lines * q->c.pitch;
    list_lines(&q->c, &q->dy, line, lines, q->zeros, list);
    for (int64_t i = pixels; i < q->rows; i++)
        list[i] = q->zeros;
    for (int64_t i = 0; i < q->rows; i++)
        list[i] = (const char *)list[i] + co * HALF;
    tile_packed packed = {to, TILE_ROW_BYTES, TILE_BYTES, q->rows / TILE_STEP * TILE_BYTES};
    tile_source from = {ITO_BF16, NULL, 1, 0, list};
    q->kernels->pack_a(&packed, &from, min_of(q->co, q->s.co - co), q->rows);
}

/* x of the same lines and those that taps reach, of a group of channels from `ci` on, in pairs of
 * pixels from even ones on and from odd. */
static void pack_pairs(const weight_work *q, int64_t ci, int64_t ci_end, int64_t line,
                       const void **list, char *to)
{
    const conv_shape *s = &q->s;
    for (int64_t i = 0; i < s->pad_left; i++)
        list[i] = q->zeros;
    list_lines(&q->c, &q->x, line - s->pad_top, ceil_div(q->x_rows, q->c.pitch), q->zeros,
               list + s->pad_left);
    for (int64_t i = 0; i < q->x_rows; i++)
        list[i] = (const char *)list[i] + ci * HALF;
    for (int64_t phase = 0; phase < 2; phase++, to += q->pairs_bytes) {
        tile_packed packed = {to, q->pair_row, TILE_SIDE * q->pair_row, TILE_ROW_BYTES};
        tile_source from = {ITO_BF16, NULL, 1, 0, list + phase};
        q->kernels->pack_b(&packed, &from, min_of(q->group, ci_end - ci), q->x_rows - phase);
    }
}

/* Adds the products of q->co channels of dy from `co` on and a group of those of x from `ci` on. */
static void add_products(const weight_work *q, int64_t part, int64_t co, int64_t ci, int64_t ci_end,
                         const char *dy, const char *pairs, bool accumulate)
{
    static const int64_t no_taps[1] = {0};
    int64_t steps = q->rows / TILE_STEP;
    for (int64_t i = 0; i < min_of(q->co, q->s.co - co); i += TILE_BLOCK)
        for (int64_t tap = 0; tap < q->tap_count; tap++)
            for (int64_t j = 0; j < min_of(q->group, ci_end - ci); j += TILE_BLOCK) {
                int64_t pixel = q->taps[tap];
                tile_block b = {.a = {dy + i / TILE_SIDE * steps * TILE_BYTES, TILE_ROW_BYTES,
                                      TILE_BYTES, steps * TILE_BYTES},
                                .b = {pairs + pixel % 2 * q->pairs_bytes + pixel / 2 * q->pair_row +
                                          j * 2 * HALF,
                                      q->pair_row, TILE_SIDE * q->pair_row, TILE_ROW_BYTES},
                                .taps = no_taps,
                                .tap_count = 1,
                                .steps = steps,
                                .one_row = min_of(q->co, q->s.co - co) - i <= TILE_SIDE,
                                .one_column = ci_end - ci - j <= TILE_SIDE,
                                .sums = q->sums + part * q->sums_part + (co + i) * q->sums_row +
                                        tap * q->sums_tap + ci + j,
                                .sums_row = q->sums_row,
                                .accumulate = accumulate};
                q->kernels->multiply(&b);
            }
}

static void sum_unit(const weight_work *q, int64_t unit, char *own)
{
    int64_t ci0 = unit % q->ci_units * q->ci, co = unit / q->ci_units % q->co_units * q->co;
    int64_t part = unit / q->ci_units / q->co_units;
    int64_t first = part * q->blocks / q->parts, end = (part + 1) * q->blocks / q->parts;
    int64_t ci_end = min_of(ci0 + q->ci, q->s.ci);
    const void **list = (const void **)(void *)own;
    char *dy = own + q->list_bytes, *pairs = dy + q->dy_bytes;
    for (int64_t block = first; block < end; block++) {
        pack_gradient(q, co, block * q->lines, list, dy);
        for (int64_t ci = ci0; ci < ci_end; ci += q->group) {
            pack_pairs(q, ci, ci_end, block * q->lines, list, pairs);
            add_products(q, part, co, ci, ci_end, dy, pairs, block > first);
        }
    }
}

/* dw from the sums of the parts, added in order; by all threads of the team. */
static void add_parts(const weight_work *q, float *dw)
{
    int64_t ci = q->s.ci;
#pragma omp for schedule(static)
    for (int64_t row = 0; row < q->s.co * q->tap_count; row++)
        for (int64_t part = 0; part < q->parts; part++) {
            const float *from = q->sums + part * q->sums_part + row * q->sums_tap;
            for (int64_t j = 0; j < ci; j++)
                dw[row * ci + j] = part == 0 ? from[j] : dw[row * ci + j] + from[j];
        }
}

/* Tiles write whole blocks of 16 x 16: into dw itself where they fit. */
ito_status tiles_backward_weight(float *dw, const void *x, const void *dy, const conv_shape *s)
{
    weight_work q = {.kernels = tiles_in_use(),
                     .s = *s,
                     .x = {x, s->n, s->h, s->w, s->ci},
                     .dy = {dy, s->n, s->oh, s->ow, s->co}};
    int64_t numel = s->co * s->kh * s->kw * s->ci;
    if (s->n * s->oh * s->ow == 0 || numel == 0) {
        memset(dw, 0, (size_t)numel * sizeof *dw);
        return ITO_OK;
    }
    plan_weights(&q);
    bool fits = q.parts == 1 && s->co % TILE_SIDE == 0 && s->ci % TILE_SIDE == 0;
    int64_t own_sums = fits ? 0 : q.parts * q.sums_part * (int64_t)sizeof(float);
    int64_t zeros = round_up(max_of(s->co, s->ci) * HALF, GEMM_LINE);
    char *scratch = mem_alloc((size_t)(own_sums + zeros + q.threads * q.own_bytes));
    if (scratch == NULL)
        return ITO_ERR_MEMORY;
    q.zeros = memset(scratch + own_sums, 0, (size_t)zeros);
    q.sums = fits ? dw : (float *)(void *)scratch;
    int64_t units = q.parts * q.co_units * q.ci_units;
#pragma omp parallel num_threads(q.threads)
    {
        char *own = scratch + own_sums + zeros + thread_number() * q.own_bytes;
        q.kernels->begin();
#pragma omp for schedule(dynamic)
        for (int64_t unit = 0; unit < units; unit++)
            sum_unit(&q, unit, own);
        q.kernels->end();
        if (!fits)
            add_parts(&q, dw);
    }
    mem_free(scratch);
    return ITO_OK;
}
