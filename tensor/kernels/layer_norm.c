/* Layer norm and rms norm of dense rows, vectors along the row.
 *
 * Statistics of layer norm are sums of d = x - center and of d^2, where the center is the mean as a
 * first pass finds it: a mean of 1000 beside a deviation of 1 costs no digits. A mean travels as a
 * real `center` plus the rest of the double, which goes into the shift. Sums along a row are real
 * within a block, and double from there on.
 *
 * Invariant: a row's result and its dx depend on the row alone, whatever rows are beside it.
 */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/layer_norm.def"
#undef KERNEL_ROW

/* Rows are taken by twos, whose sums hide each other's latency and which share what belongs to a
 * column; a last one goes through the same code: rows is a constant wherever these are inlined.
 * Fours are streams too many: backward then takes more than twice as long with 256 columns. */
enum { ROWS = 2, BLOCK = 4096 };

/* Where the block that begins at column c ends. */
V_FN int64_t block_end(int64_t c, int64_t n)
{
    return n - c < BLOCK ? n : c + BLOCK;
}

/* What makes xhat = (x - center) scale + shift of a row's elements. */
typedef struct row_affine {
    vec center, scale, shift;
} row_affine;

V_FN row_affine affine_of(const double *mean, double rstd)
{
    double m = mean == NULL ? 0 : *mean;
    real center = (real)m;
    return (row_affine){v_set1(center), v_set1((real)rstd),
                        v_set1((real)(((double)center - m) * rstd))};
}

V_FN vec normalised(const elem *x, int64_t n, const row_affine *a)
{
    return v_fma(e_load(x, n) - a->center, a->scale, a->shift);
}

/* ---- statistics ---- */

/* The sum of each row. */
V_FN void sum_rows(double *sum, const elem *x, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        sum[r] = 0;
    for (int64_t c = 0; c < n;) {
        vec part[ROWS];
        for (int64_t r = 0; r < rows; r++)
            part[r] = v_zero();
        for (int64_t end = block_end(c, n); c < end; c += VL)
            for (int64_t r = 0; r < rows; r++)
                part[r] = part[r] + e_load(x + r * n + c, n - c);
        for (int64_t r = 0; r < rows; r++)
            sum[r] += (double)v_hsum(part[r]);
    }
}

/* Of each row the sums of d = x - center and of d^2. */
V_FN void square_rows(double *sum, double *square, const elem *x, int64_t rows, int64_t n,
                      const real *center)
{
    vec m[ROWS];
    for (int64_t r = 0; r < rows; r++) {
        m[r] = v_set1(center[r]);
        sum[r] = square[r] = 0;
    }
    for (int64_t c = 0; c < n;) {
        vec part[ROWS], squares[ROWS];
        for (int64_t r = 0; r < rows; r++)
            part[r] = squares[r] = v_zero();
        int64_t end = block_end(c, n);
        for (; c + VL <= end; c += VL)
            for (int64_t r = 0; r < rows; r++) {
                vec d = e_loadu(x + r * n + c) - m[r];
                part[r] = part[r] + d;
                squares[r] = v_fma(d, d, squares[r]);
            }
        for (int64_t r = 0; r < rows && c < end; r++) {
            vec d = v_first(e_load(x + r * n + c, end - c) - m[r], end - c, 0);
            part[r] = part[r] + d;
            squares[r] = v_fma(d, d, squares[r]);
        }
        c = end;
        for (int64_t r = 0; r < rows; r++) {
            sum[r] += (double)v_hsum(part[r]);
            square[r] += (double)v_hsum(squares[r]);
        }
    }
}

V_FN void measure_rows(double *mean, double *rstd, const elem *x, int64_t rows, int64_t n,
                       double eps)
{
    real center[ROWS] = {0};
    double sum[ROWS] = {0}, square[ROWS];
    if (mean != NULL)
        sum_rows(sum, x, rows, n);
    for (int64_t r = 0; r < rows; r++)
        center[r] = (real)(sum[r] / (double)n);
    square_rows(sum, square, x, rows, n, center);
    for (int64_t r = 0; r < rows; r++) {
        double variance = square[r] / (double)n;
        if (mean != NULL) {
            double shift = sum[r] / (double)n;
            mean[r] = (double)center[r] + shift;
            variance -= shift * shift;
        }
        rstd[r] = 1.0 / __builtin_sqrt((variance < 0 ? 0 : variance) + eps);
    }
}

/* ---- forward ---- */

V_FN void apply_rows(elem *y, const elem *x, int64_t rows, int64_t n, const double *mean,
                     const double *rstd, const real *weight, const real *bias)
{
    row_affine a[ROWS];
    for (int64_t r = 0; r < rows; r++)
        a[r] = affine_of(mean == NULL ? NULL : mean + r, rstd[r]);
    for (int64_t c = 0; c < n; c += VL) {
        vec w = weight == NULL ? v_set1(1) : v_load(weight + c, n - c);
        vec b = bias == NULL ? v_zero() : v_load(bias + c, n - c);
        for (int64_t r = 0; r < rows; r++) {
            vec v = normalised(x + r * n + c, n - c, &a[r]);
            e_store(y + r * n + c, v_fma(v, w, b), n - c);
        }
    }
}

V_FN void forward_rows(elem *y, const elem *x, int64_t rows, int64_t n, double eps, bool measured,
                       double *mean, double *rstd, const real *weight, const real *bias)
{
    if (!measured)
        measure_rows(mean, rstd, x, rows, n, eps);
    apply_rows(y, x, rows, n, mean, rstd, weight, bias);
}

void KERNEL(layer_norm)(void *y_, const void *x_, int64_t rows, int64_t n, double eps,
                        bool measured, double *mean, double *rstd, const void *weight,
                        const void *bias)
{
    elem *y = y_;
    const elem *x = x_;
    int64_t r = 0;
    for (; r + ROWS <= rows; r += ROWS)
        forward_rows(y + r * n, x + r * n, ROWS, n, eps, measured, mean == NULL ? NULL : mean + r,
                     rstd + r, weight, bias);
    for (; r < rows; r++)
        forward_rows(y + r * n, x + r * n, 1, n, eps, measured, mean == NULL ? NULL : mean + r,
                     rstd + r, weight, bias);
}

/* ---- backward ---- */

/* What a row's dx takes besides its elements. */
typedef struct row_sums {
    double g, product; /* of g = weight dy and of g xhat */
} row_sums;

V_FN void add_to(real *sum, vec part, int64_t n)
{
    if (sum != NULL)
        v_store(sum, v_load(sum, n) + part, n);
}

V_FN void gradient_sums(row_sums *sums, real *dweight, real *dbias, const elem *x, const elem *dy,
                        int64_t rows, int64_t n, const row_affine *a, const real *weight)
{
    for (int64_t r = 0; r < rows; r++)
        sums[r] = (row_sums){0, 0};
    for (int64_t c = 0; c < n;) {
        vec g_sum[ROWS], product[ROWS];
        for (int64_t r = 0; r < rows; r++)
            g_sum[r] = product[r] = v_zero();
        for (int64_t end = block_end(c, n); c < end; c += VL) {
            vec w = weight == NULL ? v_set1(1) : v_load(weight + c, n - c);
            vec of_weight = v_zero(), of_bias = v_zero();
            for (int64_t r = 0; r < rows; r++) {
                vec d = e_load(dy + r * n + c, n - c), v = normalised(x + r * n + c, n - c, &a[r]);
                vec g = d * w;
                of_bias = of_bias + d;
                of_weight = v_fma(d, v, of_weight);
                g_sum[r] = g_sum[r] + g;
                product[r] = v_fma(g, v, product[r]);
            }
            add_to(dweight == NULL ? NULL : dweight + c, of_weight, n - c);
            add_to(dbias == NULL ? NULL : dbias + c, of_bias, n - c);
        }
        for (int64_t r = 0; r < rows; r++) {
            sums[r].g += (double)v_hsum(g_sum[r]);
            sums[r].product += (double)v_hsum(product[r]);
        }
    }
}

/* dx = rstd (g - mean(g) - xhat mean(g xhat)); of rms norm, without mean(g). */
V_FN void dx_rows(elem *dx, const elem *x, const elem *dy, int64_t rows, int64_t n,
                  const row_affine *a, const row_sums *sums, bool centered, const real *weight)
{
    vec slope[ROWS], level[ROWS];
    for (int64_t r = 0; r < rows; r++) {
        slope[r] = v_set1((real)(-sums[r].product / (double)n));
        level[r] = v_set1((real)(centered ? -sums[r].g / (double)n : 0));
    }
    for (int64_t c = 0; c < n; c += VL) {
        vec w = weight == NULL ? v_set1(1) : v_load(weight + c, n - c);
        for (int64_t r = 0; r < rows; r++) {
            vec v = normalised(x + r * n + c, n - c, &a[r]);
            vec rest = v_fma(v, slope[r], level[r]);
            vec d = v_fma(e_load(dy + r * n + c, n - c), w, rest);
            e_store(dx + r * n + c, d * a[r].scale, n - c);
        }
    }
}

V_FN void backward_rows(elem *dx, real *dweight, real *dbias, const elem *x, const elem *dy,
                        int64_t rows, int64_t n, const double *mean, const double *rstd,
                        const real *weight)
{
    row_affine a[ROWS];
    row_sums sums[ROWS];
    for (int64_t r = 0; r < rows; r++)
        a[r] = affine_of(mean == NULL ? NULL : mean + r, rstd[r]);
    gradient_sums(sums, dweight, dbias, x, dy, rows, n, a, weight);
    if (dx != NULL)
        dx_rows(dx, x, dy, rows, n, a, sums, mean != NULL, weight);
}

void KERNEL(layer_norm_backward)(void *dx_, void *dweight, void *dbias, const void *x_,
                                 const void *dy_, int64_t rows, int64_t n, const double *mean,
                                 const double *rstd, const void *weight)
{
    elem *dx = dx_;
    const elem *x = x_, *dy = dy_;
    if (dweight != NULL)
        memset(dweight, 0, (size_t)n * sizeof(real));
    if (dbias != NULL)
        memset(dbias, 0, (size_t)n * sizeof(real));
    int64_t r = 0;
    for (; r + ROWS <= rows; r += ROWS)
        backward_rows(dx == NULL ? NULL : dx + r * n, dweight, dbias, x + r * n, dy + r * n, ROWS,
                      n, mean == NULL ? NULL : mean + r, rstd + r, weight);
    for (; r < rows; r++)
        backward_rows(dx == NULL ? NULL : dx + r * n, dweight, dbias, x + r * n, dy + r * n, 1, n,
                      mean == NULL ? NULL : mean + r, rstd + r, weight);
}

void KERNEL(layer_norm_total)(void *y_, const void *sums_, int64_t parts, int64_t stride, int64_t n)
{
    enum { COLUMNS = 64 };
    real *y = y_;
    const real *sums = sums_;
    for (int64_t c = 0; c < n; c += COLUMNS) {
        int64_t columns = n - c < COLUMNS ? n - c : COLUMNS;
        double total[COLUMNS] = {0};
        for (int64_t k = 0; k < parts; k++)
            for (int64_t i = 0; i < columns; i++)
                total[i] += (double)sums[k * stride + c + i];
        for (int64_t i = 0; i < columns; i++)
            y[c + i] = (real)total[i];
    }
}
