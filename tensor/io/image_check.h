/* Image files judged before a decoder sees them, and the pixels of one that passed. Not installed.
 *
 * The decoder is not made for hostile files. What it gets has been walked from end to end here: its
 * size is bounded and plausible, every segment lies within the file, every table is one that a
 * decoder can hold, and a PNG's pixel data have been inflated once, to exactly the bytes that its
 * size takes. */
#ifndef ITO_IO_IMAGE_CHECK_H
#define ITO_IO_IMAGE_CHECK_H

#include "tensor/base.h"

#define IMAGE_MAX_SIDE ITO_IMAGE_MAX_SIDE
#define IMAGE_MAX_PIXELS ((int64_t)ITO_IMAGE_MAX_PIXELS)
#define IMAGE_MAX_FILE ((int64_t)1 << 29)

/* A file in memory. */
typedef struct image_file {
    const char *path;
    unsigned char *bytes; /* from mem_alloc */
    int64_t size;
    int64_t width, height; /* once checked, before it is turned */
    int orientation;       /* of EXIF: 1 to 8 */
} image_file;

/* Check a file that image_stb.c decodes. It is replaced by one that holds only what decides its
 * pixels: a PNG has a whole palette then, since the decoder does not check indices into a short
 * one, and a JPEG says of its colours what libjpeg would take them for. */
ito_status image_check_png(image_file *f);
ito_status image_check_jpeg(image_file *f);
/* Check and decode: rows of pixels, channels (1 or 3) interleaved. */
ito_status image_bmp_decode(image_file *f, int channels, unsigned char **pixels);
ito_status image_webp_decode(image_file *f, int channels, unsigned char **pixels);
/* A colour as a grey, as image_stb.c has it. */
static inline unsigned char image_grey(int red, int green, int blue)
{
    return (unsigned char)((red * 77 + green * 150 + blue * 29) >> 8);
}
/* Store the size if it is within the bounds. */
ito_status image_check_size(image_file *f, int64_t width, int64_t height);

/* Read, check, decode and turn upright: rows of pixels, channels interleaved, to be released with
 * mem_free. */
ito_status image_decode(const char *path, int channels, unsigned char **pixels, int64_t *width,
                        int64_t *height);

#endif
