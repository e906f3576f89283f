/* The vector header: one vocabulary for every instruction set and both real types.
 *
 * A kernel file is compiled once per instruction set and real type (see meson.build), with
 *     KERNEL_ISA   base, avx2, avx512 or avx512bf16   (a suffix of the names it defines)
 *     KERNEL_F64   1 for double, 0 for float
 * and sees: `real`, the element type; `vec`, VL lanes of it; `mask`, a lane-wise truth value.
 * Vectors take + - * / (a GNU vector extension); everything else is a v_ function below.
 *
 * Invariant: a result lane depends on its input lanes only, so any split of an element-wise loop
 * gives the same bits. Tails go through v_load(p, n) / v_store(p, v, n), which touch n < VL
 * elements and run the same code as whole vectors; unread lanes are 0. Nothing here contracts
 * a * b + c by itself (-ffp-contract=off): a fused multiply-add is written v_fma.
 */
#ifndef ITO_KERNELS_VEC_H
#define ITO_KERNELS_VEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define KERNEL_CAT3_(a, b, c) a##_##b##_##c
#define KERNEL_CAT3(a, b, c) KERNEL_CAT3_(a, b, c)
#if KERNEL_F64
typedef double real;
#define KERNEL_REAL f64
#else
typedef float real;
#define KERNEL_REAL f32
#endif
/* The name of a kernel in this compilation: KERNEL(silu) is silu_avx2_f32, say. */
#define KERNEL(name) KERNEL_CAT3(name, KERNEL_ISA, KERNEL_REAL)

#define V_FN static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__)
#include "tensor/kernels/vec_avx512.h"
#elif defined(__AVX2__)
#include "tensor/kernels/vec_avx2.h"
#else
#include "tensor/kernels/vec_base.h"
#endif
#include "tensor/kernels/vec_math.h"

V_FN vec v_zero(void)
{
    return v_set1((real)0);
}

V_FN vec v_abs(vec a)
{
    return v_max(a, v_zero() - a); /* NaN stays NaN: max returns its second operand then */
}

/* min and max that hand a NaN of either operand on, as PyTorch's do. */
V_FN vec v_max_nan(vec a, vec b)
{
    return v_select(v_ne(a, a), a, v_max(a, b));
}

V_FN vec v_min_nan(vec a, vec b)
{
    return v_select(v_ne(a, a), a, v_min(a, b));
}

/* Sum and maximum of all lanes, by halving: the same tree whatever surrounds it. */
V_FN real v_hsum(vec a)
{
    real lane[VL];
    v_storeu(lane, a);
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

V_FN real v_hmax(vec a)
{
    real lane[VL];
    v_storeu(lane, a);
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] = lane[i] > lane[i + half] || lane[i] != lane[i] ? lane[i] : lane[i + half];
    return lane[0];
}

/* Elements p[0], p[stride], ...: n of them (at most VL); stride 0 repeats one, 1 is v_load. */
V_FN vec v_gather(const real *p, int64_t stride, int64_t n)
{
    if (stride == 1)
        return v_load(p, n);
    if (stride == 0)
        return v_set1(*p);
    real lane[VL] = {0};
    for (int64_t i = 0; i < (n < VL ? n : VL); i++)
        lane[i] = p[i * stride];
    return v_loadu(lane);
}

#endif
