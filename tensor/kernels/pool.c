/* Lines of channels-last images: sums of windows, and pixels repeated. A window is summed row by
 * row from its top left, whatever surrounds it. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/pool.def"
#undef KERNEL_ROW

void KERNEL(pool_line)(void *y_, const void *x_, int64_t w, int64_t channels, int64_t size,
                       double factor_)
{
    elem *y = y_;
    const elem *x = x_;
    vec factor = v_set1((real)factor_);
    int64_t line = w * size * channels;
    for (int64_t j = 0; j < w; j++)
        for (int64_t c = 0; c < channels; c += VL) {
            const elem *window = x + j * size * channels + c;
            vec sum = v_zero();
            for (int64_t p = 0; p < size; p++)
                for (int64_t q = 0; q < size; q++)
                    sum = sum + e_load(window + p * line + q * channels, channels - c);
            e_store(y + j * channels + c, sum * factor, channels - c);
        }
}

void KERNEL(upsample_line)(void *y_, const void *x_, int64_t w, int64_t channels, int64_t scale,
                           double factor_)
{
    elem *y = y_;
    const elem *x = x_;
    vec factor = v_set1((real)factor_);
    for (int64_t j = 0; j < w; j++)
        for (int64_t c = 0; c < channels; c += VL) {
            vec v = e_load(x + j * channels + c, channels - c) * factor;
            elem *to = y + j * scale * channels + c;
            for (int64_t q = 0; q < scale; q++)
                e_store(to + q * channels, v, channels - c);
        }
}
