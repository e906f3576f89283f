/* Step sampling: frequencies, weights, what is remembered, and what is refused. */
#include "models/ddpm/process/timestep_sampler.h"

#include "autograd/ops.h"
#include "tensor/runtime.h"

#include <criterion/criterion.h>
#include <math.h>

static ito_process *schedule(int64_t T)
{
    return ito_process_create(&ito_schedule_cosine, T);
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

Test(steps, uniform_and_stratified_draw_each_step_alike)
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
Test(steps, second_moment_follows_the_last_ten_losses)
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
Test(steps, a_copied_state_draws_the_same)
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
    for (int64_t t = 0; t < steps->schedule->steps; t++)
        p[t] = (double)(t * t);
}

static void wrong(const ito_timestep_sampler *steps, double *p)
{
    (void)steps;
    p[2] = -1.0;
}

static void none(const ito_timestep_sampler *steps, double *p)
{
    for (int64_t t = 0; t < steps->schedule->steps; t++)
        p[t] = 0.0;
}

Test(steps, a_law_of_ones_own)
{
    static const ito_timestep_law law = {.name = "late", .probabilities = late};
    static const ito_timestep_law plain = {
        .name = "late", .probabilities = late, .unweighted = true};
    static const ito_timestep_law bad = {.name = "wrong", .probabilities = wrong};
    static const ito_timestep_law empty = {.name = "none", .probabilities = none};
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
    steps->law = &bad;
    cr_assert_eq(ito_timestep_sampler_draw(steps, &g, 3, &t, &weights), ITO_ERR_NUMERIC);
    cr_assert_str_eq(ito_error_message(), "steps: wrong gives step 2 a probability of -1");
    ito_error_clear();
    steps->law = &empty;
    cr_assert_eq(ito_timestep_sampler_draw(steps, &g, 3, &t, &weights), ITO_ERR_NUMERIC);
    cr_assert_str_eq(ito_error_message(), "steps: the probabilities of none add up to 0");
    ito_timestep_sampler_free(steps);
    ito_process_free(s);
}

Test(steps, what_is_refused_is_not_remembered_in_part)
{
    ito_process *s = schedule(5);
    ito_timestep_sampler *steps = ito_timestep_sampler_create(s, NULL);
    ito_tensor *t = ito_from_data((int64_t[]){3, 5000}, ITO_SHAPE(2), ITO_I64);
    cr_assert_eq(ito_timestep_sampler_update(steps, t, ito_ones(ITO_SHAPE(2), ITO_F32)), ITO_ERR_RANGE);
    cr_assert_str_eq(ito_error_message(), "steps: t of image 1 is 5000; there are steps 0 to 4");
    ito_error_clear();
    cr_assert_eq(ito_item(ito_sum(ito_cast(steps->counts, ITO_F64))), 0.0);
    cr_assert_eq(ito_timestep_sampler_update(steps, NULL, ito_ones(ITO_SHAPE(2), ITO_F32)),
                 ITO_ERR_ARGUMENT);
    cr_assert_str_eq(ito_error_message(), "steps: t is NULL");
    ito_error_clear();
    cr_assert_eq(ito_timestep_sampler_update(steps, t, NULL), ITO_ERR_ARGUMENT);
    cr_assert_str_eq(ito_error_message(), "steps: losses is NULL");
    ito_error_clear();
    cr_assert_eq(ito_timestep_sampler_update(steps, t, ito_ones(ITO_SHAPE(2), ITO_I64)), ITO_ERR_SHAPE);
    ito_error_clear();
    ito_timestep_sampler_free(steps);
    ito_process_free(s);
}

Test(steps, losses_are_read_whatever_their_layout)
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

Test(steps, refuses_what_does_not_fit)
{
    ito_process *s = schedule(5);
    ito_timestep_sampler *steps = ito_timestep_sampler_create(s, NULL);
    ito_tensor *t = ito_full(ITO_SHAPE(2), 5.0, ITO_I64), *loss = ito_ones(ITO_SHAPE(2), ITO_F32);
    cr_assert_eq(ito_timestep_sampler_update(steps, t, loss), ITO_ERR_RANGE);
    cr_assert_str_eq(ito_error_message(), "steps: t of image 0 is 5; there are steps 0 to 4");
    ito_error_clear();
    cr_assert_eq(ito_timestep_sampler_update(steps, t, ito_ones(ITO_SHAPE(3), ITO_F32)), ITO_ERR_SHAPE);
    cr_assert_str_eq(
        ito_error_message(),
        "steps: t is [2] of i64 and the losses are [3] of f32; they must be [n] of i64 "
        "and [n] of f32 or f64");
    ito_error_clear();
    ito_generator g = ito_generator_make(0, 0);
    ito_tensor *a, *b;
    cr_assert_eq(ito_timestep_sampler_draw(steps, &g, -1, &a, &b), ITO_ERR_RANGE);
    cr_assert_str_eq(ito_error_message(), "steps: -1 images");
    ito_error_clear();
    cr_assert_eq(ito_timestep_law_find("second-moment"), &ito_timestep_law_second_moment);
    cr_assert_null(ito_timestep_law_find("third"));
    cr_assert_str_eq(
        ito_error_message(),
        "step sampling: there is no \"third\"; there are uniform, stratified and second-moment");
    ito_error_clear();
    ito_timestep_sampler_free(steps);
    ito_timestep_sampler_free(NULL);
    int64_t blocks = ito_memory_blocks();
    for (int n = 1; n <= 3; n++) {
        ito_scope_begin();
        ito_memory_fail_nth(n);
        cr_assert_null(ito_timestep_sampler_create(s, NULL));
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks);
    }
    ito_process_free(s);
}
