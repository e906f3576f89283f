/* ito-ddpm interpolate, inpaint, encode and decode from outside: they do what the library does, and
 * refuse images that do not fit. */
#include "autograd/ops.h"
#include "models/ddpm/edit.h"
#include "models/ddpm/settings.h"
#include "nn/checkpoint.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/ito-edit-XXXXXX";

static void save(const char *path, ito_tensor *t)
{
    cr_assert_eq(ito_npy_save(path, t), ITO_OK, "%s", ito_error());
}

static void save_images(const char *path, int64_t n, int64_t side)
{
    ito_generator g = ito_generator_make(1, 1);
    save(path, ito_randint(&g, 0, 256, ITO_SHAPE(n, 1, side, side), ITO_U8));
}

static void enter(void)
{
    cr_assert_not_null(getenv("ITO_DDPM"), "ITO_DDPM names the program");
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(chdir(directory), 0);
    setenv("OMP_WAIT_POLICY", "passive", 1);
    save_images("data.npy", 20, 8);
}

static void leave(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_assert_eq(system(command), 0);
}

TestSuite(edit_cli, .init = enter, .fini = leave, .timeout = 120);

static char said[8192], complained[8192];

static void slurp(const char *path, char *out, size_t room)
{
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f);
    out[fread(out, 1, room - 1, f)] = '\0';
    fclose(f);
}

static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *format, ...)
{
    char arguments[1024], command[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    snprintf(command, sizeof command, "\"$ITO_DDPM\" %s >stdout.txt 2>stderr.txt </dev/null",
             arguments);
    int status = system(command);
    slurp("stdout.txt", said, sizeof said);
    slurp("stderr.txt", complained, sizeof complained);
    cr_assert(WIFEXITED(status), "%s", command);
    return WEXITSTATUS(status);
}

/* The number of that name in what was said as JSON. */
static double number(const char *name)
{
    cJSON *root = cJSON_Parse(said);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    cr_assert(cJSON_IsNumber(item), "%s is not in: %s%s", name, said, complained);
    double value = item->valuedouble;
    cJSON_Delete(root);
    return value;
}

static void fails_with(int code, int want, const char *words)
{
    cr_assert_eq(code, want, "exit code %d: %s", code, complained);
    cr_assert_not_null(strstr(complained, words), "\"%s\" is not in: %s", words, complained);
    cr_assert_str_empty(said);
}

static void succeeds(int code)
{
    cr_assert_eq(code, 0, "exit code %d: %s", code, complained);
}

static void train(void)
{
    succeeds(run("train --data npy:data.npy --out r --steps 2 --sample-every 0 --channels 8 "
                 "--multipliers 1,2 --blocks 1 --batch 4 --diffusion-steps 20"));
}

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

Test(edit_cli, interpolates_as_the_library_does)
{
    train();
    succeeds(run("interpolate --model r --data npy:data.npy --first 3 --second 5 --n 4 --t 12 "
                 "--steps 10 --seed 7 --npy a.npy --out a.png --json"));
    cr_expect_eq(number("images"), 4);
    cr_expect_eq(access("a.png", F_OK), 0);
    model m = load();
    same("a.npy", ito_ddpm_interpolate(m.d, ito_unet_network, m.unet, images(3, 1), images(5, 1),
                                       ito_linspace(0, 1, 4, ITO_F32), 12, .steps = 10, .seed = 7));
    end(&m);
}

/* The mask: the left half stays. */
Test(edit_cli, inpainting_keeps_what_is_given)
{
    train();
    ito_tensor *mask = ito_zeros(ITO_SHAPE(1, 8, 8), ITO_U8);
    for (int i = 0; i < 64; i++)
        ((uint8_t *)ito_data(mask))[i] = i % 8 < 4;
    save("mask.npy", mask);
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

Test(edit_cli, what_was_encoded_is_decoded)
{
    train();
    succeeds(run("encode --model r --data npy:data.npy --first 4 --n 3 --npy noise.npy --out a.png "
                 "--json"));
    model m = load();
    ito_ddpm_round_trip t;
    cr_assert_eq(ito_ddpm_round_trip_with(m.d, ito_unet_network, m.unet, images(4, 3),
                                          (ito_ddpm_sample_options){.steps = 20, .no_clip = true},
                                          &t),
                 ITO_OK);
    same("noise.npy", t.noise);
    cr_expect_float_eq(number("round_trip_error"), ito_item(ito_mean(t.error)), 1e-6);
    cr_expect_float_eq(number("largest_error"), ito_item(ito_max(t.error)), 1e-6);
    succeeds(run("decode --model r --image noise.npy --npy back.npy --out b.png"));
    same("back.npy", t.image);
    cr_expect_eq(system("cmp a.png b.png"), 0);
    end(&m);
}

static void refuses(const char *arguments, int want, const char *words)
{
    fails_with(run("%s", arguments), want, words);
}

Test(edit_cli, refuses_images_that_do_not_fit)
{
    train();
    save_images("large.npy", 2, 12);
    ito_generator g = ito_generator_make(1, 1);
    save("colour.npy", ito_randint(&g, 0, 256, ITO_SHAPE(2, 3, 8, 8), ITO_U8));
    save("one.npy", ito_zeros(ITO_SHAPE(1, 1, 8, 8), ITO_F32));
#define LARGE "large.npy: the images are 12x12 with 1 channels, and the network takes 8x8 with 1"
#define COLOUR "colour.npy: the images are 8x8 with 3 channels, and the network takes 8x8 with 1"
    refuses("interpolate --model r --npy a.npy --data npy:large.npy", 1, LARGE);
    refuses("interpolate --model r --npy a.npy --data npy:colour.npy", 1, COLOUR);
    refuses("encode --model r --npy a.npy --n 2 --data npy:large.npy", 1, LARGE);
    refuses("encode --model r --npy a.npy --n 2 --data npy:colour.npy", 1, COLOUR);
    refuses("decode --model r --npy a.npy --image large.npy", 1, LARGE);
    refuses("inpaint --model r --npy a.npy --image large.npy --mask one.npy", 1, LARGE);
    refuses("inpaint --model r --npy a.npy --image one.npy --mask colour.npy", 1, COLOUR);
    refuses("inpaint --model r --npy a.npy --image one.npy --mask data.npy", 1,
            "one.npy and data.npy: they hold 1 and 20 images; one each is needed");
    refuses("inpaint --model r --npy a.npy --image no.png --mask one.npy", 1, "no.png: ");
    cr_expect_neq(access("a.npy", F_OK), 0);
}

Test(edit_cli, refuses_numbers_that_there_are_not)
{
    train();
#define BETWEEN "interpolate --model r --npy a.npy --data npy:data.npy "
    refuses(BETWEEN "--second 20", 2,
            "--second: image 20 is wanted, and npy:data.npy has images 0 to 19");
    refuses(BETWEEN "--t 20", 2, "--t: 20 is no step of the diffusion, which ends at 19");
    refuses(BETWEEN "--steps 21", 2, "--steps: 21 is more than the 20 of the diffusion");
    refuses("encode --model r --npy a.npy --data npy:data.npy --n 21", 2,
            "--n: image 20 is wanted, and npy:data.npy has images 0 to 19");
    refuses("interpolate --npy a.npy --data npy:data.npy", 2, "--model is missing");
    refuses("interpolate --model r --npy a.npy", 2, "--data is missing");
    refuses("interpolate --model r --npy a.npy --data x", 2, "--data: \"x\" is none of");
    refuses("interpolate --model r --data npy:data.npy", 2, "--out or --npy is missing");
    refuses("inpaint --model r --npy a.npy --image data.npy", 2, "--mask is missing");
    refuses("decode --model r --image data.npy --npy nowhere/a.npy", 1,
            "nowhere/a.npy: cannot write it");
}
