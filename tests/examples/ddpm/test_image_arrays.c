/* Images in NumPy's files: what their numbers stand for, which axis has the channels, and which
 * array of an archive is of images. */
#include "examples/ddpm/data.h"
#include "examples/ddpm/image_arrays.h"
#include "tests/examples/cli.h"
#include "tests/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

TestSuite(image_arrays, .init = cli_enter, .fini = cli_leave);

/* What is written to stderr goes to a file from here on, which warned() reads. */
static void listen(void)
{
    cr_assert_not_null(freopen("warnings.txt", "w", stderr));
}

static const char *warned(void)
{
    static char text[4096];
    fflush(stderr);
    slurp("warnings.txt", text, sizeof text);
    cr_assert_not_null(freopen("warnings.txt", "w", stderr));
    return text;
}

/* An array [1, 1, 2, 2] of these numbers. */
static void write_four(const char *path, ito_dtype dtype, double a, double b, double c, double d)
{
    ito_tensor *t = ito_from_data((double[]){a, b, c, d}, ITO_SHAPE(1, 1, 2, 2), ITO_F64);
    write_npy(path, ito_cast(t, dtype));
}

static void expect_four(ito_tensor *t, ito_dtype dtype, double a, double b, double c, double d)
{
    double values[4], expected[] = {a, b, c, d};
    cr_assert_not_null(t, "%s", ito_error());
    cr_assert_eq(ito_dtype_of(t), dtype);
    cr_assert_eq(ito_to_data(t, values, ITO_F64), ITO_OK);
    for (int i = 0; i < 4; i++)
        cr_expect_float_eq(values[i], expected[i], 1e-6, "%d: %g, not %g", i, values[i],
                           expected[i]);
}

Test(image_arrays, numbers_are_mapped_from_their_range)
{
    static const ito_dtype floats[] = {ITO_F16, ITO_F32, ITO_F64}, wholes[] = {ITO_I32, ITO_I64};
    listen();
    for (int i = 0; i < 3; i++) {
        write_four("x.npy", floats[i], 0, 0.25, 0.5, 1);
        expect_four(image_data_load("x.npy", "0,1"), ITO_F32, -1, -0.5, 0, 1);
        write_four("x.npy", floats[i], 0, 51, 255, 127.5);
        expect_four(image_data_load("x.npy", "0,255"), ITO_F32, -1, -0.6, 1, 0);
        write_four("x.npy", floats[i], -1, -0.25, 0.5, 1);
        expect_four(image_data_load("x.npy", NULL), ITO_F32, -1, -0.25, 0.5, 1);
        expect_four(image_data_load("x.npy", "-1,1"), ITO_F32, -1, -0.25, 0.5, 1);
    }
    for (int i = 0; i < 2; i++) {
        write_four("x.npy", wholes[i], 0, 51, 255, 7);
        expect_four(image_data_load("x.npy", "0,255"), ITO_U8, 0, 51, 255, 7);
        write_four("x.npy", wholes[i], 0, 13107, 65535, 32767.5);
        expect_four(image_data_load("x.npy", "0,65535"), ITO_F32, -1, -0.6, 1, 32767 / 32767.5 - 1);
    }
    write_four("x.npy", ITO_U8, 0, 51, 255, 7);
    expect_four(image_data_load("x.npy", NULL), ITO_U8, 0, 51, 255, 7);
    expect_four(image_data_load("x.npy", "0,255"), ITO_U8, 0, 51, 255, 7);
    write_four("x.npy", ITO_U8, 0, 1, 1, 0);
    expect_four(image_data_load("x.npy", "0,1"), ITO_F32, -1, 1, 1, -1);
    write_four("x.npy", ITO_BOOL, 0, 1, 1, 0);
    expect_four(image_data_load("x.npy", NULL), ITO_U8, 0, 255, 255, 0);
    cr_expect_str_empty(warned());
}

Test(image_arrays, a_number_beyond_its_range_by_rounding_is_clamped)
{
    write_four("x.npy", ITO_F64, 1.0000001, -1.00001, 0.5, 0);
    expect_four(image_data_load("x.npy", NULL), ITO_F32, 1, -1, 0.5, 0);
    ito_tensor *x = image_npy_load("x.npy", IN_PIXEL_RANGE);
    expect_four(x, ITO_F32, 1, -1, 0.5, 0);
    cr_expect_leq(((const float *)ito_const_data(x))[0], 1.0f);
    write_four("x.npy", ITO_F32, 255.002, -0.002, 0, 255);
    expect_four(image_data_load("x.npy", "0,255"), ITO_F32, 1, -1, -1, 1);
}

Test(image_arrays, a_range_that_is_likely_to_be_missing_is_named)
{
    listen();
    write_four("x.npy", ITO_F32, 0, 0.25, 0.5, 1);
    cr_assert_not_null(image_data_load("x.npy", NULL));
    cr_expect_str_eq(warned(), "x.npy: its numbers are from 0 to 1, and floats of images lie in "
                               "[-1, 1]: if 0 is black, give --range 0,1, else --range -1,1\n");
    write_four("x.npy", ITO_U8, 0, 1, 1, 0);
    cr_assert_not_null(image_data_load("x.npy", NULL));
    cr_expect_str_eq(warned(), "x.npy: its bytes are 0 and 1, all but black: if 1 is white, give "
                               "--range 0,1, else --range 0,255\n");
    cr_assert_not_null(image_data_load("x.npy", "0,255"));
    cr_expect_str_empty(warned());
}

Test(image_arrays, numbers_that_do_not_fit_are_refused_with_the_range_that_does)
{
    static const struct {
        ito_dtype dtype;
        double low, high;
        const char *range, *sentence;
    } cases[] = {
        {ITO_F32, 0, 255, NULL,
         "x.npy: its numbers are from 0 to 255, and floats of images lie in [-1, 1]: give --range "
         "0,255"},
        {ITO_F32, -1024, 3071, NULL,
         "x.npy: its numbers are from -1024 to 3071, and floats of images lie in [-1, 1]: give "
         "--range -1024,3071"},
        {ITO_F32, 0, 255, "0,1",
         "--range: x.npy has numbers from 0 to 255, and 0,1 does not hold them; 0,255 does"},
        {ITO_I32, 0, 255, NULL,
         "x.npy: it holds whole numbers (i32) from 0 to 255; say which are black and white: "
         "--range "
         "0,255"},
        {ITO_I64, 3, 40000, NULL,
         "x.npy: it holds whole numbers (i64) from 3 to 40000; say which are black and white: "
         "--range 0,65535"},
        {ITO_I32, 70000, 70000, NULL,
         "x.npy: it holds whole numbers (i32) from 70000 to 70000; say which are black and white: "
         "--range 70000,70001"},
        {ITO_U8, 0, 255, "0,1",
         "--range: x.npy has numbers from 0 to 255, and 0,1 does not hold them; 0,255 does"},
        {ITO_F32, 0, 1, "1,0", "--range: \"1,0\" is not LOW,HIGH, two numbers that rise, as 0,1"},
        {ITO_F32, 0, 1, "0", "--range: \"0\" is not LOW,HIGH, two numbers that rise, as 0,1"},
        {ITO_F32, 0, 1, "0,1,2",
         "--range: \"0,1,2\" is not LOW,HIGH, two numbers that rise, as 0,1"},
        {ITO_F32, 0, 1, "0,inf",
         "--range: \"0,inf\" is not LOW,HIGH, two numbers that rise, as 0,1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_four("x.npy", cases[i].dtype, cases[i].low, cases[i].high, cases[i].low,
                   cases[i].high);
        cr_expect_null(image_data_load("x.npy", cases[i].range), "%s", cases[i].sentence);
        cr_expect_str_eq(ito_error_message(), cases[i].sentence);
        ito_error_clear();
    }
    write_four("x.npy", ITO_F32, 0, 0, (double)NAN, 0);
    expect_refused(image_data_load("x.npy", "0,1"), ITO_ERR_RANGE,
                   "x.npy: element 2 is nan; images have finite numbers");
    write_four("x.npy", ITO_F16, 0, (double)INFINITY, 0, 0);
    expect_refused(image_data_load("x.npy", NULL), ITO_ERR_RANGE,
                   "x.npy: element 1 is inf; images have finite numbers");
}

Test(image_arrays, a_range_is_of_arrays_alone)
{
    write_classes();
    cr_expect_null(data_load((data_options){.spec = "folder:photos", .size = 4, .range = "0,1"}));
    cr_expect_str_eq(ito_error_message(), "--range: it is for npy:FILE, whose numbers it explains");
    ito_error_clear();
}

Test(image_arrays, the_axis_of_channels_has_at_most_four)
{
    static const struct {
        ito_shape shape, images;
    } cases[] = {
        {ITO_SHAPE(2, 3, 8, 6), ITO_SHAPE(2, 3, 8, 6)},
        {ITO_SHAPE(2, 8, 6, 3), ITO_SHAPE(2, 3, 8, 6)},
        {ITO_SHAPE(2, 8, 6, 4), ITO_SHAPE(2, 4, 8, 6)},
        {ITO_SHAPE(2, 8, 6), ITO_SHAPE(2, 1, 8, 6)},
        {ITO_SHAPE(2, 5, 8, 6), ITO_SHAPE(2, 5, 8, 6)},
        {ITO_SHAPE(2, 8, 6, 5), ITO_SHAPE(2, 8, 6, 5)},
        {ITO_SHAPE(2, 3, 4, 4), ITO_SHAPE(2, 3, 4, 4)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_npy("x.npy", ito_full(cases[i].shape, 9, ITO_U8));
        ito_tensor *x = image_data_load("x.npy", NULL);
        cr_assert_not_null(x, "%s", ito_error());
        ito_shape s = ito_shape_of(x);
        cr_expect(s.ndim == 4 && memcmp(s.dim, cases[i].images.dim, 4 * sizeof s.dim[0]) == 0,
                  "case %zu", i);
    }
    write_npy("x.npy", ito_full(ITO_SHAPE(8, 6), 9, ITO_U8));
    expect_refused(
        image_data_load("x.npy", NULL), ITO_ERR_SHAPE,
        "x.npy: it has 2 axes; images have 4, [N, C, H, W] or [N, H, W, C], or 3, [N, H, "
        "W]");
    write_npy("x.npy", ito_full(ITO_SHAPE(0, 8, 6), 9, ITO_U8));
    expect_refused(image_data_load("x.npy", NULL), ITO_ERR_SHAPE, "x.npy: it holds no images");
}

/* ---- archives ---- */

static void put(FILE *f, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        fputc((int)(value >> 8 * i & 255), f);
}

/* A member's entry: in front of its bytes, or in the directory. */
static void put_entry(FILE *f, bool local, const char *name, const char *bytes, size_t n, long at)
{
    put(f, local ? 0x04034b50 : 0x02014b50, 4);
    put(f, 20, local ? 2 : 4);
    put(f, 0, 8); /* stored */
    put(f, crc32(0, (const Bytef *)bytes, (uInt)n), 4);
    put(f, n, 4);
    put(f, n, 4);
    put(f, strlen(name) + 4, 2);
    put(f, 0, local ? 2 : 12);
    if (!local)
        put(f, (uint64_t)at, 4);
    fprintf(f, "%s.npy", name);
}

/* Arrays under these names, stored. */
static void write_npz(const char *path, int n, const char *const *names, ito_tensor *const *arrays)
{
    FILE *f = fopen(path, "wb"), *directory = tmpfile();
    cr_assert(f != NULL && directory != NULL);
    for (int i = 0; i < n; i++) {
        static char bytes[65536];
        write_npy("member.npy", arrays[i]);
        FILE *in = fopen("member.npy", "rb");
        size_t size = fread(bytes, 1, sizeof bytes, in);
        fclose(in);
        put_entry(directory, false, names[i], bytes, size, ftell(f));
        put_entry(f, true, names[i], bytes, size, 0);
        fwrite(bytes, 1, size, f);
    }
    long at = ftell(f), length = ftell(directory);
    rewind(directory);
    for (int c; (c = fgetc(directory)) != EOF;)
        fputc(c, f);
    put(f, 0x06054b50, 8);
    put(f, (uint64_t)n, 2);
    put(f, (uint64_t)n, 2);
    put(f, (uint64_t)length, 4);
    put(f, (uint64_t)at, 4);
    put(f, 0, 2);
    fclose(directory);
    cr_assert_eq(fclose(f), 0);
}

static ito_tensor *images_of(double value)
{
    return ito_full(ITO_SHAPE(4, 8, 8), value, ITO_U8);
}

static void has(const char *place, double value)
{
    ito_tensor *x = image_data_load(place, NULL);
    cr_assert_not_null(x, "%s", ito_error());
    cr_expect_eq(((const uint8_t *)ito_const_data(x))[5], value, "%s", place);
}

Test(image_arrays, the_images_of_an_archive_are_found_by_their_name)
{
    static const char *const usual[] = {"y_train", "x_test", "y_test", "x_train"};
    ito_tensor *arrays[] = {ito_zeros(ITO_SHAPE(4), ITO_U8), images_of(20),
                            ito_zeros(ITO_SHAPE(4), ITO_U8), images_of(30)};
    write_npz("keras.npz", 4, usual, arrays);
    has("keras.npz", 30);
    has("keras.npz#x_test", 20);
    write_npz("one.npz", 1, (const char *const[]){"any"}, &arrays[1]);
    has("one.npz", 20);
    write_npy("a#b.npy", images_of(40));
    has("a#b.npy", 40);
    write_npz("two.npz", 2, (const char *const[]){"left", "right"},
              (ito_tensor *[]){images_of(1), images_of(2)});
    expect_refused(image_data_load("two.npz", NULL), ITO_ERR_ARGUMENT,
                   "two.npz: it holds the arrays left, right; say which one is of images: "
                   "npy:two.npz#left");
    has("two.npz#right", 2);
    expect_refused(image_data_load("two.npz#up", NULL), ITO_ERR_ARGUMENT,
                   "two.npz: holds no array up");
    expect_refused(image_data_load("no.npz#up", NULL), ITO_ERR_IO,
                   "no.npz: cannot open: No such file or directory");
    write_npz("none.npz", 0, NULL, NULL);
    expect_refused(image_data_load("none.npz", NULL), ITO_ERR_FORMAT,
                   "none.npz: it holds no arrays");
}

Test(image_arrays, labels_of_an_archive_are_classes)
{
    static const char *const names[] = {"images", "labels"};
    ito_tensor *labels = ito_from_data((int64_t[]){30, 7, 7, -2}, ITO_SHAPE(4), ITO_I64);
    ito_tensor *all[] = {images_of(50), ito_reshape(labels, 4, 1)}, *got;
    cJSON *classes;
    write_npz("x.npz", 2, names, all);
    cr_expect(data_has_classes("npy:x.npz") && !data_has_classes("npy:data.npy"));
    ito_tensor *x = data_load_classes((data_options){.spec = "npy:x.npz"}, &got, &classes);
    cr_assert_not_null(x, "%s", ito_error());
    cr_expect_eq(memcmp(ito_const_data(got), (int64_t[]){2, 1, 1, 0}, 32), 0);
    cr_expect_eq(cJSON_GetArraySize(classes), 3);
    cr_expect_str_eq(cJSON_GetArrayItem(classes, 0)->valuestring, "-2");
    cr_expect_str_eq(cJSON_GetArrayItem(classes, 2)->valuestring, "30");
    cJSON_Delete(classes);

    all[1] = ito_zeros(ITO_SHAPE(4, 3), ITO_U8);
    write_npz("x.npz", 2, names, all);
    expect_refused(data_load_classes((data_options){.spec = "npy:x.npz"}, &got, &classes),
                   ITO_ERR_SHAPE,
                   "x.npz: its labels are [4, 3] of u8; a whole number for each of the 4 images is "
                   "needed");
    all[1] = ito_zeros(ITO_SHAPE(4), ITO_F32);
    write_npz("x.npz", 2, names, all);
    expect_refused(data_load_classes((data_options){.spec = "npy:x.npz"}, &got, &classes),
                   ITO_ERR_SHAPE,
                   "x.npz: its labels are [4] of f32; a whole number for each of the 4 images is "
                   "needed");
    write_npz("x.npz", 1, names, all);
    expect_refused(data_load_classes((data_options){.spec = "npy:x.npz"}, &got, &classes),
                   ITO_ERR_ARGUMENT,
                   "x.npz: no labels go with its images; an .npz of images and labels has them");
}
