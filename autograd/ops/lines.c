/* Operations along one axis: which one is meant. */
#include "autograd/ops/lines.h"

ito_tensor *along(const char *op, ito_tensor *x, int dim, int *axis)
{
    if (x == NULL)
        return NULL;
    if (dim == ITO_NO_DIM) {
        *axis = 0;
        return ito_flatten(x, 0, -1);
    }
    *axis = axis_normalize(op, dim, x->ndim);
    return *axis < 0 ? NULL : x;
}
