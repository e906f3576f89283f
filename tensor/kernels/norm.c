/* Group normalisation of channels-last images [pixels][channels], vectors along the channels.
 *
 * Statistics are those of a chunk, taken twice over while it is in the first-level cache: its mean,
 * then squares about that mean, so a mean of 1000 beside a deviation of 1 costs no digits. Chunks
 * are merged in double by the caller. A mean travels as a real `center` plus the rest of the
 * double, which goes into the shift. Sums over pixels go by fours, in order.
 */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/norm.def"
#undef KERNEL_ROW

enum { BLOCK = 256 }; /* channels whose sums are kept on the stack */

/* ---- statistics ---------------------------------------------------------------------------------
 */

/* sum[c] = the sum over pixels of x[..][c], c < n <= BLOCK. */
static void column_sums(real *sum, const real *x, int64_t pixels, int64_t channels, int64_t n)
{
    memset(sum, 0, BLOCK * sizeof *sum);
    int64_t p = 0;
    for (; p + 4 <= pixels; p += 4, x += 4 * channels)
        for (int64_t c = 0; c < n; c += VL) {
            const real *at = x + c;
            vec low = v_load(at, n - c) + v_load(at + channels, n - c);
            vec high = v_load(at + 2 * channels, n - c) + v_load(at + 3 * channels, n - c);
            v_storeu(sum + c, v_loadu(sum + c) + (low + high));
        }
    for (; p < pixels; p++, x += channels)
        for (int64_t c = 0; c < n; c += VL)
            v_storeu(sum + c, v_loadu(sum + c) + v_load(x + c, n - c));
}

/* The same of d = x - center, and of d^2. */
static void column_squares(real *sum, real *square, const real *x, const real *center,
                           int64_t pixels, int64_t channels, int64_t n)
{
    memset(sum, 0, BLOCK * sizeof *sum);
    memset(square, 0, BLOCK * sizeof *square);
    int64_t p = 0;
    for (; p + 4 <= pixels; p += 4, x += 4 * channels)
        for (int64_t c = 0; c < n; c += VL) {
            const real *at = x + c;
            vec m = v_loadu(center + c);
            vec d0 = v_load(at, n - c) - m, d1 = v_load(at + channels, n - c) - m;
            vec d2 = v_load(at + 2 * channels, n - c) - m,
                d3 = v_load(at + 3 * channels, n - c) - m;
            v_storeu(sum + c, v_loadu(sum + c) + ((d0 + d1) + (d2 + d3)));
            vec low = v_fma(d0, d0, d1 * d1), high = v_fma(d2, d2, d3 * d3);
            v_storeu(square + c, v_loadu(square + c) + (low + high));
        }
    for (; p < pixels; p++, x += channels)
        for (int64_t c = 0; c < n; c += VL) {
            vec d = v_load(x + c, n - c) - v_loadu(center + c);
            v_storeu(sum + c, v_loadu(sum + c) + d);
            v_storeu(square + c, v_fma(d, d, v_loadu(square + c)));
        }
}

static int64_t block_at(int64_t channels, int64_t c)
{
    return channels - c < BLOCK ? channels - c : BLOCK;
}

/* Each channel's sum, from channel `first` on, onto that of its group. */
static void add_to_groups(double *group, const real *sum, int64_t first, int64_t n, int64_t of_group)
{
    int64_t g = first / of_group;
    for (int64_t i = 0, end = (g + 1) * of_group - first; i < n; g++, end += of_group) {
        double part = 0;
        for (end = end < n ? end : n; i < end; i++)
            part += (double)sum[i];
        group[g] += part;
    }
}

/* The contrary: each channel gets its group's value. */
static void spread_groups(real *channel, const double *group, int64_t first, int64_t n,
                          int64_t of_group)
{
    int64_t g = first / of_group;
    memset(channel, 0, BLOCK * sizeof *channel);
    for (int64_t i = 0, end = (g + 1) * of_group - first; i < n; g++, end += of_group)
        for (end = end < n ? end : n; i < end; i++)
            channel[i] = (real)group[g];
}

void KERNEL(group_norm_stats)(const void *x_, int64_t pixels, int64_t channels, int64_t groups,
                              double *mean, double *square, double *shift)
{
    const real *x = x_;
    real sum[BLOCK], squares[BLOCK], center[BLOCK];
    int64_t of_group = channels / groups;
    double count = (double)(pixels * of_group);
    for (int64_t g = 0; g < groups; g++)
        mean[g] = square[g] = shift[g] = 0;
    for (int64_t c = 0; c < channels; c += BLOCK) {
        column_sums(sum, x + c, pixels, channels, block_at(channels, c));
        add_to_groups(mean, sum, c, block_at(channels, c), of_group);
    }
    for (int64_t g = 0; g < groups; g++)
        mean[g] = (double)(real)(mean[g] / count);
    for (int64_t c = 0; c < channels; c += BLOCK) {
        int64_t n = block_at(channels, c);
        spread_groups(center, mean, c, n, of_group);
        column_squares(sum, squares, x + c, center, pixels, channels, n);
        add_to_groups(shift, sum, c, n, of_group);
        add_to_groups(square, squares, c, n, of_group);
    }
    for (int64_t g = 0; g < groups; g++) {
        square[g] -= shift[g] * shift[g] / count;
        mean[g] += shift[g] / count;
    }
}

/* ---- forward ------------------------------------------------------------------------------------
 */

void KERNEL(group_norm_lines)(void *center_, void *scale_, void *shift_, int64_t channels,
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

/* Pixels are taken by fours, so that what belongs to a channel is loaded once for all of them; the
 * last few of an image go one by one through the same code. */
V_FN void apply_rows(real *y, const real *x, int64_t rows, int64_t channels, const real *center,
                     const real *scale, const real *shift)
{
    for (int64_t c = 0; c < channels; c += VL) {
        int64_t n = channels - c;
        vec m = v_load(center + c, n), a = v_load(scale + c, n), b = v_load(shift + c, n);
        for (int64_t p = 0; p < rows; p++) {
            vec d = v_load(x + p * channels + c, n) - m;
            v_store(y + p * channels + c, v_fma(d, a, b), n);
        }
    }
}

void KERNEL(group_norm_apply)(void *y_, const void *x_, int64_t pixels, int64_t channels,
                              const void *center, const void *scale, const void *shift)
{
    real *y = y_;
    const real *x = x_;
    int64_t p = 0;
    for (; p + 4 <= pixels; p += 4)
        apply_rows(y + p * channels, x + p * channels, 4, channels, center, scale, shift);
    for (; p < pixels; p++)
        apply_rows(y + p * channels, x + p * channels, 1, channels, center, scale, shift);
}

/* ---- backward
 * ------------------------------------------------------------------------------------
 */

V_FN void sum_rows(real *sum, const real *x, const real *dy, int64_t rows, int64_t channels,
                   const real *center)
{
    for (int64_t c = 0; c < channels; c += VL) {
        int64_t n = channels - c;
        vec m = v_load(center + c, n), part = v_zero(), product = v_zero();
        for (int64_t p = 0; p < rows; p++) {
            vec g = v_load(dy + p * channels + c, n);
            part = part + g;
            product = v_fma(g, v_load(x + p * channels + c, n) - m, product);
        }
        v_store(sum + c, v_load(sum + c, n) + part, n);
        v_store(sum + channels + c, v_load(sum + channels + c, n) + product, n);
    }
}

void KERNEL(group_norm_sums)(void *sum, const void *x_, const void *dy_, int64_t pixels,
                             int64_t channels, const void *center)
{
    const real *x = x_, *dy = dy_;
    memset(sum, 0, (size_t)(2 * channels) * sizeof(real));
    int64_t p = 0;
    for (; p + 4 <= pixels; p += 4)
        sum_rows(sum, x + p * channels, dy + p * channels, 4, channels, center);
    for (; p < pixels; p++)
        sum_rows(sum, x + p * channels, dy + p * channels, 1, channels, center);
}

/* With xhat = (x - mean) rstd and dxhat = weight dy, over the n elements of a group:
 *     dx = rstd (dxhat - mean(dxhat) - xhat mean(dxhat xhat)). */
void KERNEL(group_norm_slopes)(double *grad, void *a_, void *b_, void *d_, const void *sums_,
                               int64_t chunks, int64_t channels, int64_t groups, int64_t count,
                               const double *mean, const double *rstd, const void *weight_)
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

V_FN void dx_rows(real *dx, const real *x, const real *dy, int64_t rows, int64_t channels,
                  const real *center, const real *a, const real *b, const real *d)
{
    for (int64_t c = 0; c < channels; c += VL) {
        int64_t n = channels - c;
        vec m = v_load(center + c, n), va = v_load(a + c, n), vb = v_load(b + c, n);
        vec vd = v_load(d + c, n);
        for (int64_t p = 0; p < rows; p++) {
            vec v = v_fma(v_load(x + p * channels + c, n) - m, vb, vd);
            v_store(dx + p * channels + c, v_fma(v_load(dy + p * channels + c, n), va, v), n);
        }
    }
}

void KERNEL(group_norm_dx)(void *dx_, const void *x_, const void *dy_, int64_t pixels,
                           int64_t channels, const void *center, const void *a, const void *b,
                           const void *d)
{
    real *dx = dx_;
    const real *x = x_, *dy = dy_;
    int64_t p = 0;
    for (; p + 4 <= pixels; p += 4)
        dx_rows(dx + p * channels, x + p * channels, dy + p * channels, 4, channels, center, a, b,
                d);
    for (; p < pixels; p++)
        dx_rows(dx + p * channels, x + p * channels, dy + p * channels, 1, channels, center, a, b,
                d);
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
