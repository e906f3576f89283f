/* Image files from bytes to upright pixels, by the decoder of their kind. */
#include "tensor/io/image_check.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image_header.h"
#include "tensor/io/image_stb.h"

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

static ito_status decode_by_stb(image_file *f, int channels, unsigned char **pixels)
{
    const char *reason = NULL;
    *pixels = stb_decode(f->bytes, f->size, channels, f->width, f->height, &reason);
    if (*pixels != NULL)
        return ITO_OK;
    file_error(ITO_ERR_FORMAT, f->path, "cannot be decoded: %s", reason);
    return ito_error_code(); /* the first error, which may be one of memory, stays */
}

static ito_status decode(image_file *f, int channels, unsigned char **pixels)
{
    image_kind kind;
    ito_status status = image_kind_of(f->path, f->bytes, f->size, &kind);
    if (status != ITO_OK)
        return status;
    if (kind == IMAGE_BMP)
        return image_bmp_decode(f, channels, pixels);
    if (kind == IMAGE_WEBP)
        return image_webp_decode(f, channels, pixels);
    status = kind == IMAGE_PNG ? image_check_png(f) : image_check_jpeg(f);
    return status == ITO_OK ? decode_by_stb(f, channels, pixels) : status;
}

static ito_status turn(image_file *f, int channels, unsigned char **pixels)
{
    unsigned char *turned = exif_turn(*pixels, &f->width, &f->height, channels, f->orientation);
    if (turned == NULL) {
        mem_free(*pixels);
        return ITO_ERR_MEMORY;
    }
    *pixels = turned;
    return ITO_OK;
}

ito_status image_decode(const char *path, int channels, unsigned char **pixels, int64_t *width,
                        int64_t *height)
{
    image_file f = {.path = path, .orientation = 1};
    void *bytes = NULL;
    ito_status status = file_read_all(path, IMAGE_MAX_FILE, &bytes, &f.size);
    if (status != ITO_OK)
        return status;
    f.bytes = bytes;
    status = decode(&f, channels, pixels);
    mem_free(f.bytes);
    if (status == ITO_OK)
        status = turn(&f, channels, pixels);
    *width = f.width;
    *height = f.height;
    return status;
}
