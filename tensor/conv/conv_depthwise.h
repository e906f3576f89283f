/* Convolutions in many groups of a channel or few, as depthwise ones are: a product for each group
 * would leave most of a vector idle. Vectors run along the channels of all groups instead, over the
 * pixels themselves. Internal; layouts and errors as in conv.h, whose conv.c asks here.
 *
 * Invariant: a pixel of the result is a sum over its own neighbourhood, and an image's part of a
 * filter's gradient is one over windows that depend on the shape of the image alone. So bits depend
 * on neither threads nor (forward, data) n.
 */
#ifndef ITO_CONV_DEPTHWISE_H
#define ITO_CONV_DEPTHWISE_H

#include "tensor/conv/conv.h"

/* Whether a convolution goes this way, by what it is given but n. */
bool conv_by_depthwise(const conv_shape *s);
ito_status depthwise_forward(ito_dtype dtype, void *y, const void *x, const void *w,
                             const conv_addends *e, const conv_shape *s);
ito_status depthwise_backward_data(ito_dtype dtype, void *dx, const void *dy, const void *w,
                                   const conv_shape *s);
ito_status depthwise_backward_weight(ito_dtype dtype, void *dw, const void *x, const void *dy,
                                     const conv_shape *s);

#endif
