/* Optimisers against the published formulas in plain double loops. */
#include "autograd/ops.h"
#include "nn/optim.h"
#include "tensor/io/safetensors.h"
#include "tests/nn/nn_check.h"

#include <math.h>

enum { STEPS = 20, SIZE = 37 };

/* A step rounds p a few times, each by at most half an ulp of numbers below 4; over 20 steps the
 * errors of f32 add up to less than this. f64 has 29 more bits. */
#define TOLERANCE_F32 1e-5
#define TOLERANCE_F64 1e-13

typedef struct sums {
    double p[SIZE], m[SIZE], v[SIZE];
} sums;

/* Values and gradients that the model and the loop both take: exact in f32. */
static double start(int i)
{
    return (double)(i % 9 - 4) / 4;
}

static double gradient(int step, int i)
{
    return (double)((step * 7 + i * 5) % 23 - 11) / 8;
}

/* A model of two parameters of 30 and 7 numbers. */
static ito_module *model(ito_dtype dtype)
{
    double value[SIZE];
    for (int i = 0; i < SIZE; i++)
        value[i] = start(i);
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_tensor *a = ito_from_data(value, ITO_SHAPE(5, 6), ITO_F64);
    ito_tensor *b = ito_from_data(value + 30, ITO_SHAPE(7), ITO_F64);
    ito_module_parameter(m, "a", ito_cast(a, dtype));
    ito_module_parameter(m, "b", ito_cast(b, dtype));
    cr_assert_eq(ito_error_code(), ITO_OK, "%s", ito_error());
    return m;
}

static void set(ito_tensor *t, int64_t i, double value)
{
    if (ito_dtype_of(t) == ITO_F64)
        ((double *)ito_data(t))[i] = value;
    else
        ((float *)ito_data(t))[i] = (float)value;
}

static void set_gradients(ito_module *m, int step)
{
    ito_tensor *a = ito_grad_of(ito_module_find(m, "a"));
    ito_tensor *b = ito_grad_of(ito_module_find(m, "b"));
    for (int i = 0; i < SIZE; i++)
        set(i < 30 ? a : b, i < 30 ? i : i - 30, gradient(step, i));
}

typedef void loop_step(sums *s, int i, double g, int t, double lr);

static void run(ito_module *m, ito_optimizer *opt, loop_step *loop)
{
    cr_assert_not_null(opt, "%s", ito_error());
    double tolerance =
        ito_dtype_of(ito_module_find(m, "a")) == ITO_F64 ? TOLERANCE_F64 : TOLERANCE_F32;
    sums s = {{0}, {0}, {0}};
    for (int i = 0; i < SIZE; i++)
        s.p[i] = start(i);
    for (int t = 1; t <= STEPS; t++) {
        double lr = 0.05 / t;
        set_gradients(m, t);
        cr_assert_eq(ito_optimizer_step(opt, lr), ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_optimizer_steps(opt), t);
        for (int i = 0; i < SIZE; i++)
            loop(&s, i, gradient(t, i), t, lr);
    }
    ito_tensor *a = ito_module_find(m, "a"), *b = ito_module_find(m, "b");
    for (int i = 0; i < SIZE; i++) {
        double value = i < 30 ? element(a, i) : element(b, i - 30);
        cr_expect(fabs(value - s.p[i]) <= tolerance, "[%d] %.17g, not %.17g", i, value, s.p[i]);
    }
    ito_optimizer_free(opt);
    ito_module_free(m);
}

static void adam_loop(sums *s, int i, double g, int t, double lr)
{
    s->m[i] = 0.9 * s->m[i] + (1 - 0.9) * g;
    s->v[i] = 0.99 * s->v[i] + (1 - 0.99) * g * g;
    double m_hat = s->m[i] / (1 - pow(0.9, t)), v_hat = s->v[i] / (1 - pow(0.99, t));
    s->p[i] -= lr * m_hat / (sqrt(v_hat) + 1e-8);
}

static void adam_decay_loop(sums *s, int i, double g, int t, double lr)
{
    adam_loop(s, i, g + 0.1 * s->p[i], t, lr);
}

static void adamw_loop(sums *s, int i, double g, int t, double lr)
{
    s->p[i] *= 1 - lr * 0.1;
    adam_loop(s, i, g, t, lr);
}

static void sgd_loop(sums *s, int i, double g, int t, double lr)
{
    (void)t;
    s->p[i] -= lr * (g + 0.1 * s->p[i]);
}

static void momentum_loop(sums *s, int i, double g, int t, double lr)
{
    (void)t;
    s->m[i] = 0.8 * s->m[i] + g;
    s->p[i] -= lr * s->m[i];
}

static void nesterov_loop(sums *s, int i, double g, int t, double lr)
{
    (void)t;
    g += 0.1 * s->p[i];
    s->m[i] = 0.8 * s->m[i] + g;
    s->p[i] -= lr * (g + 0.8 * s->m[i]);
}

Test(optim, adam_follows_its_formula)
{
    for (int k = 0; k < 2; k++) {
        ito_module *m = model(k == 0 ? ITO_F32 : ITO_F64);
        run(m, ito_adam_create(m, .beta2 = 0.99), adam_loop);
        m = model(k == 0 ? ITO_F32 : ITO_F64);
        run(m, ito_adam_create(m, .beta2 = 0.99, .weight_decay = 0.1), adam_decay_loop);
    }
}

Test(optim, adamw_decays_apart_from_the_gradient)
{
    for (int k = 0; k < 2; k++) {
        ito_module *m = model(k == 0 ? ITO_F32 : ITO_F64);
        run(m, ito_adamw_create(m, .beta2 = 0.99, .weight_decay = 0.1), adamw_loop);
    }
}

Test(optim, sgd_follows_its_formulas)
{
    for (int k = 0; k < 2; k++) {
        ito_dtype dtype = k == 0 ? ITO_F32 : ITO_F64;
        ito_module *m = model(dtype);
        run(m, ito_sgd_create(m, .weight_decay = 0.1), sgd_loop);
        m = model(dtype);
        run(m, ito_sgd_create(m, .momentum = 0.8), momentum_loop);
        m = model(dtype);
        run(m, ito_sgd_create(m, .momentum = 0.8, .nesterov = true, .weight_decay = 0.1),
            nesterov_loop);
    }
}

/* By hand: with m and v corrected the first step is lr g / (|g| + eps). */
Test(optim, adams_first_step_is_the_sign_of_the_gradient)
{
    ito_module *m = model(ITO_F64);
    ito_optimizer *opt = ito_adam_create(m);
    set_gradients(m, 1);
    cr_assert_eq(ito_optimizer_step(opt, 0.25), ITO_OK);
    ito_tensor *a = ito_module_find(m, "a");
    for (int i = 0; i < 30; i++) {
        double g = gradient(1, i);
        cr_expect(fabs(element(a, i) - (start(i) - 0.25 * g / (fabs(g) + 1e-8))) < 1e-14);
    }
    ito_optimizer_free(opt);
    ito_module_free(m);
}

Test(optim, state_is_there_from_the_start_under_pytorchs_names)
{
    ito_module *m = model(ITO_F32);
    ito_optimizer *opt = ito_adam_create(m);
    ito_named_tensors *state = ito_optimizer_state(opt);
    const char *names[] = {"exp_avg.a", "exp_avg.b", "exp_avg_sq.a", "exp_avg_sq.b"};
    cr_assert_eq(state->n, 4);
    for (int i = 0; i < 4; i++)
        cr_expect_str_eq(state->names[i], names[i]);
    cr_expect_eq(ito_size(state->tensors[2], 1), 6);
    cr_expect_eq(element(state->tensors[2], 29), 0);
    set_gradients(m, 1);
    cr_assert_eq(ito_optimizer_step(opt, 0.1), ITO_OK);
    cr_expect(fabs(element(state->tensors[0], 3) - 0.1 * gradient(1, 3)) < 1e-7); /* the view */
    ito_named_tensors_free(state);
    cr_expect_str_eq(ito_optimizer_kind(opt), "adam");
    ito_optimizer_free(opt);

    opt = ito_sgd_create(m, .momentum = 0.5);
    state = ito_optimizer_state(opt);
    cr_assert_eq(state->n, 2);
    cr_expect_str_eq(state->names[1], "momentum_buffer.b");
    ito_named_tensors_free(state);
    ito_optimizer_free(opt);
    opt = ito_sgd_create(m);
    state = ito_optimizer_state(opt);
    cr_expect_eq(state->n, 0);
    ito_named_tensors_free(state);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

Test(optim, frozen_parameters_and_their_state_stay)
{
    ito_module *m = model(ITO_F32);
    ito_optimizer *opt = ito_adam_create(m, .weight_decay = 0.5);
    ito_tensor *a = ito_module_find(m, "a"), *b = ito_module_find(m, "b");
    set_gradients(m, 1);
    ito_requires_grad(a, false);
    cr_assert_eq(ito_optimizer_step(opt, 0.1), ITO_OK);
    ito_named_tensors *state = ito_optimizer_state(opt);
    for (int i = 0; i < 30; i++) {
        cr_expect_eq(element(a, i), start(i));
        cr_expect_eq(element(state->tensors[0], i), 0);
    }
    cr_expect_neq(element(b, 1), start(31));
    ito_named_tensors_free(state);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

Test(optim, parameters_that_no_gradient_reached_count_as_zero)
{
    ito_module *m = model(ITO_F32);
    ito_optimizer *opt = ito_sgd_create(m);
    ito_tensor *a = ito_module_find(m, "a"), *b = ito_module_find(m, "b");
    set_gradients(m, 1); /* of a step before */
    ito_module_zero_grad(m);
    cr_assert_eq(ito_backward(ito_sum(b)), ITO_OK);
    cr_assert_eq(ito_optimizer_step(opt, 0.5), ITO_OK);
    cr_expect_eq(element(a, 5), start(5));
    cr_expect_eq(element(b, 2), start(32) - 0.5);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

Test(optim, a_step_after_forward_is_noticed_by_backward)
{
    ito_module *m = model(ITO_F32);
    ito_optimizer *opt = ito_sgd_create(m);
    ito_tensor *loss = ito_sum(ito_square(ito_module_find(m, "b")));
    cr_assert_eq(ito_optimizer_step(opt, 0.5), ITO_OK);
    cr_expect_eq(ito_backward(loss), ITO_ERR_GRAD);
    ito_error_clear();
    ito_optimizer_free(opt);
    ito_module_free(m);
}

/* ---- PyTorch's own trajectories ----------------------------------------------------------------
 */

static ito_optimizer *of_case(ito_module *m, const char *name)
{
    if (strcmp(name, "adam") == 0)
        return ito_adam_create(m);
    if (strcmp(name, "adam_decay") == 0)
        return ito_adam_create(m, .weight_decay = 0.05);
    if (strcmp(name, "adam_betas") == 0)
        return ito_adam_create(m, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-3);
    if (strcmp(name, "adamw") == 0)
        return ito_adamw_create(m, .weight_decay = 0.05);
    if (strcmp(name, "sgd") == 0)
        return ito_sgd_create(m);
    if (strcmp(name, "sgd_momentum") == 0)
        return ito_sgd_create(m, .momentum = 0.9);
    if (strcmp(name, "sgd_nesterov") == 0)
        return ito_sgd_create(m, .momentum = 0.9, .nesterov = true);
    return ito_sgd_create(m, .momentum = 0.9, .weight_decay = 0.05);
}

static ito_tensor *of_file(const ito_safetensors *f, const char *name, const char *what)
{
    char key[64];
    snprintf(key, sizeof key, "%s/%s", name, what);
    ito_tensor *t = ito_safetensors_read(f, key);
    cr_assert_not_null(t, "%s", ito_error());
    return t;
}

/* The fixture is in f64: five steps of seven numbers, see tests/reference/README.md. */
Test(optim, takes_the_steps_that_pytorch_takes)
{
    const char *source = getenv("ITO_SOURCE");
    if (source == NULL)
        cr_skip_test("ITO_SOURCE does not say where the sources are");
    ito_safetensors *f =
        ito_safetensors_open(in_directory(source, "tests/reference/ops.safetensors"));
    cr_assert_not_null(f, "%s", ito_error());
    const char *names[] = {"adam", "adam_decay",   "adam_betas",   "adamw",
                           "sgd",  "sgd_momentum", "sgd_nesterov", "sgd_decay"};
    for (int k = 0; k < 8; k++) {
        ito_module *m = ito_module_create(NULL, "", sizeof *m);
        ito_tensor *p = ito_module_parameter(m, "p", of_file(f, names[k], "start"));
        const double *grads = ito_data(of_file(f, names[k], "grads"));
        const double *values = ito_data(of_file(f, names[k], "values"));
        ito_optimizer *opt = of_case(m, names[k]);
        for (int t = 0; t < 5; t++) {
            memcpy(ito_data(ito_grad_of(p)), grads + 7 * t, 7 * sizeof *grads);
            cr_assert_eq(ito_optimizer_step(opt, 0.1), ITO_OK, "%s", ito_error());
            for (int i = 0; i < 7; i++)
                cr_expect(fabs(element(p, i) - values[7 * t + i]) < TOLERANCE_F64,
                          "%s, step %d: %.17g, not %.17g", names[k], t, element(p, i),
                          values[7 * t + i]);
        }
        ito_optimizer_free(opt);
        ito_module_free(m);
    }
    ito_safetensors_close(f);
}

Test(optim, a_norm_that_is_not_finite_stops_a_step_that_asks_for_it)
{
    ito_module *m = model(ITO_F32);
    ito_optimizer *opt = ito_adam_create(m);
    ito_ema *ema = ito_ema_create(m);
    const double bad[] = {(double)NAN, (double)INFINITY};
    const char *message[] = {"adam: the norm of the gradients is nan",
                             "adam: the norm of the gradients is inf"};
    for (int i = 0; i < 2; i++) {
        double norm = 0;
        set_gradients(m, 1);
        set(ito_grad_of(ito_module_find(m, "b")), 2, bad[i]);
        cr_expect_eq(ito_optimizer_step(opt, 0.1, .max_norm = 1, .ema = ema, .grad_norm = &norm),
                     ITO_ERR_NUMERIC);
        expect_error(ITO_ERR_NUMERIC, message[i]);
        cr_expect(i == 0 ? isnan(norm) : norm == (double)INFINITY);
        cr_expect_eq(ito_optimizer_step(opt, 0.1, .grad_norm = &norm), ITO_ERR_NUMERIC);
        expect_error(ITO_ERR_NUMERIC, message[i]);
    }
    cr_expect_eq(ito_optimizer_steps(opt), 0);
    cr_expect_eq(ito_ema_updates(ema), 0);
    ito_named_tensors *state = ito_optimizer_state(opt);
    for (int i = 0; i < 30; i++) {
        cr_expect_eq(element(ito_module_find(m, "a"), i), start(i));
        cr_expect_eq(element(state->tensors[0], i), 0);
        cr_expect_eq(element(state->tensors[2], i), 0);
    }
    ito_named_tensors_free(state);
    ito_ema_free(ema);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

Test(optim, a_step_refuses_a_bad_limit_and_averages_that_do_not_fit)
{
    ito_module *m = model(ITO_F32), *other = model(ITO_F32);
    ito_optimizer *opt = ito_sgd_create(m);
    ito_ema *ema = ito_ema_create(m), *wrong = ito_ema_create(other);
    set_gradients(m, 1);
    cr_expect_eq(ito_optimizer_step(opt, 0.1, .max_norm = -1), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "sgd: max_norm -1 is negative or not a number");
    cr_expect_eq(ito_optimizer_step(opt, 0.1, .max_norm = (double)NAN), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "sgd: max_norm nan is negative or not a number");
    cr_expect_eq(ito_optimizer_step(opt, 0.1, .ema = wrong), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "sgd: the averages are those of another model");
    cr_assert_eq(ito_ema_swap(ema), ITO_OK);
    cr_expect_eq(ito_optimizer_step(opt, 0.1, .ema = ema), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "ema: no update while the averages are in the model's place");
    cr_expect_eq(ito_optimizer_steps(opt), 0);
    cr_expect_eq(element(ito_module_find(m, "b"), 3), start(33));
    ito_ema_free(ema);
    ito_ema_free(wrong);
    ito_optimizer_free(opt);
    ito_module_free(m);
    ito_module_free(other);
}

Test(optim, refuses_settings_out_of_range)
{
    ito_module *m = model(ITO_F32);
    cr_expect_null(ito_adam_create(m, .beta1 = 1));
    expect_error(ITO_ERR_RANGE, "adam: beta1 1 is not in [0, 1)");
    cr_expect_null(ito_adamw_create(m, .beta2 = -0.5));
    expect_error(ITO_ERR_RANGE, "adamw: beta2 -0.5 is not in [0, 1)");
    cr_expect_null(ito_adam_create(m, .eps = (double)INFINITY));
    expect_error(ITO_ERR_RANGE, "adam: eps inf is negative or not finite");
    cr_expect_null(ito_adam_create(m, .weight_decay = (double)NAN));
    expect_error(ITO_ERR_RANGE, "adam: weight decay nan is negative or not finite");
    cr_expect_null(ito_sgd_create(m, .momentum = 2));
    expect_error(ITO_ERR_RANGE, "sgd: momentum 2 is not in [0, 1)");
    cr_expect_null(ito_sgd_create(m, .weight_decay = -1));
    expect_error(ITO_ERR_RANGE, "sgd: weight decay -1 is negative or not finite");
    cr_expect_null(ito_sgd_create(m, .nesterov = true));
    expect_error(ITO_ERR_ARGUMENT, "sgd: nesterov needs momentum");
    cr_expect_null(ito_adam_create(NULL));
    expect_error(ITO_ERR_ARGUMENT, "flatten: the model is NULL");
    cr_expect_eq(ito_optimizer_step(NULL, 1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "optimizer_step: the optimiser is NULL");
    ito_module_free(m);
}

Test(optim, refuses_bad_rates_and_counts_and_changes_nothing)
{
    ito_module *m = model(ITO_F32);
    ito_optimizer *opt = ito_sgd_create(m);
    set_gradients(m, 1);
    cr_expect_eq(ito_optimizer_step(opt, -0.1), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "sgd: learning rate -0.1 is negative or not finite");
    cr_expect_eq(ito_optimizer_step(opt, (double)NAN), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "sgd: learning rate nan is negative or not finite");
    cr_expect_eq(ito_optimizer_set_steps(opt, -1), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "sgd: -1 steps");
    cr_expect_eq(ito_optimizer_steps(opt), 0);
    cr_expect_eq(element(ito_module_find(m, "b"), 3), start(33));
    ito_optimizer_free(opt);
    ito_optimizer_free(NULL);
    ito_module_free(m);
}
