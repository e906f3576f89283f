/* Operations along one axis, or on all elements as one axis. Internal. */
#ifndef ITO_OPS_LINES_H
#define ITO_OPS_LINES_H

#include "autograd/op.h"

/* x, or for ITO_NO_DIM all of it as one axis, and the axis that is meant; NULL with an error in
 * op's name. Differentiable. */
ito_tensor *along(const char *op, ito_tensor *x, int dim, int *axis);

#endif
