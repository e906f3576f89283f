/* Comparisons: bool results, IEEE rules for NaN. */
#include "autograd/ops/elementwise.h"
#include "tensor/convert.h"

/* Rows of stride 1 stand apart, for the compiler to vectorise. */
#define COMPARE_ROW(name, type, value, op)                                                         \
    static void name##_##type(const void *context, char *const *data, const int64_t *s, int64_t n) \
    {                                                                                              \
        (void)context;                                                                             \
        uint8_t *y = (uint8_t *)data[0];                                                           \
        const type *a = (const type *)data[1], *b = (const type *)data[2];                         \
        if (s[0] == 1 && s[1] == 1 && s[2] == 1)                                                   \
            for (int64_t i = 0; i < n; i++)                                                        \
                y[i] = value(a[i]) op value(b[i]);                                                 \
        else                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                        \
                y[i * s[0]] = value(a[i * s[1]]) op value(b[i * s[2]]);                            \
    }
#define COMPARE(name, op)                                                                          \
    COMPARE_ROW(name, float, , op)                                                                 \
    COMPARE_ROW(name, double, , op)                                                                \
    COMPARE_ROW(name, int32_t, , op)                                                               \
    COMPARE_ROW(name, int64_t, , op)                                                               \
    COMPARE_ROW(name, uint8_t, , op)                                                               \
    COMPARE_ROW(name, uint16_t, bf16_to_f32, op)                                                   \
    static iterate_row *const name##_rows[ITO_DTYPES] = {                                          \
        [ITO_F32] = name##_float,     [ITO_F64] = name##_double, [ITO_I32] = name##_int32_t,       \
        [ITO_I64] = name##_int64_t,   [ITO_U8] = name##_uint8_t, [ITO_BOOL] = name##_uint8_t,      \
        [ITO_BF16] = name##_uint16_t,                                                              \
    };                                                                                             \
    ito_tensor *op_##name##_forward(op_call *c)                                                    \
    {                                                                                              \
        iterate_row *row = name##_rows[c->dtype[0]];                                               \
        return map_binary_rows(#name, c->in[0], c->in[1], ITO_BOOL, row, NULL, COST_PLAIN);        \
    }                                                                                              \
    ito_tensor *ito_##name(ito_tensor *a, ito_tensor *b)                                           \
    {                                                                                              \
        return OP2(name, a, b);                                                                    \
    }

COMPARE(eq, ==)
COMPARE(ne, !=)
COMPARE(lt, <)
COMPARE(le, <=)
COMPARE(gt, >)
COMPARE(ge, >=)
