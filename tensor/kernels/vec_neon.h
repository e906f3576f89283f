/* vec.h for AArch64, whose NEON has a fused multiply-add; with BF16 also what rounds to bf16. */
#define VEC_REGISTERS 32

#if KERNEL_BF16 && defined(__ARM_FEATURE_BF16)
#define V_BF16_NARROW
#endif
#include "tensor/kernels/vec_gnu.h"

#if KERNEL_F64
#define V_(op) op##q_f64
#else
#define V_(op) op##q_f32
#endif

/* a * b + c and c - a * b, rounded once. */
V_FN vec v_fma(vec a, vec b, vec c)
{
    return V_(vfma)(c, a, b);
}

V_FN vec v_fnma(vec a, vec b, vec c)
{
    return V_(vfms)(c, a, b);
}

V_FN vec v_sqrt(vec a)
{
    return V_(vsqrt)(a);
}

V_FN vec v_floor(vec a)
{
    return V_(vrndm)(a);
}

V_FN vec v_round(vec a) /* to nearest, ties to even */
{
    return V_(vrndn)(a);
}

#define V_HSUM
V_FN real v_hsum(vec a)
{
#if KERNEL_F64
    return vpaddd_f64(a);
#else
    return vpadds_f32(vadd_f32(vget_low_f32(a), vget_high_f32(a)));
#endif
}

#ifdef V_BF16_NARROW
/* The instruction rounds as f32_to_bf16 does, denormals and NaN too. */
V_FN void v_to_bf16(elem *p, vec a)
{
    bfloat16x4_t h = vcvt_bf16_f32(a);
    memcpy(p, &h, sizeof h);
}
#endif

#define V_SLEEF_ISA advsimd
