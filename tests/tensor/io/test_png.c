/* PNG files against hand-made bytes and damage. */
#include "pictures.h"

Test(image, png_of_every_colour_type_is_read)
{
    const ito_shape colour = ITO_SHAPE(3, 1, 2), grey = ITO_SHAPE(1, 1, 2);
    const char *path = write_png(2, 1, 8, 2, "\0\1\2\3\4\5\6", 7);
    expect_tensor(ito_image_load(path, 3), "\1\4\2\5\3\6", colour, ITO_U8);
    path = write_png(2, 1, 8, 6, "\0\1\2\3\0\4\5\6\xff", 9); /* transparency is dropped */
    expect_tensor(ito_image_load(path, 3), "\1\4\2\5\3\6", colour, ITO_U8);
    path = write_png(2, 1, 8, 0, "\0\7\x9", 3);
    expect_tensor(ito_image_load(path, 1), "\7\x9", grey, ITO_U8);
    expect_tensor(ito_image_load(path, 3), "\7\x9\7\x9\7\x9", colour, ITO_U8);
    path = write_png(2, 1, 8, 4, "\0\7\0\x9\xff", 5);
    expect_tensor(ito_image_load(path, 1), "\7\x9", grey, ITO_U8);
    path = write_png(2, 1, 8, 3, "\0\1\0", 3);
    expect_tensor(ito_image_load(path, 3), "\4\1\5\2\6\3", colour, ITO_U8);
    path = write_png(2, 1, 1, 3, "\0\x80", 2);
    expect_tensor(ito_image_load(path, 3), "\4\1\5\2\6\3", colour, ITO_U8);
    path = write_png(2, 1, 1, 0, "\0\x40", 2);
    expect_tensor(ito_image_load(path, 1), "\0\xff", grey, ITO_U8);
    path = write_png(2, 1, 16, 0, "\0\x12\x34\xab\xcd", 5); /* the upper byte of each */
    expect_tensor(ito_image_load(path, 1), "\x12\xab", grey, ITO_U8);
}

Test(image, png_rows_filters_and_pieces_are_read)
{
    picture p;
    png_begin(&p);
    png_header(&p, 3, 2, 8, 0, 0);
    png_chunk(&p, "tEXt", "Comment\0x", 9);
    png_data(&p, "\0\1\2\3\2\1\1\1", 8, 5); /* filter 2: difference to the row above */
    png_chunk(&p, "tIME", "\0\0\0\0\0\0\0", 7);
    png_chunk(&p, "IEND", "", 0);
    expect_tensor(ito_image_load(write_picture("a", &p), 1), "\1\2\3\2\3\4", ITO_SHAPE(1, 2, 3),
                  ITO_U8);
}

/* Three rows of three in the order of the passes: 1 has [0,0]; 2, 3 none; 4 [0,2]; 5 the rest of
 * row 2 at even columns; 6 odd columns of even rows; 7 odd rows. */
Test(image, interlaced_png_is_read)
{
    picture p;
    png_begin(&p);
    png_header(&p, 3, 3, 8, 0, 1);
    png_data(&p, "\0\1\0\3\0\7\x9\0\2\0\x8\0\4\5\6", 15, 1000);
    png_chunk(&p, "IEND", "", 0);
    expect_tensor(ito_image_load(write_picture("a", &p), 1), "\1\2\3\4\5\6\7\x8\x9",
                  ITO_SHAPE(1, 3, 3), ITO_U8);
}

Test(image, png_indices_beyond_a_short_palette_are_black)
{
    expect_tensor(ito_image_load(write_png(2, 1, 8, 3, "\0\xc8\0", 3), 3), "\0\1\0\2\0\3",
                  ITO_SHAPE(3, 1, 2), ITO_U8);
}

Test(image, bad_png_headers_are_refused)
{
    static const struct {
        uint32_t width, height;
        int depth, colour, interlace;
        const char *fault;
    } cases[] = {
        {0, 1, 8, 0, 0, "image of 0 x 1 pixels: at most 16384 a side and 67108864 in all are read"},
        {1, 16385, 8, 0, 0,
         "image of 1 x 16385 pixels: at most 16384 a side and 67108864 in all are read"},
        {8193, 8193, 8, 0, 0,
         "image of 8193 x 8193 pixels: at most 16384 a side and 67108864 in all are read"},
        {4294967295, 4294967295, 8, 0, 0,
         "image of 4294967295 x 4294967295 pixels: at most 16384 a side and 67108864 in all are "
         "read"},
        {8000, 8000, 16, 6, 0, "PNG of 8000 x 8000 pixels cannot fit in 67 bytes"},
        {1, 1, 3, 0, 0, "PNG colour type 0 with 3 bits"},
        {1, 1, 16, 3, 0, "PNG colour type 3 with 16 bits"},
        {1, 1, 0, 0, 0, "PNG colour type 0 with 0 bits"},
        {1, 1, 8, 1, 0, "PNG colour type 1 with 8 bits"},
        {1, 1, 8, 7, 0, "PNG colour type 7 with 8 bits"},
        {1, 1, 8, 0, 2, "PNG uses a method that is not defined"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        picture p;
        png_begin(&p);
        png_header(&p, cases[i].width, cases[i].height, cases[i].depth, cases[i].colour,
                   cases[i].interlace);
        png_data(&p, "\0\1", 2, 1000);
        png_chunk(&p, "IEND", "", 0);
        expect_refused(write_picture("a", &p), cases[i].fault);
    }
}

Test(image, bad_png_chunks_are_refused)
{
    picture p, good;
    png_begin(&good);
    png_header(&good, 2, 1, 8, 3, 0);

    p = good;
    png_data(&p, "\0\1\0", 3, 1000);
    png_chunk(&p, "IEND", "", 0);
    expect_refused(write_picture("a", &p), "PNG has no palette");
    p = good;
    png_chunk(&p, "PLTE", "abcd", 4);
    expect_refused(write_picture("a", &p), "PNG palette of 4 bytes");
    png_chunk(&good, "PLTE", "abcdef", 6);
    p = good;
    png_chunk(&p, "PLTE", "abcdef", 6);
    expect_refused(write_picture("a", &p), "PNG palette is out of place");
    p = good;
    png_chunk(&p, "IDAT", "\x78\x01", 2);
    png_chunk(&p, "tEXt", "", 0);
    png_data(&p, "\0\1\0", 3, 1000);
    png_chunk(&p, "IEND", "", 0);
    expect_refused(write_picture("a", &p), "PNG pixel data are truncated");
    p = good;
    png_chunk(&p, "CgBI", "", 0);
    expect_refused(write_picture("a", &p), "PNG chunk CgBI is not known");
    p = good;
    png_chunk(&p, "I1AT", "", 0);
    expect_refused(write_picture("a", &p), "PNG chunk has no valid type");
    p = good;
    png_chunk(&p, "IEND", "", 0);
    expect_refused(write_picture("a", &p), "PNG pixel data are truncated");
    p = good;
    png_data(&p, "\0\1\0", 3, 1000);
    p.bytes[p.n - 1] ^= 1;
    expect_refused(write_picture("a", &p), "PNG chunk IDAT at byte 51: checksum does not match");
    png_begin(&p);
    png_chunk(&p, "IDAT", "0123456789abc", 13);
    expect_refused(write_picture("a", &p), "PNG does not begin with its header");
}

/* Where libpng warns: chunks that need not be known are damaged, the end is not empty, or there is
 * more of the pixels than their size takes. */
Test(image, png_is_read_despite_what_does_not_matter)
{
    picture p, begin;
    png_begin(&begin);
    png_header(&begin, 2, 1, 8, 0, 0);
    p = begin;
    png_chunk(&p, "tEXt", "Comment\0x", 9);
    p.bytes[p.n - 1] ^= 1;
    png_data(&p, "\0\1\2", 3, 1000);
    png_chunk(&p, "IEND", "x", 1);
    const char *path = write_picture("a", &p);
    expect_tensor(ito_image_load(path, 1), "\1\2", ITO_SHAPE(1, 1, 2), ITO_U8);
    path = write_png(2, 1, 8, 0, "\0\1\2\3\4\5", 6);
    expect_tensor(ito_image_load(path, 1), "\1\2", ITO_SHAPE(1, 1, 2), ITO_U8);
    p = begin;
    png_chunk(&p, "PLTE", "abcd", 4); /* a palette that grey has no use for */
    png_data(&p, "\0\1\2", 3, 1000);
    png_chunk(&p, "IEND", "", 0);
    expect_tensor(ito_image_load(write_picture("a", &p), 1), "\1\2", ITO_SHAPE(1, 1, 2), ITO_U8);
}

Test(image, bad_png_pixel_data_are_refused)
{
    expect_refused(write_png(2, 1, 8, 0, "\0\1", 2), "PNG pixel data are truncated");
    picture q;
    png_begin(&q);
    png_header(&q, 1, 1, 8, 0, 0);
    png_chunk(&q, "IDAT", "no zlib stream", 14);
    png_chunk(&q, "IEND", "", 0);
    expect_refused(write_picture("a", &q), "PNG pixel data are damaged");
    /* A filter that does not exist is left for the decoder to find. */
    expect_refused(write_png(1, 1, 8, 0, "\5\1", 2), "cannot be decoded: invalid filter");
}

/* 4 MB of zeros for a picture of 100 bytes: what is too much is never inflated. */
Test(image, of_a_png_bomb_the_picture_is_read)
{
    enum { N = 4000000 };
    unsigned char *zeros = calloc(1, N), *packed = malloc(N / 100);
    uLongf size = N / 100;
    cr_assert_eq(compress2(packed, &size, zeros, N, 9), Z_OK);
    picture p;
    png_begin(&p);
    png_header(&p, 10, 10, 8, 0, 0);
    png_chunk(&p, "IDAT", packed, size);
    png_chunk(&p, "IEND", "", 0);
    ito_memory_limit(1 << 20);
    static const unsigned char black[100];
    expect_tensor(ito_image_load(write_picture("a", &p), 1), black, ITO_SHAPE(1, 10, 10), ITO_U8);
    free(zeros);
    free(packed);
}

/* The most that image.h says: 16 bits, interlaced, with alpha, and twice the data. */
Test(image, decoding_takes_no_more_memory_than_documented)
{
    enum { SIDE = 512, ROWS = 2 * (15 * SIDE / 8 + 8 * SIDE * SIDE) };
    unsigned char *zeros = calloc(1, ROWS), *packed = malloc(ROWS / 100);
    uLongf size = ROWS / 100;
    cr_assert_eq(compress2(packed, &size, zeros, ROWS, 9), Z_OK);
    picture p;
    png_begin(&p);
    png_header(&p, SIDE, SIDE, 16, 6, 1);
    png_chunk(&p, "IDAT", packed, size);
    png_chunk(&p, "IEND", "", 0);
    const char *path = write_picture("a", &p);
    ito_memory_reset_peak();
    cr_assert_not_null(ito_image_load(path, 3), "%s", ito_error_message());
    cr_assert_leq(ito_memory_peak(), 28 * SIDE * SIDE + 200000, "%" PRId64, ito_memory_peak());
    free(zeros);
    free(packed);
}
