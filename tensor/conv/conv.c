/* Convolution as a blocked product (gemm_blocks.h) whose packing gathers patches from the image.
 *
 *   forward          rows: output pixels    k: taps x input channels    columns: output channels
 *   backward data    rows: input pixels     k: taps x output channels   columns: input channels
 *   backward weight  rows: output channels  k: output pixels            columns: taps x channels
 *
 * With stride > 1, an input pixel meets only the taps of its phase (position modulo stride), so the
 * gradient of the data is one product for each phase. Groups are the items of the product.
 * Invariant: no gathered value depends on how rows are cut into tiles, so bits depend on neither
 * threads nor n.
 */
#include "tensor/conv/conv.h"

#include "tensor/conv/conv_depthwise.h"
#include "tensor/conv/conv_phase.h"
#include "tensor/conv/conv_thin.h"
#include "tensor/conv/conv_tiles.h"
#include "tensor/conv/winograd.h"
#include "tensor/gemm/gemm.h"
#include "tensor/gemm/gemm_blocks.h"

#include <string.h>

enum { PANEL_MOST = 64, SUM_ROWS = 512, ADDS_A_NANOSECOND = 4 };

/* Of weights, bias and sums. */
static ito_dtype parameter_dtype(ito_dtype images)
{
    return images == ITO_F64 ? ITO_F64 : ITO_F32;
}

/* Of a number in a panel. */
static int64_t real_size(ito_dtype images)
{
    return (int64_t)ito_dtype_size(parameter_dtype(images));
}

/* Patches of an image: for grid position (i, j) and tap (p, q) the pixel
 *     (i * step_h + off_h + p * tap_h, j * step_w + off_w + q * tap_w), zeros outside the image. */
typedef struct patches {
    ito_dtype dtype;
    const char *data;
    int64_t h, w;
    int64_t pixel;    /* elements from a pixel to the next */
    int64_t channels; /* of a group */
    int64_t grid_h, grid_w;
    int64_t step_h, step_w;
    int64_t off_h, off_w;
    int64_t taps_h, taps_w;
    int64_t tap_h, tap_w;
} patches;

/* The patches that y = conv(x) reads. */
static patches forward_patches(ito_dtype dtype, const void *x, const conv_shape *s)
{
    return (patches){.dtype = dtype,
                     .data = x,
                     .h = s->h,
                     .w = s->w,
                     .pixel = s->ci,
                     .channels = s->ci / s->groups,
                     .grid_h = s->oh,
                     .grid_w = s->ow,
                     .step_h = s->stride_h,
                     .step_w = s->stride_w,
                     .off_h = -s->pad_top,
                     .off_w = -s->pad_left,
                     .taps_h = s->kh,
                     .taps_w = s->kw,
                     .tap_h = s->dilation_h,
                     .tap_w = s->dilation_w};
}

/* ---- gathering: patches as rows ------------------------------------------------------------- */

/* Where the grid positions of one panel look: the pixel of tap (0, 0) and the start of its image.
 * Lines are whole if no tap falls outside on the left or right and the taps of a line lie side by
 * side in memory: they are then gathered in one run. */
typedef struct sites {
    int64_t count;
    bool whole_lines;
    int64_t i[PANEL_MOST], j[PANEL_MOST];
    const char *image[PANEL_MOST];
} sites;

static void find_sites(const patches *x, int64_t first, int64_t count, int64_t group, sites *s)
{
    int64_t size = (int64_t)ito_dtype_size(x->dtype);
    int64_t j = first % x->grid_w, line = first / x->grid_w;
    int64_t i = line % x->grid_h, n = line / x->grid_h;
    s->count = count;
    s->whole_lines = x->tap_w == 1 && x->pixel == x->channels;
    for (int64_t r = 0; r < count; r++) {
        s->i[r] = i * x->step_h + x->off_h;
        s->j[r] = j * x->step_w + x->off_w;
        s->whole_lines = s->whole_lines && s->j[r] >= 0 && s->j[r] + x->taps_w <= x->w;
        s->image[r] = x->data + (n * x->h * x->w * x->pixel + group * x->channels) * size;
        if (++j == x->grid_w) {
            j = 0;
            if (++i == x->grid_h) {
                i = 0;
                n++;
            }
        }
    }
}

/* The channels of tap (p, q), from channel c on, of every site; NULL where it falls outside. */
static void aim(const patches *x, const sites *s, int64_t p, int64_t q, int64_t c, int64_t width,
                const void **rows)
{
    int64_t size = (int64_t)ito_dtype_size(x->dtype);
    for (int64_t r = 0; r < s->count; r++) {
        int64_t i = s->i[r] + p * x->tap_h, j = s->j[r] + q * x->tap_w;
        bool inside = (uint64_t)i < (uint64_t)x->h && (uint64_t)j < (uint64_t)x->w;
        rows[r] = inside ? s->image[r] + ((i * x->w + j) * x->pixel + c) * size : NULL;
    }
    for (int64_t r = s->count; r < width; r++)
        rows[r] = NULL;
}

static void pack_patch_rows(const void *source, int64_t group, char *panels, int64_t width,
                            int64_t first, int64_t count, int64_t k0, int64_t k)
{
    const patches *x = source;
    const kernel_table *t = kernels(x->dtype);
    int64_t real = real_size(x->dtype);
    const void *rows[PANEL_MOST];
    sites s;
    for (int64_t r = 0; r < count; r += width, panels += k * width * real) {
        find_sites(x, first + r, min_of(width, count - r), group, &s);
        int64_t length = s.whole_lines ? x->channels * x->taps_w : x->channels;
        int64_t taps_w = s.whole_lines ? 1 : x->taps_w;
        int64_t c = k0 % length, tap = k0 / length;
        for (int64_t done = 0; done < k; tap++, c = 0) {
            int64_t run = min_of(length - c, k - done);
            aim(x, &s, tap / taps_w, tap % taps_w, c, width, rows);
            t->gemm_pack_rows(panels + done * width * real, width, rows, run);
            done += run;
        }
    }
}

/* The gemm_rows of patches in bf16. */
static void gather_patch_rows(const void *source, int64_t group, char *to, int64_t row,
                              int64_t first, int64_t count, int64_t k0, int64_t k)
{
    const patches *x = source;
    int64_t size = (int64_t)sizeof(uint16_t), filled = round_up(k, TILE_STEP);
    const void *rows[PANEL_MOST];
    sites s;
    find_sites(x, first, count, group, &s);
    int64_t length = s.whole_lines ? x->channels * x->taps_w : x->channels;
    int64_t taps_w = s.whole_lines ? 1 : x->taps_w;
    int64_t c = k0 % length, tap = k0 / length;
    for (int64_t done = 0; done < k; tap++, c = 0) {
        int64_t run = min_of(length - c, k - done);
        aim(x, &s, tap / taps_w, tap % taps_w, c, count, rows);
        for (int64_t r = 0; r < count; r++)
            if (rows[r] != NULL)
                memcpy(to + r * row + done * size, rows[r], (size_t)(run * size));
            else
                memset(to + r * row + done * size, 0, (size_t)(run * size));
        done += run;
    }
    for (int64_t r = 0; r < count; r++)
        memset(to + r * row + k * size, 0, (size_t)((filled - k) * size));
}

static gemm_rows *rows_for_tiles(ito_dtype dtype)
{
    return dtype == ITO_BF16 ? gather_patch_rows : NULL;
}

/* ---- gathering: patches as columns ---------------------------------------------------------- */

/* A run of grid positions on one line, [j, end): which of them see column `off` + j * step in
 * [0, w)? */
static void inside_of(int64_t off, int64_t step, int64_t w, int64_t j, int64_t end, int64_t *from,
                      int64_t *to)
{
    int64_t low = off >= 0 ? 0 : (-off + step - 1) / step;
    int64_t high = off >= w ? 0 : (w - 1 - off) / step + 1;
    *from = low < j ? j : min_of(low, end);
    *to = high < *from ? *from : min_of(high, end);
}

/* Columns [c, c + n) of one tap into a panel, for grid positions [k0, k0 + k). */
static void pack_segment(const patches *x, const kernel_table *t, char *panel, int64_t width,
                         const char *channels, int64_t p, int64_t q, int64_t n, int64_t k0,
                         int64_t k)
{
    static const double zeros[PANEL_MOST];
    int64_t size = (int64_t)ito_dtype_size(x->dtype), real = real_size(x->dtype);
    int64_t off_h = x->off_h + p * x->tap_h, off_w = x->off_w + q * x->tap_w;
    int64_t j = k0 % x->grid_w, line = k0 / x->grid_w;
    int64_t i = line % x->grid_h, image = line / x->grid_h;
    for (int64_t done = 0; done < k; j = 0) {
        int64_t end = min_of(x->grid_w, j + k - done), from = end, to = end;
        int64_t at = i * x->step_h + off_h;
        if ((uint64_t)at < (uint64_t)x->h)
            inside_of(off_w, x->step_w, x->w, j, end, &from, &to);
        t->gemm_pack_columns(panel, width, zeros, 0, n, from - j);
        if (to > from)
            t->gemm_pack_columns(panel + (from - j) * width * real, width,
                                 channels +
                                     ((image * x->h + at) * x->w + from * x->step_w + off_w) *
                                         x->pixel * size,
                                 x->step_w * x->pixel, n, to - from);
        t->gemm_pack_columns(panel + (to - j) * width * real, width, zeros, 0, n, end - to);
        panel += (end - j) * width * real;
        done += end - j;
        if (++i == x->grid_h) {
            i = 0;
            image++;
        }
    }
}

static void pack_patch_columns(const void *source, int64_t group, char *panels, int64_t width,
                               int64_t first, int64_t count, int64_t k0, int64_t k)
{
    const patches *x = source;
    const kernel_table *t = kernels(x->dtype);
    int64_t size = (int64_t)ito_dtype_size(x->dtype), real = real_size(x->dtype);
    for (int64_t r = 0; r < count; r += width, panels += k * width * real) {
        int64_t columns = min_of(width, count - r);
        if (columns < width)
            memset(panels, 0, (size_t)(k * width * real));
        int64_t c = (first + r) % x->channels, tap = (first + r) / x->channels;
        for (int64_t done = 0; done < columns; tap++, c = 0) {
            int64_t run = min_of(x->channels - c, columns - done);
            pack_segment(x, t, panels + done * real, width,
                         x->data + (group * x->channels + c) * size, tap / x->taps_w,
                         tap % x->taps_w, run, k0, k);
            done += run;
        }
    }
}

/* ---- the choice ----------------------------------------------------------------------------- */

/* Winograd is the faster way, as bench_conv measures it in f32, with channels enough to fill
 * vectors and tiles of which half or more is in use. Of single images with a single tile it is
 * slower, since transforming the filters takes longer than the products; but nothing here may
 * depend on n or on threads: an image must give the same bits in any batch. The rule for bf16 is
 * the same, also where the processor multiplies pairs of bf16: that at most doubles the rate of
 * products, of which Winograd makes a quarter. It has not been measured there. */
bool conv_by_winograd(conv_pass pass, ito_dtype dtype, const conv_shape *s)
{
    enum { CHANNELS = 16, TILE = 4, TILE_PIXELS_IN_USE = 8 };
    int64_t h = pass == CONV_DATA ? s->h : s->oh, w = pass == CONV_DATA ? s->w : s->ow;
    int64_t tiles = ceil_div(h, TILE) * ceil_div(w, TILE);
    return dtype != ITO_F64 && winograd_fits(s) && winograd_enabled() && s->ci >= CHANNELS &&
           s->co >= CHANNELS && h * w >= TILE_PIXELS_IN_USE * tiles;
}

/* ---- forward -------------------------------------------------------------------------------- */

static int64_t output_pixels(const conv_shape *s)
{
    return s->n * s->oh * s->ow;
}

static ito_status run(gemm_blocks *p)
{
    void *scratch = mem_alloc(gemm_blocks_plan(p));
    if (scratch == NULL)
        return ITO_ERR_MEMORY;
    gemm_blocks_run(p, scratch);
    mem_free(scratch);
    return ITO_OK;
}

/* Whether output pixel r sees input pixel r and no other. */
static bool is_pointwise(const conv_shape *s)
{
    return s->kh == 1 && s->kw == 1 && s->stride_h == 1 && s->stride_w == 1 && s->pad_top == 0 &&
           s->pad_left == 0 && s->oh == s->h && s->ow == s->w;
}

static ito_status product_forward(ito_dtype dtype, void *y, const void *x, const void *w,
                                  const conv_addends *e, const conv_shape *s)
{
    int64_t ci = s->ci / s->groups, co = s->co / s->groups, k = s->kh * s->kw * ci;
    int64_t m = output_pixels(s);
    patches gathered = forward_patches(dtype, x, s);
    gemm_matrix pixels = {dtype, x, s->ci, 1, ci};
    gemm_matrix weights = {parameter_dtype(dtype), w, k, 1, co * k};
    gemm_blocks p = {.a_dtype = dtype,
                     .b_dtype = parameter_dtype(dtype),
                     .c_dtype = dtype,
                     .items = s->groups,
                     .m = m,
                     .n = co,
                     .k = k,
                     .a = {pack_patch_rows, &gathered, rows_for_tiles(dtype)},
                     .b = {.pack = gemm_pack_matrix, .source = &weights},
                     .c = y,
                     .layout = {.item = co, .grid_h = 1, .grid_w = m, .pixel_stride = s->co},
                     .bias = e->bias,
                     .bias_item = co,
                     .add = e->add};
    p.add_layout = p.layout;
    if (e->add_per_image)
        p.add_layout =
            (gemm_layout){.item = co, .grid_h = 1, .grid_w = s->oh * s->ow, .image_stride = s->co};
    if (is_pointwise(s))
        p.a = (gemm_operand){.pack = gemm_pack_matrix, .source = &pixels};
    return run(&p);
}

/* ---- backward: data ------------------------------------------------------------------------- */

phase find_phase(int64_t start, int64_t extent, int64_t kernel, int64_t stride, int64_t pad,
                 int64_t dilation)
{
    phase f = {.start = start, .period = 1};
    f.positions = start < extent ? (extent - start + stride - 1) / stride : 0;
    while ((f.period * dilation) % stride != 0)
        f.period++;
    for (int64_t t = 0; t < kernel; t++)
        if ((start + pad - t * dilation) % stride == 0) {
            f.last = t;
            f.taps++;
        }
    f.off = f.taps > 0 ? (start + pad - f.last * dilation) / stride : 0;
    f.tap = f.period * dilation / stride;
    return f;
}

/* The weights as B: columns are input channels, k runs over (tap of the phase, output channel). */
typedef struct phase_weights {
    ito_dtype dtype;
    const char *data;
    const conv_shape *s;
    const phase *fh, *fw;
} phase_weights;

static void pack_phase_weights(const void *source, int64_t group, char *panels, int64_t width,
                               int64_t first, int64_t count, int64_t k0, int64_t k)
{
    const phase_weights *x = source;
    const conv_shape *s = x->s;
    const kernel_table *t = kernels(x->dtype);
    int64_t size = (int64_t)ito_dtype_size(x->dtype);
    int64_t ci = s->ci / s->groups, co = s->co / s->groups, filter = s->kh * s->kw * ci;
    for (int64_t r = 0; r < count; r += width, panels += k * width * size) {
        int64_t o = k0 % co, tap = k0 / co;
        for (int64_t done = 0; done < k; tap++, o = 0) {
            int64_t run_length = min_of(co - o, k - done);
            int64_t p = x->fh->last - tap / x->fw->taps * x->fh->period;
            int64_t q = x->fw->last - tap % x->fw->taps * x->fw->period;
            int64_t at = (group * co + o) * filter + (p * s->kw + q) * ci + first + r;
            t->gemm_pack_strided(panels + done * width * size, width, x->data + at * size, 1,
                                 filter, min_of(width, count - r), run_length);
            done += run_length;
        }
    }
}

/* What the product of one phase points to. */
typedef struct phase_product {
    phase fh, fw;
    patches gathered;
    phase_weights weights;
    gemm_blocks blocks;
} phase_product;

static void make_phase(phase_product *f, ito_dtype dtype, void *dx, const void *dy, const void *w,
                       const conv_shape *s, int64_t start_h, int64_t start_w)
{
    int64_t ci = s->ci / s->groups, co = s->co / s->groups;
    f->fh = find_phase(start_h, s->h, s->kh, s->stride_h, s->pad_top, s->dilation_h);
    f->fw = find_phase(start_w, s->w, s->kw, s->stride_w, s->pad_left, s->dilation_w);
    f->gathered = (patches){.dtype = dtype,
                            .data = dy,
                            .h = s->oh,
                            .w = s->ow,
                            .pixel = s->co,
                            .channels = co,
                            .grid_h = f->fh.positions,
                            .grid_w = f->fw.positions,
                            .step_h = 1,
                            .step_w = 1,
                            .off_h = f->fh.off,
                            .off_w = f->fw.off,
                            .taps_h = f->fh.taps,
                            .taps_w = f->fw.taps,
                            .tap_h = f->fh.tap,
                            .tap_w = f->fw.tap};
    f->weights = (phase_weights){parameter_dtype(dtype), w, s, &f->fh, &f->fw};
    size_t at = (size_t)((start_h * s->w + start_w) * s->ci) * ito_dtype_size(dtype);
    f->blocks = (gemm_blocks){.a_dtype = dtype,
                              .b_dtype = parameter_dtype(dtype),
                              .c_dtype = dtype,
                              .items = s->groups,
                              .m = s->n * f->fh.positions * f->fw.positions,
                              .n = ci,
                              .k = f->fh.taps * f->fw.taps * co,
                              .a = {pack_patch_rows, &f->gathered, rows_for_tiles(dtype)},
                              .b = {.pack = pack_phase_weights, .source = &f->weights},
                              .c = (char *)dx + at,
                              .layout = {.item = ci,
                                         .grid_h = f->fh.positions,
                                         .grid_w = f->fw.positions,
                                         .image_stride = s->h * s->w * s->ci,
                                         .line_stride = s->stride_h * s->w * s->ci,
                                         .pixel_stride = s->stride_w * s->ci}};
}

static ito_status product_backward_data(ito_dtype dtype, void *dx, const void *dy, const void *w,
                                        const conv_shape *s)
{
    /* All memory is had before the first phase writes: a failure leaves dx as it was. */
    int64_t phases = s->stride_h * s->stride_w;
    phase_product *products = mem_alloc((size_t)phases * sizeof *products);
    if (products == NULL)
        return ITO_ERR_MEMORY;
    size_t bytes = 0;
    for (int64_t i = 0; i < phases; i++) {
        make_phase(&products[i], dtype, dx, dy, w, s, i / s->stride_w, i % s->stride_w);
        size_t wanted = gemm_blocks_plan(&products[i].blocks);
        bytes = wanted > bytes ? wanted : bytes;
    }
    void *scratch = mem_alloc(bytes);
    for (int64_t i = 0; scratch != NULL && i < phases; i++)
        gemm_blocks_run(&products[i].blocks, scratch);
    mem_free(products);
    mem_free(scratch);
    return scratch != NULL ? ITO_OK : ITO_ERR_MEMORY;
}

/* ---- backward: weight ----------------------------------------------------------------------- */

/* dw by implicit GEMM. */
static ito_status product_backward_weight(ito_dtype dtype, void *dw, const void *x, const void *dy,
                                          const conv_shape *s)
{
    int64_t ci = s->ci / s->groups, co = s->co / s->groups, n = s->kh * s->kw * ci;
    patches gathered = forward_patches(dtype, x, s);
    gemm_matrix flat = {dtype, x, 1, s->ci, ci};
    gemm_matrix gradient = {dtype, dy, 1, s->co, co};
    gemm_blocks p = {.a_dtype = dtype,
                     .b_dtype = dtype,
                     .c_dtype = parameter_dtype(dtype),
                     .items = s->groups,
                     .m = co,
                     .n = n,
                     .k = output_pixels(s),
                     .a = {.pack = gemm_pack_matrix, .source = &gradient},
                     .b = {.pack = pack_patch_columns, .source = &gathered},
                     .c = dw,
                     .layout = {.item = co * n, .grid_h = 1, .grid_w = co, .pixel_stride = n}};
    if (is_pointwise(s))
        p.b = (gemm_operand){.pack = gemm_pack_matrix, .source = &flat};
    return run(&p);
}

/* ---- the three passes ------------------------------------------------------------------------ */

ito_status conv2d_forward(ito_dtype dtype, void *y, const void *x, const void *w,
                          const conv_addends *e, const conv_shape *s)
{
    if (conv_by_tiles(dtype, s))
        return tiles_forward(y, x, w, e, s);
    if (conv_by_winograd(CONV_FORWARD, dtype, s))
        return winograd_forward(dtype, y, x, w, e, s);
    if (conv_by_depthwise(s))
        return depthwise_forward(dtype, y, x, w, e, s);
    if (conv_by_thin(CONV_FORWARD, s))
        return thin_forward(dtype, y, x, w, e, s);
    return product_forward(dtype, y, x, w, e, s);
}

ito_status conv2d_backward_data(ito_dtype dtype, void *dx, const void *dy, const void *w,
                                const conv_shape *s)
{
    if (conv_by_tiles(dtype, s))
        return tiles_backward_data(dx, dy, w, s);
    if (conv_by_winograd(CONV_DATA, dtype, s))
        return winograd_backward_data(dtype, dx, dy, w, s);
    if (conv_by_depthwise(s))
        return depthwise_backward_data(dtype, dx, dy, w, s);
    if (conv_by_thin(CONV_DATA, s))
        return thin_backward_data(dtype, dx, dy, w, s);
    return product_backward_data(dtype, dx, dy, w, s);
}

ito_status conv2d_backward_weight(ito_dtype dtype, void *dw, const void *x, const void *dy,
                                  const conv_shape *s)
{
    if (conv_by_tiles(dtype, s))
        return tiles_backward_weight(dw, x, dy, s);
    if (conv_by_winograd(CONV_WEIGHT, dtype, s))
        return winograd_backward_weight(dtype, dw, x, dy, s);
    if (conv_by_depthwise(s))
        return depthwise_backward_weight(dtype, dw, x, dy, s);
    if (conv_by_thin(CONV_WEIGHT, s))
        return thin_backward_weight(dtype, dw, x, dy, s);
    return product_backward_weight(dtype, dw, x, dy, s);
}

/* ---- backward: what was added ---------------------------------------------------------------- */

/* The column sums of each image of dy [n][pixels][co], in chunks of SUM_ROWS pixels, which are then
 * added in order; the sums of the images, added in order, are dbias. */
ito_status conv2d_backward_addends(ito_dtype dtype, void *dbias, void *dimage, const void *dy,
                                   const conv_shape *s)
{
    const kernel_table *t = kernels(dtype), *reals = kernels(parameter_dtype(dtype));
    int64_t size = (int64_t)ito_dtype_size(dtype), pixels = s->oh * s->ow;
    int64_t row = s->co * (int64_t)ito_dtype_size(parameter_dtype(dtype));
    int64_t chunks = ceil_div(pixels, SUM_ROWS), units = s->n * chunks;
    char *partial = mem_alloc((size_t)((units + s->n) * row));
    if (partial == NULL)
        return ITO_ERR_MEMORY;
    char *images = partial + units * row;
#pragma omp parallel for num_threads(threads_for(s->n *pixels * s->co / ADDS_A_NANOSECOND))
    for (int64_t i = 0; i < units; i++) {
        int64_t first = i % chunks * SUM_ROWS;
        t->conv_column_sum(partial + i * row,
                           (const char *)dy + (i / chunks * pixels + first) * s->co * size, s->co,
                           min_of(SUM_ROWS, pixels - first), s->co);
    }
    for (int64_t n = 0; n < s->n; n++)
        reals->conv_column_sum(images + n * row, partial + n * chunks * row, s->co, chunks, s->co);
    if (dbias != NULL)
        reals->conv_column_sum(dbias, images, s->co, s->n, s->co);
    if (dimage != NULL && dtype == ITO_BF16)
        t->from_f32(dimage, (const float *)(const void *)images, s->n * s->co);
    else if (dimage != NULL)
        memcpy(dimage, images, (size_t)(s->n * row));
    mem_free(partial);
    return ITO_OK;
}
