/* ito-ddpm interpolate, inpaint, encode and decode from outside: they do what the library does, and
 * refuse images that do not fit. */
#include "tests/examples/cli.h"

#include "autograd/ops.h"
#include "models/ddpm/edit/edit.h"
#include "models/ddpm/settings.h"
#include "nn/checkpoint.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(cli_edit, .init = cli_enter, .fini = cli_leave, .timeout = 600);

/* The run's averages and diffusion. */
typedef struct model {
    ito_unet *unet;
    ito_diffusion *d;
} model;

static model load(void)
{
    ito_ddpm_settings s;
    char *text = ito_checkpoint_settings("r/checkpoints/step-2");
    cr_assert_eq(ito_ddpm_settings_parse(text, "r", &s), ITO_OK, "%s", ito_error());
    free(text);
    model m = {ito_unet_create(&s.model, NULL), ito_diffusion_create_with(s.diffusion)};
    ito_module_train(&m.unet->base, false);
    cr_assert_eq(
        ito_module_load(&m.unet->base, "r/checkpoints/step-2/ema.safetensors", .prefix = NULL),
        ITO_OK, "%s", ito_error());
    return m;
}

static void end(model *m)
{
    ito_diffusion_free(m->d);
    ito_module_free(&m->unet->base);
}

/* n images of data.npy, scaled. */
static ito_tensor *images(int64_t first, int64_t n)
{
    ito_tensor *x = ito_reshape(ito_narrow(ito_npy_load("data.npy"), 0, first, n), n, 1, 8, 8);
    return ito_add_scalar(ito_mul_scalar(ito_cast(x, ITO_F32), 1.0 / 127.5), -1.0);
}

static void same(const char *path, ito_tensor *want)
{
    ito_tensor *got = ito_npy_load(path);
    want = ito_contiguous(want);
    cr_assert_eq(ito_numel(got), ito_numel(want));
    float *a = malloc((size_t)ito_numel(got) * 4), *b = malloc((size_t)ito_numel(got) * 4);
    ito_to_data(got, a, ITO_F32);
    ito_to_data(want, b, ITO_F32);
    cr_expect_eq(memcmp(a, b, (size_t)ito_numel(got) * 4), 0, "%s", path);
    free(a);
    free(b);
}

Test(cli_edit, interpolates_as_the_library_does)
{
    train_tiny("r", "--steps 2 " QUIET);
    succeeds(run("interpolate --model r --data npy:data.npy --first 3 --second 5 --n 4 --t 12 "
                 "--steps 10 --seed 7 --npy a.npy --out a.png --json"));
    cr_expect_eq(number("images"), 4);
    cr_expect_eq(access("a.png", F_OK), 0);
    model m = load();
    same("a.npy",
         ito_diffusion_interpolate(m.d, &m.unet->network, images(3, 1), images(5, 1),
                                   ito_linspace(0, 1, 4, ITO_F32), 12, .steps = 10, .seed = 7));
    end(&m);
}

/* The mask: the left half stays. */
Test(cli_edit, inpainting_keeps_what_is_given)
{
    train_tiny("r", "--steps 2 " QUIET);
    ito_tensor *mask = ito_zeros(ITO_SHAPE(1, 8, 8), ITO_U8);
    for (int i = 0; i < 64; i++)
        ((uint8_t *)ito_data(mask))[i] = i % 8 < 4;
    write_npy("mask.npy", mask);
    ito_tensor *grey =
        ito_contiguous(ito_reshape(ito_narrow(ito_npy_load("data.npy"), 0, 2, 1), 1, 8, 8));
    cr_assert_eq(ito_png_save("image.png", grey), ITO_OK, "%s", ito_error());
    succeeds(run("inpaint --model r --image image.png --mask mask.npy --n 3 --steps 10 --jump 2 "
                 "--repeats 2 --npy a.npy"));
    ito_tensor *x = ito_npy_load("a.npy");
    cr_assert_eq(ito_size(x, 0), 3);
    const float *made = ito_const_data(x), *first = made;
    const float *given = ito_const_data(images(2, 1));
    for (int i = 0; i < 3 * 64; i++)
        if (i % 8 < 4)
            cr_assert_eq(made[i], given[i % 64], "pixel %d", i);
    cr_expect_neq(memcmp(first, first + 64, 64 * sizeof(float)), 0, "versions differ");
    /* A white and black picture says the same as a mask of 1 and 0. */
    cr_assert_eq(
        ito_png_save("mask.png", ito_cast(ito_mul_scalar(ito_cast(mask, ITO_F32), 255), ITO_U8)),
        ITO_OK);
    succeeds(run("inpaint --model r --image image.png --mask mask.png --n 3 --steps 10 --jump 2 "
                 "--repeats 2 --npy b.npy"));
    same("b.npy", x);
}

Test(cli_edit, an_image_is_changed_as_the_library_does)
{
    train_tiny("r", "--steps 2 " QUIET);
    write_npy("one.npy",
              ito_contiguous(ito_reshape(ito_narrow(ito_npy_load("data.npy"), 0, 2, 1), 1, 8, 8)));
#define CHANGE "edit --model r --steps 6 "
    succeeds(run(CHANGE "--image one.npy --strength 0.4 --n 3 --seed 5 --npy a.npy --out a.png"));
    succeeds(run(CHANGE "--image one.npy --strength 0.4 --n 3 --seed 5 --npy b.npy --batch 2"));
    cr_assert(same_file("a.npy", "b.npy"));
    model m = load();
    ito_tensor *x = ito_contiguous(ito_expand(images(2, 1), 3, 1, 8, 8));
    same("a.npy", ito_image_to_image(m.d, &m.unet->network, x, 0.4, .steps = 6, .seed = 5));
    end(&m);
    cr_assert(there("a.png"));
    fails_with(run(CHANGE "--image a.png --npy c.npy"),
               "a.png: 22x22 is the size of a grid of 2 x 2 images, and one of 8x8 is needed; "
               "--out DIR/ writes each to a file of its own");
    fails_with(run(CHANGE "--image data.npy --npy d.npy"), "data.npy: one image is needed, not 40");
    is_usage_error(CHANGE "--image one.npy --npy d.npy --strength 0",
                   "--strength: \"0\" is not a number above 0 and at most 1");
    is_usage_error(CHANGE "--npy d.npy", "--image is missing");
    cr_assert(!there("d.npy"));
}

Test(cli_edit, what_was_encoded_is_decoded)
{
    train_tiny("r", "--steps 2 " QUIET);
    succeeds(run("encode --model r --data npy:data.npy --first 4 --n 3 --npy noise.npy --out a.png "
                 "--json"));
    model m = load();
    ito_round_trip t;
    cr_assert_eq(ito_diffusion_round_trip(m.d, &m.unet->network, images(4, 3), &t, .steps = 20,
                                          .no_clip = true),
                 ITO_OK);
    same("noise.npy", t.noise);
    cr_expect_float_eq(number("round_trip_error"), ito_item(ito_mean(t.error)), 1e-6);
    cr_expect_float_eq(number("largest_error"), ito_item(ito_max(t.error)), 1e-6);
    succeeds(run("decode --model r --image noise.npy --npy back.npy --out b.png"));
    same("back.npy", t.image);
    cr_expect_eq(system("cmp a.png b.png"), 0);
    end(&m);
}

Test(cli_edit, refuses_images_that_do_not_fit)
{
    train_tiny("r", "--steps 2 " QUIET);
    write_images("large.npy", 2, 12);
    ito_generator g = ito_generator_make(1, 1);
    write_npy("colour.npy", ito_randint(&g, 0, 256, ITO_SHAPE(2, 3, 8, 8), ITO_U8));
    write_npy("one.npy", ito_zeros(ITO_SHAPE(1, 1, 8, 8), ITO_F32));
#define LARGE "large.npy: the images are 12x12 with 1 channel, and the network takes 8x8 with 1"
#define COLOUR "colour.npy: the images are 8x8 with 3 channels, and the network takes 8x8 with 1"
    fails_with(run("interpolate --model r --npy a.npy --data npy:large.npy"), LARGE);
    fails_with(run("interpolate --model r --npy a.npy --data npy:colour.npy"), COLOUR);
    fails_with(run("encode --model r --npy a.npy --n 2 --data npy:large.npy"), LARGE);
    fails_with(run("encode --model r --npy a.npy --n 2 --data npy:colour.npy"), COLOUR);
    fails_with(run("decode --model r --npy a.npy --image large.npy"), LARGE);
    fails_with(run("inpaint --model r --npy a.npy --image large.npy --mask one.npy"), LARGE);
    fails_with(run("inpaint --model r --npy a.npy --image one.npy --mask colour.npy"),
               "colour.npy: the mask is [2, 3, 8, 8]; for this network one is [8, 8], or that with "
               "an axis of channels");
    fails_with(run("inpaint --model r --npy a.npy --image data.npy --mask one.npy"),
               "data.npy: one image is needed, not 40");
    fails_with(
        run("inpaint --model r --npy a.npy --image one.npy --mask one.npy"),
        "one.npy: the mask keeps nothing of the image (its numbers are from 0 to 0); ito-ddpm "
        "sample makes whole images");
    fails_with(run("inpaint --model r --npy a.npy --image no.png --mask one.npy"), "no.png: ");
    cr_expect_neq(access("a.npy", F_OK), 0);
}

Test(cli_edit, refuses_and_writes_nothing_that_is_not_finite)
{
    train_tiny("r", "--steps 2 " QUIET);
    write_npy("one.npy", ito_zeros(ITO_SHAPE(1, 1, 8, 8), ITO_F32));
    write_npy("nan.npy", ito_full(ITO_SHAPE(1, 1, 8, 8), (double)NAN, ITO_F32));
    write_npy("wild.npy", ito_full(ITO_SHAPE(1, 1, 8, 8), 3.5, ITO_F32));
#define NOT_FINITE "nan.npy: element 0 is nan; f32 images have finite numbers"
    fails_with(run("decode --model r --npy a.npy --image nan.npy"), NOT_FINITE);
    fails_with(run("inpaint --model r --npy a.npy --image one.npy --mask nan.npy"),
               "nan.npy: the mask has a number that is not finite");
    fails_with(run("inpaint --model r --npy a.npy --image nan.npy --mask one.npy"), NOT_FINITE);
    fails_with(run("inpaint --model r --npy a.npy --image wild.npy --mask one.npy"),
               "wild.npy: its numbers reach 3.5; f32 images lie in [-1, 1]");
    succeeds(run("decode --model r --npy b.npy --image wild.npy"));
    run("train --data npy:data.npy --out bad " TINY " " QUIET
        " --steps 50 --lr 1e30 --clip 0 --warmup 0 --checkpoint-every 1");
    static const char *const commands[] = {
        "encode --n 2 --data npy:data.npy", "decode --image one.npy",
        "interpolate --data npy:data.npy", "inpaint --n 1 --image one.npy --mask mask.npy"};
    write_npy("mask.npy", ito_eye(8, ITO_BOOL));
    for (int i = 0; i < 4; i++)
        fails_with(run("%s --model bad --weights model --npy a.npy --out a.png", commands[i]),
                   "model.safetensors: image 0 is not finite; nothing was written");
    cr_expect(!there("a.npy") && !there("a.png"));
}

Test(cli_edit, refuses_numbers_that_there_are_not)
{
    train_tiny("r", "--steps 2 " QUIET);
#define BETWEEN "interpolate --model r --npy a.npy --data npy:data.npy "
    is_usage_error(BETWEEN "--second 40",
                   "--second: image 40 is wanted, and npy:data.npy has images 0 to 39");
    is_usage_error(BETWEEN "--t 20", "--t: 20 is no step of the diffusion, which ends at 19");
    is_usage_error(BETWEEN "--steps 21", "--steps: 21 is more than the 20 of the diffusion");
    is_usage_error("encode --model r --npy a.npy --data npy:data.npy --n 41",
                   "--n: image 40 is wanted, and npy:data.npy has images 0 to 39");
    is_usage_error("interpolate --npy a.npy --data npy:data.npy", "--model is missing");
    is_usage_error("interpolate --model r --npy a.npy", "--data is missing");
    is_usage_error("interpolate --model r --npy a.npy --data x", "--data: \"x\" is none of");
    is_usage_error("interpolate --model r --data npy:data.npy", "--out or --npy is missing");
    is_usage_error("inpaint --model r --npy a.npy --image data.npy", "--mask is missing");
    fails_with(run("decode --model r --image data.npy --npy nowhere/a.npy"),
               "nowhere/a.npy: cannot write it");
}

Test(cli_edit, says_where_the_result_went)
{
    train_tiny("r", "--steps 2 " QUIET);
    is_usage_error("encode --model r --npy a.npy --data npy:data.npy --first 40",
                   "--first: image 40 is wanted, and npy:data.npy has images 0 to 39");
    succeeds(run("encode --model r --data npy:data.npy --first 38 --npy few.npy --json"));
    cr_assert_eq(number("images"), 2.0);
    cr_assert_not_null(strstr(complained, "2 noises in few.npy"), "%s", complained);
    succeeds(run("encode --model r --data npy:data.npy --n 3 --npy noise.npy --out back.png"));
    cr_expect_not_null(strstr(complained, "3 noises in noise.npy\n3 images in back.png\n"), "%s",
                       complained);
    succeeds(run("interpolate --model r --data npy:data.npy --n 4 --out between.png"));
    cr_expect_str_eq(complained, "4 images in between.png\n");
}

/* Nothing in them is random. */
Test(cli_edit, encode_and_decode_have_no_seed)
{
    is_usage_error("encode --model r --npy a.npy --data npy:data.npy --seed 1", "--seed");
    is_usage_error("decode --model r --npy a.npy --image a.npy --seed 1", "--seed");
}

Test(cli_edit, results_do_not_depend_on_the_batch)
{
    train_tiny("r", "--steps 2 " QUIET);
    write_npy("mask.npy", ito_eye(8, ITO_BOOL));
    write_npy("image.npy", ito_narrow(ito_npy_load("data.npy"), 0, 2, 1));
    succeeds(run("encode --model r --data npy:data.npy --n 5 --steps 4 --npy noise.npy"));
    static const char *const commands[] = {
        "encode --data npy:data.npy --n 5 --out a.png", "decode --image noise.npy",
        "interpolate --data npy:data.npy --n 5",
        "inpaint --n 5 --image image.npy --mask mask.npy --jump 1 --repeats 2"};
    for (int i = 0; i < 4; i++) {
        succeeds(run("%s --model r --steps 4 --npy a.npy --json", commands[i]));
        double error = i == 0 ? number("largest_error") : 0.0;
        succeeds(run("%s --model r --steps 4 --npy b.npy --batch 2 --json", commands[i]));
        cr_expect(same_file("a.npy", "b.npy"), "%s", commands[i]);
        cr_expect(i > 0 || number("largest_error") == error);
    }
}

/* That there is a difference is all: what a class does, test_condition.c knows. */
Test(cli_edit, each_takes_a_class)
{
    write_classes();
    succeeds(run(FOLDER "--conditional --steps 2 " QUIET " --out r"));
    write_npy("grey.npy", ito_zeros(ITO_SHAPE(1, 1, 8, 8), ITO_F32));
    write_npy("mask.npy", ito_eye(8, ITO_BOOL));
    static const char *const commands[] = {"encode --data folder:photos --n 1",
                                           "decode --image grey.npy",
                                           "interpolate --data folder:photos --second 5",
                                           "inpaint --n 1 --image grey.npy --mask mask.npy"};
    for (int i = 0; i < 4; i++) {
        succeeds(run("%s --model r --steps 3 --npy none.npy", commands[i]));
        succeeds(run("%s --model r --steps 3 --npy cat.npy --class cat", commands[i]));
        succeeds(run("%s --model r --steps 3 --npy dog.npy --class dog", commands[i]));
        cr_expect_not(same_file("none.npy", "cat.npy"), "%s", commands[i]);
        cr_expect_not(same_file("dog.npy", "cat.npy"), "%s", commands[i]);
        if (i > 0) {
            succeeds(
                run("%s --model r --steps 3 --npy very.npy --class cat --guidance 3", commands[i]));
            cr_expect_not(same_file("very.npy", "cat.npy"), "%s", commands[i]);
        }
    }
    is_usage_error("interpolate --model r --data folder:photos --npy a.npy --guidance 2",
                   "--guidance: it needs a --class to guide to");
    is_usage_error("inpaint --model r --image grey.npy --mask grey.npy --npy a.npy --class bird",
                   "--class: \"bird\" is none of cat, dog, nor 0 to 1");
    is_usage_error("encode --model r --data folder:photos --npy a.npy --guidance 2", "--guidance");
}
