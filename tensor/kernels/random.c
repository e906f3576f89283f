/* Philox4x32-10 and what is made of its bits. A block is 4 numbers of 32 bits: 4 floats or 2 doubles. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/random.def"
#undef KERNEL_ROW

enum { LANES = 16 }; /* blocks side by side, for the compiler to vectorise over */

/* Blocks block, block + 1, ... of (seed, stream): the counter is (block, stream), the key the seed. */
static void philox_lanes(uint32_t out[4 * LANES], uint64_t seed, uint64_t stream, uint64_t block)
{
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < LANES; i++) {
        c0[i] = (uint32_t)(block + (uint64_t)i);
        c1[i] = (uint32_t)((block + (uint64_t)i) >> 32);
        c2[i] = (uint32_t)stream;
        c3[i] = (uint32_t)(stream >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < LANES; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[i], p1 = (uint64_t)0xCD9E8D57u * c2[i];
            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
            c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)p1;
            c3[i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < LANES; i++) {
        out[4 * i] = c0[i];
        out[4 * i + 1] = c1[i];
        out[4 * i + 2] = c2[i];
        out[4 * i + 3] = c3[i];
    }
}

void KERNEL(philox)(uint32_t *out, uint64_t seed, uint64_t stream, uint64_t block, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i += LANES) {
        uint32_t lanes[4 * LANES];
        philox_lanes(lanes, seed, stream, block + (uint64_t)i);
        int64_t n = blocks - i < LANES ? blocks - i : LANES;
        memcpy(out + 4 * i, lanes, (size_t)n * 4 * sizeof *out);
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
 * 1 - u lies in (0, 1], so the logarithm is finite. Pairs are elements 2i and 2i + 1; n may be odd. */
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
