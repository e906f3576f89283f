/* Schedules: published constants, the definitions of the tables, and what is refused. */
#include "models/ddpm/process/process.h"

#include "tensor/runtime.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* The expected value is written with so many digits: half a unit of the last. */
static void agrees(double value, double expected, int digits)
{
    double unit = pow(10.0, floor(log10(fabs(expected))) + 1.0 - digits);
    cr_assert(fabs(value - expected) <= 0.51 * unit, "%.12g is not %.12g", value, expected);
}

Test(schedule, linear_has_the_papers_constants)
{
    ito_process *s = ito_process_create(NULL, 1000);
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

Test(schedule, cosine_has_the_papers_constants)
{
    ito_process *s = ito_process_create(&ito_schedule_cosine, 1000);
    cr_assert_not_null(s);
    agrees(s->beta[0], 4.12842e-5, 6);
    agrees(s->alpha_bar[500], 0.49228517, 8);
    cr_assert_eq(s->beta[999], 0.999);
    ito_process_free(s);
}

Test(schedule, linear_keeps_its_ends_whatever_the_number_of_steps)
{
    for (int64_t T = 2; T <= 4000; T = 3 * T + 1) {
        ito_process *s =
            ito_process_create(&ito_schedule_linear, T, .beta_start = 1e-3, .beta_end = 0.5);
        if (T < 100) {
            cr_assert_not_null(s);
            cr_assert_float_eq(s->beta[0], 1e-3, 1e-15);
            cr_assert_float_eq(s->beta[T - 1], 0.5, 1e-15);
        }
        ito_process_free(s);
        ito_error_clear();
    }
    ito_process *one = ito_process_create(&ito_schedule_linear, 1);
    cr_assert_eq(one->beta[0], 1e-4);
    ito_process_free(one);
}

/* Half a unit of f32 in each of up to 1000 factors; diffusers' tables are f32 (scaled_linear,
 * sigmoid, rescale_betas_zero_snr of diffusers 0.42.1). */
static void alpha_bars(const ito_schedule_family *family, bool zero_end, const double *expected)
{
    static const int64_t t[] = {0, 250, 500, 999};
    ito_process *s = ito_process_create(family, 1000, .zero_terminal_snr = zero_end);
    cr_assert_not_null(s, "%s", ito_error());
    for (int i = 0; i < 4; i++)
        cr_assert_float_eq(s->alpha_bar[t[i]], expected[i], 1e-4 * expected[i], "%s %g",
                           family->name, s->alpha_bar[t[i]]);
    ito_process_free(s);
}

Test(schedule, families_agree_with_other_implementations)
{
    alpha_bars(&ito_schedule_quad, false,
               (const double[]){0.99989998, 0.82001013, 0.33127463, 7.33411987e-4});
    alpha_bars(&ito_schedule_sigmoid, false,
               (const double[]){0.99985081, 0.90279901, 0.29888758, 3.96818214e-5});
    alpha_bars(&ito_schedule_linear, true, (const double[]){0.99989998, 0.51886052, 0.07524620, 0.0});
}

Test(schedule, simple_families_are_their_definitions)
{
    ito_process *jsd = ito_process_create(&ito_schedule_jsd, 100);
    ito_process *constant = ito_process_create(&ito_schedule_const, 100);
    ito_process *straight = ito_process_create(&ito_schedule_straight, 100);
    ito_process *w10 = ito_process_create(&ito_schedule_warmup10, 100);
    ito_process *w50 = ito_process_create(&ito_schedule_warmup50, 100);
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
Test(schedule, steps_of_a_path_add_up)
{
    ito_process *s = ito_process_create(&ito_schedule_straight, 50);
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

static ito_level rising(int64_t t, int64_t T, const ito_process_options *o)
{
    (void)T, (void)o;
    return (ito_level){t == 2 ? 0.95 : 0.9 - 0.1 * (double)t, 0.5};
}

Test(schedule, zero_terminal_snr_keeps_the_beginning)
{
    ito_process *a = ito_process_create(&ito_schedule_quad, 30);
    ito_process *b = ito_process_create(&ito_schedule_quad, 30, .zero_terminal_snr = true);
    double first = a->signal[0], last = a->signal[29];
    for (int t = 0; t < 30; t++)
        cr_assert_float_eq(b->signal[t], (a->signal[t] - last) * first / (first - last), 1e-13);
    cr_assert_eq(b->alpha_bar[29], 0.0);
    ito_process_free(a);
    ito_process_free(b);
}

/* beta~ by Bayes' rule: precisions of q(x_t | x_{t-1}) and q(x_{t-1} | x_0) add. */
Test(schedule, tables_follow_from_betas)
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

static void refused(ito_process *s, ito_status code, const char *message)
{
    cr_assert_null(s);
    cr_assert_eq(ito_error_code(), code);
    cr_assert_str_eq(ito_error_message(), message);
    ito_error_clear();
}

Test(schedule, refuses_what_is_no_schedule)
{
    refused(ito_process_create(NULL, 0), ITO_ERR_RANGE,
            "schedule: 0 steps; there are 1 to 1000000");
    refused(ito_process_create(NULL, 1000001), ITO_ERR_RANGE,
            "schedule: 1000001 steps; there are 1 to 1000000");
    static const ito_schedule_family bumpy = {.name = "bumpy", .level = rising};
    refused(ito_process_create(&bumpy, 4), ITO_ERR_RANGE,
            "schedule: step 2 goes from signal 0.8 and noise 0.5 to 0.95 and 0.5; their ratio must "
            "fall, and reach 0 at the last step only");
    cr_assert_null(ito_process_create(&ito_schedule_straight, 4, .zero_terminal_snr = true));
    cr_assert_str_eq(ito_error_message(),
                     "schedule: zero_terminal_snr changes betas, and straight has none");
    ito_error_clear();
    const double bad[][2] = {{0.1, 0.0}, {0.1, 1.5}, {0.1, -0.5}, {0.1, (double)NAN}, {0.1, 1e-20}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_null(ito_process_from_betas(bad[i], 2));
        cr_assert_eq(ito_error_code(), ITO_ERR_RANGE);
        cr_assert_not_null(strstr(ito_error_message(), "step 1 takes alpha_bar from 0.9 to"));
        ito_error_clear();
    }
}

Test(schedule, families_are_found_by_name)
{
    cr_assert_eq(ito_schedule_find("linear"), &ito_schedule_linear);
    cr_assert_eq(ito_schedule_find("cosine"), &ito_schedule_cosine);
    cr_assert_eq(ito_schedule_find("straight"), &ito_schedule_straight);
    cr_assert_null(ito_schedule_find("sine"));
    cr_assert_str_eq(
        ito_error_message(),
        "schedule: there is no \"sine\"; there are linear, quad, const, jsd, warmup10, "
        "warmup50, cosine, sigmoid and straight");
}

Test(schedule, failed_allocation_is_an_error)
{
    ito_memory_fail_nth(1);
    cr_assert_null(ito_process_create(NULL, 1000));
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    ito_process_free(NULL);
}
