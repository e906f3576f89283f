/* Forward and data gradient work through blocks of tiles, each by one thread: transform the inputs
 * (V), multiply by the transformed filters (U, made once for all) for a few columns at a time, and
 * transform the products (M) before they leave the second-level cache. The gradient of the data is
 * the forward convolution of dy with the filters turned around.
 *
 * The gradient of the weights sums, for blocks of tiles in order, 36 products of transformed dy and
 * x into S; threads share the 36, so that every sum has one writer. Where S is small and tiles are
 * many, a thread does all 36 for a group of tiles instead, whose transforms never leave its
 * second-level cache, for all or half of the input channels; the groups' gradients are then summed
 * in order.
 *
 * Steps from one of the 36 numbers to the next are padded by a cache line: multiples of 4096 bytes
 * would send all of them to the same few places of the cache.
 */
#include "tensor/conv/winograd.h"

#include "tensor/gemm/gemm_blocks.h"
#include "tensor/threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    TILE = 4,                  /* outputs along an axis */
    WINDOW = 6,                /* inputs */
    NUMBERS = WINDOW * WINDOW, /* of a transformed tile or filter */
    TAPS = 9,
    ROWS_MOST = 12, /* of the register tile */
    COLUMNS_MOST = 32,
    DEPTH_MOST = 256,      /* a panel of U in a first-level cache */
    CHUNK = 64,            /* columns of M at a time: with 48 tiles, 442 KiB */
    BLOCK_MOST = 48,       /* tiles: with fewer, U is fetched too often */
    BLOCK_BYTES = 4 << 20, /* of V, which is read once for each chunk */
    UNITS_A_THREAD = 2,    /* for balance */
    FILTER_CHUNK = 32,     /* channels of filters that are transformed at a time */
    SUM_TILES = 64,        /* in a block of the weights' sums: a strip in a first-level cache */
    ROUND_BYTES = 6 << 20, /* of transformed x and dy between two barriers */
    GROUP_TILES = 64,      /* in a group at least, and twice as many if groups are many */
    GROUPS_LEAST = 4,      /* for balance */
    GROUPS_MANY = 8,
    GROUPS_MOST = 32,
    GROUP_BYTES = 1408 << 10, /* of S and a block of tiles: in a second-level cache */
    LINE = 16                 /* floats in a cache line */
};

bool winograd_fits(const conv_shape *s)
{
    return s->kh == 3 && s->kw == 3 && s->stride_h == 1 && s->stride_w == 1 && s->dilation_h == 1 &&
           s->dilation_w == 1 && s->groups == 1;
}

static pthread_once_t environment_once = PTHREAD_ONCE_INIT;
static _Atomic bool enabled_now;

static void read_environment(void)
{
    const char *wanted = getenv("ITO_WINOGRAD");
    enabled_now = wanted == NULL || strcmp(wanted, "0") != 0;
}

bool winograd_enabled(void)
{
    pthread_once(&environment_once, read_environment);
    return enabled_now;
}

void winograd_enable(bool enabled)
{
    pthread_once(&environment_once, read_environment);
    enabled_now = enabled;
}

/* ---- windows -------------------------------------------------------------------------------- */

/* A square of pixels for each tile: of tile (n, i, j) it begins at pixel (4 i + off_h, 4 j + off_w)
 * of image n. Pixels outside the image are `outside`. */
typedef struct windows {
    const char *data;
    int64_t h, w, pixel; /* bytes from a pixel to the next */
    int64_t off_h, off_w;
    int64_t size;
    const void *outside;
} windows;

typedef struct tile_grid {
    int64_t h, w, tiles;
} tile_grid;

static tile_grid grid_of(const conv_shape *s)
{
    int64_t h = ceil_div(s->oh, TILE), w = ceil_div(s->ow, TILE);
    return (tile_grid){h, w, s->n * h * w};
}

/* The pixels of a tile; all outside for tiles past the last. */
static void aim(const windows *x, const tile_grid *g, int64_t tile, const void **pixels)
{
    int64_t line = tile / g->w, image = line / g->h;
    int64_t i0 = line % g->h * TILE + x->off_h, j0 = tile % g->w * TILE + x->off_w;
    for (int64_t i = i0; i < i0 + x->size; i++) {
        bool exists = tile < g->tiles && (uint64_t)i < (uint64_t)x->h;
        const char *row = exists ? x->data + (image * x->h + i) * x->w * x->pixel : NULL;
        for (int64_t j = j0; j < j0 + x->size; j++)
            *pixels++ = exists && (uint64_t)j < (uint64_t)x->w ? row + j * x->pixel : x->outside;
    }
}

/* ---- plan ----------------------------------------------------------------------------------- */

typedef struct winograd_plan {
    const kernel_table *kernels; /* of the images */
    const kernel_table *reals;   /* of all else */
    int64_t size;                /* of a channel of a pixel, in bytes */
    conv_shape s;                /* of the data gradient: the convolution of dy */
    bool turned;                 /* w belongs to the convolution whose gradient this is */
    tile_grid grid;
    int64_t rows, columns; /* of the register tile */
    int64_t k, n;          /* channels in and out, filled up to vectors and panels */
    int64_t depth;         /* of a block of k; depends on k alone */
    int64_t block, blocks; /* tiles in a block, and how many blocks */
    int64_t span, spans;   /* columns that are done at once: all, unless blocks are few */
    int threads;
    int64_t u_step, u_panel, v_step, m_step;
    int64_t u, own,
        zeros; /* floats of scratch memory: for U, for each thread, for pixels outside */
} winograd_plan;

static winograd_plan make_plan(ito_dtype dtype, const conv_shape *s, bool turned)
{
    winograd_plan p = {.kernels = kernels(dtype),
                       .reals = kernels(ITO_F32),
                       .size = (int64_t)ito_dtype_size(dtype),
                       .s = *s,
                       .turned = turned,
                       .grid = grid_of(s)};
    p.rows = p.reals->gemm_tile_rows();
    p.columns = p.reals->gemm_tile_columns();
    int64_t vector = p.columns / 2;
    p.k = round_up(s->ci, vector);
    p.n = round_up(s->co, p.columns);
    p.depth = round_up(ceil_div(p.k, ceil_div(p.k, DEPTH_MOST)), vector);
    p.threads = threads_for_products((double)p.grid.tiles * NUMBERS * (double)p.k * (double)p.n);

    int64_t most = max_of(min_of(BLOCK_MOST, BLOCK_BYTES / (NUMBERS * p.k * 4)), p.rows);
    int64_t blocks = ceil_div(p.grid.tiles, most / p.rows * p.rows);
    int64_t units = p.threads > 1 ? UNITS_A_THREAD * p.threads : 1, chunks = ceil_div(p.n, CHUNK);
    int64_t groups = min_of(chunks, ceil_div(units, max_of(blocks, 1)));
    blocks = max_of(blocks, ceil_div(units, groups));
    p.block = round_up(max_of(ceil_div(p.grid.tiles, blocks), 1), p.rows);
    p.blocks = ceil_div(p.grid.tiles, p.block);
    p.span = ceil_div(chunks, groups) * CHUNK;
    p.spans = ceil_div(p.n, p.span);

    p.u_step = p.k * p.columns + LINE;
    p.u_panel = NUMBERS * p.u_step;
    p.v_step = p.block * p.k + LINE;
    p.m_step = p.block * CHUNK + LINE;
    p.u = p.n / p.columns * p.u_panel;
    p.own = max_of(TAPS * COLUMNS_MOST * FILTER_CHUNK, NUMBERS * (p.v_step + p.m_step) + CHUNK);
    p.zeros = round_up(max_of(s->ci, s->co), LINE);
    return p;
}

/* ---- filters -------------------------------------------------------------------------------- */

/* Panel `panel` of U from w [co][3][3][ci], whose vectors lie along k: turned in `scratch` before
 * they are transformed, when there are 9 numbers of each and not 36. */
static void transform_filters(const winograd_plan *p, float *u, const float *w, int64_t panel,
                              float *scratch)
{
    int64_t ci = p->s.ci, first = panel * p->columns, count = min_of(p->columns, p->s.co - first);
    int64_t tap_step = FILTER_CHUNK * p->columns;
    for (int64_t c = 0; c < ci; c += FILTER_CHUNK) {
        int64_t k = min_of(FILTER_CHUNK, ci - c);
        for (int64_t tap = 0; tap < TAPS; tap++) {
            const void *rows[COLUMNS_MOST] = {NULL};
            for (int64_t o = 0; o < count; o++)
                rows[o] = w + ((first + o) * TAPS + tap) * ci + c;
            p->reals->gemm_pack_rows(scratch + tap * tap_step, p->columns, rows, k);
        }
        p->reals->winograd_filter(u + panel * p->u_panel + c * p->columns, p->u_step, scratch,
                                  3 * tap_step, tap_step, k * p->columns);
    }
}

/* The same from w [k][3][3][columns], turned by half a turn: its vectors lie along the panel. */
static void transform_turned_filters(const winograd_plan *p, float *u, const float *w,
                                     int64_t panel)
{
    int64_t co = p->s.co, first = panel * p->columns, count = min_of(p->columns, co - first);
    float *to = u + panel * p->u_panel;
    if (count < p->columns)
        memset(to, 0, (size_t)p->u_panel * sizeof *to);
    for (int64_t k = 0; k < p->s.ci; k++)
        p->reals->winograd_filter(to + k * p->columns, p->u_step, w + (k * 9 + 8) * co + first,
                                  -3 * co, -co, count);
}

static void transform_panel(const winograd_plan *p, float *u, const float *w, int64_t panel,
                            float *scratch)
{
    if (p->turned)
        transform_turned_filters(p, u, w, panel);
    else
        transform_filters(p, u, w, panel, scratch);
    int64_t ci = p->s.ci;
    for (int64_t e = 0; e < NUMBERS; e++)
        memset(u + panel * p->u_panel + e * p->u_step + ci * p->columns, 0,
               (size_t)((p->k - ci) * p->columns) * sizeof *u);
}

/* ---- a block of tiles ----------------------------------------------------------------------- */

typedef struct winograd_work {
    const winograd_plan *p;
    const float *u;
    const conv_addends *e;
    windows x, y, add;
} winograd_work;

static void transform_block(const winograd_work *q, int64_t first, int64_t count, float *v)
{
    const winograd_plan *p = q->p;
    const void *pixels[ROWS_MOST * NUMBERS];
    for (int64_t r = 0; r < count; r += p->rows) {
        for (int64_t t = 0; t < p->rows; t++)
            aim(&q->x, &p->grid, first + r + t, pixels + t * NUMBERS);
        p->kernels->winograd_input(v + r * p->k, p->v_step, pixels, p->rows, p->s.ci);
    }
}

/* M of columns [n0, n0 + n). */
static void multiply(const winograd_work *q, const float *v, float *m, int64_t count, int64_t n0,
                     int64_t n)
{
    const winograd_plan *p = q->p;
    for (int64_t e = 0; e < NUMBERS; e++)
        for (int64_t j = 0; j < n; j += p->columns) {
            const float *b = q->u + (n0 + j) / p->columns * p->u_panel + e * p->u_step;
            for (int64_t k = 0; k < p->k; k += p->depth)
                for (int64_t r = 0; r < count; r += p->rows)
                    p->reals->winograd_multiply(
                        min_of(p->depth, p->k - k), v + e * p->v_step + r * p->k + k * p->rows,
                        b + k * p->columns, m + e * p->m_step + r * CHUNK + j, CHUNK, k > 0);
        }
}

/* Columns [n0, n0 + n) of the outputs of a tile. */
static void transform_outputs(const winograd_work *q, int64_t tile, const float *m, int64_t n0,
                              int64_t n, float *spare)
{
    const winograd_plan *p = q->p;
    const void *pixels[TILE * TILE], *add[TILE * TILE];
    windows y = q->y;
    y.data += n0 * p->size;
    y.outside = spare;
    aim(&y, &p->grid, tile, pixels);
    if (q->e->add_per_image) {
        int64_t image = tile / (p->grid.h * p->grid.w);
        for (int i = 0; i < TILE * TILE; i++)
            add[i] = (const char *)q->e->add + (image * p->s.co + n0) * p->size;
    } else if (q->e->add != NULL) {
        windows from = q->add;
        from.data += n0 * p->size;
        aim(&from, &p->grid, tile, add);
    }
    const float *bias = q->e->bias;
    p->kernels->winograd_output((void *const *)pixels, m, p->m_step,
                                bias != NULL ? bias + n0 : NULL, q->e->add != NULL ? add : NULL, n);
}

/* One span of columns of one block. With several spans V is made several times; it is cheap. */
static void run_unit(const winograd_work *q, int64_t unit, float *own)
{
    const winograd_plan *p = q->p;
    int64_t block = unit / p->spans, left = unit % p->spans * p->span;
    int64_t right = min_of(left + p->span, p->n);
    int64_t first = block * p->block, count = min_of(p->block, p->grid.tiles - first);
    float *v = own, *m = v + NUMBERS * p->v_step, *spare = m + NUMBERS * p->m_step;
    transform_block(q, first, count, v);
    for (int64_t n0 = left; n0 < right; n0 += CHUNK) {
        multiply(q, v, m, count, n0, min_of(CHUNK, right - n0));
        for (int64_t t = 0; t < count; t++)
            transform_outputs(q, first + t, m + t * CHUNK, n0, min_of(CHUNK, p->s.co - n0), spare);
    }
}

static ito_status convolve(ito_dtype dtype, void *y, const void *x, const float *w,
                           const conv_addends *e, const conv_shape *s, bool turned)
{
    winograd_plan p = make_plan(dtype, s, turned);
    if (p.grid.tiles <= 0 || s->co <= 0)
        return ITO_OK;
    float *zeros = mem_alloc((size_t)(p.zeros + p.u + p.threads * p.own) * sizeof *zeros);
    if (zeros == NULL)
        return ITO_ERR_MEMORY;
    float *u = zeros + p.zeros, *scratch = u + p.u;
    memset(zeros, 0, (size_t)p.zeros * sizeof *zeros);
    winograd_work q = {.p = &p, .u = u, .e = e};
    q.x = (windows){x, s->h, s->w, s->ci * p.size, -s->pad_top, -s->pad_left, WINDOW, zeros};
    q.y = (windows){y, s->oh, s->ow, s->co * p.size, 0, 0, TILE, NULL};
    q.add = (windows){e->add, s->oh, s->ow, s->co * p.size, 0, 0, TILE, zeros};
    int64_t panels = p.n / p.columns, units = p.blocks * p.spans;
#pragma omp parallel num_threads(p.threads)
    {
        float *own = scratch + thread_number() * p.own;
#pragma omp for schedule(dynamic)
        for (int64_t panel = 0; panel < panels; panel++)
            transform_panel(&p, u, w, panel, own);
#pragma omp for schedule(dynamic)
        for (int64_t unit = 0; unit < units; unit++)
            run_unit(&q, unit, own);
    }
    mem_free(zeros);
    return ITO_OK;
}

ito_status winograd_forward(ito_dtype dtype, void *y, const void *x, const float *w,
                            const conv_addends *e, const conv_shape *s)
{
    return convolve(dtype, y, x, w, e, s, false);
}

/* dx[i] = the sum over p of dy[i + pad - p] w[p], which is dy[i + p' - (2 - pad)] w[2 - p']. */
ito_status winograd_backward_data(ito_dtype dtype, void *dx, const void *dy, const float *w,
                                  const conv_shape *s)
{
    conv_shape back = *s;
    back.h = s->oh;
    back.w = s->ow;
    back.ci = s->co;
    back.oh = s->h;
    back.ow = s->w;
    back.co = s->ci;
    back.pad_top = 2 - s->pad_top;
    back.pad_left = 2 - s->pad_left;
    return convolve(dtype, dx, dy, w, &(conv_addends){0}, &back, true);
}

/* ---- the gradient of the weights ------------------------------------------------------------ */

typedef struct weight_plan {
    const kernel_table *kernels; /* of the images */
    const kernel_table *reals;   /* of all else */
    tile_grid grid;
    windows x, dy;
    int64_t ci, co;
    int64_t rows, columns;
    int threads;
    int64_t size;         /* of a channel of a pixel, in bytes */
    int64_t chunk;        /* input channels at a time */
    int64_t m, n;         /* co and a chunk, filled up to panels */
    int64_t groups;       /* 0: threads share the numbers, in rounds */
    int64_t block;        /* tiles whose products are summed at a time */
    int64_t round;        /* tiles that are transformed at a time: whole blocks */
    int64_t d_row, v_row; /* floats from a tile to the next */
    int64_t d_step, v_step, s_step;
    int64_t zeros; /* floats of them, for pixels outside */
} weight_plan;

/* Padded to an odd number of cache lines. */
static int64_t odd_cache_lines(int64_t floats)
{
    return (ceil_div(floats, LINE) / 2 * 2 + 1) * LINE;
}

/* Of the input channels from c on. */
static void transform_tile(const weight_plan *p, int64_t tile, int64_t c, float *d, float *v)
{
    const void *pixels[NUMBERS];
    windows x = p->x;
    x.data += c * p->size;
    aim(&x, &p->grid, tile, pixels);
    p->kernels->winograd_input(v, p->v_step, pixels, 1, min_of(p->chunk, p->ci - c));
    aim(&p->dy, &p->grid, tile, pixels);
    p->kernels->winograd_gradient(d, p->d_step, pixels, p->co);
}

/* One of the 36 products: n columns of S += D^T V over `count` tiles, in blocks. */
static void accumulate(const weight_plan *p, const float *d, const float *v, float *s,
                       int64_t count, int64_t n, bool add)
{
    for (int64_t t = 0; t == 0 || t < count; t += p->block, add = true)
        for (int64_t j = 0; j < n; j += p->columns)
            for (int64_t i = 0; i < p->m; i += p->rows)
                p->reals->winograd_accumulate(min_of(p->block, count - t), d + t * p->d_row + i,
                                              p->d_row, min_of(p->rows, p->m - i),
                                              v + t * p->v_row + j, p->v_row, s + i * p->n + j,
                                              p->n, add);
}

/* Floats of what a round transforms, and of S. */
static int64_t round_floats(const weight_plan *p)
{
    return NUMBERS * (p->d_step + p->v_step);
}

static void plan_round(weight_plan *p, int64_t block, int64_t round)
{
    p->block = block;
    p->round = round;
    p->d_step = round * p->d_row + LINE;
    p->v_step = round * p->v_row + LINE;
}

/* Groups that S and a block of tiles suit, for all or half of the input channels, if any; they
 * depend on the shape alone, as bits do. */
static bool plan_groups(weight_plan *p)
{
    p->d_row = round_up(p->m, LINE);
    int64_t most = p->grid.tiles / GROUP_TILES;
    p->groups = min_of(most, max_of(GROUPS_MANY, min_of(most / 2, GROUPS_MOST)));
    for (int64_t chunks = 1; chunks <= 2 && p->groups >= GROUPS_LEAST; chunks++)
        for (int64_t block = SUM_TILES; block >= SUM_TILES / 2; block /= 2) {
            p->chunk = round_up(ceil_div(p->ci, chunks), p->columns);
            p->n = p->v_row = p->chunk;
            p->s_step = p->m * p->n + LINE;
            plan_round(p, block, block);
            int64_t floats = round_floats(p) + NUMBERS * p->s_step;
            if (floats * (int64_t)sizeof(float) <= GROUP_BYTES)
                return true;
        }
    p->groups = 0;
    return false;
}

static weight_plan plan_weights(ito_dtype dtype, const conv_shape *s)
{
    weight_plan p = {.kernels = kernels(dtype),
                     .reals = kernels(ITO_F32),
                     .grid = grid_of(s),
                     .size = (int64_t)ito_dtype_size(dtype),
                     .ci = s->ci,
                     .co = s->co};
    p.rows = p.reals->gemm_tile_rows();
    p.columns = p.reals->gemm_tile_columns();
    p.m = round_up(s->co, p.rows / 3);
    p.threads = threads_for_products((double)p.grid.tiles * NUMBERS * (double)p.m * (double)p.ci);
    p.zeros = round_up(max_of(s->ci, s->co), LINE);
    if (plan_groups(&p))
        return p;
    p.chunk = s->ci;
    p.n = round_up(s->ci, p.columns);
    p.s_step = p.m * p.n + LINE;
    p.d_row = odd_cache_lines(p.m);
    p.v_row = odd_cache_lines(p.n);
    int64_t tile_bytes = NUMBERS * (p.d_row + p.v_row) * (int64_t)sizeof(float);
    int64_t round = max_of(ROUND_BYTES / tile_bytes / SUM_TILES, 1) * SUM_TILES;
    plan_round(&p, SUM_TILES, min_of(round, round_up(max_of(p.grid.tiles, 1), SUM_TILES)));
    return p;
}

/* Memory of a thread or, in rounds, of the team: each number has d_step, v_step and s_step floats.
 */
typedef struct weight_scratch {
    float *d, *v, *sums;
} weight_scratch;

static weight_scratch scratch_at(const weight_plan *p, float *own)
{
    return (weight_scratch){own, own + NUMBERS * p->d_step, own + round_floats(p)};
}

/* The filter of output o, input channels from c on. */
static void transform_sums(const weight_plan *p, const float *sums, int64_t o, int64_t c, float *dw)
{
    p->reals->winograd_filter_gradient(dw + o * TAPS * p->ci + c, 3 * p->ci, p->ci, sums + o * p->n,
                                       p->s_step, min_of(p->chunk, p->ci - c));
}

static void sum_in_rounds(const weight_plan *p, const weight_scratch *s, float *dw)
{
#pragma omp parallel num_threads(p->threads)
    {
        /* Once even without tiles: the sums are then zero. */
        for (int64_t first = 0; first == 0 || first < p->grid.tiles; first += p->round) {
            int64_t count = min_of(p->round, p->grid.tiles - first);
#pragma omp for schedule(dynamic, 8)
            for (int64_t t = 0; t < count; t++)
                transform_tile(p, first + t, 0, s->d + t * p->d_row, s->v + t * p->v_row);
#pragma omp for schedule(dynamic)
            for (int64_t e = 0; e < NUMBERS; e++)
                accumulate(p, s->d + e * p->d_step, s->v + e * p->v_step, s->sums + e * p->s_step,
                           count, p->n, first > 0);
        }
#pragma omp for schedule(dynamic, 8)
        for (int64_t o = 0; o < p->co; o++)
            transform_sums(p, s->sums, o, 0, dw);
    }
}

/* The gradient by tiles [first, end), of a chunk of input channels from c on. */
static void sum_group(const weight_plan *p, int64_t first, int64_t end, int64_t c,
                      const weight_scratch *s, float *dw)
{
    for (int64_t t0 = first; t0 < end; t0 += p->block) {
        int64_t count = min_of(p->block, end - t0);
        for (int64_t t = 0; t < count; t++)
            transform_tile(p, t0 + t, c, s->d + t * p->d_row, s->v + t * p->v_row);
        for (int64_t e = 0; e < NUMBERS; e++)
            accumulate(p, s->d + e * p->d_step, s->v + e * p->v_step, s->sums + e * p->s_step,
                       count, min_of(p->n, p->ci - c), t0 > first);
    }
    for (int64_t o = 0; o < p->co; o++)
        transform_sums(p, s->sums, o, c, dw);
}

/* own: round_floats and S for each thread, then a gradient for each group. */
static void sum_in_groups(const weight_plan *p, float *own, int64_t own_floats, float *dw)
{
    int64_t filter = TAPS * p->ci, chunks = ceil_div(p->ci, p->chunk), tiles = p->grid.tiles;
    float *partial = own + p->threads * own_floats;
#pragma omp parallel num_threads(p->threads)
    {
        weight_scratch s = scratch_at(p, own + thread_number() * own_floats);
#pragma omp for schedule(dynamic)
        for (int64_t unit = 0; unit < p->groups * chunks; unit++) {
            int64_t g = unit / chunks;
            sum_group(p, g * tiles / p->groups, (g + 1) * tiles / p->groups,
                      unit % chunks * p->chunk, &s, partial + g * p->co * filter);
        }
#pragma omp for
        for (int64_t o = 0; o < p->co; o++)
            p->reals->conv_column_sum(dw + o * filter, partial + o * filter, p->co * filter,
                                      p->groups, filter);
    }
}

ito_status winograd_backward_weight(ito_dtype dtype, float *dw, const void *x, const void *dy,
                                    const conv_shape *s)
{
    weight_plan p = plan_weights(dtype, s);
    int64_t size = (int64_t)ito_dtype_size(dtype), copies = p.groups > 0 ? p.threads : 1;
    int64_t own_floats = round_floats(&p) + NUMBERS * p.s_step;
    int64_t partial = p.groups * s->co * TAPS * s->ci;
    float *zeros = mem_alloc((size_t)(p.zeros + copies * own_floats + partial) * sizeof *zeros);
    if (zeros == NULL)
        return ITO_ERR_MEMORY;
    float *own = zeros + p.zeros;
    /* Channels that only fill up panels are zeros too; no tile writes them. */
    bool whole = p.m == s->co && s->ci % p.n == 0;
    memset(zeros, 0, (size_t)p.zeros * sizeof *zeros);
    for (int64_t i = 0; i < copies && !whole; i++)
        memset(own + i * own_floats, 0, (size_t)round_floats(&p) * sizeof *own);
    p.x = (windows){x, s->h, s->w, s->ci * size, -s->pad_top, -s->pad_left, WINDOW, zeros};
    p.dy = (windows){dy, s->oh, s->ow, s->co * size, 0, 0, TILE, zeros};
    weight_scratch shared = scratch_at(&p, own);
    if (p.groups > 0)
        sum_in_groups(&p, own, own_floats, dw);
    else
        sum_in_rounds(&p, &shared, dw);
    mem_free(zeros);
    return ITO_OK;
}
