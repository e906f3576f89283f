/* ito-ddpm sample: an image depends on its number only, and what cannot be done is said. */
#include "tests/examples/cli.h"

#include "models/classifier/classifier.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_sample, .init = cli_enter, .fini = cli_leave, .timeout = 600);

Test(cli_sample, an_image_depends_on_its_number_only)
{
    train_tiny("r", "--steps 2 " QUIET);
    succeeds(run("sample --model r --npy a.npy --out a.png --n 5 --steps 4 --batch 5 --threads 2"));
    succeeds(run("sample --model r --npy b.npy --n 5 --steps 4 --batch 2 --threads 1"));
    cr_assert(same_file("a.npy", "b.npy"));
    succeeds(run("sample --model r/checkpoints/step-2 --npy c.npy --n 1 --first 3 --steps 4"));
    ito_tensor *a = ito_npy_load("a.npy"), *c = ito_npy_load("c.npy");
    cr_assert_eq(memcmp((const float *)ito_const_data(a) + 3 * 64, ito_const_data(c), 64 * 4), 0);
    succeeds(run("sample --model r/checkpoints/step-2/ema.safetensors --npy d.npy --n 5 --steps 4 "
                 "--seed 1"));
    cr_assert(!same_file("a.npy", "d.npy"));
    succeeds(run("sample --model r --npy e.npy --n 5 --steps 4 --sampler ddim --eta 0.5 --spacing "
                 "trailing --rederive-eps --no-clip --json"));
    cr_assert_not_null(strstr(said, "\"sampler\":\"ddim\""), "%s", said);
    cr_assert(!same_file("a.npy", "e.npy"));
    succeeds(run("sample --model r --npy g.npy --trajectory t.npy --n 3 --batch 2 --steps 4 "
                 "--sampler dpm++2m --spacing karras --threshold 0.9"));
    ito_tensor *g = ito_npy_load("g.npy"), *t = ito_npy_load("t.npy");
    cr_assert_eq(ito_ndim(t), 5);
    cr_assert(ito_size(t, 0) == 4 && ito_size(t, 1) == 3);
    /* The last step leads to what the network sees there. */
    cr_assert_eq(memcmp((const float *)ito_const_data(t) + 3 * ito_numel(g), ito_const_data(g),
                        (size_t)ito_numel(g) * 4),
                 0);
    succeeds(run("sample --model r --out f.png --n 5 --steps 4 --columns 5 --weights model"));
    cr_assert(there("a.png") && there("f.png"));
}

/* Pixel (y, x) of image k in a grid of 8x8 pictures. */
static int pixel(ito_tensor *grid, int64_t row, int64_t column, int64_t y, int64_t x)
{
    const uint8_t *p = ito_const_data(grid);
    return p[(row * 10 + 2 + y) * ito_size(grid, 2) + column * 10 + 2 + x];
}

static int grey(float x)
{
    int y = (int)lrintf((x + 1) * 127.5f);
    return y < 0 ? 0 : y > 255 ? 255 : y;
}

Test(cli_sample, a_strip_and_frames_show_the_steps_of_the_trajectory)
{
    train_tiny("r", "--steps 2 " QUIET);
    succeeds(run("sample --model r --n 3 --steps 8 --batch 2 --trajectory t.npy"));
    succeeds(run("sample --model r --n 3 --steps 8 --trajectory s.png --trajectory-steps 3 "
                 "--frames f --columns 2 --json"));
    cr_assert_not_null(strstr(said, "\"frames\":\"f\""), "%s", said);
    cr_assert_not_null(strstr(complained, "3 frames, and frames.png, which plays them, in f"), "%s",
                       complained);
    const float *t = ito_const_data(ito_npy_load("t.npy"));
    ito_tensor *strip = ito_image_load("s.png", 1);
    cr_assert(ito_size(strip, 1) == 3 * 10 + 2 && ito_size(strip, 2) == 3 * 10 + 2);
    static const int kept[] = {0, 4, 7}; /* of 8 steps */
    for (int k = 0; k < 3; k++) {
        char path[32];
        snprintf(path, sizeof path, "f/frame-%04d.png", k);
        ito_tensor *frame = ito_image_load(path, 1);
        cr_assert(frame != NULL && ito_size(frame, 1) == 2 * 10 + 2, "%s", ito_error());
        for (int i = 0; i < 3; i++)
            for (int p = 0; p < 64; p++) {
                int want = grey(t[(kept[k] * 3 + i) * 64 + p]);
                cr_assert_eq(pixel(strip, i, k, p / 8, p % 8), want);
                cr_assert_eq(pixel(frame, i / 2, i % 2, p / 8, p % 8), want);
            }
    }
    cr_assert(!there("f/frame-0003.png"));
    ito_tensor *still = ito_image_load("f/frames.png", 1),
               *last = ito_image_load("f/frame-0002.png", 1);
    cr_assert_eq(memcmp(ito_const_data(still), ito_const_data(last), (size_t)ito_numel(last)), 0);

    succeeds(run("sample --model r --n 1 --steps 20 --trajectory s.png"));
    cr_assert_eq(ito_size(ito_image_load("s.png", 1), 2), 10 * 10 + 2);
    succeeds(run("sample --model r --n 1 --steps 4 --frames g"));
    cr_assert(there("g/frame-0003.png") && !there("g/frame-0004.png"));
    /* Trailing steps that end at the first level are one fewer. */
    succeeds(run("sample --model r --n 1 --steps 20 --spacing trailing --end-at-first --frames h"));
    cr_assert(same_file("h/frame-0009.png", "h/frame-0010.png"));
}

Test(cli_sample, a_trajectory_that_cannot_be_written_is_refused_before_sampling)
{
    train_tiny("r", "--steps 1 " QUIET);
    is_usage_error("sample --model r --out g.png --trajectory-steps 3",
                   "--trajectory-steps: it needs a --trajectory or --frames to be shown in");
    is_usage_error("sample --model r --frames f --steps 4 --trajectory-steps 5",
                   "--trajectory-steps: 5 is more than the 4 taken");
    fails_with(run("sample --model r --trajectory nowhere/s.png"),
               "nowhere/s.png: cannot write it");
    fails_with(run("sample --model r --frames nowhere/f"),
               "nowhere/f: cannot make the directory: No such file");
    cr_assert(!there("f"));
}

/* The network that comes with the program makes what it is asked for, in the eyes of the classifier
 * that comes with the library. */
Test(cli_sample, the_built_in_network_knows_its_classes)
{
    static const char *const word[] = {"trouser", "bag", "boot"};
    static const int label[] = {1, 8, 9};
    for (int i = 0; i < 3; i++) {
        succeeds(run("sample --class %s --guidance 2 --n 8 --steps 10 --npy x.npy", word[i]));
        ito_tensor *logits, *features, *x = ito_npy_load("x.npy");
        ito_classifier *c = ito_classifier_fashion_mnist();
        cr_assert_eq(ito_classifier_run(c, x, &features, &logits), ITO_OK, "%s", ito_error());
        const float *row = ito_const_data(logits);
        int right = 0;
        for (int n = 0; n < 8; n++, row += 10) {
            int best = 0;
            for (int k = 1; k < 10; k++)
                best = row[k] > row[best] ? k : best;
            right += best == label[i];
        }
        cr_expect_geq(right, 7, "%d of 8 are %s", right, word[i]);
        ito_module_free(&c->base);
    }
}

Test(cli_sample, without_options_there_are_samples)
{
    succeeds(run("sample --n 1"));
    cr_expect(there("samples.png"));
    cr_expect_not_null(strstr(complained, "1 image in samples.png"), "%s", complained);
    succeeds(run("sample --model fashion-mnist --n 1 --npy named.npy --steps 25"));
    succeeds(run("sample --n 1 --npy plain.npy"));
    cr_expect(same_file("named.npy", "plain.npy"));
    cr_expect_eq(run("sample --class sandal,boot"), 2);
    cr_expect_not_null(strstr(complained, "\"sandal,boot\" is none of t-shirt, trouser"));
    train_tiny("fashion-mnist", "--steps 1 " QUIET); /* what is there has the name */
    succeeds(run("sample --model fashion-mnist --npy own.npy --n 1 --steps 4"));
    cr_expect_eq(ito_size(ito_npy_load("own.npy"), 3), 8);
}

Test(cli_sample, sampling_refuses_what_it_cannot_do)
{
    train_tiny("r", "--steps 1 " QUIET);
    fails_with(run("sample --model r --out nowhere/g.png"), "nowhere/g.png: cannot write it");
    cr_assert_eq(run("sample --model r --out g.png --steps 21"), 2);
    cr_assert_not_null(strstr(complained, "--steps: 21 is more than the 20"), "%s", complained);
}
