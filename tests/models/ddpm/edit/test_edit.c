/* Encoding, interpolation and image to image, on Gaussian data with its best network; and what
 * these and inpainting have in common. */
#include "models/ddpm/edit/edit.h"

#include "tensor/runtime.h"
#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static ito_tensor *images(uint64_t stream, int64_t n, int64_t side)
{
    ito_generator g = ito_generator_make(31, stream);
    return ito_mul_scalar(ito_randn(&g, ITO_SHAPE(n, 1, side, side), ITO_F64), 0.5);
}

/* ---- encode ---- */

Test(edit, a_round_trip_comes_back_and_says_how_far_off_it_is)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = images(0, 3, 4);
    double errors[3];
    for (int i = 0; i < 3; i++) {
        ito_round_trip trip;
        ito_sample_options o = ITO_OPTIONS(ito_sample_options, .steps = 50 << i, .no_clip = true);
        cr_assert_eq(ito_diffusion_round_trip_with(d, &g.base, x, o, &trip), ITO_OK, "%s",
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
        cr_assert(largest_difference(trip.noise, ito_mul_scalar(x, 2.0)) < 0.35);
    }
    cr_assert(errors[2] < 0.01 && errors[2] < 0.6 * errors[1] && errors[1] < 0.6 * errors[0],
              "%g %g %g", errors[0], errors[1], errors[2]);
    ito_diffusion_free(d);
}

/* Says 0.3 at step 5, and -3 at others. */
static ito_tensor *changing_eps(ito_network *self, const ito_network_input *in)
{
    (void)self;
    return ito_full_like(in->x, input_time(in, 0) == 5.0 ? 0.3 : -3.0);
}

/* From 0.9 to step 5, then to 10, where x_0-hat is clipped to 1. */
Test(edit, encoding_takes_eps_from_the_clipped_image_if_told)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    const double *A = d->process->signal, *N = d->process->noise;
    ito_network network = network_of(changing_eps, NULL);
    static const double times[] = {10, 5};
    for (int again = 0; again < 2; again++) {
        ito_tensor *x =
            ito_diffusion_encode(d, &network, ito_full(ITO_SHAPE(1, 1, 1, 1), 0.9, ITO_F64),
                                 .steps = 2, .times = times, .rederive_eps = again == 1);
        cr_assert_not_null(x, "%s", ito_error());
        double at_5 = A[5] * 0.9 + N[5] * 0.3;
        cr_assert_gt((at_5 + 3.0 * N[5]) / A[5], 1.0);
        double eps = again == 1 ? (at_5 - A[5]) / N[5] : -3.0;
        cr_expect_float_eq(ito_item(x), A[10] + N[10] * eps, 1e-12);
    }
    ito_diffusion_free(d);
}

/* ---- interpolate, image to image ---- */

#define DDIM .sampler = &ito_sampler_ddim, .steps = 40, .no_clip = true, .seed = 3

/* The path of DDIM is linear here, so the mixtures are; and an end is that image noised and brought
 * back. */
Test(edit, interpolation_mixes_at_the_step_it_is_told)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *a = images(1, 1, 3), *b = images(2, 1, 3);
    const double lambda[] = {0.0, 0.5, 1.0};
    ito_tensor *x = ito_diffusion_interpolate(
        d, &g.base, a, b, ito_from_data(lambda, ITO_SHAPE(3), ITO_F64), 499, DDIM);
    cr_assert_not_null(x, "%s", ito_error());
    ito_tensor *first = ito_narrow(x, 0, 0, 1), *last = ito_narrow(x, 0, 2, 1);
    cr_assert(largest_difference(ito_narrow(x, 0, 1, 1), ito_axpby(0.5, first, 0.5, last)) < 1e-12);
    cr_assert(largest_difference(first, ito_image_to_image(d, &g.base, a, 0.5, DDIM)) < 1e-12);
    cr_assert(largest_difference(
                  last, ito_image_to_image(d, &g.base, b, 0.5, DDIM, .first_image = 1)) < 1e-12);
    cr_assert(largest_difference(first, last) > 0.05);
    /* With noise on the way it is the same for all: equal images give equal mixtures. */
    x = ito_diffusion_interpolate(d, &g.base, a, a,
                                  ito_from_data((const double[]){0.3, 0.3}, ITO_SHAPE(2), ITO_F64),
                                  499, .steps = 40);
    cr_assert_eq(largest_difference(ito_narrow(x, 0, 0, 1), ito_narrow(x, 0, 1, 1)), 0.0);
    ito_diffusion_free(d);
}

/* A sample of x_0 given x_t is as far from the true one as two such samples: twice Var[x_0 | x_t],
 * noise^2 / 4 / D. And it has the data's moments. */
Test(edit, strength_is_how_far_an_edit_goes)
{
    static const double strengths[] = {0.05, 0.25, 1.0};
    ito_diffusion *d = ito_diffusion_create(.variance = &ito_variance_fixedsmall);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = images(3, 2, 50);
    double tolerance = 5.0 * sqrt(2.0 / 5000.0) + 0.04; /* of 500 steps */
    for (int i = 0; i < 3; i++) {
        ito_tensor *y = ito_image_to_image(d, &g.base, x, strengths[i], .steps = 500,
                                           .no_clip = true, .seed = 1);
        cr_assert_not_null(y, "%s", ito_error());
        double off = ito_item(ito_mean(ito_square(ito_sub(x, y))));
        double t = strengths[i] * 1000.0 - 1.0;
        ito_step s = ito_step_between(d->process, t, d->process->t_clean);
        double expected = 0.5 * s.at.noise * s.at.noise / gaussian_variance(s.at);
        cr_assert(fabs(off / expected - 1.0) < tolerance, "%g for %g", off, expected);
        cr_assert(fabs(ito_item(ito_mean(ito_square(y))) / 0.25 - 1.0) < tolerance);
    }
    ito_diffusion_free(d);
}

/* ---- where a run begins ---- */

/* Keeps the times that it is evaluated at in a text. */
static ito_tensor *note_times(ito_network *self, const ito_network_input *in)
{
    char *text = self->context;
    sprintf(text + strlen(text), "%g ", input_time(in, 0));
    return ito_zeros_like(in->x);
}

Test(edit, a_run_begins_at_the_step_it_was_noised_to)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F32);
    static const struct {
        int64_t t, steps;
        const ito_spacing *spacing;
        bool end_at_first;
        const char *times;
    } cases[] = {{13, 2, &ito_spacing_linspace, false, "13 0 "},
                 {13, 3, &ito_spacing_linspace, false, "13 10 0 "},
                 {10, 3, &ito_spacing_linspace, false, "10 0 "},
                 {1, 1, &ito_spacing_linspace, false, "1 "},
                 {19, 2, &ito_spacing_leading, false, "19 10 0 "},
                 {5, 2, &ito_spacing_trailing, false, "5 "},
                 {5, 2, &ito_spacing_linspace, true, "5 "},
                 {19, 4, &ito_spacing_linspace, true, "19 14 10 5 "},
                 {19, 4, &ito_spacing_trailing, true, "19 14 9 4 "}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char times[256] = "";
        ito_network network = network_of(note_times, times);
        cr_assert_not_null(ito_diffusion_interpolate(
                               d, &network, x, x, ito_zeros(ITO_SHAPE(1), ITO_F32),
                               (double)cases[i].t, .steps = cases[i].steps,
                               .spacing = cases[i].spacing, .end_at_first = cases[i].end_at_first),
                           "%s", ito_error());
        cr_expect_str_eq(times, cases[i].times);
    }
    char times[256] = "";
    ito_network network = network_of(note_times, times);
    cr_assert_not_null(ito_image_to_image(d, &network, x, 0.5, .steps = 2), "%s", ito_error());
    cr_expect_str_eq(times, "9 ");
    ito_diffusion_free(d);
}

/* ---- batches ---- */

Test(edit, an_image_alone_is_that_image_in_a_batch)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = images(5, 3, 2);
    ito_tensor *mask = ito_from_data((const double[]){1, 0, 0, 1}, ITO_SHAPE(2, 2), ITO_F64);
    ito_resampling r = {.jump = 2, .repeats = 2};
    ito_tensor *a = ito_image_to_image(d, &g.base, x, 0.7, .steps = 9);
    ito_tensor *b = ito_diffusion_inpaint(d, &g.base, x, mask, r, .steps = 6);
    ito_tensor *c = ito_diffusion_encode(d, &g.base, x, .steps = 9);
    for (int64_t i = 0; i < 3; i++) {
        ito_tensor *one = ito_narrow(x, 0, i, 1);
        cr_assert_eq(largest_difference(
                         ito_narrow(a, 0, i, 1),
                         ito_image_to_image(d, &g.base, one, 0.7, .steps = 9, .first_image = i)),
                     0.0);
        cr_assert_eq(largest_difference(ito_narrow(b, 0, i, 1),
                                        ito_diffusion_inpaint(d, &g.base, one, mask, r, .steps = 6,
                                                              .first_image = i)),
                     0.0);
        cr_assert_eq(largest_difference(ito_narrow(c, 0, i, 1),
                                        ito_diffusion_encode(d, &g.base, one, .steps = 9)),
                     0.0);
    }
    ito_diffusion_free(d);
}

/* ---- data of any number of axes, continuous time ---- */

/* What everything that edits makes of x, joined. */
static ito_tensor *edited(const ito_diffusion *d, ito_network *network, ito_tensor *x)
{
    ito_tensor *one = ito_narrow(x, 0, 0, 1), *two = ito_narrow(x, 0, 1, 1);
    ito_tensor *lambda = ito_from_data((const double[]){0.25, 0.75}, ITO_SHAPE(2), ITO_F64);
    ito_tensor *mask = ito_gt(x, ito_zeros_like(x));
    double t = d->process->steps > 0 ? 499.0 : 0.5;
    return ito_cat(
        ITO_TENSORS(
            ito_diffusion_encode(d, network, x, .steps = 6),
            ito_diffusion_interpolate(d, network, one, two, lambda, t, .steps = 6),
            ito_image_to_image(d, network, x, 0.7, .steps = 6),
            ito_diffusion_inpaint(d, network, x, mask, ((ito_resampling){2, 2}), .steps = 6)),
        0);
}

Test(edit, points_signals_and_volumes_are_edited_as_images_of_their_numbers)
{
    const ito_shape shapes[] = {ITO_SHAPE(3, 9), ITO_SHAPE(3, 3, 3), ITO_SHAPE(3, 1, 1, 3, 3)};
    static const ito_schedule_family *const families[] = {&ito_schedule_linear, &ito_schedule_flow};
    for (int f = 0; f < 2; f++) {
        ito_diffusion *d =
            ito_diffusion_create(.schedule = families[f], .prediction = &ito_prediction_v);
        gaussian_network g = gaussian_make(d, 0.0);
        ito_tensor *x = images(8, 3, 3), *expected = edited(d, &g.base, x);
        for (int i = 0; i < 3; i++) {
            ito_tensor *y = edited(d, &g.base, ito_reshape_to(x, shapes[i]));
            cr_assert_not_null(y, "%s", ito_error());
            cr_assert_eq(ito_ndim(y), shapes[i].ndim);
            cr_expect_eq(largest_difference(ito_flatten(y, 1, -1), ito_flatten(expected, 1, -1)),
                         0.0);
        }
        ito_diffusion_free(d);
    }
}

/* How far a round trip of x is from x, and its noise from x scaled by the ratio of deviations. */
static void round_trip_errors(const ito_diffusion *d, ito_tensor *x, int64_t steps, double *image,
                              double *noise)
{
    gaussian_network g = gaussian_make(d, 0.0);
    ito_round_trip trip;
    ito_sample_options o = ITO_OPTIONS(ito_sample_options, .no_clip = true, .steps = steps,
                                       .spacing = &ito_spacing_karras);
    cr_assert_eq(ito_diffusion_round_trip_with(d, &g.base, x, o, &trip), ITO_OK, "%s", ito_error());
    double D = gaussian_variance(ito_process_level(d->process, d->process->t_max));
    ito_tensor *exact = ito_mul_scalar(x, 2.0 * sqrt(D));
    *image = ito_item(ito_max(trip.error));
    *noise = largest_difference(trip.noise, exact) / ito_item(ito_max(ito_abs(exact)));
}

/* Both errors about halve where the steps double. Flow always has the same last step, from 0.999 to
 * pure noise. */
Test(edit, a_round_trip_comes_back_in_continuous_time)
{
    static const ito_schedule_family *const families[] = {&ito_schedule_flow, &ito_schedule_vp,
                                                          &ito_schedule_edm};
    ito_tensor *x = ito_flatten(images(0, 3, 4), 1, -1);
    for (int f = 0; f < 3; f++) {
        double image[2], noise[2];
        ito_diffusion *d =
            ito_diffusion_create(.schedule = families[f], .prediction = &ito_prediction_v);
        for (int i = 0; i < 2; i++)
            round_trip_errors(d, x, 800 << i, &image[i], &noise[i]);
        cr_expect(image[1] < 0.015 && image[1] < 0.6 * image[0], "%s: %g %g", families[f]->name,
                  image[0], image[1]);
        cr_expect(noise[1] < 0.03 && noise[1] < 0.6 * noise[0], "%s: %g %g", families[f]->name,
                  noise[0], noise[1]);
        ito_diffusion_free(d);
    }
}

Test(edit, strength_is_a_share_of_the_times_in_continuous_time)
{
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_flow);
    char times[256] = "";
    ito_network network = network_of(note_times, times);
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 2), ITO_F32);
    cr_assert_not_null(ito_image_to_image(d, &network, x, 0.375, .steps = 2), "%s", ito_error());
    cr_assert_not_null(ito_image_to_image(d, &network, x, 1.0, .steps = 2), "%s", ito_error());
    cr_assert_not_null(ito_image_to_image(d, &network, x, 1e-9, .steps = 2), "%s", ito_error());
    cr_expect_str_eq(times, "0.375 1 0.5 0.001 ");
    ito_diffusion_free(d);
}

/* ---- refusals ---- */

Test(edit, refuses_a_strength_out_of_its_range)
{
    static const struct {
        double strength;
        const char *message;
    } cases[] = {{0.0, "image_to_image: the strength is 0; it must be in (0, 1]"},
                 {1.5, "image_to_image: the strength is 1.5; it must be in (0, 1]"},
                 {(double)NAN, "image_to_image: the strength is nan; it must be in (0, 1]"}};
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    for (int i = 0; i < 3; i++)
        assert_refused(ito_image_to_image(d, &g.base, images(6, 1, 2), cases[i].strength),
                       ITO_ERR_RANGE, cases[i].message);
    ito_diffusion_free(d);
}

Test(edit, refuses_to_interpolate_data_that_differ_in_shape)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *half = ito_full(ITO_SHAPE(1), 0.5, ITO_F64);
    assert_refused(
        ito_diffusion_interpolate(d, &g.base, images(6, 1, 2), images(6, 2, 2), half, 5),
        ITO_ERR_SHAPE,
        "interpolate: the data are [1, 1, 2, 2] and [2, 1, 2, 2] and lambda is [1]; they must be "
        "[1, ...], equal, and [K]");
    ito_diffusion_free(d);
}

Test(edit, refuses_to_interpolate_at_times_that_are_not_of_the_process)
{
    static const struct {
        double t;
        const char *message;
    } cases[] = {{1000, "interpolate: t is 1000; it must be above 0, and at most 999"},
                 {0, "interpolate: t is 0; it must be above 0, and at most 999"},
                 {5.5, "sample: the start is 5.5; times are 0 to 999, in whole steps"}};
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = images(6, 1, 2), *half = ito_full(ITO_SHAPE(1), 0.5, ITO_F64);
    for (int i = 0; i < 3; i++)
        assert_refused(ito_diffusion_interpolate(d, &g.base, x, x, half, cases[i].t), ITO_ERR_RANGE,
                       cases[i].message);
    ito_diffusion_free(d);
}

Test(edit, refuses_options_that_a_run_refuses)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    assert_refused(ito_diffusion_encode(d, &g.base, images(6, 1, 2), .steps = 1001), ITO_ERR_RANGE,
                   "sample: 1001 steps; the process has 1 to 1000");
    ito_diffusion_free(d);
}

/* ---- memory ---- */

/* Inpainting, interpolation or encoding, whose n-th allocation fails. */
static ito_tensor *edit_failing(const ito_diffusion *d, int kind, int64_t n)
{
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = images(7, 1, 2), *mask = ito_ones(ITO_SHAPE(2, 2), ITO_BOOL);
    ito_tensor *half = ito_full(ITO_SHAPE(2), 0.5, ITO_F64);
    ito_resampling r = {.jump = 1, .repeats = 2};
    ito_memory_fail_nth(n);
    ito_tensor *y = kind == 0   ? ito_diffusion_inpaint(d, &g.base, x, mask, r, .steps = 2)
                    : kind == 1 ? ito_diffusion_interpolate(d, &g.base, x, x, half, 3, .steps = 2)
                    : kind == 2 ? ito_diffusion_encode(d, &g.base, x, .steps = 2)
                                : ito_image_to_image(d, &g.base, x, 0.5, .steps = 2);
    ito_memory_fail_nth(0);
    return y;
}

Test(edit, failed_allocations_are_errors_and_leak_nothing)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 4);
    int64_t blocks = ito_memory_blocks();
    for (int kind = 0; kind < 4; kind++) {
        int64_t failures = 0;
        ito_tensor *y = NULL;
        for (int64_t n = 1; y == NULL; n++) {
            ito_scope_begin();
            y = edit_failing(d, kind, n);
            cr_assert_eq(ito_error_code(), y == NULL ? ITO_ERR_MEMORY : ITO_OK, "%d %d: %s", kind,
                         (int)n, ito_error());
            failures += y == NULL;
            ito_error_clear();
            ito_scope_end();
            cr_assert_eq(ito_memory_blocks(), blocks);
        }
        cr_assert(failures > 19, "%d: %d", kind, (int)failures);
    }
    ito_diffusion_free(d);
}
