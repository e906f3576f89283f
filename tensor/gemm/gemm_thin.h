/* Matrix products with few rows or columns: a vector times a matrix, a small batch through a layer.
 * The large operand is used a few times only, so it is not packed but read where it lies, once, and
 * its memory sets the speed. Internal.
 *
 * Invariant: blocks of k and the order of sums are those of gemm_blocks.h, so a row has the same
 * bits alone and among others.
 */
#ifndef ITO_GEMM_THIN_H
#define ITO_GEMM_THIN_H

#include "tensor/gemm/gemm.h"

/* Computes the product and returns true if it is of this kind: of f32 or f64. batch is not 0. */
bool gemm_thin(const gemm_problem *p);

#endif
