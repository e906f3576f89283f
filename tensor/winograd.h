/* Winograd convolution F(4x4, 3x3) in f32: each 4x4 tile of outputs from a 6x6 tile of inputs with
 * 36 instead of 144 multiplications (Lavin and Gray 2015, arXiv:1509.09308). For 3x3 filters of
 * stride 1, dilation 1 and one group; any sizes and padding. Internal; layouts and errors as in
 * conv.h, which decides where it serves. About seven times the rounding error of a direct sum, a
 * few units in 1e6 of the outputs' deviation.
 *
 * Invariant: an output depends on its tile alone, a weight gradient on its own sum over tiles in
 * fixed blocks, so bits depend on neither threads nor (forward, data) n.
 */
#ifndef ITO_WINOGRAD_H
#define ITO_WINOGRAD_H

#include "tensor/conv.h"

/* Whether s is a convolution of the kind above. */
bool winograd_fits(const conv_shape *s);
/* Whether conv.h may use it: not if the environment variable ITO_WINOGRAD is 0 at the first call.
 */
bool winograd_enabled(void);
/* For tests: overrides the environment from now on. */
void winograd_enable(bool enabled);

ito_status winograd_forward(float *y, const float *x, const float *w, const conv_addends *e,
                            const conv_shape *s);
ito_status winograd_backward_data(float *dx, const float *dy, const float *w, const conv_shape *s);
ito_status winograd_backward_weight(float *dw, const float *x, const float *dy,
                                    const conv_shape *s);

#endif
