/* Images of any kind: BMP files against hand-made bytes, what is written against what is read back,
 * grids against their definition. The suite goes on in test_png.c and test_jpeg.c. */
#include "pictures.h"

#include <math.h>

TestSuite(image, .init = make_directory, .fini = remove_directory);

/* ---- BMP ---------------------------------------------------------------------------------------
 */

Test(image, bmp_of_24_and_32_bits_is_read)
{
    picture p; /* blue, green, red; the lowest row first; rows padded to four bytes */
    bmp_header(&p, (bmp_fields){54, 40, 1, 2, 1, 24, 0});
    add(&p, "\1\2\3\0\4\5\6\0", 8);
    expect_tensor(ito_image_load(write_picture("a.bmp", &p), 3), "\6\3\5\2\4\1", ITO_SHAPE(3, 2, 1),
                  ITO_U8);
    bmp_header(&p, (bmp_fields){54, 40, 1, -2, 1, 32, 0});
    add(&p, "\1\2\3\0\4\5\6\0", 8);
    expect_tensor(ito_image_load(write_picture("a.bmp", &p), 3), "\3\6\2\5\1\4", ITO_SHAPE(3, 2, 1),
                  ITO_U8);
}

Test(image, bmp_with_a_palette_is_read)
{
    picture p;
    bmp_header(&p, (bmp_fields){62, 40, 2, 1, 1, 8, 0});
    add(&p, "\1\2\3\0\4\5\6\0\1\0\0\0", 12);
    expect_tensor(ito_image_load(write_picture("a.bmp", &p), 3), "\6\3\5\2\4\1", ITO_SHAPE(3, 1, 2),
                  ITO_U8);
    ito_scope_clear();
    p.bytes[62] = 2;
    expect_refused(write_picture("a.bmp", &p), "BMP pixel 2 has none of the 2 colours");
}

Test(image, bad_bmp_headers_are_refused)
{
    static const struct {
        bmp_fields fields;
        const char *fault;
    } cases[] = {
        {{54, 16, 1, 1, 1, 24, 0}, "BMP header of 16 bytes is not read"},
        {{54, -1, 1, 1, 1, 24, 0}, "BMP header of 4294967295 bytes is not read"},
        {{54, 40, 1, 1, 2, 24, 0}, "BMP of 24 bits, compression 0, is not read; convert it to PNG"},
        {{54, 40, 1, 1, 1, 2, 0}, "BMP of 2 bits, compression 0, is not read; convert it to PNG"},
        {{54, 40, 1, 1, 1, 4, 1}, "BMP of 4 bits, compression 1, is not read; convert it to PNG"},
        {{54, 40, 1, 1, 1, 8, 2}, "BMP of 8 bits, compression 2, is not read; convert it to PNG"},
        {{54, 40, 1, 1, 1, 8, 3}, "BMP of 8 bits, compression 3, is not read; convert it to PNG"},
        {{54, 64, 1, 1, 1, 16, 3}, "BMP of 16 bits, compression 3, is not read; convert it to PNG"},
        {{54, 40, 1, 1, 1, 24, 4}, "BMP of 24 bits, compression 4, is not read; convert it to PNG"},
        {{54, 40, 1, 1, 1, 16, 3}, "BMP file is truncated"},
        {{54, 40, -1, 1, 1, 24, 0},
         "image of -1 x 1 pixels: at most 16384 a side and 67108864 in all are read"},
        {{54, 40, 1, INT32_MIN, 1, 24, 0},
         "image of 1 x 2147483648 pixels: at most 16384 a side and 67108864 in all are read"},
        {{54, 40, 2, 1, 1, 24, 0},
         "BMP file of 58 bytes does not hold its 2 x 1 pixels from byte 54 on"},
        {{53, 40, 1, 1, 1, 24, 0},
         "BMP file of 58 bytes does not hold its 1 x 1 pixels from byte 53 on"},
        {{59, 40, 1, 1, 1, 24, 0},
         "BMP file of 58 bytes does not hold its 1 x 1 pixels from byte 59 on"},
        {{-9, 40, 1, 1, 1, 24, 0},
         "BMP file of 58 bytes does not hold its 1 x 1 pixels from byte 4294967287 on"},
        {{54, 40, 1, 1, 1, 8, 0}, "BMP palette of 0 colours"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        picture p;
        bmp_header(&p, cases[i].fields);
        add(&p, "\0\0\0\0", 4);
        expect_refused(write_picture("a", &p), cases[i].fault);
    }
    picture p;
    bmp_header(&p, (bmp_fields){58, 40, 1, 1, 1, 24, 0});
    expect_refused(write_file("a", p.bytes, 53), "BMP file is truncated");
    expect_refused(write_file("a", p.bytes, 25), "BMP file is truncated");
}

/* Red, green, blue, and what is said of the first that is no run of bits. */
Test(image, bad_bmp_masks_are_refused)
{
    static const struct {
        int bits;
        uint32_t mask[3];
        const char *fault;
    } cases[] = {
        {16, {0x1f0000, 0x7e0, 0x1f}, "BMP mask 0x001f0000 is not a run of a pixel's 16 bits"},
        {16, {0xf800, 0, 0x1f}, "BMP mask 0x00000000 is not a run of a pixel's 16 bits"},
        {32, {0xff0000, 0xff00, 0xf7}, "BMP mask 0x000000f7 is not a run of a pixel's 32 bits"},
        {24,
         {0xff0000, 0xff00, 0xff000000},
         "BMP mask 0xff000000 is not a run of a pixel's 24 bits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        picture p;
        bmp_header(&p, (bmp_fields){66, 40, 1, 1, 1, cases[i].bits, 3});
        for (int k = 0; k < 3; k++)
            add_little(&p, cases[i].mask[k], 4);
        add(&p, "\0\0\0\0\0\0\0\0", 8);
        expect_refused(write_picture("a", &p), cases[i].fault);
    }
}

/* Masks of 10 bits, as screens have them, and of all 32: scaled to 8. */
Test(image, bmp_masks_of_many_bits_are_read)
{
    picture p;
    bmp_header(&p, (bmp_fields){66, 40, 2, 1, 1, 32, 3});
    for (int k = 2; k >= 0; k--)
        add_little(&p, 0x3ffu << (10 * k), 4);
    add_little(&p, 1023u << 20 | 512u << 10 | 3, 4);
    add_little(&p, 1022u << 20 | 0u << 10 | 5, 4);
    expect_tensor(ito_image_load(write_picture("a", &p), 3), "\xff\xfe\x7f\0\0\1",
                  ITO_SHAPE(3, 1, 2), ITO_U8);
    for (size_t at = 54; at < 66; at++)
        p.bytes[at] = 0xff;
    memcpy(p.bytes + 66, "\xff\xff\xff\xff\0\0\0\x80", 8);
    expect_tensor(ito_image_load(write_picture("a", &p), 1), "\xff\x7f", ITO_SHAPE(1, 1, 2),
                  ITO_U8);
}

/* Runs that end too soon, and those of more pixels than bytes can be. */
Test(image, bad_bmp_runs_are_refused)
{
    static const char *const runs[] = {"\2\1", "\0\4\1\1", "\0\2\1", "\1\1\0"};
    static const size_t size[] = {2, 4, 3, 3};
    picture p;
    for (int i = 0; i < 4; i++) {
        bmp_header(&p, (bmp_fields){62, 40, 3, 2, 1, 8, 1});
        add(&p, "\1\2\3\0\4\5\6\0", 8);
        add(&p, runs[i], size[i]);
        expect_refused(write_picture("a", &p), "BMP run lengths end before the picture");
    }
    bmp_header(&p, (bmp_fields){62, 40, 16384, 4096, 1, 8, 1});
    add(&p, "\1\2\3\0\4\5\6\0\0\1", 10);
    ito_memory_limit(1 << 20);
    expect_refused(write_picture("a", &p),
                   "BMP file of 64 bytes does not hold its 16384 x 4096 pixels from byte 62 on");
}

/* What is drawn beyond a row or the picture is dropped, and an empty row is one. */
Test(image, bmp_runs_beyond_the_picture_are_dropped)
{
    picture p;
    bmp_header(&p, (bmp_fields){62, 40, 2, 3, 1, 8, 1});
    add(&p, "\7\7\7\0\x8\x8\x8\0\xff\1\0\3\1\1\1\0\0\0\0\0\1\1\1\0\0\2\1\xff\2\1\0\1", 32);
    expect_tensor(ito_image_load(write_picture("a", &p), 1), "\x8\7\7\7\x8\x8", ITO_SHAPE(1, 3, 2),
                  ITO_U8);
}

Test(image, what_is_no_image_is_refused)
{
    expect_refused(write_file("a.png", "text", 4), "is not a PNG, JPEG, BMP or WebP image");
    expect_refused(write_file("a.png", "\x89PNG\r\n\x1a\n", 8), "PNG file is truncated");
    expect_refused(write_file("a.png", "", 0), "is empty");
    cr_assert_null(ito_image_load(directory, 3));
    expect_error(ITO_ERR_IO, "%s: is a directory, not a file", directory);
    cr_assert_null(ito_image_load("x", 2));
    expect_error(ITO_ERR_ARGUMENT, "image_load: 2 channels; there can be 1 or 3");
}

/* ---- writing -----------------------------------------------------------------------------------
 */

Test(image, what_is_written_as_png_is_read_back)
{
    enum { H = 37, W = 53 };
    unsigned char bytes[3 * H * W];
    uint32_t state = 1;
    for (int i = 0; i < 3 * H * W; i++)
        bytes[i] = (unsigned char)((state = state * 1664525 + 1013904223) >> 24);
    const char *path = in_directory("a.png");
    ito_tensor *t = tensor_of(bytes, ITO_SHAPE(3, H, W), ITO_U8);
    cr_assert_eq(ito_png_save(path, t), ITO_OK, "%s", ito_error_message());
    expect_tensor(ito_image_load(path, 3), bytes, ITO_SHAPE(3, H, W), ITO_U8);
    cr_assert_eq(ito_png_save(path, transposed_view(t)), ITO_OK);
    ito_tensor *turned = ito_image_load(path, 3);
    cr_assert_eq(((unsigned char *)tensor_data(turned))[5 * H + 7], bytes[7 * W + 5]);
    cr_assert_eq(ito_png_save(path, tensor_of(bytes, ITO_SHAPE(H, W), ITO_U8)), ITO_OK);
    expect_tensor(ito_image_load(path, 1), bytes, ITO_SHAPE(1, H, W), ITO_U8);
    cr_assert_eq(ito_png_save(path, tensor_of(bytes, ITO_SHAPE(1, 1, 1), ITO_U8)), ITO_OK);
    expect_tensor(ito_image_load(path, 1), bytes, ITO_SHAPE(1, 1, 1), ITO_U8);
}

Test(image, what_is_no_picture_is_not_written)
{
    const char *path = in_directory("a.png");
    static const float zeros[64];
    cr_assert_eq(ito_png_save(path, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "png_save: there is no image");
    cr_assert_eq(ito_png_save(path, tensor_of(zeros, ITO_SHAPE(2, 2), ITO_F32)), ITO_ERR_DTYPE);
    expect_error(ITO_ERR_DTYPE, "png_save: f32 is not u8");
    cr_assert_eq(ito_png_save(path, tensor_of(zeros, ITO_SHAPE(2, 2, 2), ITO_U8)), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "png_save: shape [2, 2, 2] is not [H, W], [1, H, W] or [3, H, W]");
    cr_assert_eq(ito_png_save(path, tensor_of(zeros, ITO_SHAPE(4), ITO_U8)), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "png_save: shape [4] is not [H, W], [1, H, W] or [3, H, W]");
    cr_assert_eq(ito_png_save(path, tensor_of(zeros, ITO_SHAPE(3, 0, 2), ITO_U8)), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE,
                 "png_save: 2 x 0 pixels: at most 16384 a side and 67108864 in all are "
                 "written");
    cr_assert_eq(count_entries(directory), 2);
}

/* ---- APNG: a file of our own making, taken apart. */

static uint32_t big(const unsigned char *p, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | p[i];
    return value;
}

/* The next chunk of the file at *at, which moves behind it; its checksum is compared. */
static const unsigned char *next_chunk(const unsigned char *file, size_t *at, const char *type,
                                       size_t *length)
{
    const unsigned char *chunk = file + *at;
    *length = big(chunk, 4);
    cr_assert_eq(memcmp(chunk + 4, type, 4), 0, "%.4s is not %s", chunk + 4, type);
    cr_assert_eq(crc32(0, chunk + 4, (uInt)*length + 4), big(chunk + 8 + *length, 4));
    *at += *length + 12;
    return chunk + 8;
}

Test(image, an_animation_holds_its_frames_and_shows_the_last_one)
{
    enum { F = 3, C = 3, H = 5, W = 7 };
    unsigned char bytes[F * C * H * W], file[8192];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * i + i / 3);
    const char *path = in_directory("a.png");
    ito_tensor *frames = tensor_of(bytes, ITO_SHAPE(F, C, H, W), ITO_U8);
    cr_assert_eq(ito_apng_save(path, frames, 40, 2000), ITO_OK, "%s", ito_error_message());
    expect_tensor(ito_image_load(path, 3), bytes + 2 * C * H * W, ITO_SHAPE(C, H, W), ITO_U8);

    FILE *f = fopen(path, "rb");
    size_t size = fread(file, 1, sizeof file, f), at = 8, n;
    fclose(f);
    const unsigned char *header = next_chunk(file, &at, "IHDR", &n);
    const unsigned char *control = next_chunk(file, &at, "acTL", &n);
    cr_assert(n == 8 && big(control, 4) == F && big(control + 4, 4) == 0);
    next_chunk(file, &at, "IDAT", &n);
    for (uint32_t i = 0; i < F; i++) {
        control = next_chunk(file, &at, "fcTL", &n);
        cr_assert(n == 26 && big(control, 4) == 2 * i);
        cr_assert(big(control + 4, 4) == W && big(control + 8, 4) == H);
        cr_assert(big(control + 12, 4) == 0 && big(control + 16, 4) == 0);
        cr_assert(big(control + 20, 2) == (i < 2 ? 40 : 2000) && big(control + 22, 2) == 1000);
        cr_assert_eq(big(control + 24, 2), 0);
        const unsigned char *data = next_chunk(file, &at, "fdAT", &n);
        cr_assert_eq(big(data, 4), 2 * i + 1);
        picture p;
        png_begin(&p);
        png_chunk(&p, "IHDR", header, 13);
        png_chunk(&p, "IDAT", data + 4, n - 4);
        png_chunk(&p, "IEND", "", 0);
        expect_tensor(ito_image_load(write_picture("frame.png", &p), 3), bytes + i * C * H * W,
                      ITO_SHAPE(C, H, W), ITO_U8);
    }
    next_chunk(file, &at, "IEND", &n);
    cr_assert_eq(at, size);
}

Test(image, what_is_no_animation_is_not_written)
{
    const char *path = in_directory("a.png");
    static const float zeros[64];
    ito_tensor *one = tensor_of(zeros, ITO_SHAPE(1, 1, 2, 2), ITO_U8);
    cr_assert_eq(ito_apng_save(path, NULL, 1, 1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "apng_save: there are no frames");
    cr_assert_eq(ito_apng_save(path, tensor_of(zeros, ITO_SHAPE(1, 1, 2, 2), ITO_F32), 1, 1),
                 ITO_ERR_DTYPE);
    expect_error(ITO_ERR_DTYPE, "apng_save: f32 is not u8");
    cr_assert_eq(ito_apng_save(path, tensor_of(zeros, ITO_SHAPE(3, 2, 2), ITO_U8), 1, 1),
                 ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "apng_save: shape [3, 2, 2] is not [1 to 100000, 1 or 3, H, W]");
    cr_assert_eq(ito_apng_save(path, tensor_of(zeros, ITO_SHAPE(0, 1, 2, 2), ITO_U8), 1, 1),
                 ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "apng_save: shape [0, 1, 2, 2] is not [1 to 100000, 1 or 3, H, W]");
    cr_assert_eq(ito_apng_save(path, tensor_of(zeros, ITO_SHAPE(1, 3, 0, 2), ITO_U8), 1, 1),
                 ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "apng_save: 2 x 0 pixels: at most 16384 a side and 67108864 in all "
                                "are written");
    cr_assert_eq(ito_apng_save(path, one, 65536, 1), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "apng_save: frames of 65536 ms, the last of 1 ms; they can last 0 "
                                "to 65535");
    cr_assert_eq(ito_apng_save("nowhere/a.png", one, 1, 1), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "nowhere/a.png: cannot create: No such file or directory");
    cr_assert_eq(count_entries(directory), 2);
}

Test(image, a_full_disk_leaves_the_old_picture)
{
    const char *path = in_directory("a.png");
    unsigned char noise[3 * 32 * 32];
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)((state = state * 1664525 + 1013904223) >> 24);
    cr_assert_eq(ito_png_save(path, tensor_of("\7", ITO_SHAPE(1, 1), ITO_U8)), ITO_OK);
    limit_file_size(1000);
    cr_assert_eq(ito_png_save(path, tensor_of(noise, ITO_SHAPE(3, 32, 32), ITO_U8)), ITO_ERR_IO);
    limit_file_size(RLIM_INFINITY);
    expect_error(ITO_ERR_IO, "%s: cannot write: File too large", path);
    expect_tensor(ito_image_load(path, 1), "\7", ITO_SHAPE(1, 1, 1), ITO_U8);
    cr_assert_eq(count_entries(directory), 3);
}

/* ---- grids -------------------------------------------------------------------------------------
 */

Test(image, a_grid_lays_images_out_in_rows)
{
    const unsigned char bytes[6] = {1, 2, 3, 4, 5, 6}; /* three images of 1 x 2 */
    ito_tensor *t = tensor_of(bytes, ITO_SHAPE(3, 1, 1, 2), ITO_U8);
    static const unsigned char padded[5 * 7] = {
        0, 0, 0, 0, 0, 0, 0, //
        0, 1, 2, 0, 3, 4, 0, //
        0, 0, 0, 0, 0, 0, 0, //
        0, 5, 6, 0, 0, 0, 0, //
        0, 0, 0, 0, 0, 0, 0,
    };
    expect_tensor(ito_image_grid(t, 2, 1), padded, ITO_SHAPE(1, 5, 7), ITO_U8);
    expect_tensor(ito_image_grid(t, 9, 0), bytes, ITO_SHAPE(1, 1, 6), ITO_U8);
    expect_tensor(ito_image_grid(t, 1, 0), bytes, ITO_SHAPE(1, 3, 2), ITO_U8);
    ito_tensor *colour = tensor_of(bytes, ITO_SHAPE(2, 3, 1, 1), ITO_U8);
    expect_tensor(ito_image_grid(colour, 2, 0), "\1\4\2\5\3\6", ITO_SHAPE(3, 1, 2), ITO_U8);
    expect_tensor(ito_image_grid(transposed_view(t), 3, 0), "\1\3\5\2\4\6", ITO_SHAPE(1, 2, 3),
                  ITO_U8);
}

Test(image, floating_point_images_are_mapped_and_clamped)
{
    const double x[8] = {-1, 1, 0, -1e300, 1e300, -0.75, 0.5, -0.5};
    const unsigned char levels[8] = {0, 255, 128, 0, 255, 32, 191, 64};
    ito_tensor *t = tensor_of(x, ITO_SHAPE(1, 1, 2, 4), ITO_F64);
    expect_tensor(ito_image_grid(t, 1, 0), levels, ITO_SHAPE(1, 2, 4), ITO_U8);
    const float y[2] = {-1, 0.25f}; /* 1.25 * 127.5 = 159.375 */
    expect_tensor(ito_image_grid(tensor_of(y, ITO_SHAPE(1, 1, 1, 2), ITO_F32), 1, 0), "\0\x9f",
                  ITO_SHAPE(1, 1, 2), ITO_U8);
    const uint16_t half[2] = {0xbf80, 0x3f80}; /* bf16 -1 and 1 */
    expect_tensor(ito_image_grid(tensor_of(half, ITO_SHAPE(1, 1, 1, 2), ITO_BF16), 1, 0), "\0\xff",
                  ITO_SHAPE(1, 1, 2), ITO_U8);
}

Test(image, grids_of_anything_else_are_refused)
{
    static const float x[4] = {0, 0, NAN, 0};
    static const double y[2] = {0, -HUGE_VAL};
    ito_tensor *t = tensor_of(x, ITO_SHAPE(2, 1, 1, 2), ITO_F32);
    cr_assert_null(ito_image_grid(t, 2, 0));
    cr_assert_eq(strncmp(ito_error_message(), "image_grid: image 1 holds", 25), 0);
    cr_assert_eq(ito_error_code(), ITO_ERR_NUMERIC);
    ito_error_clear();
    cr_assert_null(ito_image_grid(tensor_of(y, ITO_SHAPE(1, 1, 1, 2), ITO_F64), 1, 0));
    expect_error(ITO_ERR_NUMERIC, "image_grid: image 0 holds -inf");
    cr_assert_null(ito_image_grid(t, 0, 0));
    expect_error(ITO_ERR_ARGUMENT, "image_grid: 0 columns and padding of 0 pixels");
    cr_assert_null(ito_image_grid(t, 1, -1));
    expect_error(ITO_ERR_ARGUMENT, "image_grid: 1 columns and padding of -1 pixels");
    cr_assert_null(ito_image_grid(t, 1, INT64_MAX / 2));
    expect_error(ITO_ERR_SHAPE, "image_grid: padding of 4611686018427387903 pixels is too much");
    cr_assert_null(ito_image_grid(tensor_of(x, ITO_SHAPE(1, 2, 1, 2), ITO_F32), 1, 0));
    expect_error(ITO_ERR_SHAPE,
                 "image_grid: shape [1, 2, 1, 2] is not [N, C, H, W] with N > 0 and C 1 or 3");
    cr_assert_null(ito_image_grid(tensor_of(x, ITO_SHAPE(0, 1, 1, 2), ITO_F32), 1, 0));
    expect_error(ITO_ERR_SHAPE,
                 "image_grid: shape [0, 1, 1, 2] is not [N, C, H, W] with N > 0 and C 1 or 3");
    cr_assert_null(ito_image_grid(tensor_of(x, ITO_SHAPE(1, 1, 1, 2), ITO_I32), 1, 0));
    expect_error(ITO_ERR_DTYPE, "image_grid: i32 is neither u8 nor floating point");
    cr_assert_null(ito_image_grid(NULL, 1, 0));
    cr_assert_eq(ito_error_code(), ITO_OK);
}

/* ---- memory ------------------------------------------------------------------------------------
 */

static bool load_png(void *path)
{
    return ito_image_load(path, 3) != NULL;
}

static bool load_jpeg(void *path)
{
    return ito_image_load(path, 1) != NULL;
}

static bool grid_and_save(void *path)
{
    ito_tensor *t = tensor_empty(ITO_SHAPE(2, 3, 4, 4), ITO_F32);
    if (t == NULL)
        return false;
    memset(tensor_data(t), 0, 96 * sizeof(float));
    ito_tensor *grid = ito_image_grid(t, 2, 1);
    return grid != NULL && ito_png_save(path, grid) == ITO_OK;
}

Test(image, every_failing_allocation_is_an_error)
{
    char path[PATH_MAX + 512];
    picture p;
    snprintf(path, sizeof path, "%s", write_png(2, 1, 8, 3, "\0\1\0", 3));
    expect_clean_failures(load_png, path);
    jpeg_begin(&p);
    jpeg_tables(&p);
    jpeg_frame(&p, 0xc2, 8, 8, 1);
    jpeg_segment(&p, 0xda, "\1\1\0\0\0\0", 6);
    add(&p, "\x7f\xff\xd9", 3);
    snprintf(path, sizeof path, "%s", write_picture("a.jpg", &p));
    expect_clean_failures(load_jpeg, path);
    snprintf(path, sizeof path, "%s", in_directory("b.png"));
    expect_clean_failures(grid_and_save, path);
}
