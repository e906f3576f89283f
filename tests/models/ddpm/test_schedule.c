/* Schedules: published constants, the definitions of the tables, and what is refused. */
#include "models/ddpm/schedule.h"

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
    ito_ddpm_schedule *s = ito_ddpm_schedule_create(NULL, 1000);
    cr_assert_not_null(s);
    cr_assert_eq(s->steps, 1000);
    cr_assert_eq(s->beta[0], 1e-4);
    agrees(s->beta[999], 0.02, 12);
    agrees(s->alpha_bar[500], 0.077796658, 8);
    agrees(s->alpha_bar[999], 4.03583e-5, 6);
    cr_assert_eq(s->beta_tilde[0], 0.0);
    agrees(s->beta_tilde[1], 5.4531877e-5, 8);
    ito_ddpm_schedule_free(s);
}

Test(schedule, cosine_has_the_papers_constants)
{
    ito_ddpm_schedule *s = ito_ddpm_schedule_create(&ito_ddpm_cosine, 1000);
    cr_assert_not_null(s);
    agrees(s->beta[0], 4.12842e-5, 6);
    agrees(s->alpha_bar[500], 0.49228517, 8);
    cr_assert_eq(s->beta[999], 0.999);
    ito_ddpm_schedule_free(s);
}

Test(schedule, linear_keeps_its_ends_whatever_the_number_of_steps)
{
    for (int64_t T = 2; T <= 4000; T = 3 * T + 1) {
        ito_ddpm_schedule *s =
            ito_ddpm_schedule_create(&ito_ddpm_linear, T, .beta_start = 1e-3, .beta_end = 0.5);
        if (T < 100) {
            cr_assert_not_null(s);
            cr_assert_float_eq(s->beta[0], 1e-3, 1e-15);
            cr_assert_float_eq(s->beta[T - 1], 0.5, 1e-15);
        }
        ito_ddpm_schedule_free(s);
        ito_error_clear();
    }
    ito_ddpm_schedule *one = ito_ddpm_schedule_create(&ito_ddpm_linear, 1);
    cr_assert_eq(one->beta[0], 1e-4);
    ito_ddpm_schedule_free(one);
}

/* beta~ by Bayes' rule: precisions of q(x_t | x_{t-1}) and q(x_{t-1} | x_0) add. */
Test(schedule, tables_follow_from_betas)
{
    double betas[60], product = 1.0;
    for (int t = 0; t < 60; t++)
        betas[t] = 0.01 + 0.003 * t + 0.005 * sin(t);
    ito_ddpm_schedule *s = ito_ddpm_schedule_from_betas(betas, 60);
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
    ito_ddpm_schedule_free(s);
}

static void refused(ito_ddpm_schedule *s, ito_status code, const char *message)
{
    cr_assert_null(s);
    cr_assert_eq(ito_error_code(), code);
    cr_assert_str_eq(ito_error_message(), message);
    ito_error_clear();
}

Test(schedule, refuses_what_is_no_schedule)
{
    refused(ito_ddpm_schedule_create(NULL, 0), ITO_ERR_RANGE,
            "schedule: 0 steps; there are 1 to 1000000");
    refused(ito_ddpm_schedule_create(NULL, 1000001), ITO_ERR_RANGE,
            "schedule: 1000001 steps; there are 1 to 1000000");
    const double bad[][2] = {{0.1, 0.0}, {0.1, 1.0}, {0.1, -0.5}, {0.1, (double)NAN}, {0.1, 1e-20}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_null(ito_ddpm_schedule_from_betas(bad[i], 2));
        cr_assert_eq(ito_error_code(), ITO_ERR_RANGE);
        cr_assert_not_null(strstr(ito_error_message(), "step 1 takes alpha_bar from 0.9 to"));
        ito_error_clear();
    }
}

Test(schedule, families_are_found_by_name)
{
    cr_assert_eq(ito_ddpm_betas_find("linear"), &ito_ddpm_linear);
    cr_assert_eq(ito_ddpm_betas_find("cosine"), &ito_ddpm_cosine);
    cr_assert_null(ito_ddpm_betas_find("sine"));
    cr_assert_str_eq(ito_error_message(),
                     "schedule: there is no \"sine\"; there are linear and cosine");
}

Test(schedule, failed_allocation_is_an_error)
{
    ito_memory_fail_nth(1);
    cr_assert_null(ito_ddpm_schedule_create(NULL, 1000));
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    ito_ddpm_schedule_free(NULL);
}
