/* Image files made by hand, with every field to be set wrong: PNG, JPEG, BMP. */
#ifndef ITO_TESTS_IO_PICTURES_H
#define ITO_TESTS_IO_PICTURES_H

#include "files.h"
#include "tensor/io/image.h"

#include <zlib.h>

/* A file as it grows. */
typedef struct picture {
    unsigned char bytes[70000];
    size_t n;
} picture;

static inline void add(picture *p, const void *bytes, size_t n)
{
    cr_assert_leq(p->n + n, sizeof p->bytes);
    memcpy(p->bytes + p->n, bytes, n);
    p->n += n;
}

static inline void add_big(picture *p, uint32_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        add(p, &(unsigned char){(unsigned char)(value >> (8 * i))}, 1);
}

static inline void add_little(picture *p, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        add(p, &(unsigned char){(unsigned char)(value >> (8 * i))}, 1);
}

static inline const char *write_picture(const char *name, const picture *p)
{
    return write_file(name, p->bytes, p->n);
}

static inline void expect_refused(const char *path, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    cr_assert_null(ito_image_load(path, 3), "not refused: %s", fault);
    expect_error(ITO_ERR_FORMAT, "%s: %s", path, fault);
    expect_nothing_left(open_files);
}

/* ---- PNG ---------------------------------------------------------------------------------------
 */

static inline void png_begin(picture *p)
{
    p->n = 0;
    add(p, "\x89PNG\r\n\x1a\n", 8);
}

static inline void png_chunk(picture *p, const char *type, const void *data, size_t n)
{
    size_t start = p->n + 4;
    add_big(p, (uint32_t)n, 4);
    add(p, type, 4);
    add(p, data, n);
    add_big(p, (uint32_t)crc32(0, p->bytes + start, (uInt)(n + 4)), 4);
}

static inline void png_header(picture *p, uint32_t width, uint32_t height, int depth, int colour,
                              int interlace)
{
    picture header = {.n = 0};
    add_big(&header, width, 4);
    add_big(&header, height, 4);
    const unsigned char rest[5] = {(unsigned char)depth, (unsigned char)colour, 0, 0,
                                   (unsigned char)interlace};
    add(&header, rest, 5);
    png_chunk(p, "IHDR", header.bytes, header.n);
}

/* Rows with their filter bytes, deflated, in chunks of at most `piece` bytes. */
static inline void png_data(picture *p, const void *rows, size_t n, size_t piece)
{
    unsigned char packed[4096];
    uLongf size = sizeof packed;
    cr_assert_eq(compress(packed, &size, rows, n), Z_OK);
    for (size_t at = 0; at < size; at += piece)
        png_chunk(p, "IDAT", packed + at, size - at < piece ? size - at : piece);
}

/* All of a plain one. */
static inline const char *write_png(uint32_t width, uint32_t height, int depth, int colour,
                                    const void *rows, size_t n)
{
    picture p;
    png_begin(&p);
    png_header(&p, width, height, depth, colour, 0);
    if (colour == 3)
        png_chunk(&p, "PLTE", "\1\2\3\4\5\6", 6);
    png_data(&p, rows, n, 1000);
    png_chunk(&p, "IEND", "", 0);
    return write_picture("a.png", &p);
}

/* ---- JPEG --------------------------------------------------------------------------------------
 * Grey blocks of one value: quantiser 16 for DC, codes '0' for a DC difference of 4 bits, '10' for
 * one of 0, '0' for the end of a block.  A difference of 15 makes 128 + 15 * 16 / 8 = 158.
 */

enum { JPEG_GREY = 158 };

static inline void jpeg_segment(picture *p, int marker, const void *data, size_t n)
{
    add_big(p, 0xff00u | (unsigned)marker, 2);
    add_big(p, (uint32_t)n + 2, 2);
    add(p, data, n);
}

static inline void jpeg_tables(picture *p)
{
    unsigned char quantisers[65];
    memset(quantisers, 1, sizeof quantisers);
    quantisers[0] = 0;
    quantisers[1] = 16;
    jpeg_segment(p, 0xdb, quantisers, 65);
    jpeg_segment(p, 0xc4, "\x00\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\4\0", 19);
    jpeg_segment(p, 0xc4, "\x10\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18);
}

static inline void jpeg_frame(picture *p, int marker, int height, int width, int components)
{
    picture frame = {.n = 0};
    add(&frame, "\10", 1);
    add_big(&frame, (uint32_t)height, 2);
    add_big(&frame, (uint32_t)width, 2);
    add(&frame, &(unsigned char){(unsigned char)components}, 1);
    for (int i = 1; i <= components; i++)
        add(&frame, (unsigned char[]){(unsigned char)i, 0x11, 0}, 3);
    jpeg_segment(p, marker, frame.bytes, frame.n);
}

static inline void jpeg_begin(picture *p)
{
    p->n = 0;
    add(p, "\xff\xd8", 2);
}

/* One grey block of 8 x 8, baseline. */
static inline void jpeg_whole(picture *p)
{
    jpeg_begin(p);
    jpeg_tables(p);
    jpeg_frame(p, 0xc0, 8, 8, 1);
    jpeg_segment(p, 0xda, "\1\1\0\0\77\0", 6);
    add(p, "\x7b\xff\xd9", 3); /* 0 1111 0, filled with ones */
}

/* ---- BMP ---------------------------------------------------------------------------------------
 */

typedef struct bmp_fields {
    int32_t offset, header, width, height, planes, bits, compression;
} bmp_fields;

static inline void bmp_header(picture *p, bmp_fields f)
{
    p->n = 0;
    add(p, "BM", 2);
    add_little(p, 0, 4); /* the size, which nobody sets right */
    add_little(p, 0, 4);
    add_little(p, (uint32_t)f.offset, 4);
    add_little(p, (uint32_t)f.header, 4);
    add_little(p, (uint32_t)f.width, 4);
    add_little(p, (uint32_t)f.height, 4);
    add_little(p, (uint32_t)f.planes, 2);
    add_little(p, (uint32_t)f.bits, 2);
    add_little(p, (uint32_t)f.compression, 4);
    for (int i = 0; i < 5; i++)
        add_little(p, 0, 4);
}

#endif
