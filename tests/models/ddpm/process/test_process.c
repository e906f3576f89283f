/* Processes in steps: published constants, the definitions of the tables, and what is refused. */
#include "models/ddpm/process/process.h"

#include "tensor/runtime.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>
#include <string.h>

/* The expected value is written with so many digits: half a unit of the last. */
static void agrees(double value, double expected, int digits)
{
    double unit = pow(10.0, floor(log10(fabs(expected))) + 1.0 - digits);
    cr_assert(fabs(value - expected) <= 0.51 * unit, "%.12g is not %.12g", value, expected);
}

Test(process, linear_has_the_papers_constants)
{
    ito_process *s = ito_process_create(&ito_schedule_linear);
    cr_assert_not_null(s);
    cr_assert_eq(s->steps, 1000);
    cr_assert_eq(s->beta[0], 1e-4);
    agrees(s->beta[999], 0.02, 12);
    agrees(s->alpha_bar[500], 0.077796658, 8);
    agrees(s->alpha_bar[999], 4.03583e-5, 6);
    cr_assert_eq(s->beta_tilde[0], 0.0);
    agrees(s->beta_tilde[1], 5.4531877e-5, 8);
    ito_process_free(s);
}

Test(process, cosine_has_the_papers_constants)
{
    ito_process *s = ito_process_create(&ito_schedule_cosine);
    cr_assert_not_null(s);
    agrees(s->beta[0], 4.12842e-5, 6);
    agrees(s->alpha_bar[500], 0.49228517, 8);
    cr_assert_eq(s->beta[999], 0.999);
    ito_process_free(s);
}

Test(process, linear_keeps_its_ends_whatever_the_number_of_steps)
{
    for (int64_t T = 2; T <= 4000; T = 3 * T + 1) {
        ito_process *s = ito_process_create(&ito_schedule_linear, .steps = T, .beta_start = 1e-3,
                                            .beta_end = 0.5);
        if (T < 100) {
            cr_assert_not_null(s);
            cr_assert_float_eq(s->beta[0], 1e-3, 1e-15);
            cr_assert_float_eq(s->beta[T - 1], 0.5, 1e-15);
        }
        ito_process_free(s);
        ito_error_clear();
    }
    ito_process *one = ito_process_create(&ito_schedule_linear, .steps = 1);
    cr_assert_eq(one->beta[0], 1e-4);
    ito_process_free(one);
}

/* Half a unit of f32 in each of up to 1000 factors; diffusers' tables are f32 (scaled_linear,
 * sigmoid, rescale_betas_zero_snr of diffusers 0.42.1). */
static void alpha_bars(const ito_schedule_family *family, bool zero_end, const double *expected)
{
    static const int64_t t[] = {0, 250, 500, 999};
    ito_process *s = ito_process_create(family, .zero_terminal_snr = zero_end);
    cr_assert_not_null(s, "%s", ito_error());
    for (int i = 0; i < 4; i++)
        cr_assert_float_eq(s->alpha_bar[t[i]], expected[i], 1e-4 * expected[i], "%s %g",
                           family->name, s->alpha_bar[t[i]]);
    ito_process_free(s);
}

Test(process, families_agree_with_other_implementations)
{
    alpha_bars(&ito_schedule_quad, false,
               (const double[]){0.99989998, 0.82001013, 0.33127463, 7.33411987e-4});
    alpha_bars(&ito_schedule_sigmoid, false,
               (const double[]){0.99985081, 0.90279901, 0.29888758, 3.96818214e-5});
    alpha_bars(&ito_schedule_linear, true,
               (const double[]){0.99989998, 0.51886052, 0.07524620, 0.0});
}

Test(process, simple_families_are_their_definitions)
{
    ito_process *jsd = ito_process_create(&ito_schedule_jsd, .steps = 100);
    ito_process *constant = ito_process_create(&ito_schedule_const, .steps = 100);
    ito_process *straight = ito_process_create(&ito_schedule_straight, .steps = 100);
    ito_process *w10 = ito_process_create(&ito_schedule_warmup10, .steps = 100);
    ito_process *w50 = ito_process_create(&ito_schedule_warmup50, .steps = 100);
    for (int t = 0; t < 100; t++) {
        cr_assert_float_eq(jsd->alpha_bar[t], (99 - t) / 100.0, 1e-14);
        cr_assert_eq(constant->beta[t], 0.02);
        cr_assert_float_eq(straight->noise[t], (t + 1) / 100.0, 1e-15);
        cr_assert_float_eq(straight->signal[t] + straight->noise[t], 1.0, 1e-15);
        cr_assert_float_eq(w10->beta[t], t < 10 ? 1e-4 + t * 0.0199 / 9 : 0.02, 1e-15);
        cr_assert_float_eq(w50->beta[t], t < 50 ? 1e-4 + t * 0.0199 / 49 : 0.02, 1e-15);
    }
    ito_process_free(jsd);
    ito_process_free(constant);
    ito_process_free(straight);
    ito_process_free(w10);
    ito_process_free(w50);
}

/* Adding noise step by step is jumping: signal and noise from beta alone, on a path that does not
 * preserve variance. */
Test(process, steps_of_a_path_add_up)
{
    ito_process *s = ito_process_create(&ito_schedule_straight, .steps = 50);
    double variance = 0.0, signal = 1.0;
    for (int t = 0; t < 50; t++) {
        double kept = s->signal[t] / signal;
        variance = kept * kept * variance + s->beta[t];
        signal = s->signal[t];
        cr_assert_float_eq(variance, s->noise[t] * s->noise[t], 1e-14);
    }
    /* The posterior's precision is that of the step and of the image before it. */
    cr_assert_eq(s->beta_tilde[0], 0.0);
    for (int t = 0; t < 50; t++) {
        double A = s->signal[t], N = s->noise[t];
        cr_assert_float_eq(s->alpha_bar[t], 1.0 / (1.0 + N * N / (A * A)), 1e-14);
        double kept = t > 0 ? A / s->signal[t - 1] : 1.0;
        double precision =
            t > 0 ? kept * kept / s->beta[t] + 1.0 / (s->noise[t - 1] * s->noise[t - 1]) : 1.0;
        if (t > 0)
            cr_assert_float_eq(s->beta_tilde[t] * precision, 1.0, 1e-12);
    }
    ito_process_free(s);
}

Test(process, zero_terminal_snr_keeps_the_beginning)
{
    ito_process *a = ito_process_create(&ito_schedule_quad, .steps = 30);
    ito_process *b = ito_process_create(&ito_schedule_quad, .steps = 30, .zero_terminal_snr = true);
    double first = a->signal[0], last = a->signal[29];
    for (int t = 0; t < 30; t++)
        cr_assert_float_eq(b->signal[t], (a->signal[t] - last) * first / (first - last), 1e-13);
    cr_assert_eq(b->alpha_bar[29], 0.0);
    ito_process_free(a);
    ito_process_free(b);
}

/* beta~ by Bayes' rule: precisions of q(x_t | x_{t-1}) and q(x_{t-1} | x_0) add. */
Test(process, tables_follow_from_betas)
{
    double betas[60], product = 1.0;
    for (int t = 0; t < 60; t++)
        betas[t] = 0.01 + 0.003 * t + 0.005 * sin(t);
    ito_process *s = ito_process_from_betas(betas, 60);
    cr_assert_not_null(s);
    for (int t = 0; t < 60; t++) {
        double before = product;
        product *= 1.0 - betas[t];
        cr_assert_eq(s->beta[t], betas[t]);
        cr_assert_float_eq(s->alpha_bar[t], product, 1e-14);
        if (t > 0) {
            double precision = (1.0 - betas[t]) / betas[t] + 1.0 / (1.0 - before);
            cr_assert_float_eq(s->beta_tilde[t] * precision, 1.0, 1e-10);
        }
    }
    ito_process_free(s);
}

Test(process, numbers_of_steps_that_are_refused)
{
    assert_refused(ito_process_create(&ito_schedule_linear, .steps = 0), ITO_ERR_ARGUMENT,
                   "process: 0 steps mean continuous time, and the schedule linear is in steps");
    assert_refused(ito_process_create(&ito_schedule_linear, .steps = -2), ITO_ERR_RANGE,
                   "process: -2 steps; there are 1 to 1000000");
    assert_refused(ito_process_create(&ito_schedule_linear, .steps = 1000001), ITO_ERR_RANGE,
                   "process: 1000001 steps; there are 1 to 1000000");
    assert_refused(ito_process_from_betas(&(double){0.5}, 0), ITO_ERR_RANGE,
                   "process: 0 steps; there are 1 to 1000000");
}

static ito_level rising(int64_t t, int64_t T, const ito_process_options *o)
{
    (void)T, (void)o;
    return (ito_level){t == 2 ? 0.95 : 0.9 - 0.1 * (double)t, 0.5};
}

Test(process, levels_whose_signal_rises_are_refused)
{
    static const ito_schedule_family bumpy = {.name = "bumpy", .level_of_step = rising};
    assert_refused(ito_process_create(&bumpy, .steps = 4), ITO_ERR_RANGE,
                   "process: step 2 goes from signal 0.8 and noise 0.5 to 0.95 and 0.5; their "
                   "ratio must fall, and reach 0 at the last step only");
}

Test(process, betas_that_take_no_signal_or_all_of_it_too_early_are_refused)
{
    const double bad[][2] = {{0.1, 0.0}, {0.1, 1.5}, {0.1, -0.5}, {0.1, (double)NAN}, {0.1, 1e-20}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_null(ito_process_from_betas(bad[i], 2));
        cr_assert_eq(ito_error_code(), ITO_ERR_RANGE);
        cr_assert_not_null(strstr(ito_error_message(), "step 1 takes alpha_bar from 0.9 to"));
        ito_error_clear();
    }
    const double early[] = {1.0, 0.5};
    assert_refused(ito_process_from_betas(early, 2), ITO_ERR_RANGE,
                   "process: with a beta of 1 step 0 takes alpha_bar from 1 to 0; it must fall, "
                   "and reach 0 at the last step only");
}

Test(process, zero_terminal_snr_without_betas_is_refused)
{
    assert_refused(ito_process_create(&ito_schedule_straight, .zero_terminal_snr = true),
                   ITO_ERR_ARGUMENT,
                   "process: zero_terminal_snr changes betas, and straight has none");
    assert_refused(ito_process_create(&ito_schedule_flow, .zero_terminal_snr = true),
                   ITO_ERR_ARGUMENT, "process: zero_terminal_snr changes betas, and flow has none");
}

/* Resolutions of a shift of 3: at half of the time the data have three parts of noise to one of
 * signal; the sigma is thrice that of no shift at every time. */
Test(process, a_shift_of_flow_multiplies_sigma)
{
    ito_process *plain = ito_process_create(&ito_schedule_flow);
    ito_process *shifted = ito_process_create(&ito_schedule_flow, .shift = 3);
    cr_assert_eq(ito_process_level(shifted, 0.5).noise, 0.75);
    cr_assert_eq(ito_process_level(shifted, 1).signal, 0.0);
    for (int i = 1; i < 20; i++) {
        ito_level a = ito_process_level(plain, i / 20.0), b = ito_process_level(shifted, i / 20.0);
        cr_assert_eq(b.signal + b.noise, 1.0);
        cr_assert_float_eq(b.noise / b.signal, 3 * a.noise / a.signal, 1e-12 * b.noise / b.signal);
    }
    ito_process_free(plain);
    ito_process_free(shifted);
}

/* As s t / (1 + (s - 1) t) the noise would pass 1 where the divisor rounds to less than s. */
Test(process, a_shift_of_flow_ends_in_noise_alone)
{
    for (int i = 1; i <= 100; i++) {
        ito_process *p = ito_process_create(&ito_schedule_flow, .shift = 0.1 * i);
        cr_assert_not_null(p, "%s", ito_error());
        ito_level end = ito_process_level(p, 1);
        cr_expect(end.signal == 0.0 && end.noise == 1.0, "shift %g: signal %g, noise %g", 0.1 * i,
                  end.signal, end.noise);
        ito_process_free(p);
    }
}

Test(process, a_shift_that_is_not_above_0_is_refused)
{
    assert_refused(ito_process_create(&ito_schedule_flow, .shift = 0), ITO_ERR_RANGE,
                   "process: the shift is 0; it must be above 0");
    assert_refused(ito_process_create(&ito_schedule_flow, .steps = 10, .shift = (double)INFINITY),
                   ITO_ERR_RANGE, "process: the shift is inf; it must be above 0");
    ito_process *p = ito_process_create(&ito_schedule_edm, .shift = 0); /* which has none */
    cr_assert_not_null(p, "%s", ito_error());
    ito_process_free(p);
}

Test(process, a_family_that_is_missing_or_has_no_function_is_refused)
{
    static const ito_schedule_family empty = {.name = "empty"};
    assert_refused(ito_process_create(NULL), ITO_ERR_ARGUMENT, "process: the schedule is NULL");
    assert_refused(ito_process_create(&empty), ITO_ERR_ARGUMENT,
                   "process: the schedule empty has neither beta, nor level_of_step, nor level and "
                   "range");
}

Test(process, an_unknown_name_is_refused_with_those_there_are)
{
    assert_refused(ito_schedule_find("sine"), ITO_ERR_ARGUMENT,
                   no_such_choice("schedule", "schedule", "sine"));
}

Test(process, failed_allocation_is_an_error)
{
    static const ito_schedule_family *const families[] = {&ito_schedule_linear, &ito_schedule_flow};
    for (int i = 0; i < 2; i++) {
        ito_memory_fail_nth(1);
        cr_assert_null(ito_process_create(families[i]));
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
        ito_error_clear();
    }
    ito_process_free(NULL);
}

Test(process, what_is_missing_is_said)
{
    assert_refused(ito_process_from_betas(NULL, 3), ITO_ERR_ARGUMENT,
                   "process: the list of betas is NULL");
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 2), ITO_F32), *t = ito_zeros(ITO_SHAPE(1), ITO_I64);
    cr_assert_null(ito_q_sample(NULL, x, x, t));
    cr_expect_eq(ito_error_code(), ITO_ERR_ARGUMENT, "%s", ito_error());
    ito_error_clear();
}
