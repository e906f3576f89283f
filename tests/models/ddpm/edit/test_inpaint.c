/* Inpainting: what is made fits what is given, and RePaint's way back up. */
#include "models/ddpm/edit/edit.h"

#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <math.h>
#include <stdio.h>

/* Two pixels that are one number u ~ N(0, 1/4): x_0-hat of both is E[u | both]. Predicts x_0. */
static ito_tensor *twins(ito_network *self, const ito_network_input *in)
{
    const ito_diffusion *d = self->context;
    ito_level at = ito_process_level(d->process, input_time(in, 0));
    double A = at.signal, N = at.noise;
    ito_tensor *mean = ito_mean(in->x, .dims = ITO_DIMS(3), .keepdim = true);
    return ito_expand(ito_mul_scalar(mean, 0.25 * A / (0.25 * A * A + 0.5 * N * N)), -1, -1, -1, 2);
}

/* Root mean square of what is made beside the given pixel less that pixel. */
static double mismatch(const ito_schedule_family *family, ito_resampling r, ito_sample_options o)
{
    ito_diffusion *d = ito_diffusion_create(.schedule = family, .prediction = &ito_prediction_x_0,
                                            .variance = &ito_variance_fixedsmall);
    ito_network network = network_of(twins, d);
    ito_generator g = ito_generator_make(1, 99);
    ito_tensor *u = ito_mul_scalar(ito_randn(&g, ITO_SHAPE(200, 1, 1, 1), ITO_F64), 0.5);
    ito_tensor *nan = ito_full_like(u, (double)NAN); /* what is not given does not matter */
    ito_tensor *x = ito_cat(ITO_TENSORS(u, nan), 3);
    ito_tensor *mask = ito_from_data((const double[]){1.0, 0.0}, ITO_SHAPE(1, 1, 1, 2), ITO_F64);
    o.no_clip = true;
    ito_tensor *y = ito_diffusion_inpaint_with(d, &network, x, mask, r, o);
    cr_assert_not_null(y, "%s", ito_error());
    cr_assert_eq(largest_difference(ito_narrow(y, 3, 0, 1), u), 0.0);
    double off = sqrt(ito_item(ito_mean(ito_square(ito_sub(ito_narrow(y, 3, 1, 1), u)))));
    ito_diffusion_free(d);
    return off;
}

/* Unrelated pixels would be 0.7 apart. */
static void fits(const ito_schedule_family *family, const ito_spacing *spacing)
{
    ito_resampling once = {10, 1}, six_times = {.jump = 5, .repeats = 6};
    ito_sample_options o = ITO_OPTIONS(ito_sample_options, .steps = 50, .spacing = spacing);
    double plain = mismatch(family, once, o), again = mismatch(family, six_times, o);
    o.sampler = &ito_sampler_dpmpp_2m;
    double solver = mismatch(family, six_times, o);
    cr_expect(plain < 0.2 && again < 0.1 && again < plain && solver < 0.1, "%s: %g %g %g",
              family->name, plain, again, solver);
}

Test(inpaint, inpainting_fits_what_is_made_to_what_is_given)
{
    fits(&ito_schedule_linear, &ito_spacing_linspace);
}

Test(inpaint, inpainting_fits_in_continuous_time)
{
    fits(&ito_schedule_flow, &ito_spacing_linspace);
    fits(&ito_schedule_vp, &ito_spacing_linspace);
    fits(&ito_schedule_edm, &ito_spacing_karras);
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
Test(inpaint, resampling_takes_the_papers_way)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    int64_t counts[2] = {0, 0};
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F64);
    ito_tensor *mask = ito_zeros(ITO_SHAPE(2, 2), ITO_BOOL);
    ito_resampling r = {.jump = 2, .repeats = 4};
    cr_assert_not_null(ito_diffusion_inpaint(d, &g.base, x, mask, r, .steps = 10, .progress = count,
                                             .progress_context = counts));
    cr_assert_eq(counts[1], 10 + 4 * 3 * (2 + 2));
    cr_assert_eq(counts[0], counts[1]);
    /* Of 9, the same places: the last is where a jump reaches the beginning. */
    cr_assert_not_null(ito_diffusion_inpaint(d, &g.base, x, mask, r, .steps = 9, .progress = count,
                                             .progress_context = counts));
    cr_assert_eq(counts[1], 9 + 4 * 3 * (2 + 2));
    ito_diffusion_free(d);
}

static ito_tensor *ones(const ito_sampler_state *s, void *context)
{
    (void)context;
    return ito_ones_like(s->x);
}

/* With noise 1 everywhere: the given pixel, 0.4, is itself noised as far as the rest; on the way up
 * x is noised as q(x_t | x_s) says, and what was estimated before is forgotten. */
static void watch_inpainting(const ito_sampler_state *s, ito_tensor *x, void *context)
{
    double before[2], after[2];
    cr_assert(ito_to_data(s->x, before, ITO_F64) == ITO_OK &&
              ito_to_data(x, after, ITO_F64) == ITO_OK);
    if (s->step.t_to < s->step.t) {
        cr_expect_float_eq(after[0], s->step.to.signal * 0.4 + s->step.to.noise, 1e-12);
        return;
    }
    ++*(int *)context;
    double kept = s->step.to.signal / s->step.at.signal;
    double added = sqrt(pow(s->step.to.noise, 2.0) - pow(kept * s->step.at.noise, 2.0));
    for (int i = 0; i < 2; i++)
        cr_expect_float_eq(after[i], kept * before[i] + added, 1e-12);
    cr_expect_eq(s->n_past, 0);
}

Test(inpaint, what_is_given_is_noised_as_far_as_the_rest)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    ito_tensor *x = ito_from_data((const double[]){0.4, 0.0}, ITO_SHAPE(1, 1, 1, 2), ITO_F64);
    ito_tensor *mask = ito_from_data((const double[]){1.0, 0.0}, ITO_SHAPE(1, 1, 1, 2), ITO_F64);
    int up = 0;
    ito_network network = network_of(evaluate_zeros, NULL);
    cr_assert_not_null(
        ito_diffusion_inpaint(d, &network, x, mask, ((ito_resampling){.jump = 2, .repeats = 2}),
                              .steps = 8, .sampler = &ito_sampler_dpmpp_2m, .noise = ones,
                              .observe = watch_inpainting, .observe_context = &up),
        "%s", ito_error());
    cr_expect_eq(up, 2 * 3);
    ito_diffusion_free(d);
}

/* ---- refusals ---- */

Test(inpaint, refuses_masks_that_do_not_fit)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F64);
    ito_tensor *mask = ito_zeros(ITO_SHAPE(3, 2), ITO_F32);
    assert_refused(ito_diffusion_inpaint(d, &g.base, x, mask, ((ito_resampling){10, 1})),
                   ITO_ERR_SHAPE, "inpaint: a mask [3, 2] does not fit data [1, 1, 2, 2]");
    ito_diffusion_free(d);
}

/* 0 is not a default: it is refused as it stands. */
Test(inpaint, refuses_resampling_without_jumps_or_repeats)
{
    static const struct {
        ito_resampling r;
        const char *numbers;
    } cases[] = {{{-1, 1}, "jumps of -1 steps, 1 times"},
                 {{0, 1}, "jumps of 0 steps, 1 times"},
                 {{10, 0}, "jumps of 10 steps, 0 times"},
                 {{10, 1000001}, "jumps of 10 steps, 1000001 times"}};
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F64);
    for (int i = 0; i < 4; i++) {
        char message[200];
        snprintf(message, sizeof message,
                 "inpaint: %s; both must be at least 1, and repeats at most 1000000",
                 cases[i].numbers);
        assert_refused(ito_diffusion_inpaint(d, &g.base, x, x, cases[i].r), ITO_ERR_RANGE, message);
    }
    ito_diffusion_free(d);
}
