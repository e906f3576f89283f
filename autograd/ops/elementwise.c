/* Running kernels over planned rows: the one loop behind every element-wise operation. */
#include "autograd/ops/elementwise.h"
#include "tensor/convert.h"

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

static bool broadcast(const char *op, const ito_tensor *a, const ito_tensor *b, ito_shape *shape)
{
    return shape_broadcast(a->sizes, b->sizes, shape) ||
           error_false(ITO_ERR_SHAPE, "%s: shapes %s and %s do not broadcast", op,
                       tensor_shape_str(a), tensor_shape_str(b));
}

bool check_broadcast(const char *op, const ito_tensor *a, const ito_tensor *b)
{
    ito_shape shape;
    return broadcast(op, a, b, &shape);
}

static ito_tensor *empty_for_two(const char *op, ito_tensor *a, ito_tensor *b, ito_dtype dtype)
{
    if (tensor_same_layout(a, b) && tensor_is_dense(a))
        return tensor_empty_as(a, dtype);
    ito_shape shape;
    if (!broadcast(op, a, b, &shape))
        return NULL;
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

typedef struct doubles_call {
    function_of_doubles *f;
    double p;
    ito_dtype dtype;
} doubles_call;

static double read_double(const char *data, int64_t i, ito_dtype dtype)
{
    return dtype == ITO_F64    ? ((const double *)(const void *)data)[i]
           : dtype == ITO_BF16 ? (double)bf16_to_f32(((const uint16_t *)(const void *)data)[i])
                               : (double)((const float *)(const void *)data)[i];
}

static void doubles_row(const doubles_call *c, char *const *data, const int64_t *s, int64_t n,
                        bool binary)
{
    for (int64_t i = 0; i < n; i++) {
        double a = read_double(data[1], i * s[1], c->dtype);
        double y = c->f(a, binary ? read_double(data[2], i * s[2], c->dtype) : c->p);
        if (c->dtype == ITO_F64)
            ((double *)(void *)data[0])[i * s[0]] = y;
        else if (c->dtype == ITO_BF16)
            ((uint16_t *)(void *)data[0])[i * s[0]] = f32_to_bf16((float)y);
        else
            ((float *)(void *)data[0])[i * s[0]] = (float)y;
    }
}

static void unary_doubles(const void *c, char *const *data, const int64_t *s, int64_t n)
{
    doubles_row(c, data, s, n, false);
}

static void binary_doubles(const void *c, char *const *data, const int64_t *s, int64_t n)
{
    doubles_row(c, data, s, n, true);
}

ito_tensor *map_doubles(const char *op, ito_tensor *a, ito_tensor *b, double p,
                        function_of_doubles *f, int64_t cost)
{
    doubles_call call = {f, p, a->dtype};
    if (b != NULL)
        return map_binary_rows(op, a, b, a->dtype, binary_doubles, &call, cost);
    ito_tensor *y = tensor_empty_for(a->sizes, &a, 1, a->dtype);
    if (y != NULL)
        iterate((ito_tensor *[]){y, a}, 2, unary_doubles, &call, cost);
    return y;
}

ito_tensor *number_like(double value, const ito_tensor *like)
{
    return like == NULL ? NULL : ito_scalar(value, like->dtype);
}

ito_tensor *leave_scope(ito_tensor *y)
{
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *grad_where(ito_tensor *mask, ito_tensor *dy)
{
    return dy == NULL ? NULL : ito_where(mask, dy, ito_scalar(0, dy->dtype));
}

ito_tensor *grad_unless(ito_tensor *mask, ito_tensor *dy)
{
    return dy == NULL ? NULL : ito_where(mask, ito_scalar(0, dy->dtype), dy);
}
