/* Which times are visited: in steps, the tables of the papers; in continuous time, the formulas. */
#include "models/ddpm/sampler/sampler.h"

#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>

/* ---- in steps ---- */

Test(spacing, spacings_are_those_of_the_tables)
{
    static const struct {
        const ito_spacing *spacing;
        int64_t T, S, times[10];
    } cases[] = {
        {&ito_spacing_leading, 1000, 10, {900, 800, 700, 600, 500, 400, 300, 200, 100, 0}},
        {&ito_spacing_leading, 1000, 3, {666, 333, 0}},
        {&ito_spacing_leading, 1000, 7, {857, 714, 571, 428, 285, 142, 0}},
        {&ito_spacing_linspace, 1000, 10, {999, 888, 777, 666, 555, 444, 333, 222, 111, 0}},
        {&ito_spacing_linspace, 1000, 5, {999, 749, 500, 250, 0}},
        {&ito_spacing_linspace, 1000, 1, {999}},
        {&ito_spacing_trailing, 1000, 10, {999, 899, 799, 699, 599, 499, 399, 299, 199, 99}},
        {&ito_spacing_trailing, 1000, 7, {999, 856, 713, 570, 428, 285, 142}},
        {&ito_spacing_leading, 1000, 1, {0}},
        {&ito_spacing_trailing, 1000, 1, {999}},
    };
    ito_process *p = ito_process_create(&ito_schedule_linear);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double times[10];
        cr_assert_eq(cases[i].T, p->steps);
        cr_assert_eq(ito_timesteps(p, cases[i].spacing, cases[i].S, times), ITO_OK);
        for (int64_t k = 0; k < cases[i].S; k++)
            cr_assert_eq(times[k], (double)cases[i].times[k], "case %zu, step %d: %g", i, (int)k,
                         times[k]);
    }
    ito_process_free(p);
}

/* All spacings, at 1, 2, ... n times of p. */
static void fall_within(const ito_process *p, int64_t n)
{
    double times[300];
    int64_t spacings;
    const ito_choice *const *list = ito_choices("spacing", &spacings);
    cr_assert_eq(spacings, 6);
    for (int64_t k = 0; k < spacings; k++) {
        for (int64_t S = 1; S <= n; S++) {
            cr_assert_eq(ito_timesteps(p, ito_spacing_find(list[k]->name), S, times), ITO_OK);
            cr_assert(times[0] <= p->t_max && times[S - 1] >= p->t_min);
            for (int64_t i = 1; i < S; i++)
                cr_assert(times[i] < times[i - 1]);
            for (int64_t i = 0; p->steps > 0 && i < S; i++)
                cr_assert_eq(times[i], floor(times[i]));
            cr_assert(S < p->steps || times[0] == p->t_max);
        }
    }
}

Test(spacing, times_fall_within_the_steps)
{
    for (int64_t T = 1; T <= 300; T += 23) {
        ito_process *p = ito_process_create(&ito_schedule_linear, .steps = T);
        fall_within(p, T);
        ito_process_free(p);
    }
}

Test(spacing, spacings_are_found_by_name)
{
    cr_assert_eq(ito_spacing_find("trailing"), &ito_spacing_trailing);
    assert_refused(ito_spacing_find("random"), ITO_ERR_ARGUMENT,
                   no_such_choice("spacing", "spacing", "random"));
}

Test(spacing, refuses_more_times_than_steps)
{
    double times[11];
    ito_process *p = ito_process_create(&ito_schedule_linear, .steps = 10);
    assert_refused_status(ito_timesteps(p, &ito_spacing_leading, 11, times), ITO_ERR_RANGE,
                          "timesteps: 11 steps; the process has 1 to 10");
    assert_refused_status(ito_timesteps(p, &ito_spacing_leading, 0, times), ITO_ERR_RANGE,
                          "timesteps: 0 steps; the process has 1 to 10");
    ito_process_free(p);
}

/* Both ends, and between them the nearest ratio of signal to noise there is. */
Test(spacing, rate_is_even_in_a_power_of_signal_to_noise)
{
    ito_process *p = ito_process_create(&ito_schedule_linear);
    double times[8], high = pow(p->signal[0] / p->noise[0], 0.4);
    cr_assert_eq(ito_timesteps(p, &ito_spacing_rate, 8, times), ITO_OK);
    cr_assert_eq(times[0], 999.0);
    cr_assert_eq(times[7], 0.0);
    for (int i = 1; i < 7; i++) {
        double wanted = log(high * i / 7.0) / 0.4;
        int64_t at = (int64_t)times[i];
        for (int64_t t = 0; t < 1000; t++)
            cr_assert(fabs(log(p->signal[t] / p->noise[t]) - wanted) >=
                          fabs(log(p->signal[at] / p->noise[at]) - wanted) - 1e-12,
                      "step %d is %d, %d is nearer", i, (int)at, (int)t);
    }
    ito_process_free(p);
}

/* The step whose log(noise / signal) is nearest. */
static double nearest_step(const ito_process *p, double wanted)
{
    double least = 1e9;
    int64_t best = 0;
    for (int64_t t = 0; t < p->steps; t++) {
        double off = fabs(log(p->noise[t] / p->signal[t]) - wanted);
        best = off < least ? t : best;
        least = off < least ? off : least;
    }
    return (double)best;
}

/* Karras et al. 2022, eq. (5), with rho 7: the nearest sigma there is, no two alike. */
Test(spacing, karras_is_even_in_the_seventh_root_of_sigma)
{
    ito_process *p = ito_process_create(&ito_schedule_linear);
    double times[12];
    double low = pow(p->noise[0] / p->signal[0], 1.0 / 7.0);
    double high = pow(p->noise[999] / p->signal[999], 1.0 / 7.0);
    cr_assert_eq(ito_timesteps(p, &ito_spacing_karras, 12, times), ITO_OK);
    cr_assert_eq(times[0], 999.0);
    cr_assert_eq(times[11], 0.0);
    for (int i = 1; i < 11; i++)
        cr_assert_eq(times[i], nearest_step(p, 7.0 * log(high + i / 11.0 * (low - high))), "%d: %g",
                     i, times[i]);
    ito_process_free(p);
}

Test(spacing, log_snr_is_even_in_the_logarithm_of_sigma)
{
    ito_process *p = ito_process_create(&ito_schedule_linear);
    double times[12];
    double low = log(p->noise[0] / p->signal[0]), high = log(p->noise[999] / p->signal[999]);
    cr_assert_eq(ito_timesteps(p, &ito_spacing_log_snr, 12, times), ITO_OK);
    cr_assert_eq(times[0], 999.0);
    cr_assert_eq(times[11], 0.0);
    for (int i = 1; i < 11; i++)
        cr_assert_eq(times[i], nearest_step(p, high + i / 11.0 * (low - high)), "%d: %g", i,
                     times[i]);
    ito_process_free(p);
}

/* ---- in continuous time ---- */

/* noise / signal at time t, and its inverse, by the definitions of the families. */
typedef double formula(double);

static double edm_sigma(double t)
{
    return t;
}

static double flow_sigma(double t)
{
    return t / (1.0 - t);
}

static double flow_time(double sigma)
{
    return sigma / (1.0 + sigma);
}

/* sigma^2 + 1 = 1 / alpha_bar = exp(0.1 t + (20 - 0.1) t^2 / 2) */
static double vp_sigma(double t)
{
    return sqrt(expm1(0.1 * t + 9.95 * t * t));
}

static double vp_time(double sigma)
{
    double c = log1p(sigma * sigma);
    return 2.0 * c / (0.1 + sqrt(0.01 + 4.0 * 9.95 * c));
}

/* noisiest: the highest time with a signal, for flow a thousandth of the way below 1. */
static const struct continuous_case {
    const ito_schedule_family *family;
    formula *sigma, *time;
    double t_min, t_max, noisiest;
} continuous[] = {{&ito_schedule_edm, edm_sigma, edm_sigma, 0.002, 80.0, 80.0},
                  {&ito_schedule_flow, flow_sigma, flow_time, 1e-3, 1.0, 1.0 - 1e-3 * (1.0 - 1e-3)},
                  {&ito_schedule_vp, vp_sigma, vp_time, 1e-3, 1.0, 1.0}};

enum { PROCESSES = sizeof continuous / sizeof continuous[0], N = 9 };

/* The sigma of a share of the way from high to low. */
typedef double spaced_sigma(double low, double high, double share);

/* The first time is t_max, the others those of their sigmas. */
static void follow(const struct continuous_case *c, const ito_spacing *spacing,
                   spaced_sigma *spaced, double high)
{
    ito_process *p = ito_process_create(c->family);
    double times[N];
    cr_assert_eq(ito_timesteps(p, spacing, N, times), ITO_OK);
    cr_expect_eq(times[0], c->t_max, "%s", c->family->name);
    for (int i = 1; i < N; i++) {
        double t = c->time(spaced(c->sigma(c->t_min), high, i / (N - 1.0)));
        cr_expect_float_eq(times[i] / t, 1.0, 1e-12, "%s %d: %.9g, not %.9g", c->family->name, i,
                           times[i], t);
    }
    ito_process_free(p);
}

static double karras_sigma(double low, double high, double share)
{
    double root = 1.0 / 7.0;
    return pow(pow(high, root) + share * (pow(low, root) - pow(high, root)), 7.0);
}

Test(spacing, karras_follows_its_formula_in_continuous_time)
{
    for (int k = 0; k < PROCESSES; k++)
        follow(&continuous[k], &ito_spacing_karras, karras_sigma,
               continuous[k].sigma(continuous[k].noisiest));
}

static double geometric_sigma(double low, double high, double share)
{
    return high * pow(low / high, share);
}

Test(spacing, log_snr_follows_its_formula_in_continuous_time)
{
    for (int k = 0; k < PROCESSES; k++)
        follow(&continuous[k], &ito_spacing_log_snr, geometric_sigma,
               continuous[k].sigma(continuous[k].noisiest));
}

static double rate_sigma(double low, double high, double share)
{
    double from = pow(high, -0.4);
    return pow(from + share * (pow(low, -0.4) - from), -1.0 / 0.4);
}

/* From no signal at all with flow. */
Test(spacing, rate_follows_its_formula_in_continuous_time)
{
    for (int k = 0; k < PROCESSES; k++)
        follow(&continuous[k], &ito_spacing_rate, rate_sigma,
               continuous[k].sigma(continuous[k].t_max));
}

/* From t_max to t_min, both of them visited; leading is the same there. */
Test(spacing, linspace_and_leading_go_from_end_to_end_in_continuous_time)
{
    static const ito_spacing *const spacings[] = {&ito_spacing_linspace, &ito_spacing_leading};
    for (int k = 0; k < 2 * PROCESSES; k++) {
        const struct continuous_case *c = &continuous[k / 2];
        ito_process *p = ito_process_create(c->family);
        double times[N];
        cr_assert_eq(ito_timesteps(p, spacings[k % 2], N, times), ITO_OK);
        cr_expect_eq(times[0], c->t_max);
        cr_expect_eq(times[N - 1], c->t_min);
        for (int i = 1; i < N - 1; i++)
            cr_expect_float_eq(times[i], c->t_max - i / (N - 1.0) * (c->t_max - c->t_min),
                               1e-15 * c->t_max * N);
        cr_assert_eq(ito_timesteps(p, spacings[k % 2], 1, times), ITO_OK);
        cr_expect_eq(times[0], c->t_max);
        ito_process_free(p);
    }
}

/* From t_max in steps of t_max / n, the last of which leads to 0, the clean data. */
Test(spacing, trailing_ends_one_step_above_the_clean_data_in_continuous_time)
{
    for (int k = 0; k < PROCESSES; k++) {
        const struct continuous_case *c = &continuous[k];
        ito_process *p = ito_process_create(c->family);
        double times[N];
        cr_assert_eq(ito_timesteps(p, &ito_spacing_trailing, N, times), ITO_OK);
        cr_expect_eq(times[0], c->t_max);
        for (int i = 1; i < N; i++)
            cr_expect_float_eq(times[i], c->t_max * (N - i) / N, 1e-15 * c->t_max * N);
        ito_process_free(p);
    }
}

/* A step shorter than t_min would lead from below it: then to t_min as linspace. */
Test(spacing, many_trailing_times_stay_above_the_lowest)
{
    enum { MANY = 2000 };
    double trailing[MANY], linspace[MANY];
    ito_process *p = ito_process_create(&ito_schedule_flow);
    cr_assert_eq(ito_timesteps(p, &ito_spacing_trailing, MANY, trailing), ITO_OK);
    cr_assert_eq(ito_timesteps(p, &ito_spacing_linspace, MANY, linspace), ITO_OK);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(trailing[i], linspace[i], "%d: %g", i, trailing[i]);
    cr_assert_eq(trailing[MANY - 1], 1e-3);
    ito_process_free(p);
}

Test(spacing, times_fall_within_the_range_in_continuous_time)
{
    for (int k = 0; k < PROCESSES; k++) {
        ito_process *p = ito_process_create(continuous[k].family);
        fall_within(p, 300);
        ito_process_free(p);
    }
}

Test(spacing, refuses_no_times_in_continuous_time)
{
    double times[1];
    ito_process *p = ito_process_create(&ito_schedule_flow);
    assert_refused_status(ito_timesteps(p, NULL, 0, times), ITO_ERR_RANGE,
                          "timesteps: 0 steps; at least 1 is needed");
    ito_process_free(p);
}
