/* Encoding, interpolation, image to image and inpainting, on Gaussian data with its best network.
 */
#include "models/ddpm/edit/edit.h"

#include "tensor/runtime.h"
#include "tests/models/ddpm/gaussian.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static ito_tensor *images(uint64_t stream, int64_t n, int64_t side)
{
    ito_generator g = ito_generator_make(31, stream);
    return ito_mul_scalar(ito_randn(&g, ITO_SHAPE(n, 1, side, side), ITO_F64), 0.5);
}

static double distance(ito_tensor *a, ito_tensor *b)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    return ito_item(ito_max(ito_abs(ito_sub(a, b))));
}

/* ---- encode ---- */

Test(edit, a_round_trip_comes_back_and_says_how_far_off_it_is)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = {d, 0.0};
    ito_tensor *x = images(0, 3, 4);
    double errors[3];
    for (int i = 0; i < 3; i++) {
        ito_round_trip trip;
        ito_sample_options o = {.steps = 50 << i, .no_clip = true};
        cr_assert_eq(ito_diffusion_round_trip_with(d, gaussian_ask, &g, x, o, &trip), ITO_OK, "%s",
                     ito_error());
        double expected = 0.0, error[3];
        ito_tensor *off = ito_square(ito_sub(trip.image, x));
        cr_assert_eq(ito_to_data(trip.error, error, ITO_F64), ITO_OK);
        for (int k = 0; k < 3; k++) {
            expected = sqrt(ito_item(ito_mean(ito_narrow(off, 0, k, 1))));
            cr_assert_float_eq(error[k], expected, 1e-14);
        }
        errors[i] = error[0];
        /* The noise is what the data is made of: of unit variance, 2 x but for the errors. */
        cr_assert(distance(trip.noise, ito_mul_scalar(x, 2.0)) < 0.35);
    }
    cr_assert(errors[2] < 0.01 && errors[2] < 0.6 * errors[1] && errors[1] < 0.6 * errors[0],
              "%g %g %g", errors[0], errors[1], errors[2]);
    ito_diffusion_free(d);
}

/* Says 0.3 at step 5, and -3 at others. */
static ito_tensor *changing_eps(ito_tensor *x, ito_tensor *t, void *context)
{
    (void)context;
    return ito_full_like(x, ((const int64_t *)ito_const_data(t))[0] == 5 ? 0.3 : -3.0);
}

/* From 0.9 to step 5, then to 10, where x_0-hat is clipped to 1. */
Test(edit, encoding_takes_eps_from_the_clipped_image_if_told)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    const double *A = d->process->signal, *N = d->process->noise;
    static const int64_t times[] = {10, 5};
    for (int again = 0; again < 2; again++) {
        ito_tensor *x =
            ito_diffusion_encode(d, changing_eps, NULL, ito_full(ITO_SHAPE(1, 1, 1, 1), 0.9, ITO_F64),
                            .steps = 2, .times = times, .rederive_eps = again == 1);
        cr_assert_not_null(x, "%s", ito_error());
        double at_5 = A[5] * 0.9 + N[5] * 0.3;
        cr_assert_gt((at_5 + 3.0 * N[5]) / A[5], 1.0);
        double eps = again == 1 ? (at_5 - A[5]) / N[5] : -3.0;
        cr_expect_float_eq(ito_item(x), A[10] + N[10] * eps, 1e-12);
    }
    ito_diffusion_free(d);
}

/* ---- interpolate, edit ---- */

#define DDIM .sampler = &ito_sampler_ddim, .steps = 40, .no_clip = true, .seed = 3

/* The path of DDIM is linear here, so the mixtures are; and an end is that image noised and brought
 * back. */
Test(edit, interpolation_mixes_at_the_step_it_is_told)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = {d, 0.0};
    ito_tensor *a = images(1, 1, 3), *b = images(2, 1, 3);
    const double lambda[] = {0.0, 0.5, 1.0};
    ito_tensor *x = ito_diffusion_interpolate(d, gaussian_ask, &g, a, b,
                                         ito_from_data(lambda, ITO_SHAPE(3), ITO_F64), 499, DDIM);
    cr_assert_not_null(x, "%s", ito_error());
    ito_tensor *first = ito_narrow(x, 0, 0, 1), *last = ito_narrow(x, 0, 2, 1);
    cr_assert(distance(ito_narrow(x, 0, 1, 1), ito_axpby(0.5, first, 0.5, last)) < 1e-12);
    cr_assert(distance(first, ito_image_to_image(d, gaussian_ask, &g, a, 0.5, DDIM)) < 1e-12);
    cr_assert(distance(last, ito_image_to_image(d, gaussian_ask, &g, b, 0.5, DDIM, .first_image = 1)) <
              1e-12);
    cr_assert(distance(first, last) > 0.05);
    /* With noise on the way it is the same for all: equal images give equal mixtures. */
    x = ito_diffusion_interpolate(d, gaussian_ask, &g, a, a,
                             ito_from_data((const double[]){0.3, 0.3}, ITO_SHAPE(2), ITO_F64), 499,
                             .steps = 40);
    cr_assert_eq(distance(ito_narrow(x, 0, 0, 1), ito_narrow(x, 0, 1, 1)), 0.0);
    ito_diffusion_free(d);
}

/* A sample of x_0 given x_t is as far from the true one as two such samples: twice Var[x_0 | x_t],
 * noise^2 / 4 / D. And it has the data's moments. */
Test(edit, strength_is_how_far_an_edit_goes)
{
    static const double strengths[] = {0.05, 0.25, 1.0};
    ito_diffusion *d = ito_diffusion_create(.variance = &ito_variance_fixedsmall);
    gaussian_network g = {d, 0.0};
    ito_tensor *x = images(3, 2, 50);
    double tolerance = 5.0 * sqrt(2.0 / 5000.0) + 0.04; /* of 500 steps */
    for (int i = 0; i < 3; i++) {
        ito_tensor *y = ito_image_to_image(d, gaussian_ask, &g, x, strengths[i], .steps = 500,
                                      .no_clip = true, .seed = 1);
        cr_assert_not_null(y, "%s", ito_error());
        double off = ito_item(ito_mean(ito_square(ito_sub(x, y))));
        int64_t t = (int64_t)(strengths[i] * 1000.0) - 1;
        ito_step s = ito_step_between(d->process, t, -1);
        double expected = 0.5 * s.at.noise * s.at.noise / gaussian_variance(s.at);
        cr_assert(fabs(off / expected - 1.0) < tolerance, "%g for %g", off, expected);
        cr_assert(fabs(ito_item(ito_mean(ito_square(y))) / 0.25 - 1.0) < tolerance);
    }
    ito_diffusion_free(d);
}

/* ---- where a walk begins ---- */

/* Keeps the steps that it is asked at in a text. */
static ito_tensor *note_steps(ito_tensor *x, ito_tensor *t, void *context)
{
    char *text = context;
    sprintf(text + strlen(text), "%d ", (int)((const int64_t *)ito_const_data(t))[0]);
    return ito_zeros_like(x);
}

Test(edit, a_walk_begins_at_the_step_it_was_noised_to)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F32);
    static const struct {
        int64_t t, steps;
        ito_spacing spacing;
        bool end_at_first;
        const char *asked;
    } cases[] = {{13, 2, ito_spacing_linspace, false, "13 0 "},
                 {13, 3, ito_spacing_linspace, false, "13 10 0 "},
                 {10, 3, ito_spacing_linspace, false, "10 0 "},
                 {1, 1, ito_spacing_linspace, false, "1 "},
                 {19, 2, ito_spacing_leading, false, "19 10 0 "},
                 {5, 2, ito_spacing_trailing, false, "5 "},
                 {5, 2, ito_spacing_linspace, true, "5 "},
                 {19, 4, ito_spacing_linspace, true, "19 14 10 5 "},
                 {19, 4, ito_spacing_trailing, true, "19 14 9 4 "}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char asked[256] = "";
        cr_assert_not_null(
            ito_diffusion_interpolate(d, note_steps, asked, x, x, ito_zeros(ITO_SHAPE(1), ITO_F32),
                                 cases[i].t, .steps = cases[i].steps, .spacing = cases[i].spacing,
                                 .end_at_first = cases[i].end_at_first),
            "%s", ito_error());
        cr_expect_str_eq(asked, cases[i].asked);
    }
    char asked[256] = "";
    cr_assert_not_null(ito_image_to_image(d, note_steps, asked, x, 0.5, .steps = 2), "%s", ito_error());
    cr_expect_str_eq(asked, "9 0 ");
    ito_diffusion_free(d);
}

/* ---- inpainting ---- */

/* Two pixels that are one number u ~ N(0, 1/4): x_0-hat of both is E[u | both]. Predicts x_0. */
static ito_tensor *twins(ito_tensor *x, ito_tensor *t, void *context)
{
    const ito_diffusion *d = context;
    int64_t step = ((const int64_t *)ito_const_data(t))[0];
    double A = d->process->signal[step], N = d->process->noise[step];
    ito_tensor *mean = ito_mean(x, .dims = ITO_DIMS(3), .keepdim = true);
    return ito_expand(ito_mul_scalar(mean, 0.25 * A / (0.25 * A * A + 0.5 * N * N)), -1, -1, -1, 2);
}

/* Root mean square of what is made beside the given pixel less that pixel. */
static double mismatch(ito_resampling r, ito_sample_options o)
{
    ito_diffusion *d =
        ito_diffusion_create(.prediction = &ito_prediction_x_0, .variance = &ito_variance_fixedsmall);
    ito_generator g = ito_generator_make(1, 99);
    ito_tensor *u = ito_mul_scalar(ito_randn(&g, ITO_SHAPE(200, 1, 1, 1), ITO_F64), 0.5);
    ito_tensor *nan = ito_full_like(u, (double)NAN); /* what is not given does not matter */
    ito_tensor *x = ito_cat(ITO_TENSORS(u, nan), 3);
    ito_tensor *mask = ito_from_data((const double[]){1.0, 0.0}, ITO_SHAPE(1, 1, 1, 2), ITO_F64);
    o.no_clip = true;
    ito_tensor *y = ito_diffusion_inpaint_with(d, twins, d, x, mask, r, o);
    cr_assert_not_null(y, "%s", ito_error());
    cr_assert_eq(distance(ito_narrow(y, 3, 0, 1), u), 0.0);
    double off = sqrt(ito_item(ito_mean(ito_square(ito_sub(ito_narrow(y, 3, 1, 1), u)))));
    ito_diffusion_free(d);
    return off;
}

Test(edit, inpainting_fits_what_is_made_to_what_is_given)
{
    double plain =
        mismatch((ito_resampling){.jump = 0}, (ito_sample_options){.steps = 50});
    double again = mismatch((ito_resampling){.jump = 5, .repeats = 6},
                            (ito_sample_options){.steps = 50});
    double solver = mismatch((ito_resampling){.jump = 5, .repeats = 6},
                             (ito_sample_options){.steps = 50, .sampler = &ito_sampler_dpmpp_2m});
    /* Unrelated pixels would be 0.7 apart. */
    cr_assert(plain < 0.2 && again < 0.1 && again < plain && solver < 0.1, "%g %g %g", plain, again,
              solver);
}

static bool count(int64_t done, int64_t steps, ito_tensor *x, void *context)
{
    (void)x;
    int64_t *counts = context;
    counts[0] = done;
    counts[1] = steps;
    return true;
}

/* 10 steps, jumps of 2 from places 0, 2, 4, 6: 3 returns each, of 2 up and 2 down. */
Test(edit, resampling_takes_the_papers_walk)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = {d, 0.0};
    int64_t counts[2] = {0, 0};
    ito_tensor *x = images(4, 1, 2), *mask = ito_zeros(ITO_SHAPE(2, 2), ITO_BOOL);
    ito_resampling r = {.jump = 2, .repeats = 4};
    cr_assert_not_null(ito_diffusion_inpaint(d, gaussian_ask, &g, x, mask, r, .steps = 10,
                                        .progress = count, .progress_context = counts));
    cr_assert_eq(counts[1], 10 + 4 * 3 * (2 + 2));
    cr_assert_eq(counts[0], counts[1]);
    /* Of 9, the same places: the last is where a jump reaches the beginning. */
    cr_assert_not_null(ito_diffusion_inpaint(d, gaussian_ask, &g, x, mask, r, .steps = 9,
                                        .progress = count, .progress_context = counts));
    cr_assert_eq(counts[1], 9 + 4 * 3 * (2 + 2));
    ito_diffusion_free(d);
}

static ito_tensor *ones(const ito_sampler_state *w, void *context)
{
    (void)context;
    return ito_ones_like(w->x);
}

/* With noise 1 everywhere: the given pixel, 0.4, is itself noised as far as the rest; on the way up
 * x is noised as q(x_t | x_s) says, and what was guessed before is forgotten. */
static void watch_inpainting(const ito_sampler_state *w, ito_tensor *x, void *context)
{
    double before[2], after[2];
    cr_assert(ito_to_data(w->x, before, ITO_F64) == ITO_OK &&
              ito_to_data(x, after, ITO_F64) == ITO_OK);
    if (w->step.t_to < w->step.t) {
        cr_expect_float_eq(after[0], w->step.to.signal * 0.4 + w->step.to.noise, 1e-12);
        return;
    }
    ++*(int *)context;
    double kept = w->step.to.signal / w->step.at.signal;
    double added = sqrt(pow(w->step.to.noise, 2.0) - pow(kept * w->step.at.noise, 2.0));
    for (int i = 0; i < 2; i++)
        cr_expect_float_eq(after[i], kept * before[i] + added, 1e-12);
    cr_expect_eq(w->known, 0);
}

Test(edit, what_is_given_is_noised_as_far_as_the_rest)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    ito_tensor *x = ito_from_data((const double[]){0.4, 0.0}, ITO_SHAPE(1, 1, 1, 2), ITO_F64);
    ito_tensor *mask = ito_from_data((const double[]){1.0, 0.0}, ITO_SHAPE(1, 1, 1, 2), ITO_F64);
    int up = 0;
    char asked[1024] = "";
    cr_assert_not_null(ito_diffusion_inpaint(d, note_steps, asked, x, mask,
                                        ((ito_resampling){.jump = 2, .repeats = 2}),
                                        .steps = 8, .sampler = &ito_sampler_dpmpp_2m, .noise = ones,
                                        .observe = watch_inpainting, .observe_context = &up),
                       "%s", ito_error());
    cr_expect_eq(up, 2 * 3);
    ito_diffusion_free(d);
}

/* ---- batches and errors ---- */

Test(edit, an_image_alone_is_that_image_in_a_batch)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = {d, 0.0};
    ito_tensor *x = images(5, 3, 2);
    ito_tensor *mask = ito_from_data((const double[]){1, 0, 0, 1}, ITO_SHAPE(2, 2), ITO_F64);
    ito_resampling r = {.jump = 2, .repeats = 2};
    ito_tensor *a = ito_image_to_image(d, gaussian_ask, &g, x, 0.7, .steps = 9);
    ito_tensor *b = ito_diffusion_inpaint(d, gaussian_ask, &g, x, mask, r, .steps = 6);
    ito_tensor *c = ito_diffusion_encode(d, gaussian_ask, &g, x, .steps = 9);
    for (int64_t i = 0; i < 3; i++) {
        ito_tensor *one = ito_narrow(x, 0, i, 1);
        cr_assert_eq(distance(ito_narrow(a, 0, i, 1), ito_image_to_image(d, gaussian_ask, &g, one, 0.7,
                                                                    .steps = 9, .first_image = i)),
                     0.0);
        cr_assert_eq(
            distance(ito_narrow(b, 0, i, 1), ito_diffusion_inpaint(d, gaussian_ask, &g, one, mask, r,
                                                              .steps = 6, .first_image = i)),
            0.0);
        cr_assert_eq(
            distance(ito_narrow(c, 0, i, 1), ito_diffusion_encode(d, gaussian_ask, &g, one, .steps = 9)),
            0.0);
    }
    ito_diffusion_free(d);
}

static void refused(const void *result, ito_status code, const char *message)
{
    cr_assert_null(result);
    cr_assert_eq(ito_error_code(), code, "%s", ito_error());
    cr_assert_str_eq(ito_error_message(), message);
    ito_error_clear();
}

Test(edit, refuses_what_makes_no_sense)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = {d, 0.0};
    ito_tensor *x = images(6, 1, 2), *y = images(6, 2, 2),
               *half = ito_full(ITO_SHAPE(1), 0.5, ITO_F64);
    refused(ito_image_to_image(d, gaussian_ask, &g, x, 0.0), ITO_ERR_RANGE,
            "edit: the strength is 0; it must be in (0, 1]");
    refused(
        ito_diffusion_interpolate(d, gaussian_ask, &g, x, y, half, 5), ITO_ERR_SHAPE,
        "interpolate: the images are [1, 1, 2, 2] and [2, 1, 2, 2] and lambda is [1]; they must "
        "be [1, C, H, W], equal, and [K]");
    refused(ito_diffusion_interpolate(d, gaussian_ask, &g, x, x, half, 1000), ITO_ERR_RANGE,
            "interpolate: t is 1000; it must be 1 to 999");
    ito_resampling none = {.jump = 0}, less = {.jump = -1};
    refused(ito_diffusion_inpaint(d, gaussian_ask, &g, x, ito_zeros(ITO_SHAPE(3, 2), ITO_F32), none),
            ITO_ERR_SHAPE, "inpaint: a mask [3, 2] does not fit images [1, 1, 2, 2]");
    refused(ito_diffusion_inpaint(d, gaussian_ask, &g, x, x, less), ITO_ERR_RANGE,
            "inpaint: jumps of -1 steps, 1 times; both must be at least 1, and repeats at most "
            "1000000");
    refused(ito_diffusion_encode(d, gaussian_ask, &g, x, .steps = 1001), ITO_ERR_RANGE,
            "sample: 1001 steps; the schedule has 1 to 1000");
    ito_diffusion_free(d);
}

Test(edit, failed_allocations_are_errors_and_leak_nothing)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 4);
    gaussian_network g = {d, 0.0};
    int64_t blocks = ito_memory_blocks();
    for (int kind = 0; kind < 3; kind++) {
        ito_tensor *y = NULL;
        int64_t n = 0;
        for (n = 1; y == NULL; n++) {
            ito_scope_begin();
            ito_tensor *x = images(7, 1, 2), *mask = ito_ones(ITO_SHAPE(2, 2), ITO_BOOL);
            ito_tensor *half = ito_full(ITO_SHAPE(2), 0.5, ITO_F64);
            ito_resampling r = {.jump = 1, .repeats = 2};
            ito_memory_fail_nth(n);
            y = kind == 0   ? ito_diffusion_inpaint(d, gaussian_ask, &g, x, mask, r, .steps = 2)
                : kind == 1 ? ito_diffusion_interpolate(d, gaussian_ask, &g, x, x, half, 3, .steps = 2)
                            : ito_diffusion_encode(d, gaussian_ask, &g, x, .steps = 2);
            ito_memory_fail_nth(0);
            cr_assert_eq(ito_error_code(), y == NULL ? ITO_ERR_MEMORY : ITO_OK, "%d %d: %s", kind,
                         (int)n, ito_error());
            ito_error_clear();
            ito_scope_end();
            cr_assert_eq(ito_memory_blocks(), blocks);
        }
        cr_assert(n > 20);
    }
    ito_diffusion_free(d);
}
