/* Matrix products, packed and register-tiled: the heart of linear layers, attention and
 * convolution. Internal; shapes are checked by the caller.
 *
 * Determinism: an element of C is a sum over k in one fixed order (blocks of a fixed size, in
 * sequence, each accumulated in sequence), whatever m, n, the batch and the number of threads are.
 */
#ifndef ITO_GEMM_H
#define ITO_GEMM_H

#include "tensor/internal.h"

/* C[m, n] = A[m, k] B[k, n], + C if accumulate, + bias[n] if not NULL. Strides in elements; a and b
 * may have any (transposes cost nothing extra); c has column stride 1. k may be 0.
 * All operands are ITO_F32 (so the zero value), or all are ITO_F64. */
typedef struct gemm_problem {
    ito_dtype a_dtype, b_dtype, c_dtype; /* bias is of the type that is computed in */
    int64_t m, n, k;
    const void *a;
    int64_t a_row, a_col;
    const void *b;
    int64_t b_row, b_col;
    void *c;
    int64_t c_row;
    const void *bias;
    bool accumulate;
    int64_t batch;                     /* how many products; 0 means 1 */
    int64_t a_batch, b_batch, c_batch; /* strides from one to the next; 0 repeats an operand */
} gemm_problem;

/* ITO_ERR_MEMORY if the packing buffers cannot be had; then C is untouched. */
ito_status gemm(const gemm_problem *p);

#endif
