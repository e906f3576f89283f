/* Sampling along the probability-flow ODE: where it leads, from which noise, what is refused. That
 * it is the inverse of the likelihood's path is in test_log_likelihood.c. */
#include "models/ddpm/sampler/probability_flow.h"

#include "models/ddpm/sampler/sampler.h"
#include "tests/expect.h"
#include "tests/models/ddpm/correlated.h"

#include <math.h>
#include <string.h>

static ito_diffusion *flow(void)
{
    return ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_flow);
}

static const double *numbers(ito_tensor *t)
{
    cr_assert_not_null(t, "%s", ito_error());
    return ito_const_data(t);
}

/* The affine flow of correlated.h, from pure noise to t_min, then / signal or to x_0-hat. */
Test(probability_flow, noise_goes_where_the_closed_form_says)
{
    ito_diffusion *d = flow();
    correlated_network best = correlated_make(d);
    ito_level low = ito_process_level(d->process, d->process->t_min), high = {0, 1};
    ito_generator g = ito_generator_make(2, 0);
    ito_tensor *noise = ito_randn(&g, ITO_SHAPE(4, 3), ITO_F64);
    for (int denoise = 0; denoise < 2; denoise++) {
        ito_tensor *x = ito_diffusion_sample_ode_from(d, &best.base, noise, .rtol = 1e-9,
                                                      .atol = 1e-9, .denoise = denoise != 0);
        for (int i = 0; i < 4; i++) {
            double u[3], off[3], z[3], mean[3], want[3], size = hypot(low.signal, low.noise);
            correlated_flow(numbers(noise) + 3 * i, high, low, u);
            for (int j = 0; j < 3; j++)
                off[j] = u[j] * size - low.signal * correlated_mean[j];
            correlated_reflect(off, z);
            for (int j = 0; j < 3; j++) /* E[x_0 | x_t] */
                z[j] *= low.signal * correlated_lambda[j] / correlated_variance(low, j);
            correlated_reflect(z, mean);
            for (int j = 0; j < 3; j++)
                want[j] = denoise ? correlated_mean[j] + mean[j] : u[j] * size / low.signal;
            for (int j = 0; j < 3; j++)
                cr_expect_float_eq(numbers(x)[3 * i + j], want[j], 1e-7, "%g, not %g",
                                   numbers(x)[3 * i + j], want[j]);
        }
    }
    ito_diffusion_free(d);
}

/* Any sampler without noise makes the same of the same noise, with enough steps: edm's noise is
 * 80 times as large as eps, and both draw from the same streams. */
Test(probability_flow, samples_are_those_of_a_fine_sampler)
{
    const ito_schedule_family *const schedules[] = {&ito_schedule_edm, &ito_schedule_vp,
                                                    &ito_schedule_cosine};
    for (int k = 0; k < 3; k++) {
        ito_diffusion *d = ito_diffusion_create(.schedule = schedules[k]);
        correlated_network best = correlated_make(d);
        ito_ode_report r;
        ito_tensor *x = ito_diffusion_sample_ode(d, &best.base, ITO_SHAPE(3, 3), .seed = 4,
                                                 .dtype = ITO_F64, .report = &r);
        ito_tensor *y = ito_diffusion_sample(
            d, &best.base, ITO_SHAPE(3, 3), .seed = 4, .dtype = ITO_F64, .no_clip = true,
            .steps = 1000, .sampler = &ito_sampler_ddim, .spacing = &ito_spacing_log_snr);
        cr_expect_lt(largest_difference(x, y), 0.02, "%s", schedules[k]->name);
        cr_expect(r.evaluations > 20 && r.evaluations < 400, "%s: %d", schedules[k]->name,
                  (int)r.evaluations);
        ito_diffusion_free(d);
    }
}

Test(probability_flow, fixed_steps_converge_with_the_order_of_the_method)
{
    ito_diffusion *d = flow();
    correlated_network best = correlated_make(d);
    static const ito_ode_method *const methods[] = {&ito_ode_euler, &ito_ode_heun, &ito_ode_rk4};
    ito_tensor *noise = ito_ones(ITO_SHAPE(1, 3), ITO_F64);
    ito_tensor *exact =
        ito_diffusion_sample_ode_from(d, &best.base, noise, .rtol = 1e-12, .atol = 1e-12);
    for (int m = 0; m < 3; m++) {
        double error[2];
        for (int i = 0; i < 2; i++)
            error[i] = largest_difference(ito_diffusion_sample_ode_from(d, &best.base, noise,
                                                                        .method = methods[m],
                                                                        .steps = 40 << i),
                                          exact);
        cr_expect_float_eq(log2(error[0] / error[1]), methods[m]->order, 0.3, "%s: %g %g",
                           methods[m]->name, error[0], error[1]);
    }
    ito_diffusion_free(d);
}

Test(probability_flow, an_example_alone_is_that_example_in_a_batch)
{
    ito_diffusion *d = flow();
    correlated_network best = correlated_make(d);
    ito_tensor *all = ito_diffusion_sample_ode(d, &best.base, ITO_SHAPE(3, 3), .steps = 5,
                                               .seed = 9, .first_image = 2);
    cr_expect_eq(ito_dtype_of(all), ITO_F32);
    for (int i = 0; i < 3; i++) {
        ito_tensor *alone = ito_diffusion_sample_ode(d, &best.base, ITO_SHAPE(1, 3), .steps = 5,
                                                     .seed = 9, .first_image = 2 + i);
        cr_expect_eq(memcmp(ito_const_data(alone), (const float *)ito_const_data(all) + 3 * i,
                            3 * sizeof(float)),
                     0);
    }
    ito_diffusion_free(d);
}

/* A network that remembers: what it is asked twice without a beginning it answers otherwise. */
static int evaluations_since;

static void forget(ito_network *self)
{
    (void)self;
    evaluations_since = 0;
}

static ito_tensor *remember(ito_network *self, const ito_network_input *in)
{
    (void)self;
    return ito_full_like(in->x, evaluations_since++);
}

Test(probability_flow, a_network_with_memory_forgets_before_each_evaluation)
{
    ito_diffusion *d = flow();
    ito_network network = {.evaluate = remember, .begin = forget};
    ito_tensor *noise = ito_ones(ITO_SHAPE(1, 3), ITO_F64);
    ito_tensor *x = ito_diffusion_sample_ode_from(d, &network, noise);
    /* a velocity eps - x_0 of 0: x stays; x / signal at t_min = 0.001 */
    cr_expect_float_eq(ito_item(ito_max(x)), 1 / 0.999, 1e-4);
    ito_diffusion_free(d);
}

/* ---- what is refused ---- */

Test(probability_flow, what_it_cannot_sample_is_refused)
{
    ito_diffusion *d = flow();
    correlated_network best = correlated_make(d);
    ito_tensor *x = correlated_points(1);
    assert_refused(ito_diffusion_sample_ode(d, &best.base, ITO_SHAPE()), ITO_ERR_SHAPE,
                   "sample_ode: [] is not [N, ...]");
    assert_refused(ito_diffusion_sample_ode(d, &best.base, ITO_SHAPE(1, 3), .dtype = ITO_U8),
                   ITO_ERR_DTYPE, "sample_ode: data are f32 or f64, not u8");
    assert_refused(ito_diffusion_sample_ode(d, &best.base, ITO_SHAPE(1, 3), .t_max = 1.5),
                   ITO_ERR_RANGE,
                   "sample_ode: times from 0.001 to 1.5; they must rise, within 0.001 to 1");
    assert_refused(ito_diffusion_sample_ode(NULL, &best.base, ITO_SHAPE(1, 3)), ITO_ERR_ARGUMENT,
                   "sample_ode: the diffusion is NULL");
    assert_refused(ito_diffusion_sample_ode(d, NULL, ITO_SHAPE(1, 3)), ITO_ERR_ARGUMENT,
                   "network: it is NULL");
    assert_refused(ito_diffusion_sample_ode_from(d, &best.base, NULL), ITO_ERR_ARGUMENT,
                   "sample_ode: x is NULL");
    assert_refused(
        ito_diffusion_sample_ode_from(d, &best.base, x, .max_evaluations = 9), ITO_ERR_NUMERIC,
        "ode: 8 of at most 9 evaluations lead to t = 1.51698, which is not yet 0.001001");
    ito_diffusion_free(d);
    d = ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_eps);
    best = correlated_make(d);
    assert_refused(ito_diffusion_sample_ode_from(d, &best.base, x), ITO_ERR_ARGUMENT,
                   "sample_ode: eps does not tell x_0 and eps at time 1 (signal 0, noise 1); t_min "
                   "and t_max can leave it out");
    cr_expect_not_null(ito_diffusion_sample_ode_from(d, &best.base, x, .t_max = 0.99));
    ito_diffusion_free(d);
}

static ito_status once(void *d)
{
    correlated_network best = correlated_make(d);
    ito_tensor *x = ito_diffusion_sample_ode(d, &best.base, ITO_SHAPE(2, 3), .denoise = true,
                                             .method = &ito_ode_euler, .steps = 2);
    return x == NULL ? ito_error_code() : ITO_OK;
}

Test(probability_flow, failing_allocations_pass)
{
    ito_diffusion *d = flow();
    cr_expect_gt(count_failed_allocations(once, d), 30);
    ito_diffusion_free(d);
}
