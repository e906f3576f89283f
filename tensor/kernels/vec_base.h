/* vec.h for any CPU the compiler targets: 128-bit GNU vectors, a few operations lane by lane.
 * On x86-64 this is SSE2. There is no fused multiply-add: v_fma rounds twice. */
#define VEC_REGISTERS 16

#include "tensor/kernels/vec_gnu.h"

/* a * b + c and c - a * b, rounded twice here. */
V_FN vec v_fma(vec a, vec b, vec c)
{
    return a * b + c;
}

V_FN vec v_fnma(vec a, vec b, vec c)
{
    return c - a * b;
}

#if KERNEL_F64
#define V_LANES(f, a) ((vec){f((a)[0]), f((a)[1])})
#define V_LIBM(op) __builtin_##op
#else
#define V_LANES(f, a) ((vec){f((a)[0]), f((a)[1]), f((a)[2]), f((a)[3])})
#define V_LIBM(op) __builtin_##op##f
#endif

V_FN vec v_sqrt(vec a)
{
    return V_LANES(V_LIBM(sqrt), a);
}

V_FN vec v_floor(vec a)
{
    return V_LANES(V_LIBM(floor), a);
}

V_FN vec v_round(vec a) /* to nearest, ties to even */
{
    return V_LANES(V_LIBM(rint), a);
}

#if defined(__aarch64__)
#define V_SLEEF_ISA advsimd
#else
#define V_SLEEF_ISA sse2
#endif
