/* Exact likelihoods of Gaussian data with their best network (correlated.h), where the flow is
 * affine and every density has a closed form. */
#include "models/ddpm/likelihood/log_likelihood.h"

#include "models/ddpm/sampler/probability_flow.h"
#include "tests/expect.h"
#include "tests/models/ddpm/correlated.h"

#include <math.h>
#include <string.h>

enum { N = 5 };

/* All combinations of processes and predictions that determine x_0 and eps everywhere. */
typedef struct flow_case {
    const ito_schedule_family *schedule;
    const ito_prediction *prediction;
} flow_case;

static const flow_case cases[] = {
    {&ito_schedule_flow, &ito_prediction_flow},    {&ito_schedule_flow, &ito_prediction_v},
    {&ito_schedule_flow, &ito_prediction_x_0},     {&ito_schedule_vp, &ito_prediction_eps},
    {&ito_schedule_vp, &ito_prediction_score},     {&ito_schedule_edm, &ito_prediction_edm},
    {&ito_schedule_edm, &ito_prediction_eps},      {&ito_schedule_cosine, &ito_prediction_eps},
    {&ito_schedule_cosine, &ito_prediction_v},     {&ito_schedule_cosine, &ito_prediction_x_prev},
    {&ito_schedule_straight, &ito_prediction_flow}};

enum { CASES = sizeof cases / sizeof cases[0] };

static ito_diffusion *diffusion_of(const flow_case *c)
{
    ito_diffusion *d =
        ito_diffusion_create(.schedule = c->schedule, .prediction = c->prediction,
                             .sigma_data =
                                 c->prediction->uses & ITO_USES_SIGMA_DATA ? 0.3 : ITO_UNSET);
    cr_assert_not_null(d, "%s", ito_error());
    return d;
}

static const double *numbers(ito_tensor *t)
{
    cr_assert_not_null(t, "%s", ito_error());
    return ito_const_data(ito_contiguous(ito_cast(t, ITO_F64)));
}

#define LIKELIHOOD(d, x, l, ...)                                                                   \
    do {                                                                                           \
        correlated_network best_ = correlated_make(d);                                             \
        cr_assert_eq(ito_log_likelihood(d, &best_.base, x, l, __VA_ARGS__), ITO_OK, "%s",          \
                     ito_error());                                                                 \
    } while (0)

/* The density that the flow gives to x with noise N(0, 1) at t_max, from correlated.h. */
static double model_log_density(const ito_process *p, const double *x, double *u)
{
    ito_level low = ito_process_level(p, p->t_min), high = ito_process_level(p, p->t_max);
    double c = low.signal / hypot(low.signal, low.noise), from[CORRELATED];
    for (int j = 0; j < CORRELATED; j++)
        from[j] = c * x[j];
    double sum = CORRELATED * log(c) + correlated_flow(from, low, high, u);
    for (int j = 0; j < CORRELATED; j++)
        sum -= 0.5 * (u[j] * u[j] + log(2 * M_PI));
    return sum;
}

/* Within 1e-7 for each of some ten steps. */
Test(log_likelihood, is_the_density_of_the_flow_with_every_process_and_prediction)
{
    for (int k = 0; k < CASES; k++) {
        ito_diffusion *d = diffusion_of(&cases[k]);
        ito_level end = ito_process_level(d->process, d->process->t_max);
        ito_log_likelihoods l;
        ito_tensor *x = correlated_points(N);
        LIKELIHOOD(d, x, &l, .probes = 0, .rtol = 1e-8, .atol = 1e-8);
        for (int i = 0; i < N; i++) {
            double u[CORRELATED], want = model_log_density(d->process, numbers(x) + 3 * i, u);
            cr_expect_float_eq(numbers(l.log_p)[i], want, 1e-6, "%s %s: %.9g, not %.9g",
                               cases[k].schedule->name, cases[k].prediction->name,
                               numbers(l.log_p)[i], want);
            cr_expect_float_eq(numbers(l.bits)[i], -want / 3 / M_LN2, 1e-6);
            for (int j = 0; j < 3; j++)
                cr_expect_float_eq(numbers(l.noise)[3 * i + j], u[j] * hypot(end.signal, end.noise),
                                   1e-4);
        }
        cr_expect_null(l.error);
        ito_diffusion_free(d);
    }
}

/* And that is the density of the data: what is left is the noise at t_min and the signal at t_max,
 * 0.002 and 0.0125 at most (edm's). */
Test(log_likelihood, is_that_of_the_data_within_a_hundredth_of_a_bit)
{
    for (int k = 0; k < CASES; k++) {
        ito_diffusion *d = diffusion_of(&cases[k]);
        ito_log_likelihoods l;
        ito_tensor *x = correlated_points(N);
        LIKELIHOOD(d, x, &l, .probes = 0);
        for (int i = 0; i < N; i++) {
            double want = -correlated_log_density(numbers(x) + 3 * i, 0) / 3 / M_LN2;
            cr_expect_float_eq(numbers(l.bits)[i], want, 0.01, "%s %s: %g, not %g",
                               cases[k].schedule->name, cases[k].prediction->name,
                               numbers(l.bits)[i], want);
        }
        ito_diffusion_free(d);
    }
}

/* Probes give estimates whose mean is the exact value: of 200 the mean lies within 4.5 standard
 * errors but for one case in 1e5; and these errors are what the estimates' spread is. */
Test(log_likelihood, probes_estimate_the_exact_value_within_their_error)
{
    ito_diffusion *d = diffusion_of(&cases[0]);
    ito_log_likelihoods exact, few;
    ito_tensor *x = correlated_points(N);
    LIKELIHOOD(d, x, &exact, .probes = 0, .rtol = 1e-4, .atol = 1e-4);
    for (int law = 0; law < 2; law++) {
        LIKELIHOOD(d, x, &few, .probes = 200, .probe = (ito_probe)law, .rtol = 1e-4, .atol = 1e-4,
                   .seed = 3);
        for (int i = 0; i < N; i++) {
            double error = numbers(few.error)[i];
            double off = numbers(few.log_p)[i] - numbers(exact.log_p)[i];
            cr_expect(fabs(off) < 4.5 * error + 1e-3, "law %d: %g, error %g", law, off, error);
            cr_expect(error > 0.01 && error < 0.3, "law %d: %g", law, error);
        }
    }
    ito_diffusion_free(d);
}

/* One probe each of 4000 examples at one place: their variance is that of z J z, 2 sum over
 * off-diagonals squared for Rademacher's law and all elements for the Gaussian one, so more. */
Test(log_likelihood, signs_have_less_variance_than_normal_probes)
{
    ito_diffusion *d = diffusion_of(&cases[0]);
    ito_tensor *x = ito_zeros(ITO_SHAPE(2000, 3), ITO_F64);
    double variance[2];
    for (int law = 0; law < 2; law++) {
        ito_log_likelihoods l;
        LIKELIHOOD(d, x, &l, .probe = (ito_probe)law, .method = &ito_ode_rk4, .steps = 8);
        variance[law] = ito_item(ito_var(l.log_p));
    }
    cr_expect(variance[ITO_PROBE_RADEMACHER] < 0.8 * variance[ITO_PROBE_GAUSSIAN], "%g %g",
              variance[0], variance[1]);
    ito_diffusion_free(d);
}

/* The standard error is that of the mean of the probes' estimates, which one probe at a time gives.
 */
Test(log_likelihood, the_error_is_the_spread_of_single_probes)
{
    ito_diffusion *d = diffusion_of(&cases[0]);
    ito_log_likelihoods l;
    LIKELIHOOD(d, ito_zeros(ITO_SHAPE(2000, 3), ITO_F64), &l, .method = &ito_ode_rk4, .steps = 8);
    double one = sqrt(ito_item(ito_var(l.log_p)));
    LIKELIHOOD(d, ito_zeros(ITO_SHAPE(1, 3), ITO_F64), &l, .probes = 600, .seed = 1,
               .method = &ito_ode_rk4, .steps = 8);
    cr_expect_float_eq(ito_item(l.error) * sqrt(600) / one, 1, 0.15);
    ito_diffusion_free(d);
}

Test(log_likelihood, an_example_alone_is_that_example_in_a_batch)
{
    ito_diffusion *d = diffusion_of(&cases[3]);
    ito_tensor *x = ito_cast(correlated_points(4), ITO_F32);
    ito_log_likelihoods all, alone;
#define FIXED .probes = 2, .steps = 10, .seed = 5, .dequantise = 0.1
    LIKELIHOOD(d, x, &all, FIXED, .first_image = 7);
    for (int i = 0; i < 4; i++) {
        LIKELIHOOD(d, ito_narrow(x, 0, i, 1), &alone, FIXED, .first_image = 7 + i);
        cr_expect_eq(numbers(alone.log_p)[0], numbers(all.log_p)[i]);
        cr_expect_eq(memcmp(numbers(alone.noise), numbers(all.noise) + 3 * i, 3 * sizeof(double)),
                     0);
        cr_expect_neq(numbers(all.log_p)[i], numbers(all.log_p)[(i + 1) % 4]);
    }
    cr_expect_eq(ito_dtype_of(all.noise), ITO_F32);
    cr_expect_eq(ito_dtype_of(all.log_p), ITO_F64);
    ito_diffusion_free(d);
}

/* Data that are 4 times others have 4^-3 of their density. Data on a grid of spacing h: the mean of
 * 2000 draws of log p within a cell, plus log h^3, within 4.5 standard errors. */
Test(log_likelihood, scale_and_grid_change_units_as_they_should)
{
    ito_diffusion *d = diffusion_of(&cases[0]);
    ito_log_likelihoods plain, l;
    ito_tensor *x = correlated_points(N);
    LIKELIHOOD(d, x, &plain, .probes = 0);
    LIKELIHOOD(d, x, &l, .probes = 0, .scale = 4);
    for (int i = 0; i < N; i++) {
        cr_expect_float_eq(numbers(l.log_p)[i], numbers(plain.log_p)[i] + 3 * log(4), 1e-12);
        cr_expect_float_eq(numbers(l.bits)[i], numbers(plain.bits)[i] - 2, 1e-12);
    }
    static const double h = 0.25;
    double want = 0, squares = 0;
    for (int i = 0; i < 8000; i++) { /* 20^3 midpoints of the cell around 0 */
        double at[3] = {h * ((i % 20 + 0.5) / 20 - 0.5), h * ((i / 20 % 20 + 0.5) / 20 - 0.5),
                        h * ((i / 400 + 0.5) / 20 - 0.5)};
        double bits = -(correlated_log_density(at, 0) / 3 + log(h)) / M_LN2;
        want += bits / 8000;
        squares += bits * bits / 8000;
    }
    for (int scale = 1; scale < 3; scale++) { /* bits of the grid have no unit */
        LIKELIHOOD(d, ito_zeros(ITO_SHAPE(2000, 3), ITO_F64), &l, .probes = 0, .dequantise = h,
                   .scale = scale, .method = &ito_ode_rk4, .steps = 10);
        double error = sqrt((squares - want * want) / 2000);
        cr_expect_float_eq(ito_item(ito_mean(l.bits)), want, 4.5 * error, "%g, not %g +- %g",
                           ito_item(ito_mean(l.bits)), want, error);
    }
    ito_diffusion_free(d);
}

Test(log_likelihood, what_was_found_leads_back_to_the_data)
{
    for (int k = 0; k < CASES; k++) {
        ito_diffusion *d = diffusion_of(&cases[k]);
        correlated_network best = correlated_make(d);
        ito_log_likelihoods l;
        ito_tensor *x = correlated_points(N);
        LIKELIHOOD(d, x, &l, .rtol = 1e-8, .atol = 1e-8);
        ito_tensor *back =
            ito_diffusion_sample_ode_from(d, &best.base, l.noise, .rtol = 1e-8, .atol = 1e-8);
        cr_expect_lt(largest_difference(back, x), 1e-5, "%s %s", cases[k].schedule->name,
                     cases[k].prediction->name);
        ito_diffusion_free(d);
    }
}

/* The same function as images, signals and points; a single number each. */
static ito_tensor *shrink(ito_network *self, const ito_network_input *in)
{
    (void)self;
    return ito_mul_scalar(in->x, 0.5);
}

Test(log_likelihood, data_have_any_axes)
{
    static const ito_shape shapes[] = {{.ndim = 4, .dim = {2, 3, 2, 1}},
                                       {.ndim = 2, .dim = {2, 6}},
                                       {.ndim = 3, .dim = {2, 2, 3}}};
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_v);
    ito_network network = network_of(shrink, NULL);
    ito_log_likelihoods first, l;
    for (int k = 0; k < 3; k++) {
        cr_assert_eq(ito_log_likelihood(d, &network, ito_full(shapes[k], 0.3, ITO_F64), &l), ITO_OK,
                     "%s", ito_error());
        first = k == 0 ? l : first;
        cr_expect_float_eq(largest_difference(l.log_p, first.log_p), 0, 1e-12);
        cr_expect_eq(ito_ndim(l.noise), shapes[k].ndim);
    }
    /* du/da = u / 2 over the angle from ~0 to pi/2: log p = log N(e^(pi/4) x) + pi/4 each, less
     * the angle of t_min, 1e-3 */
    double a = 0.5 * (M_PI / 2 - atan2(1e-3, 0.999));
    double u = 0.3 * cos(atan2(1e-3, 0.999)) * exp(a);
    double want = -0.5 * (u * u + log(2 * M_PI)) + a + log(cos(atan2(1e-3, 0.999)));
    cr_expect_float_eq(numbers(first.log_p)[0], 6 * want, 1e-4);
    cr_assert_eq(ito_log_likelihood(d, &network, ito_full(ITO_SHAPE(2), 0.3, ITO_F64), &l), ITO_OK);
    cr_expect_float_eq(numbers(l.log_p)[1], want, 1e-4);
    cr_assert_eq(ito_log_likelihood(d, &network, ito_zeros(ITO_SHAPE(0, 3), ITO_F32), &l), ITO_OK,
                 "%s", ito_error());
    cr_expect_eq(ito_numel(l.log_p), 0);
    ito_diffusion_free(d);
}

/* ---- what is refused ---- */

static void refused_with(ito_tensor *x, ito_log_likelihood_options o, ito_status code,
                         const char *message)
{
    ito_diffusion *d = diffusion_of(&cases[0]);
    correlated_network best = correlated_make(d);
    ito_log_likelihoods l;
    assert_refused_status(ito_log_likelihood_with(d, &best.base, x, o, &l), code, message);
    ito_diffusion_free(d);
}

#define OPTIONS(...) ITO_OPTIONS(ito_log_likelihood_options, __VA_ARGS__)

Test(log_likelihood, data_that_are_no_examples_are_refused)
{
    refused_with(ito_zeros(ITO_SHAPE(), ITO_F64), OPTIONS(.probes = 1), ITO_ERR_SHAPE,
                 "log_likelihood: the data are [], not [N, ...] with elements");
    refused_with(ito_zeros(ITO_SHAPE(2, 0), ITO_F64), OPTIONS(.probes = 1), ITO_ERR_SHAPE,
                 "log_likelihood: the data are [2, 0], not [N, ...] with elements");
    refused_with(ito_zeros(ITO_SHAPE(2, 3), ITO_BF16), OPTIONS(.probes = 1), ITO_ERR_DTYPE,
                 "log_likelihood: data are f32 or f64, not bf16");
    refused_with(NULL, OPTIONS(.probes = 1), ITO_ERR_ARGUMENT, "log_likelihood: x_0 is NULL");
    ito_log_likelihoods l;
    assert_refused_status(ito_log_likelihood(NULL, NULL, correlated_points(1), &l),
                          ITO_ERR_ARGUMENT, "log_likelihood: the diffusion is NULL");
}

Test(log_likelihood, numbers_out_of_their_range_are_refused)
{
    ito_tensor *x = correlated_points(1);
    refused_with(x, OPTIONS(.probes = -1), ITO_ERR_RANGE,
                 "log_likelihood: -1 probes; 0 is the exact trace");
    refused_with(x, OPTIONS(.probes = INT64_C(1) << 61), ITO_ERR_RANGE,
                 "log_likelihood: 2305843009213693952 probes are too many");
    refused_with(x, OPTIONS(.dequantise = -1), ITO_ERR_RANGE,
                 "log_likelihood: dequantise is -1; a spacing is finite and at least 0");
    refused_with(x, OPTIONS(.scale = 0), ITO_ERR_RANGE,
                 "log_likelihood: scale is 0; it must be finite and above 0");
    refused_with(x, OPTIONS(.t_min = 0.5, .t_max = 0.5), ITO_ERR_RANGE,
                 "log_likelihood: times from 0.5 to 0.5; they must rise, within 0.001 to 1");
    refused_with(x, OPTIONS(.steps = 0), ITO_ERR_RANGE, "ode: 0 steps; at least 1 is needed");
}

/* eps says nothing of x_0 where no signal is left; it does before. */
Test(log_likelihood, a_prediction_that_is_singular_at_an_end_is_refused)
{
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_eps);
    correlated_network best = correlated_make(d);
    ito_log_likelihoods l;
    ito_tensor *x = correlated_points(N);
    assert_refused_status(ito_log_likelihood(d, &best.base, x, &l), ITO_ERR_ARGUMENT,
                          "log_likelihood: eps does not tell x_0 and eps at time 1 (signal 0, "
                          "noise 1); t_min and t_max can leave it out");
    LIKELIHOOD(d, x, &l, .probes = 0, .t_max = 0.995);
    for (int i = 0; i < N; i++)
        cr_expect_float_eq(numbers(l.log_p)[i], correlated_log_density(numbers(x) + 3 * i, 1e-6),
                           0.02);
    ito_diffusion_free(d);
}

typedef struct attempt {
    const ito_diffusion *d;
    int64_t probes;
} attempt;

static ito_status once(void *context)
{
    const attempt *a = context;
    correlated_network best = correlated_make(a->d);
    ito_log_likelihoods l;
    ito_tensor *x = correlated_points(2);
    return x == NULL ? ito_error_code()
                     : ito_log_likelihood(a->d, &best.base, x, &l, .probes = a->probes,
                                          .dequantise = 0.1, .method = &ito_ode_euler, .steps = 1);
}

Test(log_likelihood, failing_allocations_pass)
{
    ito_diffusion *d = diffusion_of(&cases[0]);
    attempt a = {.d = d};
    for (a.probes = 0; a.probes < 3; a.probes += 2)
        cr_expect_gt(count_failed_allocations(once, &a), 50);
    ito_diffusion_free(d);
}
