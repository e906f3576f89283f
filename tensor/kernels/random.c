/* Philox4x32-10 and what is made of its bits. A block is 4 numbers of 32 bits: 4 floats or 2
 * doubles. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/random.def"
#undef KERNEL_ROW

/* Numbers of 32 bits, each in 64, and products of them with m. Left to itself the compiler, who
 * does not see that the high halves are 0, multiplies all 64 bits, at less than half the speed. */
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
    return a * m;
#endif
}
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
            c1[i] = p1 & low;
            c3[i] = p0 & low;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < LANES; i++) {
        out[4 * i] = (uint32_t)c0[i / WIDE][i % WIDE];
        out[4 * i + 1] = (uint32_t)c1[i / WIDE][i % WIDE];
        out[4 * i + 2] = (uint32_t)c2[i / WIDE][i % WIDE];
        out[4 * i + 3] = (uint32_t)c3[i / WIDE][i % WIDE];
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
