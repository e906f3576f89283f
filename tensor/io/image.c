/* Single images in and out, and grids of them.
 * Invariant: nothing is written, and no output set, before everything has been checked. */
#include "tensor/io/image.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image_check.h"
#include "tensor/io/image_stb.h"

#include <math.h>
#include <string.h>

/* out[c][i] = in[i][c] */
static void split_channels(unsigned char *out, const unsigned char *in, int64_t pixels,
                           int channels)
{
    for (int c = 0; c < channels; c++)
        for (int64_t i = 0; i < pixels; i++)
            out[c * pixels + i] = in[i * channels + c];
}

ito_tensor *ito_image_load(const char *path, int channels)
{
    if (channels != 1 && channels != 3)
        return error_null(ITO_ERR_ARGUMENT, "image_load: %d channels; there can be 1 or 3",
                          channels);
    unsigned char *pixels = NULL;
    int64_t width, height;
    if (image_decode(path, channels, &pixels, &width, &height) != ITO_OK)
        return NULL;
    ito_tensor *t = tensor_empty(ITO_SHAPE(channels, height, width), ITO_U8);
    if (t != NULL)
        split_channels(tensor_data(t), pixels, width * height, channels);
    mem_free(pixels);
    return t;
}

/* ---- grids -------------------------------------------------------------------------------------
 */

typedef struct grid {
    int64_t n, channels, height, width; /* of the images */
    int64_t columns, padding;
    int64_t rows_out, columns_out; /* pixels of the grid */
} grid;

static bool plan_grid(grid *g, const ito_tensor *images, int64_t columns, int64_t padding)
{
    if (images->ndim != 4 || images->shape[0] < 1 ||
        (images->shape[1] != 1 && images->shape[1] != 3))
        return error_false(ITO_ERR_SHAPE,
                           "image_grid: shape %s is not [N, C, H, W] with N > 0 and C 1 or 3",
                           tensor_shape_str(images));
    if (images->dtype != ITO_U8 && !ito_dtype_is_float(images->dtype))
        return error_false(ITO_ERR_DTYPE, "image_grid: %s is neither u8 nor floating point",
                           ito_dtype_name(images->dtype));
    if (columns < 1 || padding < 0)
        return error_false(ITO_ERR_ARGUMENT,
                           "image_grid: %" PRId64 " columns and padding of %" PRId64 " pixels",
                           columns, padding);
    int64_t n = images->shape[0], rows, down, across;
    *g = (grid){n, images->shape[1], images->shape[2], images->shape[3], columns, padding, 0, 0};
    g->columns = columns < n ? columns : n;
    rows = (n - 1) / g->columns + 1;
    if (__builtin_add_overflow(g->height, padding, &down) ||
        __builtin_add_overflow(g->width, padding, &across) ||
        (down = checked_mul(down, rows)) < 0 || (across = checked_mul(across, g->columns)) < 0 ||
        __builtin_add_overflow(down, padding, &g->rows_out) ||
        __builtin_add_overflow(across, padding, &g->columns_out))
        return error_false(ITO_ERR_SHAPE, "image_grid: padding of %" PRId64 " pixels is too much",
                           padding);
    return true;
}

/* [-1, 1] to 0..255. NaN and infinity are the caller's to refuse. */
static unsigned char to_byte(double x)
{
    double level = round((x + 1) * 127.5);
    return (unsigned char)(level < 0 ? 0 : level > 255 ? 255 : level);
}

static ito_status fill_floats(unsigned char *out, const double *in, int64_t n, int64_t image)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(in[i]))
            return error_status(ITO_ERR_NUMERIC, "image_grid: image %" PRId64 " holds %g", image,
                                in[i]);
        out[i] = to_byte(in[i]);
    }
    return ITO_OK;
}

/* Image number i as bytes, row-major, by way of whole, [C, H, W] u8 or f64. */
static ito_status image_bytes(const ito_tensor *images, int64_t i, ito_tensor *whole,
                              unsigned char *out)
{
    ito_tensor *image = tensor_view(images, ito_shape_of(whole), images->stride + 1,
                                    images->offset + i * images->stride[0]);
    if (image == NULL)
        return ito_error_code();
    tensor_copy(whole, image);
    ito_release(tensor_disown(image));
    int64_t n = ito_numel(whole);
    if (whole->dtype == ITO_F64)
        return fill_floats(out, tensor_data(whole), n, i);
    memcpy(out, tensor_data(whole), (size_t)n);
    return ITO_OK;
}

static void place(const grid *g, int64_t i, const unsigned char *image, unsigned char *out)
{
    int64_t y = g->padding + i / g->columns * (g->height + g->padding);
    int64_t x = g->padding + i % g->columns * (g->width + g->padding);
    for (int64_t c = 0; c < g->channels; c++)
        for (int64_t row = 0; row < g->height; row++)
            memcpy(out + (c * g->rows_out + y + row) * g->columns_out + x,
                   image + (c * g->height + row) * g->width, (size_t)g->width);
}

ito_tensor *ito_image_grid(ito_tensor *images, int64_t columns, int64_t padding)
{
    grid g;
    if (images == NULL || !plan_grid(&g, images, columns, padding))
        return NULL;
    ito_tensor *out = tensor_empty(ITO_SHAPE(g.channels, g.rows_out, g.columns_out), ITO_U8);
    ito_tensor *whole = out == NULL ? NULL
                                    : tensor_empty(ITO_SHAPE(g.channels, g.height, g.width),
                                                   images->dtype == ITO_U8 ? ITO_U8 : ITO_F64);
    unsigned char *image = whole == NULL ? NULL : mem_alloc((size_t)ito_numel(whole));
    ito_status status = image == NULL ? ITO_ERR_MEMORY : ITO_OK;
    if (status == ITO_OK)
        memset(tensor_data(out), 0, (size_t)ito_numel(out));
    for (int64_t i = 0; i < g.n && status == ITO_OK; i++) {
        status = image_bytes(images, i, whole, image);
        if (status == ITO_OK)
            place(&g, i, image, tensor_data(out));
    }
    mem_free(image);
    ito_release(tensor_disown(whole));
    if (status == ITO_OK)
        return out;
    ito_release(tensor_disown(out));
    return NULL;
}
