/* Arithmetic and extremes of integers and bool, in plain loops: they are never where the time goes.
 * Integers wrap as unsigned ones do; for bool, add and maximum are or, mul and minimum are and, as
 * in PyTorch. */
#include "autograd/ops/elementwise.h"

/* The work is done in an unsigned type of at least int's width, so that nothing overflows. */
#define INTEGER_ROW(name, type, wide, op)                                                          \
    static void name##_##type(const void *context, char *const *data, const int64_t *s, int64_t n) \
    {                                                                                              \
        (void)context;                                                                             \
        type *y = (type *)data[0];                                                                 \
        const type *a = (const type *)data[1], *b = (const type *)data[2];                         \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i * s[0]] = (type)((wide)a[i * s[1]] op(wide) b[i * s[2]]);                          \
    }
#define INTEGER_ROWS(type, wide)                                                                   \
    INTEGER_ROW(add, type, wide, +)                                                                \
    INTEGER_ROW(sub, type, wide, -)                                                                \
    INTEGER_ROW(mul, type, wide, *)
INTEGER_ROWS(int32_t, uint32_t)
INTEGER_ROWS(int64_t, uint64_t)
INTEGER_ROWS(uint8_t, uint32_t)
INTEGER_ROW(or, uint8_t, uint32_t, |)
INTEGER_ROW(and, uint8_t, uint32_t, &)

#define CHOICE_ROW(name, type, op)                                                                 \
    static void name##_##type(const void *context, char *const *data, const int64_t *s, int64_t n) \
    {                                                                                              \
        (void)context;                                                                             \
        type *y = (type *)data[0];                                                                 \
        const type *a = (const type *)data[1], *b = (const type *)data[2];                         \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i * s[0]] = a[i * s[1]] op b[i * s[2]] ? a[i * s[1]] : b[i * s[2]];                  \
    }
#define CHOICE_ROWS(name, op)                                                                      \
    CHOICE_ROW(name, int32_t, op) CHOICE_ROW(name, int64_t, op) CHOICE_ROW(name, uint8_t, op)
CHOICE_ROWS(maximum, >)
CHOICE_ROWS(minimum, <)

iterate_row *integer_row(integer_op op, const char *name, ito_dtype dtype)
{
    static iterate_row *const rows[ITO_DTYPES][5] = {
        [ITO_I32] = {add_int32_t, sub_int32_t, mul_int32_t, maximum_int32_t, minimum_int32_t},
        [ITO_I64] = {add_int64_t, sub_int64_t, mul_int64_t, maximum_int64_t, minimum_int64_t},
        [ITO_U8] = {add_uint8_t, sub_uint8_t, mul_uint8_t, maximum_uint8_t, minimum_uint8_t},
        [ITO_BOOL] = {or_uint8_t, NULL, and_uint8_t, or_uint8_t, and_uint8_t},
    };
    if (rows[dtype][op] == NULL)
        ito_error_set(ITO_ERR_DTYPE, "%s: not defined for bool (see ito_cast and ito_ne)", name);
    return rows[dtype][op];
}
