/* Logic: of the bits of integers and bool, and of the truth of any numbers. Results have no
 * gradient. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"

#define BIT_ROW(name, type, op)                                                                    \
    static void name##_##type(const void *context, char *const *data, const int64_t *s, int64_t n) \
    {                                                                                              \
        (void)context;                                                                             \
        type *y = (type *)data[0];                                                                 \
        const type *a = (const type *)data[1], *b = (const type *)data[2];                         \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i * s[0]] = (type)(a[i * s[1]] op b[i * s[2]]);                                      \
    }
#define BITWISE(name, op)                                                                          \
    BIT_ROW(name, uint8_t, op)                                                                     \
    BIT_ROW(name, uint32_t, op)                                                                    \
    BIT_ROW(name, uint64_t, op)                                                                    \
    ito_tensor *op_##name##_forward(op_call *c)                                                    \
    {                                                                                              \
        ito_dtype dtype = c->dtype[0];                                                             \
        if (ito_dtype_is_float(dtype))                                                             \
            return error_null(ITO_ERR_DTYPE, #name ": takes integers or bool, not %s",             \
                              ito_dtype_name(dtype));                                              \
        size_t size = ito_dtype_size(dtype);                                                       \
        iterate_row *row = size == 1   ? name##_uint8_t                                            \
                           : size == 4 ? name##_uint32_t                                           \
                                       : name##_uint64_t;                                          \
        return map_binary_rows(#name, c->in[0], c->in[1], dtype, row, NULL, COST_PLAIN);           \
    }                                                                                              \
    ito_tensor *ito_##name(ito_tensor *a, ito_tensor *b)                                           \
    {                                                                                              \
        return OP2(name, a, b);                                                                    \
    }

BITWISE(bitwise_and, &)
BITWISE(bitwise_or, |)
BITWISE(bitwise_xor, ^)

ito_tensor *ito_bitwise_not(ito_tensor *x)
{
    if (x == NULL) {
        error_missing("bitwise_not", "x");
        return NULL;
    }
    if (ito_dtype_is_float(x->dtype))
        return error_null(ITO_ERR_DTYPE, "bitwise_not: takes integers or bool, not %s",
                          ito_dtype_name(x->dtype));
    double all = x->dtype == ITO_BOOL ? 1 : x->dtype == ITO_U8 ? 255 : -1;
    ito_scope_begin();
    return leave_scope(ito_bitwise_xor(x, ito_scalar(all, x->dtype)));
}

/* ---- truth ----------------------------------------------------------------------------------- */

/* x itself if bool, else where x is not 0; NaN is true. */
static ito_tensor *truth(ito_tensor *x)
{
    return x == NULL || x->dtype == ITO_BOOL ? x : ito_ne(x, ito_scalar(0, x->dtype));
}

#define LOGICAL(name, bitwise)                                                                     \
    ito_tensor *ito_##name(ito_tensor *a, ito_tensor *b)                                           \
    {                                                                                              \
        if (a != NULL && b != NULL && !check_broadcast(#name, a, b))                               \
            return NULL;                                                                           \
        ito_scope_begin();                                                                         \
        return leave_scope(bitwise(truth(a), truth(b)));                                           \
    }

LOGICAL(logical_and, ito_bitwise_and)
LOGICAL(logical_or, ito_bitwise_or)
LOGICAL(logical_xor, ito_bitwise_xor)

ito_tensor *ito_logical_not(ito_tensor *x)
{
    ito_scope_begin();
    return leave_scope(ito_bitwise_not(truth(x)));
}
