/* Data by its name on the command line, and images in files by theirs. */
#include "examples/ddpm/data_kinds.h"
#include "examples/ddpm/image_files.h"
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(data, .init = cli_enter, .fini = cli_leave);

static void refused(const void *t, const char *words)
{
    cr_assert_null(t);
    cr_expect_not_null(strstr(ito_error_message(), words), "\"%s\" is not in: %s", words,
                       ito_error_message());
    ito_error_clear();
}

Test(data, kinds_are_found_by_their_names)
{
    choice_list kinds = {.own = data_kinds};
    static const char *const good[] = {"fashion-mnist", "mnist:d", "cifar10:d/e",
                                       "folder:.",      "npy:a:b", "prepared:p"};
    static const char *const bad[] = {"", "mnist", "mnist:", "fashion-mnist:d", "fashion", "npy"};
    for (int i = 0; i < 6; i++)
        cr_expect_eq(choices_find(&kinds, good[i]), data_kinds[i], "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_null(choices_find(&kinds, bad[i]), "%s", bad[i]);
    for (int i = 0; data_kinds[i] != NULL; i++) {
        const data_kind *kind = (const data_kind *)data_kinds[i];
        cr_expect(kind->load != NULL && kind->choice.help != NULL);
        cr_expect((kind->place != NULL) == (strchr(kind->choice.name, ':') == NULL));
    }
}

Test(data, kinds_differ_in_what_can_be_done_with_them)
{
    cr_expect(!data_mirrors("mnist:d") && data_mirrors("npy:x") && data_mirrors("folder:x"));
    cr_expect(data_resizes("folder:x") && !data_resizes("npy:x") && !data_resizes("mnist:d"));
    cr_expect(data_has_classes("mnist:d") && !data_has_classes("npy:x"));
    cr_expect(!data_is_large("npy:data.npy"));
    refused(data_load((data_options){.spec = "npy:data.npy", .test = true}),
            "--split: npy:data.npy has no test set; it is for fashion-mnist|mnist:DIR|cifar10:DIR");
}

Test(data, each_kind_gives_its_images_labels_and_names)
{
    ito_tensor *labels;
    cJSON *names;
    write_classes();
    ito_tensor *x = data_load_classes(
        (data_options){.spec = "folder:photos", .size = 4, .grey = true}, &labels, &names);
    cr_assert_not_null(x, "%s", ito_error());
    cr_expect(ito_size(x, 0) == 6 && ito_size(x, 1) == 1 && ito_size(x, 2) == 4);
    cr_expect_eq(ito_numel(labels), 6);
    cr_expect_str_eq(cJSON_GetArrayItem(names, 1)->valuestring, "dog");
    cJSON_Delete(names);

    write_idx("train-images-idx3-ubyte", ito_zeros(ITO_SHAPE(3, 5, 5), ITO_U8));
    write_idx("train-labels-idx1-ubyte", ito_full(ITO_SHAPE(3), 7, ITO_U8));
    x = data_load_classes((data_options){.spec = "mnist:."}, &labels, &names);
    cr_assert_not_null(x, "%s", ito_error());
    cr_expect(ito_size(x, 0) == 3 && ((const uint8_t *)ito_const_data(labels))[2] == 7);
    cr_expect_str_eq(cJSON_GetArrayItem(names, 7)->valuestring, "7");
    cJSON_Delete(names);

    x = data_load((data_options){.spec = "npy:data.npy"});
    cr_expect(x != NULL && ito_size(x, 0) == 40);
    refused(data_load_classes((data_options){.spec = "npy:data.npy"}, &labels, &names),
            "data.npy: a .npy file of images has no classes");
}

/* ---- images in files ---- */

Test(data, the_ending_of_a_name_decides_the_format)
{
    static const char *const paths[][2] = {{"a.npy", "npy"},   {"a.png", "png"}, {"a.jpg", "jpeg"},
                                           {"a.jpeg", "jpeg"}, {"a.bmp", "bmp"}, {"npy", "png"}};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        cr_expect_str_eq(image_format_of(paths[i][0])->choice.name, paths[i][1], "%s", paths[i][0]);
}

Test(data, an_image_is_the_same_from_any_lossless_format)
{
    ito_generator g = ito_generator_make(5, 0);
    ito_tensor *x = ito_randint(&g, 0, 256, ITO_SHAPE(3, 6, 7), ITO_U8);
    cr_assert_eq(ito_png_save("x.png", x), ITO_OK);
    write_npy("x.npy", ito_reshape(x, 1, 3, 6, 7));
    ito_tensor *png = ito_contiguous(image_file_load("x.png", 3, IN_PIXEL_RANGE));
    ito_tensor *npy = image_file_load("x.npy", 3, IN_PIXEL_RANGE);
    cr_assert(png != NULL && npy != NULL, "%s", ito_error());
    cr_expect(ito_ndim(png) == 4 && ito_ndim(npy) == 4);
    cr_expect_eq(memcmp(ito_const_data(png), ito_const_data(x), 3 * 6 * 7), 0);
    cr_expect_eq(memcmp(ito_const_data(npy), ito_const_data(x), 3 * 6 * 7), 0);
}

Test(data, floats_lie_in_the_range_that_is_wanted)
{
    write_npy("wide.npy", ito_full(ITO_SHAPE(1, 1, 2, 2), 1.5, ITO_F32));
    write_npy("nan.npy", ito_full(ITO_SHAPE(1, 1, 2, 2), (double)NAN, ITO_F32));
    refused(image_npy_load("wide.npy", IN_PIXEL_RANGE), "f32 images lie in [-1, 1]");
    cr_expect_not_null(image_npy_load("wide.npy", ANY_FINITE));
    refused(image_npy_load("nan.npy", ANY_FINITE), "f32 images have finite numbers");
}

Test(data, bytes_are_scaled_to_minus_one_to_one)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(3), ITO_U8);
    ((uint8_t *)ito_data(x))[1] = 255;
    ((uint8_t *)ito_data(x))[2] = 51;
    const float *y = ito_const_data(images_scaled(x));
    cr_expect_float_eq(y[0], -1.0, 1e-6);
    cr_expect_float_eq(y[1], 1.0, 1e-6);
    cr_expect_float_eq(y[2], -0.6, 1e-6);
    ito_tensor *f = ito_zeros(ITO_SHAPE(3), ITO_F32);
    cr_expect_eq(images_scaled(f), f);
    cr_expect_null(images_scaled(NULL));
}
