/* The stb libraries, met in image_stb.c alone: pixels of image files, resizing. Not installed.
 * All their memory is this library's, zeroed. */
#ifndef ITO_IO_IMAGE_STB_H
#define ITO_IO_IMAGE_STB_H

#include "tensor/base.h"

/* The pixels of a checked file: height rows of width pixels, channels (1 or 3) interleaved, to be
 * released with mem_free. NULL, with why, if it cannot be decoded or has another size. */
unsigned char *stb_decode(const unsigned char *bytes, int64_t size, int channels, int64_t width,
                          int64_t height, const char **reason);
/* A square of from x from pixels, whose rows are stride bytes apart, resized to side x side. */
ito_status stb_resize_square(const unsigned char *pixels, int64_t stride, int64_t from,
                             int channels, unsigned char *square, int64_t side);
/* A PNG file in memory, to be released with mem_free; or NULL. */
unsigned char *stb_encode_png(const unsigned char *pixels, int64_t width, int64_t height,
                              int channels, int64_t *size);
/* The same as JPEG, of quality 1 to 100. */
unsigned char *stb_encode_jpeg(const unsigned char *pixels, int64_t width, int64_t height,
                               int channels, int quality, int64_t *size);

#endif
