/* The inner loops of matrix products: one register tile of C, and packing of panels for it.
 * Elements are those of C and of what is packed; panels and sums are reals, or pairs of bf16.
 *
 * Invariant: an element of C is one chain of v_fma (or dot products of pairs) over k, then one sum
 * with each of earlier sums, C, the bias and add, whatever its place in the tile and whatever part
 * of the tile is in use.
 */
#include "tensor/kernels/gemm_store.h"
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/pairs.h"
#include "tensor/kernels/tiles.h"

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

/* ---- sums ----------------------------------------------------------------------------------- */

V_FN void prefetch_step(const void *a, const void *b)
{
    __builtin_prefetch((const char *)a + STEPS_AHEAD * TILE_ROWS * sizeof(real));
    prefetch_columns(b);
}

/* Each takes the first `rows` rows of the tile and `vectors` vectors of B, constants wherever it is
 * called from. */

/* From panels of both operands. */
V_FN void sum_panels(vec acc[TILE_ROWS][2], int rows, int vectors, int64_t k, const real *a,
                     const real *b)
{
    for (int64_t p = 0; p < k; p++, a += TILE_ROWS, b += TILE_COLUMNS) {
        prefetch_step(a, b);
        add_products(acc, rows, vectors, a, 1, b);
    }
}

/* From rows of A where they lie and a panel of B. Rows past the last of m repeat it; nobody looks
 * at what they give. */
V_FN void sum_rows(vec acc[TILE_ROWS][2], int rows, int vectors, int64_t k, const real *a,
                   int64_t a_row, int64_t m, const real *b)
{
    const real *row[TILE_ROWS];
    UNROLL
    for (int i = 0; i < rows; i++)
        row[i] = a + (i < m ? i : m - 1) * a_row;
    for (int64_t p = 0; p < k; p++, b += TILE_COLUMNS) {
        prefetch_columns(b);
        vec b0 = v_loadu(b), b1 = v_loadu(b + (vectors - 1) * VL);
        UNROLL
        for (int i = 0; i < rows; i++) {
            vec ai = v_set1(row[i][p]);
            acc[i][0] = v_fma(ai, b0, acc[i][0]);
            if (vectors == 2)
                acc[i][1] = v_fma(ai, b1, acc[i][1]);
        }
    }
}

#if !KERNEL_F64 && !defined(PAIRS_NEON)
/* From panels of pairs of both; k counts pairs. */
V_FN void sum_pairs(vec acc[TILE_ROWS][2], int rows, int vectors, int64_t k, const uint32_t *a,
                    const uint32_t *b)
{
    for (int64_t p = 0; p < k; p++, a += TILE_ROWS, b += TILE_COLUMNS) {
        prefetch_step(a, b);
        pairs b0 = pairs_load(b), b1 = pairs_load(b + (vectors - 1) * VL);
        UNROLL
        for (int i = 0; i < rows; i++) {
            pairs ai = pairs_set1(a[i]);
            acc[i][0] = pairs_dot(ai, b0, acc[i][0]);
            if (vectors == 2)
                acc[i][1] = pairs_dot(ai, b1, acc[i][1]);
        }
    }
}
#endif

V_FN void sum_some(vec acc[TILE_ROWS][2], int rows, int vectors, int64_t k, const void *a,
                   int64_t a_row, int64_t m, const void *b)
{
#if !KERNEL_F64
    if (a_row == GEMM_PAIR_PANELS) {
        sum_pairs(acc, rows, vectors, (k + 1) / 2, a, b);
        return;
    }
#endif
    if (a_row == GEMM_PANEL)
        sum_panels(acc, rows, vectors, k, a, b);
    else
        sum_rows(acc, rows, vectors, k, a, a_row, m, b);
}

/* The sums of m rows and n columns; the others of the tile mean nothing. */
V_FN void sum_products(vec acc[TILE_ROWS][2], int64_t k, const void *a, int64_t a_row, int64_t m,
                       const void *b, int64_t n)
{
    clear(acc);
    if (n <= VL)
        sum_some(acc, TILE_ROWS, 1, k, a, a_row, m, b);
    else if (m > TILE_ROWS * 2 / 3)
        sum_some(acc, TILE_ROWS, 2, k, a, a_row, m, b);
    else if (m > TILE_ROWS / 3)
        sum_some(acc, TILE_ROWS * 2 / 3, 2, k, a, a_row, m, b);
    else
        sum_some(acc, TILE_ROWS / 3, 2, k, a, a_row, m, b);
}

/* ---- what becomes of them ------------------------------------------------------------------- */

/* Asks for the rows of C, which are wanted when the sums are done. */
V_FN void prefetch_tile(const gemm_tile *to)
{
    UNROLL
    for (int i = 0; i < TILE_ROWS; i++)
        if (i < to->m) {
            const elem *c = (const elem *)to->c + to->rows[i];
            __builtin_prefetch(c, 1);
            __builtin_prefetch(c + VL, 1);
        }
}

void KERNEL(gemm_micro)(int64_t k, const void *a, int64_t a_row, const void *b, const gemm_tile *to)
{
    vec acc[TILE_ROWS][2];
    prefetch_tile(to);
    sum_products(acc, k, a, a_row, to->m, b, to->n);
    if (to->m == TILE_ROWS && to->n == TILE_COLUMNS)
        store_tile(acc, to, TILE_ROWS, TILE_COLUMNS);
    else
        store_tile(acc, to, to->m, to->n);
}

void KERNEL(gemm_micro_flipped)(int64_t k, const void *b, int64_t b_row, const void *a,
                                const gemm_tile *to)
{
    vec acc[TILE_ROWS][2];
    sum_products(acc, k, b, b_row, to->n, a, to->m);
    store_flipped(acc, to);
}

void KERNEL(gemm_store)(const void *sums, int64_t row, const gemm_tile *to)
{
    const real *from = sums;
    bool whole = to->n % VL == 0; /* no masks then */
    for (int64_t i = 0; i < to->m; i++, from += row)
        for (int64_t j = 0; j < to->n && to->rows[i] >= 0; j += VL)
            if (whole)
                store_row(v_loadu(from + j), to, i, j, VL);
            else
                store_row(v_load(from + j, to->n - j), to, i, j, to->n - j);
}

/* ---- packing -------------------------------------------------------------------------------- */

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
                const elem *row = left + i < width ? rows[left + i] : NULL;
                r[i] = row != NULL ? e_load(row + p, n) : v_zero();
            }
            transpose_vectors(r);
            store_rows(panel + p * width + left, width, r, n, width - left, p + n == k);
        }
    }
}

void KERNEL(gemm_pack_rows)(void *panel, int64_t width, const void *const *rows, int64_t k)
{
    if (width == TILE_ROWS)
        pack_rows(panel, TILE_ROWS, rows, k);
    else if (width == TILE_COLUMNS)
        pack_rows(panel, TILE_COLUMNS, rows, k);
    else
        pack_rows(panel, TILE_SIDE, rows, k);
}

/* n is a constant wherever speed matters, so that the copy is a few moves. */
V_FN void copy_columns(real *panel, int64_t width, const elem *src, int64_t stride, int64_t n,
                       int64_t k)
{
    for (int64_t p = 0; p < k; p++, panel += width, src += stride) {
        int64_t j = 0;
        __builtin_prefetch(src + n); /* what the next panel wants */
        for (; j + VL <= n; j += VL)
            v_storeu(panel + j, e_loadu(src + j));
        for (; j < n; j++)
            panel[j] = e_get(src[j]);
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
    const elem *from = src;
    real *to = panel;
    if (stride_k == 1) {
        const void *rows[TILE_COLUMNS > TILE_SIDE ? TILE_COLUMNS : TILE_SIDE] = {NULL};
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
            to[p * width + j] = e_get(from[p * stride_k + j * stride_n]);
}

void KERNEL(gemm_pack_pairs)(void *to, const void *panel, int64_t width, int64_t k)
{
#if KERNEL_F64
    (void)to, (void)panel, (void)width, (void)k; /* bf16 does not meet f64 */
#else
    const real *from = panel;
    for (int64_t p = 0; p < k; p += 2, from += 2 * width)
        for (int64_t left = 0; left < width; left += VL) {
            int64_t n = width - left;
            vec high = p + 1 < k ? v_load(from + width + left, n) : v_zero();
            uint32_t lanes[VL];
            pairs_store(lanes, v_load(from + left, n), high);
            memcpy((uint32_t *)to + p / 2 * width + left, lanes,
                   (size_t)(n < VL ? n : VL) * sizeof *lanes);
        }
#endif
}
