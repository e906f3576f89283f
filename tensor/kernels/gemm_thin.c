/* Matrix products with few rows: the other operand is used too seldom to be packed, and is read
 * where it lies, once. Where its columns lie side by side they fill vectors; where k does, squares
 * of it are transposed in registers.
 *
 * Invariant: an element of C is one chain of v_fma over k, as in gemm.c.
 */
#include "tensor/kernels/gemm_store.h"
#include "tensor/kernels/kernels.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/gemm_thin.def"
#undef KERNEL_ROW

/* Rows that can be summed while a transposed square is in registers. */
#define FEW_ROWS (VEC_REGISTERS == 32 ? 4 : 2)

/* Columns and steps of k that a single row takes at a time. */
enum { ROW_MOST = 2048, ROW_STEPS = 8 };

int64_t KERNEL(gemm_thin_rows)(void)
{
    return FEW_ROWS;
}

/* X from row `first` on. Rows past the last of m repeat it; nobody looks at what they give. */
typedef struct few {
    const real *data;
    int64_t row, step, m;
} few;

V_FN const real *row_of(const few *x, int64_t i)
{
    return x->data + (i < x->m ? i : x->m - 1) * x->row;
}

/* ---- columns side by side ------------------------------------------------------------------- */

/* The part of C from column j on: `rows` rows, a constant as `vectors` is, of so many vectors of
 * which n elements are there; whole says that all are. */
V_FN void sum_across(int rows, int vectors, bool whole, int64_t k, const few *x, const real *y,
                     int64_t y_k, int64_t j, int64_t n, const gemm_tile *to)
{
    enum { ROWS_AHEAD = 8, MOST = 8 };
    const real *row[TILE_ROWS];
    vec acc[TILE_ROWS][MOST];
    UNROLL
    for (int i = 0; i < rows; i++) {
        row[i] = row_of(x, i);
        UNROLL
        for (int v = 0; v < vectors; v++)
            acc[i][v] = v_zero();
    }
    y += j;
    for (int64_t p = 0; p < k; p++, y += y_k) {
        vec b[MOST];
        UNROLL
        for (int v = 0; v < vectors; v++) {
            __builtin_prefetch(y + ROWS_AHEAD * y_k + v * VL);
            b[v] = whole ? v_loadu(y + v * VL) : v_load(y + v * VL, n > v * VL ? n - v * VL : 0);
        }
        UNROLL
        for (int i = 0; i < rows; i++) {
            vec xi = v_set1(row[i][p * x->step]);
            UNROLL
            for (int v = 0; v < vectors; v++)
                acc[i][v] = v_fma(xi, b[v], acc[i][v]);
        }
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            if (i < x->m && v * VL < n)
                store_row(acc[i][v], to, i, j + v * VL, n - v * VL);
    }
}

/* All columns, with `vectors` vectors at a time and at last two. */
V_FN void all_across(int rows, int vectors, int64_t k, const few *x, const real *y, int64_t y_k,
                     const gemm_tile *to)
{
    int64_t j = 0, width = vectors * VL;
    for (; j + width <= to->n; j += width)
        sum_across(rows, vectors, true, k, x, y, y_k, j, width, to);
    for (; j < to->n; j += 2 * VL)
        sum_across(rows, 2, false, k, x, y, y_k, j, to->n - j, to);
}

/* Columns [j, j + n) of a single row, a few rows of Y at a time from left to right, as memory likes
 * it best; the sums wait in between. */
V_FN void sum_row(int64_t k, const few *x, const real *y, int64_t y_k, int64_t j, int64_t n,
                  const gemm_tile *to)
{
    real sums[ROW_MOST];
    for (int64_t i = 0; i < n; i += VL)
        v_storeu(sums + i, v_zero());
    y += j;
    for (int64_t p = 0; p < k; p += ROW_STEPS, y += ROW_STEPS * y_k) {
        int64_t steps = k - p < ROW_STEPS ? k - p : ROW_STEPS;
        vec xs[ROW_STEPS];
        UNROLL
        for (int s = 0; s < ROW_STEPS; s++)
            xs[s] = v_set1(x->data[(p + (s < steps ? s : 0)) * x->step]);
        int64_t i = 0;
        for (; i + VL <= n && steps == ROW_STEPS; i += VL) {
            vec sum = v_loadu(sums + i);
            UNROLL
            for (int s = 0; s < ROW_STEPS; s++)
                sum = v_fma(xs[s], v_loadu(y + s * y_k + i), sum);
            v_storeu(sums + i, sum);
        }
        for (; i < n; i += VL) {
            vec sum = v_loadu(sums + i);
            UNROLL
            for (int s = 0; s < ROW_STEPS; s++)
                if (s < steps)
                    sum = v_fma(xs[s], v_load(y + s * y_k + i, n - i), sum);
            v_storeu(sums + i, sum);
        }
    }
    for (int64_t i = 0; i < n; i += VL)
        store_row(v_loadu(sums + i), to, 0, j + i, n - i);
}

void KERNEL(gemm_thin_across)(int64_t k, const void *x, int64_t x_row, int64_t x_k, const void *y,
                              int64_t y_k, const gemm_tile *to)
{
    few f = {x, x_row, x_k, to->m};
    if (f.m == 1 && to->n > 8 * VL)
        for (int64_t j = 0; j < to->n; j += ROW_MOST)
            sum_row(k, &f, y, y_k, j, to->n - j < ROW_MOST ? to->n - j : ROW_MOST, to);
    else if (f.m == 1)
        all_across(1, 8, k, &f, y, y_k, to);
    else if (f.m == 2)
        all_across(2, VEC_REGISTERS == 32 ? 8 : 4, k, &f, y, y_k, to);
    else if (f.m <= 4)
        all_across(4, VEC_REGISTERS == 32 ? 4 : 2, k, &f, y, y_k, to);
    else if (f.m <= TILE_ROWS * 2 / 3)
        all_across(TILE_ROWS * 2 / 3, 2, k, &f, y, y_k, to);
    else
        all_across(TILE_ROWS, 2, k, &f, y, y_k, to);
}

/* ---- k side by side ------------------------------------------------------------------------- */

/* acc += X Y for VL columns of Y, given their transpose, `steps` steps of k: a constant wherever
 * speed matters. */
V_FN void add_square(vec acc[TILE_ROWS][2], int half, int rows, int64_t steps,
                     const real *const row[FEW_ROWS], int64_t at, int64_t step, const vec r[VL])
{
    UNROLL
    for (int lane = 0; lane < VL; lane++)
        if (lane < steps) {
            UNROLL
            for (int i = 0; i < rows; i++)
                acc[i][half] = v_fma(v_set1(row[i][at + lane * step]), r[lane], acc[i][half]);
        }
}

/* Columns [j, j + n) of C, n <= 2 VL, in two halves, whose chains of sums run beside each other. */
V_FN void sum_along(int rows, int64_t k, const few *x, const real *y, int64_t y_column, int64_t n,
                    vec acc[TILE_ROWS][2])
{
    const real *row[FEW_ROWS], *column[2][VL];
    UNROLL
    for (int i = 0; i < rows; i++)
        row[i] = row_of(x, i);
    for (int j = 0; j < 2 * VL; j++)
        column[j / VL][j % VL] = y + (j < n ? j : n - 1) * y_column;
    clear(acc);
    int64_t p = 0;
    for (; p + VL <= k; p += VL) {
        UNROLL
        for (int half = 0; half < 2; half++)
            if (half * VL < n) {
                vec r[VL];
                load_transposed(r, column[half], p);
                add_square(acc, half, rows, VL, row, p * x->step, x->step, r);
            }
    }
    for (int half = 0; half < 2 && half * VL < n && p < k; half++) {
        vec r[VL];
        for (int i = 0; i < VL; i++)
            r[i] = v_load(column[half][i] + p, k - p);
        transpose_vectors(r);
        add_square(acc, half, rows, k - p, row, p * x->step, x->step, r);
    }
}

void KERNEL(gemm_thin_along)(int64_t k, const void *x, int64_t x_row, int64_t x_k, const void *y,
                             int64_t y_column, bool transposed, const gemm_tile *to)
{
    int64_t few_of = transposed ? to->n : to->m, many = transposed ? to->m : to->n;
    few f = {x, x_row, x_k, few_of};
    for (int64_t j = 0; j < many; j += 2 * VL) {
        int64_t n = many - j < 2 * VL ? many - j : 2 * VL;
        const real *from = (const real *)y + j * y_column;
        gemm_tile part = *to;
        vec acc[TILE_ROWS][2];
        if (few_of == 1)
            sum_along(1, k, &f, from, y_column, n, acc);
        else if (few_of == 2)
            sum_along(2, k, &f, from, y_column, n, acc);
        else
            sum_along(FEW_ROWS, k, &f, from, y_column, n, acc);
        if (transposed) {
            part.m = n;
            part.rows += j;
            store_flipped(acc, &part);
            continue;
        }
        part.n = n;
        part.c = (real *)to->c + j;
        part.bias = to->bias != NULL ? (const real *)to->bias + j : NULL;
        UNROLL
        for (int i = 0; i < FEW_ROWS; i++) {
            if (i < few_of)
                store_row(acc[i][0], &part, i, 0, n);
            if (i < few_of && n > VL)
                store_row(acc[i][1], &part, i, VL, n - VL);
        }
    }
}
