/* ito-toy: what it learns, what it draws, what it refuses; and the distance that it is judged by.
 */
#include "examples/toy/data.h"
#include "examples/toy/distance.h"
#include "tests/examples/cli.h"

#include "tensor/io/image.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void enter(void)
{
    cli_enter();
    program = "ito-toy";
}

TestSuite(toy, .init = enter, .fini = cli_leave, .timeout = 600);

/* Shifted by (a, b), sorted projections differ by |a cos + b sin|, whose mean over directions is
 * 2/pi hypot(a, b). */
Test(toy, distance_of_a_shifted_cloud_is_that_of_the_shift)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(500, 2), ITO_F64),
               *shift = ito_zeros(ITO_SHAPE(1, 2), ITO_F64);
    ((double *)ito_data(shift))[0] = 0.3;
    ((double *)ito_data(shift))[1] = -0.4;
    cr_expect_float_eq(sliced_distance(x, ito_add(x, shift)), 0.5 * 2.0 / M_PI, 2e-3);
    cr_expect_eq(sliced_distance(x, x), 0.0);
    cr_expect_eq(sliced_distance(NULL, x), -1.0);
}

/* Within the picture, and about centred. */
Test(toy, points_of_each_distribution_are_where_the_picture_is)
{
    for (int i = 0; toy_distributions[i] != NULL; i++) {
        ito_generator g = ito_generator_make(2, 0);
        ito_tensor *x = toy_points((const toy_data *)toy_distributions[i], &g, 2000);
        cr_expect_lt(ito_item(ito_max(ito_abs(x))), 1.2, "%s", toy_distributions[i]->name);
        cr_expect_lt(fabs(ito_item(ito_mean(x))), 0.1, "%s", toy_distributions[i]->name);
        cr_expect_gt(ito_item(ito_var(x)), 0.05, "%s", toy_distributions[i]->name);
    }
}

/* The distance in the program's last words but one. */
static double distance_after(const char *arguments)
{
    succeeds(run("%s --n 1000 --out toy", arguments));
    const char *words = strstr(complained, "distance ");
    cr_assert_not_null(words, "%s", complained);
    return atof(words + strlen("distance "));
}

Test(toy, training_brings_samples_to_the_data)
{
    double before = distance_after("--steps 1");
    double after = distance_after("--steps 400");
    cr_expect_lt(after, 0.5 * before, "%g, then %g", before, after);
    ito_tensor *samples = ito_image_load("toy/samples.png", 3),
               *score = ito_image_load("toy/score.png", 3);
    cr_assert(samples != NULL && score != NULL, "%s", ito_error());
    cr_expect(ito_size(samples, 2) == 2 * 360 + 8 && ito_size(score, 2) == 3 * 360 + 16);
    cr_expect_lt(ito_item(ito_mean(ito_cast(samples, ITO_F32))), 254.0); /* not blank */
}

/* The processes that 0.1 could not say. */
Test(toy, ddpm_and_edm_learn_too)
{
#define EDM "--schedule edm --prediction edm --weighting edm --time-input c-noise "
    static const char *const kinds[] = {
        "--data swiss-roll --schedule linear --prediction eps --sampler ddim",
        EDM "--data swiss-roll --timestep-law lognormal-sigma --spacing karras",
        "--data checkerboard --schedule vp --prediction v --sampler dpm++2m --spacing log-snr"};
    for (int i = 0; i < 3; i++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "%s --steps 1", kinds[i]);
        double before = distance_after(arguments);
        snprintf(arguments, sizeof arguments, "%s --steps 400", kinds[i]);
        double after = distance_after(arguments);
        cr_expect_lt(after, 0.6 * before, "%s: %g, then %g", kinds[i], before, after);
    }
}

Test(toy, a_recipe_is_its_options_and_numbers)
{
#define SHORT "--steps 2 --n 50 --sampling-steps 4 "
    succeeds(run(SHORT "--out a --recipe edm"));
    succeeds(run(SHORT "--out b " EDM "--timestep-law lognormal-sigma --spacing karras"));
    succeeds(run(SHORT "--out c --recipe edm2")); /* another mean and deviation */
    succeeds(run(SHORT "--out d --recipe edm --timestep-law uniform"));
    cr_expect(same_file("a/samples.png", "b/samples.png"));
    cr_expect_not(same_file("a/samples.png", "c/samples.png"));
    cr_expect_not(same_file("a/samples.png", "d/samples.png"));
    succeeds(run(SHORT "--recipe iddpm")); /* but for its learned variance */
    is_usage_error("--recipe p2 --weighting simple",
                   "diffusion: the weighting simple has no gamma, and 1 was given");
}

Test(toy, what_cannot_be_is_refused)
{
    is_usage_error(
        "--prediction x_prev",
        "ito-toy: diffusion: the prediction x_prev is for a process in steps, and this one "
        "is in continuous time");
    is_usage_error("--sampler nothing", "ito-toy: --sampler: \"nothing\" is none of ddpm|");
    succeeds(run("--help"));
    cr_expect_not_null(strstr(said, "swiss-roll"));
    /* before the training: this one would take hours */
    fails_with(run("--steps 10000000 --out data.npy"), "data.npy: ");
}
