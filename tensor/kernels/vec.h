/* The vector header: one vocabulary for every instruction set and element type.
 *
 * A kernel file is compiled once per instruction set and element type (see meson.build), with
 *     KERNEL_ISA    base, avx2, avx512, avx512bf16, neon or neonbf16   (a suffix of the names it
 *                   defines; for the last two with KERNEL_NEON: base is compiled with NEON as well)
 *     KERNEL_ELEM   f32, f64 or bf16                   (another suffix)
 *     KERNEL_F64, KERNEL_BF16   1 where KERNEL_ELEM is that type, else 0
 * and sees: `elem`, what lies in tensors; `real`, what it is computed in: double for f64, else
 * float; `vec`, VL lanes of reals; `mask`, a lane-wise truth value.
 * Vectors take + - * / (a GNU vector extension); everything else is a v_ function below. Elements
 * are loaded and stored by e_ functions, which convert bf16 and are the v_ functions otherwise;
 * parameters, statistics, panels and scratch are reals.
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

#include "tensor/convert.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(KERNEL_NEON)
#include <arm_neon.h>
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
#if KERNEL_BF16
typedef uint16_t elem;
#else
typedef real elem;
#endif
/* The name of a kernel in this compilation: KERNEL(silu) is silu_avx2_f32, say. */
#define KERNEL(name) KERNEL_CAT3(name, KERNEL_ISA, KERNEL_ELEM)
/* The kernel of reals that elements of this compilation share: of f32 where KERNEL has bf16. */
#define KERNEL_OF_REALS(name) KERNEL_CAT3(name, KERNEL_ISA, KERNEL_REAL)

#define V_FN static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__)
#include "tensor/kernels/vec_avx512.h"
#elif defined(__AVX2__) || defined(KERNEL_AVX2) /* Clang's attributes define no macro */
#include "tensor/kernels/vec_avx2.h"
#elif defined(KERNEL_NEON)
#include "tensor/kernels/vec_neon.h"
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

/* v, and `fill` from lane n on. */
V_FN vec v_first(vec v, int64_t n, real fill)
{
    static const real lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    if (n >= VL)
        return v;
    return v_select(v_lt(v_loadu(lane), v_set1((real)n)), v, v_set1(fill));
}

/* Sum and maximum of all lanes, by halving: the same tree whatever surrounds it. AVX-512 and NEON
 * have sums of their own, by the same tree: GCC takes this one through memory. */
#ifndef V_HSUM
V_FN real v_hsum(vec a)
{
    real lane[VL];
    v_storeu(lane, a);
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}
#endif

V_FN real v_hmax(vec a)
{
    real lane[VL];
    v_storeu(lane, a);
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] = lane[i] > lane[i + half] || lane[i] != lane[i] ? lane[i] : lane[i + half];
    return lane[0];
}

/* ---- elements ------------------------------------------------------------------------------- */

#if KERNEL_BF16

V_FN real e_get(elem e)
{
    return bf16_to_f32(e);
}

V_FN elem e_of(real x)
{
    return f32_to_bf16(x);
}

V_FN vec e_loadu(const elem *p)
{
    return v_from_bf16(p);
}

V_FN void e_storeu(elem *p, vec a)
{
    v_to_bf16(p, a);
}

/* Tails pass through a vector's worth of elements, but for AVX-512, which has masks for them. */
#ifndef V_BF16_TAILS
V_FN vec e_load(const elem *p, int64_t n)
{
    if (n >= VL)
        return e_loadu(p);
    elem lane[VL] = {0};
    for (int64_t i = 0; i < n; i++)
        lane[i] = p[i];
    return e_loadu(lane);
}

V_FN void e_store(elem *p, vec a, int64_t n)
{
    if (n >= VL) {
        e_storeu(p, a);
        return;
    }
    elem lane[VL];
    e_storeu(lane, a);
    for (int64_t i = 0; i < n; i++)
        p[i] = lane[i];
}
#endif

#else

V_FN real e_get(elem e)
{
    return e;
}

V_FN elem e_of(real x)
{
    return x;
}

V_FN vec e_loadu(const elem *p)
{
    return v_loadu(p);
}

V_FN void e_storeu(elem *p, vec a)
{
    v_storeu(p, a);
}

V_FN vec e_load(const elem *p, int64_t n)
{
    return v_load(p, n);
}

V_FN void e_store(elem *p, vec a, int64_t n)
{
    v_store(p, a, n);
}

#endif

/* Elements p[0], p[stride], ...: n of them (at most VL); stride 0 repeats one, 1 is e_load. */
V_FN vec e_gather(const elem *p, int64_t stride, int64_t n)
{
    if (stride == 1)
        return e_load(p, n);
    if (stride == 0)
        return v_set1(e_get(*p));
    real lane[VL] = {0};
    for (int64_t i = 0; i < (n < VL ? n : VL); i++)
        lane[i] = e_get(p[i * stride]);
    return v_loadu(lane);
}

#endif
