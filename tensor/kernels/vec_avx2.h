/* vec.h for AVX2 with FMA: 256-bit vectors, tails by maskload and maskstore. */
#define VEC_REGISTERS 16

#if KERNEL_F64
#define VL 4
typedef __m256d vec;
typedef __m256d mask;
#define V_(op) _mm256_##op##_pd
#else
#define VL 8
typedef __m256 vec;
typedef __m256 mask;
#define V_(op) _mm256_##op##_ps
#endif

#include "tensor/kernels/vec_x86.h"

V_FN __m256i v_tail(int64_t n)
{
#if KERNEL_F64
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
#else
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
#endif
}

V_FN vec v_load(const real *p, int64_t n)
{
    return n >= VL ? v_loadu(p) : V_(maskload)(p, v_tail(n));
}

V_FN void v_store(real *p, vec a, int64_t n)
{
    if (n >= VL)
        v_storeu(p, a);
    else
        V_(maskstore)(p, v_tail(n), a);
}

V_FN vec v_floor(vec a)
{
    return V_(floor)(a);
}

V_FN vec v_round(vec a) /* to nearest, ties to even */
{
    return V_(round)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

V_FN mask v_lt(vec a, vec b)
{
    return V_(cmp)(a, b, _CMP_LT_OQ);
}

V_FN mask v_le(vec a, vec b)
{
    return V_(cmp)(a, b, _CMP_LE_OQ);
}

V_FN mask v_eq(vec a, vec b)
{
    return V_(cmp)(a, b, _CMP_EQ_OQ);
}

V_FN mask v_ne(vec a, vec b)
{
    return V_(cmp)(a, b, _CMP_NEQ_UQ);
}

/* a where m holds, else b. */
V_FN vec v_select(mask m, vec a, vec b)
{
    return V_(blendv)(b, a, m);
}

#if !KERNEL_F64
/* a 2^n, n a whole number in [-252, 254]: by two powers, each a normal number. */
V_FN vec v_scale(vec a, vec n)
{
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    __m256i bias = _mm256_set1_epi32(127), rest = _mm256_sub_epi32(whole, half);
    __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i second = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
    return a * _mm256_castsi256_ps(first) * _mm256_castsi256_ps(second);
}

/* 2^n of whole = n + 1.5 2^23, n in [-127, 128]: at the ends 0 and infinity. */
V_FN vec v_power(vec whole)
{
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(whole), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(n, _mm256_set1_epi32(127 << 23)));
}
#endif

#if KERNEL_BF16
V_FN vec v_from_bf16(const elem *p)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

/* The vector form of f32_to_bf16. */
V_FN void v_to_bf16(elem *p, vec a)
{
    __m256i u = _mm256_castps_si256(a);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
    __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    vec chosen = v_select(v_ne(a, a), _mm256_castsi256_ps(quiet), _mm256_castsi256_ps(rounded));
    __m256i high = _mm256_srli_epi32(_mm256_castps_si256(chosen), 16);
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi32(_mm256_castsi256_si128(high),
                                                    _mm256_extracti128_si256(high, 1)));
}
#endif

#define V_SLEEF_ISA avx2
