/* NumPy's arrays and archives as the data of a run. */
#include "tests/examples/cli.h"

#include "autograd/ops.h"
#include "tensor/io/npy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_arrays, .init = cli_enter, .fini = cli_leave, .timeout = 120);

#define TRAIN "train --data npy:x.npy --out r --steps 2 " TINY " " QUIET " "

/* The images of data.npy as numbers from 0 to `high`, of this dtype. */
static void write_scaled(const char *path, double high, ito_dtype dtype)
{
    ito_tensor *x = ito_cast(ito_npy_load("data.npy"), ITO_F64);
    write_npy(path, ito_cast(ito_mul_scalar(x, high / 255.0), dtype));
}

/* float32 in [0, 1] and what --range 0,1 makes of it; 0 to 65535, as numbers of any range. */
Test(cli_arrays, a_range_gives_the_images_that_it_means)
{
    write_scaled("x.npy", 65535, ITO_I32);
    succeeds(run(TRAIN "--range 0,65535"));
    succeeds(run("train --data npy:data.npy --out whole --steps 2 " TINY " " QUIET));
    fails_with(
        run("eval --model r --data npy:x.npy --bits-per-dim --n 2"),
        "x.npy: it holds whole numbers (i32) from 0 to 65535; say which are black and white: "
        "--range 0,65535");
    succeeds(run("eval --model r --data npy:x.npy --range 0,65535 --bits-per-dim --n 2 --json"));
    double bits = number("bits_per_dim");
    succeeds(run("eval --model whole --data npy:data.npy --bits-per-dim --n 2 --json"));
    cr_expect_float_eq(bits, number("bits_per_dim"), 1e-3 * bits, "%g, not %g", bits,
                       number("bits_per_dim"));
}

Test(cli_arrays, a_range_is_stored_with_the_run)
{
    write_scaled("x.npy", 1, ITO_F32);
    succeeds(run(TRAIN "--range 0,1 --stop-at 1"));
    cr_expect_null(strstr(complained, "--range"), "%s", complained);
    succeeds(run("train --out r --resume"));
    is_usage_error("train --out r --resume --range 0,2",
                   "--range: it differs from that of the run in r");
    cr_assert_eq(system("grep -q '\"range\":.\"0,1\"' r/config.json"), 0);
}

Test(cli_arrays, a_range_that_is_likely_to_be_missing_is_named)
{
    write_scaled("x.npy", 1, ITO_F32);
    succeeds(run(TRAIN));
    cr_expect_not_null(strstr(complained,
                              "x.npy: its numbers are from 0 to 1, and floats of images "
                              "lie in [-1, 1]: if 0 is black, give --range 0,1, else "
                              "--range -1,1\n"),
                       "%s", complained);
}

Test(cli_arrays, a_range_is_refused_where_it_means_nothing)
{
    write_classes();
    is_usage_error(FOLDER "--range 0,1 --out r",
                   "--range: it is for npy:FILE, whose numbers it explains");
    is_usage_error("train --data npy:data.npy --range black --out r " TINY,
                   "--range: \"black\" is not LOW,HIGH, two numbers that rise, as 0,1");
    is_usage_error("plot --out p --range 0,1", "--range: it needs the --data");
    is_usage_error("eval --images a.npy --score --range 0,1",
                   "--range: it explains the numbers of --data");
    cr_expect(!there("r"));
}

Test(cli_arrays, info_describes_an_archive)
{
    static const char script[] =
        "import sys, zipfile; z = zipfile.ZipFile('x.npz', 'w', zipfile.ZIP_DEFLATED); "
        "z.write('data.npy', 'images.npy'); z.write('labels.npy', 'labels.npy'); z.close()";
    char command[512];
    ito_tensor *labels = ito_empty(ITO_SHAPE(40), ITO_I64);
    for (int64_t i = 0; i < 40; i++)
        ((int64_t *)ito_data(labels))[i] = i % 2 + 5;
    write_npy("labels.npy", labels);
    snprintf(command, sizeof command, "python3 -c \"%s\"", script);
    cr_assert_eq(system(command), 0, "python3, which Meson needs too, writes the archive");
    succeeds(run("info x.npz"));
    cr_expect_not_null(strstr(said,
                              "kind: npz archive\narrays: 2\ncontents:\n  images:\n    dtype: "
                              "u8\n    shape: [40, 1, 8, 8]\n"),
                       "%s", said);
    succeeds(run("train --data npy:x.npz --conditional --out r --steps 2 " TINY " " QUIET));
    succeeds(run("sample --model r --class 6 --n 1 --steps 2 --out a.png"));
    succeeds(run("prepare --data npy:x.npz --out p.safetensors --json"));
    cr_expect_eq(number("classes"), 2);
    cr_assert_eq(system("printf x | dd of=x.npz bs=1 seek=100 conv=notrunc 2>dd.txt"), 0);
    cr_expect_eq(run("info x.npz"), 1);
}
