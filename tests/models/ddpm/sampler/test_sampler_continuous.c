/* Sampling in continuous time: Gaussian data x_0 ~ N(0, 1/4) with its best network. The noise-free
 * path multiplies x by sqrt(D_to / D_at), D = signal^2 / 4 + noise^2 the variance of x_t; at the
 * clean data D is 1/4. */
#include "models/ddpm/sampler/sampler.h"

#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <math.h>
#include <string.h>

#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])

/* The families in continuous time, each with a prediction that goes with it, and the time from
 * which there is a signal. */
static const struct continuous_case {
    const ito_schedule_family *family;
    const ito_prediction *prediction;
    double with_signal;
} families[] = {{&ito_schedule_flow, &ito_prediction_flow, 0.99},
                {&ito_schedule_vp, &ito_prediction_eps, 1.0},
                {&ito_schedule_edm, &ito_prediction_edm, 80.0}};

static ito_diffusion *diffusion_of(const struct continuous_case *c)
{
    ito_diffusion *d = ito_diffusion_create(.schedule = c->family, .prediction = c->prediction,
                                            .sigma_data = gaussian_sigma_data(c->prediction));
    cr_assert_not_null(d, "%s", ito_error());
    cr_assert_eq(d->process->steps, 0);
    return d;
}

/* What a run from x = 1 ends with. */
static double gain_of(const ito_diffusion *d, ito_sample_options o)
{
    gaussian_network g = gaussian_make(d, 0.0);
    ito_scope_begin();
    o.no_clip = true;
    ito_tensor *x =
        ito_diffusion_sample_from_with(d, &g.base, ito_ones(ITO_SHAPE(1, 1), ITO_F64), o);
    cr_assert_not_null(x, "%s: %s", o.sampler->name, ito_error());
    double gain = ito_item(x);
    ito_scope_end();
    return gain;
}

/* What it is without an error, from time t to t_to. */
static double exact_gain(const ito_diffusion *d, double t, double t_to)
{
    return sqrt(gaussian_variance(ito_process_level(d->process, t_to)) /
                gaussian_variance(ito_process_level(d->process, t)));
}

/* ---- deterministic samplers ---- */

/* From the noisiest time, pure noise with flow, to the clean data. The last step leads from t_min
 * to x_0-hat, whose deviation is 1 / sqrt(1 + 4 sigma^2) of the data's: with sigma 0.01 (vp) it is
 * 2e-4 less. */
Test(sampler_continuous, deterministic_samplers_end_at_the_ratio_of_deviations)
{
    static const struct {
        const ito_sampler *sampler;
        double error;
    } cases[] = {
        {&ito_sampler_ddim, 0.03},     {&ito_sampler_euler, 0.03},    {&ito_sampler_dpmpp_1s, 0.03},
        {&ito_sampler_heun, 2e-3},     {&ito_sampler_lms, 2e-3},      {&ito_sampler_deis, 2e-3},
        {&ito_sampler_deis3, 2e-3},    {&ito_sampler_pndm, 2e-3},     {&ito_sampler_plms, 2e-3},
        {&ito_sampler_dpmpp_2s, 2e-3}, {&ito_sampler_dpmpp_2m, 2e-3}, {&ito_sampler_dpmpp_3m, 2e-3},
        {&ito_sampler_unipc, 2e-3},    {&ito_sampler_unipc3, 2e-3}};
    for (int f = 0; f < COUNT(families); f++) {
        ito_diffusion *d = diffusion_of(&families[f]);
        const ito_process *p = d->process;
        double exact = exact_gain(d, p->t_max, p->t_clean);
        for (int k = 0; k < COUNT(cases); k++) {
            ito_sample_options o = ITO_OPTIONS(ito_sample_options, .sampler = cases[k].sampler,
                                               .steps = 256, .spacing = &ito_spacing_karras);
            double error = fabs(gain_of(d, o) / exact - 1.0);
            cr_expect_lt(error, cases[k].error, "%s %s: %g", p->family->name,
                         cases[k].sampler->name, error);
        }
        ito_diffusion_free(d);
    }
}

/* The error of n steps that are equal in log sigma, in a list of one's own, down to t_min. */
static double error_of(const ito_diffusion *d, const ito_sampler *sampler, double t, int64_t n)
{
    double times[1024];
    const ito_process *p = d->process;
    ito_level high = ito_process_level(p, t), low = ito_process_level(p, p->t_min);
    double from = log(high.noise / high.signal), to = log(low.noise / low.signal);
    for (int64_t i = 0; i < n; i++)
        times[i] =
            i == 0 ? t : ito_process_time(p, exp(from + (double)i / (double)n * (to - from)));
    ito_sample_options o = ITO_OPTIONS(ito_sample_options, .sampler = sampler, .steps = n,
                                       .times = times, .end_at_first = true, .keep_order = true);
    return fabs(gain_of(d, o) / exact_gain(d, t, p->t_min) - 1.0);
}

/* The error falls by 2^order where the steps double. */
Test(sampler_continuous, samplers_converge_with_their_order)
{
    static const struct {
        const ito_sampler *sampler;
        double order;
    } cases[] = {{&ito_sampler_euler, 1.0},
                 {&ito_sampler_ddim, 1.0},
                 {&ito_sampler_dpmpp_1s, 1.0},
                 {&ito_sampler_heun, 2.0},
                 {&ito_sampler_dpmpp_2m, 2.0}};
    for (int f = 0; f < COUNT(families); f++) {
        ito_diffusion *d = diffusion_of(&families[f]);
        for (int k = 0; k < COUNT(cases); k++) {
            double few = error_of(d, cases[k].sampler, families[f].with_signal, 512);
            double many = error_of(d, cases[k].sampler, families[f].with_signal, 1024);
            cr_expect_float_eq(log2(few / many), cases[k].order, 0.1, "%s %s: %g, %g, order %.2f",
                               families[f].family->name, cases[k].sampler->name, few, many,
                               log2(few / many));
        }
        ito_diffusion_free(d);
    }
}

/* ---- times ---- */

/* A network that keeps what it is evaluated at. */
typedef struct notes {
    ito_network base;
    int n;
    double time[64], t[64], x[64], x_t[64];
} notes;

static ito_tensor *note(ito_network *self, const ito_network_input *in)
{
    notes *s = (notes *)self;
    cr_assert_lt(s->n, 64);
    s->time[s->n] = input_time(in, 0);
    s->t[s->n] = ito_item(ito_narrow(in->t, 0, 0, 1));
    s->x[s->n] = ito_item(ito_narrow(ito_flatten(in->x, 0, -1), 0, 0, 1));
    s->x_t[s->n++] = ito_item(ito_narrow(ito_flatten(in->x_t, 0, -1), 0, 0, 1));
    return ito_zeros_like(in->x);
}

static notes noted(const ito_diffusion *d, ito_sample_options o)
{
    notes s = {.base = {.evaluate = note}};
    cr_assert_not_null(
        ito_diffusion_sample_from_with(d, &s.base, ito_ones(ITO_SHAPE(2, 3), ITO_F64), o), "%s",
        ito_error());
    return s;
}

static void visits(const notes *s, int n, const double *times)
{
    cr_assert_eq(s->n, n);
    for (int i = 0; i < n; i++)
        cr_expect_eq(s->time[i], times[i], "%d: %.17g, not %.17g", i, s->time[i], times[i]);
}

Test(sampler_continuous, a_list_of_real_times_is_visited_as_it_is)
{
    static const double times[] = {0.9, 1.0 / 3.0, 0.017};
    ito_diffusion *d = diffusion_of(&families[0]);
    notes s = noted(d, ITO_OPTIONS(ito_sample_options, .steps = 3, .times = times));
    visits(&s, 3, times);
    ito_diffusion_free(d);
}

/* From there, then the list below it, whether it is on the list or not. */
Test(sampler_continuous, a_run_begins_at_any_time)
{
    static const double times[] = {0.9, 1.0 / 3.0, 0.017};
    static const double between[] = {0.4, 1.0 / 3.0, 0.017}, below[] = {0.01};
    ito_diffusion *d = diffusion_of(&families[0]);
    notes s = noted(d, ITO_OPTIONS(ito_sample_options, .steps = 3, .times = times, .start = 0.4));
    visits(&s, 3, between);
    s = noted(d, ITO_OPTIONS(ito_sample_options, .steps = 3, .times = times, .start = 1.0 / 3.0));
    visits(&s, 2, times + 1);
    s = noted(d, ITO_OPTIONS(ito_sample_options, .steps = 3, .times = times, .start = 0.01));
    visits(&s, 1, below);
    ito_diffusion_free(d);
}

/* With a list from t on, the exact answer is that from t on: no step is added and none left out. */
Test(sampler_continuous, a_list_ends_at_the_clean_data)
{
    static const double times[] = {10.0, 9.5, 9.0, 8.6};
    ito_diffusion *d = diffusion_of(&families[2]);
    ito_sample_options o =
        ITO_OPTIONS(ito_sample_options, .sampler = &ito_sampler_euler, .steps = 4, .times = times);
    double gain = 1.0;
    for (int i = 0; i < 4; i++) { /* x moves by (sigma_to - sigma) sigma / D x */
        double sigma = times[i], to = i < 3 ? times[i + 1] : 0.0;
        gain *= 1.0 + (to - sigma) * sigma / (0.25 + sigma * sigma);
    }
    cr_expect_float_eq(gain_of(d, o) / gain, 1.0, 1e-12);
    o.end_at_first = true; /* then 0.002 in place of 0 */
    gain *= (1.0 + (0.002 - 8.6) * 8.6 / (0.25 + 8.6 * 8.6)) /
            (1.0 + (0.0 - 8.6) * 8.6 / (0.25 + 8.6 * 8.6));
    cr_expect_float_eq(gain_of(d, o) / gain, 1.0, 1e-12);
    ito_diffusion_free(d);
}

Test(sampler_continuous, there_are_fifty_times_by_default)
{
    double times[50];
    for (int f = 0; f < COUNT(families); f++) {
        ito_diffusion *d = diffusion_of(&families[f]);
        notes s = noted(d, ITO_OPTIONS(ito_sample_options));
        cr_assert_eq(ito_timesteps(d->process, ito_sampler_spacing(&ito_sampler_ddpm, d->process),
                                   50, times),
                     ITO_OK);
        visits(&s, 50, times);
        ito_diffusion_free(d);
    }
}

/* 5 steps down to t_min, where it is not evaluated. */
Test(sampler_continuous, a_run_that_ends_at_t_min_takes_as_many_steps)
{
    static const ito_spacing *const spacings[] = {&ito_spacing_linspace, &ito_spacing_karras,
                                                  &ito_spacing_trailing};
    ito_diffusion *d = diffusion_of(&families[2]);
    for (int k = 0; k < COUNT(spacings); k++) {
        bool trailing = spacings[k] == &ito_spacing_trailing; /* it does not reach t_min itself */
        double times[6];
        notes s = noted(d, ITO_OPTIONS(ito_sample_options, .steps = 5, .spacing = spacings[k],
                                       .end_at_first = true));
        cr_assert_eq(ito_timesteps(d->process, spacings[k], trailing ? 5 : 6, times), ITO_OK);
        visits(&s, 5, times);
    }
    ito_diffusion_free(d);
}

/* ---- what the network is given ---- */

/* t by each time input, and c_in x_t with edm: sigma is the time, and the data of the first step
 * are 1. */
Test(sampler_continuous, the_network_sees_what_the_parameterisation_says)
{
    static const double times[] = {20.0};
    const struct {
        const ito_time_input *input;
        double t;
    } cases[] = {{&ito_time_input_timestep, 250.0}, /* of 80 */
                 {&ito_time_input_t, 20.0},
                 {&ito_time_input_log_snr, -2.0 * log(20.0)},
                 {&ito_time_input_c_noise, 0.25 * log(20.0)}};
    for (int k = 0; k < COUNT(cases); k++) {
        ito_diffusion *d =
            ito_diffusion_create(.schedule = &ito_schedule_edm, .prediction = &ito_prediction_edm,
                                 .time_input = cases[k].input);
        notes s = noted(d, ITO_OPTIONS(ito_sample_options, .steps = 1, .times = times));
        cr_assert_eq(s.n, 1);
        cr_expect_eq(s.time[0], 20.0);
        cr_expect_eq(s.x_t[0], 1.0);
        cr_expect_float_eq(s.x[0], 1.0 / sqrt(20.0 * 20.0 + 0.5 * 0.5), 1e-15);
        cr_expect_float_eq(s.t[0], cases[k].t, 1e-13, "%s: %g", cases[k].input->name, s.t[0]);
        ito_diffusion_free(d);
    }
}

/* ---- moments, batches ---- */

/* n values of a normal distribution have a variance within 5 sqrt(2 / n) of the true one but for
 * one case in a million. 250 steps leave less than 4 % of it with an order of 1 (1.8 % of the
 * deviation with flow, above), or 9 % where they add noise of beta~. */
static void ends_with_moments(const ito_diffusion *d, const ito_sampler *sampler)
{
    gaussian_network g = gaussian_make(d, 0.0);
    ito_scope_begin();
    ito_tensor *x = ito_diffusion_sample(d, &g.base, ITO_SHAPE(3, 6400), .sampler = sampler,
                                         .steps = 250, .spacing = &ito_spacing_karras,
                                         .no_clip = true, .seed = 8, .dtype = ITO_F64);
    cr_assert_not_null(x, "%s: %s", sampler->name, ito_error());
    double n = (double)ito_numel(x), variance = ito_item(ito_mean(ito_square(x)));
    double bias = sampler == &ito_sampler_euler_a ? 0.09 : 0.04;
    cr_expect(fabs(variance / 0.25 - 1.0) < 5.0 * sqrt(2.0 / n) + bias, "%s %s: %g",
              d->process->family->name, sampler->name, variance);
    cr_expect(fabs(ito_item(ito_mean(x))) < 5.0 * sqrt(0.25 / n), "%s", sampler->name);
    ito_scope_end();
}

Test(sampler_continuous, all_samplers_end_with_the_moments_of_the_data)
{
    int64_t samplers;
    const ito_choice *const *list = ito_choices("sampler", &samplers);
    cr_assert_gt(samplers, 0);
    for (int f = 0; f < COUNT(families); f++) {
        ito_diffusion *d = diffusion_of(&families[f]);
        for (int64_t k = 0; k < samplers; k++)
            ends_with_moments(d, ito_sampler_find(list[k]->name));
        ito_diffusion_free(d);
    }
}

/* The points of a batch, alone. */
static void alone_as_in_a_batch(const ito_diffusion *d, const ito_sampler *sampler)
{
    gaussian_network g = gaussian_make(d, 0.0);
    double batch[3][4], alone[4];
    ito_scope_begin();
    ito_tensor *x = ito_diffusion_sample(d, &g.base, ITO_SHAPE(3, 4), .sampler = sampler,
                                         .steps = 6, .seed = 4, .dtype = ITO_F64);
    cr_assert_eq(ito_to_data(x, batch, ITO_F64), ITO_OK, "%s", ito_error());
    for (int64_t i = 0; i < 3; i++) {
        x = ito_diffusion_sample(d, &g.base, ITO_SHAPE(1, 4), .sampler = sampler, .steps = 6,
                                 .seed = 4, .first_image = i, .dtype = ITO_F64);
        cr_assert_eq(ito_to_data(x, alone, ITO_F64), ITO_OK);
        cr_assert_eq(memcmp(alone, batch[i], sizeof alone), 0, "%s, %d", sampler->name, (int)i);
    }
    cr_assert_neq(memcmp(batch[0], batch[1], sizeof alone), 0);
    ito_scope_end();
}

Test(sampler_continuous, a_point_alone_is_that_point_in_a_batch)
{
    int64_t samplers;
    const ito_choice *const *list = ito_choices("sampler", &samplers);
    for (int f = 0; f < COUNT(families); f++) {
        ito_diffusion *d = diffusion_of(&families[f]);
        for (int64_t k = 0; k < samplers; k++)
            alone_as_in_a_batch(d, ito_sampler_find(list[k]->name));
        ito_diffusion_free(d);
    }
}

/* Flow in 1000 steps is flow at 1000 times of the continuous process: t there is (t + 1) / 1000. */
Test(sampler_continuous, flow_in_steps_is_flow_at_these_times)
{
    static const double steps[] = {999, 640, 333, 10};
    double times[4], first[12], second[12];
    ito_diffusion *in_steps = ito_diffusion_create(.schedule = &ito_schedule_flow, .steps = 1000,
                                                   .prediction = &ito_prediction_flow);
    ito_diffusion *continuous = diffusion_of(&families[0]);
    for (int i = 0; i < 4; i++)
        times[i] = (steps[i] + 1.0) / 1000.0;
    for (int k = 0; k < 2; k++) {
        const ito_diffusion *d = k == 0 ? in_steps : continuous;
        gaussian_network g = gaussian_make(d, 0.0);
        ito_tensor *x = ito_diffusion_sample(d, &g.base, ITO_SHAPE(3, 4), .steps = 4,
                                             .sampler = &ito_sampler_unipc,
                                             .times = k == 0 ? steps : times, .dtype = ITO_F64);
        cr_assert_eq(ito_to_data(x, k == 0 ? first : second, ITO_F64), ITO_OK, "%s", ito_error());
    }
    for (int i = 0; i < 12; i++)
        cr_assert_float_eq(first[i], second[i], 1e-12);
    ito_diffusion_free(in_steps);
    ito_diffusion_free(continuous);
}
