/* What depthwise kernels are told of the pixels that they read and write. */
#ifndef ITO_KERNELS_CONV_DEPTHWISE_H
#define ITO_KERNELS_CONV_DEPTHWISE_H

#include <stdint.h>

/* Output pixels on a line, one vector of channels: y[j] = the sum over planes k and taps (p, q) of
 *     planes[k * plane + j * step + p * line + q * pixel]
 *     weights[k * weight_plane + p * weight_line + q * weight_pixel], in this order,
 * + bias + add[j], each unless NULL. planes, weights and bias are reals, and so are the distances
 * in them; y and add are elements. */
typedef struct depthwise_line {
    const void *planes, *weights;
    int64_t plane_count, taps_h, taps_w;
    int64_t plane, step, line, pixel;
    int64_t weight_plane, weight_line, weight_pixel;
    int64_t n, lanes; /* output pixels; channels, at most a vector */
    void *y;
    const void *bias, *add;
    int64_t y_pixel, add_pixel; /* elements from an output pixel to the next */
} depthwise_line;

/* Sums of products with taps, one vector of channels: sum[t] = the sum over lines i and pixels j of
 *     dy[i * dy_line + j * vector] x[offset[t] + i * line + j * step]; all are reals. */
typedef struct depthwise_products {
    const void *x, *dy;
    const int64_t *offset; /* of each tap, in reals */
    int64_t taps, rows, columns;
    int64_t dy_line, line, step;
} depthwise_products;

#endif
