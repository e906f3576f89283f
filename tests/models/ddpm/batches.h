/* Batches for tests of diffusions: noise, steps, and their numbers. */
#ifndef ITO_TESTS_DDPM_BATCHES_H
#define ITO_TESTS_DDPM_BATCHES_H

#include "tensor/random.h"
#include "tensor/tensor.h"

#include <criterion/criterion.h>

static inline ito_tensor *noise(uint64_t stream, ito_shape shape, ito_dtype dtype)
{
    ito_generator g = ito_generator_make(5, stream);
    return ito_randn(&g, shape, dtype);
}

static inline ito_tensor *steps(int64_t n, const int64_t *values)
{
    return ito_from_data(values, ITO_SHAPE(n), ITO_I64);
}

static inline double at(const ito_tensor *x, int64_t i)
{
    double values[4096];
    cr_assert(ito_numel(x) <= 4096);
    cr_assert_eq(ito_to_data(x, values, ITO_F64), ITO_OK);
    return values[i];
}

/* The same numbers, to the bit. */
static inline void assert_same(const ito_tensor *a, const ito_tensor *b)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    cr_assert_eq(ito_numel(a), ito_numel(b));
    for (int64_t i = 0; i < ito_numel(a); i++)
        cr_assert_eq(at(a, i), at(b, i));
}

#endif
