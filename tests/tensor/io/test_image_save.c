/* Pictures by the ending of their names: PNG to the bit, JPEG within its quantisers. */
#include "pictures.h"

#include <math.h>

enum { H = 37, W = 53 };

/* Soft waves of colour, [3, H, W]. */
static ito_tensor *waves(void)
{
    unsigned char bytes[3 * H * W];
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                bytes[(c * H + y) * W + x] =
                    (unsigned char)lrint(127.5 + 100 * sin(0.11 * x + c) * cos(0.07 * y));
    return tensor_of(bytes, ITO_SHAPE(3, H, W), ITO_U8);
}

static int64_t size_of(const char *path)
{
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    fseek(f, 0, SEEK_END);
    int64_t size = ftell(f);
    fclose(f);
    return size;
}

/* The largest difference between the picture at path and the image. */
static int largest_error(const char *path, ito_tensor *image)
{
    ito_tensor *got = ito_image_load(path, (int)ito_size(image, 0));
    cr_assert_not_null(got, "%s", ito_error_message());
    cr_assert_eq(ito_numel(got), ito_numel(image));
    const unsigned char *a = tensor_data(got), *b = tensor_data(image);
    int largest = 0;
    for (int64_t i = 0; i < ito_numel(image); i++)
        largest = abs(a[i] - b[i]) > largest ? abs(a[i] - b[i]) : largest;
    return largest;
}

static void begins_with(const char *path, const char *bytes, size_t n)
{
    char head[8];
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    cr_assert_eq(fread(head, 1, n, f), n);
    fclose(f);
    cr_assert_eq(memcmp(head, bytes, n), 0, "%s", path);
}

Test(image, a_picture_is_what_its_name_ends_in)
{
    ito_tensor *image = waves();
    const char *const png[] = {"a.png", "A.PNG", ".png"}, *const jpeg[] = {"a.jpg", "a.JPEG"};
    for (int i = 0; i < 3; i++) {
        const char *path = in_directory(png[i]);
        cr_assert(ito_image_can_save(path));
        cr_assert_eq(ito_image_save(path, image), ITO_OK, "%s", ito_error_message());
        begins_with(path, "\x89PNG", 4);
        cr_expect_eq(largest_error(path, image), 0);
    }
    for (int i = 0; i < 2; i++) {
        const char *path = in_directory(jpeg[i]);
        cr_assert(ito_image_can_save(path));
        cr_assert_eq(ito_image_save(path, image), ITO_OK, "%s", ito_error_message());
        begins_with(path, "\xff\xd8\xff", 3);
    }
}

/* With quality 100 all quantisers are 1. Each of 64 coefficients is off by up to 1/2, so a block by
 * up to 4 in its norm, and a pixel at the very most by that; rounding to bytes adds 1/2. Colour is
 * three such planes: red is Y + 1.402 Cr, blue Y + 1.772 Cb. */
Test(image, jpeg_of_the_highest_quality_is_within_its_quantisers)
{
    enum { GREY_BOUND = 4, COLOUR_BOUND = 4 + 7 };
    ito_tensor *image = waves();
    const char *path = in_directory("a.jpg");
    cr_assert_eq(ito_image_save(path, image, .quality = 100), ITO_OK, "%s", ito_error_message());
    cr_expect_leq(largest_error(path, image), COLOUR_BOUND);
    ito_tensor *grey = tensor_of(tensor_data(image), ITO_SHAPE(1, H, W), ITO_U8);
    cr_assert_eq(ito_image_save(path, grey, .quality = 100), ITO_OK);
    cr_expect_leq(largest_error(path, grey), GREY_BOUND);
}

Test(image, less_quality_is_fewer_bytes_and_more_error)
{
    ito_tensor *image = waves();
    static const int qualities[] = {1, 20, 95, 100};
    int64_t before = 0;
    int error = 256;
    for (int i = 0; i < 4; i++) {
        const char *path = in_directory("a.jpg");
        cr_assert_eq(ito_image_save(path, image, .quality = qualities[i]), ITO_OK);
        cr_expect_gt(size_of(path), before, "quality %d", qualities[i]);
        cr_expect_leq(largest_error(path, image), error, "quality %d", qualities[i]);
        before = size_of(path);
        error = largest_error(path, image);
    }
    const char *usual = in_directory("usual.jpg"), *same = in_directory("same.jpg");
    cr_assert_eq(ito_image_save(usual, image), ITO_OK);
    cr_assert_eq(ito_image_save(same, image, .quality = 95), ITO_OK);
    cr_expect_eq(size_of(usual), size_of(same));
}

Test(image, a_name_that_says_no_picture_is_refused)
{
    ito_tensor *image = waves();
    static const char *const names[] = {"a.txt", "a.npy", "a", "png", "jpg", "a.png.bak"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *path = in_directory(names[i]);
        cr_expect_not(ito_image_can_save(path));
        cr_expect_eq(ito_image_save(path, image), ITO_ERR_ARGUMENT);
        expect_error(ITO_ERR_ARGUMENT, "%s: the name of a picture ends in .png, .jpg or .jpeg",
                     path);
    }
    const char *path = in_directory("a.jpg");
    cr_expect_eq(ito_image_save(path, image, .quality = 0), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "image_save: a quality of 0; it can be 1 to 100");
    cr_expect_eq(ito_image_save(path, image, .quality = 101), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "image_save: a quality of 101; it can be 1 to 100");
    cr_expect_eq(ito_image_save(path, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "image_save: there is no image");
    cr_assert_eq(count_entries(directory), 2);
}

static bool save_jpeg(void *context)
{
    ito_tensor *image = tensor_empty(ITO_SHAPE(16, 16), ITO_U8);
    if (image != NULL)
        memset(tensor_data(image), 7, 16 * 16);
    return image != NULL && ito_image_save(context, image) == ITO_OK;
}

Test(image, jpeg_without_memory_is_not_written)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", in_directory("a.jpg"));
    expect_clean_failures(save_jpeg, path);
    cr_assert_eq(count_entries(directory), 3);
}
