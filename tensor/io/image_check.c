/* Image files judged before a decoder sees them: which kind one is, the bounds, and BMP whole. */
#include "tensor/io/image_check.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image_stb.h"

#include <string.h>

ito_status image_check_size(image_file *f, int64_t width, int64_t height)
{
    if (width < 1 || height < 1 || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE ||
        width * height > IMAGE_MAX_PIXELS)
        return file_error(ITO_ERR_FORMAT, f->path,
                          "image of %" PRId64 " x %" PRId64
                          " pixels: at most %d a side and %" PRId64 " in all are read",
                          width, height, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS);
    f->width = width;
    f->height = height;
    return ITO_OK;
}

static int64_t little(const unsigned char *b, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint32_t)b[i] << (8 * i);
    return bytes == 4 ? (int32_t)value : (int64_t)value;
}

/* Every index of an 8-bit BMP has a colour. */
static ito_status check_indices(const image_file *f, int64_t offset, int64_t row, int64_t colours)
{
    for (int64_t y = 0; y < f->height; y++)
        for (int64_t x = 0; x < f->width; x++)
            if (f->bytes[offset + y * row + x] >= colours)
                return file_error(ITO_ERR_FORMAT, f->path,
                                  "BMP pixel %d has none of the %" PRId64 " colours",
                                  f->bytes[offset + y * row + x], colours);
    return ITO_OK;
}

/* The file header of 14 bytes, an information header, a palette, rows padded to four bytes. */
static ito_status check_bmp(image_file *f)
{
    enum { FILE_HEADER = 14, SMALLEST = 40 };
    const unsigned char *b = f->bytes;
    if (f->size < FILE_HEADER + SMALLEST)
        return file_error(ITO_ERR_FORMAT, f->path, "BMP file is truncated");
    int64_t offset = little(b + 10, 4), header = little(b + 14, 4);
    int64_t width = little(b + 18, 4), height = little(b + 22, 4); /* negative: top row first */
    int64_t planes = little(b + 26, 2), bits = little(b + 28, 2), compression = little(b + 30, 4);
    if (header != 40 && header != 56 && header != 108 && header != 124)
        return file_error(ITO_ERR_FORMAT, f->path, "BMP header of %" PRId64 " bytes is not read",
                          header);
    if (planes != 1 || compression != 0 || (bits != 8 && bits != 24 && bits != 32))
        return file_error(ITO_ERR_FORMAT, f->path,
                          "BMP of %" PRId64 " bits, compression %" PRId64
                          ": only uncompressed 8, 24 and 32 bits are read",
                          bits, compression);
    ito_status status = image_check_size(f, width, height < 0 ? -height : height);
    if (status != ITO_OK)
        return status;
    int64_t row = (f->width * (bits / 8) + 3) / 4 * 4;
    if (offset < FILE_HEADER + header || offset > f->size || row * f->height > f->size - offset)
        return file_error(ITO_ERR_FORMAT, f->path,
                          "BMP file of %" PRId64 " bytes does not hold its %" PRId64 " x %" PRId64
                          " pixels from byte %" PRId64 " on",
                          f->size, f->width, f->height, offset);
    if (bits != 8)
        return offset == FILE_HEADER + header
                   ? ITO_OK
                   : file_error(ITO_ERR_FORMAT, f->path, "BMP has a gap before its pixels");
    int64_t colours = (offset - FILE_HEADER - header) / 4;
    if (colours < 1 || colours > 256)
        return file_error(ITO_ERR_FORMAT, f->path, "BMP palette of %" PRId64 " colours", colours);
    return check_indices(f, offset, row, colours);
}

ito_status image_check(image_file *f)
{
    image_kind kind;
    ito_status status = image_kind_of(f->path, f->bytes, f->size, &kind);
    if (status != ITO_OK)
        return status;
    return kind == IMAGE_PNG    ? image_check_png(f)
           : kind == IMAGE_JPEG ? image_check_jpeg(f)
                                : check_bmp(f);
}

ito_status image_decode(const char *path, int channels, unsigned char **pixels, int64_t *width,
                        int64_t *height)
{
    image_file f = {.path = path};
    void *bytes = NULL;
    ito_status status = file_read_all(path, IMAGE_MAX_FILE, &bytes, &f.size);
    if (status != ITO_OK)
        return status;
    f.bytes = bytes;
    status = image_check(&f);
    if (status == ITO_OK) {
        const char *reason = NULL;
        *pixels = stb_decode(f.bytes, f.size, channels, f.width, f.height, &reason);
        *width = f.width;
        *height = f.height;
        if (*pixels == NULL) {
            file_error(ITO_ERR_FORMAT, path, "cannot be decoded: %s", reason);
            status = ito_error_code(); /* the first error, which may be one of memory, stays */
        }
    }
    mem_free(f.bytes);
    return status;
}
