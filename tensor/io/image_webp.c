/* WebP files, by libwebp, met here alone; without it (the option webp of Meson) none is read.
 * Source: Google, "WebP Container Specification". */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image_check.h"
#include "tensor/io/image_header.h"

#ifndef ITO_WEBP

static ito_status refuse(const char *path)
{
    return file_error(ITO_ERR_FORMAT, path,
                      "is a WebP image, which is not read without libwebp: install libwebp-dev and "
                      "build with -Dwebp=enabled, or convert it to PNG");
}

ito_status image_webp_info(image_header *h, ito_image_properties *out)
{
    (void)out;
    return refuse(h->file->path);
}

ito_status image_webp_decode(image_file *f, int channels, unsigned char **pixels)
{
    (void)channels;
    (void)pixels;
    return refuse(f->path);
}

#else

#include <string.h>
#include <webp/decode.h>

enum {
    FIRST = 12, /* bytes before the first chunk */
    CHUNK = 8,  /* and of one before its data */
    FEATURES = 4096,
    MAX_EXIF = 65536 - CHUNK, /* as much as image_look gives */
};

static ito_status read_features(image_file *f, const unsigned char *bytes, int64_t size,
                                WebPBitstreamFeatures *features)
{
    if (WebPGetFeatures(bytes, (size_t)size, features) != VP8_STATUS_OK)
        return file_error(ITO_ERR_FORMAT, f->path, "WebP header is damaged");
    if (features->has_animation)
        return file_error(ITO_ERR_FORMAT, f->path,
                          "is an animated WebP image, which is not read; convert a frame to PNG");
    return image_check_size(f, features->width, features->height);
}

/* A chunk's data take an even number of bytes. */
static int64_t chunk_size(const unsigned char *chunk)
{
    int64_t n = (int64_t)chunk[7] << 24 | chunk[6] << 16 | chunk[5] << 8 | chunk[4];
    return CHUNK + n + n % 2;
}

/* The orientation in the chunk EXIF, which may begin as a JPEG's does. */
static int read_exif(const unsigned char *chunk, int64_t size)
{
    int64_t skip = size >= CHUNK + 6 && memcmp(chunk + CHUNK, "Exif\0", 6) == 0 ? 6 : 0;
    return exif_orientation(chunk + CHUNK + skip, size - CHUNK - skip);
}

static ito_status search_exif(image_header *h, int *orientation)
{
    for (int64_t at = FIRST, size; image_has(h, at, CHUNK); at += size) {
        const unsigned char *b = image_look(h, at, CHUNK);
        if (b == NULL)
            return ito_error_code();
        size = chunk_size(b);
        if (memcmp(b, "EXIF", 4) != 0)
            continue;
        if (size - CHUNK > MAX_EXIF || !image_has(h, at, size))
            return ITO_OK;
        if ((b = image_look(h, at, size)) == NULL)
            return ito_error_code();
        *orientation = read_exif(b, size);
        return ITO_OK;
    }
    return ITO_OK;
}

ito_status image_webp_info(image_header *h, ito_image_properties *out)
{
    image_file f = {.path = h->file->path};
    WebPBitstreamFeatures features;
    int64_t n = h->file->size < FEATURES ? h->file->size : FEATURES;
    const unsigned char *b = image_look(h, 0, n);
    ito_status status = b == NULL ? ito_error_code() : read_features(&f, b, n, &features);
    if (status != ITO_OK)
        return status;
    out->format = "WebP";
    out->width = f.width;
    out->height = f.height;
    out->channels = 3;
    out->bits = 8;
    out->has_alpha = features.has_alpha;
    return search_exif(h, &out->orientation);
}

static ito_status decode(const image_file *f, unsigned char *rgb)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return file_error(ITO_ERR_FORMAT, f->path, "cannot be decoded: libwebp is another version");
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = rgb;
    config.output.u.RGBA.stride = (int)(3 * f->width);
    config.output.u.RGBA.size = (size_t)(3 * f->width * f->height);
    VP8StatusCode code = WebPDecode(f->bytes, (size_t)f->size, &config);
    if (code == VP8_STATUS_OK)
        return ITO_OK;
    return code == VP8_STATUS_OUT_OF_MEMORY
               ? error_status(ITO_ERR_MEMORY, "image: no memory to decode with")
               : file_error(ITO_ERR_FORMAT, f->path, "WebP data are damaged or end too soon");
}

ito_status image_webp_decode(image_file *f, int channels, unsigned char **pixels)
{
    WebPBitstreamFeatures features;
    ito_status status = read_features(f, f->bytes, f->size, &features);
    file_reader reader;
    image_header h;
    h.file = &reader;
    h.start = h.length = 0;
    if (status == ITO_OK)
        status = file_open_memory(&reader, f->bytes, (size_t)f->size, f->path);
    if (status == ITO_OK)
        status = search_exif(&h, &f->orientation);
    if (status != ITO_OK)
        return status;
    int64_t n = f->width * f->height;
    unsigned char *rgb = mem_alloc((size_t)(3 * n));
    if (rgb == NULL)
        return ITO_ERR_MEMORY;
    status = decode(f, rgb);
    if (status != ITO_OK) {
        mem_free(rgb);
        return status;
    }
    for (int64_t i = 0; channels == 1 && i < n; i++)
        rgb[i] = image_grey(rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2]);
    *pixels = rgb;
    return ITO_OK;
}

#endif
