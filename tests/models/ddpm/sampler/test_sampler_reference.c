/* Samplers against the fixture of diffusers' scheduler tests: x counts up, the "network" scales it
 * by t / (t + 1). tests/reference/README.md has the conventions of each value; all of them are what
 * diffusers 0.42.1 gives. */
#include "models/ddpm/edit/edit.h"

#include "tests/models/ddpm/ddpm_check.h"
#include "tests/reference/formula.h"

#include <math.h>

/* That of the tests the fixture comes from; their tables are f32, which changes the sums by less
 * than 6e-6 of themselves. */
static const double SUM_TOLERANCE = 1e-2;

static ito_tensor *fixture(double scale)
{
    ito_tensor *x = ito_empty(ITO_SHAPE(4, 3, 8, 8), ITO_F64);
    double *values = ito_data(x);
    for (int b = 0; b < 4; b++)
        for (int i = 0; i < 192; i++)
            values[b * 192 + i] = scale * (i * 4 + b) / 768.0;
    return x;
}

static ito_tensor *scale_by_step(ito_network *self, const ito_network_input *in)
{
    (void)self;
    double step = input_time(in, 0);
    return ito_mul_scalar(in->x, step / (step + 1.0));
}

static ito_network scaling = {.evaluate = scale_by_step};

/* Of unit variance, by step and element. */
static ito_tensor *fixture_noise(const ito_sampler_state *s, void *context)
{
    (void)context;
    ito_tensor *z = ito_empty(ITO_SHAPE(4, 3, 8, 8), ITO_F64);
    for (uint32_t k = 0; k < 768; k++)
        ((double *)ito_data(z))[k] =
            (double)(formula_uniform((uint32_t)(20000 + s->step.t), k) * (float)sqrt(3.0));
    return z;
}

static ito_tensor *no_noise(const ito_sampler_state *s, void *context)
{
    (void)context;
    return ito_zeros_like(s->x);
}

static void sums_to(double scale, double expected, ito_sample_options o)
{
    ito_scope_begin();
    ito_diffusion *d = ito_diffusion_create(.variance = &ito_variance_fixedsmall);
    ito_tensor *x = ito_diffusion_sample_from_with(d, &scaling, fixture(scale), o);
    cr_assert_not_null(x, "%s", ito_error());
    double sum = ito_item(ito_sum(ito_abs(x)));
    cr_expect_float_eq(sum, expected, SUM_TOLERANCE, "%s: %.6f, not %.6f",
                       o.sampler == NULL ? "ddpm" : o.sampler->name, sum, expected);
    ito_diffusion_free(d);
    ito_scope_end();
}

#define OPTIONS(...) ITO_OPTIONS(ito_sample_options, __VA_ARGS__)

/* t = 900, 800, ..., 0, then the clean image. */
#define LEADING .steps = 10, .spacing = &ito_spacing_leading

Test(sampler_reference, ddim)
{
    sums_to(1.0, 172.006712, OPTIONS(LEADING, .sampler = &ito_sampler_ddim));
    sums_to(1.0, 236.813486,
            OPTIONS(LEADING, .sampler = &ito_sampler_ddim, .eta = 1.0, .noise = fixture_noise));
    static const double times[] = {900, 800, 700, 600, 500, 400, 300, 200, 100, 0};
    sums_to(1.0, 172.006712, OPTIONS(.sampler = &ito_sampler_ddim, .steps = 10, .times = times));
}

/* From 4 x the clip acts; the last step, from 0 to the clean image, is left out. */
Test(sampler_reference, ddim_clips_and_derives_again)
{
    static const double times[] = {900, 800, 700, 600, 500, 400, 300, 200, 100};
#define NINE .sampler = &ito_sampler_ddim, .steps = 9, .times = times, .end_at_first = true
    sums_to(4.0, 559.057648, OPTIONS(NINE));
    sums_to(4.0, 562.270277, OPTIONS(NINE, .rederive_eps = true));
    sums_to(4.0, 687.992439, OPTIONS(NINE, .no_clip = true));
#undef NINE
}

Test(sampler_reference, ancestral)
{
    sums_to(1.0, 269.808350, OPTIONS(.noise = fixture_noise));
    sums_to(1.0, 0.660936, OPTIONS(.noise = no_noise));
    ito_diffusion *large = ito_diffusion_create();
    ito_tensor *x =
        ito_diffusion_sample_from(large, &scaling, fixture(1.0), .noise = fixture_noise);
    cr_assert_float_eq(ito_item(ito_sum(ito_abs(x))), 271.734016, SUM_TOLERANCE);
    ito_diffusion_free(large);
}

/* t = 999, 899, 799, 699, 599, 500, 400, 300, 200, 100, then step 0, which is not asked. */
#define NODES .steps = 10, .spacing = &ito_spacing_linspace, .end_at_first = true, .no_clip = true

Test(sampler_reference, dpm_solver)
{
    ito_sampler heun_form = ito_sampler_dpmpp_2m;
    heun_form.variant = 1;
    sums_to(1.0, 253.551396, OPTIONS(NODES, .sampler = &ito_sampler_dpmpp_2m, .keep_order = true));
    sums_to(1.0, 292.1283, OPTIONS(NODES, .sampler = &heun_form, .keep_order = true));
    sums_to(1.0, 172.2642, OPTIONS(NODES, .sampler = &ito_sampler_dpmpp_1s));
    sums_to(1.0, 176.9651, OPTIONS(NODES, .sampler = &ito_sampler_dpmpp_3m, .keep_order = true));
    sums_to(1.0, 531.3901,
            OPTIONS(NODES, .sampler = &ito_sampler_dpmpp_2m_sde, .keep_order = true,
                    .noise = fixture_noise));
    sums_to(1.0, 214.3612, OPTIONS(NODES, .sampler = &ito_sampler_dpmpp_2s));
    /* With the step to the clean image, which has order 1. */
    static const double times[] = {999, 899, 799, 699, 599, 500, 400, 300, 200, 100};
    sums_to(
        1.0, 185.0114,
        OPTIONS(.sampler = &ito_sampler_dpmpp_2m, .steps = 10, .times = times, .no_clip = true));
}

Test(sampler_reference, unipc)
{
    ito_sampler bh1 = ito_sampler_unipc;
    bh1.variant = 1;
    sums_to(1.0, 189.231824, OPTIONS(NODES, .sampler = &ito_sampler_unipc));
    sums_to(1.0, 193.5756, OPTIONS(NODES, .sampler = &bh1));
    sums_to(1.0, 189.9730, OPTIONS(NODES, .sampler = &ito_sampler_unipc3));
}

Test(sampler_reference, deis)
{
    sums_to(1.0, 183.6766, OPTIONS(NODES, .sampler = &ito_sampler_deis));
    sums_to(1.0, 185.5794, OPTIONS(NODES, .sampler = &ito_sampler_deis3));
}

/* t = 999, 888, ..., 0, then the clean image; they start from sigma times the fixture. */
#define LINSPACE .steps = 10, .spacing = &ito_spacing_linspace, .no_clip = true

Test(sampler_reference, steps_in_sigma)
{
    ito_process *p = ito_process_create(&ito_schedule_linear);
    double noise = p->noise[999];
    sums_to(noise, 241.815434, OPTIONS(LINSPACE, .sampler = &ito_sampler_heun));
    sums_to(noise, 169.460814, OPTIONS(LINSPACE, .sampler = &ito_sampler_euler));
    sums_to(noise, 192.0218, OPTIONS(LINSPACE, .sampler = &ito_sampler_lms));
    ito_process_free(p);
}

/* t = 900, ..., 100; diffusers' last step, from 0 to 0, moves nothing. */
Test(sampler_reference, pndm)
{
    static const double times[] = {900, 800, 700, 600, 500, 400, 300, 200, 100};
    sums_to(1.0, 198.1318,
            OPTIONS(.sampler = &ito_sampler_pndm, .steps = 9, .times = times, .end_at_first = true,
                    .no_clip = true));
    sums_to(1.0, 197.7155,
            OPTIONS(.sampler = &ito_sampler_plms, .steps = 9, .times = times, .end_at_first = true,
                    .no_clip = true));
}

/* t = 0, 100, ..., 900, from the level of t - 100, the clean image at first. */
Test(sampler_reference, ddim_inversion)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_tensor *x = ito_diffusion_encode(d, &scaling, fixture(1.0), LEADING);
    cr_assert_not_null(x, "%s", ito_error());
    cr_assert_float_eq(ito_item(ito_sum(ito_abs(x))), 671.681682, SUM_TOLERANCE);
    ito_diffusion_free(d);
}
