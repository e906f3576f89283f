/* What vec_base.h and vec_neon.h have in common: 128-bit vectors of GNU C. */

#if KERNEL_F64
#define VL 2
typedef double vec __attribute__((vector_size(16)));
typedef int64_t mask __attribute__((vector_size(16)));
#else
#define VL 4
typedef float vec __attribute__((vector_size(16)));
typedef int32_t mask __attribute__((vector_size(16)));
#endif

V_FN vec v_loadu(const real *p)
{
    vec a;
    memcpy(&a, p, sizeof a);
    return a;
}

V_FN void v_storeu(real *p, vec a)
{
    memcpy(p, &a, sizeof a);
}

V_FN vec v_load(const real *p, int64_t n)
{
    if (n >= VL)
        return v_loadu(p);
    vec a = {0};
    for (int64_t i = 0; i < n; i++)
        a[i] = p[i];
    return a;
}

V_FN void v_store(real *p, vec a, int64_t n)
{
    if (n >= VL)
        v_storeu(p, a);
    else
        for (int64_t i = 0; i < n; i++)
            p[i] = a[i];
}

V_FN vec v_set1(real a)
{
#if KERNEL_F64
    return (vec){a, a};
#else
    return (vec){a, a, a, a};
#endif
}

V_FN mask v_lt(vec a, vec b)
{
    return a < b;
}

V_FN mask v_le(vec a, vec b)
{
    return a <= b;
}

V_FN mask v_eq(vec a, vec b)
{
    return a == b;
}

V_FN mask v_ne(vec a, vec b)
{
    return a != b;
}

/* a where m holds, else b. */
V_FN vec v_select(mask m, vec a, vec b)
{
    return (vec)((m & (mask)a) | (~m & (mask)b));
}

/* The second operand where either is NaN, as x86's instructions have it. */
V_FN vec v_max(vec a, vec b)
{
    return v_select(v_lt(b, a), a, b);
}

V_FN vec v_min(vec a, vec b)
{
    return v_select(v_lt(a, b), a, b);
}

#if !KERNEL_F64
typedef uint32_t lanes_u32 __attribute__((vector_size(16)));

/* a 2^n, n a whole number in [-252, 254]: by two powers, each a normal number. */
V_FN vec v_scale(vec a, vec n)
{
    mask whole = __builtin_convertvector(n, mask), half = whole >> 1;
    return a * (vec)((half + 127) << 23) * (vec)((whole - half + 127) << 23);
}

/* 2^n of whole = n + 1.5 2^23, n in [-127, 128]: at the ends 0 and infinity. */
V_FN vec v_power(vec whole)
{
    return (vec)(((lanes_u32)whole << 23) + (127u << 23));
}
#endif

#if KERNEL_BF16
typedef uint16_t lanes_u16 __attribute__((vector_size(8)));

V_FN vec v_from_bf16(const elem *p)
{
    lanes_u16 h;
    memcpy(&h, p, sizeof h);
    return (vec)(__builtin_convertvector(h, lanes_u32) << 16);
}

#ifndef V_BF16_NARROW
/* The vector form of f32_to_bf16. */
V_FN void v_to_bf16(elem *p, vec a)
{
    lanes_u32 u = (lanes_u32)a, nan = (lanes_u32)v_ne(a, a);
    lanes_u32 rounded = u + 0x7fff + ((u >> 16) & 1);
    rounded = (nan & (u | 0x400000)) | (~nan & rounded);
    lanes_u16 h = __builtin_convertvector(rounded >> 16, lanes_u16);
    memcpy(p, &h, sizeof h);
}
#endif
#endif
