/* Dropping elements by number, for operations that drop on the way. Internal. */
#ifndef ITO_OPS_DROPOUT_H
#define ITO_OPS_DROPOUT_H

#include "autograd/op.h"

/* The words below which an element goes. */
uint32_t dropout_threshold(double p);
/* x[0 .. n) in place, f32, f64 or bf16, whose elements are numbers `number` and on: element i takes
 * the i-th 32-bit word after the generator's offset, and becomes 0 or is divided by 1 - p. g does
 * not advance. */
void dropout_row(ito_dtype dtype, void *x, const ito_generator *g, double p, int64_t number,
                 int64_t n);

#endif
