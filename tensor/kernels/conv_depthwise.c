/* Convolution where a channel of the result sees one channel, or few: vectors along the channels,
 * over planes of reals in which the pixels of one vector of channels lie side by side.
 *
 * Invariant: an output's sum runs over planes and taps in order, whatever is beside it.
 */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/tile.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/conv_depthwise.def"
#undef KERNEL_ROW

int64_t KERNEL(depthwise_lanes)(void)
{
    return VL;
}

void KERNEL(depthwise_pack)(void *planes_, int64_t plane, const void *x_, int64_t pixel, int64_t n,
                            int64_t channels, const int64_t *channel)
{
    const elem *x = x_;
    for (int64_t i = 0; i < n; i++, x += pixel)
        for (int64_t c = 0; c < channels; c += VL) {
            real *to = (real *)planes_ + c / VL * plane + i * VL;
            int64_t lanes = channels - c < VL ? channels - c : VL;
            if (channel == NULL) {
                v_storeu(to, e_load(x + c, lanes));
                continue;
            }
            for (int64_t l = 0; l < VL; l++)
                to[l] = l < lanes ? e_get(x[channel[c + l]]) : 0;
        }
}

/* Output pixels that share the load of a weight and hide the latency of a multiply-add. */
enum { MANY = 8, SOME = 4 };

V_FN void outputs(const depthwise_line *d, int64_t j, int64_t count)
{
    const real *plane = (const real *)d->planes + j * d->step, *weights = d->weights;
    vec sum[MANY];
    UNROLL
    for (int64_t t = 0; t < count; t++)
        sum[t] = v_zero();
    for (int64_t k = 0; k < d->plane_count; k++)
        for (int64_t p = 0; p < d->taps_h; p++) {
            const real *x = plane + k * d->plane + p * d->line;
            const real *w = weights + k * d->weight_plane + p * d->weight_line;
            for (int64_t q = 0; q < d->taps_w; q++, x += d->pixel, w += d->weight_pixel) {
                vec weight = v_loadu(w);
                UNROLL
                for (int64_t t = 0; t < count; t++)
                    sum[t] = v_fma(v_loadu(x + t * d->step), weight, sum[t]);
            }
        }
    UNROLL
    for (int64_t t = 0; t < count; t++) {
        elem *y = (elem *)d->y + (j + t) * d->y_pixel;
        const elem *add = d->add;
        if (d->bias != NULL)
            sum[t] = sum[t] + v_load(d->bias, d->lanes);
        if (add != NULL)
            sum[t] = sum[t] + e_load(add + (j + t) * d->add_pixel, d->lanes);
        e_store(y, sum[t], d->lanes);
    }
}

void KERNEL(depthwise_line)(const depthwise_line *d)
{
    int64_t j = 0;
    for (; j + MANY <= d->n; j += MANY)
        outputs(d, j, MANY);
    for (; j + SOME <= d->n; j += SOME)
        outputs(d, j, SOME);
    for (; j < d->n; j++)
        outputs(d, j, 1);
}

/* Taps that share the load of dy: nine divide 3x3 and nearly divide 5x5 and 7x7. */
enum { TAPS = 9 };

void KERNEL(depthwise_products)(void *sum, const depthwise_products *d)
{
    for (int64_t first = 0; first < d->taps; first += TAPS) {
        const real *x[TAPS];
        vec acc[TAPS];
        UNROLL
        for (int64_t t = 0; t < TAPS; t++) { /* past the last: that one again, for nothing */
            x[t] = (const real *)d->x + d->offset[first + t < d->taps ? first + t : d->taps - 1];
            acc[t] = v_zero();
        }
        for (int64_t i = 0; i < d->rows; i++) {
            const real *dy = (const real *)d->dy + i * d->dy_line;
            for (int64_t j = 0; j < d->columns; j++) {
                vec g = v_loadu(dy + j * VL);
                UNROLL
                for (int64_t t = 0; t < TAPS; t++)
                    acc[t] = v_fma(g, v_loadu(x[t] + i * d->line + j * d->step), acc[t]);
            }
        }
        UNROLL
        for (int64_t t = 0; t < TAPS; t++)
            if (first + t < d->taps)
                v_storeu((real *)sum + (first + t) * VL, acc[t]);
    }
}
