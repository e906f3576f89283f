/* New tensors of given values. */
#include "tensor/internal.h"

#include <math.h>
#include <string.h>

ito_tensor *ito_empty(ito_shape shape, ito_dtype dtype)
{
    return tensor_empty(shape, dtype);
}

static ito_tensor *filled(ito_tensor *t, double value)
{
    if (t != NULL)
        tensor_fill(t, value);
    return t;
}

ito_tensor *ito_zeros(ito_shape shape, ito_dtype dtype)
{
    return filled(tensor_empty(shape, dtype), 0);
}

ito_tensor *ito_ones(ito_shape shape, ito_dtype dtype)
{
    return filled(tensor_empty(shape, dtype), 1);
}

ito_tensor *ito_full(ito_shape shape, double value, ito_dtype dtype)
{
    return filled(tensor_empty(shape, dtype), value);
}

ito_tensor *ito_scalar(double value, ito_dtype dtype)
{
    return filled(tensor_empty((ito_shape){0}, dtype), value);
}

ito_tensor *ito_empty_like(const ito_tensor *t)
{
    return t == NULL ? NULL : tensor_empty_as(t, t->dtype);
}

ito_tensor *ito_zeros_like(const ito_tensor *t)
{
    return filled(ito_empty_like(t), 0);
}

ito_tensor *ito_ones_like(const ito_tensor *t)
{
    return filled(ito_empty_like(t), 1);
}

ito_tensor *ito_full_like(const ito_tensor *t, double value)
{
    return filled(ito_empty_like(t), value);
}

/* A row of doubles, converted to dtype. */
static ito_tensor *from_doubles(ito_tensor *values, ito_dtype dtype)
{
    if (values == NULL || dtype == ITO_F64)
        return values;
    ito_tensor *t = tensor_empty(ito_shape_of(values), dtype);
    if (t != NULL)
        tensor_copy(t, values);
    return t;
}

ito_tensor *ito_arange(double start, double end, double step, ito_dtype dtype)
{
    double count = ceil((end - start) / step);
    if (!isfinite(count) || step == 0 || count < 0 || count > 0x1p40)
        return error_null(ITO_ERR_ARGUMENT, "arange: no steps of %g lead from %g to %g", step,
                          start, end);
    ito_tensor *values = tensor_empty(ITO_SHAPE((int64_t)count), ITO_F64);
    if (values == NULL)
        return NULL;
    double *v = tensor_data(values);
    for (int64_t i = 0; i < (int64_t)count; i++)
        v[i] = start + (double)i * step;
    return from_doubles(values, dtype);
}

ito_tensor *ito_linspace(double start, double end, int64_t steps, ito_dtype dtype)
{
    if (steps < 0)
        return error_null(ITO_ERR_ARGUMENT, "linspace: %" PRId64 " steps", steps);
    ito_tensor *values = tensor_empty(ITO_SHAPE(steps), ITO_F64);
    if (values == NULL)
        return NULL;
    double *v = tensor_data(values), step = steps > 1 ? (end - start) / (double)(steps - 1) : 0;
    for (int64_t i = 0; i < steps; i++)
        v[i] = i < steps / 2 || steps == 1 ? start + (double)i * step
                                           : end - (double)(steps - 1 - i) * step;
    return from_doubles(values, dtype);
}

ito_tensor *ito_eye(int64_t n, ito_dtype dtype)
{
    ito_tensor *t = ito_zeros(ITO_SHAPE(n, n), dtype);
    if (t == NULL)
        return NULL;
    ito_tensor *diagonal = tensor_view(t, ITO_SHAPE(n), (int64_t[]){n + 1}, 0);
    return diagonal == NULL ? NULL : (tensor_fill(diagonal, 1), t);
}

ito_tensor *ito_from_data(const void *data, ito_shape shape, ito_dtype dtype)
{
    ito_tensor *t = tensor_empty(shape, dtype);
    if (t == NULL)
        return NULL;
    if (data == NULL && t->storage->bytes > 0)
        return error_null(ITO_ERR_ARGUMENT, "from_data: no data for the shape %s",
                          shape_str(shape));
    if (t->storage->bytes > 0)
        memcpy(tensor_data(t), data, t->storage->bytes);
    return t;
}

ito_tensor *ito_values_of(const double *values, int64_t n, ito_dtype dtype)
{
    if (values == NULL)
        return error_null(ITO_ERR_ARGUMENT, "values: no numbers");
    ito_scope_begin();
    ito_tensor *t = ito_from_data(values, ITO_SHAPE(n), ITO_F64), *out = NULL;
    if (t != NULL)
        out = dtype == ITO_F64 ? t : tensor_empty(ITO_SHAPE(n), dtype);
    if (out != NULL && out != t)
        tensor_copy(out, t);
    out = ito_keep(out);
    ito_scope_end();
    return out;
}
