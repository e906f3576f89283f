/* What a network is told of the time: formulas, and what of it reaches the network. */
#include "models/ddpm/diffusion_internal.h"

#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>

/* ---- formulas ---- */

static double told(const ito_time_input *input, const ito_process *p, double t)
{
    ito_step step = ito_step_between(p, t, p->t_clean);
    return input->value(&step);
}

Test(time_input, timestep_is_the_step_or_a_share_of_1000)
{
    ito_process *steps = ito_process_create(&ito_schedule_linear);
    ito_process *flow = ito_process_create(&ito_schedule_flow);
    ito_process *edm = ito_process_create(&ito_schedule_edm, .sigma_max = 16.0);
    for (int t = 0; t < 1000; t += 37)
        cr_assert_eq(told(&ito_time_input_timestep, steps, t), t);
    cr_assert_eq(told(&ito_time_input_timestep, flow, 0.25), 250.0);
    cr_assert_eq(told(&ito_time_input_timestep, edm, 4.0), 250.0);
    ito_process_free(steps);
    ito_process_free(flow);
    ito_process_free(edm);
}

Test(time_input, share_is_of_1000_for_any_number_of_steps)
{
    ito_process *steps = ito_process_create(&ito_schedule_cosine, .steps = 4000);
    ito_process *flow = ito_process_create(&ito_schedule_flow);
    cr_assert_eq(told(&ito_time_input_share, steps, 3000), 750.0);
    cr_assert_eq(told(&ito_time_input_share, flow, 0.25), 250.0);
    ito_process_free(steps);
    ito_process_free(flow);
}

Test(time_input, t_is_the_time_itself)
{
    ito_process *steps = ito_process_create(&ito_schedule_linear);
    ito_process *edm = ito_process_create(&ito_schedule_edm);
    cr_assert_eq(told(&ito_time_input_t, steps, 321), 321.0);
    cr_assert_eq(told(&ito_time_input_t, edm, 3.75), 3.75);
    ito_process_free(steps);
    ito_process_free(edm);
}

Test(time_input, noise_is_the_time_of_flow_after_its_shift)
{
    ito_process *flow = ito_process_create(&ito_schedule_flow);
    ito_process *shifted = ito_process_create(&ito_schedule_flow, .shift = 3);
    cr_assert_eq(told(&ito_time_input_noise, flow, 0.25), 250.0);
    cr_assert_eq(told(&ito_time_input_noise, shifted, 0.25), 500.0);
    ito_process_free(flow);
    ito_process_free(shifted);
}

Test(time_input, log_snr_is_the_logarithm_of_alpha_bar_over_its_rest)
{
    ito_process *steps = ito_process_create(&ito_schedule_linear);
    ito_process *edm = ito_process_create(&ito_schedule_edm);
    for (int t = 0; t < 1000; t += 37) {
        double ab = steps->alpha_bar[t];
        cr_assert_float_eq(told(&ito_time_input_log_snr, steps, t), log(ab / (1.0 - ab)), 1e-11);
    }
    cr_assert_float_eq(told(&ito_time_input_log_snr, edm, 3.0), -2.0 * log(3.0), 1e-14);
    ito_process_free(steps);
    ito_process_free(edm);
}

Test(time_input, c_noise_is_a_quarter_of_log_sigma)
{
    ito_process *edm = ito_process_create(&ito_schedule_edm);
    ito_process *flow = ito_process_create(&ito_schedule_flow);
    cr_assert_float_eq(told(&ito_time_input_c_noise, edm, 0.002), 0.25 * log(0.002), 1e-15);
    cr_assert_float_eq(told(&ito_time_input_c_noise, edm, 80.0), 0.25 * log(80.0), 1e-15);
    cr_assert_float_eq(told(&ito_time_input_c_noise, flow, 0.75), 0.25 * log(3.0), 1e-15);
    ito_process_free(edm);
    ito_process_free(flow);
}

Test(time_input, logarithms_are_bounded_where_no_signal_is_left)
{
    ito_process *flow = ito_process_create(&ito_schedule_flow);
    cr_assert_eq(told(&ito_time_input_log_snr, flow, 1.0), -40.0);
    cr_assert_eq(told(&ito_time_input_c_noise, flow, 1.0), 5.0);
    ito_process_free(flow);
}

Test(time_input, an_unknown_name_is_refused_with_those_there_are)
{
    assert_refused(ito_time_input_find("sigma"), ITO_ERR_ARGUMENT,
                   no_such_choice("time_input", "time input", "sigma"));
}

/* ---- what reaches the network ---- */

/* The input that a network was last given, in f64. */
typedef struct seen {
    double x[6], t[3], x_t[6], time[3];
    ito_dtype dtype_of_t, dtype_of_time;
    bool labels, x_0;
} seen;

static ito_tensor *look(ito_network *self, const ito_network_input *in)
{
    seen *s = self->context;
    cr_assert(ito_to_data(in->x, s->x, ITO_F64) == ITO_OK &&
              ito_to_data(in->t, s->t, ITO_F64) == ITO_OK &&
              ito_to_data(in->x_t, s->x_t, ITO_F64) == ITO_OK &&
              ito_to_data(in->time, s->time, ITO_F64) == ITO_OK);
    cr_assert(ito_ndim(in->t) == 1 && ito_ndim(in->time) == 1);
    s->dtype_of_t = ito_dtype_of(in->t);
    s->dtype_of_time = ito_dtype_of(in->time);
    s->labels = in->labels != NULL;
    s->x_0 = in->x_0 != NULL;
    return ito_zeros_like(in->x);
}

/* Of EDM: c_in x_t, log(sigma) / 4, x_t and sigma, each example at a time of its own. */
Test(time_input, a_loss_tells_each_example_its_time)
{
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_edm, .prediction = &ito_prediction_edm,
                             .time_input = &ito_time_input_c_noise);
    const double sigma[] = {0.25, 1.0, 16.0};
    for (ito_dtype dtype = ITO_F32; dtype <= ITO_F64; dtype++) {
        double tolerance = dtype == ITO_F32 ? 1e-6 : 1e-15;
        seen s;
        ito_network network = network_of(look, &s);
        ito_tensor *x_0 = ito_full(ITO_SHAPE(3, 2), 0.5, dtype);
        ito_tensor *eps = ito_full(ITO_SHAPE(3, 2), -1.0, dtype);
        ito_tensor *t = ito_from_data(sigma, ITO_SHAPE(3), ITO_F64);
        cr_assert_not_null(ito_diffusion_loss(d, &network, x_0, t, eps), "%s", ito_error());
        cr_assert(s.dtype_of_t == dtype && s.dtype_of_time == ITO_F64 && !s.labels && !s.x_0);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(s.time[i], sigma[i]);
            cr_assert_float_eq(s.t[i], 0.25 * log(sigma[i]), tolerance);
        }
        for (int i = 0; i < 6; i++) {
            double x_t = 0.5 - sigma[i / 2], c_in = 1.0 / sqrt(sigma[i / 2] * sigma[i / 2] + 0.25);
            cr_assert_float_eq(s.x_t[i], x_t, 16.0 * tolerance);
            cr_assert_float_eq(s.x[i], c_in * x_t, tolerance);
        }
    }
    ito_diffusion_free(d);
}

/* In a step of a sampler all are at one time; the same numbers as in a loss. */
Test(time_input, a_step_tells_all_examples_one_time)
{
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_edm, .prediction = &ito_prediction_edm,
                             .time_input = &ito_time_input_c_noise);
    seen s;
    ito_network network = network_of(look, &s);
    ito_tensor *x = ito_full(ITO_SHAPE(3, 2), -3.5, ITO_F64);
    ito_step step = ito_step_between(d->process, 4.0, 2.0);
    network_heads heads;
    cr_assert(evaluate_at("test", d, &network, x, &step, &heads));
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(s.time[i], 4.0);
        cr_assert_float_eq(s.t[i], 0.25 * log(4.0), 1e-15);
    }
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(s.x_t[i], -3.5);
        cr_assert_float_eq(s.x[i], -3.5 / sqrt(16.25), 1e-15);
    }
    ito_diffusion_free(d);
}

/* By default a process in steps tells the step, whatever the dtype of the data. */
Test(time_input, by_default_a_network_is_told_the_step)
{
    ito_diffusion *d = ito_diffusion_create();
    seen s;
    ito_network network = network_of(look, &s);
    ito_tensor *x = ito_zeros(ITO_SHAPE(3, 2), ITO_F32);
    const int64_t t[] = {0, 500, 999};
    cr_assert_not_null(
        ito_diffusion_loss(d, &network, x, ito_from_data(t, ITO_SHAPE(3), ITO_I64), x));
    for (int i = 0; i < 3; i++)
        cr_assert(s.t[i] == (double)t[i] && s.time[i] == (double)t[i]);
    ito_diffusion_free(d);
}

static double tenth(const ito_step *step)
{
    return 0.1 * step->at.noise;
}

Test(time_input, one_of_ones_own_is_what_the_network_is_told)
{
    static const ito_time_input own = {.name = "tenth", .value = tenth};
    ito_diffusion *d = ito_diffusion_create(.schedule = &ito_schedule_flow, .time_input = &own);
    seen s;
    ito_network network = network_of(look, &s);
    ito_tensor *x = ito_zeros(ITO_SHAPE(3, 2), ITO_F64);
    cr_assert_not_null(ito_diffusion_loss(d, &network, x, ito_full(ITO_SHAPE(3), 0.5, ITO_F64), x));
    cr_assert_float_eq(s.t[2], 0.05, 1e-16);
    ito_diffusion_free(d);
}
