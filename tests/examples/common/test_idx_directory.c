/* Directories of IDX files: which names are found, and that labels fit the images. */
#include "examples/common/idx_directory.h"
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(idx_directory, .init = cli_enter, .fini = cli_leave);

static void refused(const ito_tensor *t, const char *words)
{
    cr_assert_null(t);
    cr_expect_not_null(strstr(ito_error_message(), words), "\"%s\" is not in: %s", words,
                       ito_error_message());
    ito_error_clear();
}

static ito_tensor *random_bytes(ito_shape shape, int64_t below)
{
    ito_generator g = ito_generator_make(3, 0);
    return ito_randint(&g, 0, below, shape, ITO_U8);
}

Test(idx_directory, files_are_found_by_all_names_that_are_usual)
{
    static const char *const names[] = {"train-images-idx3-ubyte", "train-images.idx3-ubyte"};
    cr_expect_null(idx_directory_find("."));
    cr_expect_eq(ito_error_code(), ITO_OK);
    for (int i = 0; i < 2; i++) {
        char want[64], command[128];
        write_idx(names[i], random_bytes(ITO_SHAPE(2, 3, 3), 256));
        snprintf(want, sizeof want, "./%s", names[i]);
        char *path = idx_directory_find(".");
        cr_expect_str_eq(path, want);
        free(path);
        snprintf(command, sizeof command, "gzip %s", names[i]);
        cr_assert_eq(system(command), 0);
        path = idx_directory_find(".");
        strcat(want, ".gz");
        cr_expect_str_eq(path, want);
        ito_tensor *images = idx_directory_images(".", false);
        cr_expect(images != NULL && ito_ndim(images) == 4 && ito_size(images, 1) == 1);
        cr_assert_eq(remove(path), 0);
        free(path);
    }
}

Test(idx_directory, training_and_test_set_are_two)
{
    write_idx("train-images-idx3-ubyte", random_bytes(ITO_SHAPE(4, 3, 3), 256));
    refused(idx_directory_images(".", true), "./t10k-images-idx3-ubyte: there is no such file");
    write_idx("t10k-images-idx3-ubyte", random_bytes(ITO_SHAPE(5, 3, 3), 256));
    cr_expect_eq(ito_size(idx_directory_images(".", false), 0), 4);
    cr_expect_eq(ito_size(idx_directory_images(".", true), 0), 5);
}

Test(idx_directory, labels_fit_the_images)
{
    ito_tensor *images = ito_zeros(ITO_SHAPE(4, 1, 3, 3), ITO_U8);
    ito_tensor *labels = random_bytes(ITO_SHAPE(4), IDX_CLASSES);
    refused(idx_directory_labels(".", false, images),
            "./train-labels-idx1-ubyte: there is no such file");
    write_idx("train-labels-idx1-ubyte", labels);
    ito_tensor *read = idx_directory_labels(".", false, images);
    cr_assert_not_null(read, "%s", ito_error());
    cr_expect_eq(memcmp(ito_const_data(read), ito_const_data(labels), 4), 0);
    write_idx("train-labels-idx1-ubyte", ito_zeros(ITO_SHAPE(5), ITO_U8));
    refused(idx_directory_labels(".", false, images),
            "its labels do not fit the number of images, 4");
    write_idx("train-labels-idx1-ubyte", ito_full(ITO_SHAPE(4), 10, ITO_U8));
    refused(idx_directory_labels(".", false, images), "label 0 is 10; there are 0 to 9");
}

Test(idx_directory, a_file_of_labels_is_no_file_of_images)
{
    write_idx("labels", ito_zeros(ITO_SHAPE(4), ITO_U8));
    refused(idx_images_load("labels"), "labels: it has 1 axes; images have 3, [N, H, W]");
}
