/* The stb libraries, met here alone.
 *
 * Their allocations come from mem_alloc, so that they are counted and bounded, and zeroed, so that
 * a damaged file decodes to nothing that was left in memory. Their assertions are off: files can
 * break some of them, and the code behind is safe for what image_check.h lets through. Sums of
 * coefficients may overflow in a damaged JPEG; this file is compiled with -fwrapv, which gives them
 * a meaning. */
#include "tensor/io/image_stb.h"
#include "tensor/internal.h"
#include "tensor/io/zstream.h"

#include <string.h>

#define LARGEST_BLOCK ((size_t)1 << 30) /* of one request by stb */

static void *stb_alloc(size_t size)
{
    if (size > LARGEST_BLOCK)
        return error_null(ITO_ERR_MEMORY, "image: %zu bytes asked for by the decoder", size);
    void *p = mem_alloc(size);
    return p == NULL ? NULL : memset(p, 0, size);
}

static void *stb_grow(void *old, size_t old_size, size_t size)
{
    void *p = stb_alloc(size);
    if (p != NULL && old != NULL) {
        memcpy(p, old, old_size < size ? old_size : size);
        mem_free(old);
    }
    return p;
}

/* What stb_image_write calls in place of its own compressor, which cannot fail gracefully. It
 * forgets the result when its next request is refused: stb_encode_png finds it here. */
static _Thread_local unsigned char *deflated;
static unsigned char *deflate_bytes(unsigned char *data, int size, int *out_size, int quality);

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 16384
#define STBI_ASSERT(x) ((void)0)
#define STBI_MALLOC(size) stb_alloc(size)
#define STBI_REALLOC_SIZED(p, old_size, size) stb_grow(p, old_size, size)
#define STBI_FREE(p) mem_free(p)

#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#define STBIR_ASSERT(x) ((void)0)
#define STBIR_MALLOC(size, context) ((void)(context), stb_alloc(size))
#define STBIR_FREE(p, context) ((void)(context), mem_free(p))

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#define STBIW_ASSERT(x) ((void)0)
#define STBIW_MALLOC(size) stb_alloc(size)
#define STBIW_REALLOC_SIZED(p, old_size, size) stb_grow(p, old_size, size)
#define STBIW_FREE(p) mem_free(p)
#define STBIW_ZLIB_COMPRESS deflate_bytes

/* For the rest of the file: what is declared static and not used is judged at its end. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#include <stb/stb_image_resize.h>
#include <stb/stb_image_write.h>

unsigned char *stb_decode(const unsigned char *bytes, int64_t size, int channels, int64_t width,
                          int64_t height, const char **reason)
{
    int w = 0, h = 0, found = 0;
    unsigned char *pixels = stbi_load_from_memory(bytes, (int)size, &w, &h, &found, channels);
    if (pixels == NULL) {
        *reason = stbi_failure_reason();
        *reason = *reason != NULL ? *reason : "no reason is given";
    } else if (w != width || h != height) {
        mem_free(pixels);
        pixels = NULL;
        *reason = "its size is not what its header says";
    }
    return pixels;
}

ito_status stb_resize_square(const unsigned char *pixels, int64_t stride, int64_t from,
                             int channels, unsigned char *square, int64_t side)
{
    int done = stbir_resize_uint8(pixels, (int)from, (int)from, (int)stride, square, (int)side,
                                  (int)side, 0, channels);
    return done ? ITO_OK : error_status(ITO_ERR_MEMORY, "image: no memory to resize with");
}

static unsigned char *deflate_bytes(unsigned char *data, int size, int *out_size, int quality)
{
    *out_size = 0;
    z_stream z = ZSTREAM_INIT;
    if (deflateInit(&z, quality > 9 ? 9 : quality) != Z_OK)
        return error_null(ITO_ERR_MEMORY, "image: no memory to deflate with");
    uLong bound = deflateBound(&z, (uLong)size);
    unsigned char *out = stb_alloc(bound);
    if (out != NULL) {
        z.next_in = data;
        z.avail_in = (unsigned)size;
        z.next_out = out;
        z.avail_out = (unsigned)bound;
        deflate(&z, Z_FINISH); /* in one call, since it has the room that zlib itself named */
        *out_size = (int)z.total_out;
    }
    deflateEnd(&z);
    deflated = out;
    return out;
}

unsigned char *stb_encode_png(const unsigned char *pixels, int64_t width, int64_t height,
                              int channels, int64_t *size)
{
    int n = 0;
    deflated = NULL;
    unsigned char *file =
        stbi_write_png_to_mem(pixels, (int)width * channels, (int)width, (int)height, channels, &n);
    *size = n;
    if (file != NULL)
        return file;
    mem_free(deflated);
    return error_null(ITO_ERR_MEMORY, "image: no memory to encode with");
}

/* Bytes that come in pieces. */
typedef struct pieces {
    unsigned char *bytes;
    int64_t size, room;
    bool failed; /* no memory: the rest is dropped, since the encoder cannot be stopped */
} pieces;

static void add_piece(void *context, void *bytes, int size)
{
    pieces *p = context;
    if (p->size + size > p->room && !p->failed) {
        int64_t room = 2 * (p->room + size);
        unsigned char *larger = stb_grow(p->bytes, (size_t)p->size, (size_t)room);
        p->failed = larger == NULL;
        p->bytes = larger != NULL ? larger : p->bytes;
        p->room = larger != NULL ? room : p->room;
    }
    if (p->failed)
        return;
    memcpy(p->bytes + p->size, bytes, (size_t)size);
    p->size += size;
}

unsigned char *stb_encode_jpeg(const unsigned char *pixels, int64_t width, int64_t height,
                               int channels, int quality, int64_t *size)
{
    pieces file = {.room = 0};
    stbi_write_jpg_to_func(add_piece, &file, (int)width, (int)height, channels, pixels, quality);
    *size = file.size;
    if (!file.failed)
        return file.bytes;
    mem_free(file.bytes);
    return NULL;
}
