/* What convolution needs besides products: sums over pixels, of elements in reals, and between
 * images of few channels and matrices of their patches.
 *
 * Invariant: a column's sum runs over the rows in order, whatever its neighbours are.
 */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/conv.def"
#undef KERNEL_ROW

void KERNEL(conv_column_sum)(void *sum, const void *src, int64_t stride, int64_t rows,
                             int64_t columns)
{
    for (int64_t j = 0; j < columns; j += 4 * VL) {
        int64_t vectors = columns - j >= 4 * VL ? 4 : (columns - j + VL - 1) / VL;
        vec acc[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
        for (int64_t i = 0; i < rows; i++)
            for (int64_t v = 0; v < vectors; v++)
                acc[v] = acc[v] +
                         e_load((const elem *)src + i * stride + j + v * VL, columns - j - v * VL);
        for (int64_t v = 0; v < vectors; v++)
            v_store((real *)sum + j + v * VL, acc[v], columns - j - v * VL);
    }
}

V_FN void spread(elem *to, int64_t to_pixel, int64_t to_channel, const elem *from,
                 int64_t from_pixel, int64_t channels, int64_t n)
{
    for (int64_t i = 0; i < n; i++, to += to_pixel, from += from_pixel)
        for (int64_t c = 0; c < channels; c++)
            to[c * to_channel] = from[c];
}

void KERNEL(conv_spread)(void *to, int64_t to_pixel, int64_t to_channel, const void *from,
                         int64_t from_pixel, int64_t channels, int64_t n)
{
    if (channels == 1)
        spread(to, to_pixel, to_channel, from, from_pixel, 1, n);
    else
        spread(to, to_pixel, to_channel, from, from_pixel, channels, n);
}

V_FN void collect(real *to, const real *from, int64_t from_pixel, int64_t from_channel,
                  int64_t channels, int64_t n)
{
    for (int64_t i = 0; i < n; i++, to += channels, from += from_pixel)
        for (int64_t c = 0; c < channels; c++)
            to[c] += from[c * from_channel];
}

void KERNEL(conv_collect)(void *to, const void *from, int64_t from_pixel, int64_t from_channel,
                          int64_t channels, int64_t n)
{
    if (channels == 1)
        collect(to, from, from_pixel, from_channel, 1, n);
    else
        collect(to, from, from_pixel, from_channel, channels, n);
}

void KERNEL(conv_finish)(void *y, const void *sums, const void *bias_, const void *add_,
                         int64_t add_pixel, int64_t channels, int64_t n)
{
    const real *bias = bias_;
    const elem *add = add_;
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < channels; c++) {
            real sum = ((const real *)sums)[i * channels + c];
            sum = bias != NULL ? sum + bias[c] : sum;
            sum = add != NULL ? sum + e_get(add[i * add_pixel + c]) : sum;
            ((elem *)y)[i * channels + c] = e_of(sum);
        }
}
