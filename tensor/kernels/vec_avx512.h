/* vec.h for AVX-512 (F, BW, DQ, VL): 512-bit vectors, tails by mask registers. */
#define VEC_REGISTERS 32

#if KERNEL_F64
#define VL 8
typedef __m512d vec;
typedef __mmask8 mask;
#define V_(op) _mm512_##op##_pd
#define V_CMP _mm512_cmp_pd_mask
#else
#define VL 16
typedef __m512 vec;
typedef __mmask16 mask;
#define V_(op) _mm512_##op##_ps
#define V_CMP _mm512_cmp_ps_mask
#endif

#include "tensor/kernels/vec_x86.h"

V_FN mask v_tail(int64_t n)
{
    return (mask)(n >= VL ? ~0u : (1u << n) - 1u);
}

V_FN vec v_load(const real *p, int64_t n)
{
    return V_(maskz_loadu)(v_tail(n), p);
}

V_FN void v_store(real *p, vec a, int64_t n)
{
    V_(mask_storeu)(p, v_tail(n), a);
}

V_FN vec v_floor(vec a)
{
    return V_(roundscale)(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

V_FN vec v_round(vec a) /* to nearest, ties to even */
{
    return V_(roundscale)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

V_FN mask v_lt(vec a, vec b)
{
    return V_CMP(a, b, _CMP_LT_OQ);
}

V_FN mask v_le(vec a, vec b)
{
    return V_CMP(a, b, _CMP_LE_OQ);
}

V_FN mask v_eq(vec a, vec b)
{
    return V_CMP(a, b, _CMP_EQ_OQ);
}

V_FN mask v_ne(vec a, vec b)
{
    return V_CMP(a, b, _CMP_NEQ_UQ);
}

/* a where m holds, else b. */
V_FN vec v_select(mask m, vec a, vec b)
{
    return V_(mask_blend)(m, b, a);
}

#define V_HSUM
V_FN real v_hsum(vec a)
{
#if KERNEL_F64
    __m256d half = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    __m128d pair = _mm_add_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd(half, 1));
    return _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)));
#else
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    __m128 pair = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
#endif
}

#if !KERNEL_F64
/* a 2^n, n a whole number. */
V_FN vec v_scale(vec a, vec n)
{
    return V_(scalef)(a, n);
}

/* 2^n of whole = n + 1.5 2^23, n in [-127, 128]: at the ends 0 and infinity. */
V_FN vec v_power(vec whole)
{
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(whole), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(n, _mm512_set1_epi32(127 << 23)));
}
#endif

#if KERNEL_BF16
#define V_BF16_TAILS

V_FN vec v_widen(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* The vector form of f32_to_bf16. */
V_FN __m256i v_narrow_any(vec a)
{
    __m512i u = _mm512_castps_si512(a);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    rounded = _mm512_mask_or_epi32(rounded, v_ne(a, a), u, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

V_FN __m256i v_narrow(vec a)
{
#if defined(__AVX512BF16__)
    enum { DENORMAL = 0x20 }; /* the instruction takes them for 0 */
    if (__builtin_expect(_mm512_fpclass_ps_mask(a, DENORMAL) == 0, 1))
        return (__m256i)_mm512_cvtneps_pbh(a);
#endif
    return v_narrow_any(a);
}

V_FN vec v_from_bf16(const elem *p)
{
    return v_widen(_mm256_loadu_si256((const __m256i *)p));
}

V_FN void v_to_bf16(elem *p, vec a)
{
    _mm256_storeu_si256((__m256i *)p, v_narrow(a));
}

V_FN vec e_load(const elem *p, int64_t n)
{
    return v_widen(_mm256_maskz_loadu_epi16(v_tail(n), p));
}

V_FN void e_store(elem *p, vec a, int64_t n)
{
    _mm256_mask_storeu_epi16(p, v_tail(n), v_narrow(a));
}
#endif

#define V_SLEEF_ISA avx512f
