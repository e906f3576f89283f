/* Layer norm and rms norm of dense rows, one at a time, vectors along the row.
 *
 * Statistics of layer norm are sums of d = x - center and of d^2, where the center is the mean of
 * the first columns, or of all where that is too far off: a mean of 1000 beside a deviation of 1
 * costs no digits. A mean travels as a real `center` plus the rest of the double, which goes into
 * the shift. Sums along a row are real within a block, and double from there on.
 *
 * Rows side by side, as group norm takes its pixels, are streams that memory follows badly here: by
 * fours, backward of 256 columns in f32 takes twice as long.
 */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/layer_norm.def"
#undef KERNEL_ROW

/* A sum has so many vectors, for columns in turn, which hide the latency of an addition. */
enum { CHAINS = 4, STEP = CHAINS * VL, BLOCK = 4096 };

/* Columns of the block that begins at column c. */
V_FN int64_t block_columns(int64_t c, int64_t n)
{
    return n - c < BLOCK ? n - c : BLOCK;
}

V_FN double total(const vec *part)
{
    return (double)v_hsum((part[0] + part[1]) + (part[2] + part[3]));
}

/* The same column of the next row. */
V_FN void prefetch_next(const elem *p, int64_t n)
{
    __builtin_prefetch(p + n);
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

/* The mean of n <= STEP columns. */
V_FN real sample_mean(const elem *x, int64_t n)
{
    vec sum = v_zero();
    for (int64_t c = 0; c < n; c += VL)
        sum = sum + e_load(x + c, n - c);
    return v_hsum(sum) / (real)n;
}

V_FN void add_square(vec *sum, vec *square, vec d)
{
    *sum = *sum + d;
    *square = v_fma(d, d, *square);
}

/* Adds the sums of d = x - center and of d^2 over some columns of a row of n. */
V_FN void square_block(double *sum, double *square, const elem *x, int64_t columns, int64_t n,
                       real center)
{
    vec part[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()}, m = v_set1(center);
    vec squares[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t c = 0;
    for (; c + STEP <= columns; c += STEP)
        for (int64_t k = 0; k < CHAINS; k++) {
            prefetch_next(x + c + k * VL, n);
            add_square(&part[k], &squares[k], e_loadu(x + c + k * VL) - m);
        }
    for (; c < columns; c += VL)
        add_square(&part[0], &squares[0], v_first(e_load(x + c, columns - c) - m, columns - c, 0));
    *sum += total(part);
    *square += total(squares);
}

/* A center further from the mean than a deviation is replaced by the mean that it has led to. */
V_FN void measure(double *mean, double *rstd, const elem *x, int64_t n, double eps)
{
    real center = mean == NULL ? 0 : sample_mean(x, n < STEP ? n : STEP);
    double variance = 0;
    for (int pass = 0; pass < 2; pass++) {
        double sum = 0, square = 0;
        for (int64_t c = 0; c < n; c += BLOCK)
            square_block(&sum, &square, x + c, block_columns(c, n), n, center);
        variance = square / (double)n;
        if (mean == NULL)
            break;
        double shift = sum / (double)n;
        *mean = (double)center + shift;
        variance -= shift * shift;
        if (shift * shift <= variance)
            break;
        center = (real)*mean;
    }
    *rstd = 1.0 / __builtin_sqrt((variance < 0 ? 0 : variance) + eps);
}

/* ---- forward ---- */

V_FN void apply_at(elem *y, const elem *x, int64_t n, const row_affine *a, const real *weight,
                   const real *bias)
{
    vec w = weight == NULL ? v_set1(1) : v_load(weight, n);
    vec b = bias == NULL ? v_zero() : v_load(bias, n);
    e_store(y, v_fma(normalised(x, n, a), w, b), n);
}

V_FN void apply(elem *y, const elem *x, int64_t n, const row_affine *a, const real *weight,
                const real *bias)
{
    int64_t c = 0;
    for (; c + VL <= n; c += VL)
        apply_at(y + c, x + c, VL, a, weight == NULL ? NULL : weight + c,
                 bias == NULL ? NULL : bias + c);
    if (c < n)
        apply_at(y + c, x + c, n - c, a, weight == NULL ? NULL : weight + c,
                 bias == NULL ? NULL : bias + c);
}

void KERNEL(layer_norm)(void *y, const void *x, int64_t rows, int64_t n, double eps, bool measured,
                        double *mean, double *rstd, const void *weight, const void *bias)
{
    for (int64_t r = 0; r < rows; r++) {
        const elem *row = (const elem *)x + r * n;
        double *m = mean == NULL ? NULL : mean + r;
        if (!measured)
            measure(m, rstd + r, row, n, eps);
        row_affine a = affine_of(m, rstd[r]);
        apply((elem *)y + r * n, row, n, &a, weight, bias);
    }
}

/* ---- backward ---- */

/* A row, and where its part of the parameters' gradients goes; each of these may be NULL. */
typedef struct row_gradient {
    const elem *x, *dy;
    row_affine affine;
    const real *weight; /* or NULL */
    real *dweight, *dbias;
} row_gradient;

V_FN void add_to(real *sum, vec part, int64_t n)
{
    v_store(sum, v_load(sum, n) + part, n);
}

/* Adds g = weight dy, and g xhat, of n <= VL columns from c on. */
V_FN void add_products(vec *sum, vec *product, const row_gradient *g, int64_t c, int64_t n)
{
    vec d = e_load(g->dy + c, n), v = normalised(g->x + c, n, &g->affine);
    vec w = g->weight == NULL ? v_set1(1) : v_load(g->weight + c, n), weighted = d * w;
    *sum = *sum + weighted;
    *product = v_fma(weighted, v, *product);
    if (g->dweight != NULL)
        add_to(g->dweight + c, d * v, n);
    if (g->dbias != NULL)
        add_to(g->dbias + c, d, n);
}

V_FN void product_block(double *sum, double *product, const row_gradient *g, int64_t c, int64_t end,
                        int64_t n)
{
    vec part[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    vec products[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    for (; c + STEP <= end; c += STEP)
        for (int64_t k = 0; k < CHAINS; k++) {
            prefetch_next(g->x + c + k * VL, n);
            prefetch_next(g->dy + c + k * VL, n);
            add_products(&part[k], &products[k], g, c + k * VL, VL);
        }
    for (; c < end; c += VL)
        add_products(&part[0], &products[0], g, c, end - c);
    *sum += total(part);
    *product += total(products);
}

V_FN void dx_at(elem *dx, const row_gradient *g, int64_t c, int64_t n, vec slope, vec level)
{
    vec d = e_load(g->dy + c, n), v = normalised(g->x + c, n, &g->affine);
    vec w = g->weight == NULL ? v_set1(1) : v_load(g->weight + c, n), weighted = d * w;
    e_store(dx + c, (weighted + v_fma(v, slope, level)) * g->affine.scale, n);
}

/* dx = rstd (g - mean(g) - xhat mean(g xhat)); of rms norm, without mean(g). */
V_FN void row_dx(elem *dx, const row_gradient *g, int64_t n, double sum, double product)
{
    vec slope = v_set1((real)(-product / (double)n)), level = v_set1((real)(-sum / (double)n));
    int64_t c = 0;
    for (; c + VL <= n; c += VL)
        dx_at(dx, g, c, VL, slope, level);
    if (c < n)
        dx_at(dx, g, c, n - c, slope, level);
}

void KERNEL(layer_norm_backward)(void *dx, void *dweight, void *dbias, const void *x,
                                 const void *dy, int64_t rows, int64_t n, const double *mean,
                                 const double *rstd, const void *weight)
{
    if (dweight != NULL)
        memset(dweight, 0, (size_t)n * sizeof(real));
    if (dbias != NULL)
        memset(dbias, 0, (size_t)n * sizeof(real));
    for (int64_t r = 0; r < rows; r++) {
        row_gradient g = {.x = (const elem *)x + r * n,
                          .dy = (const elem *)dy + r * n,
                          .affine = affine_of(mean == NULL ? NULL : mean + r, rstd[r]),
                          .weight = weight,
                          .dweight = dweight,
                          .dbias = dbias};
        double sum = 0, product = 0;
        for (int64_t c = 0; c < n; c += BLOCK)
            product_block(&sum, &product, &g, c, c + block_columns(c, n), n);
        if (dx != NULL)
            row_dx((elem *)dx + r * n, &g, n, mean == NULL ? 0 : sum, product);
    }
}

void KERNEL(layer_norm_total)(void *y_, const void *sums_, int64_t parts, int64_t stride, int64_t n)
{
    enum { COLUMNS = 64 };
    real *y = y_;
    const real *sums = sums_;
    for (int64_t c = 0; c < n; c += COLUMNS) {
        int64_t columns = n - c < COLUMNS ? n - c : COLUMNS;
        double total_of[COLUMNS] = {0};
        for (int64_t k = 0; k < parts; k++)
            for (int64_t i = 0; i < columns; i++)
                total_of[i] += (double)sums[k * stride + c + i];
        for (int64_t i = 0; i < columns; i++)
            y[c + i] = (real)total_of[i];
    }
}
