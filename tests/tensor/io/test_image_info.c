/* What the header of an image file says, against files made by hand. */
#include "pictures.h"

TestSuite(image_info, .init = make_directory, .fini = remove_directory);

static void expect_info(const char *path, ito_image_properties right)
{
    ito_image_properties p = {0};
    cr_assert_eq(ito_image_info(path, &p), ITO_OK, "%s", ito_error_message());
    cr_assert_str_eq(p.format, right.format);
    cr_assert_eq(p.width, right.width, "%" PRId64, p.width);
    cr_assert_eq(p.height, right.height, "%" PRId64, p.height);
    cr_assert_eq(p.channels, right.channels, "%d", p.channels);
    cr_assert_eq(p.bits, right.bits, "%d", p.bits);
    cr_assert_eq(p.orientation, right.orientation, "%d", p.orientation);
    cr_assert_eq(p.has_alpha, right.has_alpha, "%d", p.has_alpha);
    expect_nothing_left(count_entries("/proc/self/fd"));
}

static void expect_no_info(const char *path, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    ito_image_properties p = {.width = 77};
    cr_assert_eq(ito_image_info(path, &p), ITO_ERR_FORMAT);
    expect_error(ITO_ERR_FORMAT, "%s: %s", path, fault);
    cr_assert_eq(p.width, 77);
    expect_nothing_left(open_files);
}

Test(image_info, png_of_every_colour_type)
{
    static const struct {
        int depth, colour, channels, bits;
        bool has_alpha;
    } cases[] = {
        {8, 0, 1, 8, false},   {1, 0, 1, 1, false}, {16, 0, 1, 16, false}, {8, 2, 3, 8, false},
        {16, 2, 3, 16, false}, {8, 3, 3, 8, false}, {1, 3, 3, 8, false},   {8, 4, 1, 8, true},
        {16, 4, 1, 16, true},  {8, 6, 3, 8, true},  {16, 6, 3, 16, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_info(write_png(3, 2, cases[i].depth, cases[i].colour, "\0", 1),
                    (ito_image_properties){"PNG", 3, 2, cases[i].channels, cases[i].bits, 1,
                                           cases[i].has_alpha});
}

/* Of any colour type; behind the pixels it means nothing. */
Test(image_info, png_with_transparent_colours_has_alpha)
{
    picture p;
    png_begin(&p);
    png_header(&p, 3, 2, 8, 3, 0);
    png_chunk(&p, "PLTE", "\1\2\3\4\5\6", 6);
    picture after = p;
    png_chunk(&p, "tRNS", "\0", 1);
    png_data(&p, "\0", 1, 1000);
    expect_info(write_picture("a", &p), (ito_image_properties){"PNG", 3, 2, 3, 8, 1, true});
    png_data(&after, "\0", 1, 1000);
    png_chunk(&after, "tRNS", "\0", 1);
    expect_info(write_picture("a", &after), (ito_image_properties){"PNG", 3, 2, 3, 8, 1, false});
}

/* Two chunks larger than what is read at once stand before the transparency. */
Test(image_info, large_chunks_are_passed_over)
{
    static const unsigned char text[20000];
    picture p;
    png_begin(&p);
    png_header(&p, 300, 2, 8, 0, 0);
    png_chunk(&p, "tEXt", text, sizeof text);
    png_chunk(&p, "iTXt", text, 5000);
    png_chunk(&p, "tRNS", "\0\0", 2);
    png_data(&p, "\0", 1, 1000);
    expect_info(write_picture("a", &p), (ito_image_properties){"PNG", 300, 2, 1, 8, 1, true});
}

Test(image_info, jpeg_up_to_its_frame)
{
    static const unsigned char comment[60000];
    picture p;
    for (int marker = 0xc0; marker <= 0xc2; marker++)
        for (int components = 1; components <= 3; components += 2) {
            jpeg_begin(&p);
            jpeg_segment(&p, 0xfe, comment, sizeof comment);
            add(&p, "\xff\xff", 2); /* any number of these may come before a marker */
            jpeg_tables(&p);
            jpeg_frame(&p, marker, 5, 300, components);
            expect_info(write_picture("a", &p),
                        (ito_image_properties){"JPEG", 300, 5, components, 8, 1, false});
        }
}

/* Bits are those of the widest mask; where each has at most eight, nothing is lost. */
Test(image_info, bmp_with_wide_masks_has_more_bits)
{
    picture p;
    for (int bits = 5; bits <= 10; bits += 5) {
        bmp_header(&p, (bmp_fields){66, 40, 7, 5, 1, 32, 3});
        for (int k = 0; k < 3; k++)
            add_little(&p, ((1u << bits) - 1) << (10 * k), 4);
        add(&p, "\0\0\0\0", 4);
        expect_info(write_picture("a", &p),
                    (ito_image_properties){"BMP", 7, 5, 3, bits > 8 ? bits : 8, 1, false});
    }
}

Test(image_info, bmp)
{
    picture p;
    bmp_header(&p, (bmp_fields){54, 40, 7, -5, 1, 24, 0});
    expect_info(write_picture("a", &p), (ito_image_properties){"BMP", 7, 5, 3, 8, 1, false});
}

Test(image_info, headers_that_are_damaged_or_cut_are_refused)
{
    picture p;
    expect_no_info(write_png(0, 1, 8, 0, "\0", 1),
                   "image of 0 x 1 pixels: at most 16384 a side and 67108864 in all are read");
    expect_no_info(write_png(1, 1, 3, 0, "\0", 1), "PNG colour type 0 with 3 bits");
    png_begin(&p);
    png_chunk(&p, "IDAT", "0123456789abc", 13);
    expect_no_info(write_picture("a", &p), "PNG does not begin with its header");
    png_begin(&p);
    png_header(&p, 3, 2, 8, 0, 0);
    expect_no_info(write_file("a", p.bytes, 30), "ends at byte 30, 3 bytes too soon");
    p.bytes[20]++;
    expect_no_info(write_picture("a", &p), "PNG chunk IHDR at byte 8: checksum does not match");
    jpeg_begin(&p);
    jpeg_tables(&p);
    add(&p, "\xff\xd9\0\0", 4);
    expect_no_info(write_picture("a", &p), "JPEG has no frame header");
    jpeg_begin(&p);
    jpeg_segment(&p, 0xc0, "\10\0\10\0\10", 5);
    expect_no_info(write_picture("a", &p), "JPEG frame header is truncated");
    jpeg_begin(&p);
    jpeg_segment(&p, 0xc9, "\10\0\10\0\10\1\1\x11\0", 9);
    expect_no_info(write_picture("a", &p),
                   "arithmetic-coded JPEG (marker 0xc9) is not read; convert it to PNG");
    jpeg_begin(&p);
    jpeg_segment(&p, 0xc0, "\14\0\10\0\10\1\1\x11\0", 9);
    expect_no_info(write_picture("a", &p), "JPEG of 12 bits a sample is not read");
    jpeg_begin(&p);
    jpeg_segment(&p, 0xc0, "\10\0\10\0\10\2\1\x11\0", 9);
    expect_no_info(write_picture("a", &p), "JPEG of 2 components is not read");
    expect_no_info(write_file("a", "GIF89a", 6),
                   "is a GIF image, which is not read; convert it to PNG");
    expect_no_info(write_file("a", "", 0), "is empty");
}

Test(image_info, every_truncation_of_a_header_is_refused)
{
    picture p[3];
    jpeg_begin(&p[0]);
    jpeg_frame(&p[0], 0xc0, 5, 300, 3);
    png_begin(&p[1]);
    png_header(&p[1], 3, 2, 8, 0, 0);
    png_chunk(&p[1], "IDAT", "", 0);
    bmp_header(&p[2], (bmp_fields){54, 40, 7, -5, 1, 24, 0});
    static const size_t needs[3] = {12, 33, 54};
    for (int i = 0; i < 3; i++)
        for (size_t n = 1; n < needs[i]; n++) {
            ito_image_properties properties;
            cr_assert_eq(ito_image_info(write_file("a", p[i].bytes, n), &properties),
                         ITO_ERR_FORMAT, "%d, %zu bytes", i, n);
            ito_error_clear();
        }
}

Test(image_info, kinds_that_are_not_read_are_named)
{
    static const struct {
        const char *bytes, *name;
    } cases[] = {
        {"GIF87a..........", "GIF"},
        {"II*\0............", "TIFF"},
        {"MM\0*............", "TIFF"},
        {"\0\0\0\x1c"
         "ftypavif....",
         "AVIF"},
        {"\0\0\0\x18"
         "ftypavis....",
         "AVIF"},
        {"\0\0\0\x18"
         "ftypheic....",
         "HEIC"},
        {"\0\0\0\x18"
         "ftypmif1....",
         "HEIC"},
        {"\0\0\0\x18"
         "ftypmsf1....",
         "HEIC"},
        {"\xff\x0a..............", "JPEG XL"},
        {"\0\0\0\x0cJXL \r\n\x87\n....", "JPEG XL"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char fault[128];
        snprintf(fault, sizeof fault, "is a %s image, which is not read; convert it to PNG",
                 cases[i].name);
        const char *path = write_file("a.png", cases[i].bytes, 16);
        expect_no_info(path, fault);
        expect_refused(path, fault);
    }
    expect_no_info(write_file("a", "ftypavif", 8), "is not a PNG, JPEG, BMP or WebP image");
}

Test(image_info, what_is_no_file_is_refused)
{
    ito_image_properties p;
    cr_assert_eq(ito_image_info(NULL, &p), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "image_info: there is no path");
    cr_assert_eq(ito_image_info("a", NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "image_info: there is no place for the result");
    cr_assert_eq(ito_image_info(directory, &p), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: is a directory, not a file", directory);
}
