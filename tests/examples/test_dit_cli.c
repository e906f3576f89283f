/* ito-dit from outside: what it draws is of the class of its column, by either network, whatever
 * the number of threads; and what is wrong is said. */
#include "tests/examples/cli.h"

#include "autograd/ops.h"
#include "tensor/io/image.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { IMAGES = 120, SIDE = 28 };

#define SET "--data . --batch 16 --n 100 --sampler euler --sampling-steps 5 --json "
#define TINY_DIT SET "--patch 7 --width 64 --depth 1 --heads 2 "

/* Noisy images of class 0, dark, and of class 1, light. */
static void write_set(const char *set)
{
    char path[64];
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *images = ito_randint(&g, 0, 60, ITO_SHAPE(IMAGES, SIDE, SIDE), ITO_U8);
    ito_tensor *labels = ito_zeros(ITO_SHAPE(IMAGES), ITO_U8);
    uint8_t *pixels = ito_data(images), *label = ito_data(labels);
    for (int64_t i = 1; i < IMAGES; i += 2) {
        label[i] = 1;
        for (int64_t k = i * SIDE * SIDE; k < (i + 1) * SIDE * SIDE; k++)
            pixels[k] = (uint8_t)(pixels[k] + 190);
    }
    snprintf(path, sizeof path, "%s-images-idx3-ubyte", set);
    write_idx(path, images);
    snprintf(path, sizeof path, "%s-labels-idx1-ubyte", set);
    write_idx(path, labels);
}

static void enter(void)
{
    cli_enter();
    program = "ito-dit";
    write_set("train");
    write_set("t10k");
}

TestSuite(cli_dit, .init = enter, .fini = cli_leave, .timeout = 600);

/* The mean of the pictures in a column, 0 to 255. */
static double column(const char *path, int64_t i)
{
    ito_tensor *picture = ito_image_load(path, 1);
    cr_assert_not_null(picture, "%s", ito_error());
    cr_assert_eq(ito_size(picture, 1), 8 * (SIDE + 2) + 2);
    cr_assert_eq(ito_size(picture, 2), 10 * (SIDE + 2) + 2);
    ito_tensor *part = ito_narrow(picture, 2, i * (SIDE + 2) + 2, SIDE);
    return ito_item(ito_mean(ito_cast(part, ITO_F32)));
}

Test(cli_dit, draws_a_column_for_each_class)
{
    succeeds(run(TINY_DIT "--steps 300 --lr 0.003 --out a.png"));
    cr_expect_eq(number("steps"), 300);
    cr_expect(number("loss") > 0 && number("loss") < 1, "%g", number("loss"));
    cr_expect(number("frechet") > 0 && number("frechet_of_test_images") > 0);
    double dark = column("a.png", 0), light = column("a.png", 1);
    cr_expect(dark < 90 && light > 140, "%g, %g", dark, light);
}

Test(cli_dit, has_both_networks_and_each_kind_of_positions)
{
    succeeds(run(TINY_DIT "--steps 2 --out a.png --threads 1"));
    double parameters = number("parameters");
    succeeds(run(TINY_DIT "--steps 2 --out b.png --threads 3"));
    cr_expect(same_file("a.png", "b.png"));
    succeeds(run(TINY_DIT "--steps 2 --out b.png --seed 1"));
    cr_expect_not(same_file("a.png", "b.png"));
    succeeds(run(TINY_DIT "--steps 2 --out b.png --positions learned"));
    cr_expect_eq(number("parameters"), parameters + 4 * 4 * 64);
    succeeds(run(TINY_DIT "--steps 2 --out b.png --positions rotary"));
    cr_expect_eq(number("parameters"), parameters);
    succeeds(run(SET "--network unet --steps 2 --out b.png --guidance 1 --sampling-steps 1"));
    cr_expect_gt(number("parameters"), 1e6);
}

Test(cli_dit, says_what_is_wrong)
{
    is_usage_error("--network mlp", "--network: \"mlp\" is none of dit|unet");
    is_usage_error("--patch 0", "--patch: \"0\" is not a whole number from 1");
    fails_with(run("--data . --patch 5"), "dit: patches of 5x5 do not divide images of 28x28");
    fails_with(run("--data . --heads 3"), "dit: 3 heads do not divide a hidden_size of 128");
    is_usage_error("--data . --out a.txt",
                   "--out: a.txt: the name of a picture ends in .png, .jpg or .jpeg");
    put_file("a.png", "words");
    fails_with(run("--data . --out a.png"),
               "a.png: it is there and is not an image; name another file, or write over it by "
               "--force");
    fails_with(run("--data . --out nowhere/a.png"), "nowhere/a.png: cannot write it");
    fails_with(run("--data nowhere"), "nowhere/train-images-idx3-ubyte: there is no such file");
}
