/* Choosing between two arrays by a bool one. Elements are moved, so any dtype will do. */
#include "autograd/ops/elementwise.h"

/* Choosing by bits, not by a branch: masks are as good as random. The common strides stand apart,
 * for the compiler to vectorise. */
#define WHERE_ROW(type)                                                                            \
    static inline __attribute__((always_inline)) void choose_##type(                               \
        type *y, int64_t ys, const uint8_t *m, int64_t ms, const type *a, int64_t as,              \
        const type *b, int64_t bs, int64_t n)                                                      \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type all = (type) - (type)(m[i * ms] != 0);                                            \
            y[i * ys] = (type)((a[i * as] & all) | (b[i * bs] & (type)~all));                      \
        }                                                                                          \
    }                                                                                              \
    static void where_##type(const void *context, char *const *data, const int64_t *s, int64_t n)  \
    {                                                                                              \
        (void)context;                                                                             \
        type *y = (type *)data[0];                                                                 \
        const uint8_t *m = (const uint8_t *)data[1];                                               \
        const type *a = (const type *)data[2], *b = (const type *)data[3];                         \
        bool dense = s[0] == 1 && s[1] == 1;                                                       \
        if (dense && s[2] == 1 && s[3] == 1)                                                       \
            choose_##type(y, 1, m, 1, a, 1, b, 1, n);                                              \
        else if (dense && s[2] == 1 && s[3] == 0)                                                  \
            choose_##type(y, 1, m, 1, a, 1, b, 0, n);                                              \
        else if (dense && s[2] == 0 && s[3] == 1)                                                  \
            choose_##type(y, 1, m, 1, a, 0, b, 1, n);                                              \
        else                                                                                       \
            choose_##type(y, s[0], m, s[1], a, s[2], b, s[3], n);                                  \
    }
WHERE_ROW(uint8_t)
WHERE_ROW(uint16_t)
WHERE_ROW(uint32_t)
WHERE_ROW(uint64_t)

static iterate_row *where_row(size_t element)
{
    return element == 1   ? where_uint8_t
           : element == 2 ? where_uint16_t
           : element == 4 ? where_uint32_t
                          : where_uint64_t;
}

ito_tensor *op_where_forward(op_call *c)
{
    ito_tensor *condition = c->in[0], *a = c->in[1], *b = c->in[2];
    ito_shape both, shape;
    if (condition->dtype != ITO_BOOL)
        return error_null(ITO_ERR_DTYPE, "where: the condition is %s, not bool",
                          ito_dtype_name(condition->dtype));
    if (a->dtype != b->dtype)
        return error_null(ITO_ERR_DTYPE, "where: %s %s and %s %s do not mix (see ito_cast)",
                          ito_dtype_name(a->dtype), tensor_shape_str(a), ito_dtype_name(b->dtype),
                          tensor_shape_str(b));
    if (!shape_broadcast(c->shape[1], c->shape[2], &both) ||
        !shape_broadcast(c->shape[0], both, &shape))
        return error_null(ITO_ERR_SHAPE, "where: shapes %s, %s and %s do not broadcast",
                          tensor_shape_str(condition), tensor_shape_str(a), tensor_shape_str(b));
    ito_tensor *y = tensor_empty_for(shape, (ito_tensor *[]){a, b, condition}, 3, a->dtype);
    if (y == NULL)
        return NULL;
    iterate((ito_tensor *[]){y, condition, a, b}, 4, where_row(ito_dtype_size(a->dtype)), NULL,
            COST_PLAIN);
    return y;
}

bool op_where_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    if (c->needs[1])
        dx[1] = sum_to_shape(grad_where(c->in[0], dy), c->shape[1]);
    if (c->needs[2])
        dx[2] = sum_to_shape(grad_unless(c->in[0], dy), c->shape[2]);
    return (!c->needs[1] || dx[1] != NULL) && (!c->needs[2] || dx[2] != NULL);
}

ito_tensor *ito_where(ito_tensor *condition, ito_tensor *a, ito_tensor *b)
{
    ito_tensor *in[] = {condition, a, b};
    ito_scope_begin();
    ito_tensor *y = op_convert_numbers(in + 1, 2) ? op_apply(OP_where, in, 3, NULL, 0) : NULL;
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_masked_fill(ito_tensor *x, ito_tensor *mask, double value)
{
    if (x == NULL || mask == NULL)
        return NULL;
    ito_shape shape;
    if (!shape_broadcast(ito_shape_of(x), ito_shape_of(mask), &shape) ||
        !shape_equal(shape, ito_shape_of(x)))
        return error_null(ITO_ERR_SHAPE, "masked_fill: the mask %s does not broadcast to %s",
                          tensor_shape_str(mask), tensor_shape_str(x));
    ito_scope_begin();
    ito_tensor *y = ito_keep(ito_where(mask, ito_scalar(value, x->dtype), x));
    ito_scope_end();
    return y;
}
