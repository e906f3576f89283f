/* Functions of one array, element by element: each rule of differentiation below its function.
 * Where a rule can use the result instead of the input it does, since the result is at hand. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/params.h"

#include <math.h>

/* dx = an expression of x or y (whichever is saved) and dy. */
#define BACKWARD(name, expression)                                                                 \
    bool op_##name##_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)                   \
    {                                                                                              \
        ito_tensor *x = c->in[0], *y = c->out;                                                     \
        (void)x, (void)y;                                                                          \
        dx[0] = expression;                                                                        \
        return dx[0] != NULL;                                                                      \
    }
/* Piecewise constant functions: their gradient is 0. */
#define BACKWARD_ZERO(name)                                                                        \
    bool op_##name##_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)                   \
    {                                                                                              \
        (void)c, (void)dy, (void)dx;                                                               \
        return true;                                                                               \
    }

UNARY(abs, COST_PLAIN)
BACKWARD(abs, ito_mul(dy, ito_sign(x)))

UNARY(square, COST_PLAIN)
BACKWARD(square, ito_mul(dy, ito_mul_scalar(x, 2)))

UNARY(sqrt, COST_PLAIN)
BACKWARD(sqrt, ito_mul_scalar(ito_div(dy, y), 0.5))

UNARY(rsqrt, COST_PLAIN) /* (x^-1/2)' = -1/2 y^3 */
BACKWARD(rsqrt, ito_mul_scalar(ito_mul(dy, ito_mul(y, ito_square(y))), -0.5))

UNARY(reciprocal, COST_PLAIN)
BACKWARD(reciprocal, ito_neg(ito_mul(dy, ito_square(y))))

UNARY(exp, COST_MATH)
BACKWARD(exp, ito_mul(dy, y))

UNARY(expm1, COST_MATH)
BACKWARD(expm1, ito_mul(dy, ito_add_scalar(y, 1)))

UNARY(log, COST_MATH)
BACKWARD(log, ito_div(dy, x))

UNARY(log1p, COST_MATH)
BACKWARD(log1p, ito_div(dy, ito_add_scalar(x, 1)))

UNARY(sin, COST_MATH)
BACKWARD(sin, ito_mul(dy, ito_cos(x)))

UNARY(cos, COST_MATH)
BACKWARD(cos, ito_neg(ito_mul(dy, ito_sin(x))))

UNARY(tanh, COST_MATH) /* 1 - y^2 */
BACKWARD(tanh, ito_sub(dy, ito_mul(dy, ito_square(y))))

UNARY(tan, COST_MATH) /* 1 + y^2 */
BACKWARD(tan, ito_add(dy, ito_mul(dy, ito_square(y))))

/* 1 / sqrt(1 - x^2), the slope of the arc sine. */
static ito_tensor *arc_slope(ito_tensor *x)
{
    return ito_rsqrt(ito_add_scalar(ito_neg(ito_square(x)), 1));
}

UNARY(asin, COST_MATH)
BACKWARD(asin, ito_mul(dy, arc_slope(x)))

UNARY(acos, COST_MATH)
BACKWARD(acos, ito_neg(ito_mul(dy, arc_slope(x))))

UNARY(atan, COST_MATH)
BACKWARD(atan, ito_div(dy, ito_add_scalar(ito_square(x), 1)))

UNARY(sinh, COST_MATH)
BACKWARD(sinh, ito_mul(dy, ito_cosh(x)))

UNARY(cosh, COST_MATH)
BACKWARD(cosh, ito_mul(dy, ito_sinh(x)))

UNARY(asinh, COST_MATH)
BACKWARD(asinh, ito_mul(dy, ito_rsqrt(ito_add_scalar(ito_square(x), 1))))

UNARY(acosh, COST_MATH)
BACKWARD(acosh, ito_mul(dy, ito_rsqrt(ito_add_scalar(ito_square(x), -1))))

UNARY(atanh, COST_MATH)
BACKWARD(atanh, ito_div(dy, ito_add_scalar(ito_neg(ito_square(x)), 1)))

UNARY(exp2, COST_MATH)
BACKWARD(exp2, ito_mul_scalar(ito_mul(dy, y), M_LN2))

UNARY(log2, COST_MATH)
BACKWARD(log2, ito_mul_scalar(ito_div(dy, x), M_LOG2E))

UNARY(log10, COST_MATH)
BACKWARD(log10, ito_mul_scalar(ito_div(dy, x), M_LOG10E))

UNARY(erf, COST_MATH) /* 2 / sqrt(pi) exp(-x^2) */
BACKWARD(erf, ito_mul_scalar(ito_mul(dy, ito_exp(ito_neg(ito_square(x)))), M_2_SQRTPI))

UNARY(erfc, 2 * COST_MATH)
BACKWARD(erfc, ito_mul_scalar(ito_mul(dy, ito_exp(ito_neg(ito_square(x)))), -M_2_SQRTPI))

UNARY(sigmoid, COST_MATH) /* y (1 - y) */
BACKWARD(sigmoid, ito_mul(dy, ito_sub(y, ito_square(y))))

UNARY(ceil, COST_PLAIN)
BACKWARD_ZERO(ceil)
UNARY(floor, COST_PLAIN)
BACKWARD_ZERO(floor)
UNARY(round, COST_PLAIN)
BACKWARD_ZERO(round)
UNARY(sign, COST_PLAIN)
BACKWARD_ZERO(sign)
UNARY(trunc, COST_PLAIN)
BACKWARD_ZERO(trunc)

/* ---- neg: of integers too -------------------------------------------------------------------- */

ito_tensor *op_neg_forward(op_call *c)
{
    ito_tensor *x = c->in[0];
    if (ito_dtype_is_float(x->dtype))
        return map_unary(x, kernels(x->dtype)->neg, 0, 0, COST_PLAIN);
    iterate_row *row = integer_row(INTEGER_SUB, "neg", x->dtype);
    ito_tensor *zero = row == NULL ? NULL : ito_scalar(0, x->dtype);
    return zero == NULL ? NULL : map_binary_rows("neg", zero, x, x->dtype, row, NULL, COST_PLAIN);
}

BACKWARD(neg, ito_neg(dy))

ito_tensor *ito_neg(ito_tensor *x)
{
    return OP1(neg, x);
}

/* ---- with numbers ---------------------------------------------------------------------------- */

ito_tensor *op_scale_shift_forward(op_call *c)
{
    const two_numbers *n = c->params;
    double shift = n->q == 0 ? -0.0 : n->q; /* adding -0 keeps the sign of a zero, +0 does not */
    return map_unary(c->in[0], kernels(c->dtype[0])->scale_shift, n->p, shift, COST_PLAIN);
}

/* In place if nobody else needs dy. */
static ito_tensor *scaled(const op_call *c, ito_tensor *dy, double scale)
{
    return c->own_dy ? ito_mul_scalar_(dy, scale) : ito_mul_scalar(dy, scale);
}

BACKWARD(scale_shift, scaled(c, dy, ((const two_numbers *)c->params)->p))

/* One row of the table has two names for callers, who are told theirs. */
static ito_tensor *scale_shift(const char *name, ito_tensor *x, two_numbers n)
{
    if (!check_real(name, &x, 1))
        return NULL;
    return op_apply(OP_scale_shift, &x, 1, &n, sizeof n);
}

ito_tensor *ito_add_scalar(ito_tensor *x, double shift)
{
    return scale_shift("add_scalar", x, (two_numbers){1, shift});
}

ito_tensor *ito_mul_scalar(ito_tensor *x, double scale)
{
    return scale_shift("mul_scalar", x, (two_numbers){scale, 0});
}

ito_tensor *op_clamp_forward(op_call *c)
{
    const two_numbers *n = c->params;
    return map_unary(c->in[0], kernels(c->dtype[0])->clamp, n->p, n->q, COST_PLAIN);
}

bool op_clamp_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const two_numbers *n = c->params;
    ito_tensor *x = c->in[0];
    ito_tensor *above = ito_gt(x, ito_scalar(n->p, x->dtype));
    ito_tensor *below = ito_lt(x, ito_scalar(n->q, x->dtype));
    dx[0] = grad_where(ito_mul(above, below), dy);
    return dx[0] != NULL;
}

ito_tensor *ito_clamp(ito_tensor *x, double low, double high)
{
    two_numbers n = {low, high};
    return op_apply(OP_clamp, &x, 1, &n, sizeof n);
}

/* Powers that arithmetic gives at a fraction of pow's cost; the rest take logarithms. */
ito_tensor *op_pow_scalar_forward(op_call *c)
{
    double exponent = *(const double *)c->params;
    const kernel_table *k = kernels(c->dtype[0]);
    if (exponent == 1)
        return map_unary(c->in[0], k->scale_shift, 1, -0.0, COST_PLAIN);
    unary_kernel *quick = exponent == 2      ? k->square
                          : exponent == 0.5  ? k->sqrt
                          : exponent == -0.5 ? k->rsqrt
                          : exponent == -1   ? k->reciprocal
                                             : NULL;
    if (quick != NULL)
        return map_unary(c->in[0], quick, 0, 0, COST_PLAIN);
    return map_unary(c->in[0], k->pow_scalar, exponent, 0, 4 * COST_MATH);
}

bool op_pow_scalar_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    double exponent = *(const double *)c->params;
    if (exponent == 0)
        return true;
    ito_tensor *slope = ito_mul_scalar(ito_pow_scalar(c->in[0], exponent - 1), exponent);
    dx[0] = ito_mul(dy, slope);
    return dx[0] != NULL;
}

ito_tensor *ito_pow_scalar(ito_tensor *x, double exponent)
{
    return op_apply(OP_pow_scalar, &x, 1, &exponent, sizeof exponent);
}
