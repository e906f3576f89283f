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

/* Phi(x), the normal distribution function. */
V_FN vec normal_cdf(vec x)
{
    return num(0.5) + num(0.5) * v_erf(x * num(0.70710678118654752440));
}

/* ---- one array ------------------------------------------------------------------------------- */

UNARY(abs, v_abs(x))
UNARY(clamp, v_min(q, v_max(p, x))) /* NaN stays NaN: min and max return their second operand */
UNARY(cos, trig(x, v_cos))
UNARY(erf, v_erf(x))
UNARY(exp, v_exp(x))
UNARY(expm1, v_expm1(x))
UNARY(floor, v_floor(x))
UNARY(gelu, (x * normal_cdf(x)))
UNARY(log, v_log(x))
UNARY(log1p, v_log1p(x))
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
/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), whose exp cannot overflow. */
UNARY(softplus, v_max(v_zero(), x) + v_log1p(v_exp(v_zero() - v_abs(x))))
UNARY(sqrt, v_sqrt(x))
UNARY(square, (x * x))
UNARY(tanh, v_tanh(x))

/* ---- two arrays ------------------------------------------------------------------------------ */

/* (x Phi(x))' = Phi(x) + x phi(x), phi the normal density. */
V_FN vec gelu_slope(vec x)
{
    vec density = num(0.39894228040143267794) * v_exp(num(-0.5) * x * x);
    return v_fma(x, density, normal_cdf(x));
}

BINARY(add, a + b)
BINARY(axpby, v_fma(p, a, (q * b)))
BINARY(div, a / b)
BINARY(gelu_backward, (b * gelu_slope(a)))
BINARY(maximum, v_max_nan(a, b))
BINARY(minimum, v_min_nan(a, b))
BINARY(mul, (a * b))
BINARY(pow, v_pow(a, b))
BINARY(silu_backward, (b * v_silu_slope(a)))
BINARY(sub, a - b)
