/* The loss, against closed forms for Gaussian data; data of any axes and times of any kind. */
#include "models/ddpm/diffusion.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tests/models/ddpm/batches.h"
#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <math.h>

/* The loss is quadratic, so four points with the right second moments give its expectation over
 * Gaussian data at n times. */
static double expected_loss(const ito_diffusion *d, int64_t n, const double *times)
{
    const double x_0[] = {0.5, 0.5, -0.5, -0.5}, eps[] = {1.0, -1.0, 1.0, -1.0};
    ito_tensor *x = ito_empty(ITO_SHAPE(4 * n, 1), ITO_F64);
    ito_tensor *e = ito_empty(ITO_SHAPE(4 * n, 1), ITO_F64);
    ito_tensor *t = ito_empty(ITO_SHAPE(4 * n), ITO_F64);
    for (int64_t i = 0; i < 4 * n; i++) {
        ((double *)ito_data(x))[i] = x_0[i % 4];
        ((double *)ito_data(e))[i] = eps[i % 4];
        ((double *)ito_data(t))[i] = times[i / 4];
    }
    if (d->process->steps > 0)
        t = ito_cast(t, ITO_I64);
    gaussian_network g = gaussian_make(d, 0.0);
    return ito_item(ito_diffusion_loss(d, &g.base, x, t, e));
}

static double expected_loss_of_all_steps(const ito_diffusion *d)
{
    double times[1000];
    for (int i = 0; i < 1000; i++)
        times[i] = i;
    return expected_loss(d, 1000, times);
}

Test(loss, irreducible_loss_of_gaussian_data)
{
    ito_diffusion *d = ito_diffusion_create();
    cr_assert_float_eq(expected_loss_of_all_steps(d), 0.173053406, 0.51e-9);
    ito_diffusion_free(d);
}

/* For x_0 of variance 1/4 the best eps - x_0 errs by Var[x_0 | x_t] (1 + (1 - t) / t)^2, which is
 * 1/4 / ((1 - t)^2 / 4 + t^2). */
Test(loss, irreducible_loss_of_flow_matching)
{
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_flow);
    double times[64], expected = 0.0;
    for (int i = 0; i < 64; i++) {
        double t = times[i] = (i + 1) / 64.0;
        expected += 0.25 / (0.25 * (1.0 - t) * (1.0 - t) + t * t) / 64.0;
    }
    cr_assert_float_eq(expected_loss(d, 64, times), expected, 1e-13);
    ito_diffusion_free(d);
}

/* Var[x_0 | x_t] = sigma^2 / (1 + 4 sigma^2), weighted by 1 / sigma^2 + 1 / sigma_data^2. */
Test(loss, irreducible_loss_of_edm)
{
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_edm, .prediction = &ito_prediction_edm,
                             .weighting = &ito_weighting_edm, .sigma_data = 0.3);
    double times[40], expected = 0.0;
    for (int i = 0; i < 40; i++) {
        double sigma = times[i] = 0.002 * exp2(i * 0.375), square = sigma * sigma;
        expected += (1.0 / square + 1.0 / 0.09) * square / (1.0 + 4.0 * square) / 40.0;
    }
    cr_assert_float_eq(expected_loss(d, 40, times), expected, 1e-12);
    ito_diffusion_free(d);
}

static double signal_share(const ito_weighting *self, const ito_step *step)
{
    return self->k * step->at.signal * step->at.signal;
}

Test(loss, a_weighting_of_ones_own_multiplies_each_step)
{
    static const ito_weighting weighting = {.name = "alpha_bar", .weight = signal_share, .k = 1.0};
    ito_diffusion *d = ito_diffusion_create(.weighting = &weighting);
    double expected = 0.0;
    for (int t = 0; t < 1000; t++) {
        double ab = d->process->alpha_bar[t];
        expected += ab * 0.25 * ab / (0.25 * ab + 1.0 - ab) / 1000.0;
    }
    cr_assert_float_eq(expected_loss_of_all_steps(d), expected, 1e-12);
    ito_diffusion_free(d);
}

/* A prediction of one's own: x_0 itself. */
static ito_target x_0_target(const ito_prediction *self, const ito_step *step)
{
    (void)self, (void)step;
    return (ito_target){1.0, 0.0};
}

Test(loss, a_prediction_of_ones_own_sets_the_target)
{
    static const ito_prediction prediction = {.name = "mine", .target = x_0_target};
    ito_diffusion *d = ito_diffusion_create(.prediction = &prediction);
    ito_network zeros = network_of(evaluate_zeros, NULL);
    ito_tensor *x_0 = noise(3, ITO_SHAPE(2, 5), ITO_F64), *eps = noise(4, ITO_SHAPE(2, 5), ITO_F64);
    const int64_t t[] = {10, 990};
    double expected = 0.0;
    for (int64_t i = 0; i < 10; i++)
        expected += at(x_0, i) * at(x_0, i) / 10.0;
    ito_tensor *loss = ito_diffusion_loss(d, &zeros, x_0, steps(2, t), eps);
    cr_assert_float_eq(ito_item(loss), expected, 1e-14);
    ito_diffusion_free(d);
}

/* Losses of points, signals and volumes are those of the same numbers as images, for an objective
 * of each kind. A mean over other axes adds in another order: a few roundings of f64. */
static void assert_losses_of_any_axes(const ito_diffusion *d)
{
    const ito_shape shapes[] = {ITO_SHAPE(3, 24), ITO_SHAPE(3, 4, 6), ITO_SHAPE(3, 2, 2, 3, 2)};
    gaussian_network g = gaussian_make(d, -2.0);
    double ends[] = {d->process->t_min, 0.0, d->process->t_max};
    ends[1] = d->process->steps > 0 ? 4.0 : 0.5 * (ends[0] + ends[2]);
    ito_tensor *t = ito_from_data(ends, ITO_SHAPE(3), ITO_F64);
    ito_tensor *x_0 = ito_mul_scalar(noise(0, ITO_SHAPE(3, 2, 3, 4), ITO_F64), 0.3);
    ito_tensor *eps = noise(1, ITO_SHAPE(3, 2, 3, 4), ITO_F64);
    ito_tensor *image = ito_diffusion_losses(d, &g.base, x_0, t, eps);
    cr_assert_not_null(image, "%s", ito_error());
    cr_assert_eq(ito_ndim(image), 1);
    for (int k = 0; k < 3; k++) {
        ito_tensor *x = ito_reshape_to(x_0, shapes[k]), *e = ito_reshape_to(eps, shapes[k]);
        ito_tensor *losses = ito_diffusion_losses(d, &g.base, x, t, e);
        cr_assert(losses != NULL && ito_ndim(losses) == 1, "%s", ito_error());
        for (int i = 0; i < 3; i++)
            cr_assert_float_eq(at(losses, i), at(image, i), 1e-13 * fabs(at(image, i)),
                               "%d axes, example %d", shapes[k].ndim, i);
        cr_assert_float_eq(ito_item(ito_diffusion_loss(d, &g.base, x, t, e)),
                           ito_item(ito_mean(image)), 1e-13 * fabs(ito_item(ito_mean(image))));
    }
}

Test(loss, losses_of_any_axes_are_those_of_an_image)
{
    ito_diffusion *all[] = {
        ito_diffusion_create(.steps = 8),
        ito_diffusion_create(.steps = 8, .variance = &ito_variance_learned,
                             .objective = &ito_objective_hybrid),
        ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_flow),
        ito_diffusion_create(.schedule = &ito_schedule_edm, .prediction = &ito_prediction_edm,
                             .weighting = &ito_weighting_edm, .sigma_data = 0.3),
    };
    for (int k = 0; k < 4; k++) {
        assert_losses_of_any_axes(all[k]);
        ito_diffusion_free(all[k]);
    }
}

/* One number an example is data, too, but has no axis for a second head. */
Test(loss, losses_of_numbers_are_those_of_points_of_one)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x_0 = noise(0, ITO_SHAPE(3), ITO_F64), *eps = noise(1, ITO_SHAPE(3), ITO_F64);
    ito_tensor *t = ito_full(ITO_SHAPE(3), 300.0, ITO_I64);
    assert_same(
        ito_diffusion_losses(d, &g.base, x_0, t, eps),
        ito_diffusion_losses(d, &g.base, ito_reshape(x_0, 3, 1), t, ito_reshape(eps, 3, 1)));
    ito_diffusion_free(d);
}

/* The term of the bound of each step, too, L_0 at t = 0 among them. */
Test(loss, losses_take_steps_in_any_dtype)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 8, .objective = &ito_objective_vlb);
    gaussian_network g = gaussian_make(d, 0.0);
    const int64_t t[] = {0, 3, 7};
    ito_tensor *x_0 = ito_mul_scalar(noise(0, ITO_SHAPE(3, 4), ITO_F32), 0.3);
    ito_tensor *eps = noise(1, ITO_SHAPE(3, 4), ITO_F32);
    ito_tensor *losses = ito_diffusion_losses(d, &g.base, x_0, steps(3, t), eps);
    for (ito_dtype dtype = ITO_F32; dtype <= ITO_F64; dtype++)
        assert_same(ito_diffusion_losses(d, &g.base, x_0, ito_cast(steps(3, t), dtype), eps),
                    losses);
    ito_diffusion_free(d);
}
