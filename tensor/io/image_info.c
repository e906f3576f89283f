/* What the header of an image file says. Of the file a few kilobytes are read, and not its pixels.
 * Invariant: what is refused here is refused by image_decode too. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image.h"
#include "tensor/io/image_check.h"

#include <string.h>

/* A part of the file that is in memory. */
typedef struct header {
    const file_reader *file;
    int64_t start, length;
    unsigned char window[4096];
} header;

/* The n bytes at `at`, at most a window; NULL, with the error, if they cannot be had. */
static const unsigned char *look(header *h, int64_t at, int64_t n)
{
    int64_t left = h->file->size - at, window = (int64_t)sizeof h->window;
    if (at >= h->start && at + n <= h->start + h->length)
        return h->window + (at - h->start);
    h->start = at;
    h->length = 0;
    if (file_read(h->file, h->window, left < n ? n : left < window ? left : window, at) != ITO_OK)
        return NULL;
    h->length = left < window ? left : window;
    return h->window;
}

static int64_t big(const unsigned char *b, int bytes)
{
    int64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | b[i];
    return value;
}

static ito_status store_size(const header *h, int64_t width, int64_t height,
                             ito_image_properties *out)
{
    image_file f = {.path = h->file->path};
    ito_status status = image_check_size(&f, width, height);
    out->width = width;
    out->height = height;
    return status;
}

/* ---- PNG: chunks of a length, a type, data and a checksum --------------------------------------
 */

/* A tRNS chunk says which colours are transparent; it stands before the pixels. */
static ito_status find_png_transparency(header *h, bool *found)
{
    enum { FIRST = 33, OVERHEAD = 12 };
    const unsigned char *chunk;
    for (int64_t at = FIRST; (chunk = look(h, at, 8)) != NULL; at += OVERHEAD + big(chunk, 4)) {
        *found = memcmp(chunk + 4, "tRNS", 4) == 0;
        if (*found || memcmp(chunk + 4, "IDAT", 4) == 0)
            return ITO_OK;
    }
    return ito_error_code();
}

static ito_status read_png(header *h, ito_image_properties *out)
{
    const unsigned char *b = look(h, 0, 33);
    if (b == NULL)
        return ito_error_code();
    int depth = b[24], colour = b[25];
    if (big(b + 8, 4) != 13 || memcmp(b + 12, "IHDR", 4) != 0)
        return file_error(ITO_ERR_FORMAT, h->file->path, "PNG does not begin with its header");
    if (!image_png_has(colour, depth))
        return file_error(ITO_ERR_FORMAT, h->file->path, "PNG colour type %d with %d bits", colour,
                          depth);
    out->format = "PNG";
    out->channels = colour == 0 || colour == 4 ? 1 : 3;
    out->bits = colour == 3 ? 8 : depth;
    out->has_alpha = colour >= 4;
    ito_status status = store_size(h, big(b + 16, 4), big(b + 20, 4), out);
    return status != ITO_OK || out->has_alpha ? status : find_png_transparency(h, &out->has_alpha);
}

/* ---- JPEG: segments of a marker, a length and data, up to the frame ----------------------------
 */

static ito_status read_jpeg_frame(header *h, int64_t at, ito_image_properties *out)
{
    const unsigned char *b = look(h, at, 6);
    if (b == NULL)
        return ito_error_code();
    out->format = "JPEG";
    out->bits = b[0];
    out->channels = b[5];
    if (out->bits != 8)
        return file_error(ITO_ERR_FORMAT, h->file->path, "JPEG of %d bits a sample is not read",
                          out->bits);
    if (out->channels != 1 && out->channels != 3)
        return file_error(ITO_ERR_FORMAT, h->file->path, "JPEG of %d components is not read",
                          out->channels);
    return store_size(h, big(b + 3, 2), big(b + 1, 2), out);
}

static ito_status read_jpeg(header *h, ito_image_properties *out)
{
    enum { SOF0 = 0xc0, SOF2 = 0xc2, EOI = 0xd9, SOS = 0xda };
    const unsigned char *b;
    int64_t at = 2;
    while ((b = look(h, at, 4)) != NULL) {
        int marker = b[1];
        if (b[0] != 0xff || marker == EOI || marker == SOS)
            return file_error(ITO_ERR_FORMAT, h->file->path,
                              "JPEG has no frame before byte %" PRId64, at);
        if (marker >= SOF0 && marker <= SOF2)
            return read_jpeg_frame(h, at + 4, out);
        at += marker == 0xff ? 1 : 2 + big(b + 2, 2);
    }
    return ito_error_code();
}

/* ---- any --------------------------------------------------------------------------------------
 */

static ito_status read_bmp(header *h, ito_image_properties *out)
{
    const unsigned char *b = look(h, 0, 54);
    if (b == NULL)
        return ito_error_code();
    int32_t width, height;
    memcpy(&width, b + 18, 4);
    memcpy(&height, b + 22, 4);
    out->format = "BMP";
    out->channels = 3;
    out->bits = 8;
    return store_size(h, width, height < 0 ? -(int64_t)height : height, out);
}

ito_status image_info_read(const file_reader *file, ito_image_properties *out)
{
    header h = {.file = file};
    int64_t n = file->size < 12 ? file->size : 12;
    const unsigned char *start = look(&h, 0, n);
    if (start == NULL)
        return ito_error_code();
    ito_image_properties found = {.orientation = 1};
    image_kind kind;
    ito_status status = image_kind_of(file->path, start, n, &kind);
    if (status == ITO_OK)
        status = kind == IMAGE_PNG    ? read_png(&h, &found)
                 : kind == IMAGE_JPEG ? read_jpeg(&h, &found)
                                      : read_bmp(&h, &found);
    if (status == ITO_OK)
        *out = found;
    return status;
}

ito_status ito_image_info(const char *path, ito_image_properties *out)
{
    if (path == NULL || out == NULL)
        return error_status(ITO_ERR_ARGUMENT, "image_info: there is no %s",
                            path == NULL ? "path" : "place for the result");
    file_reader file;
    ito_status status = file_open(&file, path);
    if (status == ITO_OK)
        status = image_info_read(&file, out);
    file_close(&file);
    return status;
}
