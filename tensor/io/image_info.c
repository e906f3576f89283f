/* What the header of an image file says. Of the file a few kilobytes are read, and not its pixels.
 */
#include "tensor/internal.h"
#include "tensor/io/image_header.h"

enum { AT_ONCE = 4096 }; /* bytes that are read where fewer are asked for */

bool image_has(const image_header *h, int64_t at, int64_t n)
{
    return at >= 0 && n <= h->file->size - at;
}

const unsigned char *image_look(image_header *h, int64_t at, int64_t n)
{
    if (at >= h->start && at + n <= h->start + h->length)
        return h->window + (at - h->start);
    int64_t left = h->file->size - at, most = left < AT_ONCE ? left : AT_ONCE;
    int64_t size = n > most ? n : most;
    h->length = 0;
    if (file_read(h->file, h->window, size, at) != ITO_OK)
        return NULL;
    h->start = at;
    h->length = size;
    return h->window;
}

static ito_status read_header(image_header *h, ito_image_properties *out)
{
    int64_t n = h->file->size < 16 ? h->file->size : 16;
    const unsigned char *start = image_look(h, 0, n);
    if (start == NULL)
        return ito_error_code();
    image_kind kind;
    ito_status status = image_kind_of(h->file->path, start, n, &kind);
    if (status != ITO_OK)
        return status;
    out->orientation = 1;
    status = kind == IMAGE_PNG    ? image_png_info(h, out)
             : kind == IMAGE_JPEG ? image_jpeg_info(h, out)
             : kind == IMAGE_BMP  ? image_bmp_info(h, out)
                                  : image_webp_info(h, out);
    if (status == ITO_OK && out->orientation >= 5) { /* it lies on its side */
        int64_t width = out->width;
        out->width = out->height;
        out->height = width;
    }
    return status;
}

ito_status ito_image_info(const char *path, ito_image_properties *properties)
{
    if (path == NULL || properties == NULL)
        return error_status(ITO_ERR_ARGUMENT, "image_info: there is no %s",
                            path == NULL ? "path" : "place for the result");
    file_reader file;
    ito_image_properties found = {0};
    image_header h;
    h.file = &file;
    h.start = h.length = 0;
    ito_status status = file_open(&file, path);
    if (status == ITO_OK)
        status = read_header(&h, &found);
    file_close(&file);
    if (status == ITO_OK)
        *properties = found;
    return status;
}
