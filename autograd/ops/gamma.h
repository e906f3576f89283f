/* The incomplete gamma function and its inverse, in double. Internal. */
#ifndef ITO_OPS_GAMMA_H
#define ITO_OPS_GAMMA_H

/* P(a, x), the integral of t^(a - 1) exp(-t) / Gamma(a) from 0 to x; a > 0, x >= 0. */
double gamma_p(double a, double x);
/* x with P(a, x) = p, for p in (0, 1). */
double gamma_p_inverse(double a, double p);
/* dx/da of that x. */
double gamma_p_inverse_slope(double a, double x);
/* psi(x), the derivative of log Gamma(x), for x > 0. */
double digamma_positive(double x);

#endif
