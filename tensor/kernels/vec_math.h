/* The transcendental functions of vec.h: the one place where SLEEF is met.
 * Accuracy is SLEEF's u10 level (1.0 ulp) in both real types; exp of floats, which the activations
 * live on, is our own, at the same level and inlined: 1.6 times as fast. A result depends on its
 * lane alone, so chunk boundaries never show. Different instruction sets may differ in the last
 * bit. */
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wstrict-prototypes"
#endif
#include <sleef.h>
#ifdef __clang__
#pragma clang diagnostic pop
#endif

#if KERNEL_F64
#define V_SLEEF_REAL d
#else
#define V_SLEEF_REAL f
#endif
#define V_SLEEF__(f, r, lanes, level, isa) Sleef_##f##r##lanes##_##level##isa
#define V_SLEEF_(f, r, lanes, level, isa) V_SLEEF__(f, r, lanes, level, isa)
#define V_SLEEF(f, level) V_SLEEF_(f, V_SLEEF_REAL, VL, level, V_SLEEF_ISA)

#define V_UNARY(name, level)                                                                       \
    V_FN vec v_##name(vec a)                                                                       \
    {                                                                                              \
        return V_SLEEF(name, level)(a);                                                            \
    }
V_UNARY(exp2, u10)
V_UNARY(expm1, u10)
V_UNARY(log, u10)
V_UNARY(log2, u10)
V_UNARY(log1p, u10)
V_UNARY(sin, u10)
V_UNARY(cos, u10)
V_UNARY(tanh, u10)
V_UNARY(erf, u10)
#if KERNEL_F64
V_UNARY(exp, u10)
#else
/* exp(a) = 2^n exp(r) with r = a - n log(2), |r| <= log(2) / 2. The high part of log(2) has 15
 * bits, so that n times it is exact. exp(r) is 1 + (r + r^2 q(r)), q a minimax polynomial
 * (SLEEF's). At the bounds the scaling makes 0 and infinity; NaN passes both. */
V_FN vec v_exp(vec a)
{
    a = v_min(v_set1(89.0f), v_max(v_set1(-104.0f), a));
    vec n = v_round(a * v_set1(0x1.715476p+0f));
    vec r = v_fnma(n, v_set1(0x1.62e4p-1f), a);
    r = v_fnma(n, v_set1(0x1.7f7d1cp-20f), r);
    vec q = v_set1(0.000198527617612853646278381f);
    q = v_fma(q, r, v_set1(0.00139304355252534151077271f));
    q = v_fma(q, r, v_set1(0.00833336077630519866943359f));
    q = v_fma(q, r, v_set1(0.0416664853692054748535156f));
    q = v_fma(q, r, v_set1(0.166666671633720397949219f));
    q = v_fma(q, r, v_set1(0.5f));
    return v_scale(v_set1(1.0f) + v_fma(r * r, q, r), n);
}
#endif
#undef V_UNARY

V_FN vec v_pow(vec a, vec b)
{
    return V_SLEEF(pow, u10)(a, b);
}

/* 1 / (1 + exp(-a)): finite for every a, 0 and 1 at the ends. */
V_FN vec v_sigmoid(vec a)
{
    return v_set1((real)1) / (v_set1((real)1) + v_exp(v_set1((real)0) - a));
}

V_FN vec v_silu(vec a)
{
    return a / (v_set1((real)1) + v_exp(v_set1((real)0) - a));
}

/* With s = sigmoid(a): (a s)' = s + a s (1 - s). */
V_FN vec v_silu_slope(vec a)
{
    vec s = v_sigmoid(a), one = v_set1((real)1);
    return s * v_fma(a, one - s, one);
}
