/* Convolutions with a handful of channels at one end, as the first and the last of a network have:
 * tiles of a product that are as narrow as that leave most of a vector idle, and gathering single
 * numbers takes longer than the products. So a product makes, for each pixel of the other image,
 * what it adds to its few x taps neighbours in the thin one, a row of a matrix, which is then
 * summed into the thin image; or the patches of the thin image are laid out as such a matrix.
 * Internal; layouts and errors as in conv.h, whose conv.c asks here.
 *
 * Invariant: a row of the matrix and a pixel of the sum depend on their own neighbourhood alone, so
 * bits depend on neither threads nor (forward, data) n.
 */
#ifndef ITO_CONV_THIN_H
#define ITO_CONV_THIN_H

#include "tensor/conv/conv.h"

/* Whether a pass goes this way, by what it is given but n. */
bool conv_by_thin(conv_pass pass, const conv_shape *s);
ito_status thin_forward(ito_dtype dtype, void *y, const void *x, const void *w,
                        const conv_addends *e, const conv_shape *s);
ito_status thin_backward_data(ito_dtype dtype, void *dx, const void *dy, const void *w,
                              const conv_shape *s);
/* Where y is thin. */
ito_status thin_backward_weight(ito_dtype dtype, void *dw, const void *x, const void *dy,
                                const conv_shape *s);

#endif
