/* A training step: what it draws, that it is a function of its number, and that it is applied
 * wholly or not at all. */
#include "tensor/runtime.h"
#include "tests/models/ddpm/train_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A network that notes what it is evaluated on. */
typedef struct overheard {
    ito_network base;
    ito_network *network;
    int64_t t[4];
    double time[4];
    float x[4 * 64];
} overheard;

static ito_tensor *overhear(ito_network *self, const ito_network_input *in)
{
    overheard *o = (overheard *)self;
    cr_assert(ito_to_data(in->x, o->x, ITO_F32) == ITO_OK &&
              ito_to_data(in->t, o->t, ITO_I64) == ITO_OK &&
              ito_to_data(in->time, o->time, ITO_F64) == ITO_OK);
    return ito_network_evaluate(o->network, in);
}

/* Steps and noise are of streams of their own: one of both would bind them to each other. */
Test(train, steps_and_noise_come_from_their_streams)
{
    world w = begin(0.0);
    overheard o = {.base.evaluate = overhear, .network = &w.unet->network};
    w.trainer.network = &o.base;
    step(&w, 7);
    ito_generator for_t = ito_diffusion_generator(4, ITO_DRAW_T, 7);
    ito_generator for_eps = ito_diffusion_generator(4, ITO_DRAW_EPS, 7);
    ito_tensor *t = ito_randint(&for_t, 0, 1000, ITO_SHAPE(4), ITO_I64);
    ito_tensor *eps = ito_randn(&for_eps, ITO_SHAPE(4, 1, 8, 8), ITO_F32);
    float x_0[4 * 64], noise[4 * 64];
    cr_assert(ito_to_data(w.x_0, x_0, ITO_F32) == ITO_OK &&
              ito_to_data(eps, noise, ITO_F32) == ITO_OK);
    for (int i = 0; i < 4 * 64; i++) {
        int64_t at = ((const int64_t *)ito_const_data(t))[i / 64];
        cr_assert_eq(o.t[i / 64], at);
        double x = w.diffusion->process->signal[at] * (double)x_0[i] +
                   w.diffusion->process->noise[at] * (double)noise[i];
        cr_assert_float_eq((double)o.x[i], x, 1e-6);
    }
    end(&w);
}

/* In continuous time, uniform from t_min to t_max. */
Test(train, real_times_come_from_their_stream)
{
    world w = begin(0.0);
    ito_diffusion_free(w.diffusion);
    w.diffusion =
        ito_diffusion_create(.schedule = &ito_schedule_edm, .sigma_min = 1.0, .sigma_max = 3.0);
    overheard o = {.base.evaluate = overhear, .network = &w.unet->network};
    w.trainer.diffusion = w.diffusion;
    w.trainer.network = &o.base;
    cr_assert(step(&w, 7).applied);
    ito_generator for_t = ito_diffusion_generator(4, ITO_DRAW_T, 7);
    ito_tensor *share = ito_rand(&for_t, ITO_SHAPE(4), ITO_F64);
    for (int i = 0; i < 4; i++)
        cr_assert_float_eq(o.time[i], 1.0 + 2.0 * ((double *)ito_data(share))[i], 1e-15);
    end(&w);
}

/* Points [N, D] and a network of one parameter, which learns that the noise is x_t / sigma where
 * the data are 0. */
static ito_tensor *scaled(ito_network *self, const ito_network_input *in)
{
    return ito_mul(in->x, ito_module_find(self->context, "weight"));
}

Test(train, points_are_trained_on_in_continuous_time)
{
    ito_module *model = ito_module_create(NULL, "scale", sizeof(ito_module));
    ito_module_parameter(model, "weight", ito_zeros(ITO_SHAPE(1), ITO_F32));
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_edm, .sigma_min = 2.0, .sigma_max = 2.0625);
    ito_network network = network_of(scaled, model);
    ito_optimizer *sgd = ito_sgd_create(model);
    ito_timestep_sampler *s =
        ito_timestep_sampler_create(d->process, &ito_timestep_law_logit_normal);
    ito_diffusion_trainer trainer = {.diffusion = d,
                                     .network = &network,
                                     .model = model,
                                     .optimizer = sgd,
                                     .timesteps = s,
                                     .seed = 1};
    ito_tensor *x_0 = ito_zeros(ITO_SHAPE(64, 2), ITO_F32);
    for (int64_t i = 0; i < 50; i++) {
        ito_train_result r;
        cr_assert_eq(ito_diffusion_train_step(&trainer, x_0, i, 0.05, &r), ITO_OK, "%s",
                     ito_error());
        cr_assert(r.applied);
    }
    cr_assert_float_eq(ito_item(ito_module_find(model, "weight")), 0.5, 0.02);
    ito_timestep_sampler_free(s);
    ito_optimizer_free(sgd);
    ito_diffusion_free(d);
    ito_module_free(model);
}

static void late_steps(const ito_timestep_sampler *steps, double *p)
{
    for (int64_t t = 0; t < steps->process->steps; t++)
        p[t] = (double)(t + 1);
}

/* Late steps are drawn more often, and each loss counts 1 / (T p) for that. */
Test(train, losses_at_drawn_steps_are_weighted)
{
    static const ito_timestep_law late = {.name = "late", .probabilities = late_steps};
    world w = begin(0.0);
    w.trainer.timesteps = ito_timestep_sampler_create(w.diffusion->process, &late);
    ito_generator for_t = ito_diffusion_generator(4, ITO_DRAW_T, 7);
    ito_generator for_eps = ito_diffusion_generator(4, ITO_DRAW_EPS, 7);
    ito_tensor *t, *weights, *eps = ito_randn(&for_eps, ITO_SHAPE(4, 1, 8, 8), ITO_F32);
    cr_assert_eq(ito_timestep_sampler_draw(w.trainer.timesteps, &for_t, 4, &t, &weights), ITO_OK);
    float losses[4];
    cr_assert_eq(ito_to_data(ito_diffusion_losses(w.diffusion, w.trainer.network, w.x_0, t, eps),
                             losses, ITO_F32),
                 ITO_OK);
    double expected = 0.0, plain = 0.0;
    for (int i = 0; i < 4; i++) {
        double p = (double)(((const int64_t *)ito_const_data(t))[i] + 1) / (1000.0 * 1001.0 / 2.0);
        expected += (double)losses[i] / (1000.0 * p) / 4.0;
        plain += (double)losses[i] / 4.0;
    }
    cr_assert(fabs(expected / plain - 1.0) > 0.05);
    cr_assert_float_eq(step(&w, 7).loss, expected, 1e-5 * expected);
    ito_timestep_sampler_free(w.trainer.timesteps);
    end(&w);
}

/* (w x_t - eps)^2 of each example by plain loops, from the streams of the step, for the network of
 * one parameter w. */
static void check_each(const ito_train_result *r, ito_tensor *x_0, const ito_diffusion *d, double w)
{
    int64_t n = ito_size(x_0, 0), t[64];
    float x[2 * 64], noise[2 * 64], losses[64];
    ito_generator for_eps = ito_diffusion_generator(1, ITO_DRAW_EPS, 5);
    ito_tensor *eps = ito_randn(&for_eps, ito_shape_of(x_0), ITO_F32);
    cr_assert(r->t != NULL && r->losses != NULL && ito_numel(r->losses) == n);
    cr_assert(ito_to_data(r->t, t, ITO_I64) == ITO_OK && ito_to_data(x_0, x, ITO_F32) == ITO_OK &&
              ito_to_data(eps, noise, ITO_F32) == ITO_OK &&
              ito_to_data(r->losses, losses, ITO_F32) == ITO_OK);
    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (int64_t k = 2 * i; k < 2 * i + 2; k++) {
            double x_t = d->process->signal[t[i]] * (double)x[k] +
                         d->process->noise[t[i]] * (double)noise[k];
            sum += (w * x_t - (double)noise[k]) * (w * x_t - (double)noise[k]);
        }
        cr_expect_float_eq((double)losses[i], sum / 2.0, 1e-5 * (1.0 + sum), "example %d", (int)i);
    }
}

/* Uniform times, a law of them, and an uncertainty: the loss of an example is the same. */
Test(train, each_example_has_its_time_and_loss)
{
    static const ito_timestep_law late = {.name = "late", .probabilities = late_steps};
    ito_generator g = ito_generator_make(3, 3);
    ito_tensor *x_0 = ito_randn(&g, ITO_SHAPE(64, 2), ITO_F32);
    ito_diffusion *d = ito_diffusion_create();
    for (int k = 0; k < 4; k++) {
        ito_module *model = ito_module_create(NULL, "scale", sizeof(ito_module));
        ito_module_parameter(model, "weight", ito_full(ITO_SHAPE(1), 0.25, ITO_F32));
        ito_network network = network_of(scaled, model);
        ito_uncertainty *u =
            k < 2 ? NULL : ito_uncertainty_create(model, "uncertainty", 8, .generator = &g);
        ito_optimizer *sgd = ito_sgd_create(model);
        ito_timestep_sampler *law =
            k % 2 == 0 ? NULL : ito_timestep_sampler_create(d->process, &late);
        ito_diffusion_trainer trainer = {.diffusion = d,
                                         .network = &network,
                                         .model = model,
                                         .optimizer = sgd,
                                         .timesteps = law,
                                         .uncertainty = u,
                                         .seed = 1,
                                         .each = true};
        ito_train_result r;
        cr_assert_eq(ito_diffusion_train_step(&trainer, x_0, 5, 0.1, &r), ITO_OK, "%s",
                     ito_error());
        check_each(&r, x_0, d, 0.25);
        if (k == 0) /* of uniform times without an uncertainty the loss is their mean */
            cr_expect_float_eq(ito_item(ito_mean(r.losses)), r.loss, 1e-6);
        trainer.each = false;
        cr_assert_eq(ito_diffusion_train_step(&trainer, x_0, 6, 0.1, &r), ITO_OK);
        cr_expect(r.t == NULL && r.losses == NULL);
        ito_timestep_sampler_free(law);
        ito_optimizer_free(sgd);
        ito_module_free(model);
    }
    ito_diffusion_free(d);
}

Test(train, reporting_each_example_changes_no_bit)
{
    world a = begin(0.3), b = begin(0.3);
    b.trainer.each = true;
    for (int64_t i = 0; i < 3; i++)
        cr_assert_eq(step(&a, i).loss, step(&b, i).loss);
    cr_assert(equal_weights(&a, &b));
    end(&a);
    end(&b);
}

Test(train, loss_falls)
{
    world w = begin(0.0);
    double first = 0.0, last = 0.0;
    for (int64_t i = 0; i < 120; i++) {
        ito_train_result r = step(&w, i);
        cr_assert(r.applied);
        first += i < 20 ? r.loss / 20.0 : 0.0;
        last += i >= 100 ? r.loss / 20.0 : 0.0;
    }
    cr_assert_float_eq(first, 1.0, 0.2, "the network begins as 0 and the noise has variance 1");
    cr_assert(last < 0.6 * first, "%g, then %g", first, last);
    end(&w);
}

/* Of losses that are remembered, too: those of a step that is not applied are not. */
Test(train, step_sampling_remembers_losses)
{
    world w = begin(0.0);
    w.trainer.timesteps =
        ito_timestep_sampler_create(w.diffusion->process, &ito_timestep_law_second_moment);
    int64_t before = 0, after = 0;
    double first = 0.0;
    const int64_t *counts = ito_const_data(w.trainer.timesteps->counts);
    const double *history = ito_const_data(w.trainer.timesteps->history);
    cr_assert(step(&w, 0).applied);
    for (int64_t t = 0; t < 1000; t++) {
        before += counts[t];
        for (int64_t k = 0; k < counts[t]; k++)
            first += history[t * ITO_TIMESTEP_HISTORY + k] / 4.0;
    }
    cr_assert_eq(before, 4);
    cr_assert_float_eq(first, 1.0, 0.2, "the network begins as 0 and the noise has variance 1");
    ((float *)ito_data(w.x_0))[0] = NAN;
    cr_assert(!step(&w, 1).applied);
    for (int64_t t = 0; t < 1000; t++)
        after += counts[t];
    cr_assert_eq(after, 4);
    ito_timestep_sampler_free(w.trainer.timesteps);
    end(&w);
}

Test(train, a_step_is_a_function_of_its_number)
{
    world a = begin(0.3), b = begin(0.3);
    for (int64_t i = 0; i < 3; i++)
        cr_assert_eq(step(&a, i).loss, step(&b, i).loss);
    cr_assert(equal_weights(&a, &b));
    step(&a, 3);
    step(&b, 4);
    cr_assert(!equal_weights(&a, &b));
    end(&a);
    end(&b);
}

Test(train, threads_change_no_bit)
{
    world a = begin(0.3), b = begin(0.3);
    for (int64_t i = 0; i < 4; i++) {
        ito_set_threads(1);
        step(&a, i);
        ito_set_threads(3);
        step(&b, i);
    }
    cr_assert(equal_weights(&a, &b));
    end(&a);
    end(&b);
}

Test(train, memory_returns_after_each_step)
{
    world w = begin(0.3);
    step(&w, 0);
    int64_t bytes = ito_memory_current(), blocks = ito_memory_blocks();
    for (int64_t i = 1; i < 4; i++) {
        step(&w, i);
        cr_assert_eq(ito_memory_current(), bytes);
        cr_assert_eq(ito_memory_blocks(), blocks);
    }
    end(&w);
}

Test(train, steps_and_noise_are_drawn_from_their_streams)
{
    ito_generator a = ito_diffusion_generator(7, ITO_DRAW_T, 5);
    ito_generator b = ito_diffusion_generator(7, ITO_DRAW_EPS, 5);
    ito_generator c = ito_diffusion_generator(7, ITO_DRAW_T, 6);
    cr_assert_eq(a.seed, 7);
    cr_assert(a.offset == 0 && a.stream != b.stream && a.stream != c.stream &&
              b.stream != c.stream);
    cr_assert(c.stream - a.stream >= 4096, "room for the generators of one step");
}

/* A parameter is broken: the loss cannot be finite, and nothing may change. */
Test(train, a_loss_that_is_not_finite_changes_nothing)
{
    world w = begin(0.0), before = begin(0.0);
    ITO_NO_GRAD
    {
        ito_fill_(ito_module_find(&w.unet->base, "conv_out.bias"), (double)NAN);
        ito_fill_(ito_module_find(&before.unet->base, "conv_out.bias"), (double)NAN);
    }
    ito_train_result r = step(&w, 0);
    cr_assert(!r.applied && isnan(r.loss) && isnan(r.grad_norm));
    cr_assert_str_eq(r.culprit, "conv_out.bias");
    cr_assert(equal_weights(&w, &before));
    cr_assert_eq(ito_optimizer_steps(w.optimizer), 0);
    cr_assert_eq(ito_ema_updates(w.ema), 0);
    end(&w);
    end(&before);
}

Test(train, data_that_are_not_finite_are_named)
{
    world w = begin(0.0);
    ito_fill_(w.x_0, (double)INFINITY);
    ito_train_result r = step(&w, 0);
    cr_assert(!r.applied);
    cr_assert_str_eq(r.culprit, "the data of the batch");
    end(&w);
}

/* The loss is finite, its gradient is not. */
static ito_tensor *break_gradient(ito_tensor *grad, void *context)
{
    (void)context;
    return ito_mul_scalar(grad, (double)INFINITY);
}

Test(train, a_gradient_that_is_not_finite_changes_nothing)
{
    world w = begin(0.0), before = begin(0.0);
    ito_tensor *p = ito_module_find(&w.unet->base, "conv_norm_out.weight");
    cr_assert_eq(ito_add_grad_hook(p, break_gradient, NULL), ITO_OK);
    ito_train_result r = step(&w, 0);
    cr_assert(!r.applied && isfinite(r.loss) && !isfinite(r.grad_norm));
    cr_assert_str_eq(r.culprit, "the gradient of conv_norm_out.weight");
    cr_assert(equal_weights(&w, &before));
    end(&w);
    end(&before);
}

static ito_tensor *huge_output(ito_network *self, const ito_network_input *in)
{
    ito_tensor *bias = ito_module_find(self->context, "conv_out.bias");
    return ito_add(ito_mul_scalar(in->x, 1e30), ito_reshape(bias, 1, 1, 1, 1));
}

Test(train, an_output_that_overflows_is_named)
{
    world w = begin(0.0);
    ito_network huge = network_of(huge_output, w.unet);
    w.trainer.network = &huge;
    ito_train_result r = step(&w, 0);
    cr_assert(!r.applied);
    cr_assert_str_eq(r.culprit, "the output of the network");
    end(&w);
}

static ito_tensor *nothing(ito_network *self, const ito_network_input *in)
{
    (void)self, (void)in;
    return NULL;
}

static ito_tensor *no_distance(ito_tensor *difference)
{
    (void)difference;
    return NULL;
}

/* A step of w on x_0 is refused so, and writes no result. */
static void assert_step_refused(const world *w, ito_tensor *x_0, double lr, ito_status code,
                                const char *message)
{
    ito_train_result r = {.loss = 42.0};
    assert_refused_status(ito_diffusion_train_step(&w->trainer, x_0, 0, lr, &r), code, message);
    cr_assert_eq(r.loss, 42.0);
}

Test(train, data_that_do_not_fit_are_refused)
{
    world w = begin(0.0);
    ito_train_result r = {.loss = 42.0};
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 3, 8, 8), ITO_F32);
    cr_assert_eq(ito_diffusion_train_step(&w.trainer, x, 0, 1e-3, &r), ITO_ERR_SHAPE);
    cr_assert_not_null(strstr(ito_error_message(), "unet: x is [2, 3, 8, 8]"));
    cr_assert_eq(r.loss, 42.0);
    ito_error_clear();
    assert_step_refused(&w, ito_scalar(1.0, ITO_F32), 1e-3, ITO_ERR_SHAPE,
                        "train_step: x_0 is []; it must be [N, ...]");
    assert_step_refused(&w, NULL, 1e-3, ITO_ERR_ARGUMENT, "train_step: x_0 is NULL");
    end(&w);
}

Test(train, a_negative_learning_rate_is_refused)
{
    world w = begin(0.0);
    assert_step_refused(&w, w.x_0, -1.0, ITO_ERR_RANGE,
                        "adam: learning rate -1 is negative or not finite");
    end(&w);
}

Test(train, a_network_and_a_distance_that_give_nothing_are_refused)
{
    world w = begin(0.0);
    ito_network silent = network_of(nothing, NULL);
    w.trainer.network = &silent;
    assert_step_refused(&w, w.x_0, 1e-3, ITO_ERR_ARGUMENT, "network: it gave nothing");
    ito_objective own = {.name = "own", .simple = 1.0, .distance = no_distance};
    w.diffusion->objective = &own;
    w.trainer.network = &w.unet->network;
    assert_step_refused(&w, w.x_0, 1e-3, ITO_ERR_ARGUMENT, "diffusion_loss: the distance is NULL");
    end(&w);
}

Test(train, memory_that_runs_out_is_an_error)
{
    world w = begin(0.0), before = begin(0.0);
    ito_train_result r;
    int64_t blocks = ito_memory_blocks();
    ito_memory_limit(ito_memory_current() + 100000);
    cr_assert_eq(ito_diffusion_train_step(&w.trainer, w.x_0, 0, 1e-3, &r), ITO_ERR_MEMORY);
    ito_memory_limit(0);
    ito_error_clear();
    cr_assert_eq(ito_memory_blocks(), blocks);
    cr_assert(equal_weights(&w, &before));
    step(&w, 0);
    step(&before, 0);
    cr_assert(equal_weights(&w, &before));
    end(&w);
    end(&before);
}

/* Whatever request fails, parameters and what is remembered of losses change together or not at
 * all. */
Test(train, step_sampling_fails_with_the_step_or_not_at_all)
{
    world w = begin(0.0), before = begin(0.0);
    w.trainer.timesteps =
        ito_timestep_sampler_create(w.diffusion->process, &ito_timestep_law_second_moment);
    ito_train_result r;
    ito_status status = ITO_ERR_MEMORY;
    int64_t n;
    for (n = 1; status != ITO_OK; n++) {
        ito_memory_fail_nth(n);
        status = ito_diffusion_train_step(&w.trainer, w.x_0, 0, 1e-3, &r);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), status, "%s", ito_error());
        ito_error_clear();
        cr_assert_eq(equal_weights(&w, &before), status != ITO_OK, "request %d", (int)n);
        double remembered = ito_item(ito_sum(ito_cast(w.trainer.timesteps->counts, ITO_F64)));
        cr_assert_eq(remembered, status == ITO_OK ? 4.0 : 0.0, "request %d", (int)n);
    }
    cr_assert(n > 100, "%d requests failed", (int)n - 2);
    ito_timestep_sampler_free(w.trainer.timesteps);
    end(&w);
    end(&before);
}
