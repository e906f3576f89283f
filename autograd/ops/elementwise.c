/* Running kernels over planned rows: the one loop behind every element-wise operation. */
#include "autograd/ops/elementwise.h"

typedef struct unary_call {
    unary_kernel *kernel;
    double p, q;
} unary_call;

static void unary_row(const void *context, char *const *data, const int64_t *stride, int64_t n)
{
    const unary_call *c = context;
    c->kernel(data[0], data[1], stride[1], n, c->p, c->q);
}

ito_tensor *map_unary(ito_tensor *x, unary_kernel *kernel, double p, double q, int64_t cost)
{
    ito_tensor *y = tensor_empty_for(x->sizes, &x, 1, x->dtype);
    if (y == NULL)
        return NULL;
    unary_call call = {kernel, p, q};
    iterate((ito_tensor *[]){y, x}, 2, unary_row, &call, cost);
    return y;
}

static ito_tensor *empty_for_two(const char *op, ito_tensor *a, ito_tensor *b, ito_dtype dtype)
{
    if (tensor_same_layout(a, b) && tensor_is_dense(a))
        return tensor_empty_as(a, dtype);
    ito_shape shape;
    if (!shape_broadcast(a->sizes, b->sizes, &shape))
        return error_null(ITO_ERR_SHAPE, "%s: shapes %s and %s do not broadcast", op,
                          tensor_shape_str(a), tensor_shape_str(b));
    return tensor_empty_for(shape, (ito_tensor *[]){a, b}, 2, dtype);
}

ito_tensor *map_binary_rows(const char *op, ito_tensor *a, ito_tensor *b, ito_dtype dtype,
                            iterate_row *row, const void *context, int64_t cost)
{
    ito_tensor *y = empty_for_two(op, a, b, dtype);
    if (y == NULL)
        return NULL;
    iterate((ito_tensor *[]){y, a, b}, 3, row, context, cost);
    return y;
}

typedef struct binary_call {
    binary_kernel *kernel;
    double p, q;
} binary_call;

static void binary_row(const void *context, char *const *data, const int64_t *stride, int64_t n)
{
    const binary_call *c = context;
    c->kernel(data[0], data[1], stride[1], data[2], stride[2], n, c->p, c->q);
}

ito_tensor *map_binary(const char *op, ito_tensor *a, ito_tensor *b, binary_kernel *kernel,
                       double p, double q, int64_t cost)
{
    binary_call call = {kernel, p, q};
    return map_binary_rows(op, a, b, a->dtype, binary_row, &call, cost);
}

void map_binary_into(ito_tensor *y, ito_tensor *a, ito_tensor *b, binary_kernel *kernel, double p,
                     double q, int64_t cost)
{
    if (y == NULL)
        return;
    binary_call call = {kernel, p, q};
    iterate((ito_tensor *[]){y, a, b}, 3, binary_row, &call, cost);
}

ito_tensor *grad_where(ito_tensor *mask, ito_tensor *dy)
{
    return dy == NULL ? NULL : ito_where(mask, dy, ito_scalar(0, dy->dtype));
}

ito_tensor *grad_unless(ito_tensor *mask, ito_tensor *dy)
{
    return dy == NULL ? NULL : ito_where(mask, ito_scalar(0, dy->dtype), dy);
}
