/* The numbers that the reference fixtures do not store: weights, images, noise and step indices
 * made from a hash of (stream, index), here and in formula.py alike. Every float below takes at
 * most one rounding, so both languages agree to the bit whatever the compiler fuses. */
#ifndef ITO_TESTS_REFERENCE_FORMULA_H
#define ITO_TESTS_REFERENCE_FORMULA_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Streams. Parameter p is the p-th name of the state dict in strcmp order; batch 0 is the one of
 * the forward pass and its gradients, batch k + 1 that of training step k, k = 0, 1, ... */
enum { FORMULA_PROJECTIONS = 4, FORMULA_SAMPLES = 512, FORMULA_STEPS = 1000 };

static inline uint32_t formula_stream_parameter(int64_t p)
{
    return (uint32_t)p;
}

static inline uint32_t formula_stream_projection(int64_t p, int64_t j)
{
    return (uint32_t)(1000 + FORMULA_PROJECTIONS * p + j);
}

static inline uint32_t formula_stream_sample(int64_t p)
{
    return (uint32_t)(5000 + p);
}

static inline uint32_t formula_stream_x_0(int64_t batch)
{
    return (uint32_t)(10000 + 4 * batch);
}

static inline uint32_t formula_stream_eps(int64_t batch)
{
    return (uint32_t)(10001 + 4 * batch);
}

static inline uint32_t formula_stream_t(int64_t batch)
{
    return (uint32_t)(10002 + 4 * batch);
}

/* Wellons' lowbias32 over a mix of the two; index is row-major. */
static inline uint32_t formula_hash(uint32_t stream, uint32_t index)
{
    uint32_t h = index * UINT32_C(0x9E3779B9) + stream * UINT32_C(0x85EBCA6B);
    h = (h ^ h >> 16) * UINT32_C(0x7FEB352D);
    h = (h ^ h >> 15) * UINT32_C(0x846CA68B);
    return h ^ h >> 16;
}

/* 2u - 1 in [-1, 1), a multiple of 2^-23 and so exact in float. */
static inline float formula_uniform(uint32_t stream, uint32_t index)
{
    return (float)((int32_t)(formula_hash(stream, index) >> 8) - (1 << 23)) * 0x1p-23f;
}

static inline float formula_sign(uint32_t stream, uint32_t index)
{
    return formula_hash(stream, index) >> 31 ? -1.0f : 1.0f;
}

static inline float formula_x_0(int64_t batch, uint32_t index)
{
    return formula_uniform(formula_stream_x_0(batch), index);
}

/* Unit variance. */
static inline float formula_eps(int64_t batch, uint32_t index)
{
    return formula_uniform(formula_stream_eps(batch), index) * (float)sqrt(3.0);
}

static inline int64_t formula_t(int64_t batch, uint32_t index)
{
    return formula_hash(formula_stream_t(batch), index) % FORMULA_STEPS;
}

/* Element `index` of parameter p. Weights of matrices and kernels have variance 1 / fan_in, fan_in
 * being the product of dims 1 and up; one-dimensional weights belong to norms. */
static inline float formula_parameter(int64_t p, const char *name, int rank, const int64_t *dims,
                                      uint32_t index)
{
    float v = formula_uniform(formula_stream_parameter(p), index);
    size_t length = strlen(name);
    if (length >= 5 && strcmp(name + length - 5, ".bias") == 0)
        return 0.125f * v;
    if (rank == 1)
        return 1.0f + 0.125f * v;
    int64_t fan_in = 1;
    for (int i = 1; i < rank; i++)
        fan_in *= dims[i];
    return (float)sqrt(3.0 / (double)fan_in) * v;
}

/* Which of n gradient elements is stored as the i-th sample: all if few, else scattered ones. */
static inline int64_t formula_sample(int64_t p, int64_t n, int64_t i)
{
    return n <= FORMULA_SAMPLES
               ? i
               : (int64_t)(formula_hash(formula_stream_sample(p), (uint32_t)i) % (uint64_t)n);
}

#endif
