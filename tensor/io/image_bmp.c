/* BMP files: of 1 to 32 bits, with palettes, masks and run lengths.
 * Invariant: no memory is taken for more pixels than the file can hold.
 * Source: Microsoft, "Bitmap Storage", "BITMAPV5HEADER", "Bitmap Compression". */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image_check.h"
#include "tensor/io/image_header.h"

#include <string.h>

enum {
    FILE_HEADER = 14,
    CORE = 12, /* the smallest information header, with sizes of two bytes and colours of three */
    MASKS = FILE_HEADER + 40,
    HEADERS = MASKS + 16, /* all that is looked at */
    UNCOMPRESSED = 0,
    RUNS_OF_8 = 1,
    RUNS_OF_4 = 2,
    BIT_FIELDS = 3,
    ALPHA_BIT_FIELDS = 6,
    MOST_A_RUN = 255, /* pixels, in two bytes */
};

typedef struct bmp {
    image_file *file;
    int64_t offset, header; /* bytes before the pixels, and of the information header */
    bool top_first;
    int bits;
    int64_t compression, colours, palette; /* colours said, and where they begin */
    uint32_t mask[4];                      /* red, green, blue, alpha */
} bmp;

static ito_status refuse(const bmp *b, const char *fault)
{
    return file_error(ITO_ERR_FORMAT, b->file->path, "BMP %s", fault);
}

static uint32_t little(const unsigned char *b, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint32_t)b[i] << (8 * i);
    return value;
}

/* ---- headers -----------------------------------------------------------------------------------
 */

static bool by_masks(const bmp *b)
{
    return b->compression == BIT_FIELDS || b->compression == ALPHA_BIT_FIELDS;
}

/* The bits of each colour in a pixel of 16, 24 or 32; where none are said, the usual ones. */
static ito_status read_masks(bmp *b, const unsigned char *bytes)
{
    bool alpha = b->header >= 56 || b->compression == ALPHA_BIT_FIELDS;
    for (int i = 0; i < (alpha ? 4 : 3) && by_masks(b); i++)
        b->mask[i] = little(bytes + MASKS + 4 * i, 4);
    bool said = (b->mask[0] | b->mask[1] | b->mask[2]) != 0;
    for (int i = 0; i < 3 && !said; i++)
        b->mask[i] = b->bits == 16 ? 0x1fu << (10 - 5 * i) : 0xffu << (16 - 8 * i);
    for (int i = 0; i < 3; i++) {
        uint32_t m = b->mask[i], lowest = m & -m;
        if (m == 0 || ((m + lowest) & m) != 0 || (b->bits < 32 && m >> b->bits != 0))
            return file_error(ITO_ERR_FORMAT, b->file->path,
                              "BMP mask 0x%08x is not a run of a pixel's %d bits", m, b->bits);
    }
    return ITO_OK;
}

static bool is_read(const bmp *b)
{
    int n = b->bits;
    if (by_masks(b))
        return b->header != 64 && (n == 16 || n == 24 || n == 32); /* OS/2 has another 3 */
    return b->compression == UNCOMPRESSED
               ? n == 1 || n == 4 || n == 8 || n == 16 || n == 24 || n == 32
               : (b->compression == RUNS_OF_8 && n == 8) || (b->compression == RUNS_OF_4 && n == 4);
}

/* From the first bytes of a file: as many as there are, at most HEADERS. */
static ito_status read_headers(bmp *b, const unsigned char *bytes, int64_t n)
{
    if (n < FILE_HEADER + CORE)
        return refuse(b, "file is truncated");
    b->offset = little(bytes + 10, 4);
    b->header = little(bytes + 14, 4);
    int64_t h = b->header;
    if (h != CORE && h != 40 && h != 52 && h != 56 && h != 64 && h != 108 && h != 124)
        return file_error(ITO_ERR_FORMAT, b->file->path,
                          "BMP header of %" PRId64 " bytes is not read", h);
    int size = h == CORE ? 2 : 4;
    if (n < (h == CORE ? FILE_HEADER + CORE : MASKS))
        return refuse(b, "file is truncated");
    int64_t width = little(bytes + 18, size), height = little(bytes + 18 + size, size);
    if (h != CORE) { /* negative: top row first */
        width = (int32_t)width;
        height = (int32_t)height;
        b->compression = little(bytes + 30, 4);
        b->colours = little(bytes + 46, 4);
    }
    uint32_t planes = little(bytes + 18 + 2 * size, 2);
    b->bits = (int)little(bytes + 20 + 2 * size, 2);
    b->top_first = height < 0;
    b->palette = FILE_HEADER + h;
    if (planes != 1 || !is_read(b))
        return file_error(ITO_ERR_FORMAT, b->file->path,
                          "BMP of %d bits, compression %" PRId64 ", is not read; convert it to PNG",
                          b->bits, b->compression);
    if (by_masks(b) && n < HEADERS)
        return refuse(b, "file is truncated");
    ito_status status = b->bits > 8 ? read_masks(b, bytes) : ITO_OK;
    return status == ITO_OK ? image_check_size(b->file, width, height < 0 ? -height : height)
                            : status;
}

ito_status image_bmp_info(image_header *h, ito_image_properties *out)
{
    image_file f = {.path = h->file->path};
    bmp b = {.file = &f};
    int64_t n = h->file->size < HEADERS ? h->file->size : HEADERS;
    const unsigned char *bytes = image_look(h, 0, n);
    ito_status status = bytes == NULL ? ito_error_code() : read_headers(&b, bytes, n);
    if (status != ITO_OK)
        return status;
    out->format = "BMP";
    out->width = f.width;
    out->height = f.height;
    out->channels = 3;
    out->bits = 8;
    for (int i = 0; i < 3; i++) {
        int bits = __builtin_popcount(b.mask[i]);
        out->bits = bits > out->bits ? bits : out->bits;
    }
    out->has_alpha = b.mask[3] != 0;
    return ITO_OK;
}

/* ---- pixels ------------------------------------------------------------------------------------
 */

/* Rows of pixels as the file has them, the lowest first or last. */
typedef struct rows {
    const unsigned char *bytes;
    int64_t stride;
    int bits;
} rows;

static void put(unsigned char *out, int channels, int red, int green, int blue)
{
    out[0] = channels == 1 ? image_grey(red, green, blue) : (unsigned char)red;
    if (channels == 3) {
        out[1] = (unsigned char)green;
        out[2] = (unsigned char)blue;
    }
}

/* A row of indices; false at one that has no colour, which becomes *index. */
static bool put_indices(const bmp *b, rows r, int64_t colours, const unsigned char *row,
                        int channels, unsigned char *out, int *index)
{
    int entry = b->header == CORE ? 3 : 4;
    for (int64_t x = 0; x < b->file->width; x++) {
        int shift = 8 - r.bits - (int)(x * r.bits % 8);
        *index = row[x * r.bits / 8] >> shift & ((1 << r.bits) - 1);
        if (*index >= colours)
            return false;
        const unsigned char *colour = b->file->bytes + b->palette + *index * entry;
        put(out + x * channels, channels, colour[2], colour[1], colour[0]);
    }
    return true;
}

/* A row of colours. What has other than eight bits is scaled, and cut to a whole number. */
static void put_colours(const bmp *b, rows r, const unsigned char *row, int channels,
                        unsigned char *out)
{
    int shift[3], colour[3], bytes = r.bits / 8;
    uint64_t most[3];
    for (int i = 0; i < 3; i++) {
        shift[i] = __builtin_ctz(b->mask[i]);
        most[i] = b->mask[i] >> shift[i];
    }
    for (int64_t x = 0; x < b->file->width; x++) {
        uint32_t pixel = little(row + x * bytes, bytes);
        for (int i = 0; i < 3; i++) {
            uint64_t level = (pixel & b->mask[i]) >> shift[i];
            colour[i] = (int)(most[i] == 255 ? level : level * 255 / most[i]);
        }
        put(out + x * channels, channels, colour[0], colour[1], colour[2]);
    }
}

static ito_status put_rows(const bmp *b, rows r, int64_t colours, int channels, unsigned char *out)
{
    int64_t w = b->file->width, h = b->file->height;
    for (int64_t y = 0; y < h; y++, out += w * channels) {
        const unsigned char *row = r.bytes + (b->top_first ? y : h - 1 - y) * r.stride;
        int index = 0;
        if (r.bits > 8)
            put_colours(b, r, row, channels, out);
        else if (!put_indices(b, r, colours, row, channels, out, &index))
            return file_error(ITO_ERR_FORMAT, b->file->path,
                              "BMP pixel %d has none of the %" PRId64 " colours", index, colours);
    }
    return ITO_OK;
}

/* ---- run lengths -------------------------------------------------------------------------------
 */

typedef struct pen {
    unsigned char *plane; /* [height][width] indices, 0 where nothing is drawn */
    int64_t width, height, x, y;
} pen;

/* n pixels, of one byte repeated or of as many as it takes; what is beyond the row is dropped. */
static void draw(pen *p, const unsigned char *bytes, int n, int bits, bool repeated)
{
    for (int i = 0; i < n && p->y < p->height && p->x < p->width; i++, p->x++) {
        int byte = repeated ? bytes[0] : bytes[i * bits / 8];
        p->plane[p->y * p->width + p->x] = (unsigned char)(bits == 8    ? byte
                                                           : i % 2 == 0 ? byte >> 4
                                                                        : byte & 15);
    }
}

/* Pairs of bytes: a count and what is repeated; or 0 and the end of a row, of the picture, a step
 * right and up, or a count of what follows, filled to whole pairs. */
static ito_status draw_runs(const bmp *b, pen *p)
{
    enum { END_OF_ROW, END_OF_PICTURE, STEP };
    const unsigned char *at = b->file->bytes + b->offset, *end = b->file->bytes + b->file->size;
    while (end - at >= 2 && p->y < p->height) {
        int count = at[0], what = at[1];
        at += 2;
        if (count > 0) {
            draw(p, at - 1, count, b->bits, true);
        } else if (what == END_OF_ROW) {
            p->x = 0;
            p->y++;
        } else if (what == END_OF_PICTURE) {
            return ITO_OK;
        } else {
            int64_t bytes = what == STEP ? 2 : (what * b->bits + 15) / 16 * 2;
            if (end - at < bytes)
                break;
            if (what == STEP) {
                p->x += at[0];
                p->y += at[1];
            } else {
                draw(p, at, what, b->bits, false);
            }
            at += bytes;
        }
    }
    bool full = p->y >= p->height || (p->y == p->height - 1 && p->x >= p->width);
    return full ? ITO_OK : refuse(b, "run lengths end before the picture");
}

static ito_status decode_runs(const bmp *b, int64_t colours, int channels, unsigned char *out)
{
    int64_t w = b->file->width, h = b->file->height;
    pen p = {.plane = mem_alloc((size_t)(w * h)), .width = w, .height = h};
    if (p.plane == NULL)
        return ITO_ERR_MEMORY;
    memset(p.plane, 0, (size_t)(w * h));
    ito_status status = draw_runs(b, &p);
    if (status == ITO_OK)
        status = put_rows(b, (rows){p.plane, w, 8}, colours, channels, out);
    mem_free(p.plane);
    return status;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

static ito_status check_room(const bmp *b)
{
    const image_file *f = b->file;
    int64_t left = f->size - b->offset, row = (f->width * b->bits + 31) / 32 * 4;
    bool runs = b->compression == RUNS_OF_8 || b->compression == RUNS_OF_4;
    int64_t needs = runs ? f->width * f->height / MOST_A_RUN * 2 : row * f->height;
    if (b->offset < FILE_HEADER + b->header || left < needs)
        return file_error(ITO_ERR_FORMAT, f->path,
                          "BMP file of %" PRId64 " bytes does not hold its %" PRId64 " x %" PRId64
                          " pixels from byte %" PRId64 " on",
                          f->size, f->width, f->height, b->offset);
    return ITO_OK;
}

/* How many colours the palette has; all lie before the pixels. */
static int64_t palette_size(const bmp *b)
{
    int64_t room = (b->offset - b->palette) / (b->header == CORE ? 3 : 4);
    int64_t most = (int64_t)1 << b->bits;
    int64_t colours = b->colours > 0 && b->colours < most ? b->colours : most;
    return colours < room ? colours : room;
}

ito_status image_bmp_decode(image_file *f, int channels, unsigned char **pixels)
{
    bmp b = {.file = f};
    ito_status status = read_headers(&b, f->bytes, f->size < HEADERS ? f->size : HEADERS);
    if (status == ITO_OK)
        status = check_room(&b);
    int64_t colours = status == ITO_OK && b.bits <= 8 ? palette_size(&b) : 0;
    if (status == ITO_OK && b.bits <= 8 && colours < 1)
        status = refuse(&b, "palette of 0 colours");
    if (status != ITO_OK)
        return status;
    unsigned char *out = mem_alloc((size_t)(f->width * f->height * channels));
    if (out == NULL)
        return ITO_ERR_MEMORY;
    rows r = {f->bytes + b.offset, (f->width * b.bits + 31) / 32 * 4, b.bits};
    status = b.compression == RUNS_OF_8 || b.compression == RUNS_OF_4
                 ? decode_runs(&b, colours, channels, out)
                 : put_rows(&b, r, colours, channels, out);
    if (status == ITO_OK)
        *pixels = out;
    else
        mem_free(out);
    return status;
}
