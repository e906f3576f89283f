/* Softmax over dense rows, each on its own: y = exp(x - max) / sum(exp(x - max)). A NaN, an
 * infinity at the top or nothing but minus infinity in a row make that row NaN, as the formula has
 * it. Sums run over lanes and then over their halves, so a row's bits depend on the row alone.
 */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/softmax.def"
#undef KERNEL_ROW

/* The largest of scale x. It may miss a NaN among numbers: the sum of exponentials does not. */
static real row_peak(const elem *x, int64_t n, real scale)
{
    const real lowest = (real)-__builtin_inf();
    vec m0 = v_set1(lowest), m1 = m0, s = v_set1(scale);
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        m0 = v_max(m0, e_loadu(x + i) * s);
        m1 = v_max(m1, e_loadu(x + i + VL) * s);
    }
    for (; i < n; i += VL)
        m0 = v_max(m0, v_first(e_load(x + i, n - i) * s, n - i, lowest));
    return v_hmax(v_max(m0, m1));
}

/* e becomes exp(scale x - peak), at n elements in up to V_ROWS vectors. */
V_FN void exponentials(vec *e, const elem *x, int64_t n, int64_t vectors, vec scale, vec peak)
{
    for (int64_t i = 0; i < vectors; i++)
        e[i] = e_load(x + i * VL, n - i * VL) * scale - peak;
    v_exp_normal(e, vectors);
}

/* y = exp(x - peak) inverse for a row. */
V_FN void row_from_statistics(elem *y, const elem *x, int64_t n, vec scale, vec peak, vec inverse)
{
    enum { STEP = V_ROWS * VL };
    vec e[V_ROWS];
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        exponentials(e, x + i, STEP, V_ROWS, scale, peak);
        for (int64_t k = 0; k < V_ROWS; k++)
            e_storeu(y + i + k * VL, e[k] * inverse);
    }
    for (; i < n; i += VL) {
        exponentials(e, x + i, n - i, 1, scale, peak);
        e_store(y + i, e[0] * inverse, n - i);
    }
}

/* sum(exp(x - peak)) for a row, and the exponentials in y unless that is NULL. */
V_FN real row_sum(elem *y, const elem *x, int64_t n, vec scale, vec peak)
{
    enum { STEP = V_ROWS * VL };
    vec sum = v_zero(), e[V_ROWS];
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        exponentials(e, x + i, STEP, V_ROWS, scale, peak);
        for (int64_t k = 0; k < V_ROWS; k++) {
            sum = sum + e[k];
            if (y != NULL)
                e_storeu(y + i + k * VL, e[k]);
        }
    }
    for (; i < n; i += VL) {
        exponentials(e, x + i, n - i, 1, scale, peak);
        sum = sum + v_first(e[0], n - i, 0);
        if (y != NULL)
            e_store(y + i, e[0], n - i);
    }
    return v_hsum(sum);
}

/* y = exp(x - peak) / sum(exp(x - peak)) for a row; the inverse of the sum. The exponentials wait
 * in y for their sum, unless y would round them: then they are made again. */
V_FN real row_softmax(elem *y, const elem *x, int64_t n, vec scale, vec peak)
{
    const bool kept = sizeof(elem) == sizeof(real);
    real inverse = (real)1 / row_sum(kept ? y : NULL, x, n, scale, peak);
    if (kept)
        for (int64_t i = 0; i < n; i += VL)
            e_store(y + i, e_load(y + i, n - i) * v_set1(inverse), n - i);
    else
        row_from_statistics(y, x, n, scale, peak, v_set1(inverse));
    return inverse;
}

void KERNEL(softmax)(void *y_, const void *x_, int64_t rows, int64_t n, double scale_, void *peak_,
                     void *inverse_)
{
    elem *y = y_;
    real *peaks = peak_, *inverses = inverse_;
    const elem *x = x_;
    const vec scale = v_set1((real)scale_);
    for (int64_t row = 0; row < rows; row++, x += n, y += n) {
        real peak = row_peak(x, n, (real)scale_);
        real inverse = row_softmax(y, x, n, scale, v_set1(peak));
        if (peaks != NULL) {
            peaks[row] = peak;
            inverses[row] = inverse;
        }
    }
}

void KERNEL(softmax_recompute)(void *y_, const void *x_, int64_t rows, int64_t n, double scale_,
                               const void *peak_, const void *inverse_)
{
    elem *y = y_;
    const elem *x = x_;
    const real *peaks = peak_, *inverses = inverse_;
    for (int64_t row = 0; row < rows; row++, x += n, y += n)
        row_from_statistics(y, x, n, v_set1((real)scale_), v_set1(peaks[row]),
                            v_set1(inverses[row]));
}

/* With y = softmax(scale x): dy_j/dx_i = scale y_j ([i = j] - y_i). */
void KERNEL(softmax_backward)(void *dx_, const void *y_, const void *dy_, int64_t rows, int64_t n,
                              double scale_)
{
    elem *dx = dx_;
    const elem *y = y_, *dy = dy_;
    const vec scale = v_set1((real)scale_);
    for (int64_t row = 0; row < rows; row++, dx += n, y += n, dy += n) {
        vec sum0 = v_zero(), sum1 = v_zero();
        int64_t i = 0;
        for (; i + 2 * VL <= n; i += 2 * VL) {
            sum0 = v_fma(e_loadu(y + i), e_loadu(dy + i), sum0);
            sum1 = v_fma(e_loadu(y + i + VL), e_loadu(dy + i + VL), sum1);
        }
        for (; i < n; i += VL)
            sum0 = v_fma(e_load(y + i, n - i), e_load(dy + i, n - i), sum0);
        const vec dot = v_set1(v_hsum(sum0 + sum1));
        for (i = 0; i < n; i += VL) {
            vec d = (e_load(dy + i, n - i) - dot) * e_load(y + i, n - i);
            e_store(dx + i, d * scale, n - i);
        }
    }
}

void KERNEL(log_softmax)(void *y_, const void *x_, int64_t rows, int64_t n)
{
    elem *y = y_;
    const elem *x = x_;
    for (int64_t row = 0; row < rows; row++, x += n, y += n) {
        const vec peak = v_set1(row_peak(x, n, 1));
        const vec log_sum = v_log(v_set1(row_sum(NULL, x, n, v_set1(1), peak)));
        for (int64_t i = 0; i < n; i += VL)
            e_store(y + i, e_load(x + i, n - i) - peak - log_sum, n - i);
    }
}

/* dy_j/dx_i = [i = j] - exp(y_i). */
void KERNEL(log_softmax_backward)(void *dx_, const void *y_, const void *dy_, int64_t rows,
                                  int64_t n)
{
    elem *dx = dx_;
    const elem *y = y_, *dy = dy_;
    for (int64_t row = 0; row < rows; row++, dx += n, y += n, dy += n) {
        vec sum = v_zero();
        for (int64_t i = 0; i < n; i += VL)
            sum = sum + e_load(dy + i, n - i);
        const vec total = v_set1(v_hsum(sum));
        for (int64_t i = 0; i < n; i += VL) {
            vec p = e_load(y + i, n - i);
            v_exp_normal(&p, 1);
            e_store(dx + i, e_load(dy + i, n - i) - p * total, n - i);
        }
    }
}
