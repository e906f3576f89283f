/* ito-classifier from outside: it learns, what it writes is what eval reads, and what is wrong is
 * said. */
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void enter(void)
{
    cli_enter();
    program = "ito-classifier";
}

TestSuite(cli_classifier, .init = enter, .fini = cli_leave, .timeout = 600);

/* n images of a set, black ones of class 0 and white ones of class 1. */
static void write_set(const char *set, int64_t n, int64_t side)
{
    char path[64];
    ito_tensor *images = ito_zeros(ITO_SHAPE(n, side, side), ITO_U8);
    ito_tensor *labels = ito_zeros(ITO_SHAPE(n), ITO_U8);
    uint8_t *pixels = ito_data(images), *label = ito_data(labels);
    for (int64_t i = 0; i < n; i++) {
        label[i] = i % 2 != 0;
        memset(pixels + i * side * side, i % 2 == 0 ? 0 : 255, (size_t)(side * side));
    }
    snprintf(path, sizeof path, "%s-images-idx3-ubyte", set);
    write_idx(path, images);
    snprintf(path, sizeof path, "%s-labels-idx1-ubyte", set);
    write_idx(path, labels);
}

Test(cli_classifier, learns_writes_and_is_judged)
{
    write_set("train", 48, 28);
    write_set("t10k", 10, 28);
    succeeds(run("train --data . --out a.safetensors --epochs 1 --batch 4 --json"));
    double share = number("accuracy");
    cr_expect_eq(share, 1.0, "black from white: %g", share);
    succeeds(run("eval --data . --model a.safetensors"));
    cr_expect_str_eq(complained, "right on 100.00 % of the test images\n");
    succeeds(run("train --data . --out b.safetensors --epochs 1 --batch 4 --threads 1"));
    cr_expect(same_file("a.safetensors", "b.safetensors"));
    succeeds(run("train --data . --out c.safetensors --epochs 1 --batch 4 --seed 1"));
    cr_expect_not(same_file("a.safetensors", "c.safetensors"));
    /* The weights that come with the library: white and black are no shirts. */
    succeeds(run("eval --data . --json"));
    cr_expect_leq(number("accuracy"), 1.0);
}

Test(cli_classifier, says_what_is_wrong)
{
    is_usage_error("", "");
    is_usage_error("show", "train|eval");
    is_usage_error("train --data .", "--out is missing: where the weights go");
    is_usage_error("train --out a --epochs 0", "--epochs: \"0\" is not a whole number from 1");
    is_usage_error("eval --out a", "--out");
    fails_with(run("train --data . --out nowhere/a.safetensors"),
               "nowhere/a.safetensors: cannot write it: No such file or directory");
    is_usage_error("train --data . --out a",
                   "--out: a: the name of a file of a network ends in .safetensors");
    fails_with(run("train --data . --out a.safetensors"),
               "./train-images-idx3-ubyte: there is no such file, nor .gz");
    write_set("train", 4, 12);
    fails_with(run("train --data . --out a.safetensors"), "images are 28x28, not 12x12");
    write_set("train", 4, 28);
    fails_with(run("train --data . --out a.safetensors --epochs 1 --batch 4"),
               "./t10k-images-idx3-ubyte: there is no such file, nor .gz");
    write_set("t10k", 6, 28);
    write_idx("t10k-labels-idx1-ubyte", ito_zeros(ITO_SHAPE(5), ITO_U8));
    fails_with(run("eval --data ."),
               "./t10k-labels-idx1-ubyte: its labels do not fit the number of images, 6");
    write_idx("t10k-images-idx3-ubyte", ito_zeros(ITO_SHAPE(5, 12, 12), ITO_U8));
    fails_with(run("eval --data ."), "28");
    write_npy("a.npy", ito_zeros(ITO_SHAPE(2), ITO_F32));
    fails_with(run("eval --data . --model a.npy"), "a.npy: ");
}
