/* Element-wise functions of one and two arrays. Each formula stands once; map1 and map2 run it over
 * rows of stride 1 (whole vectors), stride 0 (one number repeated) and any other (gathered).
 *
 * An element's result depends on nothing but itself, so rows may be cut anywhere. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/elementwise.def"
#undef KERNEL_ROW

typedef vec unary_formula(vec x, vec p, vec q);
typedef vec binary_formula(vec a, vec b, vec p, vec q);

V_FN void map1(elem *y, const elem *x, int64_t stride, int64_t n, vec p, vec q, unary_formula *f)
{
    int64_t i = 0;
    if (stride == 1)
        for (; i + VL <= n; i += VL)
            e_storeu(y + i, f(e_loadu(x + i), p, q));
    for (; i < n; i += VL)
        e_store(y + i, f(e_gather(x + i * stride, stride, n - i), p, q), n - i);
}

V_FN void map2(elem *y, const elem *a, int64_t as, const elem *b, int64_t bs, int64_t n, vec p,
               vec q, binary_formula *f)
{
    int64_t i = 0;
    if (as == 1 && bs == 1)
        for (; i + VL <= n; i += VL)
            e_storeu(y + i, f(e_loadu(a + i), e_loadu(b + i), p, q));
    else if (as == 1 && bs == 0 && n >= VL)
        for (vec same = v_set1(e_get(*b)); i + VL <= n; i += VL)
            e_storeu(y + i, f(e_loadu(a + i), same, p, q));
    else if (as == 0 && bs == 1 && n >= VL)
        for (vec same = v_set1(e_get(*a)); i + VL <= n; i += VL)
            e_storeu(y + i, f(same, e_loadu(b + i), p, q));
    for (; i < n; i += VL) {
        vec va = e_gather(a + i * as, as, n - i), vb = e_gather(b + i * bs, bs, n - i);
        e_store(y + i, f(va, vb, p, q), n - i);
    }
}

#define UNARY(name, formula)                                                                       \
    V_FN vec name##_of(vec x, vec p, vec q)                                                        \
    {                                                                                              \
        (void)p, (void)q;                                                                          \
        return formula;                                                                            \
    }                                                                                              \
    void KERNEL(name)(void *y, const void *x, int64_t stride, int64_t n, double p, double q)       \
    {                                                                                              \
        map1(y, x, stride, n, v_set1((real)p), v_set1((real)q), name##_of);                        \
    }

#define BINARY(name, formula)                                                                      \
    V_FN vec name##_of(vec a, vec b, vec p, vec q)                                                 \
    {                                                                                              \
        (void)p, (void)q;                                                                          \
        return formula;                                                                            \
    }                                                                                              \
    void KERNEL(name)(void *y, const void *a, int64_t as, const void *b, int64_t bs, int64_t n,    \
                      double p, double q)                                                          \
    {                                                                                              \
        map2(y, a, as, b, bs, n, v_set1((real)p), v_set1((real)q), name##_of);                     \
    }

/* ---- pieces ---------------------------------------------------------------------------------- */

V_FN vec num(double x)
{
    return v_set1((real)x);
}

/* SLEEF's sin and cos reduce all lanes the long way if one of them is large, which would let an
 * element's last bit depend on its neighbours. Such vectors are taken lane by lane. */
V_FN vec trig(vec x, vec (*f)(vec))
{
    const vec limit = num(KERNEL_F64 ? 15 : 125); /* TRIGRANGEMAX2 and TRIGRANGEMAX2f, SLEEF 3.5 */
    if (v_hsum(v_select(v_lt(v_abs(x), limit), v_zero(), num(1))) == 0)
        return f(x);
    real lane[VL];
    v_storeu(lane, x);
    for (int i = 0; i < VL; i++) {
        real same[VL];
        v_storeu(same, f(v_set1(lane[i])));
        lane[i] = same[0];
    }
    return v_loadu(lane);
}

V_FN vec sign_of_lanes(vec x)
{
    vec positive = v_select(v_lt(v_zero(), x), num(1), v_zero());
    return v_select(v_lt(x, v_zero()), num(-1), positive);
}

/* -0 for what lies between -1 and 0, as round and trunc have it. */
V_FN vec ceil_of_lanes(vec x)
{
    return num(-0.0) - v_floor(num(-0.0) - x);
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), whose exp cannot overflow. */
V_FN vec log_one_plus_exp(vec x)
{
    return v_max(v_zero(), x) + v_log1p(v_exp(v_zero() - v_abs(x)));
}

/* Phi(x), the normal distribution function. */
V_FN vec normal_cdf(vec x)
{
    return num(0.5) + num(0.5) * v_erf(x * num(0.70710678118654752440));
}

/* sqrt(2 / pi) (x + 0.044715 x^3), doubled, and its derivative: gelu's approximation is x / 2 (1 +
 * tanh(half of it)) = x sigmoid(it). */
V_FN vec gelu_tanh_argument(vec x)
{
    return num(1.59576912160573071176) * x * v_fma(x * x, num(0.044715), num(1));
}

V_FN vec gelu_tanh_argument_slope(vec x)
{
    return num(1.59576912160573071176) * v_fma(x * x, num(3 * 0.044715), num(1));
}

/* tanh(log(1 + e)) = w / (w + 2) with e = exp(x), w = e (e + 2); 1 to the last bit from x = 20 on.
 */
V_FN vec mish_of_lanes(vec x)
{
    vec e = v_exp(v_min(num(20), x)), w = e * (e + num(2));
    return x * (w / (w + num(2)));
}

/* ---- one array ------------------------------------------------------------------------------- */

UNARY(abs, v_abs(x))
UNARY(acos, v_acos(x))
UNARY(acosh, v_acosh(x))
UNARY(asin, v_asin(x))
UNARY(asinh, v_asinh(x))
UNARY(atan, v_atan(x))
UNARY(atanh, v_atanh(x))
UNARY(ceil, ceil_of_lanes(x))
UNARY(clamp, v_min(q, v_max(p, x))) /* NaN stays NaN: min and max return their second operand */
UNARY(cos, trig(x, v_cos))
UNARY(cosh, v_cosh(x))
UNARY(elu, v_select(v_lt(v_zero(), x), x, (p * v_expm1(q * x))))
UNARY(erf, v_erf(x))
UNARY(erfc, v_erfc(x))
UNARY(exp, v_exp(x))
UNARY(exp2, v_exp2(x))
UNARY(expm1, v_expm1(x))
UNARY(floor, v_floor(x))
UNARY(gelu, (x * normal_cdf(x)))
UNARY(gelu_tanh, (x * v_sigmoid(gelu_tanh_argument(x))))
UNARY(hardswish, (x * (v_min(num(6), v_max(v_zero(), x + num(3))) / num(6))))
UNARY(leaky_relu, v_select(v_lt(v_zero(), x), x, (p * x)))
UNARY(log, v_log(x))
UNARY(log10, v_log10(x))
UNARY(log1p, v_log1p(x))
UNARY(log2, v_log2(x))
UNARY(mish, mish_of_lanes(x))
UNARY(neg, num(-0.0) - x)
UNARY(pow_scalar, v_pow(x, p))
UNARY(reciprocal, num(1) / x)
UNARY(relu, v_max(v_zero(), x))
UNARY(round, v_round(x))
UNARY(rsqrt, num(1) / v_sqrt(x))
UNARY(scale_shift, v_fma(p, x, q))
UNARY(sigmoid, v_sigmoid(x))
UNARY(sign, sign_of_lanes(x))
UNARY(silu, v_silu(x))
UNARY(sin, trig(x, v_sin))
UNARY(sinh, v_sinh(x))
UNARY(softplus, v_select(v_lt(q, p *x), x, (log_one_plus_exp(p * x) / p)))
UNARY(sqrt, v_sqrt(x))
UNARY(square, (x * x))
UNARY(tan, trig(x, v_tan))
UNARY(tanh, v_tanh(x))
UNARY(trunc, v_select(v_lt(x, v_zero()), ceil_of_lanes(x), v_floor(x)))

/* ---- two arrays ------------------------------------------------------------------------------ */

/* (x Phi(x))' = Phi(x) + x phi(x), phi the normal density. */
V_FN vec gelu_slope(vec x)
{
    vec density = num(0.39894228040143267794) * v_exp(num(-0.5) * x * x);
    return v_fma(x, density, normal_cdf(x));
}

/* With the argument 2 u and s = sigmoid(2 u): (x s)' = s + x s (1 - s) (2 u)'. Beyond 10 the second
 * term is 0, where x^3 might overflow. */
V_FN vec gelu_tanh_slope(vec x)
{
    vec s = v_sigmoid(gelu_tanh_argument(x)), near = v_min(num(10), v_max(num(-10), x));
    return v_fma(near * gelu_tanh_argument_slope(near), s * (num(1) - s), s);
}

/* 0 up to -3, 1 from 3 on, x / 3 + 1 / 2 between. */
V_FN vec hardswish_slope(vec x)
{
    vec between = v_select(v_le(num(3), x), num(1), x / num(3) + num(0.5));
    return v_select(v_le(x, num(-3)), v_zero(), between);
}

/* (x t)' = t + x (1 - t^2) sigmoid(x) with t = w / (w + 2) as above, in terms of e. From 30 on it
 * is 1 to the last bit. */
V_FN vec mish_slope(vec x)
{
    vec near = v_min(num(30), x), e = v_exp(near), w = e * (e + num(2)), all = w + num(2);
    return w / all + near * num(4) * e * (num(1) + e) / (all * all);
}

/* max(a, b) + log(1 + exp(-|a - b|)); equal ones, which may be infinite, have no difference. */
V_FN vec logaddexp_lanes(vec a, vec b)
{
    vec far = v_max_nan(a, b) + v_log1p(v_exp(v_zero() - v_abs(a - b)));
    return v_select(v_eq(a, b), a + num(0.69314718055994530942), far);
}

BINARY(add, a + b)
BINARY(atan2, v_atan2(a, b))
BINARY(axpby, v_fma(p, a, (q * b)))
BINARY(div, a / b)
BINARY(elu_backward, v_select(v_lt(v_zero(), a), b, (b * (p * q) * v_exp(q * a))))
BINARY(gelu_backward, (b * gelu_slope(a)))
BINARY(gelu_tanh_backward, (b * gelu_tanh_slope(a)))
BINARY(hardswish_backward, (b * hardswish_slope(a)))
BINARY(hypot, v_hypot(a, b))
BINARY(leaky_relu_backward, v_select(v_lt(v_zero(), a), b, (p * b)))
BINARY(logaddexp, logaddexp_lanes(a, b))
BINARY(maximum, v_max_nan(a, b))
BINARY(minimum, v_min_nan(a, b))
BINARY(mish_backward, (b * mish_slope(a)))
BINARY(mul, (a * b))
BINARY(pow, v_pow(a, b))
BINARY(silu_backward, (b * v_silu_slope(a)))
BINARY(sub, a - b)
