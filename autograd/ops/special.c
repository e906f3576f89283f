/* Functions of one array that are too rare for a kernel: each element is computed in double and
 * rounded once. The derivatives of polygamma and sinc are of their own kind, one order higher. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"
#include "tensor/system.h"

#include <math.h>

enum { COST_SPECIAL = 60 }; /* nanoseconds an element, about */

/* ---- gamma ----------------------------------------------------------------------------------- */

static double lgamma_of(double x, double unused)
{
    (void)unused;
    return system_lgamma(x);
}

/* B_2k / (2k)! for k = 1, 2, ... of Euler and Maclaurin's sum. */
static const double bernoulli[] = {
    1.0 / 12,
    -1.0 / 720,
    1.0 / 30240,
    -1.0 / 1209600,
    1.0 / 47900160,
    -691.0 / 1307674368e3,
    1.0 / 74724249600.0,
    -3617.0 / 10670622842880e3,
};
enum { BERNOULLI = sizeof bernoulli / sizeof *bernoulli, FAR = 12 };

/* The sum of (x + k)^-s over k = 0, 1, ... for x > 0 and whole s > 1: term by term up to FAR, from
 * there by Euler and Maclaurin (Abramowitz, Stegun 1964, 23.1.30). */
static double hurwitz_zeta(double s, double x)
{
    double sum = 0;
    while (x < FAR) {
        sum += pow(x, -s);
        x += 1;
    }
    double power = pow(x, -s);
    sum += x * power / (s - 1) + power / 2;
    double factor = s * power / x; /* s (s + 1) .. (s + 2 k - 2) x^(-s - 2 k + 1) */
    for (int k = 0; k < BERNOULLI; k++) {
        sum += bernoulli[k] * factor;
        factor *= (s + 2 * k + 1) * (s + 2 * k + 2) / (x * x);
    }
    return sum;
}

/* The derivative of log(gamma(x)). Below 0 by reflection: psi(x) = psi(1 - x) - pi / tan(pi x). At
 * whole numbers from -1 down NaN, at 0 infinite against its sign, as in PyTorch. */
static double digamma_of(double x, double unused)
{
    (void)unused;
    if (x == 0)
        return -copysign(HUGE_VAL, x);
    if (x < 0) {
        double rest = x - round(x);
        return rest != 0 ? digamma_of(1 - x, 0) - M_PI / tan(M_PI * rest) : (double)NAN;
    }
    double sum = 0;
    while (x < FAR) {
        sum -= 1 / x;
        x += 1;
    }
    double y = log(x) - 0.5 / x, power = 1 / (x * x), factorial = 1; /* (2k - 1)! */
    for (int k = 0; k < BERNOULLI; k++) {
        y -= bernoulli[k] * factorial * power;
        power /= x * x;
        factorial *= (2 * k + 2) * (2 * k + 3);
    }
    return sum + y;
}

/* The n-th derivative of digamma, n >= 1: (-1)^(n + 1) n! zeta(n + 1, x). Below 0 the terms of
 * either sign are summed by themselves: all those of (f + k) for every whole k, f the fraction of
 * x, without those of the numbers below x. */
static double polygamma_of(double x, double n)
{
    double s = n + 1, even = fmod(s, 2) == 0 ? 1 : -1, zeta; /* (-1)^s */
    if (x < 0) {
        double rest = x - round(x), f = rest < 0 ? 1 + rest : rest;
        double complement = rest < 0 ? -rest : 1 - rest;
        zeta = rest == 0 ? HUGE_VAL
                         : hurwitz_zeta(s, f) +
                               even * (hurwitz_zeta(s, complement) - hurwitz_zeta(s, 1 - x));
    } else {
        zeta = x == HUGE_VAL ? 0 : hurwitz_zeta(s, x);
    }
    return even * tgamma(s) * zeta;
}

ito_tensor *op_lgamma_forward(op_call *c)
{
    return map_doubles("lgamma", c->in[0], NULL, 0, lgamma_of, COST_SPECIAL);
}

bool op_lgamma_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = ito_mul(dy, ito_digamma(c->in[0]));
    return dx[0] != NULL;
}

ito_tensor *ito_lgamma(ito_tensor *x)
{
    return OP1(lgamma, x);
}

ito_tensor *op_digamma_forward(op_call *c)
{
    return map_doubles("digamma", c->in[0], NULL, 0, digamma_of, COST_SPECIAL);
}

bool op_digamma_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = ito_mul(dy, ito_polygamma(1, c->in[0]));
    return dx[0] != NULL;
}

ito_tensor *ito_digamma(ito_tensor *x)
{
    return OP1(digamma, x);
}

ito_tensor *op_polygamma_forward(op_call *c)
{
    double n = (double)*(const int64_t *)c->params;
    return map_doubles("polygamma", c->in[0], NULL, n, polygamma_of, 20 * COST_SPECIAL);
}

bool op_polygamma_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = ito_mul(dy, ito_polygamma(*(const int64_t *)c->params + 1, c->in[0]));
    return dx[0] != NULL;
}

ito_tensor *ito_polygamma(int64_t n, ito_tensor *x)
{
    if (n < 0)
        return error_null(ITO_ERR_ARGUMENT, "polygamma: the order %" PRId64 " is below 0", n);
    return n == 0 ? ito_digamma(x) : op_apply(OP_polygamma, &x, 1, &n, sizeof n);
}

/* ---- the inverse of the error function ---------------------------------------------------------
 */

/* By a formula that is 2e-3 off (Winitzki 2008), then Halley's steps, whose error is about the cube
 * of the last one's. Towards 1 the step is taken from the complement, which keeps its digits. */
static double erfinv_of(double x, double unused)
{
    (void)unused;
    double a = fabs(x);
    if (!(a < 1) || a == 0)
        return a == 1 ? copysign(HUGE_VAL, x) : a == 0 ? x : (double)NAN;
    double l = log1p(-a * a), b = 2 / (M_PI * 0.147) + l / 2;
    double y = sqrt(sqrt(b * b - l / 0.147) - b);
    for (int i = 0; i < 3; i++) {
        double error = a < 0.5 ? erf(y) - a : (1 - a) - erfc(y);
        double step = error / (M_2_SQRTPI * exp(-y * y));
        y -= step / (1 + y * step);
    }
    return copysign(y, x);
}

ito_tensor *op_erfinv_forward(op_call *c)
{
    return map_doubles("erfinv", c->in[0], NULL, 0, erfinv_of, 3 * COST_SPECIAL);
}

bool op_erfinv_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx) /* 1 / erf'(y) */
{
    dx[0] = ito_mul_scalar(ito_mul(dy, ito_exp(ito_square(c->out))), 1 / M_2_SQRTPI);
    return dx[0] != NULL;
}

ito_tensor *ito_erfinv(ito_tensor *x)
{
    return OP1(erfinv, x);
}

/* ---- sinc -------------------------------------------------------------------------------------
 */

/* The n-th derivative of sin(u) / u. Near 0 the series: that of sin(u) / u is the sum of (-1)^k
 * u^2k / (2k + 1)!, of which 2k (2k - 1) .. (2k - n + 1) u^(2k - n) remains. Farther out u f_n + n
 * f_(n-1) is the n-th derivative of sin(u). */
static double sinc_derivative(double u, int n)
{
    if (isnan(u))
        return u;
    if (fabs(u) > n + 1) {
        double f = sin(u) / u;
        for (int k = 1; k <= n; k++) {
            double wave = k % 4 == 0   ? sin(u)
                          : k % 4 == 1 ? cos(u)
                          : k % 4 == 2 ? -sin(u)
                                       : -cos(u);
            f = (wave - k * f) / u;
        }
        return f;
    }
    int k = (n + 1) / 2; /* the first term that remains */
    double term = (k % 2 == 0 ? 1 : -1) * (2 * k == n ? 1 : u), sum = 0;
    for (; fabs(term) > 0x1p-60 * fabs(sum); k++) { /* term: (-1)^k u^m / m! with m = 2k - n */
        int m = 2 * k - n;
        sum += term / (2 * k + 1);
        term *= -u * u / ((m + 1) * (m + 2));
    }
    return sum;
}

static double sinc_of(double x, double n)
{
    return pow(M_PI, n) * sinc_derivative(M_PI * x, (int)n);
}

ito_tensor *op_sinc_forward(op_call *c)
{
    double n = *(const int *)c->params;
    return map_doubles("sinc", c->in[0], NULL, n, sinc_of, COST_SPECIAL);
}

static ito_tensor *sinc(ito_tensor *x, int n)
{
    return op_apply(OP_sinc, &x, 1, &n, sizeof n);
}

bool op_sinc_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = ito_mul(dy, sinc(c->in[0], *(const int *)c->params + 1));
    return dx[0] != NULL;
}

ito_tensor *ito_sinc(ito_tensor *x)
{
    return sinc(x, 0);
}
