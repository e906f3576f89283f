/* The transforms of Winograd convolution F(4x4, 3x3) and the products between them; channels fill
 * the vectors. Interpolation points 0, 1, -1, 2, -2 and infinity (Lavin and Gray 2015,
 * arXiv:1509.09308):
 *
 *     y = A^T [(G g G^T) (.) (B^T d B)] A      dg = G^T [(B^T d B) (.) (A dy A^T)] G
 *
 * Pixels are elements; filters, what is transformed and bias are reals.
 *
 * Invariant: a result depends on its own tile and channel only, and sums over k run in order.
 */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/tile.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/winograd.def"
#undef KERNEL_ROW

/* ---- one axis ------------------------------------------------------------------------------- */

/* y = B^T x, from x[0], x[x_step], ... to y[0], y[y_step], ... */
V_FN void input_axis(vec *y, int y_step, const vec *x, int x_step)
{
    vec four = v_set1((real)4), five = v_set1((real)5), two = v_set1((real)2);
    vec x1 = x[x_step], x2 = x[2 * x_step], x3 = x[3 * x_step], x4 = x[4 * x_step];
    vec even = v_fnma(four, x2, x4), odd = v_fnma(four, x1, x3);
    vec even2 = x4 - x2, odd2 = x3 - x1;
    y[0] = v_fma(four, x[0], v_fnma(five, x2, x4));
    y[y_step] = even + odd;
    y[2 * y_step] = even - odd;
    y[3 * y_step] = v_fma(two, odd2, even2);
    y[4 * y_step] = v_fnma(two, odd2, even2);
    y[5 * y_step] = v_fma(four, x1, v_fnma(five, x3, x[5 * x_step]));
}

/* y = G x */
V_FN void filter_axis(vec *y, int y_step, const vec *x, int x_step)
{
    vec sixth = v_set1((real)(1.0 / 6.0)), half = v_set1((real)0.5), quarter = v_set1((real)0.25);
    vec x0 = x[0], x1 = x[x_step], x2 = x[2 * x_step];
    vec even = (v_zero() - sixth) * (x0 + x2), odd = sixth * x1;
    vec even2 = sixth * v_fma(quarter, x0, x2), odd2 = half * odd;
    y[0] = quarter * x0;
    y[y_step] = even - odd;
    y[2 * y_step] = even + odd;
    y[3 * y_step] = even2 + odd2;
    y[4 * y_step] = even2 - odd2;
    y[5 * y_step] = x2;
}

/* y = A^T x */
V_FN void output_axis(vec *y, int y_step, const vec *x, int x_step)
{
    vec x1 = x[x_step], x2 = x[2 * x_step], x3 = x[3 * x_step], x4 = x[4 * x_step];
    vec even = x1 + x2, odd = x1 - x2, even2 = x3 + x4, odd2 = x3 - x4;
    y[0] = x[0] + (even + even2);
    y[y_step] = v_fma(v_set1((real)2), odd2, odd);
    y[2 * y_step] = v_fma(v_set1((real)4), even2, even);
    y[3 * y_step] = v_fma(v_set1((real)8), odd2, odd) + x[5 * x_step];
}

/* y = A x */
V_FN void gradient_axis(vec *y, int y_step, const vec *x, int x_step)
{
    vec x0 = x[0], x1 = x[x_step], x2 = x[2 * x_step], x3 = x[3 * x_step];
    vec even = x0 + x2, odd = x1 + x3, four = v_set1((real)4);
    vec even2 = v_fma(four, x2, x0), odd2 = v_fma(four, x3, x1) * v_set1((real)2);
    y[0] = x0;
    y[y_step] = even + odd;
    y[2 * y_step] = even - odd;
    y[3 * y_step] = even2 + odd2;
    y[4 * y_step] = even2 - odd2;
    y[5 * y_step] = x3;
}

/* y = G^T x */
V_FN void filter_gradient_axis(vec *y, int y_step, const vec *x, int x_step)
{
    vec sixth = v_set1((real)(1.0 / 6.0)), half = v_set1((real)0.5), quarter = v_set1((real)0.25);
    vec x1 = x[x_step], x2 = x[2 * x_step], x3 = x[3 * x_step], x4 = x[4 * x_step];
    vec even = x1 + x2, even2 = x3 + x4;
    y[0] = v_fma(sixth, v_fma(quarter, even2, v_zero() - even), quarter * x[0]);
    y[y_step] = sixth * v_fma(half, x3 - x4, x2 - x1);
    y[2 * y_step] = v_fma(sixth, even2 - even, x[5 * x_step]);
}

/* ---- both axes ------------------------------------------------------------------------------
 * Each transforms one vector of channels, from channel c on, n of its lanes in use; EACH_VECTOR
 * calls it with a constant n but for the last. */

#define EACH_VECTOR(c, n, transform, ...)                                                          \
    do {                                                                                           \
        int64_t c = 0;                                                                             \
        for (; c + VL <= n; c += VL)                                                               \
            transform(__VA_ARGS__, c, VL);                                                         \
        if (c < n)                                                                                 \
            transform(__VA_ARGS__, c, n - c);                                                      \
    } while (0)

V_FN void transform_filter(real *u, int64_t u_step, const real *w, int64_t step_h, int64_t step_w,
                           int64_t c, int64_t n)
{
    vec g[3], columns[6][3], y[6];
    UNROLL
    for (int q = 0; q < 3; q++) {
        UNROLL
        for (int p = 0; p < 3; p++)
            g[p] = v_load(w + p * step_h + q * step_w + c, n);
        filter_axis(&columns[0][q], 3, g, 1);
    }
    UNROLL
    for (int i = 0; i < 6; i++) {
        filter_axis(y, 1, columns[i], 1);
        UNROLL
        for (int j = 0; j < 6; j++)
            v_store(u + (i * 6 + j) * u_step + c, y[j], n);
    }
}

void KERNEL(winograd_filter)(void *u, int64_t u_step, const void *w, int64_t step_h, int64_t step_w,
                             int64_t n)
{
    EACH_VECTOR(c, n, transform_filter, u, u_step, w, step_h, step_w);
}

V_FN void transform_input(real *v, int64_t v_step, const void *const *pixels, int64_t tiles,
                          int64_t c, int64_t n)
{
    for (int64_t t = 0; t < tiles; t++, pixels += 36) {
        real *to = v + c * tiles + t * VL;
        vec d[6], columns[6][6], y[6];
        UNROLL
        for (int j = 0; j < 6; j++) {
            UNROLL
            for (int i = 0; i < 6; i++)
                d[i] = e_load((const elem *)pixels[i * 6 + j] + c, n);
            input_axis(&columns[0][j], 6, d, 1);
        }
        UNROLL
        for (int i = 0; i < 6; i++) {
            input_axis(y, 1, columns[i], 1);
            UNROLL
            for (int j = 0; j < 6; j++)
                v_storeu(to + (i * 6 + j) * v_step, y[j]);
        }
    }
}

void KERNEL(winograd_input)(void *v, int64_t v_step, const void *const *pixels, int64_t tiles,
                            int64_t n)
{
    EACH_VECTOR(c, n, transform_input, v, v_step, pixels, tiles);
}

V_FN void transform_output(void *const *pixels, const real *m, int64_t m_step, const real *bias,
                           const void *const *add, int64_t c, int64_t n)
{
    vec d[6], columns[4][6], y[4];
    vec shift = bias != NULL ? v_load(bias + c, n) : v_zero();
    UNROLL
    for (int j = 0; j < 6; j++) {
        UNROLL
        for (int i = 0; i < 6; i++)
            d[i] = v_load(m + (i * 6 + j) * m_step + c, n);
        output_axis(&columns[0][j], 6, d, 1);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        output_axis(y, 1, columns[i], 1);
        UNROLL
        for (int j = 0; j < 4; j++) {
            y[j] = y[j] + shift;
            if (add != NULL)
                y[j] = y[j] + e_load((const elem *)add[i * 4 + j] + c, n);
            e_store((elem *)pixels[i * 4 + j] + c, y[j], n);
        }
    }
}

void KERNEL(winograd_output)(void *const *pixels, const void *m, int64_t m_step, const void *bias,
                             const void *const *add, int64_t n)
{
    if (add == NULL)
        EACH_VECTOR(c, n, transform_output, pixels, m, m_step, bias, NULL);
    else
        EACH_VECTOR(c, n, transform_output, pixels, m, m_step, bias, add);
}

V_FN void transform_gradient(real *v, int64_t v_step, const void *const *pixels, int64_t c,
                             int64_t n)
{
    vec d[4], columns[6][4], y[6];
    UNROLL
    for (int j = 0; j < 4; j++) {
        UNROLL
        for (int i = 0; i < 4; i++)
            d[i] = e_load((const elem *)pixels[i * 4 + j] + c, n);
        gradient_axis(&columns[0][j], 4, d, 1);
    }
    UNROLL
    for (int i = 0; i < 6; i++) {
        gradient_axis(y, 1, columns[i], 1);
        UNROLL
        for (int j = 0; j < 6; j++)
            v_storeu(v + (i * 6 + j) * v_step + c, y[j]);
    }
}

void KERNEL(winograd_gradient)(void *v, int64_t v_step, const void *const *pixels, int64_t n)
{
    EACH_VECTOR(c, n, transform_gradient, v, v_step, pixels);
}

V_FN void transform_sums(real *dw, int64_t step_h, int64_t step_w, const real *s, int64_t s_step,
                         int64_t c, int64_t n)
{
    vec d[6], columns[3][6], y[3];
    UNROLL
    for (int j = 0; j < 6; j++) {
        UNROLL
        for (int i = 0; i < 6; i++)
            d[i] = v_load(s + (i * 6 + j) * s_step + c, n);
        filter_gradient_axis(&columns[0][j], 6, d, 1);
    }
    UNROLL
    for (int p = 0; p < 3; p++) {
        filter_gradient_axis(y, 1, columns[p], 1);
        UNROLL
        for (int q = 0; q < 3; q++)
            v_store(dw + p * step_h + q * step_w + c, y[q], n);
    }
}

void KERNEL(winograd_filter_gradient)(void *dw, int64_t step_h, int64_t step_w, const void *s,
                                      int64_t s_step, int64_t n)
{
    EACH_VECTOR(c, n, transform_sums, dw, step_h, step_w, s, s_step);
}

/* ---- products ------------------------------------------------------------------------------- */

/* `rows` is a constant wherever it is called from. */
V_FN void store_tile(vec acc[TILE_ROWS][2], int rows, real *c, int64_t c_row, bool accumulate)
{
    if (accumulate) {
        UNROLL
        for (int i = 0; i < rows; i++) {
            acc[i][0] = v_loadu(c + i * c_row) + acc[i][0];
            acc[i][1] = v_loadu(c + i * c_row + VL) + acc[i][1];
        }
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        v_storeu(c + i * c_row, acc[i][0]);
        v_storeu(c + i * c_row + VL, acc[i][1]);
    }
}

/* A is never rearranged: its elements are broadcast from wherever they are. */
void KERNEL(winograd_multiply)(int64_t k, const void *a, const void *b, void *c, int64_t c_row,
                               bool accumulate)
{
    const real *from = a, *panel = b;
    vec acc[TILE_ROWS][2];
    clear(acc);
    for (int64_t p = 0; p < k; p += VL, from += TILE_ROWS * VL)
        for (int lane = 0; lane < VL; lane++, panel += 2 * VL) {
            prefetch_columns(panel);
            __builtin_prefetch(from + TILE_ROWS * VL + lane * TILE_ROWS);
            add_products(acc, TILE_ROWS, 2, from + lane, VL, panel);
        }
    store_tile(acc, TILE_ROWS, c, c_row, accumulate);
}

V_FN void accumulate_rows(int rows, int64_t k, const real *a, int64_t a_step, const real *b,
                          int64_t b_step, real *c, int64_t c_row, bool accumulate)
{
    vec acc[TILE_ROWS][2];
    clear(acc);
    for (int64_t p = 0; p < k; p++, a += a_step, b += b_step) {
        __builtin_prefetch(a + STEPS_AHEAD * a_step);
        __builtin_prefetch(b + STEPS_AHEAD * b_step);
        __builtin_prefetch(b + STEPS_AHEAD * b_step + VL);
        add_products(acc, rows, 2, a, 1, b);
    }
    store_tile(acc, rows, c, c_row, accumulate);
}

void KERNEL(winograd_accumulate)(int64_t k, const void *a, int64_t a_step, int64_t rows,
                                 const void *b, int64_t b_step, void *c, int64_t c_row,
                                 bool accumulate)
{
    if (rows == TILE_ROWS)
        accumulate_rows(TILE_ROWS, k, a, a_step, b, b_step, c, c_row, accumulate);
    else if (rows > TILE_ROWS / 3)
        accumulate_rows(TILE_ROWS * 2 / 3, k, a, a_step, b, b_step, c, c_row, accumulate);
    else
        accumulate_rows(TILE_ROWS / 3, k, a, a_step, b, b_step, c, c_row, accumulate);
}
