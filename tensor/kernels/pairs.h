/* Dot products of pairs of bf16, for gemm.c. A pair is 32 bits, its element of lower index in the
 * lower half. pairs_dot(a, b, c) is c + a1 b1 + a0 b0 in each lane, the products in this order and
 * each sum rounded once, to nearest even: what VDPBF16PS computes, but for denormals, which the
 * instruction takes for 0. AArch64's instructions have sums of their own: pairs_neon.h. */
#ifndef ITO_KERNELS_PAIRS_H
#define ITO_KERNELS_PAIRS_H

#include "tensor/kernels/vec.h"

#if !KERNEL_F64

typedef uint32_t pair_bits __attribute__((vector_size(VL * sizeof(uint32_t))));

/* f32_to_bf16 of each lane. */
V_FN pair_bits pairs_narrow(vec a)
{
    pair_bits u = (pair_bits)a, nan = (pair_bits)(a != a);
    pair_bits rounded = u + 0x7fff + (u >> 16 & 1);
    return ((nan & (u | 0x400000)) | (~nan & rounded)) >> 16;
}

V_FN void pairs_store(uint32_t *p, vec low, vec high)
{
    pair_bits v = pairs_narrow(low) | pairs_narrow(high) << 16;
    memcpy(p, &v, sizeof v);
}

#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)

#define PAIRS_NEON
#include "tensor/kernels/pairs_neon.h"

#elif defined(__AVX512BF16__)

typedef __m512bh pairs;

V_FN pairs pairs_load(const uint32_t *p)
{
    return (__m512bh)_mm512_loadu_si512(p);
}

V_FN pairs pairs_set1(uint32_t pair)
{
    return (__m512bh)_mm512_set1_epi32((int)pair);
}

V_FN vec pairs_dot(pairs a, pairs b, vec c)
{
    return _mm512_dpbf16_ps(c, a, b);
}

#else

typedef pair_bits pairs;

V_FN pairs pairs_load(const uint32_t *p)
{
    pairs v;
    memcpy(&v, p, sizeof v);
    return v;
}

V_FN pairs pairs_set1(uint32_t pair)
{
    return pair - (pairs){0};
}

V_FN vec pairs_dot(pairs a, pairs b, vec c)
{
    c = v_fma((vec)(a & 0xffff0000u), (vec)(b & 0xffff0000u), c);
    return v_fma((vec)(a << 16), (vec)(b << 16), c);
}

#endif
#endif
#endif
