/* Where the sums of a register tile go, for gemm.c and gemm_thin.c; and transposes of vectors.
 *
 * Invariant: after its sum over k, an element of C is one sum with each of earlier sums, C, the
 * bias and add, in this order, whatever its place in the tile.
 */
#ifndef ITO_KERNELS_GEMM_STORE_H
#define ITO_KERNELS_GEMM_STORE_H

#include "tensor/kernels/gemm.h"
#include "tensor/kernels/tile.h"

/* ---- transposes ----------------------------------------------------------------------------- */

/* One step of a VL x VL transpose: swap the off-diagonal blocks of size d between rows i, i + d. */
#if VL == 2
#define EACH_LANE 0, 1
#define SWAP_1(a, b, lo, hi) SWAP(a, b, lo, hi, (0, 2), (1, 3))
#elif VL == 4
#define EACH_LANE 0, 1, 2, 3
#define SWAP_2(a, b, lo, hi) SWAP(a, b, lo, hi, (0, 1, 4, 5), (2, 3, 6, 7))
#define SWAP_1(a, b, lo, hi) SWAP(a, b, lo, hi, (0, 4, 2, 6), (1, 5, 3, 7))
#elif VL == 8
#define EACH_LANE 0, 1, 2, 3, 4, 5, 6, 7
#define SWAP_4(a, b, lo, hi)                                                                       \
    SWAP(a, b, lo, hi, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))
#define SWAP_2(a, b, lo, hi)                                                                       \
    SWAP(a, b, lo, hi, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))
#define SWAP_1(a, b, lo, hi)                                                                       \
    SWAP(a, b, lo, hi, (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15))
#elif VL == 16
#define EACH_LANE 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define SWAP_8(a, b, lo, hi)                                                                       \
    SWAP(a, b, lo, hi, (0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),                   \
         (8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
#define SWAP_4(a, b, lo, hi)                                                                       \
    SWAP(a, b, lo, hi, (0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),                 \
         (4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
#define SWAP_2(a, b, lo, hi)                                                                       \
    SWAP(a, b, lo, hi, (0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),                 \
         (2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
#define SWAP_1(a, b, lo, hi)                                                                       \
    SWAP(a, b, lo, hi, (0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),                \
         (1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
#endif
#define LANES(...) __VA_ARGS__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define SWAP(a, b, lo, hi, lanes_lo, lanes_hi)                                                     \
    lo = SHUFFLE(a, b, LANES lanes_lo), hi = SHUFFLE(a, b, LANES lanes_hi)

#define SWAP_STEP(r, d)                                                                            \
    UNROLL                                                                                         \
    for (int i = 0; i < VL; i++)                                                                   \
        if ((i & d) == 0) {                                                                        \
            vec above = r[i], below = r[i + d];                                                    \
            SWAP_##d(above, below, r[i], r[i + d]);                                                \
        }

/* All steps but the first; with two lanes none. */
V_FN void transpose_within_halves(vec r[VL])
{
    (void)r;
#if VL >= 16
    SWAP_STEP(r, 4)
#endif
#if VL >= 8
    SWAP_STEP(r, 2)
#endif
#if VL >= 4
    SWAP_STEP(r, 1)
#endif
}

V_FN void transpose_vectors(vec r[VL])
{
#if VL == 16
    SWAP_STEP(r, 8)
#elif VL == 8
    SWAP_STEP(r, 4)
#elif VL == 4
    SWAP_STEP(r, 2)
#else
    SWAP_STEP(r, 1)
#endif
    transpose_within_halves(r);
}

/* r = the transpose of the VL x VL reals at rows[i] + p. The first step of the transpose is done
 * while loading, by halves of vectors: a load into the upper half costs no shuffle. */
V_FN void load_transposed(vec r[VL], const real *const rows[VL], int64_t p)
{
#if VL == 2
    r[0] = v_loadu(rows[0] + p);
    r[1] = v_loadu(rows[1] + p);
    transpose_vectors(r);
#else
    typedef real half __attribute__((vector_size(VL / 2 * sizeof(real))));
    UNROLL
    for (int i = 0; i < VL; i++) {
        half low, high;
        memcpy(&low, rows[i % (VL / 2)] + p + i / (VL / 2) * (VL / 2), sizeof low);
        memcpy(&high, rows[i % (VL / 2) + VL / 2] + p + i / (VL / 2) * (VL / 2), sizeof high);
        r[i] = (vec)__builtin_shufflevector(low, high, EACH_LANE);
    }
    transpose_within_halves(r);
#endif
}

/* ---- sums to C ------------------------------------------------------------------------------- */

/* Up to VL elements of row i of C, from column j on: n of them are there. */
V_FN void store_row(vec sum, const gemm_tile *to, int64_t i, int64_t j, int64_t n)
{
    elem *c = (elem *)to->c + to->rows[i] + j;
    if (to->earlier != NULL)
        sum = v_load((const real *)to->earlier + to->earlier_rows[i] + j, n) + sum;
    if (to->accumulate)
        sum = e_load(c, n) + sum;
    if (to->bias != NULL)
        sum = sum + v_load((const real *)to->bias + j, n);
    if (to->add != NULL)
        sum = sum + e_load((const elem *)to->add + to->add_rows[i] + j, n);
    e_store(c, sum, n);
}

V_FN void store_tile(vec acc[TILE_ROWS][2], const gemm_tile *to, int64_t m, int64_t n)
{
    UNROLL
    for (int i = 0; i < TILE_ROWS; i++)
        if (i < m) {
            store_row(acc[i][0], to, i, 0, n);
            if (n > VL)
                store_row(acc[i][1], to, i, VL, n - VL);
        }
}

/* The same of a tile whose rows are columns of C, m <= 2 VL and n <= TILE_ROWS of it in use. */
V_FN void store_flipped(vec acc[TILE_ROWS][2], const gemm_tile *to)
{
    UNROLL
    for (int half = 0; half < 2; half++) {
        UNROLL
        for (int j = 0; j < TILE_ROWS; j += VL) {
            vec r[VL];
            UNROLL
            for (int i = 0; i < VL; i++)
                r[i] = j + i < TILE_ROWS ? acc[j + i][half] : v_zero();
            transpose_vectors(r);
            UNROLL
            for (int i = 0; i < VL; i++)
                if (half * VL + i < to->m && j < to->n)
                    store_row(r[i], to, half * VL + i, j, to->n - j);
        }
    }
}

#endif
