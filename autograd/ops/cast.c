/* Copies that change the element type or the memory order and nothing else. */
#include "autograd/op.h"

/* ---- cast
 * ---------------------------------------------------------------------------------------- */

ito_tensor *op_cast_forward(op_call *c)
{
    ito_dtype dtype = *(const ito_dtype *)c->params;
    const ito_tensor *x = c->in[0];
    if ((unsigned)dtype >= ITO_DTYPES)
        return error_null(ITO_ERR_DTYPE, "cast: %d is no dtype", (int)dtype);
    if (dtype == x->dtype)
        return tensor_view(x, c->shape[0], x->stride, x->offset);
    ito_tensor *out = tensor_empty_as(x, dtype);
    if (out != NULL)
        tensor_copy(out, x);
    return out;
}

/* Only recorded where the result is a float; an integer among the inputs asks for no gradient. */
bool op_cast_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = ito_cast(dy, c->dtype[0]);
    return dx[0] != NULL;
}

ito_tensor *ito_cast(ito_tensor *x, ito_dtype dtype)
{
    return op_apply(OP_cast, &x, 1, &dtype, sizeof dtype);
}

/* ---- contiguous and clone
 * ------------------------------------------------------------------------ */

typedef enum copy_order {
    ROW_MAJOR, /* a view if it is so already */
    AS_IT_IS,  /* always a copy */
} copy_order;

ito_tensor *op_contiguous_forward(op_call *c)
{
    const ito_tensor *x = c->in[0];
    bool clone = *(const copy_order *)c->params == AS_IT_IS;
    if (!clone && ito_is_contiguous(x))
        return tensor_view(x, c->shape[0], x->stride, x->offset);
    ito_tensor *out = clone ? tensor_empty_as(x, x->dtype) : tensor_empty(c->shape[0], x->dtype);
    if (out != NULL)
        tensor_copy(out, x);
    return out;
}

bool op_contiguous_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    (void)c;
    dx[0] = dy;
    return true;
}

ito_tensor *ito_contiguous(ito_tensor *x)
{
    return op_apply(OP_contiguous, &x, 1, &(copy_order){ROW_MAJOR}, sizeof(copy_order));
}

ito_tensor *ito_clone(ito_tensor *x)
{
    return op_apply(OP_contiguous, &x, 1, &(copy_order){AS_IT_IS}, sizeof(copy_order));
}
