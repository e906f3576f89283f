/* Winograd convolution F(4x4, 3x3), computed in f32: each 4x4 tile of outputs from a 6x6 tile of
 * inputs with 36 instead of 144 multiplications (Lavin and Gray 2015, arXiv:1509.09308). For 3x3
 * filters of stride 1, dilation 1 and one group; any sizes and padding; images in f32 or bf16.
 * Internal; layouts and errors as in conv.h, which decides where it serves. About seven times the
 * rounding error of a direct sum, a few units in 1e6 of the outputs' deviation. A pixel that is
 * infinite or NaN, or whose hundredfold overflows, makes outputs of the tiles that see it NaN or
 * infinite even where their own 3x3 window lacks it.
 *
 * Invariant: an output depends on its tile alone, a weight gradient on its own sum over tiles in
 * fixed blocks, so bits depend on neither threads nor (forward, data) n.
 */
#ifndef ITO_WINOGRAD_H
#define ITO_WINOGRAD_H

#include "tensor/conv/conv.h"

/* Whether s is a convolution of the kind above. */
bool winograd_fits(const conv_shape *s);
/* Whether conv.h may use it: not if the environment variable ITO_WINOGRAD is 0 at the first call.
 */
bool winograd_enabled(void);
/* For tests: overrides the environment from now on. */
void winograd_enable(bool enabled);

ito_status winograd_forward(ito_dtype dtype, void *y, const void *x, const float *w,
                            const conv_addends *e, const conv_shape *s);
ito_status winograd_backward_data(ito_dtype dtype, void *dx, const void *dy, const float *w,
                                  const conv_shape *s);
ito_status winograd_backward_weight(ito_dtype dtype, float *dw, const void *x, const void *dy,
                                    const conv_shape *s);

#endif
