/* Burgers' equation: what it leaves of known solutions, the derivatives that training needs, and
 * the exact solution against the equation, its boundaries and a published slope. */
#include "autograd/ops_math.h"
#include "examples/physics/burgers.h"
#include "tests/expect.h"

#include <math.h>

/* ---- the residual ---- */

/* u = c - a tanh(k (x - c t)), k = a / (2 nu), travels with speed c and solves the equation. */
static const double nu = 0.2, a = 0.7, c = 0.3;

static ito_tensor *wave_phase(ito_tensor *points)
{
    ito_tensor *x = ito_narrow(points, 1, 0, 1), *t = ito_narrow(points, 1, 1, 1);
    return ito_mul_scalar(ito_axpby(1, x, -c, t), a / (2 * nu));
}

static ito_tensor *wave(ito_tensor *const *points, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_add_scalar(ito_mul_scalar(ito_tanh(wave_phase(points[0])), -a), c);
}

static ito_tensor *random_points(int64_t n)
{
    ito_generator g = ito_generator_make(4, 0);
    return ito_randn(&g, ITO_SHAPE(n, 2), ITO_F64);
}

static double largest(ito_tensor *x)
{
    cr_assert_not_null(x, "%s", ito_error());
    return ito_item(ito_max(ito_abs(x)));
}

Test(burgers, nothing_is_left_of_a_solution)
{
    ito_tensor *points = random_points(200);
    cr_expect_lt(largest(burgers_residual(wave, NULL, points, nu)), 1e-14);
}

/* With another viscosity nu', (nu - nu') u_xx is left, u_xx = 2 a k^2 tanh (1 - tanh^2). */
Test(burgers, another_viscosity_leaves_the_second_derivative)
{
    ito_tensor *points = random_points(200), *th = ito_tanh(wave_phase(points));
    ito_tensor *u_xx = ito_mul(th, ito_add_scalar(ito_neg(ito_square(th)), 1));
    u_xx = ito_mul_scalar(u_xx, 2 * a * pow(a / (2 * nu), 2));
    ito_tensor *left = burgers_residual(wave, NULL, points, 0.05);
    cr_expect_lt(largest(ito_axpby(1, left, -(nu - 0.05), u_xx)), 1e-14);
    cr_expect_gt(largest(left), 0.1);
}

static ito_module *small_network(void)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_module *m = ito_sequential_create(NULL, "");
    cr_assert(ito_linear_create(m, "0", 2, 5, .generator = &g, .dtype = ITO_F64) != NULL &&
              ito_activation_create(m, "1", (ito_tanh)) != NULL &&
              ito_linear_create(m, "2", 5, 1, .generator = &g, .dtype = ITO_F64) != NULL);
    return m;
}

static ito_tensor *loss(ito_tensor *const *inputs, int64_t n, void *m)
{
    (void)inputs, (void)n;
    return ito_mean(ito_square(burgers_residual(burgers_ansatz, m, random_points(7), nu)));
}

/* Third derivatives of the network, in effect. */
Test(burgers, the_residual_is_differentiable_in_the_weights)
{
    ito_module *m = small_network();
    ito_named_tensors *p = ito_module_parameters(m);
    cr_expect_eq(ito_gradcheck(loss, m, p->tensors, p->n), ITO_OK, "%s", ito_error());
    ito_named_tensors_free(p);
    ito_module_free(m);
}

/* Whatever the weights are. */
Test(burgers, the_ansatz_has_the_values_at_the_boundaries)
{
    static const double points[][2] = {{0.3, 0}, {-0.8, 0}, {1, 0.4}, {-1, 0.9}, {0.3, 0.5}};
    ito_module *m = small_network();
    ito_tensor *x = ito_from_data(points, ITO_SHAPE(5, 2), ITO_F64);
    ito_tensor *u = ito_contiguous(burgers_ansatz(&x, 1, m));
    cr_assert_not_null(u, "%s", ito_error());
    const double *v = ito_const_data(u);
    for (int i = 0; i < 4; i++)
        cr_expect_float_eq(v[i], i < 2 ? -sin(M_PI * points[i][0]) : 0, 1e-15, "%d", i);
    cr_expect_gt(fabs(v[4] + sin(M_PI * points[4][0])), 1e-3);
    ito_module_free(m);
}

/* ---- the exact solution ---- */

Test(burgers, the_exact_solution_has_the_values_at_the_boundaries)
{
    for (double x = -1; x <= 1; x += 0.125) {
        cr_expect_float_eq(burgers_exact(x, 0, 0.01), -sin(M_PI * x), 1e-15);
        cr_expect_float_eq(burgers_exact(x, 1e-10, 0.01), -sin(M_PI * x), 1e-8);
    }
    for (double t = 0.1; t < 1.05; t += 0.1) {
        cr_expect_float_eq(burgers_exact(1, t, 0.01), 0, 1e-12);
        cr_expect_float_eq(burgers_exact(-1, t, 0.01), 0, 1e-12);
    }
}

/* Central differences of fourth order with step h leave h^4 times derivatives of some thousands,
 * and rounding over h^2. */
Test(burgers, the_exact_solution_solves_the_equation)
{
    const double h = 2e-3, n = 0.05;
    static const double points[][2] = {{0.3, 0.2}, {-0.5, 0.5}, {0.1, 0.8}, {0.9, 0.4}, {-0.02, 1}};
    for (int i = 0; i < 5; i++) {
        double x = points[i][0], t = points[i][1], u = burgers_exact(x, t, n), x_[5], t_[5];
        for (int k = -2; k <= 2; k++) {
            x_[k + 2] = burgers_exact(x + k * h, t, n);
            t_[k + 2] = burgers_exact(x, t + k * h, n);
        }
        double u_t = (t_[0] - 8 * t_[1] + 8 * t_[3] - t_[4]) / (12 * h);
        double u_x = (x_[0] - 8 * x_[1] + 8 * x_[3] - x_[4]) / (12 * h);
        double u_xx = (-x_[0] + 16 * x_[1] - 30 * u + 16 * x_[3] - x_[4]) / (12 * h * h);
        cr_expect_lt(fabs(u_t + u * u_x - n * u_xx), 1e-6, "at %g, %g: %g", x, t,
                     u_t + u * u_x - n * u_xx);
    }
}

/* Basdevant et al. 1986: for nu = 0.01 / pi the slope at 0 is steepest, -152.00516, where
 * pi t = 1.6037. */
Test(burgers, the_shock_is_as_steep_as_published)
{
    const double n = 0.01 / M_PI, t = 1.6037 / M_PI, h = 1e-6;
    double slope = (burgers_exact(h, t, n) - burgers_exact(-h, t, n)) / (2 * h);
    cr_expect_float_eq(slope, -152.00516, 1e-3, "%.6f", slope);
}
