/* PNG files judged before a decoder sees them, and rebuilt from what decides their pixels.
 * Invariant: in a file that passed, the checksum of each chunk that was kept holds, and its pixel
 * data inflate to exactly the bytes that its size takes. As in libpng, what is too much is left
 * out: bytes behind the pixel data and behind the end, and damaged chunks that a decoder need not
 * know. Source: W3C, "Portable Network Graphics (PNG) Specification (Second Edition)". */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image_check.h"
#include "tensor/io/image_header.h"
#include "tensor/io/zstream.h"

#include <string.h>

enum {
    SIGNATURE = 8,
    HEADER = 13,
    CHUNK_OVERHEAD = 12, /* length, type and checksum */
    PALETTE = 3 * 256,
    MAX_DEFLATE_RATIO = 1032,          /* a match of 258 bytes takes at least two bits */
    MAX_EXIF = 65536 - CHUNK_OVERHEAD, /* as much as image_look gives */
};

typedef struct chunk {
    uint32_t length;
    const char *type; /* four characters */
    const unsigned char *data;
    bool damaged; /* its checksum does not match */
} chunk;

typedef struct png {
    image_file *file;
    int64_t next; /* byte of the file */
    int depth, colour, interlaced;
    int64_t raw_size;  /* what the pixel data have to inflate to */
    int64_t data_size; /* of the chunks that hold them, so far */
    bool has_palette, data_over, has_exif, ended;
    unsigned char *rebuilt;
    int64_t rebuilt_size;
    int64_t data_at; /* in rebuilt */
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

/* A capital: nobody who does not know it may go on. */
static bool is_critical(const char *type)
{
    return (type[0] & 0x20) == 0;
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
    c->damaged = crc32_z(0, b + 4, (size_t)c->length + 4) != big(c->data + c->length);
    if (c->damaged && is_critical(c->type))
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

/* The first chunk: size, depth, colour type and methods. */
static ito_status read_header(png *p, chunk *c)
{
    ito_status status = next_chunk(p, c);
    if (status != ITO_OK)
        return status;
    if (!is(c, "IHDR") || c->length != HEADER)
        return refuse(p, "does not begin with its header");
    p->depth = c->data[8];
    p->colour = c->data[9];
    p->interlaced = c->data[12];
    static const int depths[7] = {31, 0, 24, 15,
                                  24, 0, 24}; /* allowed ones, or'ed, per colour type */
    bool power = p->depth >= 1 && p->depth <= 16 && (p->depth & (p->depth - 1)) == 0;
    if (p->colour > 6 || !power || (depths[p->colour] & p->depth) == 0)
        return file_error(ITO_ERR_FORMAT, p->file->path, "PNG colour type %d with %d bits",
                          p->colour, p->depth);
    if (c->data[10] != 0 || c->data[11] != 0 || p->interlaced > 1)
        return refuse(p, "uses a method that is not defined");
    return image_check_size(p->file, big(c->data), big(c->data + 4));
}

static ito_status begin(png *p)
{
    chunk c = {0};
    ito_status status = read_header(p, &c);
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
    if (p->colour != 3) /* a suggestion */
        return ITO_OK;
    if (p->has_palette || p->data_size > 0)
        return refuse(p, "palette is out of place");
    if (c->length == 0 || c->length > PALETTE || c->length % 3 != 0)
        return file_error(ITO_ERR_FORMAT, p->file->path, "PNG palette of %u bytes", c->length);
    p->has_palette = true;
    int64_t at = p->rebuilt_size + 8;
    keep(p, "PLTE", NULL, PALETTE);
    memcpy(p->rebuilt + at, c->data, c->length);
    return ITO_OK;
}

static ito_status read_data(png *p, const chunk *c)
{
    if (p->colour == 3 && !p->has_palette)
        return refuse(p, "has no palette");
    if (c->length == 0 || p->data_over) /* pixel data are in one piece */
        return ITO_OK;
    if (p->data_size == 0)
        p->data_at = p->rebuilt_size;
    p->data_size += c->length;
    keep(p, "IDAT", c->data, c->length);
    return ITO_OK;
}

static ito_status read_chunk(png *p, const chunk *c)
{
    if (is(c, "IDAT"))
        return read_data(p, c);
    p->data_over = p->data_size > 0;
    if (is(c, "PLTE"))
        return read_palette(p, c);
    if (is(c, "IEND")) {
        p->ended = true;
        keep(p, "IEND", NULL, 0);
        return ITO_OK;
    }
    if (is(c, "eXIf") && !c->damaged && !p->has_exif && c->length <= MAX_EXIF) {
        p->has_exif = true;
        p->file->orientation = exif_orientation(c->data, c->length);
    }
    return is_critical(c->type)
               ? file_error(ITO_ERR_FORMAT, p->file->path, "PNG chunk %.4s is not known", c->type)
               : ITO_OK;
}

/* ---- the pixel data ----------------------------------------------------------------------------
 */

/* Pixel data on their way through zlib. */
typedef struct flow {
    z_stream in, out;
    int code;     /* the last of in */
    int64_t size; /* inflated so far; one that is beyond raw_size ends it */
    bool packs;   /* whether out packs the first raw_size bytes again */
} flow;

/* Inflate what is given, until it ends or is too much. */
static ito_status inflate_chunk(const png *p, flow *f)
{
    unsigned char scratch[32768];
    z_stream *z = &f->in;
    while (f->code != Z_STREAM_END && f->size <= p->raw_size &&
           (z->avail_in > 0 || z->avail_out == 0)) {
        z->next_out = scratch;
        z->avail_out = sizeof scratch;
        f->code = inflate(z, Z_NO_FLUSH);
        if (f->code == Z_MEM_ERROR)
            return error_status(ITO_ERR_MEMORY, "image: no memory to inflate with");
        if (f->code != Z_OK && f->code != Z_STREAM_END && f->code != Z_BUF_ERROR)
            return refuse(p, "pixel data are damaged");
        int64_t n = (int64_t)sizeof scratch - z->avail_out, left = p->raw_size - f->size;
        f->size += n;
        f->out.next_in = scratch;
        f->out.avail_in = (unsigned)(n < left ? n : left);
        if (f->packs)
            deflate(&f->out, Z_NO_FLUSH); /* which has room for all */
    }
    return ITO_OK;
}

static ito_status inflate_pixels(const png *p, flow *f)
{
    if (inflateInit(&f->in) != Z_OK)
        return error_status(ITO_ERR_MEMORY, "image: no memory to inflate with");
    ito_status status = ITO_OK;
    for (int64_t at = SIGNATURE; at < p->rebuilt_size && status == ITO_OK;) {
        uint32_t length = big(p->rebuilt + at);
        if (memcmp(p->rebuilt + at + 4, "IDAT", 4) == 0) {
            f->in.next_in = p->rebuilt + at + 8;
            f->in.avail_in = length;
            status = inflate_chunk(p, f);
        }
        at += CHUNK_OVERHEAD + length;
    }
    inflateEnd(&f->in);
    return status;
}

/* Rebuild once more, with pixel data that are no longer than they should be: a decoder would
 * inflate all that there is. */
static ito_status shorten(png *p)
{
    flow f = {.in = ZSTREAM_INIT, .out = ZSTREAM_INIT, .packs = true};
    if (deflateInit(&f.out, Z_BEST_SPEED) != Z_OK)
        return error_status(ITO_ERR_MEMORY, "image: no memory to deflate with");
    uLong bound = deflateBound(&f.out, (uLong)p->raw_size);
    unsigned char *packed = mem_alloc(bound), *rebuilt = NULL;
    ito_status status = packed == NULL ? ITO_ERR_MEMORY : ITO_OK;
    f.out.next_out = packed;
    f.out.avail_out = (unsigned)bound;
    if (status == ITO_OK)
        status = inflate_pixels(p, &f);
    if (status == ITO_OK) {
        deflate(&f.out, Z_FINISH);
        rebuilt = mem_alloc((size_t)p->data_at + 2 * CHUNK_OVERHEAD + f.out.total_out);
        status = rebuilt == NULL ? ITO_ERR_MEMORY : ITO_OK;
    }
    if (status == ITO_OK) {
        memcpy(rebuilt, p->rebuilt, (size_t)p->data_at);
        mem_free(p->rebuilt);
        p->rebuilt = rebuilt;
        p->rebuilt_size = p->data_at;
        keep(p, "IDAT", packed, (uint32_t)f.out.total_out);
        keep(p, "IEND", NULL, 0);
    }
    deflateEnd(&f.out);
    mem_free(packed);
    return status;
}

static ito_status check_pixels(png *p)
{
    flow f = {.in = ZSTREAM_INIT};
    ito_status status = inflate_pixels(p, &f);
    if (status != ITO_OK)
        return status;
    if (f.size > p->raw_size)
        return shorten(p);
    return f.code == Z_STREAM_END && f.size == p->raw_size ? ITO_OK
                                                           : refuse(p, "pixel data are truncated");
}

static ito_status walk(png *p)
{
    ito_status status = begin(p);
    while (status == ITO_OK && !p->ended) {
        chunk c = {0};
        status = next_chunk(p, &c);
        if (status == ITO_OK)
            status = read_chunk(p, &c);
    }
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

/* ---- the header alone --------------------------------------------------------------------------
 */

/* Transparent colours, which are said before the pixels, and an orientation, which may follow them.
 * Where a file ends too soon, so does the search. */
static ito_status search_chunks(image_header *h, int64_t at, ito_image_properties *out)
{
    const unsigned char *b;
    bool data = false, found = false, ended = false;
    for (int64_t size; !ended && image_has(h, at, CHUNK_OVERHEAD); at += size) {
        if ((b = image_look(h, at, 8)) == NULL)
            return ito_error_code();
        uint32_t length = big(b);
        size = CHUNK_OVERHEAD + (int64_t)length;
        ended = memcmp(b + 4, "IEND", 4) == 0 || !image_has(h, at, size);
        data = data || memcmp(b + 4, "IDAT", 4) == 0;
        out->has_alpha = out->has_alpha || (!data && memcmp(b + 4, "tRNS", 4) == 0);
        if (ended || found || memcmp(b + 4, "eXIf", 4) != 0 || length > MAX_EXIF)
            continue;
        if ((b = image_look(h, at, size)) == NULL)
            return ito_error_code();
        found = crc32_z(0, b + 4, (size_t)length + 4) == big(b + 8 + length);
        out->orientation = found ? exif_orientation(b + 8, length) : 1;
    }
    return ITO_OK;
}

ito_status image_png_info(image_header *h, ito_image_properties *out)
{
    unsigned char start[SIGNATURE + CHUNK_OVERHEAD + HEADER];
    image_file f = {.path = h->file->path, .bytes = start, .size = sizeof start};
    png p = {.file = &f, .next = SIGNATURE};
    const unsigned char *b = image_look(h, 0, f.size);
    if (b == NULL)
        return ito_error_code();
    memcpy(start, b, sizeof start);
    chunk c = {0};
    ito_status status = read_header(&p, &c);
    if (status != ITO_OK)
        return status;
    out->format = "PNG";
    out->width = f.width;
    out->height = f.height;
    out->channels = p.colour == 0 || p.colour == 4 ? 1 : 3;
    out->bits = p.colour == 3 ? 8 : p.depth;
    out->has_alpha = p.colour >= 4;
    return search_chunks(h, f.size, out);
}
