/* Differential equations against closed forms, against SciPy
 * (tests/reference/make_flow_fixture.py), and what is refused. */
#include "autograd/ode.h"

#include "autograd/ops.h"
#include "tensor/io/safetensors.h"
#include "tests/autograd/op_check.h"
#include "tests/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const ito_ode_method *const methods[] = {&ito_ode_rk45, &ito_ode_rk4, &ito_ode_heun,
                                                &ito_ode_euler};

enum { METHODS = sizeof methods / sizeof methods[0] };

/* A damped oscillator that is pushed: x'' = -x - 0.2 x' + cos(t), as [x, x']. */
static ito_tensor *oscillator(double t, ito_tensor *x, void *calls)
{
    static const double matrix[] = {0, 1, -1, -0.2};
    if (calls != NULL)
        ++*(int64_t *)calls;
    double push[] = {0, cos(t)};
    ito_tensor *A = ito_from_data(matrix, ITO_SHAPE(2, 2), ITO_F64);
    return ito_add(ito_mv(ito_cast(A, ito_dtype_of(x)), x),
                   ito_cast(ito_from_data(push, ITO_SHAPE(2), ITO_F64), ito_dtype_of(x)));
}

/* x = 5 sin(t) + exp(-0.1 t) (C cos(w t) + S sin(w t)) with w^2 = 1 - 0.01. */
static double oscillator_at(double t)
{
    double w = sqrt(0.99), C = 1.0, S = (2.0 - 5.0 + 0.1 * C) / w; /* x(0) = 1, x'(0) = 2 */
    return 5.0 * sin(t) + exp(-0.1 * t) * (C * cos(w * t) + S * sin(w * t));
}

static ito_tensor *oscillator_start(ito_dtype dtype)
{
    return ito_cast(ito_from_data((double[]){1, 2}, ITO_SHAPE(2), ITO_F64), dtype);
}

static double first(ito_tensor *x)
{
    cr_assert_not_null(x, "%s", ito_error());
    return ito_item(ito_select(x, 0, 0));
}

#define SOLVE(t1, ...)                                                                             \
    ito_ode_solve(oscillator, NULL, oscillator_start(ITO_F64), 0, t1, __VA_ARGS__)

/* Twice the steps, 2^-order of the error; steps from 32 to 128 are short enough for that to hold
 * within a quarter of an order, and the errors are far above rounding. */
Test(ode, fixed_steps_converge_with_their_order)
{
    for (int m = 0; m < METHODS; m++) {
        double error[3];
        for (int i = 0; i < 3; i++)
            error[i] =
                fabs(first(SOLVE(4, .method = methods[m], .steps = 32 << i)) - oscillator_at(4));
        double order = 0.5 * log2(error[0] / error[2]);
        cr_expect(fabs(order - methods[m]->order) < 0.25, "%s: %g %g %g, order %.2f",
                  methods[m]->name, error[0], error[1], error[2], order);
    }
}

/* The definition, in a loop of doubles: one step of rk4. */
Test(ode, a_step_of_rk4_is_kuttas)
{
    double h = 0.3, x[2] = {1, 2}, k[4][2], at[2];
    static const double share[4] = {0, 0.5, 0.5, 1};
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 2; j++)
            at[j] = x[j] + (i == 0 ? 0 : share[i] * h * k[i - 1][j]);
        k[i][0] = at[1];
        k[i][1] = -at[0] - 0.2 * at[1] + cos(share[i] * h);
    }
    double want = x[0] + h / 6 * (k[0][0] + 2 * k[1][0] + 2 * k[2][0] + k[3][0]);
    cr_expect_float_eq(first(SOLVE(0.3, .method = &ito_ode_rk4, .steps = 1)), want, 1e-15);
}

/* The error of the end is the sum of steps' errors, each within the tolerance, somewhat damped: it
 * follows the tolerance, and is never far above it. */
Test(ode, adaptive_steps_keep_to_the_tolerance)
{
    double before = 1.0;
    for (int digits = 4; digits <= 10; digits += 3) {
        double tolerance = pow(10, -digits);
        ito_ode_report r;
        double error = fabs(first(SOLVE(20, .rtol = tolerance, .atol = tolerance, .report = &r)) -
                            oscillator_at(20));
        cr_expect(error < 20 * tolerance && error < before / 50, "1e-%d: %g", digits, error);
        before = error;
    }
}

Test(ode, one_of_the_two_tolerances_is_enough)
{
    cr_expect_float_eq(first(SOLVE(4, .rtol = 0, .atol = 1e-8)), oscillator_at(4), 1e-7);
    cr_expect_float_eq(first(SOLVE(4, .rtol = 1e-8, .atol = 1e-300)), oscillator_at(4), 1e-7);
}

Test(ode, a_solution_in_f32_has_its_dtype_and_accuracy)
{
    ito_tensor *x = ito_ode_solve(oscillator, NULL, oscillator_start(ITO_F32), 0, 4);
    cr_expect_float_eq(first(x), oscillator_at(4), 1e-4);
    cr_expect_eq(ito_dtype_of(x), ITO_F32);
}

/* ---- as SciPy ---- */

static ito_tensor *predators(double t, ito_tensor *x, void *unused)
{
    (void)unused;
    ito_tensor *prey = ito_narrow(x, 0, 0, 1), *hunter = ito_narrow(x, 0, 1, 1);
    ito_tensor *both = ito_mul(prey, hunter);
    return ito_cat(ITO_TENSORS(ito_axpby(1.5, prey, -1, both),
                               ito_add_scalar(ito_axpby(-3, hunter, 1, both), 0.1 * sin(t))),
                   0);
}

static const double *fixture_numbers(const ito_safetensors *file, const char *name,
                                     const char *what)
{
    char key[64];
    snprintf(key, sizeof key, "ode/%s/%s", name, what);
    ito_tensor *t = ito_safetensors_read(file, key);
    cr_assert_not_null(t, "%s", ito_error());
    return ito_const_data(ito_cast(t, ITO_F64));
}

/* The same steps, so the same end but for rounding, which the equation enlarges less than 1e3
 * times; and the same number of evaluations. */
Test(ode, rk45_takes_the_steps_of_scipy)
{
    static const char *const names[] = {"loose", "tight", "backwards", "short"};
    char path[4096];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/reference/flow.safetensors", source ? source : ".");
    ito_safetensors *file = ito_safetensors_open(path);
    cr_assert_not_null(file, "%s", ito_error());
    for (int i = 0; i < 4; i++) {
        const double *call = fixture_numbers(file, names[i], "call");
        const double *x = fixture_numbers(file, names[i], "x");
        const double *counts = fixture_numbers(file, names[i], "evaluations");
        ito_ode_report r;
        ito_tensor *y =
            ito_ode_solve(predators, NULL, ito_from_data((double[]){10, 5}, ITO_SHAPE(2), ITO_F64),
                          call[0], call[1], .rtol = call[2], .atol = call[3], .report = &r);
        assert_elements(y, x, 2, 1e-10, names[i]);
        cr_expect_eq((double)r.evaluations, counts[0], "%s", names[i]);
        cr_expect_eq((double)r.steps, counts[1], "%s", names[i]);
    }
    ito_safetensors_close(file);
}

/* ---- laws ---- */

Test(ode, back_and_forth_is_where_it_began)
{
    ito_tensor *x = SOLVE(3, .rtol = 1e-11, .atol = 1e-11);
    ito_tensor *y = ito_ode_solve(oscillator, NULL, x, 3, 0, .rtol = 1e-11, .atol = 1e-11);
    assert_elements(y, (double[]){1, 2}, 2, 1e-9, "back");
}

Test(ode, no_time_is_no_step)
{
    ito_ode_report r;
    ito_tensor *x = oscillator_start(ITO_F64);
    assert_elements(ito_ode_solve(oscillator, NULL, x, 1, 1, .report = &r), (double[]){1, 2}, 2, 0,
                    "no time");
    cr_expect_eq(r.steps, 0);
}

static ito_tensor *decay(double t, ito_tensor *x, void *rate)
{
    (void)t;
    return ito_mul_scalar(x, -*(double *)rate);
}

/* One stiff element among a hundred at rest: the mean square lets it be a tenth more wrong. */
Test(ode, the_largest_error_counts_with_that_norm)
{
    double rate = 3, values[100] = {1}, error[2];
    ito_tensor *x = ito_from_data(values, ITO_SHAPE(100), ITO_F64);
    for (int norm = 0; norm < 2; norm++)
        error[norm] = fabs(first(ito_ode_solve(decay, &rate, x, 0, 2, .rtol = 1e-6, .atol = 1e-6,
                                               .norm = (ito_ode_norm)norm)) -
                           exp(-6));
    cr_expect(error[ITO_ODE_MAX] < 0.3 * error[ITO_ODE_RMS], "%g %g", error[0], error[1]);
    cr_expect_lt(error[ITO_ODE_MAX], 1e-6);
}

Test(ode, nothing_has_no_error)
{
    double rate = 1;
    ito_tensor *x = ito_zeros(ITO_SHAPE(0, 3), ITO_F64);
    for (int norm = 0; norm < 2; norm++)
        cr_expect_not_null(ito_ode_solve(decay, &rate, x, 0, 1, .norm = (ito_ode_norm)norm));
}

/* The rate is an input: d/dr of exp(-2 r). */
static ito_tensor *decay_by(double t, ito_tensor *x, void *rate)
{
    (void)t;
    return ito_neg(ito_mul(x, *(ito_tensor **)rate));
}

static ito_tensor *decayed(ito_tensor *const *in, int64_t n, void *method)
{
    (void)n;
    ito_tensor *rate = in[1];
    const ito_ode_method *m = method;
    return ito_ode_solve(decay_by, &rate, in[0], 0, 2, .method = m,
                         .steps = m == &ito_ode_rk45 ? ITO_ODE_ADAPTIVE : 3);
}

Test(ode, gradients_pass_through_the_steps)
{
    for (int m = 0; m < METHODS; m++) {
        ito_tensor *in[] = {ito_requires_grad(ito_full(ITO_SHAPE(3), 0.7, ITO_F64), true),
                            ito_requires_grad(ito_full(ITO_SHAPE(3), 0.4, ITO_F64), true)};
        cr_expect_eq(ito_gradcheck(decayed, (void *)(uintptr_t)methods[m], in, 2), ITO_OK, "%s: %s",
                     methods[m]->name, ito_error());
    }
    ito_tensor *x = ito_full(ITO_SHAPE(1), 0.7, ITO_F64);
    ito_tensor *rate = ito_requires_grad(ito_full(ITO_SHAPE(1), 0.4, ITO_F64), true);
    ito_tensor *y = ito_ode_solve(decay_by, &rate, x, 0, 2, .rtol = 1e-9, .atol = 1e-9);
    /* the gradient is that of the steps, whose error is not what chose them */
    double slope = ito_item(ito_grad(y, rate));
    cr_expect_float_eq(slope, -2 * 0.7 * exp(-0.8), 1e-7, "%g", slope);
}

typedef struct walk {
    int64_t steps;
    double last;
    int64_t stop_after;
} walk;

static bool observe(double t, ito_tensor *x, void *context)
{
    walk *w = context;
    cr_expect_gt(t, w->last);
    cr_expect_float_eq(first(x), oscillator_at(t), 1e-4);
    w->last = t;
    return ++w->steps != w->stop_after;
}

Test(ode, steps_are_observed_and_may_be_stopped)
{
    walk w = {.last = 0};
    ito_ode_report r;
    cr_expect_not_null(SOLVE(4, .observe = observe, .observe_context = &w, .report = &r));
    cr_expect(w.last == 4 && w.steps == r.steps && r.steps > 3);
    w = (walk){.stop_after = 2};
    cr_expect_null(SOLVE(4, .observe = observe, .observe_context = &w));
    cr_expect(w.steps == 2 && ito_error_code() == ITO_OK);
    w = (walk){.stop_after = 2};
    cr_expect_null(
        SOLVE(4, .method = &ito_ode_rk4, .steps = 100, .observe = observe, .observe_context = &w));
    cr_expect(w.steps == 2 && ito_error_code() == ITO_OK);
}

Test(ode, evaluations_are_counted)
{
    for (int m = 0; m < METHODS; m++) {
        int64_t calls = 0;
        ito_ode_report r;
        cr_expect_not_null(ito_ode_solve(oscillator, &calls, oscillator_start(ITO_F64), 0, 1,
                                         .method = methods[m], .steps = 5, .report = &r));
        /* rk45's last stage is the next step's first */
        cr_expect_eq(calls, m == 0 ? 5 * 6 + 1 : 5 * methods[m]->stages, "%s", methods[m]->name);
        cr_expect(r.evaluations == calls && r.steps == 5 && r.rejected == 0);
    }
}

/* The midpoint rule, of order 2. */
Test(ode, a_table_of_ones_own_is_a_method)
{
    static const ito_ode_method midpoint = {
        .name = "midpoint", .stages = 2, .order = 2, .a = {{0}, {0.5}}, .b = {0, 1}};
    double rate = 1;
    ito_tensor *x = ito_ones(ITO_SHAPE(1), ITO_F64);
    cr_expect_float_eq(
        first(ito_ode_solve(decay, &rate, x, 0, 0.1, .method = &midpoint, .steps = 1)),
        1 - 0.1 + 0.005, 1e-15);
}

/* ---- what fails ---- */

/* x' = x^2 from 1: infinite at t = 1. */
static ito_tensor *explosion(double t, ito_tensor *x, void *unused)
{
    (void)t, (void)unused;
    return ito_square(x);
}

static ito_tensor *chatter(double t, ito_tensor *x, void *unused)
{
    (void)unused;
    return ito_full_like(x, t > 0.5 ? 1e12 * (sin(1e18 * t) > 0 ? 1 : -1) : 0);
}

static ito_tensor *undefined(double t, ito_tensor *x, void *unused)
{
    (void)unused;
    return ito_full_like(x, t > 0.5 ? (double)NAN : 1);
}

static ito_tensor *one(void)
{
    return ito_ones(ITO_SHAPE(1), ITO_F64);
}

Test(ode, a_pole_ends_in_a_sentence)
{
    ito_ode_report r = {.steps = 0};
    cr_expect_null(ito_ode_solve(explosion, NULL, one(), 0, 2, .report = &r));
    cr_expect_eq(ito_error_code(), ITO_ERR_NUMERIC);
    cr_expect_not_null(strstr(ito_error_message(), "ode: at t = 1 rk45 would need steps below"),
                       "%s", ito_error_message());
    cr_expect_gt(r.steps, 10);
    ito_error_clear();
}

Test(ode, steps_that_become_too_short_are_an_error)
{
    cr_expect_null(ito_ode_solve(chatter, NULL, one(), 0, 1));
    expect_error(ITO_ERR_NUMERIC, "ode: at t = 0.5 rk45 would need steps below 1.11022e-15 to keep "
                                  "to rtol 1e-05 and atol 1e-05");
}

Test(ode, a_slope_that_is_not_finite_is_an_error)
{
    expect_refused(ito_ode_solve(undefined, NULL, one(), 0, 1), ITO_ERR_NUMERIC,
                   "ode: x is not finite after t = 0.5");
}

Test(ode, too_many_evaluations_are_an_error)
{
    expect_refused(SOLVE(100, .max_evaluations = 50), ITO_ERR_NUMERIC,
                   "ode: 44 of at most 50 evaluations lead to t = 2.46501, which is not yet 100");
}

static ito_tensor *gives_nothing(double t, ito_tensor *x, void *unused)
{
    (void)t, (void)x, (void)unused;
    return NULL;
}

static ito_tensor *another_shape(double t, ito_tensor *x, void *unused)
{
    (void)t, (void)unused;
    return ito_unsqueeze(x, 0);
}

static ito_tensor *another_dtype(double t, ito_tensor *x, void *unused)
{
    (void)t, (void)unused;
    return ito_cast(x, ITO_F32);
}

Test(ode, functions_that_do_not_give_a_slope_are_refused)
{
    expect_refused(ito_ode_solve(gives_nothing, NULL, one(), 2, 3), ITO_ERR_ARGUMENT,
                   "ode: f gave nothing at t = 2");
    expect_refused(ito_ode_solve(another_shape, NULL, one(), 2, 3), ITO_ERR_SHAPE,
                   "ode: f gave [1, 1], and x is [1]");
    expect_refused(
        ito_ode_solve(another_dtype, NULL, one(), 2, 3, .method = &ito_ode_rk4, .steps = 2),
        ITO_ERR_DTYPE, "ode: f gave f32, and x is f64");
    expect_refused(ito_ode_solve(NULL, NULL, one(), 2, 3), ITO_ERR_ARGUMENT, "ode: f is NULL");
    expect_refused(ito_ode_solve(decay, NULL, NULL, 2, 3), ITO_ERR_ARGUMENT, "ode: x is NULL");
}

Test(ode, a_refused_call_reports_that_nothing_was_done)
{
    ito_ode_report r = {7, 7, 7};
    expect_refused(SOLVE(1, .steps = 0, .report = &r), ITO_ERR_RANGE,
                   "ode: 0 steps; at least 1 is needed");
    cr_expect(r.evaluations == 0 && r.steps == 0 && r.rejected == 0);
}

Test(ode, numbers_out_of_their_range_are_refused)
{
    static const double nan = (double)NAN, inf = (double)INFINITY;
    static const ito_ode_method tall = {.name = "tall", .stages = 9, .order = 1},
                                flat = {.name = "flat", .stages = 1};
    expect_refused(SOLVE(inf, .rtol = 0), ITO_ERR_RANGE,
                   "ode: from t = 0 to inf; both must be finite");
    expect_refused(SOLVE(1, .steps = 0), ITO_ERR_RANGE, "ode: 0 steps; at least 1 is needed");
    expect_refused(
        SOLVE(1, .rtol = -1), ITO_ERR_RANGE,
        "ode: rtol is -1 and atol 1e-05; rtol is at least 0, atol above 0, and both are finite");
    expect_refused(SOLVE(1, .norm = (ito_ode_norm)2), ITO_ERR_RANGE, "ode: there is no norm 2");
    expect_refused(
        SOLVE(1, .atol = 0), ITO_ERR_RANGE,
        "ode: rtol is 1e-05 and atol 0; rtol is at least 0, atol above 0, and both are finite");
    expect_refused(
        SOLVE(1, .atol = nan), ITO_ERR_RANGE,
        "ode: rtol is 1e-05 and atol nan; rtol is at least 0, atol above 0, and both are finite");
    expect_refused(SOLVE(1, .method = &ito_ode_heun), ITO_ERR_ARGUMENT,
                   "ode: heun does not estimate its error; .steps has to say how many it makes");
    expect_refused(SOLVE(1, .method = &tall), ITO_ERR_RANGE,
                   "ode: tall has 9 stages and order 1; a method has 1 to 8 stages and an order of "
                   "at least 1");
    expect_refused(SOLVE(1, .method = &flat), ITO_ERR_RANGE,
                   "ode: flat has 1 stages and order 0; a method has 1 to 8 stages and an order of "
                   "at least 1");
    expect_refused(ito_ode_solve(decay, NULL, ito_ones(ITO_SHAPE(1), ITO_I64), 0, 1), ITO_ERR_DTYPE,
                   "ode: x is f32 or f64, not i64");
}

static ito_status solve_once(void *method)
{
    const ito_ode_method *m = method;
    ito_tensor *x = oscillator_start(ITO_F64);
    x = ito_ode_solve(oscillator, NULL, x, 0, 0.5, .method = m,
                      .steps = m == &ito_ode_rk45 ? ITO_ODE_ADAPTIVE : 2);
    return x == NULL ? ito_error_code() : ITO_OK;
}

Test(ode, failing_allocations_pass)
{
    for (int m = 0; m < METHODS; m++)
        cr_expect_gt(count_failed_allocations(solve_once, (void *)(uintptr_t)methods[m]), 10);
}
