/* Folders of images: which files are taken, in which order, and what becomes of their sizes. */
#include "files.h"
#include "tensor/io/image.h"

TestSuite(image_folder, .init = make_directory, .fini = remove_directory);

/* A picture of h x w pixels: row-major bytes for [channels, h, w]. */
static void save(const char *name, const void *bytes, ito_shape shape)
{
    ito_tensor *t = tensor_of(bytes, shape, ITO_U8);
    cr_assert_eq(ito_png_save(in_directory(name), t), ITO_OK, "%s", ito_error_message());
    ito_release(tensor_disown(t));
}

static void save_dot(const char *name, unsigned char level)
{
    save(name, &level, ITO_SHAPE(1, 1));
}

static void folder(const char *name)
{
    cr_assert_eq(mkdir(in_directory(name), 0700), 0);
}

Test(image_folder, sub_folders_are_classes_in_the_order_of_their_names)
{
    folder("b");
    folder("A");
    folder("a");
    folder(".hidden");
    save_dot("b/2.png", 40);
    save_dot("b/10.png", 30);
    save_dot("A/x.PNG", 10);
    save_dot("a/y.png", 20);
    write_file("a/notes.txt", "x", 1);
    write_file("a/.z.png", "x", 1);
    save_dot("ignored.png", 99); /* beside sub-folders */
    ito_tensor *images = NULL, *labels = NULL;
    char **names = NULL;
    int64_t n = 0;
    cr_assert_eq(ito_image_folder_load(directory, 1, 1, &images, &labels, &names, &n), ITO_OK, "%s",
                 ito_error_message());
    expect_tensor(images, "\x0a\x14\x1e\x28", ITO_SHAPE(4, 1, 1, 1), ITO_U8);
    expect_tensor(labels, (int64_t[]){0, 1, 2, 2}, ITO_SHAPE(4), ITO_I64);
    cr_assert_eq(n, 3);
    cr_assert_str_eq(names[0], "A");
    cr_assert_str_eq(names[1], "a");
    cr_assert_str_eq(names[2], "b");
    cr_assert_null(names[3]);
    ito_image_class_names_free(names);
    ito_image_class_names_free(NULL);
}

Test(image_folder, without_sub_folders_a_folder_is_one_class)
{
    folder("cats");
    save_dot("cats/2.png", 2);
    save_dot("cats/1.png", 1);
    ito_tensor *images = NULL, *labels = NULL;
    char **names = NULL;
    int64_t n = 0;
    cr_assert_eq(ito_image_folder_load(in_directory("cats//"), 1, 3, &images, &labels, &names, &n),
                 ITO_OK, "%s", ito_error_message());
    expect_tensor(images, "\1\1\1\2\2\2", ITO_SHAPE(2, 3, 1, 1), ITO_U8);
    expect_tensor(labels, (int64_t[]){0, 0}, ITO_SHAPE(2), ITO_I64);
    cr_assert_eq(n, 1);
    cr_assert_str_eq(names[0], "cats");
    ito_image_class_names_free(names);
    cr_assert_eq(ito_image_folder_load(in_directory("cats"), 1, 1, &images, &labels, NULL, NULL),
                 ITO_OK);
}

/* Side 2: the middle of a wide and of a tall one, without resampling. */
Test(image_folder, the_middle_square_keeps_its_pixels_where_the_size_is_right)
{
    static const unsigned char wide[2 * 5] = {0, 1, 2, 0, 0, 0, 3, 4, 0, 0};
    static const unsigned char tall[6 * 2] = {0, 0, 0, 0, 5, 6, 7, 8, 0, 0, 0, 0};
    save("1.png", wide, ITO_SHAPE(2, 5));
    save("2.png", tall, ITO_SHAPE(6, 2));
    ito_tensor *images = NULL, *labels = NULL;
    cr_assert_eq(ito_image_folder_load(directory, 2, 1, &images, &labels, NULL, NULL), ITO_OK, "%s",
                 ito_error_message());
    expect_tensor(images, "\1\2\3\4\5\6\7\x8", ITO_SHAPE(2, 1, 2, 2), ITO_U8);
}

/* A filter that sums to one leaves an even picture as it is; channels stay apart. */
Test(image_folder, resizing_keeps_an_even_colour)
{
    unsigned char even[3 * 30 * 20];
    for (int c = 0; c < 3; c++)
        memset(even + c * 600, 50 + 60 * c, 600);
    save("a.png", even, ITO_SHAPE(3, 30, 20));
    for (int64_t side = 1; side <= 41; side += 8) {
        ito_tensor *images = NULL, *labels = NULL;
        cr_assert_eq(ito_image_folder_load(directory, side, 3, &images, &labels, NULL, NULL),
                     ITO_OK, "%s", ito_error_message());
        const unsigned char *pixel = tensor_data(images);
        for (int64_t i = 0; i < 3 * side * side; i++)
            cr_assert_eq(pixel[i], 50 + 60 * (i / (side * side)));
    }
}

/* Halves of 0 and 200, 16 pixels each, reduced to 4 pixels: only those beside the edge may mix. */
Test(image_folder, resizing_keeps_what_is_left_and_right)
{
    unsigned char halves[32 * 32];
    for (int i = 0; i < 32 * 32; i++)
        halves[i] = i % 32 < 16 ? 0 : 200;
    save("a.png", halves, ITO_SHAPE(32, 32));
    ito_tensor *images = NULL, *labels = NULL;
    cr_assert_eq(ito_image_folder_load(directory, 8, 1, &images, &labels, NULL, NULL), ITO_OK);
    const unsigned char *pixel = tensor_data(images);
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++)
            if (x < 2 || x > 5)
                cr_assert_eq(pixel[8 * y + x], x < 2 ? 0 : 200);
            else
                cr_assert(x < 4 ? pixel[8 * y + x] < 60 : pixel[8 * y + x] > 140);
}

static void expect_refused(ito_status code, const char *path, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    ito_tensor *images = NULL, *labels = NULL;
    char **names = NULL;
    int64_t n = -1;
    cr_assert_eq(ito_image_folder_load(directory, 4, 3, &images, &labels, &names, &n), code);
    expect_error(code, "%s: %s", path, fault);
    cr_assert(images == NULL && labels == NULL && names == NULL && n == -1);
    expect_nothing_left(open_files);
}

Test(image_folder, folders_that_give_no_data_set_are_refused)
{
    expect_refused(ITO_ERR_FORMAT, directory, "holds no PNG, JPEG or BMP images");
    folder("a");
    folder("b");
    save_dot("a/1.png", 1);
    expect_refused(ITO_ERR_FORMAT, in_directory("b"), "holds no PNG, JPEG or BMP images");
    const char *path = write_file("b/1.jpg", "no image", 8);
    expect_refused(ITO_ERR_FORMAT, path, "is not a PNG, JPEG, BMP or WebP image");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(symlink("nowhere", path), 0);
    expect_refused(ITO_ERR_IO, path, "cannot open: No such file or directory");
    ito_tensor *t = NULL;
    path = in_directory("none");
    cr_assert_eq(ito_image_folder_load(path, 4, 3, &t, &t, NULL, NULL), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: cannot open the folder: No such file or directory", path);
    path = in_directory("a/1.png");
    cr_assert_eq(ito_image_folder_load(path, 4, 3, &t, &t, NULL, NULL), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: cannot open the folder: Not a directory", path);
}

Test(image_folder, arguments_are_checked)
{
    ito_tensor *t = NULL;
    cr_assert_eq(ito_image_folder_load(NULL, 1, 1, &t, &t, NULL, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "image_folder_load: there is no directory");
    cr_assert_eq(ito_image_folder_load(directory, 1, 1, &t, NULL, NULL, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "image_folder_load: there is no place for the result");
    static const struct {
        int64_t size;
        int channels;
    } bad[] = {{0, 3}, {-1, 3}, {8193, 3}, {INT64_MAX, 3}, {8, 2}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(
            ito_image_folder_load(directory, bad[i].size, bad[i].channels, &t, &t, NULL, NULL),
            ITO_ERR_ARGUMENT);
        expect_error(ITO_ERR_ARGUMENT,
                     "image_folder_load: size %" PRId64
                     " and %d channels; a size is 1 to 8192, channels are 1 or 3",
                     bad[i].size, bad[i].channels);
    }
}

static bool load(void *unused)
{
    (void)unused;
    ito_tensor *images, *labels;
    char **names;
    int64_t n;
    if (ito_image_folder_load(directory, 2, 3, &images, &labels, &names, &n) != ITO_OK)
        return false;
    ito_image_class_names_free(names);
    return true;
}

Test(image_folder, every_failing_allocation_is_an_error)
{
    save_dot("1.png", 1);
    expect_clean_failures(load, NULL);
    folder("a");
    folder("b");
    save_dot("a/1.png", 1);
    save_dot("b/1.png", 1);
    expect_clean_failures(load, NULL);
}
