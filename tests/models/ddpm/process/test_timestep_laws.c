/* Laws of times: draws in steps and in continuous time against their formulas. */
#include "models/ddpm/process/timestep_sampler.h"

#include "autograd/ops.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>

/* Draws of a law, as f64 [n]; weights are 1, and the dtype is that of the process. */
static double *draws(ito_process *p, const ito_timestep_law *law, int64_t n)
{
    ito_timestep_sampler *sampler = ito_timestep_sampler_create(p, law);
    ito_generator g = ito_generator_make(6, 1);
    ito_tensor *t, *weights;
    cr_assert_eq(ito_timestep_sampler_draw(sampler, &g, n, &t, &weights), ITO_OK, "%s",
                 ito_error());
    cr_assert_eq(ito_dtype_of(t), p->steps > 0 ? ITO_I64 : ITO_F64);
    cr_assert(ito_item(ito_min(weights)) == 1.0 && ito_item(ito_max(weights)) == 1.0);
    ito_timestep_sampler_free(sampler);
    return ito_data(ito_cast(t, ITO_F64));
}

/* The mean of n draws of a law within 5 standard errors, and so their deviation, for which those
 * are std / sqrt(2 n) where the law is normal, and less where it is flatter. */
static void assert_moments(const double *values, int64_t n, double mean, double std)
{
    double sum = 0.0, squares = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += values[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += (values[i] - sum) * (values[i] - sum) / (double)n;
    cr_assert_float_eq(sum, mean, 5.0 * std / sqrt((double)n), "mean %g, not %g", sum, mean);
    cr_assert_float_eq(sqrt(squares), std, 5.0 * std / sqrt(2.0 * (double)n),
                       "deviation %g, not %g", sqrt(squares), std);
}

enum { DRAWS = 100000 };

Test(timestep_laws, uniform_times_lie_between_the_ends)
{
    ito_process *p = ito_process_create(&ito_schedule_edm, .sigma_min = 2.0, .sigma_max = 5.0);
    const double *t = draws(p, NULL, DRAWS);
    for (int i = 0; i < DRAWS; i++)
        cr_assert(t[i] >= 2.0 && t[i] <= 5.0);
    assert_moments(t, DRAWS, 3.5, 3.0 / sqrt(12.0));
    ito_process_free(p);
}

/* One in each of n equal parts of the times. */
Test(timestep_laws, stratified_times_cover_all_parts)
{
    ito_process *p = ito_process_create(&ito_schedule_edm, .sigma_min = 2.0, .sigma_max = 5.0);
    const double *t = draws(p, &ito_timestep_law_stratified, 30);
    int64_t seen = 0;
    for (int i = 0; i < 30; i++)
        seen |= (int64_t)1 << (int)((t[i] - 2.0) * 10.0);
    cr_assert_eq(seen, ((int64_t)1 << 30) - 1);
    ito_process_free(p);
}

/* The ends cut off 2e-5 of it, far less than a standard error. */
Test(timestep_laws, lognormal_sigma_is_normal_in_log_sigma)
{
    ito_timestep_law law = ito_timestep_law_lognormal_sigma;
    cr_assert(law.mean == -1.2 && law.std == 1.2);
    for (int k = 0; k < 2; k++) {
        ito_process *p =
            k == 0 ? ito_process_create(&ito_schedule_edm) : ito_process_create(&ito_schedule_flow);
        double *t = draws(p, &law, DRAWS);
        for (int i = 0; i < DRAWS; i++) {
            ito_level level = ito_process_level(p, t[i]);
            t[i] = log(level.noise / level.signal);
        }
        assert_moments(t, DRAWS, law.mean, law.std);
        ito_process_free(p);
        law.mean = 0.5;
        law.std = 0.75;
    }
}

static double normal_below(double z)
{
    return 0.5 * erfc(-z / sqrt(2.0));
}

/* A step has what lies between the middles of its log sigma and those of its neighbours. */
Test(timestep_laws, lognormal_sigma_in_steps_takes_the_nearest)
{
    const ito_timestep_law *law = &ito_timestep_law_lognormal_sigma;
    ito_process *p = ito_process_create(&ito_schedule_linear, .steps = 50, .beta_end = 0.3);
    double sigma[50], mean = 0.0, square = 0.0, below = 0.0;
    for (int t = 0; t < 50; t++)
        sigma[t] = log(p->noise[t] / p->signal[t]);
    for (int t = 0; t < 50; t++) {
        double end = t == 49 ? (double)INFINITY : 0.5 * (sigma[t] + sigma[t + 1]);
        double share = normal_below((end - law->mean) / law->std) - below;
        below += share;
        mean += share * t;
        square += share * t * t;
    }
    assert_moments(draws(p, law, DRAWS), DRAWS, mean, sqrt(square - mean * mean));
    ito_process_free(p);
}

static double logit(double share)
{
    return log(share / (1.0 - share));
}

Test(timestep_laws, logit_normal_is_normal_in_the_logit_of_the_share)
{
    ito_timestep_law law = ito_timestep_law_logit_normal;
    cr_assert(law.mean == 0.0 && law.std == 1.0);
    for (int k = 0; k < 2; k++) {
        ito_process *p = ito_process_create(&ito_schedule_edm, .sigma_min = 2.0, .sigma_max = 5.0);
        double *t = draws(p, &law, DRAWS);
        for (int i = 0; i < DRAWS; i++)
            t[i] = logit((t[i] - 2.0) / 3.0);
        assert_moments(t, DRAWS, law.mean, law.std);
        ito_process_free(p);
        law.mean = 0.5;
        law.std = 0.75;
    }
}

/* Step t of T has the shares from t / T to (t + 1) / T. */
Test(timestep_laws, logit_normal_in_steps_takes_equal_parts)
{
    ito_process *p = ito_process_create(&ito_schedule_cosine, .steps = 40);
    double mean = 0.0, square = 0.0;
    for (int t = 0; t < 40; t++) {
        double share = (t == 39 ? 1.0 : normal_below(logit((t + 1) / 40.0))) -
                       (t == 0 ? 0.0 : normal_below(logit(t / 40.0)));
        mean += share * t;
        square += share * t * t;
    }
    assert_moments(draws(p, &ito_timestep_law_logit_normal, DRAWS), DRAWS, mean,
                   sqrt(square - mean * mean));
    ito_process_free(p);
}

/* Times that are more often late: the square root of a share has density 2 t. */
static double square_root(const ito_timestep_law *self, const ito_process *p, double u)
{
    double t = p->t_min + (p->t_max - p->t_min) * pow(u, self->std);
    return p->steps > 0 ? floor(t) : t;
}

Test(timestep_laws, a_quantile_of_ones_own)
{
    static const ito_timestep_law law = {.name = "late", .quantile = square_root, .std = 0.5};
    ito_process *p = ito_process_create(&ito_schedule_edm, .sigma_min = 1.0, .sigma_max = 2.0);
    assert_moments(draws(p, &law, DRAWS), DRAWS, 1.0 + 2.0 / 3.0, sqrt(0.5 - 4.0 / 9.0));
    ito_process_free(p);
    p = ito_process_create(&ito_schedule_cosine,
                           .steps = 3); /* 0 and 1 alone: u <= 1/4, and above */
    assert_moments(draws(p, &law, DRAWS), DRAWS, 0.75, sqrt(0.75 * 0.25));
    ito_process_free(p);
}

Test(timestep_laws, an_unknown_law_is_refused_with_those_there_are)
{
    assert_refused(ito_timestep_law_find("third"), ITO_ERR_ARGUMENT,
                   no_such_choice("timestep_law", "timestep law", "third"));
}
