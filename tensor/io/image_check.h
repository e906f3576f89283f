/* Image files judged before a decoder sees them, and the pixels of one that passed. Not installed.
 *
 * The decoder is not made for hostile files. What it gets has been walked from end to end here: its
 * size is bounded and plausible, every segment lies within the file, every table is one that a
 * decoder can hold, and a PNG's pixel data have been inflated once, to exactly the bytes that its
 * size takes. */
#ifndef ITO_IO_IMAGE_CHECK_H
#define ITO_IO_IMAGE_CHECK_H

#include "tensor/io/file.h"
#include "tensor/io/image.h"

#define IMAGE_MAX_SIDE ITO_IMAGE_MAX_SIDE
#define IMAGE_MAX_PIXELS ((int64_t)ITO_IMAGE_MAX_PIXELS)
#define IMAGE_MAX_FILE ((int64_t)1 << 29)

typedef enum image_kind { IMAGE_PNG, IMAGE_JPEG, IMAGE_BMP, IMAGE_UNREAD } image_kind;

/* The kind of a file by its first bytes, of which 12 suffice; one that is not read is an error. */
ito_status image_kind_of(const char *path, const unsigned char *bytes, int64_t size,
                         image_kind *kind);
/* ito_image_info of an open file. */
ito_status image_info_read(const file_reader *file, ito_image_properties *properties);
/* Whether PNG has this colour type with so many bits. */
bool image_png_has(int colour, int depth);

/* A file in memory. */
typedef struct image_file {
    const char *path;
    unsigned char *bytes; /* from mem_alloc */
    int64_t size;
    int64_t width, height; /* once checked */
} image_file;

/* Check a file of any kind that is read. A PNG is replaced by one that holds only what decides its
 * pixels, with a whole palette, since the decoder does not check indices into a short one. */
ito_status image_check(image_file *f);
ito_status image_check_png(image_file *f);
ito_status image_check_jpeg(image_file *f);
/* Store the size if it is within the bounds. */
ito_status image_check_size(image_file *f, int64_t width, int64_t height);

/* Read, check and decode: rows of pixels, channels interleaved, to be released with mem_free. */
ito_status image_decode(const char *path, int channels, unsigned char **pixels, int64_t *width,
                        int64_t *height);

#endif
