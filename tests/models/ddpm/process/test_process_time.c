/* Processes in continuous time, and processes in steps at real times: levels against their
 * formulas, times of levels, steps between two times, and what is refused. */
#include "models/ddpm/process/process.h"

#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>

/* ---- families in continuous time ---- */

static void assert_level(const ito_process *p, double t, double signal, double noise)
{
    ito_level level = ito_process_level(p, t);
    cr_assert_float_eq(level.signal, signal, 1e-14, "%s at %g: signal %.17g, not %.17g",
                       p->family->name, t, level.signal, signal);
    cr_assert_float_eq(level.noise, noise, 1e-14 * (1.0 + noise),
                       "%s at %g: noise %.17g, not %.17g", p->family->name, t, level.noise, noise);
}

static void assert_continuous(const ito_process *p, double t_min, double t_max)
{
    cr_assert_not_null(p, "%s", ito_error());
    cr_assert_eq(p->steps, 0);
    cr_assert(p->signal == NULL && p->noise == NULL && p->beta == NULL && p->alpha_bar == NULL &&
              p->beta_tilde == NULL);
    cr_assert_eq(p->t_clean, 0.0);
    cr_assert_eq(p->t_min, t_min);
    cr_assert_eq(p->t_max, t_max);
}

Test(process_time, flow_is_the_straight_path)
{
    ito_process *p = ito_process_create(&ito_schedule_flow);
    assert_continuous(p, 1e-3, 1.0);
    for (int i = 0; i <= 16; i++)
        assert_level(p, i / 16.0, 1.0 - i / 16.0, i / 16.0);
    ito_process_free(p);
}

/* beta(t) in equal steps from 1000 beta_start to 1000 beta_end; its integral by Simpson's rule,
 * which is exact for straight lines. */
Test(process_time, vp_is_the_integral_of_beta)
{
    const double start = 2e-4, end = 0.01;
    ito_process *p = ito_process_create(&ito_schedule_vp, .beta_start = start, .beta_end = end);
    assert_continuous(p, 1e-3, 1.0);
    for (int i = 1; i <= 16; i++) {
        double t = i / 16.0, first = 1000 * start, here = first + t * (1000 * end - first);
        double middle = first + t / 2 * (1000 * end - first);
        double alpha_bar = exp(-t / 6 * (first + 4 * middle + here));
        assert_level(p, t, sqrt(alpha_bar), sqrt(1.0 - alpha_bar));
    }
    assert_level(p, 0.0, 1.0, 0.0);
    ito_process_free(p);
}

/* The paper's T steps come nearer to it the more there are. */
Test(process_time, vp_is_the_limit_of_the_linear_schedule)
{
    ito_process *vp = ito_process_create(&ito_schedule_vp);
    double before = HUGE_VAL;
    for (int64_t T = 1000; T <= 16000; T *= 4) {
        double most = 0.0, share = 1000.0 / (double)T;
        ito_process *p = ito_process_create(&ito_schedule_linear, .steps = T,
                                            .beta_start = 1e-4 * share, .beta_end = 0.02 * share);
        for (int64_t t = 0; t < T; t++)
            most = fmax(most, fabs(p->signal[t] -
                                   ito_process_level(vp, (double)(t + 1) / (double)T).signal));
        cr_assert(most < 0.27 * before, "%d steps: %g, after %g", (int)T, most, before);
        before = most;
        ito_process_free(p);
    }
    cr_assert(before < 3e-4, "%g", before);
    ito_process_free(vp);
}

Test(process_time, edm_is_its_sigma)
{
    ito_process *p = ito_process_create(&ito_schedule_edm);
    assert_continuous(p, 0.002, 80.0);
    ito_process_free(p);
    p = ito_process_create(&ito_schedule_edm, .sigma_min = 0.25, .sigma_max = 16.0);
    assert_continuous(p, 0.25, 16.0);
    for (int i = 0; i <= 16; i++)
        assert_level(p, i, 1.0, i);
    ito_process_free(p);
}

static ito_level sine(double t, const ito_process_options *o)
{
    (void)o;
    return (ito_level){cos(t), sin(t)};
}

static void quarter(const ito_process_options *o, double *t_min, double *t_max)
{
    (void)o;
    *t_min = 0.125;
    *t_max = 1.5;
}

Test(process_time, a_family_of_ones_own)
{
    static const ito_schedule_family mine = {.name = "mine", .level = sine, .range = quarter};
    ito_process *p = ito_process_create(&mine);
    assert_continuous(p, 0.125, 1.5);
    assert_level(p, 0.75, cos(0.75), sin(0.75));
    ito_process_free(p);
    p = ito_process_create(&mine, .steps = 3);
    cr_assert_float_eq(p->noise[0], sin(0.5), 1e-15);
    ito_process_free(p);
}

/* The last of the T times is the range's end. */
Test(process_time, a_continuous_family_with_steps_is_its_table)
{
    static const ito_schedule_family *const families[] = {&ito_schedule_flow, &ito_schedule_vp,
                                                          &ito_schedule_edm};
    for (int f = 0; f < 3; f++) {
        ito_process *all = ito_process_create(families[f], .sigma_max = 20.0);
        ito_process *p = ito_process_create(families[f], .steps = 40, .sigma_max = 20.0);
        cr_assert_not_null(p, "%s", ito_error());
        cr_assert_eq(p->steps, 40);
        cr_assert(p->t_clean == -1.0 && p->t_min == 0.0 && p->t_max == 39.0);
        ito_level before = {1.0, 0.0};
        for (int t = 0; t < 40; t++) {
            ito_level level = ito_process_level(all, all->t_max * (t + 1) / 40.0);
            cr_assert_float_eq(p->signal[t], level.signal, 1e-15);
            cr_assert_float_eq(p->noise[t], level.noise, 1e-14);
            double kept = level.signal / before.signal * before.noise;
            cr_assert_float_eq(p->beta[t], level.noise * level.noise - kept * kept,
                               1e-13 * (1.0 + level.noise * level.noise));
            before = level;
        }
        ito_process_free(all);
        ito_process_free(p);
    }
}

/* ---- processes in steps, between their steps ---- */

/* One with a table that preserves variance, one that does not, and one that loses all signal. */
static ito_process *in_steps(int k)
{
    ito_process *p = k == 0   ? ito_process_create(&ito_schedule_cosine, .steps = 30)
                     : k == 1 ? ito_process_create(&ito_schedule_edm, .steps = 30)
                              : ito_process_create(&ito_schedule_flow, .steps = 30);
    cr_assert_not_null(p, "%s", ito_error());
    return p;
}

Test(process_time, whole_times_are_the_table)
{
    for (int k = 0; k < 3; k++) {
        ito_process *p = in_steps(k);
        for (int t = 0; t < 30; t++) {
            ito_level level = ito_process_level(p, t);
            cr_assert(level.signal == p->signal[t] && level.noise == p->noise[t]);
        }
        ito_level clean = ito_process_level(p, -1.0);
        cr_assert(clean.signal == 1.0 && clean.noise == 0.0);
        ito_process_free(p);
    }
}

/* By powers: sigma = a^(1-w) b^w is what a straight line between logarithms is. */
Test(process_time, between_steps_the_logarithm_of_the_ratio_is_straight)
{
    for (int k = 0; k < 2; k++) {
        ito_process *p = in_steps(k);
        for (int t = 0; t < 29; t++) {
            for (int i = 1; i < 8; i++) {
                double w = i / 8.0, a = p->noise[t] / p->signal[t];
                double b = p->noise[t + 1] / p->signal[t + 1];
                double sigma = pow(a, 1.0 - w) * pow(b, w);
                double size = (1.0 - w) * sqrt(p->signal[t] * p->signal[t] * (1.0 + a * a)) +
                              w * sqrt(p->signal[t + 1] * p->signal[t + 1] * (1.0 + b * b));
                double signal = size / sqrt(1.0 + sigma * sigma);
                ito_level level = ito_process_level(p, t + w);
                cr_assert_float_eq(level.signal / signal, 1.0, 1e-13);
                cr_assert_float_eq(level.noise / (signal * sigma), 1.0, 1e-13);
            }
        }
        ito_process_free(p);
    }
}

Test(process_time, variance_is_preserved_between_steps)
{
    ito_process *p = in_steps(0);
    for (double t = -1.0; t <= 29.0; t += 0.0625) {
        ito_level level = ito_process_level(p, t);
        cr_assert_float_eq(level.signal * level.signal + level.noise * level.noise, 1.0, 1e-14);
    }
    ito_process_free(p);
}

/* From the clean data on the ratio itself is straight, and towards no signal its inverse. */
Test(process_time, at_the_ends_the_ratio_is_straight)
{
    ito_process *p = in_steps(2);
    double first = p->noise[0] / p->signal[0], last = p->signal[28] / p->noise[28];
    for (int i = 1; i < 8; i++) {
        ito_level low = ito_process_level(p, -1.0 + i / 8.0);
        ito_level high = ito_process_level(p, 28.0 + i / 8.0);
        cr_assert_float_eq(low.noise / low.signal, i / 8.0 * first, 1e-14);
        cr_assert_float_eq(high.signal / high.noise, (1.0 - i / 8.0) * last, 1e-14);
    }
    ito_process_free(p);
    p = ito_process_from_betas(&(double){1.0}, 1); /* both at once */
    ito_level middle = ito_process_level(p, -0.5);
    cr_assert_float_eq(middle.signal, sqrt(0.5), 1e-15);
    cr_assert_float_eq(middle.noise, sqrt(0.5), 1e-15);
    ito_process_free(p);
}

Test(process_time, noise_rises_all_the_way)
{
    for (int k = 0; k < 3; k++) {
        ito_process *p = in_steps(k);
        double before = 0.0;
        for (int i = 1; i <= 30 * 16; i++) {
            ito_level level = ito_process_level(p, -1.0 + i / 16.0);
            double angle = atan2(level.noise, level.signal);
            cr_assert(angle > before, "%d at %g: %g after %g", k, -1.0 + i / 16.0, angle, before);
            before = angle;
        }
        ito_process_free(p);
    }
}

Test(process_time, beyond_the_ends_the_level_is_that_of_the_end)
{
    ito_process *steps = in_steps(0), *flow = ito_process_create(&ito_schedule_flow);
    cr_assert_eq(ito_process_level(steps, -7.5).signal, 1.0);
    cr_assert_eq(ito_process_level(steps, 31.5).signal, steps->signal[29]);
    assert_level(flow, -0.5, 1.0, 0.0);
    assert_level(flow, 1.5, 0.0, 1.0);
    ito_process_free(steps);
    ito_process_free(flow);
}

/* ---- the time of a level ---- */

Test(process_time, in_continuous_time_it_is_the_inverse_of_the_level)
{
    static const ito_schedule_family *const families[] = {&ito_schedule_flow, &ito_schedule_vp,
                                                          &ito_schedule_edm};
    for (int f = 0; f < 3; f++) {
        ito_process *p = ito_process_create(families[f]);
        for (int i = 0; i <= 100; i++) {
            double t = p->t_min + (p->t_max - p->t_min) * (i / 100.0);
            ito_level level = ito_process_level(p, t);
            cr_assert_float_eq(ito_process_time(p, level.noise / level.signal), t, 1e-12 * t,
                               "%s at %g", families[f]->name, t);
        }
        cr_assert_eq(ito_process_time(p, 0.0), p->t_min);
        cr_assert_eq(ito_process_time(p, 1e-9), p->t_min);
        cr_assert_eq(ito_process_time(p, HUGE_VAL), p->t_max);
        ito_process_free(p);
    }
}

Test(process_time, in_steps_it_is_the_nearest_step_of_logarithms)
{
    for (int k = 0; k < 3; k++) {
        ito_process *p = in_steps(k);
        for (int t = 0; t < 29; t++) {
            double here = p->noise[t] / p->signal[t];
            double next = fmin(p->noise[t + 1] / p->signal[t + 1], 1e9 * here);
            cr_assert_eq(ito_process_time(p, here), t);
            cr_assert_eq(ito_process_time(p, pow(here, 0.51) * pow(next, 0.49)), t);
            if (p->signal[t + 1] > 0.0)
                cr_assert_eq(ito_process_time(p, pow(here, 0.49) * pow(next, 0.51)), t + 1);
        }
        cr_assert_eq(ito_process_time(p, 0.0), 0.0);
        cr_assert_eq(ito_process_time(p, 1e-9), 0.0);
        cr_assert_eq(ito_process_time(p, HUGE_VAL), 29.0);
        ito_process_free(p);
    }
    ito_process *one = ito_process_create(&ito_schedule_linear, .steps = 1);
    cr_assert_eq(ito_process_time(one, 5.0), 0.0);
    ito_process_free(one);
}

/* ---- steps between two times ---- */

Test(process_time, a_step_has_the_levels_of_its_times)
{
    ito_process *flow = ito_process_create(&ito_schedule_flow), *steps = in_steps(0);
    ito_step s = ito_step_between(flow, 0.75, 0.5);
    cr_assert(s.process == flow && s.t == 0.75 && s.t_to == 0.5);
    cr_assert(s.at.noise == 0.75 && s.to.noise == 0.5 && s.before.noise == 0.5);
    s = ito_step_between(steps, 20.0, 10.0);
    cr_assert(s.at.noise == steps->noise[20] && s.to.noise == steps->noise[10] &&
              s.before.noise == steps->noise[19]);
    s = ito_step_between(steps, 0.0, -1.0);
    cr_assert(s.to.signal == 1.0 && s.to.noise == 0.0 && s.before.noise == 0.0);
    ito_process_free(flow);
    ito_process_free(steps);
}

/* Bayes' rule: precisions of q(x_t | x_to) and q(x_to | x_0) add, and so do precisions times
 * means. */
Test(process_time, the_posterior_is_bayes_rule_at_real_times)
{
    static const double times[][2] = {{0.9, 0.2}, {0.5, 0.49}, {0.125, 0.0625}};
    ito_process *all[] = {ito_process_create(&ito_schedule_flow),
                          ito_process_create(&ito_schedule_vp),
                          ito_process_create(&ito_schedule_edm, .sigma_min = 0.01)};
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 3; i++) {
            ito_step s = ito_step_between(all[k], times[i][0], times[i][1]);
            double alpha = s.at.signal / s.to.signal, known = s.to.noise * s.to.noise;
            double added = s.at.noise * s.at.noise - alpha * alpha * known;
            double variance = 1.0 / (alpha * alpha / added + 1.0 / known);
            ito_posterior q = ito_step_posterior(&s);
            cr_assert_float_eq(q.variance, variance, 1e-12 * variance);
            cr_assert_float_eq(q.x_t, variance * alpha / added, 1e-12);
            cr_assert_float_eq(q.x_0, variance * s.to.signal / known, 1e-12);
        }
        ito_process_free(all[k]);
    }
}

/* ---- what is refused ---- */

Test(process_time, sigmas_that_do_not_rise_from_above_0_are_refused)
{
    assert_refused(ito_process_create(&ito_schedule_edm, .sigma_min = 2.0, .sigma_max = 1.0),
                   ITO_ERR_RANGE,
                   "process: edm goes from time 2 (signal 1, noise 2) to 1 (1, 1); the ratio of "
                   "signal to noise must fall");
    assert_refused(ito_process_create(&ito_schedule_edm, .sigma_min = 0.0), ITO_ERR_RANGE,
                   "process: edm goes from time 0 (signal 1, noise 0) to 80 (1, 80); the ratio of "
                   "signal to noise must fall");
    assert_refused(ito_process_create(&ito_schedule_edm, .sigma_max = HUGE_VAL), ITO_ERR_RANGE,
                   "process: edm goes from time 0.002 (signal 1, noise 0.002) to inf (1, inf); the "
                   "ratio of signal to noise must fall");
    assert_refused(ito_process_create(&ito_schedule_edm, .steps = 4, .sigma_max = 0.0),
                   ITO_ERR_RANGE,
                   "process: step 0 goes from signal 1 and noise 0 to 1 and 0; their ratio must "
                   "fall, and reach 0 at the last step only");
}

Test(process_time, betas_that_leave_the_signal_are_refused)
{
    assert_refused(ito_process_create(&ito_schedule_vp, .beta_start = 0.0, .beta_end = 0.0),
                   ITO_ERR_RANGE,
                   "process: vp goes from time 0.001 (signal 1, noise 0) to 1 (1, 0); the ratio of "
                   "signal to noise must fall");
}

Test(process_time, a_continuous_family_without_its_range_is_refused)
{
    static const ito_schedule_family endless = {.name = "endless", .level = sine};
    assert_refused(ito_process_create(&endless), ITO_ERR_ARGUMENT,
                   "process: the schedule endless has neither beta, nor level_of_step, nor level "
                   "and range");
}
