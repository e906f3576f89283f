/* Turning pairs of features, made of other operations. Internal. */
#ifndef ITO_OPS_ROTARY_H
#define ITO_OPS_ROTARY_H

#include "autograd/op.h"

/* As ito_apply_rotary, whose shapes have been checked. */
ito_tensor *apply_rotary_by_operations(ito_tensor *x, ito_tensor *cosine, ito_tensor *sine,
                                       bool interleaved);

#endif
