/* Matrix products, packed and register-tiled: the heart of linear layers, attention and
 * convolution. Internal; shapes are checked by the caller.
 *
 * Determinism: an element of C is a sum over k in one fixed order (blocks of a fixed size, in
 * sequence, each accumulated in sequence), whatever m, n, the batch and the number of threads are.
 */
#ifndef ITO_GEMM_H
#define ITO_GEMM_H

#include "tensor/internal.h"

/* How products with a bf16 operand are made. By reals: f32 operands stay f32. By pairs of bf16, or
 * by tiles of them (tensor/kernels/tiles.h): f32 operands are rounded to bf16. The fastest is by
 * tiles with AMX, by pairs where the processor multiplies them faster than reals, else by reals;
 * each way works on every machine. */
typedef enum gemm_way { GEMM_FASTEST, GEMM_REALS, GEMM_PAIRS, GEMM_TILES } gemm_way;

/* C[m, n] = A[m, k] B[k, n], + C if accumulate, + bias[n] if not NULL. Strides in elements; a and b
 * may have any (transposes cost nothing extra); c has column stride 1. k may be 0.
 * Operands are all ITO_F64, or each ITO_F32 (the zero value) or ITO_BF16; they are computed in f32
 * then, and a bf16 C is rounded once. bias is in the type that is computed in. */
typedef struct gemm_problem {
    ito_dtype a_dtype, b_dtype, c_dtype;
    gemm_way way;
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
