/* Times in training: frequencies, weights, laws, what is remembered, and what is refused. */
#include "models/ddpm/process/timestep_sampler.h"

#include "autograd/ops.h"
#include "tensor/runtime.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>

static ito_process *schedule(int64_t T)
{
    return ito_process_create(&ito_schedule_cosine, .steps = T);
}

/* How often each of 20 steps comes in 40 batches of 100, against 4000 p[t]: within 5 standard
 * deviations. Weighted, every step counts the same: sum of weights 4000 / 20, within 5 too. */
static void frequencies(ito_timestep_sampler *steps, const double *p, bool stratified)
{
    double counts[20] = {0.0}, weighted[20] = {0.0};
    ito_generator g = ito_generator_make(1, 2);
    for (int k = 0; k < 40; k++) {
        ito_scope_begin();
        ito_tensor *t, *weights;
        cr_assert_eq(ito_timestep_sampler_draw(steps, &g, 100, &t, &weights), ITO_OK);
        for (int i = 0; i < 100; i++) {
            int64_t step = ((const int64_t *)ito_data(t))[i];
            counts[step] += 1.0;
            weighted[step] += (double)((const float *)ito_data(weights))[i];
        }
        ito_scope_end();
    }
    for (int t = 0; t < 20; t++) {
        double deviation = sqrt(4000.0 * p[t] * (1.0 - p[t]));
        cr_assert(fabs(counts[t] - 4000.0 * p[t]) <= (stratified ? 40.0 : 5.0 * deviation),
                  "%d: %g", t, counts[t]);
        cr_assert_float_eq(weighted[t], counts[t] / (20.0 * p[t]), 1e-3 * counts[t] + 1e-9);
    }
}

Test(timesteps, uniform_and_stratified_draw_each_step_alike)
{
    ito_process *s = schedule(20);
    double p[20];
    for (int t = 0; t < 20; t++)
        p[t] = 0.05;
    ito_timestep_sampler *uniform = ito_timestep_sampler_create(s, NULL);
    ito_timestep_sampler *stratified = ito_timestep_sampler_create(s, &ito_timestep_law_stratified);
    frequencies(uniform, p, false);
    frequencies(stratified, p, true);
    /* Each batch of 20 has each of 20 steps once, and those of 3 images reach them all alike. */
    ito_generator g = ito_generator_make(3, 0);
    ito_tensor *t, *weights;
    double counts[20] = {0.0};
    for (int k = 0; k < 3000; k++) {
        ito_scope_begin();
        cr_assert_eq(ito_timestep_sampler_draw(stratified, &g, 3, &t, &weights), ITO_OK);
        for (int i = 0; i < 3; i++)
            counts[((const int64_t *)ito_data(t))[i]] += 1.0;
        ito_scope_end();
    }
    for (int i = 0; i < 20; i++)
        cr_assert_float_eq(counts[i], 450.0, 5.0 * sqrt(9000.0 * 0.05 * 0.95));
    cr_assert_eq(ito_timestep_sampler_draw(stratified, &g, 20, &t, &weights), ITO_OK);
    int64_t seen = 0;
    for (int i = 0; i < 20; i++)
        seen |= (int64_t)1 << ((const int64_t *)ito_data(t))[i];
    cr_assert_eq(seen, (1 << 20) - 1);
    ito_timestep_sampler_free(uniform);
    ito_timestep_sampler_free(stratified);
    ito_process_free(s);
}

/* Losses of step t: t + 1 ten times, after older ones that must be forgotten. */
Test(timesteps, second_moment_follows_the_last_ten_losses)
{
    ito_process *s = schedule(20);
    ito_timestep_sampler *steps = ito_timestep_sampler_create(s, &ito_timestep_law_second_moment);
    double p[20], sum = 0.0;
    ito_tensor *t = ito_arange(0, 20, 1, ITO_I64), *high = ito_full(ITO_SHAPE(20), 1e6, ITO_F32);
    ito_tensor *losses = ito_arange(1, 21, 1, ITO_F32);
    for (int k = 0; k < 3; k++)
        cr_assert_eq(ito_timestep_sampler_update(steps, t, high), ITO_OK);
    for (int k = 0; k < 20; k++)
        p[k] = 0.05;
    frequencies(steps, p, false); /* not all known yet: uniform */
    for (int k = 0; k < 10; k++)
        cr_assert_eq(ito_timestep_sampler_update(steps, t, losses), ITO_OK);
    for (int k = 0; k < 20; k++)
        sum += k + 1;
    for (int k = 0; k < 20; k++)
        p[k] = 0.999 * (k + 1) / sum + 0.001 / 20.0;
    frequencies(steps, p, false);
    /* A loss that is not finite is no loss. */
    cr_assert_eq(
        ito_timestep_sampler_update(steps, t, ito_full(ITO_SHAPE(20), (double)INFINITY, ITO_F32)),
        ITO_OK);
    frequencies(steps, p, false);
    ito_timestep_sampler_free(steps);
    ito_process_free(s);
}

/* The two tensors are all the state. */
Test(timesteps, a_copied_state_draws_the_same)
{
    ito_process *s = schedule(7);
    ito_timestep_sampler *a = ito_timestep_sampler_create(s, &ito_timestep_law_second_moment);
    ito_timestep_sampler *b = ito_timestep_sampler_create(s, &ito_timestep_law_second_moment);
    ito_generator g = ito_generator_make(9, 9), h = g;
    ito_tensor *t = ito_arange(0, 7, 1, ITO_I64), *u, *v, *w;
    for (int k = 0; k < 12; k++)
        ito_timestep_sampler_update(a, t, ito_rand(&g, ITO_SHAPE(7), ITO_F64));
    ito_copy_(b->history, a->history);
    ito_copy_(b->counts, a->counts);
    h = g;
    cr_assert_eq(ito_timestep_sampler_draw(a, &g, 50, &u, &w), ITO_OK);
    cr_assert_eq(ito_timestep_sampler_draw(b, &h, 50, &v, &w), ITO_OK);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(((const int64_t *)ito_data(u))[i], ((const int64_t *)ito_data(v))[i]);
    ito_timestep_sampler_free(a);
    ito_timestep_sampler_free(b);
    ito_process_free(s);
}

static void late(const ito_timestep_sampler *steps, double *p)
{
    for (int64_t t = 0; t < steps->process->steps; t++)
        p[t] = (double)(t * t);
}

Test(timesteps, a_law_of_ones_own)
{
    static const ito_timestep_law law = {.name = "late", .probabilities = late};
    static const ito_timestep_law plain = {
        .name = "late", .probabilities = late, .unweighted = true};
    ito_process *s = schedule(20);
    double p[20], sum = 0.0;
    for (int t = 0; t < 20; t++)
        sum += t * t;
    for (int t = 0; t < 20; t++)
        p[t] = t * t / sum;
    p[0] = 1e-300; /* never drawn; no division by 0 in the test */
    ito_timestep_sampler *steps = ito_timestep_sampler_create(s, &law);
    frequencies(steps, p, false);
    ito_generator g = ito_generator_make(0, 0);
    ito_tensor *t, *weights;
    steps->law = &plain;
    cr_assert_eq(ito_timestep_sampler_draw(steps, &g, 3, &t, &weights), ITO_OK);
    cr_assert_eq(ito_item(ito_max(weights)), 1.0);
    ito_timestep_sampler_free(steps);
    ito_process_free(s);
}

static void wrong(const ito_timestep_sampler *steps, double *p)
{
    (void)steps;
    p[2] = -1.0;
}

static void none(const ito_timestep_sampler *steps, double *p)
{
    for (int64_t t = 0; t < steps->process->steps; t++)
        p[t] = 0.0;
}

/* What a draw of three times by this law says. */
static void assert_law_refused(ito_process *s, const ito_timestep_law *law, const char *message)
{
    ito_timestep_sampler *steps = ito_timestep_sampler_create(s, law);
    ito_generator g = ito_generator_make(0, 0);
    ito_tensor *t, *weights;
    assert_refused_status(ito_timestep_sampler_draw(steps, &g, 3, &t, &weights), ITO_ERR_NUMERIC,
                          message);
    ito_timestep_sampler_free(steps);
}

Test(timesteps, probabilities_that_are_negative_or_all_0_are_refused)
{
    static const ito_timestep_law bad = {.name = "wrong", .probabilities = wrong};
    static const ito_timestep_law empty = {.name = "none", .probabilities = none};
    ito_process *s = schedule(20);
    assert_law_refused(s, &bad, "timesteps: wrong gives step 2 a probability of -1");
    assert_law_refused(s, &empty, "timesteps: the probabilities of none add up to 0");
    ito_process_free(s);
}

Test(timesteps, what_is_refused_is_not_remembered_in_part)
{
    ito_process *s = schedule(5);
    ito_timestep_sampler *steps = ito_timestep_sampler_create(s, NULL);
    ito_tensor *t = ito_from_data((int64_t[]){3, 5000}, ITO_SHAPE(2), ITO_I64);
    ito_tensor *losses = ito_ones(ITO_SHAPE(2), ITO_F32);
    assert_refused_status(ito_timestep_sampler_update(steps, t, losses), ITO_ERR_RANGE,
                          "timesteps: t of example 1 is 5000; there are steps 0 to 4");
    cr_assert_eq(ito_item(ito_sum(ito_cast(steps->counts, ITO_F64))), 0.0);
    ito_timestep_sampler_free(steps);
    ito_process_free(s);
}

Test(timesteps, times_and_losses_that_are_missing_are_refused)
{
    ito_process *s = schedule(5);
    ito_timestep_sampler *steps = ito_timestep_sampler_create(s, NULL);
    ito_tensor *t = ito_zeros(ITO_SHAPE(2), ITO_I64), *losses = ito_ones(ITO_SHAPE(2), ITO_F32);
    assert_refused_status(ito_timestep_sampler_update(steps, NULL, losses), ITO_ERR_ARGUMENT,
                          "timesteps: t is NULL");
    assert_refused_status(ito_timestep_sampler_update(steps, t, NULL), ITO_ERR_ARGUMENT,
                          "timesteps: losses is NULL");
    ito_timestep_sampler_free(steps);
    ito_process_free(s);
}

Test(timesteps, times_and_losses_that_do_not_fit_are_refused)
{
    ito_process *s = schedule(5);
    ito_timestep_sampler *steps = ito_timestep_sampler_create(s, NULL);
    ito_tensor *t = ito_full(ITO_SHAPE(2), 5.0, ITO_I64);
    assert_refused_status(ito_timestep_sampler_update(steps, t, ito_ones(ITO_SHAPE(2), ITO_F32)),
                          ITO_ERR_RANGE, "timesteps: t of example 0 is 5; there are steps 0 to 4");
    assert_refused_status(ito_timestep_sampler_update(steps, t, ito_ones(ITO_SHAPE(3), ITO_F32)),
                          ITO_ERR_SHAPE, "timesteps: t is [2]; 3 examples need one time each");
    assert_refused_status(ito_timestep_sampler_update(steps, t, ito_ones(ITO_SHAPE(2), ITO_I64)),
                          ITO_ERR_SHAPE,
                          "timesteps: the losses are [2] of i64; they must be [n] of f32 or f64");
    assert_refused_status(ito_timestep_sampler_update(steps, ito_zeros(ITO_SHAPE(2), ITO_BOOL),
                                                      ito_ones(ITO_SHAPE(2), ITO_F32)),
                          ITO_ERR_DTYPE, "timesteps: t is bool; times are i64, f32 or f64");
    assert_refused_status(ito_timestep_sampler_update(steps, ito_full(ITO_SHAPE(2), 1.5, ITO_F64),
                                                      ito_ones(ITO_SHAPE(2), ITO_F32)),
                          ITO_ERR_RANGE,
                          "timesteps: t of example 0 is 1.5; there are steps 0 to 4");
    ito_timestep_sampler_free(steps);
    ito_process_free(s);
}

Test(timesteps, losses_are_read_whatever_their_layout)
{
    ito_process *s = schedule(5);
    ito_timestep_sampler *steps = ito_timestep_sampler_create(s, NULL);
    ito_tensor *both = ito_from_data((double[]){1, 7, 2, 8}, ITO_SHAPE(2, 2), ITO_F64);
    ito_tensor *t = ito_from_data((int64_t[]){4, 1, 2, 1}, ITO_SHAPE(2, 2), ITO_I64);
    for (int k = 0; k < 2; k++) {
        ito_tensor *losses = ito_select(ito_cast(both, k == 0 ? ITO_F64 : ITO_F32), 1, 1);
        cr_assert_eq(ito_timestep_sampler_update(steps, ito_select(t, 1, 0), losses), ITO_OK);
    }
    const double *history = ito_const_data(steps->history);
    for (int k = 0; k < 2; k++) {
        cr_assert_eq(history[4 * ITO_TIMESTEP_HISTORY + k], 7.0);
        cr_assert_eq(history[2 * ITO_TIMESTEP_HISTORY + k], 8.0);
    }
    ito_timestep_sampler_free(steps);
    ito_process_free(s);
}

Test(timesteps, a_negative_number_of_examples_is_refused)
{
    ito_process *s = schedule(5);
    ito_timestep_sampler *steps = ito_timestep_sampler_create(s, NULL);
    ito_generator g = ito_generator_make(0, 0);
    ito_tensor *a, *b;
    assert_refused_status(ito_timestep_sampler_draw(steps, &g, -1, &a, &b), ITO_ERR_RANGE,
                          "timesteps: -1 examples");
    ito_timestep_sampler_free(steps);
    ito_process_free(s);
}

Test(timesteps, failed_allocations_are_errors_and_leak_nothing)
{
    ito_process *s = schedule(5);
    int64_t blocks = ito_memory_blocks(), n = 0;
    ito_timestep_sampler *steps = NULL;
    for (n = 1; steps == NULL; n++) {
        ito_scope_begin();
        ito_memory_fail_nth(n);
        steps = ito_timestep_sampler_create(s, NULL);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), steps == NULL ? ITO_ERR_MEMORY : ITO_OK);
        ito_error_clear();
        ito_scope_end();
        if (steps == NULL)
            cr_assert_eq(ito_memory_blocks(), blocks);
    }
    cr_assert(n > 4, "the struct, its room and two tensors");
    ito_timestep_sampler_free(steps);
    ito_timestep_sampler_free(NULL);
    cr_assert_eq(ito_memory_blocks(), blocks);
    ito_process_free(s);
}

/* ---- continuous time ---- */

static double middle(const ito_timestep_law *self, const ito_process *p, double u)
{
    (void)p, (void)u;
    return self->mean;
}

Test(timesteps, times_that_are_none_of_the_process_are_refused)
{
    ito_timestep_law law = {.name = "middle", .quantile = middle, .mean = 2.5};
    ito_process *steps = schedule(5), *flow = ito_process_create(&ito_schedule_flow);
    assert_law_refused(steps, &law,
                       "timesteps: middle gives the time 2.5; times are whole numbers from 0 to 4");
    assert_law_refused(flow, &law,
                       "timesteps: middle gives the time 2.5; times are numbers from 0.001 to 1");
    law.mean = (double)NAN;
    assert_law_refused(flow, &law,
                       "timesteps: middle gives the time nan; times are numbers from 0.001 to 1");
    ito_process_free(steps);
    ito_process_free(flow);
}

Test(timesteps, a_law_in_steps_is_refused_in_continuous_time)
{
    static const ito_timestep_law own = {.name = "late", .probabilities = late};
    ito_process *flow = ito_process_create(&ito_schedule_flow);
    assert_refused(ito_timestep_sampler_create(flow, &ito_timestep_law_second_moment),
                   ITO_ERR_ARGUMENT,
                   "timesteps: the law second-moment is for a process in steps, and this one is "
                   "in continuous time");
    assert_refused(ito_timestep_sampler_create(flow, &own), ITO_ERR_ARGUMENT,
                   "timesteps: the law late is for a process in steps, and this one is in "
                   "continuous time");
    ito_process_free(flow);
}

Test(timesteps, in_continuous_time_nothing_is_remembered)
{
    ito_process *flow = ito_process_create(&ito_schedule_flow);
    ito_timestep_sampler *s = ito_timestep_sampler_create(flow, NULL);
    ito_tensor *t = ito_full(ITO_SHAPE(2), 0.5, ITO_F64), *losses = ito_ones(ITO_SHAPE(2), ITO_F32);
    cr_assert_eq(ito_timestep_sampler_update(s, t, losses), ITO_OK);
    cr_assert(ito_numel(s->history) == 0 && ito_numel(s->counts) == 0);
    assert_refused_status(ito_timestep_sampler_update(s, ito_zeros(ITO_SHAPE(2), ITO_F64), losses),
                          ITO_ERR_RANGE,
                          "timesteps: t of example 0 is 0; there are times 0.001 to 1");
    ito_timestep_sampler_free(s);
    ito_process_free(flow);
}
