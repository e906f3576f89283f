/* Convolutions in groups of few channels: see conv_depthwise.h. The result is cut into windows. The
 * pixels that a window sees are packed, with zeros around the image, as planes of one vector of
 * channels each, which stay in the first-level cache while all taps pass over them.
 *
 * The gradient of the data is the same with the images exchanged, for each phase of a stride.
 */
#include "tensor/conv/conv_depthwise.h"

#include "tensor/conv/conv_phase.h"
#include "tensor/gemm/gemm_blocks.h"
#include "tensor/kernels/kernels.h"
#include "tensor/threads.h"

#include <string.h>

enum {
    WIDE = 8,         /* vectors of channels that are packed together, at most */
    VECTOR_MOST = 16, /* reals in a vector */
    PIXELS = 64,      /* on a line of a window, at most, beyond what a single output sees */
    ROWS_LEAST = 4,
    PLANE_BYTES = 32 << 10,       /* of a plane, unless that is too few rows */
    ALL_PLANES_BYTES = 256 << 10, /* of those packed together, unless one vector has more */
    TURN_BYTES = 64 << 10,        /* of lines that one line of outputs sees */
    REACH_MOST = 64,              /* of a filter along an axis: windows would be large */
    FEW = 4,                      /* channels of a group */
};

/* Along one axis: tap q of output u reads u * step + off + q * tap, by way of filter tap
 * filter + q * filter_step. Output u lies at start + u * skip. */
typedef struct axis {
    int64_t written, start, skip;
    int64_t read, step, off, tap, taps;
    int64_t filter, filter_step;
} axis;

typedef struct image {
    char *data;
    int64_t h, w, channels;
} image;

typedef struct depthwise {
    const kernel_table *kernels;
    int64_t size, real, lanes; /* bytes of an element and of a real; reals in a vector */
    int64_t n, taps, kw;
    image from, to; /* what planes are made of; what has a vector of sums for each */
    int64_t per;    /* channels of `from` that one of `to` sees */
    int64_t out;    /* channels of `to` that see the same */
    int64_t vectors;
    axis h, w;
    int64_t rows, columns;         /* of a window */
    int64_t line, plane;           /* reals of a line and of a plane */
    int64_t wide;                  /* vectors in a block */
    int64_t bands, strips, blocks; /* of windows, and of vectors */
} depthwise;

static ito_dtype real_dtype(ito_dtype images)
{
    return images == ITO_F64 ? ITO_F64 : ITO_F32;
}

/* How far `outputs` outputs see. */
static int64_t reach(const axis *a, int64_t outputs)
{
    int64_t taps = a->taps > 0 ? (a->taps - 1) * a->tap : 0;
    return (outputs > 0 ? outputs - 1 : 0) * a->step + taps + 1;
}

/* Cuts what the axes say is written into windows. */
static void cut(depthwise *d, axis h, axis w)
{
    d->h = h;
    d->w = w;
    d->columns = min_of(w.written, max_of(PIXELS / w.step, 1));
    d->line = reach(&w, d->columns) * d->lanes;
    int64_t fit = PLANE_BYTES / (d->line * d->real), least = reach(&h, 1);
    d->rows = max_of((fit - least) / h.step + 1, ROWS_LEAST);
    d->bands = ceil_div(h.written, d->rows);
    d->rows = d->bands > 0 ? ceil_div(h.written, d->bands) : 0; /* of even height */
    d->strips = d->columns > 0 ? ceil_div(w.written, d->columns) : 0;
    d->plane = reach(&h, d->rows) * d->line;
    int64_t wide = ALL_PLANES_BYTES / (max_of(d->plane, 1) * d->per * d->real);
    d->wide = max_of(min_of(wide, WIDE), 1);
    d->blocks = ceil_div(d->vectors, d->wide);
}

static depthwise describe(ito_dtype dtype, image from, image to, const conv_shape *s)
{
    depthwise d = {.kernels = kernels(dtype),
                   .size = (int64_t)ito_dtype_size(dtype),
                   .real = (int64_t)ito_dtype_size(real_dtype(dtype)),
                   .lanes = kernels(dtype)->depthwise_lanes(),
                   .n = s->n,
                   .taps = s->kh * s->kw,
                   .kw = s->kw,
                   .from = from,
                   .to = to,
                   .per = from.channels / s->groups,
                   .out = to.channels / s->groups};
    d.vectors = ceil_div(to.channels, d.lanes);
    return d;
}

static axis forward_axis(int64_t written, int64_t read, int64_t stride, int64_t pad,
                         int64_t dilation, int64_t taps)
{
    return (axis){written, 0, 1, read, stride, -pad, dilation, taps, 0, 1};
}

static axis phase_axis(int64_t start, int64_t written, int64_t read, int64_t stride, int64_t pad,
                       int64_t dilation, int64_t taps)
{
    phase f = find_phase(start, written, taps, stride, pad, dilation);
    return (axis){f.positions, start, stride, read, 1, f.off, f.tap, f.taps, f.last, -f.period};
}

static void cut_forward(depthwise *d, const conv_shape *s)
{
    cut(d, forward_axis(s->oh, s->h, s->stride_h, s->pad_top, s->dilation_h, s->kh),
        forward_axis(s->ow, s->w, s->stride_w, s->pad_left, s->dilation_w, s->kw));
}

/* ---- filters: [vectors][per][taps][lanes] and back ------------------------------------------- */

/* Where the weight stands that takes channel k of those that `to`'s channel sees there. */
static int64_t weight_at(const depthwise *d, int64_t channel, int64_t k, int64_t tap, bool back)
{
    if (!back)
        return (channel * d->taps + tap) * d->per + k;
    int64_t filter = channel / d->out * d->per + k;
    return (filter * d->taps + tap) * d->out + channel % d->out;
}

static int64_t filter_reals(const depthwise *d)
{
    return d->vectors * d->per * d->taps * d->lanes;
}

static void pack_filters(const depthwise *d, char *to, const char *w, bool back)
{
    memset(to, 0, (size_t)(filter_reals(d) * d->real));
    for (int64_t c = 0; c < d->to.channels; c++)
        for (int64_t k = 0; k < d->per; k++)
            for (int64_t t = 0; t < d->taps; t++) {
                int64_t at = ((c / d->lanes * d->per + k) * d->taps + t) * d->lanes + c % d->lanes;
                memcpy(to + at * d->real, w + weight_at(d, c, k, t, back) * d->real,
                       (size_t)d->real);
            }
}

static void unpack_filters(const depthwise *d, char *w, const char *from)
{
    for (int64_t c = 0; c < d->to.channels; c++)
        for (int64_t t = 0; t < d->taps; t++)
            for (int64_t k = 0; k < d->per; k++, w += d->real) {
                int64_t at = ((c / d->lanes * d->per + k) * d->taps + t) * d->lanes + c % d->lanes;
                memcpy(w, from + at * d->real, (size_t)d->real);
            }
}

/* ---- planes ----------------------------------------------------------------------------------
 */

/* A window of an image, and a block of vectors. */
typedef struct window {
    int64_t n, row, column; /* of the outputs: from */
    int64_t rows, columns;
    int64_t vector, vectors; /* from, and how many */
} window;

static int64_t window_count(const depthwise *d)
{
    return d->n * d->bands * d->strips * d->blocks;
}

/* Blocks of channels come last, so that neighbours read the same lines of memory. */
static window window_at(const depthwise *d, int64_t i)
{
    int64_t block = i % d->blocks, place = i / d->blocks;
    window w = {.column = place % d->strips * d->columns,
                .row = place / d->strips % d->bands * d->rows,
                .n = place / d->strips / d->bands,
                .vector = block * d->wide};
    w.rows = min_of(d->rows, d->h.written - w.row);
    w.columns = min_of(d->columns, d->w.written - w.column);
    w.vectors = min_of(d->wide, d->vectors - w.vector);
    return w;
}

/* A line of zeros, in each of the planes. */
static void clear_line(const depthwise *d, char *to, int64_t planes, int64_t from, int64_t pixels)
{
    for (int64_t v = 0; v < planes && pixels > 0; v++)
        memset(to + (v * d->per * d->plane + from * d->lanes) * d->real, 0,
               (size_t)(pixels * d->lanes * d->real));
}

/* The planes of those channels that the window's channels see k-th, `per` planes apart. */
static void pack_planes(const depthwise *d, char *to, const window *w, int64_t k)
{
    int64_t table[WIDE * VECTOR_MOST], *channel = d->per == 1 && d->out == 1 ? NULL : table;
    int64_t first = w->vector * d->lanes;
    int64_t channels = min_of(w->vectors * d->lanes, d->to.channels - first);
    for (int64_t c = 0; c < channels; c++)
        table[c] = (first + c) / d->out * d->per + k;
    int64_t lines = reach(&d->h, w->rows), width = reach(&d->w, w->columns);
    int64_t top = w->row * d->h.step + d->h.off, left = w->column * d->w.step + d->w.off;
    int64_t begin = min_of(max_of(-left, 0), width);
    int64_t end = max_of(min_of(d->from.w - left, width), begin);
    for (int64_t i = 0; i < lines; i++, to += d->line * d->real) {
        if ((uint64_t)(top + i) >= (uint64_t)d->from.h) {
            clear_line(d, to, w->vectors, 0, width);
            continue;
        }
        int64_t pixel = (w->n * d->from.h + top + i) * d->from.w + left + begin;
        const char *x = d->from.data + pixel * d->from.channels * d->size;
        clear_line(d, to, w->vectors, 0, begin);
        d->kernels->depthwise_pack(to + begin * d->lanes * d->real, d->per * d->plane,
                                   channel == NULL ? x + first * d->size : x, d->from.channels,
                                   end - begin, channels, channel);
        clear_line(d, to, w->vectors, end, width - end);
    }
}

/* ---- forward, and the gradient of the data --------------------------------------------------- */

/* Outputs of one vector on line i of the window. */
static void run_line(const depthwise *d, const window *w, int64_t i, int64_t v, const char *filters,
                     const conv_addends *e, const char *planes)
{
    const axis *h = &d->h, *x = &d->w;
    int64_t first = h->filter * d->kw + x->filter; /* tap of all that is read */
    int64_t channel = (w->vector + v) * d->lanes;
    int64_t line = (w->n * d->to.h + h->start + (w->row + i) * h->skip) * d->to.w;
    int64_t at = (line + x->start + w->column * x->skip) * d->to.channels + channel;
    int64_t added = e->add_per_image ? w->n * d->to.channels + channel : at;
    depthwise_line l = {
        .planes = planes + (v * d->per * d->plane + i * h->step * d->line) * d->real,
        .weights = filters + ((w->vector + v) * d->per * d->taps + first) * d->lanes * d->real,
        .plane_count = d->per,
        .taps_h = h->taps,
        .taps_w = x->taps,
        .plane = d->plane,
        .step = x->step * d->lanes,
        .line = h->tap * d->line,
        .pixel = x->tap * d->lanes,
        .weight_plane = d->taps * d->lanes,
        .weight_line = h->filter_step * d->kw * d->lanes,
        .weight_pixel = x->filter_step * d->lanes,
        .n = w->columns,
        .lanes = min_of(d->lanes, d->to.channels - channel),
        .y = d->to.data + at * d->size,
        .bias = e->bias == NULL ? NULL : (const char *)e->bias + channel * d->real,
        .add = e->add == NULL ? NULL : (const char *)e->add + added * d->size,
        .y_pixel = x->skip * d->to.channels,
        .add_pixel = e->add_per_image ? 0 : x->skip * d->to.channels};
    d->kernels->depthwise_line(&l);
}

/* As many vectors take turns on a line as the first-level cache, or nearly, has room for the lines
 * that they see: memory is written in longer runs. */
static void run_window(const depthwise *d, const window *w, const char *filters,
                       const conv_addends *e, char *planes)
{
    for (int64_t k = 0; k < d->per; k++)
        pack_planes(d, planes + k * d->plane * d->real, w, k);
    int64_t turns = TURN_BYTES / (reach(&d->h, 1) * d->line * d->per * d->real);
    for (int64_t v = 0, end; v < w->vectors; v = end) {
        end = min_of(v + max_of(turns, 1), w->vectors);
        for (int64_t i = 0; i < w->rows; i++)
            for (int64_t k = v; k < end; k++)
                run_line(d, w, i, k, filters, e, planes);
    }
}

/* Bytes of a thread's planes: so many sets of them. */
static int64_t plane_bytes(const depthwise *d, int64_t sets)
{
    return round_up(sets * d->wide * d->plane * d->real, 64);
}

/* Threads for a pass over all windows, which multiply about ten pairs of a vector in a nanosecond
 * but have each element packed and stored besides. */
static int threads_of(const depthwise *d)
{
    int64_t elements = d->n * d->h.written * d->w.written * d->to.channels;
    return threads_for(elements * (1 + d->per * d->taps / 16));
}

/* All windows of one cut. */
static void run(const depthwise *d, const char *filters, const conv_addends *e, char *planes)
{
    int64_t own = plane_bytes(d, d->per);
#pragma omp parallel for num_threads(threads_of(d)) schedule(static)
    for (int64_t i = 0; i < window_count(d); i++) {
        window w = window_at(d, i);
        run_window(d, &w, filters, e, planes + thread_number() * own);
    }
}

ito_status depthwise_forward(ito_dtype dtype, void *y, const void *x, const void *w,
                             const conv_addends *e, const conv_shape *s)
{
    image from = {(char *)x, s->h, s->w, s->ci}, to = {y, s->oh, s->ow, s->co};
    depthwise d = describe(dtype, from, to, s);
    cut_forward(&d, s);
    int64_t filters = round_up(filter_reals(&d) * d.real, 64);
    char *scratch = mem_alloc((size_t)(filters + threads_of(&d) * plane_bytes(&d, d.per)));
    if (scratch == NULL)
        return ITO_ERR_MEMORY;
    pack_filters(&d, scratch, w, false);
    run(&d, scratch, e, scratch + filters);
    mem_free(scratch);
    return ITO_OK;
}

/* The cut of the i-th phase. */
static void cut_phase(depthwise *d, const conv_shape *s, int64_t i)
{
    cut(d, phase_axis(i / s->stride_w, s->h, s->oh, s->stride_h, s->pad_top, s->dilation_h, s->kh),
        phase_axis(i % s->stride_w, s->w, s->ow, s->stride_w, s->pad_left, s->dilation_w, s->kw));
}

ito_status depthwise_backward_data(ito_dtype dtype, void *dx, const void *dy, const void *w,
                                   const conv_shape *s)
{
    image from = {(char *)dy, s->oh, s->ow, s->co}, to = {dx, s->h, s->w, s->ci};
    depthwise d = describe(dtype, from, to, s);
    int64_t filters = round_up(filter_reals(&d) * d.real, 64), planes = 0;
    for (int64_t i = 0; i < s->stride_h * s->stride_w; i++) {
        cut_phase(&d, s, i);
        planes = max_of(planes, threads_of(&d) * plane_bytes(&d, d.per));
    }
    char *scratch = mem_alloc((size_t)(filters + planes));
    if (scratch == NULL)
        return ITO_ERR_MEMORY;
    pack_filters(&d, scratch, w, true);
    for (int64_t i = 0; i < s->stride_h * s->stride_w; i++) {
        cut_phase(&d, s, i);
        run(&d, scratch, &(conv_addends){0}, scratch + filters);
    }
    mem_free(scratch);
    return ITO_OK;
}

/* ---- the gradient of the filters ------------------------------------------------------------- */

/* The window's part, in the place of its image and cut; planes of x and then of dy. */
static void filters_of_window(const depthwise *d, const window *w, const depthwise *dy, char *sums,
                              const int64_t *offset, char *planes)
{
    char *gradients = planes + plane_bytes(d, d->per);
    for (int64_t k = 0; k < d->per; k++)
        pack_planes(d, planes + k * d->plane * d->real, w, k);
    pack_planes(dy, gradients, w, 0);
    for (int64_t v = 0; v < w->vectors; v++)
        for (int64_t k = 0; k < d->per; k++) {
            int64_t at = v * d->per + k;
            depthwise_products p = {.x = planes + at * d->plane * d->real,
                                    .dy = gradients + v * dy->plane * d->real,
                                    .offset = offset,
                                    .taps = d->taps,
                                    .rows = w->rows,
                                    .columns = w->columns,
                                    .dy_line = dy->line,
                                    .line = d->h.step * d->line,
                                    .step = d->w.step * d->lanes};
            int64_t to = (w->vector * d->per + at) * d->taps * d->lanes;
            d->kernels->depthwise_products(sums + to * d->real, &p);
        }
}

/* A window sees as much of dy as it has outputs: one pixel each, and as many channels. */
static depthwise gradient_planes(const depthwise *d, const void *dy)
{
    depthwise g = *d;
    g.from = (image){(char *)dy, d->to.h, d->to.w, d->to.channels};
    g.per = g.out = 1;
    g.h = (axis){d->h.written, 0, 1, d->to.h, 1, 0, 1, 1, 0, 1};
    g.w = (axis){d->w.written, 0, 1, d->to.w, 1, 0, 1, 1, 0, 1};
    g.line = d->columns * d->lanes;
    g.plane = d->rows * g.line;
    return g;
}

/* dw = the parts, in order. */
static void add_up(const depthwise *d, char *dw, char *total, const char *sums, int64_t parts)
{
    enum { PIECE = 1024 };
    const kernel_table *reals = kernels(d->real == 8 ? ITO_F64 : ITO_F32);
    int64_t n = filter_reals(d);
#pragma omp parallel for num_threads(threads_for(parts *n / 4)) schedule(static)
    for (int64_t i = 0; i < n; i += PIECE)
        reals->conv_column_sum(total + i * d->real, sums + i * d->real, n, parts,
                               min_of(PIECE, n - i));
    unpack_filters(d, dw, total);
}

ito_status depthwise_backward_weight(ito_dtype dtype, void *dw, const void *x, const void *dy,
                                     const conv_shape *s)
{
    image from = {(char *)x, s->h, s->w, s->ci}, to = {NULL, s->oh, s->ow, s->co};
    depthwise d = describe(dtype, from, to, s);
    cut_forward(&d, s);
    depthwise g = gradient_planes(&d, dy);
    int64_t own = plane_bytes(&d, d.per) + plane_bytes(&g, 1), parts = d.n * d.bands * d.strips;
    int64_t part = filter_reals(&d) * d.real, offsets = round_up(d.taps * 8, 64);
    char *scratch = mem_alloc((size_t)(offsets + (parts + 1) * part + 64 + threads_of(&d) * own));
    if (scratch == NULL)
        return ITO_ERR_MEMORY;
    int64_t *offset = (int64_t *)(void *)scratch;
    for (int64_t t = 0; t < d.taps; t++)
        offset[t] = t / d.kw * d.h.tap * d.line + t % d.kw * d.w.tap * d.lanes;
    char *total = scratch + offsets, *sums = total + part;
    char *planes = total + round_up((parts + 1) * part, 64);
#pragma omp parallel for num_threads(threads_of(&d)) schedule(static)
    for (int64_t i = 0; i < window_count(&d); i++) {
        window w = window_at(&d, i);
        filters_of_window(&d, &w, &g, sums + i / d.blocks * part, offset,
                          planes + thread_number() * own);
    }
    add_up(&d, dw, total, sums, parts);
    mem_free(scratch);
    return ITO_OK;
}

/* ---- the choice ------------------------------------------------------------------------------ */

/* With four channels a group this takes a quarter of the time that a product for each group takes,
 * with eight as long: channels of a group are then gathered one by one for many planes. */
bool conv_by_depthwise(const conv_shape *s)
{
    int64_t ci = s->ci / s->groups, co = s->co / s->groups;
    bool few = ci >= 1 && ci <= FEW && co >= 1 && co <= FEW;
    return s->groups > 1 && few && (s->kh - 1) * s->dilation_h < REACH_MOST &&
           (s->kw - 1) * s->dilation_w < REACH_MOST;
}
