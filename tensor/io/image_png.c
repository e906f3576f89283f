/* PNG files judged before a decoder sees them, and rebuilt from what decides their pixels.
 * Invariant: in a file that passed every chunk's checksum holds, and its pixel data inflate to
 * exactly the bytes that its size takes.
 * Source: W3C, "Portable Network Graphics (PNG) Specification (Second Edition)". */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image_check.h"
#include "tensor/io/zstream.h"

#include <string.h>

enum {
    SIGNATURE = 8,
    HEADER = 13,
    CHUNK_OVERHEAD = 12, /* length, type and checksum */
    PALETTE = 3 * 256,
    MAX_DEFLATE_RATIO = 1032, /* a match of 258 bytes takes at least two bits */
};

typedef struct chunk {
    uint32_t length;
    const char *type; /* four characters */
    const unsigned char *data;
} chunk;

typedef struct png {
    image_file *file;
    int64_t next; /* byte of the file */
    int depth, colour, interlaced;
    int64_t raw_size;  /* what the pixel data have to inflate to */
    int64_t data_size; /* of the chunks that hold them, so far */
    bool has_palette, data_over, ended;
    unsigned char *rebuilt;
    int64_t rebuilt_size;
    int64_t palette_at; /* in rebuilt */
} png;

static ito_status refuse(const png *p, const char *fault)
{
    return file_error(ITO_ERR_FORMAT, p->file->path, "PNG %s", fault);
}

static uint32_t big(const unsigned char *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static bool is(const chunk *c, const char *type)
{
    return memcmp(c->type, type, 4) == 0;
}

static ito_status next_chunk(png *p, chunk *c)
{
    int64_t left = p->file->size - p->next;
    const unsigned char *b = p->file->bytes + p->next;
    if (left < CHUNK_OVERHEAD || big(b) > left - CHUNK_OVERHEAD) {
        refuse(p, "file is truncated");
        return ITO_ERR_FORMAT;
    }
    *c = (chunk){.length = big(b), .type = (const char *)b + 4, .data = b + 8};
    for (int i = 0; i < 4; i++)
        if ((c->type[i] | 0x20) < 'a' || (c->type[i] | 0x20) > 'z')
            return refuse(p, "chunk has no valid type");
    if (crc32_z(0, b + 4, (size_t)c->length + 4) != big(c->data + c->length))
        return file_error(ITO_ERR_FORMAT, p->file->path,
                          "PNG chunk %.4s at byte %" PRId64 ": checksum does not match", c->type,
                          p->next);
    p->next += CHUNK_OVERHEAD + c->length;
    return ITO_OK;
}

/* ---- what is kept ------------------------------------------------------------------------------
 */

/* Append a chunk; data NULL leaves its bytes to be filled in. The decoder reads no checksums. */
static void keep(png *p, const char *type, const void *data, uint32_t length)
{
    unsigned char *out = p->rebuilt + p->rebuilt_size;
    for (int i = 0; i < 4; i++) {
        out[i] = (unsigned char)(length >> (24 - 8 * i));
        out[4 + i] = (unsigned char)type[i];
    }
    if (data != NULL)
        memcpy(out + 8, data, length);
    else
        memset(out + 8, 0, length);
    memset(out + 8 + length, 0, 4);
    p->rebuilt_size += CHUNK_OVERHEAD + length;
}

/* ---- what is allowed ---------------------------------------------------------------------------
 */

static int samples(int colour)
{
    return colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1;
}

/* Bytes of a picture of w x h pixels: each row is preceded by the number of its filter. */
static int64_t rows_size(const png *p, int64_t w, int64_t h)
{
    return w > 0 && h > 0 ? h * (1 + (w * samples(p->colour) * p->depth + 7) / 8) : 0;
}

/* The same for the seven pictures of an interlaced one. */
static int64_t interlaced_size(const png *p, int64_t w, int64_t h)
{
    static const int x0[7] = {0, 4, 0, 2, 0, 1, 0}, dx[7] = {8, 8, 4, 4, 2, 2, 1};
    static const int y0[7] = {0, 0, 4, 0, 2, 0, 1}, dy[7] = {8, 8, 8, 4, 4, 2, 2};
    int64_t size = 0;
    for (int i = 0; i < 7; i++)
        size += rows_size(p, (w - x0[i] + dx[i] - 1) / dx[i], (h - y0[i] + dy[i] - 1) / dy[i]);
    return size;
}

bool image_png_has(int colour, int depth)
{
    static const int depths[7] = {31, 0, 24, 15,
                                  24, 0, 24}; /* allowed ones, or'ed, per colour type */
    bool power = depth >= 1 && depth <= 16 && (depth & (depth - 1)) == 0;
    return colour <= 6 && power && (depths[colour] & depth) != 0;
}

static ito_status read_header(png *p)
{
    chunk c = {0};
    ito_status status = next_chunk(p, &c);
    if (status != ITO_OK)
        return status;
    if (!is(&c, "IHDR") || c.length != HEADER)
        return refuse(p, "does not begin with its header");
    p->depth = c.data[8];
    p->colour = c.data[9];
    p->interlaced = c.data[12];
    if (!image_png_has(p->colour, p->depth))
        return file_error(ITO_ERR_FORMAT, p->file->path, "PNG colour type %d with %d bits",
                          p->colour, p->depth);
    if (c.data[10] != 0 || c.data[11] != 0 || p->interlaced > 1)
        return refuse(p, "uses a method that is not defined");
    status = image_check_size(p->file, big(c.data), big(c.data + 4));
    if (status != ITO_OK)
        return status;
    int64_t w = p->file->width, h = p->file->height;
    p->raw_size = p->interlaced ? interlaced_size(p, w, h) : rows_size(p, w, h);
    if (p->raw_size / MAX_DEFLATE_RATIO > p->file->size)
        return file_error(ITO_ERR_FORMAT, p->file->path,
                          "PNG of %" PRId64 " x %" PRId64 " pixels cannot fit in %" PRId64 " bytes",
                          w, h, p->file->size);
    memcpy(p->rebuilt, p->file->bytes, SIGNATURE);
    p->rebuilt_size = SIGNATURE;
    keep(p, "IHDR", c.data, HEADER);
    return ITO_OK;
}

static ito_status read_palette(png *p, const chunk *c)
{
    if (p->has_palette || p->data_size > 0)
        return refuse(p, "palette is out of place");
    if (c->length == 0 || c->length > PALETTE || c->length % 3 != 0)
        return file_error(ITO_ERR_FORMAT, p->file->path, "PNG palette of %u bytes", c->length);
    p->has_palette = true;
    if (p->colour == 3) {
        p->palette_at = p->rebuilt_size + 8;
        keep(p, "PLTE", NULL, PALETTE);
        memcpy(p->rebuilt + p->palette_at, c->data, c->length);
    }
    return ITO_OK;
}

static ito_status read_chunk(png *p, const chunk *c)
{
    if (is(c, "IDAT")) {
        if (p->data_over)
            return refuse(p, "pixel data are not in one piece");
        if (p->colour == 3 && !p->has_palette)
            return refuse(p, "has no palette");
        p->data_size += c->length;
        keep(p, "IDAT", c->data, c->length);
        return ITO_OK;
    }
    p->data_over = p->data_size > 0;
    if (is(c, "PLTE"))
        return read_palette(p, c);
    if (is(c, "IEND")) {
        p->ended = true;
        keep(p, "IEND", NULL, 0);
        return c->length == 0 ? ITO_OK : refuse(p, "end is not empty");
    }
    if ((c->type[0] & 0x20) == 0) /* a capital: nobody who does not know it may go on */
        return file_error(ITO_ERR_FORMAT, p->file->path, "PNG chunk %.4s is not known", c->type);
    return ITO_OK;
}

/* ---- the pixel data ----------------------------------------------------------------------------
 */

/* Inflate what z has been given, counting into *raw; *code is zlib's last word. */
static ito_status inflate_chunk(const png *p, z_stream *z, int64_t *raw, int *code)
{
    unsigned char scratch[32768];
    while (*code != Z_STREAM_END && (z->avail_in > 0 || z->avail_out == 0)) {
        z->next_out = scratch;
        z->avail_out = sizeof scratch;
        *code = inflate(z, Z_NO_FLUSH);
        *raw += (int64_t)sizeof scratch - z->avail_out;
        if (*code == Z_MEM_ERROR)
            return error_status(ITO_ERR_MEMORY, "image: no memory to inflate with");
        if (*code != Z_OK && *code != Z_STREAM_END && *code != Z_BUF_ERROR)
            return refuse(p, "pixel data are damaged");
        if (*raw > p->raw_size)
            return refuse(p, "pixel data are more than its size takes");
    }
    return z->avail_in > 0 ? refuse(p, "pixel data are followed by something else") : ITO_OK;
}

static ito_status inflate_pixels(const png *p, z_stream *z)
{
    int64_t raw = 0;
    int code = Z_OK;
    for (int64_t at = SIGNATURE; at < p->rebuilt_size;) {
        uint32_t length = big(p->rebuilt + at);
        if (memcmp(p->rebuilt + at + 4, "IDAT", 4) == 0) {
            z->next_in = p->rebuilt + at + 8;
            z->avail_in = length;
            ito_status status = inflate_chunk(p, z, &raw, &code);
            if (status != ITO_OK)
                return status;
        }
        at += CHUNK_OVERHEAD + length;
    }
    return code == Z_STREAM_END && raw == p->raw_size ? ITO_OK
                                                      : refuse(p, "pixel data are truncated");
}

static ito_status check_pixels(const png *p)
{
    z_stream z = ZSTREAM_INIT;
    if (inflateInit(&z) != Z_OK)
        return error_status(ITO_ERR_MEMORY, "image: no memory to inflate with");
    ito_status status = inflate_pixels(p, &z);
    inflateEnd(&z);
    return status;
}

static ito_status walk(png *p)
{
    ito_status status = read_header(p);
    while (status == ITO_OK && !p->ended) {
        chunk c = {0};
        status = next_chunk(p, &c);
        if (status == ITO_OK)
            status = read_chunk(p, &c);
    }
    if (status == ITO_OK && p->next != p->file->size)
        status = refuse(p, "file goes on after its end");
    return status == ITO_OK ? check_pixels(p) : status;
}

ito_status image_check_png(image_file *f)
{
    png p = {.file = f, .next = SIGNATURE};
    p.rebuilt =
        mem_alloc((size_t)f->size + CHUNK_OVERHEAD + PALETTE); /* at most that much longer */
    if (p.rebuilt == NULL)
        return ITO_ERR_MEMORY;
    ito_status status = walk(&p);
    if (status != ITO_OK) {
        mem_free(p.rebuilt);
        return status;
    }
    mem_free(f->bytes);
    f->bytes = p.rebuilt;
    f->size = p.rebuilt_size;
    return ITO_OK;
}
