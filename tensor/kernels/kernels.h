/* The table of kernels. norm.def has a row for each kernel of norm.c, and so on; kernels.def is all
 * rows. There is one table for each instruction set and element type; the best instruction set that
 * the processor has is chosen at the first use. Call a kernel through it:
 *     kernels(x->dtype)->silu(y, x, 1, n, 0, 0);
 * Arrays travel as void * so that all types share a row; a kernel casts what lies in tensors to
 * `elem *` and the rest (statistics, scratch) to `real *`: see vec.h.
 * Kernels get checked shapes, allocate nothing, cannot fail and use one thread.
 */
#ifndef ITO_KERNELS_H
#define ITO_KERNELS_H

#include "tensor/base.h"
#include "tensor/kernels/conv_depthwise.h"
#include "tensor/kernels/gemm.h"
#include "tensor/tensor.h"

/* What one step of an optimiser goes over, n elements of each. */
typedef struct step_arrays {
    void *p;        /* parameters */
    const void *g;  /* their gradients */
    void *state[3]; /* the optimiser's; NULL where it has none */
    void *average;  /* that follows p, or NULL */
    int64_t n;
    double scale;  /* of g */
    double weight; /* of p in the average */
} step_arrays;

typedef struct kernel_table {
    const char *isa;
#define KERNEL_ROW(result, name, arguments) result(*name) arguments;
#include "tensor/kernels/kernels.def"
#undef KERNEL_ROW
} kernel_table;

/* The table in use for ITO_F32, ITO_F64 or ITO_BF16. */
const kernel_table *kernels(ito_dtype dtype);
/* Whether the processor multiplies pairs of bf16 faster than reals. */
bool pairs_are_fast(void);

#endif
