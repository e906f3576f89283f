/* What convolution needs besides products: sums over pixels, of elements in reals.
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
