/* The recurrence behind cumulative operations and their gradients. Internal. */
#ifndef ITO_SCAN_H
#define ITO_SCAN_H

#include "autograd/op.h"

/* h[i] = a[i] h[i - 1] + b[i] along axis, with h[-1] = 0; in reverse h[i] = a[i] h[i + 1] + b[i].
 * The first a does not count. a and b have one shape. Differentiable: the gradient is the same
 * recurrence the other way. */
ito_tensor *recurrence(ito_tensor *a, ito_tensor *b, int axis, bool reverse);

#endif
