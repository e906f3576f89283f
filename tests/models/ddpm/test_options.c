/* Every option can be given each of its legal values: 0 means 0, and extremes are taken as they
 * are. */
#include "models/ddpm/edit/edit.h"
#include "models/ddpm/likelihood/bound.h"
#include "models/ddpm/network/guidance.h"
#include "models/ddpm/sampler/sampler.h"
#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <criterion/criterion.h>
#include <math.h>

/* The betas of a process, or the sigmas that its ends have. */
Test(ddpm_options, a_process_takes_the_extremes_of_each)
{
    ito_process *p = ito_process_create(&ito_schedule_linear, .steps = 1, .beta_start = 1.0);
    cr_assert_eq(p->beta[0], 1.0); /* nothing is left after the only step */
    ito_process_free(p);
    p = ito_process_create(&ito_schedule_linear, .steps = 2, .beta_start = 1e-300, .beta_end = 1.0);
    cr_assert_null(p); /* alpha_bar does not fall from 1 in double: a sentence, not the default */
    cr_assert_eq(ito_error_code(), ITO_ERR_RANGE);
    ito_error_clear();
    p = ito_process_create(&ito_schedule_linear, .steps = 2, .beta_start = 0);
    cr_assert_null(p); /* 0 is 0, which is no beta */
    ito_error_clear();
    p = ito_process_create(&ito_schedule_linear, .steps = 2, .beta_start = 1e-10, .beta_end = 0.5,
                           .zero_terminal_snr = true);
    cr_assert_eq(p->signal[1], 0.0);
    ito_process_free(p);
    p = ito_process_create(&ito_schedule_edm, .sigma_min = 1e-8, .sigma_max = 1e8);
    cr_assert(p->t_min == 1e-8 && p->t_max == 1e8);
    ito_process_free(p);
    p = ito_process_create(&ito_schedule_flow, .steps = 0);
    cr_assert_eq(p->steps, 0);
    ito_process_free(p);
    p = ito_process_create(&ito_schedule_linear, .steps = 0);
    cr_assert_null(p); /* 0 steps are not 1,000 */
    ito_error_clear();
}

/* gamma 0 makes every weight of p2 and k 0 the inverse of SNR; the least sigma_data is above 0. */
Test(ddpm_options, a_diffusion_takes_a_gamma_and_a_k_of_zero)
{
    ito_diffusion *d = ito_diffusion_create(.weighting = &ito_weighting_p2, .gamma = 0);
    ito_step s = ito_step_between(d->process, 10, 9);
    cr_expect_eq(d->weighting->weight(d->weighting, &s), 1.0);
    ito_diffusion_free(d);
    d = ito_diffusion_create(.weighting = &ito_weighting_p2, .k = 0);
    double snr = pow(s.at.signal / s.at.noise, 2);
    s = ito_step_between(d->process, 10, 9);
    snr = pow(s.at.signal / s.at.noise, 2);
    cr_expect_float_eq(d->weighting->weight(d->weighting, &s) * snr, 1.0, 1e-12);
    ito_diffusion_free(d);
    d = ito_diffusion_create(.weighting = &ito_weighting_min_snr, .gamma = 0);
    s = ito_step_between(d->process, 10, 9);
    cr_expect_eq(d->weighting->weight(d->weighting, &s), 0.0);
    ito_diffusion_free(d);
    d = ito_diffusion_create(.prediction = &ito_prediction_edm, .sigma_data = 1e-6);
    cr_expect_eq(d->prediction->sigma_data, 1e-6);
    ito_diffusion_free(d);
    cr_expect_null(ito_diffusion_create(.prediction = &ito_prediction_edm, .sigma_data = 0));
    ito_error_clear();
}

/* One number that tells a sampled batch from another. */
static double sampled(ito_sample_options o)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_scope_begin();
    ito_tensor *x = ito_diffusion_sample_with(d, &g.base, ITO_SHAPE(2, 3), o);
    cr_assert_not_null(x, "%s", ito_error());
    double sum = ito_item(ito_sum(ito_abs(x)));
    ito_scope_end();
    ito_diffusion_free(d);
    cr_assert(isfinite(sum));
    return sum;
}

#define SAMPLED(...) sampled(ITO_OPTIONS(ito_sample_options, .dtype = ITO_F64, __VA_ARGS__))

/* Each at its legal extremes; beside it, what the extreme is known to be equal to. */
Test(ddpm_options, sampling_takes_the_extremes_of_each)
{
    double usual = SAMPLED(.seed = 0);
    cr_expect_eq(SAMPLED(.steps = 20), usual);
    cr_expect_neq(SAMPLED(.steps = 1), usual);
    cr_expect_neq(SAMPLED(.seed = UINT64_MAX), usual);
    cr_expect_eq(SAMPLED(.first_image = 0), usual);
    cr_expect_neq(SAMPLED(.first_image = (int64_t)1 << 40), usual);
    cr_expect_eq(SAMPLED(.start = 19), usual);
    cr_expect_neq(SAMPLED(.start = 0), usual); /* the last step alone, not all of them */
    cr_expect_neq(SAMPLED(.times = (double[]){0.0}, .steps = 1), usual);
    cr_expect_eq(SAMPLED(.eta = 0), usual); /* ancestral sampling has no eta */
    cr_expect_eq(SAMPLED(.s_churn = 0), usual);
    cr_expect_eq(SAMPLED(.threshold = 0), usual);
    cr_expect_neq(SAMPLED(.threshold = 1, .no_clip = true), SAMPLED(.no_clip = true));
    double ddim = SAMPLED(.sampler = &ito_sampler_ddim);
    cr_expect_neq(SAMPLED(.sampler = &ito_sampler_ddim, .eta = 1), ddim);
}

/* Churn: no noise at all with s_noise 0, none outside of s_tmin to s_tmax. */
Test(ddpm_options, churn_takes_the_extremes_of_each)
{
    double plain = SAMPLED(.sampler = &ito_sampler_euler);
    double churned = SAMPLED(.sampler = &ito_sampler_euler, .s_churn = 20);
    cr_expect_neq(churned, plain);
    double quiet = SAMPLED(.sampler = &ito_sampler_euler, .s_churn = 20, .s_noise = 0);
    cr_expect_neq(quiet, churned);
    cr_expect_neq(quiet, plain); /* it still goes up, without noise */
    cr_expect_eq(SAMPLED(.sampler = &ito_sampler_euler, .s_churn = 20, .s_tmax = 0), plain);
    cr_expect_eq(SAMPLED(.sampler = &ito_sampler_euler, .s_churn = 20, .s_tmin = 1e300), plain);
    cr_expect_eq(SAMPLED(.sampler = &ito_sampler_euler, .s_churn = 20, .s_tmin = 0,
                         .s_tmax = (double)INFINITY),
                 churned);
}

/* A sampled batch of a good and a bad network. */
static double guided(ito_guidance_options o)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    gaussian_network good = gaussian_make(d, 0.0);
    ito_network bad = network_of(evaluate_zeros, NULL);
    ito_guidance *g = ito_autoguidance_create_with(d, &good.base, &bad, 2.0, o);
    cr_assert_not_null(g, "%s", ito_error());
    ito_scope_begin();
    double sum = ito_item(ito_sum(ito_abs(ito_diffusion_sample(
        d, &g->base, ITO_SHAPE(2, 3), .sampler = &ito_sampler_ddim, .dtype = ITO_F64))));
    ito_scope_end();
    ito_network_free(&g->base);
    ito_diffusion_free(d);
    cr_assert(isfinite(sum));
    return sum;
}

#define GUIDED(...) guided(ITO_OPTIONS(ito_guidance_options, __VA_ARGS__))

Test(ddpm_options, guidance_takes_the_extremes_of_each)
{
    double usual = GUIDED(.reserved_ = 0), never = GUIDED(.sigma_lo = 1e300);
    cr_expect_neq(never, usual);
    cr_expect_eq(GUIDED(.sigma_hi = 1e-300), never);
    cr_expect_eq(GUIDED(.sigma_lo = 0, .sigma_hi = (double)INFINITY), usual);
    cr_expect_eq(GUIDED(.sigma_lo = 1e-300, .sigma_hi = 1e300), usual);
    cr_expect_eq(GUIDED(.rescale = 0), usual);
    /* Of a network that is a multiple of the other, all of the scale goes. */
    cr_expect_float_eq(GUIDED(.rescale = 1), never, 1e-12 * never);
}

Test(ddpm_options, the_bound_takes_the_extremes_of_each)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 4);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = ito_full(ITO_SHAPE(2, 3), 0.2, ITO_F64);
    ito_bits all, some;
    cr_assert_eq(ito_bits_per_dim(d, &g.base, x, &all, .monte_carlo = 0), ITO_OK);
    cr_assert_eq(ito_bits_per_dim(d, &g.base, x, &some, .monte_carlo = 3), ITO_OK);
    cr_expect_eq(ito_bits_per_dim(d, &g.base, x, &some, .monte_carlo = 4), ITO_ERR_RANGE);
    ito_error_clear();
    cr_expect_eq(ito_bits_per_dim(d, &g.base, x, &some, .draws = 0), ITO_ERR_RANGE);
    ito_error_clear();
    cr_assert_eq(ito_bits_per_dim(d, &g.base, x, &some, .draws = 2, .seed = UINT64_MAX), ITO_OK);
    cr_expect(isfinite(ito_item(ito_sum(some.total))));
    ito_diffusion_free(d);
}
