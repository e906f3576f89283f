/* The noise of samplers: what a walk begins with, and what churn adds, by the schedule's numbers.
 */
#include "autograd/ops.h"
#include "models/ddpm/edit/edit.h"

#include <criterion/criterion.h>
#include <math.h>

/* Variance grows, up to 9 beside a signal of 1. */
static ito_level growing(int64_t t, int64_t T, const ito_process_options *o)
{
    (void)o;
    return (ito_level){1.0, 3.0 * (double)(t + 1) / (double)T};
}

static const ito_schedule_family exploding = {.name = "exploding", .level = growing};

typedef struct first_ask {
    int64_t t;
    double x;
} first_ask;

static ito_tensor *keep_first(ito_tensor *x, ito_tensor *t, void *context)
{
    first_ask *f = context;
    if (f->t < 0)
        *f = (first_ask){((const int64_t *)ito_const_data(t))[0],
                         ito_item(ito_narrow(ito_flatten(x, 0, 3), 0, 0, 1))};
    return ito_zeros_like(x);
}

/* Sampling begins with the variance that x_T has: signal^2 + noise^2, of data of variance 1. */
Test(sampler_noise, a_path_that_does_not_preserve_variance_begins_as_wide_as_it_is)
{
    first_ask one = {.t = -1}, wide = {.t = -1}, inpainted = {.t = -1};
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    ito_diffusion *e = ito_diffusion_create(.steps = 20, .schedule = &exploding);
    ito_shape shape = ITO_SHAPE(1, 1, 1, 2);
    ito_tensor *x_0 = ito_zeros(shape, ITO_F64), *mask = ito_zeros(shape, ITO_F64);
    cr_assert_not_null(
        ito_diffusion_sample(d, keep_first, &one, shape, .steps = 2, .seed = 4, .dtype = ITO_F64));
    cr_assert_not_null(
        ito_diffusion_sample(e, keep_first, &wide, shape, .steps = 2, .seed = 4, .dtype = ITO_F64));
    cr_assert_not_null(ito_diffusion_inpaint(e, keep_first, &inpainted, x_0, mask,
                                        ((ito_resampling){.repeats = 1}), .steps = 2,
                                        .seed = 4));
    cr_assert(one.t == 19 && wide.t == 19 && inpainted.t == 19);
    cr_assert_neq(one.x, 0.0);
    cr_assert_float_eq(wide.x, sqrt(10.0) * one.x, 1e-12);
    cr_assert_float_eq(inpainted.x, sqrt(10.0) * one.x, 1e-12);
    ito_diffusion_free(d);
    ito_diffusion_free(e);
}

static ito_tensor *ones(const ito_sampler_state *w, void *context)
{
    (void)context;
    return ito_ones_like(w->x);
}

/* From x = 1 at t = 10 with noise 1: where churn goes up to, and what x is there. */
Test(sampler_noise, churn_goes_up_by_its_amount_within_its_range)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 100);
    const ito_process *s = d->process;
    double sigma = s->noise[10] / s->signal[10];
    const struct {
        ito_ddpm_churn churn;
        double growth; /* of sigma; 1: none */
        double noise;  /* S_noise */
    } cases[] = {{{.amount = 0.3}, 1.3, 1.0},
                 {{.amount = 1e6}, M_SQRT2, 1.0},
                 {{.amount = 0.3, .noise = 2.0}, 1.3, 2.0},
                 {{.amount = 0.3, .low = sigma * 1.01}, 1.0, 1.0},
                 {{.amount = 0.3, .low = sigma * 0.99, .high = sigma * 1.01}, 1.3, 1.0},
                 {{.amount = 0.3, .high = sigma * 0.99}, 1.0, 1.0}};
    static const int64_t times[] = {10};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t t = 10; /* the nearest step, by logarithm */
        for (int64_t k = 10; k < 100; k++)
            if (fabs(log(s->noise[k] / s->signal[k] / sigma / cases[i].growth)) <
                fabs(log(s->noise[t] / s->signal[t] / sigma / cases[i].growth)))
                t = k;
        double kept = s->signal[t] / s->signal[10];
        double added = sqrt(pow(s->noise[t], 2.0) - pow(kept * s->noise[10], 2.0));
        first_ask seen = {.t = -1};
        cr_assert_not_null(
            ito_diffusion_sample_from(d, keep_first, &seen, ito_ones(ITO_SHAPE(1, 1, 1, 1), ITO_F64),
                                 .sampler = &ito_sampler_euler, .steps = 1, .times = times,
                                 .churn = cases[i].churn, .noise = ones));
        cr_expect(cases[i].growth == 1.0 ? t == 10 : t > 10);
        cr_expect_eq(seen.t, t, "%zu: at %d, not %d", i, (int)seen.t, (int)t);
        cr_expect_float_eq(seen.x, t == 10 ? 1.0 : kept + cases[i].noise * added, 1e-12, "%zu", i);
    }
    ito_diffusion_free(d);
}
