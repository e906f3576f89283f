/* What gemm_micro is told of its operands and of the tile of C that it makes. */
#ifndef ITO_KERNELS_GEMM_H
#define ITO_KERNELS_GEMM_H

#include <stdbool.h>
#include <stdint.h>

/* How the operand lies that the kernel takes as scalars, in place of the elements from row to row
 * of one that lies in memory as rows of reals. */
enum {
    GEMM_PANEL = 0,       /* a panel of reals */
    GEMM_PAIR_PANELS = -1 /* both operands are panels of pairs of bf16 */
};

/* c[rows[i] + j] = sum, + earlier[earlier_rows[i] + j] unless NULL, + itself if accumulate,
 * + bias[j] and + add[add_rows[i] + j] unless NULL, in this order, for i < m and j < n. c and add
 * are elements, earlier sums and bias reals. */
typedef struct gemm_tile {
    int64_t m, n;
    void *c;
    const int64_t *rows;
    const void *earlier;
    const int64_t *earlier_rows;
    bool accumulate;
    const void *bias;
    const void *add;
    const int64_t *add_rows;
} gemm_tile;

#endif
