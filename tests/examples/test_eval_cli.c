/* ito-ddpm eval from outside: what it computes is what the library computes, a model's images are
 * those that sample makes, and what it refuses. */
#include "tests/examples/cli.h"

#include "autograd/ops.h"
#include "models/ddpm/likelihood/bound.h"
#include "models/ddpm/settings.h"
#include "models/metrics/metrics.h"
#include "nn/checkpoint.h"
#include "tensor/io/npy.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(cli_eval, .init = cli_enter, .fini = cli_leave, .timeout = 600);

static ito_tensor *features(uint64_t seed, int64_t n, int64_t width)
{
    ito_generator g = ito_generator_make(seed, 0);
    return ito_randn(&g, ITO_SHAPE(n, width), ITO_F32);
}

Test(cli_eval, features_from_files_give_what_the_library_gives)
{
    ito_tensor *real = features(1, 90, 6), *made = ito_mul_scalar(features(2, 70, 6), 1.5);
    write_npy("real.npy", real);
    write_npy("made.npy", ito_cast(made, ITO_F64));
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

Test(cli_eval, a_model_is_judged_by_the_images_that_sample_makes)
{
    write_images("data.npy", 120, 28);
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

/* A thousand images of twenty steps, unless the run or the command line says otherwise. */
Test(cli_eval, what_is_usual_takes_a_minute)
{
    write_images("data.npy", 120, 28);
    train_tiny("r", "--steps 1 " QUIET);
    static const char note[] =
        "ito-ddpm eval: of 1000 images; distances depend on their number, so "
        "compare those of the same --n\n";
    succeeds(run("eval --model r --data npy:data.npy --frechet --json"));
    cr_expect_not_null(strstr(said, "\"sampler\":\"dpm++2m-sde\",\"steps\":20,"), "%s", said);
    cr_expect_eq(number("images"), 1000);
    cr_expect_not_null(strstr(complained, note), "%s", complained);
    succeeds(
        run("eval --model r --data npy:data.npy --frechet --n 97 --variance fixedlarge --steps "
            "2 --json"));
    cr_expect_not_null(strstr(said, "\"sampler\":\"ddpm\",\"steps\":2,"), "%s", said);
    cr_expect_null(strstr(complained, "distances"), "%s", complained);
    succeeds(run(
        "train --data npy:data.npy --out euler --steps 1 --sampler euler --sampling-steps 3 " TINY
        " " QUIET));
    succeeds(run("eval --model euler --data npy:data.npy --frechet --n 97 --json"));
    cr_expect_not_null(strstr(said, "\"sampler\":\"euler\",\"steps\":3,"), "%s", said);
}

/* ---- features of the real images ---- */

#define KEPT "features of npy:data.npy: those kept in "

/* The only file of the cache, in the directory of the test. */
static const char *cached(void)
{
    static char path[200];
    cr_assert_eq(system("ls ito/features-*.safetensors >cached.txt"), 0);
    slurp("cached.txt", path, sizeof path);
    cr_assert_eq(count_lines(path), 1, "%s", path);
    path[strlen(path) - 1] = '\0';
    return path;
}

Test(cli_eval, features_of_the_real_images_are_kept)
{
    static const char *const judged = "eval --images made.npy --data npy:data.npy --frechet --json";
    write_images("data.npy", 120, 28);
    write_images("made.npy", 110, 28);
    succeeds(run("%s --no-cache", judged));
    double distance = number("frechet");
    cr_assert(!there("ito"));
    succeeds(run("%s", judged));
    cr_expect_null(strstr(complained, KEPT), "%s", complained);
    cr_expect_eq(number("frechet"), distance);
    succeeds(run("%s", judged));
    cr_expect_not_null(strstr(complained, KEPT), "%s", complained);
    cr_expect_eq(number("frechet"), distance);
    succeeds(run("%s --no-cache", judged));
    cr_expect_null(strstr(complained, KEPT), "%s", complained);

    /* A damaged file, one that is cut off, and one of other features are computed anew. */
    const char *const damage[] = {"printf x | dd of=%s bs=1 seek=3000 conv=notrunc 2>dd.txt",
                                  "truncate -s 2000 %s",
                                  "sed -i 's/ito_features/ito_featurez/' %s"};
    for (int i = 0; i < 3; i++) {
        char command[400];
        snprintf(command, sizeof command, damage[i], cached());
        cr_assert_eq(system(command), 0);
        succeeds(run("%s", judged));
        cr_expect_null(strstr(complained, KEPT), "%s", complained);
        cr_expect_eq(number("frechet"), distance);
        succeeds(run("%s", judged));
        cr_expect_not_null(strstr(complained, KEPT), "%s", complained);
    }
    /* Other images are others, though only one number differs. */
    cr_assert_eq(system("printf x | dd of=data.npy bs=1 seek=5000 conv=notrunc 2>dd.txt"), 0);
    succeeds(run("%s", judged));
    cr_expect_null(strstr(complained, KEPT), "%s", complained);
    cr_expect_neq(number("frechet"), distance);
}

Test(cli_eval, a_cache_that_cannot_be_is_no_error)
{
    write_images("data.npy", 120, 28);
    succeeds(run("eval --images data.npy --data npy:data.npy --frechet"));
    cr_assert_eq(system("rm -r ito && touch ito"), 0);
    succeeds(run("eval --images data.npy --data npy:data.npy --frechet"));
    cr_expect_not_null(strstr(complained, "no features are kept: "), "%s", complained);
}

/* ---- the bound ---- */

/* What the library makes of the first n images of data.npy and a run's averages. */
static ito_bits bound_of(const char *checkpoint, const ito_variance *variance, int64_t n,
                         int64_t monte_carlo)
{
    char path[128];
    ito_ddpm_settings s;
    ito_bits bits;
    char *text = ito_checkpoint_settings(checkpoint);
    cr_assert_eq(ito_ddpm_settings_parse(text, checkpoint, &s), ITO_OK, "%s", ito_error());
    free(text);
    if (variance != NULL)
        s.diffusion.variance = variance;
    ito_unet *unet = ito_unet_create(&s.model, NULL);
    ito_module_train(&unet->base, false);
    snprintf(path, sizeof path, "%s/ema.safetensors", checkpoint);
    cr_assert_eq(ito_module_load(&unet->base, path, .prefix = NULL), ITO_OK, "%s", ito_error());
    ito_diffusion *d = ito_diffusion_create_with(s.diffusion);
    ito_tensor *x = ito_cast(ito_narrow(ito_npy_load("data.npy"), 0, 0, n), ITO_F32);
    x = ito_add_scalar(ito_mul_scalar(ito_reshape(x, n, 1, 8, 8), 1.0 / 127.5), -1.0);
    cr_assert_eq(
        ito_bits_per_dim(d, &unet->network, x, &bits, .seed = 3, .monte_carlo = monte_carlo),
        ITO_OK, "%s", ito_error());
    ito_diffusion_free(d);
    ito_module_free(&unet->base);
    return bits;
}

/* In a few units of the last digit, sums being made in another order. */
static void bound_is(const ito_bits *b, int64_t n)
{
    static const double close = 1e-12;
    const double *total = ito_data(b->total);
    double mean = ito_item(ito_mean(b->total)), squares = 0.0;
    for (int64_t i = 0; i < n; i++)
        squares += (total[i] - mean) * (total[i] - mean);
    cr_expect_eq(number("images"), (double)n);
    cr_expect_float_eq(number("bits_per_dim"), mean, close * mean);
    cr_expect_float_eq(number("standard_error"), sqrt(squares / (double)(n * (n - 1))), close);
    cr_expect_float_eq(number("L_T"), ito_item(ito_mean(b->prior)), close);
    cr_expect_float_eq(number("L_0"), ito_item(ito_mean(ito_select(b->terms, 1, 0))), 40 * close);
    cr_expect_float_eq(number("L_0_tanh"), ito_item(ito_mean(ito_select(b->decoded, 0, 1))),
                       40 * close);
    cr_expect_float_eq(number("L_T") + number("sum_of_L_t") + number("L_0"), mean, close * mean);
    cJSON *root = cJSON_Parse(said);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "L_t");
    cr_assert_eq(cJSON_GetArraySize(list), 6);
    for (int t = 0; t < 6; t++)
        cr_expect_float_eq(cJSON_GetArrayItem(list, t)->valuedouble,
                           ito_item(ito_mean(ito_select(b->terms, 1, t))), 40 * close);
    cJSON_Delete(root);
}

#define BOUND "eval --data npy:data.npy --bits-per-dim --n 5 --seed 3 "

Test(cli_eval, the_bound_is_that_of_the_library_for_every_variance)
{
    static const struct {
        const char *train, *eval;
        const ito_variance *variance;
    } cases[] = {{"--variance learned", "", NULL},
                 {"--variance learned_range --prediction v", "", NULL},
                 {"--variance fixedlarge", "--variance fixedsmall", &ito_variance_fixedsmall},
                 {"--variance fixedsmall", "--variance fixedlarge", &ito_variance_fixedlarge}};
    write_images("data.npy", 40, 8);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char checkpoint[64];
        cr_assert_eq(run("train --data npy:data.npy --out r%d --steps 2 --sample-every 0 " TINY
                         " --diffusion-steps 6 %s",
                         (int)i, cases[i].train),
                     0, "%s", complained);
        cr_assert_eq(run(BOUND "--model r%d --json --batch 2 %s", (int)i, cases[i].eval), 0, "%s",
                     complained);
        snprintf(checkpoint, sizeof checkpoint, "r%d/checkpoints/step-2", (int)i);
        ito_bits b = bound_of(checkpoint, cases[i].variance, 5, 0);
        bound_is(&b, 5);
    }
    cr_assert_eq(run(BOUND "--model r0"), 0, "%s", complained);
    cr_expect_not_null(strstr(said, "\nL_T: "), "%s", said);
    cr_expect_not_null(strstr(said, "\nL_0_tanh: "), "%s", said);
    cr_assert_eq(run(BOUND "--model r0 --n 1"), 0, "%s", complained);
    cr_expect_null(strstr(said, "standard_error"), "%s", said);
    is_usage_error(BOUND "--model r0 --variance fixedsmall",
                   "--variance: the network has learned its own");
}

Test(cli_eval, the_bound_from_drawn_steps_is_that_of_the_library)
{
    train_tiny("r", "--steps 2 " QUIET);
    succeeds(run(BOUND "--model r --monte-carlo 4 --json"));
    ito_bits b = bound_of("r/checkpoints/step-2", NULL, 5, 4);
    double mean = ito_item(ito_mean(b.total));
    cr_expect_float_eq(number("bits_per_dim"), mean, 1e-12 * mean);
    cr_expect_float_eq(number("L_0"), ito_item(ito_mean(ito_select(b.terms, 1, 0))), 1e-11);
    cr_expect_float_eq(number("L_T") + number("sum_of_L_t") + number("L_0"), mean, 1e-12 * mean);
    cr_expect_gt(number("standard_error"), 0.0);
    cr_expect_eq(number("monte_carlo"), 4);
    cr_expect_null(strstr(said, "\"L_t\""), "too few draws to list: %s", said);
    char before[sizeof said], *end = strstr(said, ",\"seconds\"");
    cr_assert_not_null(end, "%s", said);
    snprintf(before, sizeof before, "%.*s", (int)(end - said), said);
    succeeds(run(BOUND "--model r --monte-carlo 4 --json --batch 2 --threads 1"));
    cr_expect_eq(strncmp(said, before, strlen(before)), 0, "%s%s", before, said);
    succeeds(run("eval --data npy:data.npy --model r --bits-per-dim --monte-carlo 1 --json"));
    cr_expect_eq(number("images"), 40, "all of up to 10000");

    is_usage_error(BOUND "--model r --monte-carlo 20",
                   "--monte-carlo: 20 is more than the 19 steps before the last one");
    is_usage_error(BOUND "--model r --monte-carlo 4 --rate-distortion a.csv",
                   "--rate-distortion: it takes every step, and --monte-carlo draws some");
    is_usage_error("eval --model r --data npy:data.npy --frechet --monte-carlo 4",
                   "--monte-carlo: it is a way to --bits-per-dim");
}

/* ---- the test set ---- */

Test(cli_eval, the_test_set_is_another)
{
    ito_generator g = ito_generator_make(4, 4);
    ito_tensor *train = ito_randint(&g, 0, 256, ITO_SHAPE(7, 8, 8), ITO_U8);
    ito_tensor *test = ito_randint(&g, 0, 256, ITO_SHAPE(6, 8, 8), ITO_U8);
    cr_assert_eq(system("mkdir digits"), 0);
    write_idx("digits/train-images-idx3-ubyte", train);
    write_idx("digits/train-labels-idx1-ubyte", ito_zeros(ITO_SHAPE(7), ITO_U8));
    write_npy("train.npy", train);
    write_npy("test.npy", test);
    train_tiny("r", "--steps 1 " QUIET);
#define BITS "eval --model r --bits-per-dim --json --data "
    fails_with(run(BITS "mnist:digits --split test"),
               "digits/t10k-images-idx3-ubyte: there is no such file, nor .gz");
    write_idx("digits/t10k-images-idx3-ubyte", test);
    static const char *const splits[] = {"train", "test"};
    for (int i = 0; i < 2; i++) {
        succeeds(run(BITS "npy:%s.npy", splits[i]));
        double want = number("bits_per_dim");
        succeeds(run(BITS "mnist:digits --split %s", splits[i]));
        cr_expect_eq(number("bits_per_dim"), want);
        cr_expect_eq(number("images"), 7 - i);
    }
    succeeds(run("train --data mnist:digits --conditional --out c " TINY " --steps 1 " QUIET));
    fails_with(run("eval --model c --bits-per-dim --data mnist:digits --split test"),
               "digits/t10k-labels-idx1-ubyte: there is no such file, nor .gz");
    is_usage_error(BITS "npy:test.npy --split test",
                   "--split: npy:test.npy has no test set; it is for "
                   "fashion-mnist|mnist:DIR|cifar10:DIR");
    is_usage_error("eval --features a.npy --against b.npy --frechet --split test",
                   "--split: --against takes its place");
}

/* ---- networks with classes ---- */

static double bits_of(const char *arguments)
{
    succeeds(run("eval --model c --bits-per-dim --json %s", arguments));
    return number("bits_per_dim");
}

/* Three cats, then three dogs, as the directory has them. */
Test(cli_eval, bits_are_given_each_images_class)
{
    static const double close = 1e-12;
    write_classes();
    succeeds(run(FOLDER "--conditional --steps 2 " QUIET " --out c"));
    double cats = 3 * bits_of("--data folder:photos --n 3 --class cat");
    double dogs = 6 * bits_of("--data folder:photos --class dog") -
                  3 * bits_of("--data folder:photos --n 3 --class dog");
    double all = bits_of("--data folder:photos --class all");
    cr_expect_float_eq(6 * all, cats + dogs, 6 * close * all);
    cr_expect_str_empty(complained);
    cr_expect_not_null(strstr(said, "\"class\":\"all\""), "%s", said);
    cr_expect_eq(bits_of("--data folder:photos"), all);
    cr_expect_str_eq(complained, "ito-ddpm eval: the network has classes: bits given each image's, "
                                 "as --class all\n");
    cr_expect_neq(bits_of("--data folder:photos --class none"), all);
    cr_expect_str_empty(complained);

    /* Images whose class nobody knows. */
    write_images("data.npy", 4, 8);
    double none = bits_of("--data npy:data.npy --class none");
    cr_expect_eq(bits_of("--data npy:data.npy"), none);
    cr_expect_str_eq(complained, "ito-ddpm eval: the network has classes: bits given none of them, "
                                 "as --class none\n");
    is_usage_error("eval --model c --bits-per-dim --data npy:data.npy --class all",
                   "--class: \"all\" are the images' own, and npy:data.npy has none; name one, or "
                   "none");
    write_class("other/bird", 2, 8, 0);
    write_class("other/cat", 2, 8, 0);
    fails_with(run("eval --model c --bits-per-dim --data folder:other"),
               "folder:other: its classes are not those that the network was trained with; name "
               "one with --class, or none");
    bits_of("--data folder:other --class none");
    is_usage_error("eval --model c --score --data folder:photos --class none --guidance 2",
                   "--guidance: it needs a --class to guide to");

    succeeds(run(FOLDER "--conditional --label-dropout 0 --steps 1 " QUIET " --out sure"));
    succeeds(run("eval --model sure --bits-per-dim --data folder:photos"));
    is_usage_error("eval --model sure --bits-per-dim --data npy:data.npy",
                   "--class: the network was trained with --label-dropout 0");
}

/* Of two cats and four dogs: dog, cat, dog, and again. */
Test(cli_eval, images_are_of_each_class_as_often_as_the_data)
{
    enum { N = 12, IMAGE = 28 * 28 };
    write_class("pets/cat", 2, 28, 0);
    write_class("pets/dog", 4, 28, 255);
    write_class("even/cat", 2, 28, 0);
    write_class("even/dog", 2, 28, 255);
    succeeds(run("train --data folder:pets --size 28 --grey --conditional --batch 4 --channels 8 "
                 "--multipliers 1,2 --blocks 1 --diffusion-steps 20 --lr 0.01 --steps 8 --out c "
                 "--clip 0 --warmup 0 " QUIET));
#define SCORE "eval --score --json --sampler ddpm --steps 3 --n 12 --data folder:"
    succeeds(run(SCORE "pets --model c --weights model"));
    cr_expect_str_eq(complained, "ito-ddpm eval: the network has classes: images of each, as "
                                 "--class all\n");
    double score = number("score");
    succeeds(run("sample --model c --weights model --steps 3 --n 12 --class cat --npy cat.npy"));
    succeeds(run("sample --model c --weights model --steps 3 --n 12 --class dog --npy dog.npy"));
    ito_tensor *cat = ito_npy_load("cat.npy"), *dog = ito_npy_load("dog.npy");
    for (int i = 0; i < N; i++)
        if (i % 3 == 1)
            memcpy((float *)ito_data(dog) + i * IMAGE,
                   (const float *)ito_const_data(cat) + i * IMAGE, IMAGE * sizeof(float));
    write_npy("mixed.npy", dog);
    succeeds(run("eval --score --json --data folder:pets --images mixed.npy"));
    cr_expect_eq(number("score"), score);

    succeeds(run(SCORE "even --model c --weights model --class all"));
    cr_expect_str_empty(complained);
    score = number("score");
    succeeds(run("sample --model c --weights model --steps 3 --n 12 --class all --npy turn.npy"));
    succeeds(run("eval --score --json --data folder:even --images turn.npy"));
    cr_expect_eq(number("score"), score);
    succeeds(run(SCORE "even --model c --weights model --class none"));
    cr_expect_str_empty(complained);
    cr_expect_neq(number("score"), score);
}

Test(cli_eval, rate_and_distortion_are_a_table_and_a_chart)
{
    write_images("data.npy", 40, 8);
    cr_assert_eq(run("train --data npy:data.npy --out r --steps 2 --sample-every 0 " TINY
                     " --diffusion-steps 6"),
                 0, "%s", complained);
    cr_assert_eq(run(BOUND "--model r --rate-distortion rd.csv"), 0, "%s", complained);
    ito_bits b = bound_of("r/checkpoints/step-2", NULL, 5, 0);
    const double *table = ito_const_data(ito_rate_distortion(&b));
    char text[8192], *at = text;
    slurp("rd.csv", text, sizeof text);
    cr_assert_eq(strncmp(at, "reverse_time,t,bits_per_dim,rmse\n", 33), 0, "%s", text);
    at += 33;
    for (int t = 5; t >= 0; t--) {
        cr_assert_eq(strtol(at, &at, 10), 6 - t);
        cr_assert_eq(strtol(at + 1, &at, 10), t);
        double rate = strtod(at + 1, &at), rmse = strtod(at + 1, &at); /* of 9 digits */
        cr_expect_float_eq(rate, table[2 * t], 1e-8 * table[2 * t]);
        cr_expect_float_eq(rmse, table[2 * t + 1], 1e-8 * table[2 * t + 1]);
        cr_assert_eq(*at++, '\n');
    }
    slurp("rd.svg", text, sizeof text);
    cr_expect_eq(strncmp(text, "<svg ", 5), 0);
    cr_expect_not_null(strstr(text, "<style>"), "%s", text);
    cr_expect_not_null(strstr(text, "<polyline"), "%s", text);
    fails_with(run(BOUND "--model r --rate-distortion nowhere/rd.csv"),
               "nowhere/rd.csv: cannot write it");
}

Test(cli_eval, the_bound_refuses_what_does_not_fit)
{
    write_images("data.npy", 40, 8);
    write_images("large.npy", 3, 12);
    cr_assert_eq(run("train --data npy:data.npy --out r --steps 1 --sample-every 0 " TINY), 0, "%s",
                 complained);
    fails_with(run("eval --model r --data npy:large.npy --bits-per-dim"),
               "npy:large.npy: the images are 12x12 with 1 channel, and the network takes 8x8 with "
               "1");
    ito_generator g = ito_generator_make(1, 1);
    write_npy("colour.npy", ito_randint(&g, 0, 256, ITO_SHAPE(3, 3, 8, 8), ITO_U8));
    fails_with(run("eval --model r --data npy:colour.npy --bits-per-dim"),
               "npy:colour.npy: the images are 8x8 with 3 channels, and the network takes 8x8 with "
               "1");
    is_usage_error("eval --model r --data npy:data.npy --bits-per-dim --n 41",
                   "--n: 41 is more than the 40 images of npy:data.npy");
    is_usage_error("eval --data npy:data.npy --bits-per-dim", "--model is missing");
    is_usage_error("eval --model r --data npy:data.npy --bits-per-dim --steps 3",
                   "--steps: it has no part in --bits-per-dim, which makes no images");
    is_usage_error("eval --model r --data npy:data.npy --rate-distortion a.csv --frechet",
                   "--frechet: it has no part in --bits-per-dim");
}

Test(cli_eval, refuses_features_that_do_not_fit)
{
    write_npy("a.npy", features(1, 90, 6));
    write_npy("b.npy", features(2, 90, 5));
    write_npy("c.npy", features(3, 6, 6));
    write_npy("d.npy", features(3, 3, 6));
    fails_with(run("eval --features a.npy --against b.npy --frechet"),
               "features of width 5 and of width 6 are not of one network");
    fails_with(run("eval --features c.npy --against a.npy --frechet"),
               "the covariance of features of width 6 takes at least 7 images, not 6");
    fails_with(run("eval --features d.npy --against a.npy --precision-recall"),
               "a neighbour number 3 takes at least 4 images, not 3");
    fails_with(run("eval --features no.npy --against a.npy --frechet"), "no.npy: cannot open");
}

Test(cli_eval, refuses_images_that_its_network_does_not_know)
{
    write_images("data.npy", 10, 32);
    fails_with(run("eval --images data.npy --data npy:data.npy --frechet"),
               "npy:data.npy: the images are 32x32 with 1 channel, and the features that come "
               "with Ito are of grey images of 28x28");
}

/* Before it makes images that nothing could be said of. */
Test(cli_eval, refuses_too_few_images)
{
    write_images("few.npy", 20, 28);
    write_images("real.npy", 100, 28);
#define OF "eval --model fashion-mnist --class none --data npy:"
    is_usage_error(OF "real.npy --frechet --n 96",
                   "--n: 96 images cannot be judged so; it takes at least 97");
    is_usage_error(OF "real.npy --score --n 9", "--n: 9 images cannot be judged so");
    is_usage_error(OF "real.npy --precision-recall --n 1",
                   "--n: 1 image cannot be judged so; it takes at least 4");
    is_usage_error(OF "few.npy --frechet --n 100000",
                   "--data: npy:few.npy has 20 images; to compare with it takes at least 97");
}

/* Before it makes 1000 images. */
Test(cli_eval, refuses_a_model_of_other_images)
{
    train_tiny("r", "--steps 1 " QUIET);
    write_images("real.npy", 10, 28);
    fails_with(run("eval --model r --data npy:real.npy --frechet"),
               "npy:real.npy: the images are 28x28 with 1 channel, and the network takes 8x8 with "
               "1");
}

Test(cli_eval, refuses_images_that_are_not_finite)
{
    write_images("data.npy", 120, 28);
    write_npy("nan.npy", ito_full(ITO_SHAPE(100, 1, 28, 28), (double)NAN, ITO_F32));
    fails_with(run("eval --images nan.npy --data npy:data.npy --frechet"),
               "nan.npy: element 0 is nan; f32 images have finite numbers");
    run("train --data npy:data.npy --out r " TINY " " QUIET
        " --steps 50 --lr 1e30 --clip 0 --warmup 0 --checkpoint-every 1");
    fails_with(
        run("eval --model r --weights model --data npy:data.npy --frechet --n 100 --steps 2"),
        "model.safetensors: image 0 is not finite; nothing was written");
}

Test(cli_eval, says_what_is_missing)
{
    is_usage_error("eval --frechet", "it takes one of --model, --images and --features");
    is_usage_error("eval --model r --images x.npy --data fashion-mnist --frechet",
                   "it takes one of --model, --images and --features");
    is_usage_error("eval --features x.npy --frechet", "--against is missing");
    is_usage_error("eval --model r --frechet", "--data is missing");
    is_usage_error("eval --model r --data minst --frechet", "--data: \"minst\" is none of");
    is_usage_error("eval --model r --data fashion-mnist",
                   "it takes one or more of --frechet, --kid, --mmd, --precision-recall, "
                   "--density-coverage and "
                   "--score, or --bits-per-dim");
    is_usage_error("eval --features a.npy --against b.npy --score",
                   "--score: it takes images, not features");
    is_usage_error("eval --model r --data fashion-mnist --frechet --n 0", "--n");
}
