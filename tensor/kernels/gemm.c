/* The inner loops of matrix products: one register tile of C, and packing of panels for it.
 *
 * Invariant: an element of C is one chain of v_fma over k, then one sum with each of C, the bias
 * and add, whatever its place in the tile and whatever part of the tile is in use.
 */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/tile.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/gemm.def"
#undef KERNEL_ROW

int64_t KERNEL(gemm_tile_rows)(void)
{
    return TILE_ROWS;
}

int64_t KERNEL(gemm_tile_columns)(void)
{
    return TILE_COLUMNS;
}

/* A tile that is cut off or flipped goes through memory; it is rounded as whole tiles are. Element
 * (i, j) of C is sums[i * row][j * column] of the tile. */
static void store_part(const real *sums, int64_t row, int64_t column, const gemm_tile *to)
{
    const real *bias = to->bias, *add = to->add;
    for (int64_t i = 0; i < to->m; i++) {
        real *c = (real *)to->c + to->rows[i];
        for (int64_t j = 0; j < to->n; j++) {
            real sum = sums[i * row + j * column];
            sum = to->accumulate ? c[j] + sum : sum;
            sum = bias != NULL ? sum + bias[j] : sum;
            c[j] = add != NULL ? sum + add[to->add_rows[i] + j] : sum;
        }
    }
}

V_FN void spill(real sums[TILE_ROWS * TILE_COLUMNS], vec acc[TILE_ROWS][2])
{
    UNROLL
    for (int i = 0; i < TILE_ROWS; i++) {
        v_storeu(sums + i * TILE_COLUMNS, acc[i][0]);
        v_storeu(sums + i * TILE_COLUMNS + VL, acc[i][1]);
    }
}

V_FN void sum_products(vec acc[TILE_ROWS][2], int64_t k, const real *a, const real *b)
{
    UNROLL
    for (int i = 0; i < TILE_ROWS; i++)
        acc[i][0] = acc[i][1] = v_zero();
    for (int64_t p = 0; p < k; p++, a += TILE_ROWS, b += TILE_COLUMNS) {
        vec b0 = v_loadu(b), b1 = v_loadu(b + VL);
        UNROLL
        for (int i = 0; i < TILE_ROWS; i++) {
            vec ai = v_set1(a[i]);
            acc[i][0] = v_fma(ai, b0, acc[i][0]);
            acc[i][1] = v_fma(ai, b1, acc[i][1]);
        }
    }
}

/* acc[i] = p[rows[i]] + acc[i]; p may be any row for all (rows of 0). */
V_FN void join_rows(vec acc[TILE_ROWS][2], const real *p, const int64_t *rows)
{
    UNROLL
    for (int i = 0; i < TILE_ROWS; i++) {
        acc[i][0] = v_loadu(p + rows[i]) + acc[i][0];
        acc[i][1] = v_loadu(p + rows[i] + VL) + acc[i][1];
    }
}

void KERNEL(gemm_micro)(int64_t k, const void *a, const void *b, const gemm_tile *to)
{
    real *c = to->c;
    vec acc[TILE_ROWS][2];
    sum_products(acc, k, a, b);
    if (to->m < TILE_ROWS || to->n < TILE_COLUMNS) {
        real sums[TILE_ROWS * TILE_COLUMNS];
        spill(sums, acc);
        store_part(sums, TILE_COLUMNS, 1, to);
        return;
    }
    static const int64_t same_row[TILE_ROWS];
    if (to->accumulate)
        join_rows(acc, c, to->rows);
    if (to->bias != NULL)
        join_rows(acc, to->bias, same_row);
    if (to->add != NULL)
        join_rows(acc, to->add, to->add_rows);
    UNROLL
    for (int i = 0; i < TILE_ROWS; i++) {
        v_storeu(c + to->rows[i], acc[i][0]);
        v_storeu(c + to->rows[i] + VL, acc[i][1]);
    }
}

void KERNEL(gemm_micro_flipped)(int64_t k, const void *b, const void *a, const gemm_tile *to)
{
    vec acc[TILE_ROWS][2];
    real sums[TILE_ROWS * TILE_COLUMNS];
    sum_products(acc, k, b, a);
    spill(sums, acc);
    store_part(sums, 1, TILE_COLUMNS, to);
}

/* One step of a VL x VL transpose: swap the off-diagonal blocks of size d between rows i, i + d. */
#if VL == 2
#define SWAP_1(a, b, lo, hi) SWAP(a, b, lo, hi, (0, 2), (1, 3))
#elif VL == 4
#define SWAP_2(a, b, lo, hi) SWAP(a, b, lo, hi, (0, 1, 4, 5), (2, 3, 6, 7))
#define SWAP_1(a, b, lo, hi) SWAP(a, b, lo, hi, (0, 4, 2, 6), (1, 5, 3, 7))
#elif VL == 8
#define SWAP_4(a, b, lo, hi)                                                                       \
    SWAP(a, b, lo, hi, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))
#define SWAP_2(a, b, lo, hi)                                                                       \
    SWAP(a, b, lo, hi, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))
#define SWAP_1(a, b, lo, hi)                                                                       \
    SWAP(a, b, lo, hi, (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15))
#elif VL == 16
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

V_FN void transpose(vec r[VL])
{
#if VL >= 16
    SWAP_STEP(r, 8)
#endif
#if VL >= 8
    SWAP_STEP(r, 4)
#endif
#if VL >= 4
    SWAP_STEP(r, 2)
#endif
    SWAP_STEP(r, 1)
}

/* Write the first n of VL packed rows of at most VL elements each, `width` apart. Whole vectors
 * spill into what is written later: the next row, or a block to the left of the next row, which is
 * why blocks go from right to left. Only the end of the panel must not be passed. */
V_FN void store_rows(real *panel, int64_t width, const vec r[VL], int64_t n, int64_t columns,
                     bool last)
{
    if (n == VL && (columns >= VL || !last)) {
        UNROLL
        for (int j = 0; j < VL; j++)
            v_storeu(panel + j * width, r[j]);
        return;
    }
    for (int64_t j = 0; j < n; j++)
        if (last && j == n - 1)
            v_store(panel + j * width, r[j], columns);
        else
            v_storeu(panel + j * width, r[j]);
}

V_FN void pack_rows(real *panel, int64_t width, const void *const *rows, int64_t k)
{
    for (int64_t p = 0; p < k; p += VL) {
        int64_t n = k - p < VL ? k - p : VL;
        for (int64_t left = (width - 1) / VL * VL; left >= 0; left -= VL) {
            vec r[VL];
            UNROLL
            for (int i = 0; i < VL; i++) {
                const real *row = left + i < width ? rows[left + i] : NULL;
                r[i] = row != NULL ? v_load(row + p, n) : v_zero();
            }
            transpose(r);
            store_rows(panel + p * width + left, width, r, n, width - left, p + n == k);
        }
    }
}

void KERNEL(gemm_pack_rows)(void *panel, int64_t width, const void *const *rows, int64_t k)
{
    if (width == TILE_ROWS)
        pack_rows(panel, TILE_ROWS, rows, k);
    else
        pack_rows(panel, TILE_COLUMNS, rows, k);
}

/* n is a constant wherever speed matters, so that the copy is a few moves. */
V_FN void copy_columns(real *panel, int64_t width, const real *src, int64_t stride, int64_t n,
                       int64_t k)
{
    for (int64_t p = 0; p < k; p++, panel += width, src += stride) {
        int64_t j = 0;
        __builtin_prefetch(src + n); /* what the next panel wants */
        for (; j + VL <= n; j += VL)
            v_storeu(panel + j, v_loadu(src + j));
        for (; j < n; j++)
            panel[j] = src[j];
    }
}

void KERNEL(gemm_pack_columns)(void *panel, int64_t width, const void *src, int64_t stride,
                               int64_t n, int64_t k)
{
    if (n == TILE_COLUMNS)
        copy_columns(panel, width, src, stride, TILE_COLUMNS, k);
    else if (n == TILE_ROWS)
        copy_columns(panel, width, src, stride, TILE_ROWS, k);
    else if (n == 1)
        copy_columns(panel, width, src, stride, 1, k);
    else
        copy_columns(panel, width, src, stride, n, k);
}

void KERNEL(gemm_pack_strided)(void *panel, int64_t width, const void *src, int64_t stride_n,
                               int64_t stride_k, int64_t n, int64_t k)
{
    const real *from = src;
    real *to = panel;
    if (stride_k == 1) {
        const void *rows[TILE_ROWS > TILE_COLUMNS ? TILE_ROWS : TILE_COLUMNS] = {NULL};
        for (int64_t j = 0; j < n; j++)
            rows[j] = from + j * stride_n;
        KERNEL(gemm_pack_rows)(panel, width, rows, k);
        return;
    }
    if (n < width)
        memset(panel, 0, (size_t)(k * width) * sizeof(real));
    if (stride_n == 1) {
        KERNEL(gemm_pack_columns)(panel, width, src, stride_k, n, k);
        return;
    }
    for (int64_t p = 0; p < k; p++)
        for (int64_t j = 0; j < n; j++)
            to[p * width + j] = from[p * stride_k + j * stride_n];
}
