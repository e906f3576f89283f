/* Sums, maxima and minima of rows and of columns, added to accumulators in double.
 *
 * Sums run in `real` over at most DEPTH terms a lane and go to double then, so their error grows
 * with DEPTH and not with n. Where the terms are summed in which order depends on n and rows alone:
 * a column's sum is the same bits wherever the column stands. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/reduce.def"
#undef KERNEL_ROW

enum { DEPTH = 64, UNROLL = 4 };

/* Short rows in sequence: the same sum that sum_columns makes of them. */
static double sum_short(const elem *x, int64_t stride, int64_t n)
{
    real sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += e_get(x[i * stride]);
    return (double)sum;
}

/* At most DEPTH * UNROLL * VL elements. */
static double sum_block(const elem *x, int64_t stride, int64_t n)
{
    vec s[UNROLL] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t i = 0;
    if (stride == 1)
        for (; i + UNROLL * VL <= n; i += UNROLL * VL)
            for (int u = 0; u < UNROLL; u++)
                s[u] = s[u] + e_loadu(x + i + u * VL);
    for (; i + VL <= n; i += VL)
        s[i / VL % UNROLL] = s[i / VL % UNROLL] + e_gather(x + i * stride, stride, VL);
    real rest[VL] = {0}; /* e_gather with stride 0 would fill the lanes past the end */
    for (int64_t j = i; j < n; j++)
        rest[j - i] = e_get(x[j * stride]);
    return (double)v_hsum(((s[0] + s[1]) + (s[2] + s[3])) + v_loadu(rest));
}

void KERNEL(sum_row)(double *acc, const void *x_, int64_t stride, int64_t n)
{
    const elem *x = x_;
    const int64_t block = DEPTH * UNROLL * VL;
    if (n <= 8)
        *acc += sum_short(x, stride, n);
    else
        for (int64_t i = 0; i < n; i += block)
            *acc += sum_block(x + i * stride, stride, n - i < block ? n - i : block);
}

static void add_lanes(double *acc, vec s, int64_t n)
{
    real lane[VL];
    v_storeu(lane, s);
    for (int64_t j = 0; j < n && j < VL; j++)
        acc[j] += (double)lane[j];
}

/* DEPTH rows or fewer of n columns. */
static void sum_columns_block(double *acc, const elem *x, int64_t row_stride, int64_t rows,
                              int64_t stride, int64_t n)
{
    int64_t j = 0;
    if (stride == 1)
        for (; j + UNROLL * VL <= n; j += UNROLL * VL) {
            vec s[UNROLL] = {v_zero(), v_zero(), v_zero(), v_zero()};
            for (int64_t i = 0; i < rows; i++)
                for (int u = 0; u < UNROLL; u++)
                    s[u] = s[u] + e_loadu(x + i * row_stride + j + u * VL);
            for (int u = 0; u < UNROLL; u++)
                add_lanes(acc + j + u * VL, s[u], VL);
        }
    for (; j < n; j += VL) {
        vec s = v_zero();
        for (int64_t i = 0; i < rows; i++)
            s = s + e_gather(x + i * row_stride + j * stride, stride, n - j);
        add_lanes(acc + j, s, n - j);
    }
}

void KERNEL(sum_columns)(double *acc, const void *x_, int64_t row_stride, int64_t rows,
                         int64_t stride, int64_t n)
{
    const elem *x = x_;
    for (int64_t i = 0; i < rows; i += DEPTH)
        sum_columns_block(acc, x + i * row_stride, row_stride, rows - i < DEPTH ? rows - i : DEPTH,
                          stride, n);
}

/* Maxima and minima are exact, so their order is free; a NaN wins. */
#define EXTREME(name, pick, better)                                                                \
    V_FN double name##_two(double a, double b)                                                     \
    {                                                                                              \
        return a != a || a better b ? a : b;                                                       \
    }                                                                                              \
    void KERNEL(name##_row)(double *acc, const void *x_, int64_t stride, int64_t n)                \
    {                                                                                              \
        const elem *x = x_;                                                                        \
        int64_t i = 0;                                                                             \
        if (stride == 1 && n >= VL) {                                                              \
            vec m = e_loadu(x);                                                                    \
            for (i = VL; i + VL <= n; i += VL)                                                     \
                m = pick(m, e_loadu(x + i));                                                       \
            real lane[VL];                                                                         \
            v_storeu(lane, m);                                                                     \
            for (int j = 0; j < VL; j++)                                                           \
                *acc = name##_two(*acc, (double)lane[j]);                                          \
        }                                                                                          \
        for (; i < n; i++)                                                                         \
            *acc = name##_two(*acc, (double)e_get(x[i * stride]));                                 \
    }                                                                                              \
    void KERNEL(name##_columns)(double *acc, const void *x_, int64_t row_stride, int64_t rows,     \
                                int64_t stride, int64_t n)                                         \
    {                                                                                              \
        const elem *x = x_;                                                                        \
        for (int64_t j = 0; j < n && rows > 0; j += VL) {                                          \
            vec m = e_gather(x + j * stride, stride, n - j);                                       \
            for (int64_t i = 1; i < rows; i++)                                                     \
                m = pick(m, e_gather(x + i * row_stride + j * stride, stride, n - j));             \
            real lane[VL];                                                                         \
            v_storeu(lane, m);                                                                     \
            for (int64_t k = 0; k < VL && j + k < n; k++)                                          \
                acc[j + k] = name##_two(acc[j + k], (double)lane[k]);                              \
        }                                                                                          \
    }
EXTREME(max, v_max_nan, >)
EXTREME(min, v_min_nan, <)
