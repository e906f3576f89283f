/* The transcendental functions of vec.h: the one place where SLEEF is met. With ITO_NO_SLEEF they
 * are those of the C library, one lane after the other. Accuracy is SLEEF's u10 level (1.0 ulp) in
 * both real types; exp of floats is our own, at the same level and inlined: 1.6 times as fast. What
 * activations and softmax live on is a shorter one again, since on AVX2 they are bound by the two
 * units that multiply. A result depends on its lane alone, so chunk boundaries never show.
 * Different instruction sets may differ in the last bit. */
#ifdef ITO_NO_SLEEF
#include <math.h>

#if KERNEL_F64
#define V_OF_LIBM(name) name
#else
#define V_OF_LIBM(name) name##f
#endif
#define V_UNARY(name, level)                                                                       \
    V_FN vec v_##name(vec a)                                                                       \
    {                                                                                              \
        real lane[VL];                                                                             \
        v_storeu(lane, a);                                                                         \
        for (int i = 0; i < VL; i++)                                                               \
            lane[i] = V_OF_LIBM(name)(lane[i]);                                                    \
        return v_loadu(lane);                                                                      \
    }
#define V_BINARY(name, level)                                                                      \
    V_FN vec v_##name(vec a, vec b)                                                                \
    {                                                                                              \
        real lane[VL], other[VL];                                                                  \
        v_storeu(lane, a);                                                                         \
        v_storeu(other, b);                                                                        \
        for (int i = 0; i < VL; i++)                                                               \
            lane[i] = V_OF_LIBM(name)(lane[i], other[i]);                                          \
        return v_loadu(lane);                                                                      \
    }
#else
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
#define V_BINARY(name, level)                                                                      \
    V_FN vec v_##name(vec a, vec b)                                                                \
    {                                                                                              \
        return V_SLEEF(name, level)(a, b);                                                         \
    }
#endif
V_UNARY(acos, u10)
V_UNARY(acosh, u10)
V_UNARY(asin, u10)
V_UNARY(asinh, u10)
V_UNARY(atan, u10)
V_UNARY(atanh, u10)
V_UNARY(cos, u10)
V_UNARY(cosh, u10)
V_UNARY(erf, u10)
V_UNARY(erfc, u15) /* 1.5 ulp */
V_UNARY(exp2, u10)
V_UNARY(expm1, u10)
V_UNARY(log, u10)
V_UNARY(log10, u10)
V_UNARY(log1p, u10)
V_UNARY(log2, u10)
V_UNARY(sin, u10)
V_UNARY(sinh, u10)
V_UNARY(tan, u10)
V_UNARY(tanh, u10)
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
V_BINARY(pow, u10)
V_BINARY(atan2, u10)
V_BINARY(hypot, u05)
#undef V_UNARY
#undef V_BINARY

/* ---- exponentials for activations and softmax, V_ROWS vectors at a time: step by step for all of
 * them, since one after the other they fill the scheduler with instructions that wait. */

enum { V_ROWS = 4 };

#if KERNEL_F64
V_FN void v_exp_normal(vec *a, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        a[i] = v_exp(a[i]);
}

V_FN void v_one_plus_exp(vec *a, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        a[i] = v_set1(1.0) + v_exp(a[i]);
}
#else
/* Added to a number of at most 2^22 it rounds it to a whole one: the low bits of the sum. */
#define V_WHOLE v_set1(0x1.8p23f)

/* exp(a) as the product of what a becomes and power: 2^n exp(r) as in v_exp, by a polynomial
 * shorter by one (within 0.06 units in the last place, before roundings). 2^n is 0 for n = -127 and
 * infinity for n = 128; NaN passes. */
V_FN void v_exp_factors(vec *a, vec *power, int64_t count)
{
    static const float c[] = {0x1.123856p-7f, 0x1.5558bep-5f, 0x1.555494p-3f, 0x1.fffffcp-2f, 1, 1};
    vec n[V_ROWS], q[V_ROWS];
    for (int64_t i = 0; i < count; i++)
        a[i] = v_min(v_set1(88.8f), v_max(v_set1(-88.1f), a[i]));
    for (int64_t i = 0; i < count; i++)
        power[i] = v_fma(a[i], v_set1(0x1.715476p+0f), V_WHOLE);
    for (int64_t i = 0; i < count; i++)
        n[i] = power[i] - V_WHOLE;
    for (int64_t i = 0; i < count; i++)
        a[i] = v_fnma(n[i], v_set1(0x1.62e4p-1f), a[i]);
    for (int64_t i = 0; i < count; i++) {
        a[i] = v_fnma(n[i], v_set1(0x1.7f7d1cp-20f), a[i]);
        q[i] = v_set1(0x1.6a3d12p-10f);
    }
    for (int k = 0; k < 6; k++)
        for (int64_t i = 0; i < count; i++)
            q[i] = v_fma(q[i], a[i], v_set1(c[k]));
    for (int64_t i = 0; i < count; i++) {
        a[i] = q[i];
        power[i] = v_power(power[i]);
    }
}

/* Each a becomes exp(a) where that is a normal number; 0 from 2^-126.5 down, infinity from 2^127.5
 * up. */
V_FN void v_exp_normal(vec *a, int64_t count)
{
    vec power[V_ROWS];
    v_exp_factors(a, power, count);
    for (int64_t i = 0; i < count; i++)
        a[i] = a[i] * power[i];
}

/* Each a becomes 1 + exp(a). */
V_FN void v_one_plus_exp(vec *a, int64_t count)
{
    vec power[V_ROWS];
    v_exp_factors(a, power, count);
    for (int64_t i = 0; i < count; i++)
        a[i] = v_fma(a[i], power[i], v_set1(1.0f));
}
#endif

/* 1 / (1 + exp(-a)): finite for every a, 0 and 1 at the ends. */
V_FN vec v_sigmoid(vec a)
{
    vec e = v_set1((real)0) - a;
    v_one_plus_exp(&e, 1);
    return v_set1((real)1) / e;
}

V_FN vec v_silu(vec a)
{
    vec e = v_set1((real)0) - a;
    v_one_plus_exp(&e, 1);
    return a / e;
}

/* With s = sigmoid(a): (a s)' = s + a s (1 - s). */
V_FN vec v_silu_slope(vec a)
{
    vec s = v_sigmoid(a), one = v_set1((real)1);
    return s * v_fma(a, one - s, one);
}
