/* Operations along one axis: which one is meant, and where its lines are. */
#include "autograd/ops/lines.h"
#include "autograd/ops/index.h"

ito_tensor *along(const char *op, ito_tensor *x, int dim, int *axis)
{
    if (x == NULL)
        return NULL;
    *axis = dim == ITO_NO_DIM ? 0 : axis_normalize(op, dim, x->ndim > 0 ? x->ndim : 1);
    if (*axis < 0)
        return NULL;
    return dim == ITO_NO_DIM || x->ndim == 0 ? ito_flatten(x, 0, -1) : x;
}

ito_tensor *along_back(ito_tensor *y, const ito_tensor *x)
{
    return y == NULL || shape_equal(y->sizes, x->sizes) ? y : ito_reshape_to(y, x->sizes);
}

ito_tensor *along_reduced(ito_tensor *y, const ito_tensor *x, int dim, bool keepdim)
{
    if (y == NULL)
        return NULL;
    ito_shape shape = x->sizes;
    int axis = dim < 0 ? dim + x->ndim : dim;
    for (int i = 0; i < shape.ndim; i++)
        shape.dim[i] = dim == ITO_NO_DIM || i == axis ? 1 : shape.dim[i];
    if (!keepdim && dim == ITO_NO_DIM)
        shape.ndim = 0;
    for (int i = axis; !keepdim && i >= 0 && i < shape.ndim - 1; i++)
        shape.dim[i] = shape.dim[i + 1];
    shape.ndim -= !keepdim && shape.ndim > 0;
    return ito_reshape_to(y, shape);
}

ito_tensor *keep_both(ito_tensor *y, ito_tensor *second, ito_tensor **to)
{
    y = second == NULL ? NULL : ito_keep(y);
    if (to != NULL)
        *to = y == NULL ? NULL : ito_keep(second);
    return y;
}

ito_tensor *chosen_along(ito_tensor *line, int axis, ito_tensor *places, const ito_tensor *x,
                         int dim, bool keepdim, ito_tensor **indices)
{
    ito_tensor *y = NULL, *at = NULL;
    if (line != NULL && places != NULL) {
        y = along_reduced(index_gather(line, axis, places), x, dim, keepdim);
        at = y == NULL ? NULL : along_reduced(places, x, dim, keepdim);
    }
    return keep_both(y, at, indices);
}

int64_t line_count(const ito_shape *shape, int axis)
{
    int64_t lines = 1;
    for (int i = 0; i < shape->ndim; i++)
        lines *= i == axis ? 1 : shape->dim[i];
    return lines;
}

int64_t line_begin(const ito_tensor *t, const ito_shape *shape, int axis, int64_t r)
{
    int64_t begin = 0;
    for (int i = shape->ndim - 1; i >= 0; i--) {
        if (i == axis)
            continue;
        begin += r % shape->dim[i] * t->stride[i];
        r /= shape->dim[i];
    }
    return begin;
}

bool takes_reals(const char *op, const ito_tensor *x)
{
    if (x->dtype == ITO_F32 || x->dtype == ITO_F64 || x->dtype == ITO_BF16)
        return true;
    return error_false(ITO_ERR_DTYPE, "%s: takes f32, f64 or bf16, not %s (see ito_cast)", op,
                       ito_dtype_name(x->dtype));
}

bool takes_numbers(const char *op, const ito_tensor *x)
{
    if (x->dtype != ITO_F16)
        return true;
    return takes_reals(op, x);
}

bool has_elements(const char *op, const ito_tensor *x, int axis)
{
    if (x->shape[axis] > 0)
        return true;
    return error_false(ITO_ERR_SHAPE, "%s: no elements along axis %d of %s", op, axis,
                       tensor_shape_str(x));
}
