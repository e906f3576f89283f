/* Burgers' equation: what a solution leaves of it, and the exact solution. */
#include "examples/physics/burgers.h"

#include <math.h>

/* ---- the equation ------------------------------------------------------------------------------
 */

/* Each row of u depends on its own point alone, so the gradient of the sum of u is u_x and u_t at
 * every point. Forward mode (ito_jvp of ito_jvp, and one along t) gives the same and takes 1.4
 * times as long, since it computes u anew for each direction. */
ito_tensor *burgers_residual(ito_function *u, void *context, ito_tensor *points, double nu)
{
    ito_tensor *x = ito_requires_grad(ito_detach(points), true), *value = u(&x, 1, context);
    ito_tensor *du = ito_grad(ito_sum(value), x, .create_graph = true);
    ito_tensor *u_x = ito_narrow(du, 1, 0, 1), *u_t = ito_narrow(du, 1, 1, 1);
    ito_tensor *du_x = ito_grad(ito_sum(u_x), x, .create_graph = true);
    ito_tensor *change = ito_add(u_t, ito_mul(value, u_x));
    return ito_axpby(1, change, -nu, ito_narrow(du_x, 1, 0, 1));
}

ito_tensor *burgers_ansatz(ito_tensor *const *points, int64_t n, void *m)
{
    (void)n;
    ito_tensor *x = ito_narrow(points[0], 1, 0, 1), *t = ito_narrow(points[0], 1, 1, 1);
    ito_tensor *start = ito_sin(ito_mul_scalar(x, M_PI));
    ito_tensor *inside = ito_mul(t, ito_add_scalar(ito_neg(ito_square(x)), 1));
    return ito_sub(ito_mul(inside, ito_module_forward(m, points[0])), start);
}

/* ---- the solution ------------------------------------------------------------------------------
 */

/* The trapezium rule in s = z / sqrt(4 nu t), which for a smooth integrand that vanishes at both
 * ends converges faster than any power of the step. Exponents are relative to the largest. */
double burgers_exact(double x, double t, double nu)
{
    enum { POINTS = 200 };
    const double reach = sqrt(1 / (M_PI * nu) + 40), width = sqrt(4 * nu * t);
    double above = 0, below = 0, largest = -HUGE_VAL;
    if (t == 0)
        return -sin(M_PI * x);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i <= POINTS; i++) {
            double s = reach * (2.0 * i / POINTS - 1), y = x - width * s;
            double exponent = -cos(M_PI * y) / (2 * M_PI * nu) - s * s;
            if (pass == 0) {
                largest = fmax(largest, exponent);
                continue;
            }
            above += sin(M_PI * y) * exp(exponent - largest);
            below += exp(exponent - largest);
        }
    return -above / below;
}
