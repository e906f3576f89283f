/* Folders of images: which files are taken, in which order, and what becomes of their sizes. */
#include "files.h"
#include "tensor/io/image.h"

#include <time.h>

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

/* The images of the test's directory in this size, and their labels if labels is not NULL. */
static ito_tensor *load(int64_t size, int channels, ito_tensor **labels)
{
    ito_image_folder *f = ito_image_folder_list(directory);
    ito_tensor *images = ito_image_folder_load(f, size, channels, labels);
    ito_image_folder_free(f);
    return images;
}

/* The list has these files: "NAME LABEL" or "NAME LABEL REASON" each. */
static void expect_files(const ito_image_folder *f, int n, const char *const *lines)
{
    int64_t used = 0;
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_assert_eq(f->n_files, n, "%" PRId64 " files", f->n_files);
    for (int i = 0; i < n; i++) {
        const ito_image_folder_file *file = &f->files[i];
        char line[512];
        snprintf(line, sizeof line, "%s %" PRId64 "%s%s", file->name, file->label,
                 file->reason != NULL ? " " : "", file->reason != NULL ? file->reason : "");
        cr_expect_str_eq(line, lines[i]);
        cr_expect_eq(file->reason == NULL, file->state == ITO_IMAGE_FILE_USED);
        used += file->reason == NULL;
    }
    cr_expect_eq(f->n_used, used);
}

#define EXPECT_FILES(f, ...)                                                                       \
    expect_files(f, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),                        \
                 (const char *[]){__VA_ARGS__})

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
    write_file(".hidden/z.png", "x", 1);
    ito_image_folder *f = ito_image_folder_list(directory);
    EXPECT_FILES(f, "A/x.PNG 0", "a/notes.txt 1 not an image", "a/y.png 1", "b/10.png 2",
                 "b/2.png 2");
    cr_assert_str_eq(f->files[4].path, in_directory("b/2.png"));
    cr_assert_eq(f->n_classes, 3);
    cr_assert_str_eq(f->class_names[0], "A");
    cr_assert_str_eq(f->class_names[1], "a");
    cr_assert_str_eq(f->class_names[2], "b");
    ito_tensor *labels = NULL, *images = ito_image_folder_load(f, 1, 1, &labels);
    expect_tensor(images, "\x0a\x14\x1e\x28", ITO_SHAPE(4, 1, 1, 1), ITO_U8);
    expect_tensor(labels, (int64_t[]){0, 1, 2, 2}, ITO_SHAPE(4), ITO_I64);
    ito_image_folder_free(f);
    ito_image_folder_free(NULL);
}

/* As torchvision's ImageFolder, whose classes are the folders at the top. "a-b" comes before "a/"
 * by the bytes of whole paths, and behind "a" as a class. */
Test(image_folder, a_class_has_all_that_is_below_its_folder)
{
    folder("a");
    folder("a/more");
    folder("a/more/deep");
    folder("a-b");
    save_dot("a/z.png", 1);
    save_dot("a/more/1.png", 2);
    save_dot("a/more/deep/1.png", 3);
    save_dot("a-b/1.png", 4);
    ito_image_folder *f = ito_image_folder_list(directory);
    EXPECT_FILES(f, "a/more/1.png 0", "a/more/deep/1.png 0", "a/z.png 0", "a-b/1.png 1");
    cr_assert_eq(f->n_classes, 2);
    ito_tensor *labels = NULL;
    expect_tensor(ito_image_folder_load(f, 1, 1, &labels), "\2\3\1\4", ITO_SHAPE(4, 1, 1, 1),
                  ITO_U8);
    expect_tensor(labels, (int64_t[]){0, 0, 0, 1}, ITO_SHAPE(4), ITO_I64);
    ito_image_folder_free(f);
}

Test(image_folder, without_sub_folders_a_folder_is_one_class)
{
    folder("cats");
    save_dot("cats/2.png", 2);
    save_dot("cats/1.png", 1);
    ito_image_folder *f = ito_image_folder_list(in_directory("cats//"));
    EXPECT_FILES(f, "1.png 0", "2.png 0");
    cr_assert_str_eq(f->files[0].path, in_directory("cats/1.png"));
    cr_assert_eq(f->n_classes, 1);
    cr_assert_str_eq(f->class_names[0], "cats");
    ito_tensor *labels = NULL;
    expect_tensor(ito_image_folder_load(f, 1, 3, &labels), "\1\1\1\2\2\2", ITO_SHAPE(2, 3, 1, 1),
                  ITO_U8);
    expect_tensor(labels, (int64_t[]){0, 0}, ITO_SHAPE(2), ITO_I64);
    ito_image_folder_free(f);
}

/* One folder of small pictures beside photographs must not cost the photographs. */
Test(image_folder, images_beside_folders_are_read_without_classes_and_refused_with_them)
{
    folder("thumbs");
    save_dot("thumbs/1.png", 3);
    save_dot("2.png", 2);
    ito_tensor *labels = NULL;
    cr_assert_null(load(1, 1, &labels));
    expect_error(ITO_ERR_FORMAT,
                 "%s: 1 image is beside the folders of its classes (2.png): move it into one, or "
                 "do without classes",
                 directory);
    save_dot("1.png", 1);
    cr_assert_null(load(1, 1, &labels));
    expect_error(ITO_ERR_FORMAT,
                 "%s: 2 images are beside the folders of its classes (1.png, ...): move them into "
                 "one, or do without classes",
                 directory);
    cr_assert_null(labels);
    ito_image_folder *f = ito_image_folder_list(directory);
    EXPECT_FILES(f, "1.png -1", "2.png -1", "thumbs/1.png 0");
    expect_tensor(ito_image_folder_load(f, 1, 1, NULL), "\1\2\3", ITO_SHAPE(3, 1, 1, 1), ITO_U8);
    ito_image_folder_free(f);
}

Test(image_folder, what_is_not_read_is_listed_with_its_reason)
{
    folder("a");
    save_dot("a/1.JPG", 1); /* what it is, its content says */
    save_dot("a/2.jfif", 2);
    write_file("a/3.GiF", "x", 1);
    write_file("a/4.gif", "x", 1);
    write_file("a/5.tif", "x", 1);
    write_file("a/6", "x", 1);
    write_file("a/png", "x", 1);
    write_file("a/7.json", "x", 1);
    ito_image_folder *f = ito_image_folder_list(directory);
    EXPECT_FILES(f, "a/1.JPG 0", "a/2.jfif 0", "a/3.GiF 0 format not read",
                 "a/4.gif 0 format not read", "a/5.tif 0 format not read", "a/6 0 not an image",
                 "a/7.json 0 not an image", "a/png 0 not an image");
    cr_expect_eq(f->files[2].state, ITO_IMAGE_FILE_UNREAD);
    cr_expect_eq(f->files[7].state, ITO_IMAGE_FILE_OTHER);
    ito_image_folder_free(f);
}

Test(image_folder, links_are_followed_but_not_in_circles)
{
    folder("a");
    folder("a/b");
    folder("other");
    save_dot("a/b/1.png", 1);
    save_dot("other/2.png", 2);
    cr_assert_eq(symlink("../..", in_directory("a/b/up")), 0);
    cr_assert_eq(symlink(".", in_directory("a/self")), 0);
    cr_assert_eq(symlink("other", in_directory("link")), 0);
    cr_assert_eq(symlink("nowhere", in_directory("a/broken")), 0);
    ito_image_folder *f = ito_image_folder_list(directory);
    EXPECT_FILES(f, "a/b/1.png 0", "a/broken 0 not an image", "link/2.png 1", "other/2.png 2");
    ito_image_folder_free(f);
}

/* Side 2: the middle of a wide and of a tall one, without resampling. */
Test(image_folder, the_middle_square_keeps_its_pixels_where_the_size_is_right)
{
    static const unsigned char wide[2 * 5] = {0, 1, 2, 0, 0, 0, 3, 4, 0, 0};
    static const unsigned char tall[6 * 2] = {0, 0, 0, 0, 5, 6, 7, 8, 0, 0, 0, 0};
    save("1.png", wide, ITO_SHAPE(2, 5));
    save("2.png", tall, ITO_SHAPE(6, 2));
    expect_tensor(load(2, 1, NULL), "\1\2\3\4\5\6\7\x8", ITO_SHAPE(2, 1, 2, 2), ITO_U8);
}

/* A filter that sums to one leaves an even picture as it is; channels stay apart. */
Test(image_folder, resizing_keeps_an_even_colour)
{
    unsigned char even[3 * 30 * 20];
    for (int c = 0; c < 3; c++)
        memset(even + c * 600, 50 + 60 * c, 600);
    save("a.png", even, ITO_SHAPE(3, 30, 20));
    for (int64_t side = 1; side <= 41; side += 8) {
        ito_tensor *images = load(side, 3, NULL);
        cr_assert_not_null(images, "%s", ito_error_message());
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
    ito_tensor *images = load(8, 1, NULL);
    cr_assert_not_null(images, "%s", ito_error_message());
    const unsigned char *pixel = tensor_data(images);
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++)
            if (x < 2 || x > 5)
                cr_assert_eq(pixel[8 * y + x], x < 2 ? 0 : 200);
            else
                cr_assert(x < 4 ? pixel[8 * y + x] < 60 : pixel[8 * y + x] > 140);
}

/* Neither with labels nor, if `always`, without. */
static void expect_refused(bool always, ito_status code, const char *path, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    for (int with_labels = 1; with_labels >= !always; with_labels--) {
        ito_tensor *labels = NULL;
        cr_assert_null(load(4, 3, with_labels ? &labels : NULL));
        expect_error(code, "%s: %s", path, fault);
        cr_assert_null(labels);
        expect_nothing_left(open_files);
    }
}

Test(image_folder, folders_that_give_no_data_set_are_refused)
{
    expect_refused(true, ITO_ERR_FORMAT, directory, "holds no PNG, JPEG, BMP or WebP images");
    write_file("0.txt", "x", 1);
    write_file("1.gif", "x", 1);
    expect_refused(
        true, ITO_ERR_FORMAT, directory,
        "holds no PNG, JPEG, BMP or WebP images that can be read, but 2 other files (1.gif: "
        "format not read)");
    folder("a");
    folder("b");
    folder("c");
    save_dot("a/1.png", 1);
    save_dot("c/1.png", 1);
    expect_refused(false, ITO_ERR_FORMAT, directory,
                   "the class b holds no PNG, JPEG, BMP or WebP images");
    write_file("b/1.gif", "x", 1);
    expect_refused(
        false, ITO_ERR_FORMAT, directory,
        "the class b holds no PNG, JPEG, BMP or WebP images that can be read, but 1 other "
        "file (b/1.gif: format not read)");
    const char *path = write_file("b/1.jpg", "no image", 8);
    expect_refused(true, ITO_ERR_FORMAT, path, "is not a PNG, JPEG, BMP or WebP image");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(symlink("nowhere", path), 0);
    expect_refused(true, ITO_ERR_IO, path, "cannot open: No such file or directory");
}

Test(image_folder, paths_that_are_no_folder_are_refused)
{
    const char *path = in_directory("none");
    cr_assert_null(ito_image_folder_list(path));
    expect_error(ITO_ERR_IO, "%s: cannot open the folder: No such file or directory", path);
    path = write_file("1.png", "x", 1);
    cr_assert_null(ito_image_folder_list(path));
    expect_error(ITO_ERR_IO, "%s: cannot open the folder: Not a directory", path);
    cr_assert_null(ito_image_folder_list(NULL));
    expect_error(ITO_ERR_ARGUMENT, "image_folder_list: there is no path");
}

/* ---- files that cannot be read ---- */

/* Two good ones and two bad ones. */
static void mix(void)
{
    folder("a");
    folder("b");
    write_file("a/1.png", "no image", 8);
    save_dot("a/2.png", 2);
    save_dot("b/1.png", 3);
    write_file("b/2.png", "", 0);
}

Test(image_folder, bad_files_are_left_out_on_request_and_all_of_them_named)
{
    mix();
    ito_image_folder *f = ito_image_folder_list(directory);
    ito_tensor *labels = NULL;
    for (int again = 0; again < 2; again++) {
        ito_tensor *images = ito_image_folder_load(f, 1, 1, &labels, .skip_bad = true);
        expect_tensor(images, "\2\3", ITO_SHAPE(2, 1, 1, 1), ITO_U8);
        expect_tensor(labels, (int64_t[]){0, 1}, ITO_SHAPE(2), ITO_I64);
        cr_assert_eq(ito_error_code(), ITO_OK);
        EXPECT_FILES(f, "a/1.png 0 is not a PNG, JPEG, BMP or WebP image", "a/2.png 0", "b/1.png 1",
                     "b/2.png 1 is empty");
        cr_assert_eq(f->n_bad, 2);
        cr_assert_eq(f->files[0].state, ITO_IMAGE_FILE_BAD);
    }
    ito_image_folder_free(f);
}

Test(image_folder, a_bad_file_is_an_error_and_is_tried_again)
{
    mix();
    ito_image_folder *f = ito_image_folder_list(directory);
    cr_assert_null(ito_image_folder_load(f, 1, 1, NULL));
    expect_error(ITO_ERR_FORMAT, "%s: is not a PNG, JPEG, BMP or WebP image",
                 in_directory("a/1.png"));
    cr_assert_eq(f->n_bad, 1);
    EXPECT_FILES(f, "a/1.png 0 is not a PNG, JPEG, BMP or WebP image", "a/2.png 0", "b/1.png 1",
                 "b/2.png 1");
    save_dot("a/1.png", 1);
    save_dot("b/2.png", 4);
    expect_tensor(ito_image_folder_load(f, 1, 1, NULL), "\1\2\3\4", ITO_SHAPE(4, 1, 1, 1), ITO_U8);
    cr_assert_eq(f->n_bad, 0);
    ito_image_folder_free(f);
}

Test(image_folder, a_class_of_bad_files_alone_is_refused)
{
    mix();
    cr_assert_eq(unlink(in_directory("b/1.png")), 0);
    ito_image_folder *f = ito_image_folder_list(directory);
    ito_tensor *labels = NULL;
    cr_assert_null(ito_image_folder_load(f, 1, 1, &labels, .skip_bad = true));
    expect_error(
        ITO_ERR_FORMAT,
        "%s: the class b holds no PNG, JPEG, BMP or WebP images that can be read, but 1 other "
        "file (b/2.png: is empty)",
        directory);
    expect_tensor(ito_image_folder_load(f, 1, 1, NULL, .skip_bad = true), "\2",
                  ITO_SHAPE(1, 1, 1, 1), ITO_U8);
    cr_assert_eq(unlink(in_directory("a/2.png")), 0);
    cr_assert_null(ito_image_folder_load(f, 1, 1, NULL, .skip_bad = true));
    expect_error(ITO_ERR_FORMAT,
                 "%s: holds no PNG, JPEG, BMP or WebP images that can be read, but 3 other files "
                 "(a/1.png: is not a PNG, JPEG, BMP or WebP image)",
                 directory);
    ito_image_folder_free(f);
}

Test(image_folder, a_pipe_is_not_waited_for)
{
    save_dot("1.png", 1);
    cr_assert_eq(mkfifo(in_directory("2.png"), 0600), 0);
    ito_image_folder *f = ito_image_folder_list(directory);
    expect_tensor(ito_image_folder_load(f, 1, 1, NULL, .skip_bad = true), "\1",
                  ITO_SHAPE(1, 1, 1, 1), ITO_U8);
    EXPECT_FILES(f, "1.png 0", "2.png 0 is not a regular file");
    ito_image_folder_free(f);
}

/* An error that was there before is neither taken for that of a file nor cleared. */
Test(image_folder, an_earlier_error_stays)
{
    mix();
    ito_image_folder *f = ito_image_folder_list(directory);
    ito_error_set(ITO_ERR_RANGE, "earlier");
    cr_assert_not_null(ito_image_folder_load(f, 1, 1, NULL, .skip_bad = true));
    expect_error(ITO_ERR_RANGE, "earlier");
    cr_assert_str_eq(f->files[0].reason, "it cannot be read");
    ito_image_folder_free(f);
}

Test(image_folder, listing_many_files_takes_no_quadratic_time)
{
    folder("a");
    save_dot("a/0.png", 1);
    for (int i = 1; i < 20000; i++) {
        char name[32];
        snprintf(name, sizeof name, "a/%d.png", i);
        cr_assert_eq(link(in_directory("a/0.png"), in_directory(name)), 0);
    }
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    ito_image_folder *f = ito_image_folder_list(directory);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    cr_assert_eq(f->n_used, 20000);
    cr_assert_str_eq(f->files[2].name, "a/10.png");
    ito_image_folder_free(f);
    double seconds =
        (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    cr_assert_leq(seconds, 1.0, "%g s", seconds); /* about 0.03; 2e8 comparisons take longer */
}

Test(image_folder, arguments_are_checked)
{
    ito_image_folder *f = ito_image_folder_list(directory);
    cr_assert_null(ito_image_folder_load(NULL, 1, 1, NULL));
    expect_error(ITO_ERR_ARGUMENT, "image_folder_load: folder is NULL");
    static const struct {
        int64_t size;
        int channels;
    } bad[] = {{0, 3}, {-1, 3}, {8193, 3}, {INT64_MAX, 3}, {8, 2}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_null(ito_image_folder_load(f, bad[i].size, bad[i].channels, NULL));
        expect_error(ITO_ERR_ARGUMENT,
                     "image_folder_load: size %" PRId64
                     " and %d channels; a size is 1 to 8192, channels are 1 or 3",
                     bad[i].size, bad[i].channels);
    }
    ito_image_folder_free(f);
}

static bool load_all(void *unused)
{
    (void)unused;
    ito_tensor *labels;
    ito_image_folder *f = ito_image_folder_list(directory);
    bool good = ito_image_folder_load(f, 2, 3, &labels, .skip_bad = true) != NULL;
    ito_image_folder_free(f);
    return good;
}

Test(image_folder, every_failing_allocation_is_an_error)
{
    save_dot("1.png", 1);
    write_file("2.png", "no image", 8);
    expect_clean_failures(load_all, NULL);
    cr_assert_eq(rename(in_directory("1.png"), in_directory("3.txt")), 0);
    cr_assert_eq(unlink(in_directory("2.png")), 0);
    folder("a");
    folder("a/more");
    folder("b");
    save_dot("a/1.png", 1);
    save_dot("a/more/1.png", 1);
    save_dot("b/1.png", 1);
    expect_clean_failures(load_all, NULL);
}
