/* The register tile that matrix products are made of, in gemm.c and winograd.c alike: its size, and
 * how sums begin and grow. */
#ifndef ITO_KERNELS_TILE_H
#define ITO_KERNELS_TILE_H

#include "tensor/kernels/vec.h"

/* With 16 registers: 12 sums, 2 vectors of B, one element of A, one to spare. With 32, 24 sums
 * hide the latency as well as 28 would, and 12 rows divide 128, 256 and 512 with less waste. */
#define TILE_ROWS (VEC_REGISTERS == 32 ? 12 : 6)
#define TILE_COLUMNS (2 * VL)

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

V_FN void clear(vec acc[TILE_ROWS][2])
{
    UNROLL
    for (int i = 0; i < TILE_ROWS; i++)
        acc[i][0] = acc[i][1] = v_zero();
}

/* One step of k: the elements of `rows` rows of A, a_row apart, times a row of a panel of B, of
 * which `vectors` are in use, one or two. */
V_FN void add_products(vec acc[TILE_ROWS][2], int rows, int vectors, const real *a, int64_t a_row,
                       const real *b)
{
    vec b0 = v_loadu(b), b1 = v_loadu(b + (vectors - 1) * VL);
    UNROLL
    for (int i = 0; i < rows; i++) {
        vec ai = v_set1(a[i * a_row]);
        acc[i][0] = v_fma(ai, b0, acc[i][0]);
        if (vectors == 2)
            acc[i][1] = v_fma(ai, b1, acc[i][1]);
    }
}

/* Operands come from the second-level cache, mostly, and are asked for so many steps of k before
 * their time: the processor's own prefetching is late by a tenth of the whole. Past the end of a
 * panel lies the next one. */
enum { STEPS_AHEAD = 16 };

V_FN void prefetch_columns(const void *b)
{
    const char *ahead = (const char *)b + STEPS_AHEAD * 2 * sizeof(vec);
    __builtin_prefetch(ahead);
    if (2 * sizeof(vec) > 64)
        __builtin_prefetch(ahead + sizeof(vec));
}

#endif
