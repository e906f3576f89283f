/* ito-ddpm eval from outside: what it computes is what the library computes, a model's images are
 * those that sample makes, and what it refuses. */
#include "autograd/ops.h"
#include "models/metrics/metrics.h"
#include "tensor/io/npy.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TINY "--channels 8 --multipliers 1,2 --blocks 1 --batch 4 --diffusion-steps 20"

static char directory[] = "/tmp/ito-eval-XXXXXX";

static void save(const char *path, ito_tensor *t)
{
    cr_assert_eq(ito_npy_save(path, t), ITO_OK, "%s", ito_error());
}

static ito_tensor *features(uint64_t seed, int64_t n, int64_t width)
{
    ito_generator g = ito_generator_make(seed, 0);
    return ito_randn(&g, ITO_SHAPE(n, width), ITO_F32);
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
}

static void leave(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_assert_eq(system(command), 0);
}

TestSuite(eval_cli, .init = enter, .fini = leave, .timeout = 120);

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

Test(eval_cli, features_from_files_give_what_the_library_gives)
{
    ito_tensor *real = features(1, 90, 6), *made = ito_mul_scalar(features(2, 70, 6), 1.5);
    save("real.npy", real);
    save("made.npy", ito_cast(made, ITO_F64));
    cr_assert_eq(run("eval --features made.npy --against real.npy --frechet --precision-recall "
                     "--json"),
                 0, "%s", complained);
    double want = ito_frechet_distance(real, made); /* printed with 15 digits at least */
    cr_expect_float_eq(number("frechet"), want, 1e-14 * want);
    ito_precision_recall_result r;
    cr_assert_eq(ito_precision_recall(ito_narrow(real, 0, 0, 70), made, &r, .k = 3), ITO_OK);
    cr_expect_float_eq(number("precision"), r.precision, 1e-14);
    cr_expect_float_eq(number("recall"), r.recall, 1e-14);
    cr_expect_eq(number("images"), 70);
    cr_expect_eq(number("real_images"), 90);
    cr_assert_eq(run("eval --features made.npy --against real.npy --frechet"), 0);
    cr_expect_not_null(strstr(said, "frechet: "), "%s", said);
}

Test(eval_cli, a_model_is_judged_by_the_images_that_sample_makes)
{
    save_images("data.npy", 120, 28);
    cr_assert_eq(run("train --data npy:data.npy --out r --steps 2 --sample-every 0 " TINY), 0, "%s",
                 complained);
    cr_assert_eq(run("eval --model r --data npy:data.npy --frechet --score --n 100 --steps 3 "
                     "--sampler dpm++2m --seed 5 --json"),
                 0, "%s", complained);
    double distance = number("frechet"), score = number("score");
    cr_expect_gt(distance, 0);
    cr_expect(score >= 1 && score <= 10);
    cr_expect_eq(number("width"), 96);
    cr_assert_eq(
        run("sample --model r --npy made.npy --n 100 --steps 3 --sampler dpm++2m --seed 5"), 0,
        "%s", complained);
    cr_assert_eq(run("eval --images made.npy --data npy:data.npy --frechet --score --json"), 0,
                 "%s", complained);
    cr_expect_eq(number("frechet"), distance);
    cr_expect_eq(number("score"), score);
}

Test(eval_cli, refuses_features_that_do_not_fit)
{
    save("a.npy", features(1, 90, 6));
    save("b.npy", features(2, 90, 5));
    save("c.npy", features(3, 6, 6));
    save("d.npy", features(3, 3, 6));
    fails_with(run("eval --features a.npy --against b.npy --frechet"), 1,
               "features of width 5 and of width 6 are not of one network");
    fails_with(run("eval --features c.npy --against a.npy --frechet"), 1,
               "6 images are too few for features of width 6, whose covariance takes at least 7");
    fails_with(run("eval --features d.npy --against a.npy --precision-recall"), 1,
               "3 images have no neighbour number 3; it takes at least 4");
    fails_with(run("eval --features no.npy --against a.npy --frechet"), 1, "no.npy: cannot open");
}

Test(eval_cli, refuses_images_that_its_network_does_not_know)
{
    save_images("data.npy", 10, 32);
    fails_with(run("eval --images data.npy --data npy:data.npy --frechet"), 1,
               "npy:data.npy: the images are 32x32 with 1 channels, and the features that come "
               "with Ito are of grey images of 28x28");
}

Test(eval_cli, says_what_is_missing)
{
    fails_with(run("eval --frechet"), 2, "it takes one of --model, --images and --features");
    fails_with(run("eval --model r --images x.npy --data fashion-mnist --frechet"), 2,
               "it takes one of --model, --images and --features");
    fails_with(run("eval --features x.npy --frechet"), 2, "--against is missing");
    fails_with(run("eval --model r --frechet"), 2, "--data is missing");
    fails_with(run("eval --model r --data minst --frechet"), 2, "--data: \"minst\" is none of");
    fails_with(run("eval --model r --data fashion-mnist"), 2,
               "it takes one or more of --frechet, --precision-recall and --score");
    fails_with(run("eval --features a.npy --against b.npy --score"), 2,
               "--score: it takes images, not features");
    fails_with(run("eval --model r --data fashion-mnist --frechet --n 0"), 2, "--n");
}
