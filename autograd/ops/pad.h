/* Padding of any axis, for the backward of slices. Internal. */
#ifndef ITO_OPS_PAD_H
#define ITO_OPS_PAD_H

#include "autograd/op.h"

/* How many elements of `value` go before and after each axis; negative numbers cut. */
typedef struct pad_params {
    double value;
    int64_t before[ITO_MAX_DIMS], after[ITO_MAX_DIMS];
} pad_params;

/* x padded so; a view of x where nothing is added. Differentiable. */
ito_tensor *pad_axes(ito_tensor *x, const pad_params *p);

#endif
