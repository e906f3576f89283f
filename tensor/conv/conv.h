/* 2-D convolution (cross-correlation, as everywhere in deep learning) over channels-last memory, as
 * implicit GEMM: patches are gathered while packing, nothing of the size of an im2col matrix
 * exists. Images in f32, f64 or bf16; weights and bias and their gradients, and every sum, in f32
 * where images are bf16, else as the images. Internal; shapes are checked by the caller. In f32 and
 * bf16, most 3x3 convolutions of stride 1 go by way of Winograd (winograd.h) instead, which rounds
 * more coarsely; ITO_WINOGRAD=0 in the environment, read at the first convolution, keeps to
 * implicit GEMM. Where products of bf16 are made by tiles, convolutions of stride 1 are as well
 * (conv_tiles.h).
 *
 * Memory: x [n][h][w][ci], y [n][oh][ow][co], w [co][kh][kw][ci / groups], all dense. Determinism
 * as in gemm.h: bits depend on neither threads nor n.
 */
#ifndef ITO_CONV_H
#define ITO_CONV_H

#include "tensor/internal.h"

/* y[.., i, j, o] = bias[o] + sum over (p, q, c) of
 *     x[.., i * stride_h + p * dilation_h - pad_top, j * stride_w + q * dilation_w - pad_left, c]
 * w[o, p, q, c] with 0 outside x. Padding at the bottom and right is whatever oh and ow ask for. */
typedef struct conv_shape {
    int64_t n, h, w, ci;
    int64_t oh, ow, co;
    int64_t kh, kw;
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_left;
    int64_t dilation_h, dilation_w;
    int64_t groups;
} conv_shape;

/* The dtype everywhere is that of the images. */

/* What a convolution adds to its result on the way out, each unless NULL. */
typedef struct conv_addends {
    const void *bias;   /* [co] */
    const void *add;    /* as y, or [n][co]: the same for all pixels of an image */
    bool add_per_image; /* the latter */
} conv_addends;

typedef enum conv_pass { CONV_FORWARD, CONV_DATA, CONV_WEIGHT } conv_pass;

/* Whether a pass goes by way of Winograd, by what it is given but n, and winograd_enabled. */
bool conv_by_winograd(conv_pass pass, ito_dtype dtype, const conv_shape *s);

ito_status conv2d_forward(ito_dtype dtype, void *y, const void *x, const void *w,
                          const conv_addends *e, const conv_shape *s);
/* dx = the gradient of sum(y dy) with respect to x; overwritten. */
ito_status conv2d_backward_data(ito_dtype dtype, void *dx, const void *dy, const void *w,
                                const conv_shape *s);
/* dw = the gradient with respect to w; overwritten. */
ito_status conv2d_backward_weight(ito_dtype dtype, void *dw, const void *x, const void *dy,
                                  const conv_shape *s);
/* The gradients with respect to what is added, each unless NULL: dbias [co] and, of an addend that
 * is the same for all pixels, dimage [n][co]; both in one pass over dy. Overwritten. */
ito_status conv2d_backward_addends(ito_dtype dtype, void *dbias, void *dimage, const void *dy,
                                   const conv_shape *s);

#endif
