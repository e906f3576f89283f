/* What gemm_micro is told of the tile of C that it makes. */
#ifndef ITO_KERNELS_GEMM_H
#define ITO_KERNELS_GEMM_H

#include <stdbool.h>
#include <stdint.h>

/* c[rows[i] + j] = sum, + itself if accumulate, + bias[j] and + add[add_rows[i] + j] unless NULL,
 * in this order, for i < m and j < n. */
typedef struct gemm_tile {
    int64_t m, n;
    void *c;
    const int64_t *rows;
    bool accumulate;
    const void *bias;
    const void *add;
    const int64_t *add_rows;
} gemm_tile;

#endif
