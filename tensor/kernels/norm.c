/* Group normalisation of channels-last images [pixels][channels], vectors along the channels; with
 * silu behind it if asked.
 *
 * Statistics are sums of d = x - center and of d^2, where the center is the mean of a sample of
 * the image's pixels: a mean of 1000 beside a deviation of 1 costs no digits. Sums over pixels are
 * real within a chunk, by fours, and double from there on. A mean travels as a real `center` plus
 * the rest of the double, which goes into the shift.
 */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/norm.def"
#undef KERNEL_ROW

/* Pixels are taken by fours, so that what belongs to a channel is loaded once for all of them; the
 * last few go one by one through the same code: rows is a constant wherever these are inlined. */

/* The same channel of the pixel four further on, to read or to write. Rows side by side are more
 * streams than the hardware follows well: from 128 channels on, forward takes half as long again
 * without it, and so does backward. */
V_FN void prefetch_next(const elem *p, int64_t channels)
{
    __builtin_prefetch(p + 4 * channels);
}

V_FN void prefetch_to_write(elem *p, int64_t channels)
{
    __builtin_prefetch(p + 4 * channels, 1);
}

/* ---- statistics ---- */

V_FN void square_rows(real *sum, const elem *x, int64_t rows, int64_t channels, const real *center)
{
    for (int64_t c = 0; c < channels; c += VL) {
        int64_t n = channels - c;
        vec m = v_load(center + c, n), part = v_zero(), square = v_zero();
        for (int64_t p = 0; p < rows; p++) {
            prefetch_next(x + p * channels + c, channels);
            vec d = e_load(x + p * channels + c, n) - m;
            part = part + d;
            square = v_fma(d, d, square);
        }
        v_store(sum + c, v_load(sum + c, n) + part, n);
        v_store(sum + channels + c, v_load(sum + channels + c, n) + square, n);
    }
}

void KERNEL(group_norm_squares)(void *sum, const void *x_, int64_t pixels, int64_t channels,
                                const void *center)
{
    const elem *x = x_;
    memset(sum, 0, (size_t)(2 * channels) * sizeof(real));
    int64_t p = 0;
    for (; p + 4 <= pixels; p += 4)
        square_rows(sum, x + p * channels, 4, channels, center);
    for (; p < pixels; p++)
        square_rows(sum, x + p * channels, 1, channels, center);
}

void KERNEL(group_norm_center)(void *center_, double *mean, const void *x_, int64_t pixels,
                               int64_t step, int64_t channels, int64_t groups)
{
    real *center = center_;
    const elem *x = x_;
    int64_t of_group = channels / groups;
    for (int64_t c = 0; c < channels; c += VL) {
        vec sum = v_zero();
        for (int64_t p = 0; p < pixels; p++)
            sum = sum + e_load(x + p * step * channels + c, channels - c);
        v_store(center + c, sum, channels - c);
    }
    for (int64_t g = 0; g < groups; g++) {
        mean[g] = 0;
        for (int64_t c = g * of_group; c < (g + 1) * of_group; c++)
            mean[g] += (double)center[c];
        for (int64_t c = g * of_group; c < (g + 1) * of_group; c++)
            center[c] = (real)(mean[g] / (double)(pixels * of_group));
    }
}

void KERNEL(group_norm_moments)(double *mean, double *rstd, const void *sums_, int64_t chunks,
                                int64_t channels, int64_t groups, int64_t count, double eps,
                                const void *center_)
{
    const real *sums = sums_, *center = center_;
    int64_t of_group = channels / groups;
    for (int64_t g = 0; g < groups; g++) {
        double sum = 0, square = 0;
        for (int64_t k = 0; k < chunks; k++) {
            const real *at = sums + 2 * k * channels + g * of_group;
            for (int64_t i = 0; i < of_group; i++) {
                sum += (double)at[i];
                square += (double)at[channels + i];
            }
        }
        double shift = sum / (double)count, variance = square / (double)count - shift * shift;
        mean[g] = (double)center[g * of_group] + shift;
        rstd[g] = 1.0 / __builtin_sqrt((variance < 0 ? 0 : variance) + eps);
    }
}

/* ---- forward ---- */

void KERNEL(group_norm_affine)(void *center_, void *scale_, void *shift_, int64_t channels,
                               int64_t groups, const double *mean, const double *rstd,
                               const void *weight_, const void *bias_)
{
    real *center = center_, *scale = scale_, *shift = shift_;
    const real *weight = weight_, *bias = bias_;
    int64_t of_group = channels / groups;
    for (int64_t g = 0, c = 0; g < groups; g++)
        for (int64_t end = c + of_group; c < end; c++) {
            double slope = rstd[g] * (weight == NULL ? 1.0 : (double)weight[c]);
            center[c] = (real)mean[g];
            scale[c] = (real)slope;
            shift[c] = (real)((bias == NULL ? 0.0 : (double)bias[c]) -
                              (mean[g] - (double)center[c]) * slope);
        }
}

V_FN void apply_at(elem *y, const elem *x, int64_t rows, int64_t channels, int64_t n,
                   const real *center, const real *scale, const real *shift, bool silu)
{
    vec m = v_load(center, n), a = v_load(scale, n), b = v_load(shift, n), z[V_ROWS], e[V_ROWS];
    for (int64_t p = 0; p < rows; p++) {
        prefetch_next(x + p * channels, channels);
        prefetch_to_write(y + p * channels, channels);
        z[p] = v_fma(e_load(x + p * channels, n) - m, a, b);
        e[p] = v_zero() - z[p];
    }
    if (silu)
        v_one_plus_exp(e, rows);
    for (int64_t p = 0; p < rows; p++) {
        if (silu)
            z[p] = z[p] / e[p];
        e_store(y + p * channels, z[p], n);
    }
}

V_FN void apply_rows(elem *y, const elem *x, int64_t rows, int64_t channels, const real *center,
                     const real *scale, const real *shift, bool silu)
{
    int64_t c = 0;
    for (; c + VL <= channels; c += VL)
        apply_at(y + c, x + c, rows, channels, VL, center + c, scale + c, shift + c, silu);
    if (c < channels)
        apply_at(y + c, x + c, rows, channels, channels - c, center + c, scale + c, shift + c,
                 silu);
}

V_FN void apply(elem *y, const elem *x, int64_t pixels, int64_t channels, const real *center,
                const real *scale, const real *shift, bool silu)
{
    int64_t p = 0;
    for (; p + V_ROWS <= pixels; p += V_ROWS)
        apply_rows(y + p * channels, x + p * channels, V_ROWS, channels, center, scale, shift,
                   silu);
    for (; p < pixels; p++)
        apply_rows(y + p * channels, x + p * channels, 1, channels, center, scale, shift, silu);
}

void KERNEL(group_norm_apply)(void *y, const void *x, int64_t pixels, int64_t channels,
                              const void *center, const void *scale, const void *shift, bool silu)
{
    if (silu)
        apply(y, x, pixels, channels, center, scale, shift, true);
    else
        apply(y, x, pixels, channels, center, scale, shift, false);
}

/* ---- backward
 * ------------------------------------------------------------------------------------
 */

/* What a channel's sums are over: dz of the norm's result z, which is dy unless silu follows. */
typedef struct sums_from {
    const elem *x, *dy;
    const real *center;
    const real *scale, *shift; /* with silu */
    elem *dz;                  /* with silu: where to write it, or NULL */
} sums_from;

V_FN void sum_at(real *sum, const sums_from *from, int64_t at, int64_t rows, int64_t channels,
                 int64_t c, int64_t n, bool silu)
{
    vec m = v_load(from->center + c, n), part = v_zero(), product = v_zero();
    vec z[V_ROWS], e[V_ROWS];
    at += c;
    if (silu) {
        vec a = v_load(from->scale + c, n), b = v_load(from->shift + c, n);
        for (int64_t p = 0; p < rows; p++) {
            prefetch_next(from->x + at + p * channels, channels);
            prefetch_next(from->dy + at + p * channels, channels);
            z[p] = v_fma(e_load(from->x + at + p * channels, n) - m, a, b);
            e[p] = v_zero() - z[p];
        }
        v_one_plus_exp(e, rows);
    }
    for (int64_t p = 0; p < rows; p++, at += channels) {
        vec g = e_load(from->dy + at, n);
        if (silu) {
            vec one = v_set1((real)1), s = one / e[p];
            g = g * (s * v_fma(z[p], one - s, one));
            if (from->dz != NULL)
                e_store(from->dz + at, g, n);
        }
        part = part + g;
        product = v_fma(g, e_load(from->x + at, n) - m, product);
    }
    v_store(sum + c, v_load(sum + c, n) + part, n);
    v_store(sum + channels + c, v_load(sum + channels + c, n) + product, n);
}

V_FN void sum_rows(real *sum, const sums_from *from, int64_t first, int64_t rows, int64_t channels,
                   bool silu)
{
    int64_t c = 0;
    for (; c + VL <= channels; c += VL)
        sum_at(sum, from, first * channels, rows, channels, c, VL, silu);
    if (c < channels)
        sum_at(sum, from, first * channels, rows, channels, c, channels - c, silu);
}

V_FN void sum_up(real *sum, const sums_from *from, int64_t pixels, int64_t channels, bool silu)
{
    memset(sum, 0, (size_t)(2 * channels) * sizeof(real));
    int64_t p = 0;
    for (; p + V_ROWS <= pixels; p += V_ROWS)
        sum_rows(sum, from, p, V_ROWS, channels, silu);
    for (; p < pixels; p++)
        sum_rows(sum, from, p, 1, channels, silu);
}

void KERNEL(group_norm_sums)(void *sum, const void *x, const void *dy, int64_t pixels,
                             int64_t channels, const void *center)
{
    sums_from from = {.x = x, .dy = dy, .center = center};
    sum_up(sum, &from, pixels, channels, false);
}

void KERNEL(group_norm_silu_sums)(void *sum, void *dz, const void *x, const void *dy,
                                  int64_t pixels, int64_t channels, const void *center,
                                  const void *scale, const void *shift)
{
    sums_from from = {x, dy, center, scale, shift, dz};
    sum_up(sum, &from, pixels, channels, true);
}

/* With xhat = (x - mean) rstd and dxhat = weight dy, over the n elements of a group:
 *     dx = rstd (dxhat - mean(dxhat) - xhat mean(dxhat xhat)). */
void KERNEL(group_norm_coefficients)(double *grad, void *a_, void *b_, void *d_, const void *sums_,
                                     int64_t chunks, int64_t channels, int64_t groups,
                                     int64_t count, const double *mean, const double *rstd,
                                     const void *weight_)
{
    real *a = a_, *b = b_, *d = d_;
    const real *sums = sums_, *weight = weight_;
    int64_t of_group = channels / groups;
    for (int64_t c = 0; c < 2 * channels; c++)
        grad[c] = 0;
    for (int64_t k = 0; k < chunks; k++)
        for (int64_t c = 0; c < 2 * channels; c++)
            grad[c] += (double)sums[k * 2 * channels + c];
    for (int64_t g = 0; g < groups; g++) {
        double rest = mean[g] - (double)(real)mean[g], sum = 0, product = 0;
        for (int64_t c = g * of_group; c < (g + 1) * of_group; c++) {
            double w = weight == NULL ? 1.0 : (double)weight[c];
            grad[channels + c] = (grad[channels + c] - rest * grad[c]) * rstd[g];
            sum += w * grad[c];
            product += w * grad[channels + c];
        }
        double slope = -rstd[g] * rstd[g] * product / (double)count;
        double level = -rstd[g] * sum / (double)count - rest * slope;
        for (int64_t c = g * of_group; c < (g + 1) * of_group; c++) {
            a[c] = (real)(rstd[g] * (weight == NULL ? 1.0 : (double)weight[c]));
            b[c] = (real)slope;
            d[c] = (real)level;
        }
    }
}

V_FN void dx_rows(elem *dx, const elem *x, const elem *dy, int64_t rows, int64_t channels,
                  const real *center, const real *a, const real *b, const real *d)
{
    for (int64_t c = 0; c < channels; c += VL) {
        int64_t n = channels - c;
        vec m = v_load(center + c, n), va = v_load(a + c, n), vb = v_load(b + c, n);
        vec vd = v_load(d + c, n);
        for (int64_t p = 0; p < rows; p++) {
            vec v = v_fma(e_load(x + p * channels + c, n) - m, vb, vd);
            e_store(dx + p * channels + c, v_fma(e_load(dy + p * channels + c, n), va, v), n);
        }
    }
}

void KERNEL(group_norm_dx)(void *dx_, const void *x_, const void *dy_, int64_t pixels,
                           int64_t channels, const void *center, const void *a, const void *b,
                           const void *d)
{
    elem *dx = dx_;
    const elem *x = x_, *dy = dy_;
    int64_t p = 0;
    for (; p + 4 <= pixels; p += 4)
        dx_rows(dx + p * channels, x + p * channels, dy + p * channels, 4, channels, center, a, b,
                d);
    for (; p < pixels; p++)
        dx_rows(dx + p * channels, x + p * channels, dy + p * channels, 1, channels, center, a, b,
                d);
}

/* ---- forward mode ---- */

void KERNEL(group_norm_tangent_coefficients)(void *a_, void *b_, void *d_, int64_t channels,
                                             int64_t groups, const double *mean, const double *rstd,
                                             const void *weight_, const void *dweight_,
                                             const void *dbias_)
{
    real *a = a_, *b = b_, *d = d_;
    const real *weight = weight_, *dweight = dweight_, *dbias = dbias_;
    for (int64_t c = 0; c < channels; c++) {
        int64_t g = c / (channels / groups);
        double w = weight == NULL ? 1.0 : (double)weight[c];
        double dw = dweight == NULL ? 0.0 : (double)dweight[c] * rstd[g];
        double rest = mean[g] - (double)(real)mean[g];
        a[c] = (real)(w * (double)a[c]);
        b[c] = (real)(w * (double)b[c] + dw);
        d[c] = (real)(w * (double)d[c] - rest * dw + (dbias == NULL ? 0.0 : (double)dbias[c]));
    }
}

typedef struct tangent_of {
    const elem *x, *t;
    const real *center, *a, *b, *d, *scale, *shift;
} tangent_of;

V_FN void tangent_rows(elem *dy, const tangent_of *from, int64_t at, int64_t rows, int64_t channels,
                       bool silu)
{
    for (int64_t c = 0; c < channels; c += VL) {
        int64_t n = channels - c;
        vec m = v_load(from->center + c, n), dz[V_ROWS], z[V_ROWS], e[V_ROWS];
        vec a = v_load(from->a + c, n), b = v_load(from->b + c, n), d = v_load(from->d + c, n);
        vec scale = v_load(from->scale + c, n), shift = v_load(from->shift + c, n);
        for (int64_t p = 0; p < rows; p++) {
            vec x = e_load(from->x + at + p * channels + c, n) - m;
            dz[p] = v_fma(e_load(from->t + at + p * channels + c, n), a, v_fma(x, b, d));
            z[p] = v_fma(x, scale, shift);
            e[p] = v_zero() - z[p];
        }
        if (silu)
            v_one_plus_exp(e, rows);
        for (int64_t p = 0; p < rows; p++) {
            vec one = v_set1((real)1), s = one / e[p];
            if (silu)
                dz[p] = dz[p] * (s * v_fma(z[p], one - s, one));
            e_store(dy + at + p * channels + c, dz[p], n);
        }
    }
}

V_FN void tangent(elem *dy, const tangent_of *from, int64_t pixels, int64_t channels, bool silu)
{
    int64_t p = 0;
    for (; p + V_ROWS <= pixels; p += V_ROWS)
        tangent_rows(dy, from, p * channels, V_ROWS, channels, silu);
    for (; p < pixels; p++)
        tangent_rows(dy, from, p * channels, 1, channels, silu);
}

void KERNEL(group_norm_tangent)(void *dy, const void *x, const void *t, int64_t pixels,
                                int64_t channels, const void *center, const void *a, const void *b,
                                const void *d, const void *scale, const void *shift, bool silu)
{
    tangent_of from = {x, t, center, a, b, d, scale, shift};
    if (silu)
        tangent(dy, &from, pixels, channels, true);
    else
        tangent(dy, &from, pixels, channels, false);
}

void KERNEL(group_norm_total)(void *y_, const double *x, int64_t rows, int64_t stride,
                              int64_t channels)
{
    real *y = y_;
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++)
            sum += x[r * stride + c];
        y[c] = (real)sum;
    }
}
