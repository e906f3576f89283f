/* CIFAR-10 files of a few records, whose bytes follow a rule. */
#include "files.h"
#include "tensor/io/cifar.h"

TestSuite(cifar, .init = make_directory, .fini = remove_directory);

enum { PIXELS = 3072, RECORD = 3073 };

/* Byte i of record r of batch b; byte 0 is the label. */
static unsigned char byte_of(int b, int r, int i)
{
    return (unsigned char)(i == 0 ? (b + r) % 10 : (31 * b + 7 * r + i) % 251);
}

static const char *write_batch(const char *name, int b, int records)
{
    unsigned char *bytes = malloc((size_t)records * RECORD + 1);
    for (int r = 0; r < records; r++)
        for (int i = 0; i < RECORD; i++)
            bytes[r * RECORD + i] = byte_of(b, r, i);
    const char *path = write_file(name, bytes, (size_t)records * RECORD);
    free(bytes);
    return path;
}

/* Batch b has b records, but the last one 150: more than are read at once. */
static int records_of(int b)
{
    return b == 5 ? 150 : b;
}

static void write_training_set(const char *below)
{
    for (int b = 1; b <= 5; b++) {
        char name[64];
        snprintf(name, sizeof name, "%sdata_batch_%d.bin", below, b);
        write_batch(name, b, records_of(b));
    }
}

static void expect_training_set(const ito_tensor *images, const ito_tensor *labels)
{
    cr_assert(shape_equal(ito_shape_of(images), ITO_SHAPE(160, 3, 32, 32)));
    cr_assert_eq(images->dtype, ITO_U8);
    cr_assert(shape_equal(ito_shape_of(labels), ITO_SHAPE(160)));
    cr_assert_eq(labels->dtype, ITO_I64);
    const unsigned char *pixel = tensor_data(images);
    const int64_t *label = tensor_data(labels);
    for (int b = 1; b <= 5; b++)
        for (int r = 0; r < records_of(b); r++) {
            cr_assert_eq(*label++, byte_of(b, r, 0));
            for (int i = 1; i < RECORD; i++)
                if (*pixel++ != byte_of(b, r, i))
                    cr_assert_fail("batch %d, record %d, byte %d", b, r, i);
        }
}

Test(cifar, the_training_set_is_read_in_order)
{
    write_training_set("");
    ito_tensor *images = NULL, *labels = NULL;
    cr_assert_eq(ito_cifar10_load(directory, true, &images, &labels), ITO_OK, "%s",
                 ito_error_message());
    expect_training_set(images, labels);
}

Test(cifar, the_files_may_lie_in_their_usual_folder)
{
    cr_assert_eq(mkdir(in_directory("cifar-10-batches-bin"), 0700), 0);
    write_training_set("cifar-10-batches-bin/");
    ito_tensor *images = NULL, *labels = NULL;
    cr_assert_eq(ito_cifar10_load(directory, true, &images, &labels), ITO_OK, "%s",
                 ito_error_message());
    expect_training_set(images, labels);
}

Test(cifar, the_test_set_is_its_own_file)
{
    write_batch("test_batch.bin", 7, 2);
    ito_tensor *images = NULL, *labels = NULL;
    cr_assert_eq(ito_cifar10_load(directory, false, &images, &labels), ITO_OK, "%s",
                 ito_error_message());
    cr_assert(shape_equal(ito_shape_of(images), ITO_SHAPE(2, 3, 32, 32)));
    cr_assert_eq(((int64_t *)tensor_data(labels))[1], 8);
}

static void expect_refused(bool train, ito_status code, const char *path, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    ito_tensor *images = NULL, *labels = NULL;
    cr_assert_eq(ito_cifar10_load(directory, train, &images, &labels), code);
    expect_error(code, "%s: %s", path, fault);
    cr_assert(images == NULL && labels == NULL);
    expect_nothing_left(open_files);
}

Test(cifar, bad_files_are_refused)
{
    const char *path = in_directory("test_batch.bin");
    expect_refused(false, ITO_ERR_IO, path, "cannot open: No such file or directory");
    write_file("test_batch.bin", "", 0);
    expect_refused(false, ITO_ERR_FORMAT, path, "is empty");
    unsigned char bytes[2 * RECORD + 1] = {0};
    write_file("test_batch.bin", bytes, RECORD + 1);
    expect_refused(false, ITO_ERR_FORMAT, path,
                   "3074 bytes are no whole number of records of 3073 bytes");
    bytes[RECORD] = 10;
    write_file("test_batch.bin", bytes, 2 * RECORD);
    expect_refused(false, ITO_ERR_FORMAT, path, "record 1: label 10 is above 9");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkdir(path, 0700), 0);
    expect_refused(false, ITO_ERR_IO, path, "is a directory, not a file");
}

Test(cifar, all_five_batches_must_be_there)
{
    write_training_set("");
    const char *path = in_directory("data_batch_4.bin");
    cr_assert_eq(unlink(path), 0);
    expect_refused(true, ITO_ERR_IO, path, "cannot open: No such file or directory");
}

Test(cifar, arguments_are_checked)
{
    ito_tensor *t = NULL;
    cr_assert_eq(ito_cifar10_load(NULL, true, &t, &t), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "cifar10_load: there is no directory");
    cr_assert_eq(ito_cifar10_load(directory, true, NULL, &t), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "cifar10_load: there is no place for the result");
    char path[PATH_MAX];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    cr_assert_eq(ito_cifar10_load(path, true, &t, &t), ITO_ERR_IO);
    cr_assert(strstr(ito_error_message(), "is too long for a path") != NULL);
}

static bool load(void *unused)
{
    (void)unused;
    ito_tensor *images, *labels;
    return ito_cifar10_load(directory, false, &images, &labels) == ITO_OK;
}

Test(cifar, every_failing_allocation_is_an_error)
{
    write_batch("test_batch.bin", 1, 2);
    expect_clean_failures(load, NULL);
}
