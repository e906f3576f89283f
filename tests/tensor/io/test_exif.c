/* The orientation that a camera notes: where it is found, and what is damaged and therefore
 * ignored. That each of the eight turns a picture as it should is compared in
 * test_image_reference.c. */
#include "pictures.h"

TestSuite(exif, .init = make_directory, .fini = remove_directory);

#define HEAD "II*\0\10\0\0\0"
#define ENTRY "\x12\1\3\0\1\0\0\0" /* the tag, a short, one of them */
#define TURNED HEAD "\1\0" ENTRY "\6\0\0\0"
enum { HEAD_SIZE = 8, SIZE = HEAD_SIZE + 2 + 12 };

/* A picture of 2 x 1 and its orientation; of 6 it stands upright, its first pixel above. */
static const char *write_with(const char *exif, size_t n)
{
    picture p;
    png_begin(&p);
    png_header(&p, 2, 1, 8, 0, 0);
    png_chunk(&p, "eXIf", exif, n);
    png_data(&p, "\0\1\2", 3, 1000);
    png_chunk(&p, "IEND", "", 0);
    return write_picture("a", &p);
}

static void expect_turned(const char *path, bool turned)
{
    ito_image_properties p;
    cr_assert_eq(ito_image_info(path, &p), ITO_OK, "%s", ito_error_message());
    cr_assert_eq(p.orientation, turned ? 6 : 1, "%d", p.orientation);
    cr_assert_eq(p.height, turned ? 2 : 1);
    expect_tensor(ito_image_load(path, 1), "\1\2", turned ? ITO_SHAPE(1, 2, 1) : ITO_SHAPE(1, 1, 2),
                  ITO_U8);
    ito_scope_clear();
}

Test(exif, a_directory_may_lie_anywhere_and_have_other_entries)
{
    expect_turned(write_with(TURNED, SIZE), true);
    expect_turned(write_with("MM\0*\0\0\0\x0b...\0\2"
                             "\1\0\0\3\0\0\0\1\0\2\0\0"
                             "\1\x12\0\3\0\0\0\1\0\6\0\0",
                             HEAD_SIZE + 3 + 2 + 24),
                  true);
}

Test(exif, what_is_damaged_is_ignored)
{
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"", 0},
        {"II", 2},
        {"IM*\0\10\0\0\0\1\0" ENTRY "\6\0\0\0", SIZE},        /* no byte order */
        {"II+\0\10\0\0\0\1\0" ENTRY "\6\0\0\0", SIZE},        /* BigTIFF */
        {"II*\0\xff\xff\xff\xff\1\0" ENTRY "\6\0\0\0", SIZE}, /* a directory beyond the end */
        {"II*\0\x15\0\0\0\1\0" ENTRY "\6\0\0\0", SIZE},       /* of which one byte is there */
        {HEAD "\0\0" ENTRY "\6\0\0\0", SIZE},                 /* no entries */
        {HEAD "\1\0" ENTRY "\6\0\0\0", SIZE - 1},             /* not a whole one */
        {HEAD "\1\0" ENTRY "\0\0\0\0", SIZE},                 /* values that mean nothing */
        {HEAD "\1\0" ENTRY "\x9\0\0\0", SIZE},
        {HEAD "\1\0\x12\1\5\0\1\0\0\0\6\0\0\0", SIZE},               /* a ratio */
        {HEAD "\1\0\x12\1\3\0\2\0\0\0\6\0\0\0", SIZE},               /* two of them */
        {HEAD "\2\0" ENTRY "\x9\0\0\0" ENTRY "\6\0\0\0", SIZE + 12}, /* the first counts */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_turned(write_with(cases[i].bytes, cases[i].n), false);
    expect_turned(write_with(HEAD "\xff\xff" ENTRY "\6\0\0\0", SIZE), true); /* too many said */
}

Test(exif, a_chunk_of_png_counts_if_it_is_whole_and_the_first)
{
    picture begin, p;
    png_begin(&begin);
    png_header(&begin, 2, 1, 8, 0, 0);
    p = begin;
    png_chunk(&p, "eXIf", TURNED, SIZE);
    p.bytes[p.n - 1] ^= 1;
    png_data(&p, "\0\1\2", 3, 1000);
    picture q = p;
    png_chunk(&p, "IEND", "", 0);
    expect_turned(write_picture("a", &p), false);
    png_chunk(&q, "eXIf", TURNED, SIZE);
    png_chunk(&q, "eXIf", HEAD "\1\0" ENTRY "\3\0\0\0", SIZE);
    png_chunk(&q, "IEND", "", 0);
    expect_turned(write_picture("a", &q), true);
    p = begin;
    png_data(&p, "\0\1\2", 3, 1000);
    png_chunk(&p, "IEND", "", 0);
    png_chunk(&p, "eXIf", TURNED, SIZE); /* behind the end */
    expect_turned(write_picture("a", &p), false);
}

/* A chunk larger than a segment of JPEG can be holds no orientation. */
Test(exif, a_large_chunk_is_ignored)
{
    static char large[65536 - 12 + 1] = TURNED;
    expect_turned(write_with(large, sizeof large - 1), true);
    expect_turned(write_with(large, sizeof large), false);
}

/* One block, lying: of 16 x 8 pixels. */
static void jpeg_with(picture *p, const char *before, size_t n, const char *second, size_t m)
{
    jpeg_begin(p);
    if (n > 0)
        jpeg_segment(p, 0xe1, before, n);
    if (m > 0)
        jpeg_segment(p, 0xe1, second, m);
    jpeg_tables(p);
    jpeg_frame(p, 0xc0, 8, 16, 1);
    jpeg_segment(p, 0xda, "\1\1\0\0\77\0", 6);
    add(p, "\x7a\x7f", 2); /* 0 1111 0 10 0 1111111: another block like it */
    add(p, "\xff\xd9", 2);
}

static void expect_upright(const picture *p, bool turned)
{
    const char *path = write_picture("a", p);
    const ito_tensor *t = ito_image_load(path, 1);
    cr_assert_not_null(t, "%s", ito_error_message());
    cr_assert_eq(t->shape[1], turned ? 16 : 8);
    ito_image_properties properties;
    cr_assert_eq(ito_image_info(path, &properties), ITO_OK);
    cr_assert_eq(properties.height, turned ? 16 : 8);
    cr_assert_eq(properties.width, turned ? 8 : 16);
    ito_scope_clear();
}

Test(exif, a_segment_of_jpeg_counts_if_it_is_the_first_of_its_name)
{
    static const char exif[] = "Exif\0\0" TURNED, other[] = "http://ns.adobe.com/xap/1.0/";
    static const char upright[] = "Exif\0\0" HEAD "\1\0" ENTRY "\1\0\0\0";
    picture p;
    jpeg_with(&p, exif, 6 + SIZE, "", 0);
    expect_upright(&p, true);
    jpeg_with(&p, other, sizeof other, exif, 6 + SIZE);
    expect_upright(&p, true);
    jpeg_with(&p, upright, 6 + SIZE, exif, 6 + SIZE);
    expect_upright(&p, false);
    jpeg_with(&p, "Exif\0", 5, "", 0);
    expect_upright(&p, false);
    jpeg_with(&p, "Exif\0x" TURNED, 6 + SIZE, "", 0);
    expect_upright(&p, false);
}
