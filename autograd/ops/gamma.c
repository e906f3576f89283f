/* The incomplete gamma function, by its series below x = a + 1 and its continued fraction above
 * (Abramowitz, Stegun 1964, 6.5.29 and 6.5.31), each with its derivative by a; and its inverse by
 * Halley's steps from the guesses of DiDonato and Morris 1986. */
#include "autograd/ops/gamma.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

double digamma_positive(double x)
{
    double sum = 0;
    while (x < 10)
        sum -= 1 / x++;
    double y = 1 / (x * x); /* 6.3.18 */
    double tail = y * (1.0 / 12 - y * (1.0 / 120 - y * (1.0 / 252 - y * (1.0 / 240 - y / 132))));
    return sum + log(x) - 0.5 / x - tail;
}

/* A number and its derivative by a. */
typedef struct dual {
    double value, slope;
} dual;

/* The sum of x^k / ((a + 1) ... (a + k)): P(a, x) is it times x^a exp(-x) / Gamma(a + 1). */
static dual series(double a, double x)
{
    dual sum = {1, 0}, term = {1, 0};
    const double small = DBL_EPSILON / 16;
    for (int64_t k = 1; term.value > DBL_MIN && (term.value > sum.value * small ||
                                                 fabs(term.slope) > fabs(sum.slope) * small);
         k++) {
        double factor = x / (a + (double)k);
        term.slope = factor * (term.slope - term.value / (a + (double)k));
        term.value *= factor;
        sum.slope += term.slope;
        sum.value += term.value;
    }
    return sum;
}

/* 1 - P(a, x) is this times x^a exp(-x) / Gamma(a): Lentz's evaluation. */
static dual fraction(double a, double x)
{
    double b = x + 1 - a;
    dual c = {1 / DBL_MIN, 0}, d = {1 / b, 1 / (b * b)}, h = d;
    for (int64_t k = 1; k < 100000; k++) {
        double i = (double)k, n = -i * (i - a), slope = i; /* the numerator, and its derivative */
        b += 2;
        double below = n * d.value + b, below_slope = slope * d.value + n * d.slope - 1;
        double next = b + n / c.value;
        c.slope = -1 + (slope - n * c.slope / c.value) / c.value;
        c.value = next;
        d = (dual){1 / below, -below_slope / (below * below)};
        dual ratio = {d.value * c.value, d.slope * c.value + d.value * c.slope};
        h.slope = h.slope * ratio.value + h.value * ratio.slope;
        h.value *= ratio.value;
        if (fabs(ratio.value - 1) < DBL_EPSILON && fabs(ratio.slope) < DBL_EPSILON)
            break;
    }
    return h;
}

static bool by_series(double a, double x)
{
    return x < a + 1;
}

/* x^a exp(-x) / Gamma(a) */
static double weight(double a, double x)
{
    return exp(a * log(x) - x - lgamma(a));
}

double gamma_p(double a, double x)
{
    if (x <= 0)
        return 0;
    return by_series(a, x) ? series(a, x).value * weight(a, x) / a
                           : 1 - fraction(a, x).value * weight(a, x);
}

/* Above the middle the step is taken for 1 - p, which is small there. */
double gamma_p_inverse(double a, double p)
{
    double x;
    if (a > 1) { /* Wilson and Hilferty, from the quantile of the normal distribution */
        double tail = p < 0.5 ? p : 1 - p, t = sqrt(-2 * log(tail));
        double z = (2.30753 + t * 0.27061) / (1 + t * (0.99229 + t * 0.04481)) - t;
        double root = 1 - 1 / (9 * a) + (p < 0.5 ? z : -z) / (3 * sqrt(a));
        x = fmax(1e-3, a * root * root * root);
    } else {
        double t = 1 - a * (0.253 + a * 0.12);
        x = p < t ? pow(p / t, 1 / a) : 1 - log(1 - (p - t) / (1 - t));
    }
    for (int i = 0; i < 20 && x > DBL_MIN; i++) {
        double w = weight(a, x), error;
        if (by_series(a, x))
            error = series(a, x).value * w / a - p;
        else
            error = 1 - p - fraction(a, x).value * w;
        double u = error * x / w; /* the density is w / x */
        double step = u / (1 - 0.5 * fmin(1, u * ((a - 1) / x - 1)));
        double next = x - step;
        x = next > 0 ? next : x / 2;
        if (fabs(step) < 1e-15 * x)
            break;
    }
    return x;
}

/* -(dP/da) / (dP/dx), where x^a exp(-x) / Gamma(a) is left out of both. */
double gamma_p_inverse_slope(double a, double x)
{
    if (x <= 0)
        return 0;
    double bend = log(x) - digamma_positive(a);
    if (by_series(a, x)) {
        dual s = series(a, x);
        return -x / a * (s.slope + s.value * (bend - 1 / a));
    }
    dual h = fraction(a, x);
    return x * (h.slope + h.value * bend);
}
