/* Convolution of bf16 images by tiles (tensor/kernels/tiles.h), of stride 1 and one group.
 * Internal. */
#ifndef ITO_CONV_TILES_H
#define ITO_CONV_TILES_H

#include "tensor/conv/conv.h"

/* Whether a convolution goes this way, by what it is given but n: where products go by tiles. */
bool conv_by_tiles(ito_dtype dtype, const conv_shape *s);

ito_status tiles_forward(void *y, const void *x, const float *w, const conv_addends *e,
                         const conv_shape *s);
ito_status tiles_backward_data(void *dx, const void *dy, const float *w, const conv_shape *s);
ito_status tiles_backward_weight(float *dw, const void *x, const void *dy, const conv_shape *s);

#endif
