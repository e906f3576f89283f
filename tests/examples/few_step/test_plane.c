/* Mean velocities: of data N(0, s^2) and of data that are one point, where they have closed forms.
 * With S(t)^2 = (1 - t)^2 s^2 + t^2, x S(r) / S(t) at r is on the trajectory of x at t, so
 *     u(x, t, r) = x (1 - S(r) / S(t)) / (t - r),   v(x, t) = x S'(t) / S(t). */
#include "examples/few_step/mean_flow.h"
#include "examples/few_step/shortcut.h"

#include <criterion/criterion.h>
#include <math.h>

enum { N = 4 };
static const double s = 0.4;

TestSuite(few_step_plane, .timeout = 600);

static ito_tensor *column(double a, double b, double c, double d)
{
    return ito_reshape(ito_values_of((double[]){a, b, c, d}, N, ITO_F64), N, 1);
}

static ito_tensor *points(double scale)
{
    ito_generator g = ito_generator_make(4, 0);
    return ito_mul_scalar(ito_randn(&g, ITO_SHAPE(N, 2), ITO_F64), scale);
}

static double number(const ito_tensor *t, int64_t i)
{
    return ((const double *)ito_const_data(t))[i];
}

static double apart(ito_tensor *a, ito_tensor *b)
{
    return ito_item(ito_max(ito_abs(ito_sub(a, b))));
}

static ito_tensor *deviation(ito_tensor *t)
{
    ito_tensor *rest = ito_add_scalar(ito_neg(t), 1.0);
    return ito_sqrt(ito_add(ito_mul_scalar(ito_square(rest), s * s), ito_square(t)));
}

static ito_tensor *gaussian(const mean_velocity *self, ito_tensor *x, ito_tensor *t, ito_tensor *r)
{
    (void)self;
    ito_tensor *ratio = ito_div(deviation(r), deviation(t));
    return ito_mul(x, ito_div(ito_add_scalar(ito_neg(ratio), 1.0), ito_sub(t, r)));
}

/* The velocity of the flow, written out. */
static ito_tensor *velocity(ito_tensor *x, ito_tensor *t)
{
    ito_tensor *v = ito_clone(x);
    for (int64_t i = 0; i < 2 * N; i++) {
        double at = number(t, i / 2), rest = 1.0 - at;
        ((double *)ito_data(v))[i] *= (at - rest * s * s) / (rest * rest * s * s + at * at);
    }
    return v;
}

/* ---- MeanFlow ---- */

Test(few_step_plane, mean_velocity_of_a_gaussian_satisfies_the_identity)
{
    mean_velocity u = {.evaluate = gaussian};
    ito_tensor *x = points(1.0), *value;
    ito_tensor *t = column(1.0, 0.9, 0.5, 0.3), *r = column(0.0, 0.4, 0.1, 0.25);
    ito_tensor *target = mean_flow_target(&u, x, t, r, velocity(x, t), &value);
    cr_assert_not_null(target, "%s", ito_error());
    cr_expect_lt(apart(value, gaussian(&u, x, t, r)), 1e-15);
    cr_expect_lt(apart(target, value), 1e-12, "%g", apart(target, value));
    cr_expect_not(ito_has_grad_path(target));
    /* another velocity has another mean */
    cr_expect_gt(apart(mean_flow_target(&u, x, t, r, x, &value), value), 0.1);
}

/* A network that is no mean velocity of anything. */
static ito_tensor *any(const mean_velocity *self, ito_tensor *x, ito_tensor *t, ito_tensor *r)
{
    (void)self;
    return ito_add(ito_mul(ito_sin(x), ito_square(t)), ito_mul(ito_cos(ito_mul(t, r)), x));
}

Test(few_step_plane, target_of_mean_flow_has_the_derivative_along_the_flow)
{
    double h = 1e-5;
    mean_velocity u = {.evaluate = any};
    ito_tensor *x = points(1.0), *v = points(0.7), *value;
    ito_tensor *t = column(1.0, 0.9, 0.5, 0.3), *r = column(0.0, 0.4, 0.1, 0.3);
    ito_tensor *target = mean_flow_target(&u, x, t, r, v, &value);
    ito_tensor *later = any(&u, ito_axpby(1, x, h, v), ito_add_scalar(t, h), r);
    ito_tensor *sooner = any(&u, ito_axpby(1, x, -h, v), ito_add_scalar(t, -h), r);
    ito_tensor *slope = ito_mul_scalar(ito_sub(later, sooner), 0.5 / h);
    cr_expect_lt(apart(target, ito_sub(v, ito_mul(ito_sub(t, r), slope))), 1e-9);
    for (int64_t j = 0; j < 2; j++) /* where r is t the target is the velocity itself */
        cr_expect_eq(number(target, 6 + j), number(v, 6 + j));
}

static ito_tensor *linear(const mean_velocity *self, ito_tensor *x, ito_tensor *t, ito_tensor *r)
{
    (void)t;
    (void)r;
    return ito_mul(x, self->context);
}

/* u = a x has du/dt = a v along the flow, so the target is v (1 - a (t - r)), held constant, and so
 * is the weight 1 / (|a x - target|^2 + 0.001)^power. */
static void check_losses(double power)
{
    double a = 0.3, loss = 0.0, slope = 0.0;
    mean_velocity u = {.evaluate = linear,
                       .context = ito_requires_grad(ito_full(ITO_SHAPE(1), a, ITO_F64), true)};
    ito_tensor *x = points(1.0), *v = points(0.7);
    ito_tensor *t = column(1.0, 0.9, 0.5, 0.3), *r = column(0.0, 0.4, 0.1, 0.3);
    ito_tensor *losses = mean_flow_losses(&u, x, t, r, v, power);
    for (int64_t i = 0; i < N; i++) {
        double square = 0.0, along = 0.0;
        for (int64_t j = 2 * i; j < 2 * i + 2; j++) {
            double target = number(v, j) * (1.0 - a * (number(t, i) - number(r, i)));
            square += pow(a * number(x, j) - target, 2);
            along += 2.0 * (a * number(x, j) - target) * number(x, j);
        }
        loss += square / pow(square + 1e-3, power);
        slope += along / pow(square + 1e-3, power);
    }
    cr_expect_float_eq(ito_item(ito_sum(losses)), loss, 1e-12);
    cr_assert_eq(ito_backward(ito_sum(losses)), ITO_OK, "%s", ito_error());
    cr_expect_float_eq(ito_item(ito_grad_of(u.context)), slope, 1e-10 * fabs(slope));
}

Test(few_step_plane, loss_of_mean_flow_holds_target_and_weight_constant)
{
    check_losses(1.0);
    check_losses(0.5);
    check_losses(0.0);
}

/* ---- shortcut models ---- */

/* Of data that are one point: all trajectories are straight, and steps of all sizes have the
 * velocity of the flow. */
static ito_tensor *straight(const mean_velocity *self, ito_tensor *x, ito_tensor *t, ito_tensor *r)
{
    (void)self;
    (void)r;
    return ito_div(ito_add_scalar(x, -0.3), t);
}

Test(few_step_plane, shortcuts_of_exact_flows_are_consistent)
{
    ito_tensor *t = column(1.0, 0.75, 0.5, 1.0), *r = column(0.0, 0.5, 0.25, 0.5), *x = points(1.0);
    mean_velocity line = {.evaluate = straight}, curve = {.evaluate = gaussian};
    cr_expect_lt(apart(shortcut_target(&line, x, t, r, 0), straight(&line, x, t, r)), 1e-14);
    cr_expect_lt(apart(shortcut_target(&curve, x, t, r, 0), gaussian(&curve, x, t, r)), 1e-14);
}

/* The target of a network that is none: two halves, one after the other. */
Test(few_step_plane, target_of_a_shortcut_is_the_mean_of_two_halves)
{
    mean_velocity u = {.evaluate = any};
    ito_tensor *t = column(1.0, 0.75, 0.5, 1.0), *r = column(0.0, 0.5, 0.25, 0.5), *x = points(1.0);
    ito_tensor *target = shortcut_target(&u, x, t, r, 0);
    for (int64_t j = 0; j < 2 * N; j++) {
        double T = number(t, j / 2), R = number(r, j / 2), M = 0.5 * (T + R), X = number(x, j);
        double first = sin(X) * T * T + cos(T * M) * X, Y = X - (T - M) * first;
        double second = sin(Y) * M * M + cos(M * R) * Y;
        cr_expect_float_eq(number(target, j), 0.5 * (first + second), 1e-14);
    }
}

/* u = t - r: its own size, so that the target tells what it was asked for. */
static ito_tensor *its_size(const mean_velocity *self, ito_tensor *x, ito_tensor *t, ito_tensor *r)
{
    (void)self;
    return ito_add(ito_mul_scalar(x, 0.0), ito_sub(t, r));
}

Test(few_step_plane, least_steps_follow_the_velocity)
{
    mean_velocity u = {.evaluate = its_size};
    ito_tensor *t = column(1.0, 0.5, 0.25, 0.125), *r = column(0.0, 0.25, 0.125, 0.0625);
    ito_tensor *target = shortcut_target(&u, points(1.0), t, r, 0.0625);
    static const double expected[N] = {0.5, 0.125, 0.0, 0.0};
    for (int64_t j = 0; j < 2 * N; j++)
        cr_expect_eq(number(target, j), expected[j / 2]);
}

/* Steps of a u that is 1: flow matching's part is (1 - v)^2, and consistency's part is 0. */
static ito_tensor *one(const mean_velocity *self, ito_tensor *x, ito_tensor *t, ito_tensor *r)
{
    bool *jumps = self->context;
    ito_tensor *longest = ito_max(ito_sub(t, r));
    *jumps = *jumps || ito_item(longest) > 0.0;
    return ito_full_like(x, 1.0);
}

Test(few_step_plane, three_quarters_of_a_batch_learn_the_velocity)
{
    bool jumps = false;
    mean_velocity u = {.evaluate = one, .context = &jumps};
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *x_0 = ito_zeros(ITO_SHAPE(40000, 2), ITO_F32);
    /* v = eps: E (1 - eps)^2 = 2 */
    cr_expect_float_eq(ito_item(shortcut_loss(&u, x_0, &g)), 0.75 * 2.0, 0.03);
    cr_expect(jumps);
}

/* ---- sampling and distance ---- */

Test(few_step_plane, one_step_of_the_mean_velocity_is_exact_and_one_of_euler_is_not)
{
    mean_velocity u = {.evaluate = gaussian};
    ito_tensor *x = points(1.0);
    for (int64_t steps = 1; steps <= 4; steps++)
        cr_expect_lt(apart(plane_sample(&u, x, steps, false), ito_mul_scalar(x, s)), 1e-14);
    mean_velocity line = {.evaluate = straight}, flat = {.evaluate = any};
    cr_expect_lt(apart(plane_sample(&line, x, 3, true), ito_full_like(x, 0.3)), 1e-14);
    ito_tensor *end = ito_axpby(1, x, -1, any(&flat, x, ito_ones_like(x), ito_ones_like(x)));
    cr_expect_lt(apart(plane_sample(&flat, x, 1, true), end), 1e-15);
}

/* Shifted by (a, b), sorted projections differ by |a cos + b sin|, whose mean over directions is
 * 2/pi hypot(a, b). */
Test(few_step_plane, distance_of_a_shifted_cloud_is_that_of_the_shift)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *x = plane_moons(&g, 500);
    ito_tensor *shift = ito_values_of((double[]){0.3, -0.4}, 2, ITO_F32);
    cr_expect_float_eq(plane_distance(x, ito_add(x, shift)), 0.5 * 2.0 / M_PI, 2e-3);
    cr_expect_eq(plane_distance(x, x), 0.0);
    cr_expect_lt(ito_item(ito_max(ito_abs(x))), 1.2);
    cr_expect_eq(plane_distance(x, NULL), -1.0);
}
