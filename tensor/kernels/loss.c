/* The squared error and its gradient, each in one pass over both operands. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/loss.def"
#undef KERNEL_ROW

/* Element i adds into lane i % 32 of the sum, in order, whatever the length of a vector is;
 * products are rounded before they are added, so that every instruction set gives the same bits. */
double KERNEL(squared_difference_sum)(const void *a_, const void *b_, int64_t n)
{
    enum { LANES = 32, PARTS = LANES / VL };
    const elem *a = a_, *b = b_;
    vec sum[PARTS];
    for (int j = 0; j < PARTS; j++)
        sum[j] = v_zero();
    for (int64_t i = 0; i < n; i += LANES)
        for (int j = 0; j < PARTS && i + j * VL < n; j++) {
            int64_t at = i + j * VL;
            vec d = e_load(a + at, n - at) - e_load(b + at, n - at);
            sum[j] += d * d;
        }
    real lane[LANES];
    for (int j = 0; j < PARTS; j++)
        v_storeu(lane + j * VL, sum[j]);
    double total = 0;
    for (int i = 0; i < LANES; i++)
        total += (double)lane[i];
    return total;
}

void KERNEL(scaled_difference)(void *y_, const void *a_, const void *b_, double c_, int64_t n)
{
    elem *y = y_;
    const elem *a = a_, *b = b_;
    vec c = v_set1((real)c_);
    for (int64_t i = 0; i < n; i += VL)
        e_store(y + i, c * (e_load(a + i, n - i) - e_load(b + i, n - i)), n - i);
}
