/* Dropout: elements whose random word lies below a threshold become 0, whatever they were; the
 * others are scaled. Words are 32 bits for all element types, so that both drop the same elements.
 */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/dropout.def"
#undef KERNEL_ROW

void KERNEL(dropout)(void *y_, int64_t y_step, const void *x_, int64_t x_step, const uint32_t *bits,
                     uint32_t threshold, double scale_, int64_t n)
{
    elem *y = y_;
    const elem *x = x_;
    const real scale = (real)scale_;
#if !KERNEL_F64
    typedef uint32_t words __attribute__((vector_size(4 * VL)));
    if (y_step == 1 && x_step == 1)
        for (; n >= VL; n -= VL, x += VL, y += VL, bits += VL) {
            words w;
            memcpy(&w, bits, sizeof w);
            words kept = (words)(w >= threshold);
            e_storeu(y, (vec)((words)(e_loadu(x) * v_set1(scale)) & kept));
        }
#endif
    if (y_step == 1 && x_step == 1) /* the compiler's own vectors: a comparison of integers */
        for (int64_t i = 0; i < n; i++)
            y[i] = e_of(bits[i] < threshold ? (real)0 : e_get(x[i]) * scale);
    else
        for (int64_t i = 0; i < n; i++)
            y[i * y_step] = e_of(bits[i] < threshold ? (real)0 : e_get(x[i * x_step]) * scale);
}
