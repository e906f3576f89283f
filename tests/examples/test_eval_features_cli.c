/* The features that ito-ddpm eval compares: from files, of the classifier and of Inception-v3, and
 * saved; the numbers that are computed of them are the library's. */
#include "tests/examples/cli.h"

#include "autograd/ops.h"
#include "models/classifier/classifier.h"
#include "models/inception/inception.h"
#include "models/metrics/metrics.h"
#include "tensor/io/npy.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

TestSuite(cli_eval_features, .init = cli_enter, .fini = cli_leave, .timeout = 600);

static ito_tensor *features(uint64_t seed, int64_t n, int64_t width)
{
    ito_generator g = ito_generator_make(seed, 0);
    return ito_randn(&g, ITO_SHAPE(n, width), ITO_F32);
}

static ito_tensor *load(const char *path)
{
    ito_tensor *t = ito_npy_load(path);
    cr_assert_not_null(t, "%s", ito_error());
    return t;
}

/* Whether the file has these features, to the bit. */
static bool holds(const char *path, ito_tensor *want)
{
    ito_tensor *t = load(path);
    return ito_numel(t) == ito_numel(want) &&
           memcmp(ito_const_data(t), ito_const_data(want), (size_t)ito_numel(t) * 4) == 0;
}

/* A number that was printed with 15 digits at least. */
static void is(const char *name, double want)
{
    cr_expect_float_eq(number(name), want, 1e-14 * fabs(want), "%s", name);
}

Test(cli_eval_features, the_numbers_are_the_librarys)
{
    ito_tensor *real = features(1, 90, 6), *made = ito_mul_scalar(features(2, 70, 6), 1.5);
    write_npy("real.npy", real);
    write_npy("made.npy", made);
    succeeds(run("eval --features made.npy --against real.npy --kid --mmd --density-coverage "
                 "--json"));
    ito_kernel_distance_result kid;
    cr_assert_eq(ito_kernel_distance(real, made, &kid, .subset_size = 70), ITO_OK);
    is("kid", kid.mean);
    is("kid_deviation", kid.deviation);
    is("kid_subset_size", 70);
    is("mmd", ito_mmd(real, made));
    is("mmd_sigma", 10);
    ito_density_coverage_result r;
    cr_assert_eq(ito_density_coverage(ito_narrow(real, 0, 0, 70), made, &r), ITO_OK);
    is("density", r.density);
    is("coverage", r.coverage);
    succeeds(run("eval --features made.npy --against real.npy --mmd --mmd-sigma 2 --json"));
    is("mmd", ito_mmd(real, made, .sigma = 2));

    write_npy("real.npy", features(1, 1200, 2));
    write_npy("made.npy", features(2, 1100, 2));
    succeeds(run("eval --features made.npy --against real.npy --kid --json"));
    is("kid_subset_size", 1000);
}

Test(cli_eval_features, that_are_saved_count_as_the_images)
{
    write_images("data.npy", 120, 28);
    write_images("made.npy", 110, 28);
    ito_tensor *made, *real;
    ito_classifier *c = ito_classifier_fashion_mnist();
    ito_tensor *images = ito_reshape(load("made.npy"), 110, 1, 28, 28);
    cr_assert_eq(ito_classifier_run(c, images, &made, NULL), ITO_OK);
    images = ito_reshape(load("data.npy"), 120, 1, 28, 28);
    cr_assert_eq(ito_classifier_run(c, images, &real, NULL), ITO_OK);
    ito_module_free(&c->base);

    succeeds(run("eval --images made.npy --data npy:data.npy --frechet --json "
                 "--save-features f.npy --save-against a.npy"));
    double d = number("frechet");
    cr_expect_not_null(strstr(said, "\"features\":\"classifier\""), "%s", said);
    cr_expect(holds("f.npy", made));
    cr_expect(holds("a.npy", real));
    static const char *const others[] = {"--images made.npy --against a.npy",
                                         "--features f.npy --data npy:data.npy",
                                         "--features f.npy --against a.npy"};
    for (int i = 0; i < 3; i++) {
        succeeds(run("eval %s --frechet --json", others[i]));
        cr_expect_eq(number("frechet"), d, "%s", others[i]);
    }
    cr_expect_null(strstr(said, "classifier"), "of unknown features: %s", said);

    /* Nothing to compare with, and nothing compared. */
    succeeds(run("eval --images made.npy --save-features again.npy --json"));
    cr_expect(same_file("f.npy", "again.npy"));
    cr_expect_null(strstr(said, "real_images"), "%s", said);
    succeeds(run("eval --images made.npy --score --json"));
    fails_with(run("eval --images made.npy --save-features nowhere/f.npy"),
               "nowhere/f.npy: cannot create");
}

Test(cli_eval_features, of_real_images_serve_a_model)
{
    write_images("data.npy", 100, 28);
    succeeds(run("train --data npy:data.npy --out r --steps 1 " QUIET " " TINY));
#define MODEL "eval --model r --frechet --n 100 --steps 2 --json "
    succeeds(run(MODEL "--data npy:data.npy --save-against a.npy"));
    double d = number("frechet");
    succeeds(run(MODEL "--against a.npy"));
    cr_expect_eq(number("frechet"), d);
    cr_expect_eq(number("real_images"), 100);
    write_npy("few.npy", ito_narrow(load("a.npy"), 0, 0, 96));
    is_usage_error(MODEL "--against few.npy", "--against: few.npy has 96 images; to compare with "
                                              "it takes at least 97");
}

Test(cli_eval_features, are_those_of_inception_on_demand)
{
    ito_generator g = ito_generator_make(1, 1);
    ito_inception *net = ito_inception_create(.generator = &g);
    cr_assert_eq(ito_module_save(&net->base, "inception.safetensors", .bf16 = true), ITO_OK, "%s",
                 ito_error());
    ito_module_free(&net->base);
    net = ito_inception_load("inception.safetensors");
    cr_assert_not_null(net, "%s", ito_error());
    ito_tensor *made = ito_randint(&g, 0, 256, ITO_SHAPE(3, 3, 8, 6), ITO_U8);
    write_npy("made.npy", made);
    ito_tensor *real = ito_randint(&g, 0, 256, ITO_SHAPE(2, 1, 5, 5), ITO_U8);
    write_npy("real.npy", real);
#define INCEPTION "--inception inception.safetensors "
    succeeds(run("eval --images made.npy --data npy:real.npy " INCEPTION
                 "--kid --save-features f.npy --save-against a.npy --json"));
    cr_expect_eq(number("width"), 2048);
    cr_expect_gt(number("features_per_second"), 0);
    cr_expect_not_null(strstr(said, "\"features\":\"Inception-v3\""), "%s", said);
    cr_expect(holds("f.npy", ito_inception_run(net, made)));
    cr_expect(holds("a.npy", ito_inception_run(net, real)));

    /* The score takes logits without the bias. */
    made = ito_randint(&g, 0, 256, ITO_SHAPE(10, 1, 4, 4), ITO_U8);
    write_npy("ten.npy", made);
    ito_classifier_score_result r;
    ito_tensor *logits = ito_linear(ito_inception_run(net, made), net->fc->weight, NULL);
    cr_assert_eq(ito_classifier_score(logits, &r), ITO_OK, "%s", ito_error());
    succeeds(run("eval --images ten.npy --score --json " INCEPTION));
    is("score", r.mean);
    ito_module_free(&net->base);

    /* Before it makes any image. */
    is_usage_error(
        "eval --model fashion-mnist --class none --against f.npy --frechet --n 2048 " INCEPTION,
        "--n: 2048 images cannot be judged so; it takes at least 2049");
    write_npy("a.npy", features(1, 200, 96));
    fails_with(run("eval --model fashion-mnist --class none --against a.npy --kid " INCEPTION),
               "a.npy: its features are of width 96, and those of Inception-v3 of 2048");
}

Test(cli_eval_features, refuses_a_network_of_another_layout)
{
    ito_classifier *c = ito_classifier_fashion_mnist();
    cr_assert_eq(ito_module_save(&c->base, "other.safetensors"), ITO_OK);
    ito_module_free(&c->base);
    write_images("made.npy", 3, 28);
    fails_with(run("eval --images made.npy --save-features f.npy --inception other.safetensors"),
               "other.safetensors: lacks Conv2d_1a_3x3.conv.weight, which Inception-v3 has in the "
               "layout of pytorch-fid");
    fails_with(run("eval --images made.npy --save-features f.npy --inception no.safetensors"),
               "no.safetensors: cannot open");
}

Test(cli_eval_features, refuses_files_that_do_not_fit)
{
    write_images("made.npy", 20, 28);
    write_npy("a.npy", features(1, 20, 6));
    write_npy("cube.npy", ito_reshape(features(1, 4, 6), 4, 2, 3));
    write_npy("five.npy", features(1, 5, 6));
    fails_with(run("eval --images made.npy --against a.npy --kid"),
               "a.npy: its features are of width 6, and those of the classifier of 96");
    fails_with(run("eval --features a.npy --data npy:made.npy --kid"),
               "a.npy: its features are of width 6, and those of the classifier of 96");
    fails_with(run("eval --features cube.npy --against a.npy --kid"),
               "cube.npy: it has 3 axes; features have two, [images, width]");
    fails_with(run("eval --features five.npy --against a.npy --density-coverage"),
               "density_coverage: a neighbour number 5 takes at least 6 images, not 5");
    write_npy("one.npy", features(1, 1, 6));
    fails_with(run("eval --features one.npy --against a.npy --kid"),
               "kernel_distance: a subset of 2 images cannot be of 1");
}

Test(cli_eval_features, refuses_options_that_do_not_go_together)
{
#define FILES "eval --features a.npy --against b.npy "
    is_usage_error(FILES "--kid --data npy:c.npy", "--data: --against takes its place");
    is_usage_error(FILES "--kid --save-against c.npy", "--save-against: --against takes its place");
    is_usage_error(FILES "--kid --save-features c.npy",
                   "--save-features: those of --features are in a file already");
    is_usage_error(FILES "--kid --inception c.safetensors",
                   "--inception: all features are in files already");
    is_usage_error(FILES "--kid --mmd-sigma 2", "--mmd-sigma: it is of --mmd");
    is_usage_error(FILES "--mmd --mmd-sigma 0", "--mmd-sigma");
    is_usage_error("eval --images a.npy --kid", "--data is missing");
    is_usage_error("eval --images a.npy --save-against b.npy", "--data is missing");
    is_usage_error("eval --images a.npy", "it takes one or more of --frechet");
    is_usage_error("eval --model r --data npy:a.npy --bits-per-dim --inception c.safetensors",
                   "--inception: it has no part in --bits-per-dim");
}
