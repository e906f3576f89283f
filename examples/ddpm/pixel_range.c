/* Numbers as pixels.
 * Invariant: pixels that are returned are u8, or f32 in [-1, 1]. */
#include "examples/ddpm/pixel_range.h"

#include "examples/common/messages.h"
#include "examples/common/options.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct pixel_range {
    double low, high;
} pixel_range;

/* Images one after another as doubles. */
typedef struct image_reader {
    ito_tensor *images;
    int64_t n, size; /* of one */
    double *values;  /* [size] */
} image_reader;

static bool reader_open(image_reader *r, ito_tensor *images, const char *place)
{
    *r = (image_reader){.images = images, .n = ito_size(images, 0)};
    r->size = ito_numel(images) / r->n;
    r->values = malloc((size_t)r->size * sizeof *r->values);
    if (r->values == NULL)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for an image", place);
    return r->values != NULL;
}

static bool reader_read(image_reader *r, int64_t i)
{
    ito_scope_begin();
    bool good = ito_to_data(ito_narrow(r->images, 0, i, 1), r->values, ITO_F64) == ITO_OK;
    ito_scope_end();
    return good;
}

/* The least and the largest number; false with an error recorded if one is not finite. */
static bool find_extent(image_reader *r, const char *place, pixel_range *extent)
{
    *extent = (pixel_range){(double)INFINITY, -(double)INFINITY};
    for (int64_t i = 0; i < r->n; i++) {
        if (!reader_read(r, i))
            return false;
        for (int64_t k = 0; k < r->size; k++) {
            double value = r->values[k];
            if (!isfinite(value)) {
                ito_error_set(ITO_ERR_RANGE,
                              "%s: element %" PRId64 " is %g; images have finite "
                              "numbers",
                              place, i * r->size + k, value);
                return false;
            }
            extent->low = value < extent->low ? value : extent->low;
            extent->high = value > extent->high ? value : extent->high;
        }
    }
    return true;
}

static bool within(pixel_range inner, pixel_range outer)
{
    double rounding = PIXEL_ROUNDING * (outer.high - outer.low);
    return inner.low >= outer.low - rounding && inner.high <= outer.high + rounding;
}

/* The range that numbers of this extent are likely to have, for a message. */
static pixel_range likely_range(pixel_range extent)
{
    static const pixel_range usual[] = {{0, 1}, {-1, 1}, {0, 255}, {0, 65535}};
    for (int i = 0; i < 4; i++)
        if (within(extent, usual[i]))
            return usual[i];
    if (extent.low == extent.high)
        extent.high = extent.low + 1.0;
    return extent;
}

/* The range of --range, or that of the dtype; false with an error recorded if the numbers do not
 * lie in it, or it is not known. */
static bool find_range(const char *place, const char *text, ito_dtype dtype, pixel_range extent,
                       pixel_range *range)
{
    pixel_range likely = likely_range(extent);
    if (text != NULL) {
        int end = -1;
        if (sscanf(text, "%lf,%lf%n", &range->low, &range->high, &end) != 2 || text[end] != '\0' ||
            !isfinite(range->high - range->low) || range->low >= range->high)
            return options_error("--range: \"%s\" is not LOW,HIGH, two numbers that rise, as 0,1",
                                 text);
        if (within(extent, *range))
            return true;
        return options_error("--range: %s has numbers from %.9g to %.9g, and %s does not hold them;"
                             " %.9g,%.9g does",
                             place, extent.low, extent.high, text, likely.low, likely.high);
    }
    if (ito_dtype_is_float(dtype)) {
        *range = (pixel_range){-1.0, 1.0};
        if (within(extent, *range))
            return true;
        ito_error_set(ITO_ERR_RANGE,
                      "%s: its numbers are from %.9g to %.9g, and floats of images "
                      "lie in [-1, 1]: give --range %.9g,%.9g",
                      place, extent.low, extent.high, likely.low, likely.high);
        return false;
    }
    *range = (pixel_range){0.0, dtype == ITO_BOOL ? 1.0 : 255.0};
    if (dtype == ITO_BOOL || dtype == ITO_U8)
        return true;
    ito_error_set(ITO_ERR_RANGE,
                  "%s: it holds whole numbers (%s) from %.9g to %.9g; say which are "
                  "black and white: --range %.9g,%.9g",
                  place, ito_dtype_name(dtype), extent.low, extent.high, likely.low, likely.high);
    return false;
}

/* A range that is likely to be another than the user thinks. */
static void warn_of_range(const char *place, ito_dtype dtype, pixel_range extent)
{
    if (ito_dtype_is_float(dtype) && extent.low >= 0.0 && extent.high > 0.0)
        note("%s: its numbers are from %.9g to %.9g, and floats of images lie in [-1, 1]: "
             "if 0 is black, give --range 0,1, else --range -1,1\n",
             place, extent.low, extent.high);
    if (dtype == ITO_U8 && extent.high == 1.0)
        note("%s: its bytes are 0 and 1, all but black: if 1 is white, give --range "
             "0,1, else --range 0,255\n",
             place);
}

/* The images in u8, if their range is that of bytes, else in f32. */
static ito_tensor *convert(image_reader *r, pixel_range range, bool bytes)
{
    ito_tensor *out = ito_empty(ito_shape_of(r->images), bytes ? ITO_U8 : ITO_F32);
    if (out == NULL)
        return NULL;
    double scale = (bytes ? 255.0 : 2.0) / (range.high - range.low);
    for (int64_t i = 0; i < r->n; i++) {
        if (!reader_read(r, i))
            return NULL;
        for (int64_t k = 0; k < r->size; k++) {
            double x = (r->values[k] - range.low) * scale;
            if (bytes)
                ((uint8_t *)ito_data(out))[i * r->size + k] = (uint8_t)lrint(x);
            else
                ((float *)ito_data(out))[i * r->size + k] = (float)fmin(fmax(x - 1.0, -1.0), 1.0);
        }
    }
    return out;
}

ito_tensor *pixels_of_range(ito_tensor *x, const char *range, const char *place)
{
    image_reader r;
    pixel_range extent, of;
    ito_tensor *out = NULL;
    if (x == NULL || !reader_open(&r, x, place))
        return NULL;
    ito_dtype dtype = ito_dtype_of(x);
    if (find_extent(&r, place, &extent) && find_range(place, range, dtype, extent, &of)) {
        bool whole = !ito_dtype_is_float(dtype), unit = of.low == 0.0 && of.high == 255.0;
        bool same = unit ? dtype == ITO_U8
                         : dtype == ITO_F32 && of.low == -1.0 && of.high == 1.0 &&
                               extent.low >= -1.0 && extent.high <= 1.0;
        if (range == NULL)
            warn_of_range(place, dtype, extent);
        out = same ? x : convert(&r, of, whole && (unit || dtype == ITO_BOOL));
    }
    free(r.values);
    return out;
}
