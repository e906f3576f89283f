/* ito-ddpm classifier, and samples that it guides. */
#include "tests/examples/cli.h"

#include "autograd/ops.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(cli_guide, .init = cli_enter, .fini = cli_leave, .timeout = 120);

#define SHADES "folder:shades --size 8 --grey "

/* Images of 8x8, nearly black in one class and nearly white in the other. */
static void write_shades(void)
{
    ito_generator g = ito_generator_make(1, 0);
    cr_assert_eq(system("mkdir -p shades/dark shades/light"), 0);
    for (int i = 0; i < 40; i++) {
        char path[64];
        int low = i % 2 == 0 ? 0 : 200;
        snprintf(path, sizeof path, "shades/%s/%d.png", i % 2 == 0 ? "dark" : "light", i);
        ito_tensor *x = ito_randint(&g, low, low + 56, ITO_SHAPE(1, 8, 8), ITO_U8);
        cr_assert_eq(ito_png_save(path, x), ITO_OK, "%s", ito_error());
    }
}

static double mean_of(const char *path)
{
    ito_tensor *x = ito_npy_load(path);
    cr_assert_not_null(x, "%s", ito_error());
    return ito_item(ito_mean(x));
}

Test(cli_guide, a_classifier_guides_a_network_that_knows_no_classes)
{
    write_shades();
    succeeds(run("train --data " SHADES "--out r " TINY " --steps 100 " QUIET));
    succeeds(run("classifier --model r --data folder:shades --out c.safetensors --steps 80 "
                 "--channels 8 --batch 8 --lr 0.01 --json"));
    cr_assert_not_null(strstr(complained, "c.safetensors: right on 100 % of images at t = 0"), "%s",
                       complained);
    cr_assert_not_null(strstr(said, "{\"steps\":80,\"right\":[1.0000,"), "%s", said);

#define SAMPLE "sample --model r --classifier c.safetensors --classifier-scale 10 --n 8 --steps 10 "
    succeeds(run(SAMPLE "--npy dark.npy --class DARK"));
    succeeds(run(SAMPLE "--npy light.npy --class 1 --json"));
    cr_assert_not_null(strstr(said, "\"classifier\":\"c.safetensors\""), "%s", said);
    cr_assert_gt(mean_of("light.npy"), mean_of("dark.npy") + 0.2);

    /* An image does not depend on its batch, nor on threads, and a scale of 0 is no guidance. */
    succeeds(run(SAMPLE "--npy one.npy --class all --batch 3 --threads 1"));
    succeeds(run(SAMPLE "--npy two.npy --class all --batch 8 --threads 2"));
    cr_assert(same_file("one.npy", "two.npy"));
    const float *all = ito_const_data(ito_npy_load("one.npy"));
    const float *dark = ito_const_data(ito_npy_load("dark.npy"));
    const float *light = ito_const_data(ito_npy_load("light.npy"));
    cr_assert_eq(memcmp(all, dark, 64 * sizeof *all), 0);
    cr_assert_eq(memcmp(all + 64, light + 64, 64 * sizeof *all), 0);
    succeeds(run("sample --model r --n 2 --steps 10 --npy plain.npy"));
    succeeds(run("sample --model r --n 2 --steps 10 --npy zero.npy --classifier c.safetensors "
                 "--classifier-scale 0 --class light"));
    cr_assert(same_file("plain.npy", "zero.npy"));
    /* A network that knows classes is asked without one. */
    succeeds(run("train --data " SHADES "--conditional --out k " TINY " --steps 1 " QUIET));
    succeeds(run("sample --model k --n 2 --steps 10 --npy plain.npy"));
    succeeds(run("sample --model k --n 2 --steps 10 --npy zero.npy --classifier c.safetensors "
                 "--classifier-scale 0 --class light"));
    cr_assert(same_file("plain.npy", "zero.npy"));
    is_usage_error(SAMPLE "--npy x.npy --class grey", "--class: \"grey\" is none of dark, light");

    succeeds(run("classifier --model r --data folder:shades --out again.safetensors --steps 80 "
                 "--channels 8 --batch 8 --lr 0.01 --threads 1"));
    cr_assert(same_file("c.safetensors", "again.safetensors"));
}

/* A classifier of a step, for refusals. */
static void train_quick(const char *model, const char *out)
{
    succeeds(run("classifier --model %s --data folder:shades --out %s --steps 1 --channels 8",
                 model, out));
}

Test(cli_guide, what_does_not_go_together_is_refused)
{
    write_shades();
    succeeds(run("train --data " SHADES "--out r " TINY " --steps 1 " QUIET));
    is_usage_error("classifier --data folder:shades --out c", "--model is missing");
    is_usage_error("classifier --model r --out c", "--data is missing");
    is_usage_error("classifier --model r --data folder:shades", "--out is missing");
    is_usage_error("classifier --model r --data nothing --out c", "--data: \"nothing\" is none of");
    fails_with(run("classifier --model r --data npy:data.npy --out c"),
               "data.npy: a .npy file of images has no classes");
    fails_with(run("classifier --model r --data folder:shades --out nowhere/c"),
               "nowhere/c: cannot write it");
    is_usage_error("classifier --model r --data folder:shades --out c --channels 12",
                   "--channels: 12 is not a multiple of 8");
    cr_assert(!there("c"));

    train_quick("r", "c");
    is_usage_error("sample --model r --out g.png --classifier c",
                   "--classifier: it needs a --class to guide to");
    is_usage_error("sample --model r --out g.png --class dark --classifier-scale 2",
                   "--classifier-scale: it needs the --classifier that it scales");
    is_usage_error("sample --model r --out g.png --class dark --classifier c --guidance 2",
                   "--guidance: it guides by the network's own classes");
    fails_with(run("sample --model r --out g.png --class dark --classifier none"),
               "none: cannot open");
    fails_with(run("sample --model r --out g.png --class dark --classifier "
                   "r/checkpoints/step-1/ema.safetensors"),
               "it is no classifier of noised images, as ito-ddpm classifier makes them");

    succeeds(run("train --data " SHADES "--schedule linear --out l " TINY " --steps 1 " QUIET));
    is_usage_error("sample --model l --out g.png --class dark --classifier c",
                   "--classifier: c knows images noised by another schedule than the network's");
    succeeds(run("train --data folder:shades --size 4 --out s " TINY " --steps 1 " QUIET));
    is_usage_error("sample --model s --out g.png --class dark --classifier c",
                   "--classifier: c knows images of 8x8 with 1 channel, and the network makes 4x4 "
                   "with 3");
    cr_assert_eq(system("sed -i 's/classifier_channels\\(..\\):8/classifier_channels\\1:9/' c"), 0);
    fails_with(run("sample --model r --out g.png --class dark --classifier c"), "a width of 9");
    cr_assert(!there("g.png"));
}
