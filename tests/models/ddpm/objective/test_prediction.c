/* Predictions: targets against the papers, and the way back from an output. */
#include "models/ddpm/diffusion.h"

#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <math.h>

#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])

static const ito_prediction *const predictions[] = {
    &ito_prediction_eps,   &ito_prediction_x_0, &ito_prediction_x_prev, &ito_prediction_v,
    &ito_prediction_score, &ito_prediction_edm, &ito_prediction_flow,
};

/* With a right output, x_0 and eps come back, wherever they can. Errors grow by 1 / signal. */
Test(prediction, an_output_tells_x_0_and_eps)
{
    static const ito_schedule_family *const families[] = {
        &ito_schedule_linear, &ito_schedule_cosine, &ito_schedule_straight};
    const double x_0 = 0.7, eps = -1.3;
    for (int f = 0; f < 3; f++) {
        ito_process *s = ito_process_create(families[f], .steps = 50);
        for (int k = 0; k < COUNT(predictions); k++) {
            for (int t = 0; t < 49; t++) {
                ito_step step = ito_step_between(s, t, t - 1);
                ito_target target = predictions[k]->target(predictions[k], &step);
                double x_t = step.at.signal * x_0 + step.at.noise * eps;
                double output = target.x_0 * x_0 + target.eps * eps;
                ito_preconditioning a = ito_prediction_to_x_0(predictions[k], &step);
                ito_preconditioning b = ito_prediction_to_eps(predictions[k], &step);
                double tolerance =
                    1e-14 * (1.0 + fabs(a.c_skip) + fabs(a.c_out) + fabs(b.c_skip) + fabs(b.c_out));
                cr_assert_float_eq(a.c_skip * x_t + a.c_out * output, x_0, 4 * tolerance);
                cr_assert_float_eq(b.c_skip * x_t + b.c_out * output, eps, 4 * tolerance);
            }
        }
        ito_process_free(s);
    }
}

/* The target at (x_0-hat, eps-hat) of the Gaussian toy is what the definitions give. */
Test(prediction, targets_are_those_of_the_papers)
{
    for (int k = 0; k < COUNT(predictions); k++) {
        ito_diffusion *d = ito_diffusion_create(.prediction = predictions[k]);
        for (int t = 0; t < 1000; t += 37) {
            ito_step s = ito_step_between(d->process, t, t - 1);
            ito_target target = d->prediction->target(d->prediction, &s);
            double D = gaussian_variance(s.at);
            double output = (target.x_0 * 0.25 * s.at.signal + target.eps * s.at.noise) / D;
            double expected = gaussian_output(d, &s);
            cr_assert_float_eq(output, expected, 1e-11 * (1.0 + fabs(expected)), "%s at %d",
                               predictions[k]->name, t);
        }
        ito_diffusion_free(d);
    }
}

/* Where nothing is left of x_0 all but eps and score tell it. */
Test(prediction, without_signal_only_eps_and_score_are_silent)
{
    ito_process *s =
        ito_process_create(&ito_schedule_linear, .steps = 10, .zero_terminal_snr = true);
    ito_step step = ito_step_between(s, 9, 8);
    for (int k = 0; k < COUNT(predictions); k++) {
        bool silent =
            predictions[k] == &ito_prediction_eps || predictions[k] == &ito_prediction_score;
        ito_preconditioning a = ito_prediction_to_x_0(predictions[k], &step);
        ito_preconditioning b = ito_prediction_to_eps(predictions[k], &step);
        cr_assert_eq(!isfinite(a.c_out), silent, "%s", predictions[k]->name);
        cr_assert(isfinite(b.c_skip) && isfinite(b.c_out), "%s", predictions[k]->name);
    }
    ito_process_free(s);
}

/* At any time of a process in continuous time, as in the steps of a table. */
Test(prediction, an_output_tells_x_0_and_eps_at_real_times)
{
    static const ito_schedule_family *const families[] = {&ito_schedule_flow, &ito_schedule_vp,
                                                          &ito_schedule_edm};
    const double x_0 = 0.7, eps = -1.3;
    for (int f = 0; f < 3; f++) {
        ito_process *p = ito_process_create(families[f], .sigma_max = 20.0);
        for (int k = 0; k < COUNT(predictions); k++) {
            for (int i = 1; i < 40 && predictions[k] != &ito_prediction_x_prev; i++) {
                ito_step step = ito_step_between(p, p->t_max * i / 40.0, p->t_clean);
                ito_target target = predictions[k]->target(predictions[k], &step);
                double x_t = step.at.signal * x_0 + step.at.noise * eps;
                double output = target.x_0 * x_0 + target.eps * eps;
                ito_preconditioning a = ito_prediction_to_x_0(predictions[k], &step);
                ito_preconditioning b = ito_prediction_to_eps(predictions[k], &step);
                double tolerance = 1e-14 * (1.0 + (fabs(a.c_skip) + fabs(b.c_skip)) * fabs(x_t) +
                                            (fabs(a.c_out) + fabs(b.c_out)) * fabs(output));
                cr_assert_float_eq(a.c_skip * x_t + a.c_out * output, x_0, 4 * tolerance);
                cr_assert_float_eq(b.c_skip * x_t + b.c_out * output, eps, 4 * tolerance);
            }
        }
        ito_process_free(p);
    }
}

/* Karras et al. 2022, table 1, by itself: with sigma = noise / signal, s the data's deviation and x
 * = signal (x_0 + sigma eps), F = ((sigma^2 + s^2)^1/2 / (sigma s)) (x_0 - c_skip (x_0 + sigma
 * eps)) and c_skip = s^2 / (sigma^2 + s^2). */
Test(prediction, sigma_data_is_that_of_the_prediction_and_of_the_weighting)
{
    const double s = 0.25;
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_edm,
                                            .weighting = &ito_weighting_edm, .sigma_data = s);
    cr_assert_not_null(d, "%s", ito_error());
    for (int t = 0; t < 1000; t += 111) {
        ito_step step = ito_step_between(d->process, t, t - 1);
        double sigma = step.at.noise / step.at.signal, total = sigma * sigma + s * s;
        ito_target target = d->prediction->target(d->prediction, &step);
        cr_expect_float_eq(target.x_0, sqrt(total) / (sigma * s) * (1 - s * s / total),
                           1e-12 * fabs(target.x_0));
        cr_expect_float_eq(target.eps, -sqrt(total) / s * s * s / total, 1e-12 * fabs(target.eps));
        double weight = d->weighting->weight(d->weighting, &step);
        cr_expect_float_eq(weight, 1 / (sigma * sigma) + 1 / (s * s), 1e-12 * weight);
    }
    ito_diffusion_free(d);
    d = ito_diffusion_create(.weighting = &ito_weighting_edm, .sigma_data = s);
    cr_assert(d->prediction == &ito_prediction_eps && d->weighting->sigma_data == s);
    ito_diffusion_free(d);
    d = ito_diffusion_create(.prediction = &ito_prediction_edm, .sigma_data = s);
    cr_assert(d->prediction->sigma_data == s && d->weighting == &ito_weighting_simple);
    ito_diffusion_free(d);
}

Test(prediction, a_sigma_data_that_is_not_above_0_is_refused)
{
    assert_refused(ito_diffusion_create(.prediction = &ito_prediction_edm, .sigma_data = -1),
                   ITO_ERR_ARGUMENT, "diffusion: sigma_data is -1; it must be above 0");
    assert_refused(ito_diffusion_create(.prediction = &ito_prediction_edm, .sigma_data = 0),
                   ITO_ERR_ARGUMENT, "diffusion: sigma_data is 0; it must be above 0");
    assert_refused(ito_diffusion_create(.weighting = &ito_weighting_edm, .sigma_data = HUGE_VAL),
                   ITO_ERR_ARGUMENT, "diffusion: sigma_data is inf; it must be above 0");
}

Test(prediction, a_sigma_data_that_nothing_uses_is_refused)
{
    assert_refused(ito_diffusion_create(.sigma_data = 0.25), ITO_ERR_ARGUMENT,
                   "diffusion: neither the prediction eps nor the weighting simple has a "
                   "sigma_data, and 0.25 was given");
}

Test(prediction, x_prev_is_refused_in_continuous_time)
{
    assert_refused(
        ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_x_prev),
        ITO_ERR_ARGUMENT,
        "diffusion: the prediction x_prev is for a process in steps, and this one is in "
        "continuous time");
}

static ito_target infinite_target(const ito_prediction *self, const ito_step *step)
{
    (void)self;
    return (ito_target){1.0, 1.0 / (step->at.signal - 0.5)};
}

Test(prediction, a_target_that_is_not_finite_is_refused)
{
    static const ito_prediction own = {.name = "own", .target = infinite_target};
    assert_refused(
        ito_diffusion_create(.schedule = &ito_schedule_straight, .steps = 4, .prediction = &own),
        ITO_ERR_ARGUMENT,
        "diffusion: at time 1 (signal 0.5, noise 0.5) own is 1 x_0 + inf eps, with a "
        "weight of 1 by simple");
}

Test(prediction, an_unknown_name_is_refused_with_those_there_are)
{
    assert_refused(ito_prediction_find("epsilon"), ITO_ERR_ARGUMENT,
                   no_such_choice("prediction", "prediction", "epsilon"));
}
