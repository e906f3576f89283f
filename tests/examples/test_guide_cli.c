/* ito-ddpm classifier and samples that it guides; guidance in an interval, and by a worse network.
 */
#include "tests/examples/cli.h"

#include "autograd/ops.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(cli_guide, .init = cli_enter, .fini = cli_leave, .timeout = 600);

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
    cr_assert_not_null(
        strstr(said, "\"class\":\"light\",\"class_index\":1,\"classifier\":\"c.safetensors\""),
        "%s", said);
    cr_assert_not_null(strstr(complained, "class: light, number 1 of 0 to 1\n"), "%s", complained);
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
    is_usage_error("classifier --data folder:shades --out c.safetensors", "--model is missing");
    is_usage_error("classifier --model r --out c.safetensors", "--data is missing");
    is_usage_error("classifier --model r --data folder:shades", "--out is missing");
    is_usage_error("classifier --model r --data nothing --out c.safetensors",
                   "--data: \"nothing\" is none of");
    fails_with(run("classifier --model r --data npy:data.npy --out c.safetensors"),
               "data.npy: a .npy file of images has no classes");
    fails_with(run("classifier --model r --data folder:shades --out nowhere/c.safetensors"),
               "nowhere/c.safetensors: cannot write it");
    is_usage_error("classifier --model r --data folder:shades --out c.safetensors --channels 12",
                   "--channels: 12 is not a multiple of 8");
    cr_assert(!there("c.safetensors"));

    train_quick("r", "c.safetensors");
    is_usage_error("sample --model r --out g.png --classifier c.safetensors",
                   "--classifier: it needs a --class to guide to");
    is_usage_error("sample --model r --out g.png --class dark --classifier-scale 2",
                   "--classifier-scale: it needs the --classifier that it scales");
    is_usage_error(
        "sample --model r --out g.png --class dark --classifier c.safetensors --guidance 2",
        "--guidance: it guides by the network's own classes");
    fails_with(run("sample --model r --out g.png --class dark --classifier none"),
               "none: cannot open");
    fails_with(run("sample --model r --out g.png --class dark --classifier "
                   "r/checkpoints/step-1/ema.safetensors"),
               "it is no classifier of noised images, as ito-ddpm classifier makes them");

    succeeds(run("train --data " SHADES "--schedule linear --out l " TINY " --steps 1 " QUIET));
    is_usage_error(
        "sample --model l --out g.png --class dark --classifier c.safetensors",
        "--classifier: c.safetensors knows images noised by another schedule than the network's");
    succeeds(run("train --data folder:shades --size 4 --out s " TINY " --steps 1 " QUIET));
    is_usage_error(
        "sample --model s --out g.png --class dark --classifier c.safetensors",
        "--classifier: c.safetensors knows images of 8x8 with 1 channel, and the network makes 4x4 "
        "with 3");
    cr_assert_eq(
        system("sed -i 's/classifier_channels\\(..\\):8/classifier_channels\\1:9/' c.safetensors"),
        0);
    fails_with(run("sample --model r --out g.png --class dark --classifier c.safetensors"),
               "a width of 9");
    cr_assert(!there("g.png"));
}

/* ---- without a classifier ---- */

#define SIX "sample --model r --n 6 --steps 6 --sampler ddim "

Test(cli_guide, samples_are_guided_in_an_interval_and_rescaled)
{
    write_classes();
    succeeds(run(FOLDER "--conditional --steps 30 " QUIET " --out r"));
    succeeds(run(SIX "--npy one.npy --class cat"));
    succeeds(run(SIX "--npy two.npy --class cat --guidance 3"));
    succeeds(run(SIX "--npy never.npy --class cat --guidance 3 --guidance-interval 1e8,1e9"));
    succeeds(run(SIX "--npy always.npy --class cat --guidance 3 --guidance-interval 0,inf"));
    succeeds(run(SIX "--npy some.npy --class cat --guidance 3 --guidance-interval 0.3,2"));
    succeeds(run(SIX "--npy even.npy --class cat --guidance 3 --guidance-rescale 0.7"));
    cr_assert(same_file("one.npy", "never.npy"));
    cr_assert(same_file("two.npy", "always.npy"));
    const char *differ[] = {"one.npy", "two.npy", "some.npy", "even.npy"};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            cr_assert_not(same_file(differ[i], differ[j]), "%s %s", differ[i], differ[j]);
}

Test(cli_guide, samples_are_guided_by_a_worse_network)
{
    write_classes();
    succeeds(run(FOLDER "--conditional --steps 30 " QUIET " --out r"));
    succeeds(run(FOLDER "--conditional --steps 10 --channels 4 " QUIET " --out w"));
    succeeds(run(SIX "--npy one.npy"));
    succeeds(run(SIX "--npy same.npy --guidance 1 --autoguidance w"));
    succeeds(run(SIX "--npy two.npy --guidance 3 --autoguidance w"));
    succeeds(run(SIX "--npy worse.npy --guidance 0 --autoguidance w"));
    succeeds(run("sample --model w --n 6 --steps 6 --sampler ddim --npy w.npy"));
    succeeds(run(SIX "--npy dog.npy --guidance 3 --autoguidance w --class dog"));
    succeeds(run(SIX "--npy pag.npy --guidance 3 --perturbed-attention"));
    cr_assert(same_file("one.npy", "same.npy"));
    cr_assert(same_file("worse.npy", "w.npy"));
    const char *differ[] = {"one.npy", "two.npy", "dog.npy", "pag.npy", "w.npy"};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            cr_assert_not(same_file(differ[i], differ[j]), "%s %s", differ[i], differ[j]);
    succeeds(run("edit --model r --image photos/cat/0.png --npy e.npy --n 1 --steps 4 --guidance 2 "
                 "--autoguidance w --guidance-interval 0.1,9"));
}

Test(cli_guide, guidance_that_does_not_go_together_is_refused)
{
    write_classes();
    succeeds(run(FOLDER "--conditional --steps 1 " QUIET " --out r"));
#define LONELY "it needs --guidance, which says how much"
    is_usage_error("sample --model r --out g.png --class cat --guidance-interval 1,2",
                   "--guidance-interval: " LONELY);
    is_usage_error("sample --model r --out g.png --class cat --guidance-rescale 0.5",
                   "--guidance-rescale: " LONELY);
    is_usage_error("sample --model r --out g.png --autoguidance r", "--autoguidance: " LONELY);
    is_usage_error("sample --model r --out g.png --perturbed-attention",
                   "--perturbed-attention: " LONELY);
    is_usage_error("sample --model r --out g.png --guidance 2 --guidance-interval 1,2",
                   "--guidance: it needs a --class to guide to");
    is_usage_error("sample --model r --out g.png --guidance 2 --autoguidance r "
                   "--perturbed-attention",
                   "--perturbed-attention: --autoguidance guides already, by another network");
    const char *intervals[] = {"2", "2,1", "-1,2", "1,2,3", "a,b", "1,1"};
    for (int i = 0; i < 6; i++) {
        char arguments[128], words[128];
        snprintf(arguments, sizeof arguments,
                 "sample --model r --out g.png --class cat --guidance 2 --guidance-interval=%s",
                 intervals[i]);
        snprintf(words, sizeof words,
                 "--guidance-interval: \"%s\" is not LOW,HIGH, two numbers from 0 that rise",
                 intervals[i]);
        is_usage_error(arguments, words);
    }
    is_usage_error("eval --images a.npy --data folder:photos --frechet --autoguidance r",
                   "--autoguidance: it takes a --model to make images with");
    is_usage_error("eval --model r --data folder:photos --bits-per-dim --guidance 2 "
                   "--perturbed-attention",
                   "it has no part in --bits-per-dim, which makes no images");
}

/* Each network that disagrees with r, and what is said of it. */
Test(cli_guide, a_worse_network_that_disagrees_is_refused)
{
    write_classes();
    succeeds(run(FOLDER "--conditional --steps 1 " QUIET " --out r"));
    write_class("pets/cat", 3, 8, 0);
    write_class("pets/rat", 3, 8, 255);
    static const char *const cases[][2] = {
        {"--conditional --size 4", "4x4 images with 1 channel, and the network 8x8 images with 1 "
                                   "channel"},
        {"", "other classes than the network"},
        {"--conditional --data folder:pets", "other classes than the network"},
        {"--conditional --schedule linear", "another schedule than the network"},
        {"--conditional --diffusion-steps 10", "another schedule than the network"},
        {"--conditional --prediction v", "the prediction v, and the network the prediction eps"},
        {"--conditional --time-input log-snr",
         "the time input log-snr, and the network the time input timestep"},
        {"--conditional --variance learned_range",
         "a learned variance, and the network a fixed variance"},
        {"--conditional --self-conditioning",
         "self-conditioning, and the network no self-conditioning"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char words[256];
        succeeds(run(FOLDER "%s --steps 1 " QUIET " --out w%zu", cases[i][0], i));
        snprintf(words, sizeof words,
                 "--autoguidance: w%zu/checkpoints/step-1/ema.safetensors has %s", i, cases[i][1]);
        char arguments[128];
        snprintf(arguments, sizeof arguments,
                 "sample --model r --out g.png --guidance 2 --autoguidance w%zu", i);
        is_usage_error(arguments, words);
    }
    fails_with(run("sample --model r --out g.png --guidance 2 --autoguidance nowhere"),
               "nowhere: cannot open");
    cr_assert(!there("g.png"));
}

/* Of processes in continuous time, which have no steps to compare. */
Test(cli_guide, schedules_in_continuous_time_are_told_apart)
{
    write_classes();
#define CONTINUOUS                                                                                 \
    "train --data folder:photos --size 8 --grey --batch 4 --channels 8 --multipliers 1,2 "         \
    "--blocks 1 --steps 1 --prediction v " QUIET
    succeeds(run(CONTINUOUS " --schedule flow --out a"));
    succeeds(run(CONTINUOUS " --schedule flow --out b"));
    succeeds(run(CONTINUOUS " --schedule vp --out c"));
    succeeds(run("sample --model a --npy x.npy --n 1 --steps 2 --sampler ddim --guidance 2 "
                 "--autoguidance b"));
    is_usage_error("sample --model a --npy x.npy --guidance 2 --autoguidance c",
                   "has another schedule than the network");
}
