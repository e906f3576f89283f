/* Philox4x32-10 and what is made of its bits. A block is 4 numbers of 32 bits: 4 floats or 2
 * doubles. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/random.def"
#undef KERNEL_ROW

/* Numbers of 32 bits, each in 64 whose upper half does not count, and products with m. Left to
 * itself the compiler, who does not see that the high halves are 0, multiplies all 64 bits, at less
 * than half the speed. */
#if defined(__AVX2__)
enum { WIDE = 4 };
typedef uint64_t wide __attribute__((vector_size(32)));
V_FN wide wide_mul(wide a, uint32_t m)
{
    return (wide)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(m));
}
#else
enum { WIDE = 2 };
typedef uint64_t wide __attribute__((vector_size(16)));
V_FN wide wide_mul(wide a, uint32_t m)
{
#if defined(__x86_64__)
    return (wide)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(m));
#else
    return (a & 0xffffffffu) * m;
#endif
}
#endif

/* The blocks of p, words 0 and 1, and q, words 2 and 3, side by side. */
#if defined(__AVX2__)
#define BLOCKS_LOW(p, q) __builtin_shufflevector(p, q, 0, 4, 1, 5)
#define BLOCKS_HIGH(p, q) __builtin_shufflevector(p, q, 2, 6, 3, 7)
#else
#define BLOCKS_LOW(p, q) __builtin_shufflevector(p, q, 0, 2)
#define BLOCKS_HIGH(p, q) __builtin_shufflevector(p, q, 1, 3)
#endif

enum { LANES = 16, PARTS = LANES / WIDE }; /* blocks side by side, to hide the products' latency */

/* Blocks block, block + 1, ... of (seed, stream): the counter is (block, stream), the key the seed.
 */
static void philox_lanes(uint32_t out[4 * LANES], uint64_t seed, uint64_t stream, uint64_t block)
{
    const uint64_t low = 0xffffffffu;
    wide c0[PARTS], c1[PARTS], c2[PARTS], c3[PARTS];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < PARTS; i++) {
        wide b;
        for (int j = 0; j < WIDE; j++)
            b[j] = block + (uint64_t)(i * WIDE + j);
        c0[i] = b & low;
        c1[i] = b >> 32;
        c2[i] = (wide){0} + (stream & low);
        c3[i] = (wide){0} + (stream >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < PARTS; i++) {
            wide p0 = wide_mul(c0[i], 0xD2511F53u), p1 = wide_mul(c2[i], 0xCD9E8D57u);
            c0[i] = (p1 >> 32) ^ c1[i] ^ k0;
            c2[i] = (p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = p1;
            c3[i] = p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < PARTS; i++) {
        wide p = (c0[i] & low) | c1[i] << 32, q = (c2[i] & low) | c3[i] << 32;
        wide first = BLOCKS_LOW(p, q), second = BLOCKS_HIGH(p, q);
        memcpy(out + 4 * WIDE * i, &first, sizeof first);
        memcpy(out + 4 * WIDE * i + 2 * WIDE, &second, sizeof second);
    }
}

void KERNEL(philox)(uint32_t *out, uint64_t seed, uint64_t stream, uint64_t block, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i += LANES) {
        if (blocks - i >= LANES) {
            philox_lanes(out + 4 * i, seed, stream, block + (uint64_t)i);
            continue;
        }
        uint32_t lanes[4 * LANES];
        philox_lanes(lanes, seed, stream, block + (uint64_t)i);
        memcpy(out + 4 * i, lanes, (size_t)(blocks - i) * 4 * sizeof *out);
    }
}

/* The i-th uniform number in [0, 1): 24 bits of one word for float, 53 of two for double. */
static real uniform_at(const uint32_t *bits, int64_t i)
{
#if KERNEL_F64
    uint64_t u = (uint64_t)bits[2 * i + 1] << 32 | bits[2 * i];
    return (real)(u >> 11) * 0x1p-53;
#else
    return (real)(bits[i] >> 8) * 0x1p-24f;
#endif
}

void KERNEL(uniform)(void *y_, const uint32_t *bits, int64_t n)
{
    real *y = y_;
    for (int64_t i = 0; i < n; i++)
        y[i] = uniform_at(bits, i);
}

/* Box and Muller 1958: of uniforms u, v two normals sqrt(-2 ln(1 - u)) times cos and sin of 2 pi v.
 * 1 - u lies in (0, 1], so the logarithm is finite. Pairs are elements 2i and 2i + 1; n may be odd.
 */
#if KERNEL_F64
void KERNEL(normal)(void *y_, const uint32_t *bits, int64_t n)
{
    real *y = y_;
    for (int64_t i = 0; i < n; i += 2 * VL) {
        int64_t pairs = (n - i + 1) / 2 < VL ? (n - i + 1) / 2 : VL;
        real u[VL] = {0}, v[VL] = {0}, c[VL], s[VL];
        for (int64_t j = 0; j < pairs; j++) {
            u[j] = (real)1 - uniform_at(bits, i + 2 * j);
            v[j] = uniform_at(bits, i + 2 * j + 1);
        }
        vec r = v_sqrt(v_set1((real)-2) * v_log(v_max(v_loadu(u), v_set1((real)0x1p-53))));
        vec angle = v_set1((real)6.283185307179586476925287) * v_loadu(v);
        v_storeu(c, r * v_cos(angle));
        v_storeu(s, r * v_sin(angle));
        for (int64_t j = 0; j < pairs; j++) {
            y[i + 2 * j] = c[j];
            if (i + 2 * j + 1 < n)
                y[i + 2 * j + 1] = s[j];
        }
    }
}
#else
/* Floats of 24 random bits need neither the range nor the last bit of a general logarithm, sine and
 * cosine: what follows is within 2 ulp (all 2^24 tried), at a third of the cost. */
typedef int32_t ints __attribute__((vector_size(4 * VL)));

V_FN vec v_poly(vec x, const float *c, int n)
{
    vec y = v_set1(c[0]);
    for (int i = 1; i < n; i++)
        y = v_fma(y, x, v_set1(c[i]));
    return y;
}

/* ln(a) of a normal a: a = 2^e (1 + x) with 1 + x in [sqrt(1/2), sqrt(2)); Cephes' polynomial. */
V_FN vec log_normal(vec a)
{
    static const float c[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                              -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                              2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    ints from_root = (ints)a - 0x3f3504f3, e = from_root >> 23; /* 0x3f3504f3: sqrt(1/2) */
    vec x = (vec)((ints)a - (e << 23)) - v_set1(1.0f), exponent = __builtin_convertvector(e, vec);
    vec square = x * x, y = v_poly(x, c, 9) * square * x;
    y = v_fma(exponent, v_set1(-2.12194440e-4f), y);
    y = v_fma(square, v_set1(-0.5f), y);
    return v_fma(exponent, v_set1(0.693359375f), x + y);
}

/* cos and sin of 2 pi v for v in [0, 1): of the rest of a quarter turn, which is exact. */
V_FN void turn(vec v, vec *cosine, vec *sine)
{
    static const float s[] = {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f};
    static const float c[] = {2.443315711809948e-5f, -1.388731625493765e-3f, 4.166664568298827e-2f};
    vec quarters = v_round(v * v_set1(4.0f)), one = v_set1(1.0f);
    vec t = v_fma(v, v_set1(4.0f), v_zero() - quarters) * v_set1(1.57079632679f), t2 = t * t;
    vec sin_t = v_fma(v_poly(t2, s, 3) * t2, t, t);
    vec cos_t = v_fma(t2 * t2, v_poly(t2, c, 3), v_fma(t2, v_set1(-0.5f), one));
    ints q = __builtin_convertvector(quarters, ints), odd = -(q & 1);
    *cosine = (vec)(((odd & (ints)sin_t) | (~odd & (ints)cos_t)) ^ ((q + 1) & 2) << 30);
    *sine = (vec)(((odd & (ints)cos_t) | (~odd & (ints)sin_t)) ^ (q & 2) << 30);
}

/* Of 2 VL words those at even and at odd places, 16 bytes of the first half beside 16 of the
 * second; LOW and HIGH of two such vectors are whole again. */
#if VL == 4
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#elif VL == 8
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15)
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#else
#define EVEN(a, b)                                                                                 \
    __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30)
#define ODD(a, b)                                                                                  \
    __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31)
#define LOW(a, b)                                                                                  \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH(a, b)                                                                                 \
    __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#endif

V_FN void normals(real *y, const uint32_t *bits)
{
    ints a, b;
    memcpy(&a, bits, sizeof a);
    memcpy(&b, bits + VL, sizeof b);
    ints u = (EVEN(a, b) >> 8) & 0xffffff, v = (ODD(a, b) >> 8) & 0xffffff;
    vec step = v_set1(0x1p-24f), cosine, sine;
    vec r = v_sqrt(v_set1(-2.0f) * log_normal(__builtin_convertvector((1 << 24) - u, vec) * step));
    turn(__builtin_convertvector(v, vec) * step, &cosine, &sine);
    cosine = r * cosine, sine = r * sine;
    v_storeu(y, LOW(cosine, sine));
    v_storeu(y + VL, HIGH(cosine, sine));
}

void KERNEL(normal)(void *y_, const uint32_t *bits, int64_t n)
{
    real *y = y_;
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL)
        normals(y + i, bits + i);
    if (i < n) {
        uint32_t rest[2 * VL] = {0};
        real last[2 * VL];
        memcpy(rest, bits + i, (size_t)((n - i + 1) / 2 * 2) * sizeof *rest);
        normals(last, rest);
        memcpy(y + i, last, (size_t)(n - i) * sizeof *y);
    }
}
#endif
