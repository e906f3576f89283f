/* The headers of image files: which kind one is, and what it says of itself. Not installed. */
#ifndef ITO_IO_IMAGE_HEADER_H
#define ITO_IO_IMAGE_HEADER_H

#include "tensor/io/file.h"
#include "tensor/io/image.h"

typedef enum image_kind { IMAGE_PNG, IMAGE_JPEG, IMAGE_BMP, IMAGE_WEBP, IMAGE_UNREAD } image_kind;

/* The kind of a file by its first bytes, of which 16 suffice; one that is not read is an error. */
ito_status image_kind_of(const char *path, const unsigned char *bytes, int64_t size,
                         image_kind *kind);

/* A file of which a part is in memory. */
typedef struct image_header {
    const file_reader *file;
    int64_t start, length; /* of the part */
    unsigned char window[1 << 16];
} image_header;

/* The n bytes at `at`, valid until the next call; at most as many as the window. NULL, with an
 * error, if they cannot be had. */
const unsigned char *image_look(image_header *h, int64_t at, int64_t n);
/* Whether the file has n bytes at `at`. */
bool image_has(const image_header *h, int64_t at, int64_t n);

/* One for each kind: fills in what is not 0, with an orientation of 1 where none is said. */
ito_status image_png_info(image_header *h, ito_image_properties *out);
ito_status image_jpeg_info(image_header *h, ito_image_properties *out);
ito_status image_bmp_info(image_header *h, ito_image_properties *out);
ito_status image_webp_info(image_header *h, ito_image_properties *out);

/* The orientation, 1 to 8, in n bytes of EXIF, which begin with the byte order. 1 if none is there,
 * or if they are damaged: a picture is not worse for that. */
int exif_orientation(const unsigned char *bytes, int64_t n);
/* A picture turned upright: rows of interleaved channels, in place of the given ones, which are
 * released. NULL without memory; then the given ones stay. */
unsigned char *exif_turn(unsigned char *pixels, int64_t *width, int64_t *height, int channels,
                         int orientation);

#endif
