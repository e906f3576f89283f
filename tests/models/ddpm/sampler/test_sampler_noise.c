/* The noise of samplers: what a run begins with, and what churn adds, by the numbers of the
 * process. */
#include "models/ddpm/edit/edit.h"

#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>

/* Variance grows, up to 9 beside a signal of 1. */
static ito_level growing(int64_t t, int64_t T, const ito_process_options *o)
{
    (void)o;
    return (ito_level){1.0, 3.0 * (double)(t + 1) / (double)T};
}

static const ito_schedule_family exploding = {.name = "exploding", .level_of_step = growing};

/* A network that keeps what it is evaluated at first. */
typedef struct first_input {
    ito_network base;
    double t, x;
} first_input;

static ito_tensor *keep_first(ito_network *self, const ito_network_input *in)
{
    first_input *f = (first_input *)self;
    if (f->t < 0.0) {
        f->t = input_time(in, 0);
        f->x = ito_item(ito_narrow(ito_flatten(in->x, 0, -1), 0, 0, 1));
    }
    return ito_zeros_like(in->x);
}

#define FIRST_INPUT                                                                                \
    {                                                                                              \
        .base = {.evaluate = keep_first}, .t = -1.0                                                \
    }

/* Sampling begins with the variance that x_T has: signal^2 + noise^2, of data of variance 1. */
Test(sampler_noise, a_path_that_does_not_preserve_variance_begins_as_wide_as_it_is)
{
    first_input one = FIRST_INPUT, wide = FIRST_INPUT, inpainted = FIRST_INPUT;
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    ito_diffusion *e = ito_diffusion_create(.steps = 20, .schedule = &exploding);
    ito_shape shape = ITO_SHAPE(1, 1, 1, 2);
    ito_tensor *x_0 = ito_zeros(shape, ITO_F64), *mask = ito_zeros(shape, ITO_F64);
    cr_assert_not_null(
        ito_diffusion_sample(d, &one.base, shape, .steps = 2, .seed = 4, .dtype = ITO_F64));
    cr_assert_not_null(
        ito_diffusion_sample(e, &wide.base, shape, .steps = 2, .seed = 4, .dtype = ITO_F64));
    cr_assert_not_null(ito_diffusion_inpaint(e, &inpainted.base, x_0, mask,
                                             ((ito_resampling){10, 1}), .steps = 2, .seed = 4));
    cr_assert(one.t == 19.0 && wide.t == 19.0 && inpainted.t == 19.0);
    cr_assert_neq(one.x, 0.0);
    cr_assert_float_eq(wide.x, sqrt(10.0) * one.x, 1e-12);
    cr_assert_float_eq(inpainted.x, sqrt(10.0) * one.x, 1e-12);
    ito_diffusion_free(d);
    ito_diffusion_free(e);
}

static ito_tensor *ones(const ito_sampler_state *s, void *context)
{
    (void)context;
    return ito_ones_like(s->x);
}

/* From x = 1 at t = 10 with noise 1: where churn goes up to, and what x is there. */
Test(sampler_noise, churn_goes_up_by_its_amount_within_its_range)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 100);
    const ito_process *p = d->process;
    const double inf = (double)INFINITY, sigma = p->noise[10] / p->signal[10];
    const struct {
        double s_churn, s_tmin, s_tmax, s_noise;
        double growth; /* of sigma; 1: none */
    } cases[] = {{0.3, 0.0, inf, 1.0, 1.3},          {1e6, 0.0, inf, 1.0, M_SQRT2},
                 {0.3, 0.0, inf, 2.0, 1.3},          {0.3, 0.0, inf, 0.0, 1.3},
                 {0.3, sigma * 1.01, inf, 1.0, 1.0}, {0.3, sigma * 0.99, sigma * 1.01, 1.0, 1.3},
                 {0.3, 0.0, sigma * 0.99, 1.0, 1.0}, {0.3, 0.0, 0.0, 1.0, 1.0}};
    static const double times[] = {10};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t t = 10; /* the nearest step, by logarithm */
        for (int64_t k = 10; k < 100; k++)
            if (fabs(log(p->noise[k] / p->signal[k] / sigma / cases[i].growth)) <
                fabs(log(p->noise[t] / p->signal[t] / sigma / cases[i].growth)))
                t = k;
        double kept = p->signal[t] / p->signal[10];
        double added = sqrt(pow(p->noise[t], 2.0) - pow(kept * p->noise[10], 2.0));
        first_input seen = FIRST_INPUT;
        cr_assert_not_null(ito_diffusion_sample_from(
            d, &seen.base, ito_ones(ITO_SHAPE(1, 1, 1, 1), ITO_F64), .sampler = &ito_sampler_euler,
            .steps = 1, .times = times, .s_churn = cases[i].s_churn, .s_tmin = cases[i].s_tmin,
            .s_tmax = cases[i].s_tmax, .s_noise = cases[i].s_noise, .noise = ones));
        cr_expect(cases[i].growth == 1.0 ? t == 10 : t > 10);
        cr_expect_eq(seen.t, (double)t, "%zu: at %g, not %d", i, seen.t, (int)t);
        cr_expect_float_eq(seen.x, t == 10 ? 1.0 : kept + cases[i].s_noise * added, 1e-12, "%zu",
                           i);
    }
    ito_diffusion_free(d);
}

/* In continuous time sigma grows by exactly as much, but not beyond t_max. */
Test(sampler_noise, churn_goes_up_to_any_sigma_in_continuous_time)
{
    static const struct {
        double t, s_churn, up;
    } cases[] = {{10.0, 0.3, 13.0}, {10.0, 1e6, 10.0 * M_SQRT2}, {70.0, 0.3, 80.0}};
    ito_diffusion *d = ito_diffusion_create(.schedule = &ito_schedule_edm);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        first_input seen = FIRST_INPUT;
        cr_assert_not_null(ito_diffusion_sample_from(
            d, &seen.base, ito_ones(ITO_SHAPE(1, 2), ITO_F64), .sampler = &ito_sampler_euler,
            .steps = 1, .times = &cases[i].t, .s_churn = cases[i].s_churn, .noise = ones));
        double added = sqrt(cases[i].up * cases[i].up - cases[i].t * cases[i].t);
        cr_expect_float_eq(seen.t, cases[i].up, 1e-12, "%g", seen.t);
        cr_expect_float_eq(seen.x, 1.0 + added, 1e-12, "%g", seen.x);
    }
    ito_diffusion_free(d);
}

/* Sampling begins with the deviation that x_T has. */
Test(sampler_noise, a_run_begins_as_wide_as_the_process_in_continuous_time)
{
    static const ito_schedule_family *const families[] = {&ito_schedule_flow, &ito_schedule_vp,
                                                          &ito_schedule_edm};
    const double deviations[] = {1.0, 1.0, sqrt(1.0 + 80.0 * 80.0)};
    ito_generator g = ito_generator_make(4, 0); /* the stream of the first example */
    double z = ito_item(ito_narrow(ito_randn(&g, ITO_SHAPE(2), ITO_F64), 0, 0, 1));
    for (int i = 0; i < 3; i++) {
        ito_diffusion *d =
            ito_diffusion_create(.schedule = families[i], .prediction = &ito_prediction_v);
        first_input seen = FIRST_INPUT;
        cr_assert_not_null(ito_diffusion_sample(d, &seen.base, ITO_SHAPE(1, 2), .steps = 2,
                                                .seed = 4, .dtype = ITO_F64));
        cr_expect_eq(seen.t, d->process->t_max);
        cr_expect_float_eq(seen.x, deviations[i] * z, 1e-12);
        ito_diffusion_free(d);
    }
}
