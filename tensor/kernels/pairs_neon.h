/* Products of panels of pairs by AArch64's BFMMLA, for gemm.c: it adds four k to 2 x 2 sums, for
 * two rows and two columns, as much as four BFDOT. Two steps of pairs, of rows of A and of columns
 * of B, lie side by side after a zip, so panels are those of every instruction set.
 *
 * Invariant: an element is c + (a0 b0 + a1 b1), pair after pair, each of the two sums rounded to
 * odd (what is inexact gets a last bit of 1), and denormals count as 0: the instruction's
 * definition. */
#ifndef ITO_KERNELS_PAIRS_NEON_H
#define ITO_KERNELS_PAIRS_NEON_H

#include "tensor/kernels/tile.h"

/* Four rows or columns of two steps, of the first alone unless both are there: 0, 1 and 2, 3. */
typedef struct pair_quad {
    bfloat16x8_t first, second;
} pair_quad;

V_FN pair_quad pair_quad_load(const uint32_t *p, int64_t width, bool both)
{
    uint32x4_t low = vld1q_u32(p), high = both ? vld1q_u32(p + width) : vdupq_n_u32(0);
    return (pair_quad){vreinterpretq_bf16_u32(vzip1q_u32(low, high)),
                       vreinterpretq_bf16_u32(vzip2q_u32(low, high))};
}

V_FN void add_quads(vec sums[TILE_ROWS / 2][4], int rows, int vectors, const uint32_t *a,
                    const uint32_t *b, bool both)
{
    pair_quad columns[2];
    UNROLL
    for (int j = 0; j < vectors; j++)
        columns[j] = pair_quad_load(b + j * VL, TILE_COLUMNS, both);
    UNROLL
    for (int i = 0; i < rows; i += 4) {
        pair_quad r = pair_quad_load(a + i, TILE_ROWS, both);
        UNROLL
        for (int j = 0; j < vectors; j++) {
            vec *upper = sums[i / 2] + 2 * j, *lower = sums[i / 2 + 1] + 2 * j;
            upper[0] = vbfmmlaq_f32(upper[0], r.first, columns[j].first);
            upper[1] = vbfmmlaq_f32(upper[1], r.first, columns[j].second);
            lower[0] = vbfmmlaq_f32(lower[0], r.second, columns[j].first);
            lower[1] = vbfmmlaq_f32(lower[1], r.second, columns[j].second);
        }
    }
}

/* From panels of pairs of both; k counts pairs. */
V_FN void sum_pairs(vec acc[TILE_ROWS][2], int rows, int vectors, int64_t k, const uint32_t *a,
                    const uint32_t *b)
{
    vec sums[TILE_ROWS / 2][4];
    UNROLL
    for (int i = 0; i < rows / 2; i++)
        sums[i][0] = sums[i][1] = sums[i][2] = sums[i][3] = v_zero();
    for (int64_t p = 0; p + 2 <= k; p += 2, a += 2 * TILE_ROWS, b += 2 * TILE_COLUMNS) {
        prefetch_columns(b);
        add_quads(sums, rows, vectors, a, b, true);
    }
    if (k % 2 != 0)
        add_quads(sums, rows, vectors, a, b, false);
    UNROLL
    for (int i = 0; i < rows; i += 2) {
        UNROLL
        for (int j = 0; j < vectors; j++) {
            float64x2_t left = (float64x2_t)sums[i / 2][2 * j],
                        right = (float64x2_t)sums[i / 2][2 * j + 1];
            acc[i][j] = (vec)vtrn1q_f64(left, right);
            acc[i + 1][j] = (vec)vtrn2q_f64(left, right);
        }
    }
}

#endif
