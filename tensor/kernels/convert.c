/* Dense conversions between an element type and f32, rounded to nearest even as tensor/convert.h
 * has it. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/convert.def"
#undef KERNEL_ROW

void KERNEL(to_f32)(float *y, const void *x_, int64_t n)
{
    const elem *x = x_;
#if KERNEL_F64
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)x[i];
#else
    for (int64_t i = 0; i < n; i += VL)
        v_store(y + i, e_load(x + i, n - i), n - i);
#endif
}

void KERNEL(from_f32)(void *y_, const float *x, int64_t n)
{
    elem *y = y_;
#if KERNEL_F64
    for (int64_t i = 0; i < n; i++)
        y[i] = (double)x[i];
#else
    for (int64_t i = 0; i < n; i += VL)
        e_store(y + i, v_load(x + i, n - i), n - i);
#endif
}
