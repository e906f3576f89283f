/* Burgers' equation u_t + u u_x = nu u_xx for x in [-1, 1], t in [0, 1], with u = -sin(pi x) at t =
 * 0 and u = 0 at both ends: a wave that steepens into a shock at x = 0. */
#ifndef ITO_EXAMPLES_PHYSICS_BURGERS_H
#define ITO_EXAMPLES_PHYSICS_BURGERS_H

#include <ito/ito.h>

/* u_t + u u_x - nu u_xx [N, 1] of a function u of points (x, t), [N, 2] to [N, 1], whose rows do
 * not depend on each other. */
ito_tensor *burgers_residual(ito_function *u, void *context, ito_tensor *points, double nu);

/* The exact solution, by Cole and Hopf: with f(y) = exp(-cos(pi y) / (2 pi nu)) and the heat kernel
 * g(z) = exp(-z^2 / (4 nu t)), u = -(integral of sin(pi (x - z)) f(x - z) g(z)) / (integral of
 * f(x - z) g(z)). Basdevant et al. 1986, Computers & Fluids 14. To about 1e-12 for nu above 1e-3.
 */
double burgers_exact(double x, double t, double nu);

/* The network's u = -sin(pi x) + t (1 - x^2) m(x, t), which has the values at t = 0 and at both
 * ends whatever the module m, [N, 2] to [N, 1], is (Lagaris et al. 1998). An ito_function of one
 * input; the context is m. */
ito_tensor *burgers_ansatz(ito_tensor *const *points, int64_t n, void *m);

#endif
