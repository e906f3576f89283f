/* JPEG files, of blocks of one grey, against hand-made bytes and damage. */
#include "pictures.h"

static void expect_grey(const char *path, int channels, int64_t height, int64_t width)
{
    ito_tensor *t = ito_image_load(path, channels);
    cr_assert_not_null(t, "%s", ito_error_message());
    cr_assert(shape_equal(ito_shape_of(t), ITO_SHAPE(channels, height, width)));
    const unsigned char *pixel = tensor_data(t);
    for (int64_t i = 0; i < ito_numel(t); i++)
        cr_assert_eq(pixel[i], JPEG_GREY, "pixel %" PRId64 " is %d", i, pixel[i]);
}

Test(image, baseline_jpeg_is_read)
{
    picture p;
    jpeg_whole(&p);
    expect_grey(write_picture("a.jpg", &p), 1, 8, 8);
    expect_grey(write_picture("a.jpg", &p), 3, 8, 8);
    add(&p, "a preview that a camera left", 28);
    expect_grey(write_picture("a.jpg", &p), 1, 8, 8);
}

/* Two blocks, the second like the first, of which 13 x 5 pixels are seen; restarts between; a
 * comment and bytes of filling before markers. */
Test(image, jpeg_restarts_comments_and_cut_blocks_are_read)
{
    picture p;
    jpeg_begin(&p);
    jpeg_segment(&p, 0xe0, "JFIF\0\1\1\0\0\1\0\1\0\0", 14);
    jpeg_segment(&p, 0xfe, "\xff\xd9", 2);
    jpeg_tables(&p);
    add(&p, "\xff\xff", 2);
    jpeg_segment(&p, 0xdd, "\0\1", 2);
    jpeg_frame(&p, 0xc1, 5, 13, 1);
    jpeg_segment(&p, 0xda, "\1\1\0\0\77\0", 6);
    add(&p, "\x7b\xff\xd0\x7b\xff\xff\xd9", 7);
    expect_grey(write_picture("a.jpg", &p), 1, 5, 13);
}

/* Y Cb Cr, the latter two at their middle: grey. DC 0 is '10'. */
Test(image, jpeg_in_colour_is_read)
{
    picture p;
    jpeg_begin(&p);
    jpeg_tables(&p);
    jpeg_frame(&p, 0xc0, 8, 8, 3);
    jpeg_segment(&p, 0xda, "\3\1\0\2\0\3\0\0\77\0", 10);
    add(&p, "\x7a\x4f\xff\xd9", 4); /* 011110 100 100 1111 */
    expect_grey(write_picture("a.jpg", &p), 3, 8, 8);
}

/* DC at half its value, its last bit refined, then the (empty) AC coefficients. */
Test(image, progressive_jpeg_is_read)
{
    picture p;
    jpeg_begin(&p);
    jpeg_tables(&p);
    jpeg_frame(&p, 0xc2, 8, 8, 1);
    jpeg_segment(&p, 0xc4, "\x01\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\3", 18);
    jpeg_segment(&p, 0xda, "\1\1\x10\0\0\1", 6);   /* table 1: '0' for 3 bits */
    add(&p, "\x7f", 1);                            /* 0 111: 7, doubled 14 */
    jpeg_segment(&p, 0xda, "\1\1\x30\0\0\x10", 6); /* refinement needs no table */
    add(&p, "\xff\0", 2);                          /* 1 */
    jpeg_segment(&p, 0xda, "\1\1\0\1\77\0", 6);
    add(&p, "\x7f\xff\xd9", 3);
    expect_grey(write_picture("a.jpg", &p), 1, 8, 8);
}

Test(image, every_truncation_of_a_jpeg_is_refused)
{
    picture p;
    jpeg_whole(&p);
    for (size_t n = 1; n < p.n; n++) {
        cr_assert_null(ito_image_load(write_file("a", p.bytes, n), 3), "%zu bytes", n);
        cr_assert_eq(ito_error_code(), ITO_ERR_FORMAT);
        ito_error_clear();
    }
}

/* A JPEG whose tables or headers are replaced by one bad segment. */
Test(image, bad_jpeg_segments_are_refused)
{
#define COUNTS_16 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    static const struct {
        int marker;
        const char *data;
        size_t n;
        const char *fault;
    } cases[] = {
        {0xdb, "\4", 1, "JPEG quantisation table is malformed before byte 7"},
        {0xdb, "\x20", 1, "JPEG quantisation table is malformed before byte 7"},
        {0xdb, "\0\1", 2, "JPEG quantisation table is malformed before byte 7"},
        {0xc4, "\4", 1, "JPEG Huffman table is malformed before byte 7"},
        {0xc4, "\x20" COUNTS_16 "\0", 17, "JPEG Huffman table is malformed before byte 7"},
        {0xc4, "\0\3" COUNTS_16, 17, "JPEG Huffman table has too many codes before byte 8"},
        {0xc4, "\x10\0\0\0\0\0\0\0\0\0\xff\2\0\0\0\0\0", 17,
         "JPEG Huffman table has too many codes before byte 23"},
        {0xc4, "\0\1" COUNTS_16, 17, "JPEG Huffman table has too many codes before byte 23"},
        {0xc4, "\0\1" COUNTS_16 "\14", 18,
         "JPEG Huffman table has a symbol too large before byte 24"},
        {0xdd, "\0\0\0", 3, "JPEG restart interval is malformed before byte 6"},
        {0xc0, "\10\0\10\0", 4, "JPEG frame header is truncated before byte 6"},
        {0xc0, "\14\0\10\0\10\1\1\x11\0", 9, "JPEG of 12 bits a sample is not read"},
        {0xc0, "\10\0\10\0\10\2\1\x11\0\2\x11\0", 12, "JPEG of 2 components is not read"},
        {0xc0, "\10\0\10\0\10\5\1\x11\0\2\x11\0\3\x11\0\4\x11\0\5\x11\0", 21,
         "JPEG of 5 components is not read"},
        {0xc0, "\10\0\10\0\10\1\1\x11", 8, "JPEG of 1 components is not read"},
        {0xc0, "\10\0\10\0\10\1\1\x01\0", 9, "JPEG frame header is malformed before byte 15"},
        {0xc0, "\10\0\10\0\10\1\1\x15\0", 9, "JPEG frame header is malformed before byte 15"},
        {0xc0, "\10\0\10\0\10\1\1\x11\4", 9, "JPEG frame header is malformed before byte 15"},
        {0xc0, "\10\0\10\0\10\3\1\x11\0\1\x11\0\3\x11\0", 15,
         "JPEG frame header names a component twice before byte 18"},
        {0xc0, "\10\0\10\0\10\3\1\x31\0\2\x21\0\3\x11\0", 15,
         "JPEG sampling factors are not whole ratios before byte 21"},
        {0xc0, "\10\0\0\0\10\1\1\x11\0", 9,
         "image of 8 x 0 pixels: at most 16384 a side and 67108864 in all are read"},
        {0xc0, "\10\x10\0\x10\0\1\1\x11\0", 9, "JPEG of 4096 x 4096 pixels cannot fit in 15 bytes"},
        {0xc2, "\10\x10\0\x10\0\1\1\x11\0", 9, "JPEG of 4096 x 4096 pixels cannot fit in 15 bytes"},
        {0xc3, "\10\0\10\0\10\1\1\x11\0", 9,
         "lossless JPEG (marker 0xc3) is not read; convert it to PNG"},
        {0xc6, "\10\0\10\0\10\1\1\x11\0", 9,
         "hierarchical JPEG (marker 0xc6) is not read; convert it to PNG"},
        {0xc9, "\10\0\10\0\10\1\1\x11\0", 9,
         "arithmetic-coded JPEG (marker 0xc9) is not read; convert it to PNG"},
        {0xda, "\1\1\0\0\77\0", 6, "JPEG has a scan without a frame before byte 6"},
        {0xd8, "", 0, "JPEG marker 0xd8 is not read"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        picture p;
        jpeg_begin(&p);
        jpeg_segment(&p, cases[i].marker, cases[i].data, cases[i].n);
        expect_refused(write_picture("a", &p), cases[i].fault);
    }
}

Test(image, bad_jpeg_scans_are_refused)
{
    static const struct {
        int frame;
        const char *scan;
        size_t n;
        const char *fault;
    } cases[] = {
        {0xc0, "\0\0\77\0", 4, "scan header is malformed"},
        {0xc0, "\2\1\0\1\0\0\77\0", 8, "scan header is malformed"},
        {0xc0, "\1\1\0\0\77\0\0", 7, "scan header is malformed"},
        {0xc0, "\1\2\0\0\77\0", 6, "scan names a component that the frame lacks"},
        {0xc0, "\1\1\x40\0\77\0", 6, "scan uses a table that is not there"},
        {0xc0, "\1\1\x10\0\77\0", 6, "scan uses a table that is not there"},
        {0xc0, "\1\1\1\0\77\0", 6, "scan uses a table that is not there"},
        {0xc0, "\1\1\0\1\77\0", 6, "scan header is malformed"},
        {0xc0, "\1\1\0\0\77\1", 6, "scan header is malformed"},
        {0xc2, "\1\1\0\0\77\0", 6, "scan header is malformed"},
        {0xc2, "\1\1\0\5\4\0", 6, "scan header is malformed"},
        {0xc2, "\1\1\0\1\100\0", 6, "scan header is malformed"},
        {0xc2, "\1\1\0\1\77\x0e", 6, "scan header is malformed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        picture p;
        jpeg_begin(&p);
        jpeg_tables(&p);
        jpeg_frame(&p, cases[i].frame, 8, 8, 1);
        jpeg_segment(&p, 0xda, cases[i].scan, cases[i].n);
        add(&p, "\x7b\xff\xd9", 3);
        const char *path = write_picture("a", &p);
        cr_assert_null(ito_image_load(path, 3), "case %zu is not refused", i);
        char start[256];
        int length =
            snprintf(start, sizeof start, "%s: JPEG %s before byte ", path, cases[i].fault);
        cr_assert_eq(strncmp(ito_error_message(), start, (size_t)length), 0, "%s instead of %s",
                     ito_error_message(), start);
        ito_error_clear();
    }
}

/* What is behind the end holds no pixels. */
Test(image, a_jpeg_is_not_made_plausible_by_padding)
{
    static const unsigned char padding[40000];
    picture p;
    jpeg_begin(&p);
    jpeg_tables(&p);
    jpeg_frame(&p, 0xc0, 2048, 2048, 1);
    jpeg_segment(&p, 0xda, "\1\1\0\0\77\0", 6);
    add(&p, "\x7b\xff\xd9", 3);
    add(&p, padding, sizeof padding);
    expect_refused(write_picture("a", &p), "JPEG of 2048 x 2048 pixels cannot fit in 1 bytes");
}

Test(image, bad_jpeg_structure_is_refused)
{
    picture p;
    jpeg_begin(&p);
    add(&p, "\xff\xd9", 2);
    expect_refused(write_picture("a", &p), "JPEG ends without an image before byte 4");
    jpeg_begin(&p);
    jpeg_segment(&p, 0xfe, "", 0);
    add(&p, "xxx", 3);
    expect_refused(write_picture("a", &p), "JPEG file is truncated before byte 9");
    jpeg_begin(&p);
    add(&p, "\xff\xfe\0\1", 4);
    expect_refused(write_picture("a", &p), "JPEG segment is truncated before byte 6");
    jpeg_begin(&p);
    jpeg_frame(&p, 0xc0, 8, 8, 1);
    picture q = p;
    add(&q, "\xff\xd9", 2);
    expect_refused(write_picture("a", &q), "JPEG ends without all its scans before byte 17");
    jpeg_frame(&p, 0xc0, 8, 8, 1);
    expect_refused(write_picture("a", &p), "JPEG has a second frame before byte 19");
    jpeg_begin(&p);
    jpeg_tables(&p);
    jpeg_frame(&p, 0xc2, 8, 8, 1);
    for (int i = 0; i < 101; i++) {
        jpeg_segment(&p, 0xda, "\1\1\0\1\77\0", 6);
        add(&p, "\x7f", 1);
    }
    add(&p, "\xff\xd9", 2);
    cr_assert_null(ito_image_load(write_picture("a", &p), 1));
    cr_assert_not_null(strstr(ito_error_message(), "JPEG has too many scans"));
}
