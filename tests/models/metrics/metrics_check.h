/* What tests of metrics share: features. */
#ifndef TESTS_METRICS_CHECK_H
#define TESTS_METRICS_CHECK_H

#include "tensor/tensor.h"

/* Standard normal features [n, width] f64. */
static inline ito_tensor *randn(uint64_t seed, int64_t n, int64_t width)
{
    ito_generator g = ito_generator_make(seed, 0);
    return ito_randn(&g, ITO_SHAPE(n, width), ITO_F64);
}

/* x with one element changed. */
static inline ito_tensor *with_element(ito_tensor *x, int64_t i, double value)
{
    ito_tensor *y = ito_clone(x);
    ((double *)ito_data(y))[i] = value;
    return y;
}

#endif
