/* Division that leaves a rest, of floats and integers, and copysign. Elements of floats are
 * computed in double, where the rest of two floats is exact. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"

#include <math.h>

enum { COST_REMAINDER = 20 };

/* The rest has the sign of b, as in Python. */
static double remainder_of(double a, double b)
{
    double rest = fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/* floor(a / b) of the exact quotient, by the rest: a / b itself may be rounded up to a whole number
 * (PyTorch's div_floor). */
static double floor_divide_of(double a, double b)
{
    if (b == 0)
        return a / b;
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0))
        quotient -= 1;
    return quotient == 0 ? copysign(0, a / b) : round(quotient);
}

/* Of integers, b not 0; what overflows wraps. */
static int64_t integer_fmod(int64_t a, int64_t b)
{
    return b == -1 ? 0 : a % b;
}

static int64_t integer_remainder(int64_t a, int64_t b)
{
    int64_t rest = integer_fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static int64_t integer_floor_divide(int64_t a, int64_t b)
{
    if (b == -1)
        return (int64_t)(0 - (uint64_t)a);
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

#define INTEGER_ROW(name, type)                                                                    \
    static void name##_##type(const void *context, char *const *data, const int64_t *s, int64_t n) \
    {                                                                                              \
        (void)context;                                                                             \
        type *y = (type *)data[0];                                                                 \
        const type *a = (const type *)data[1], *b = (const type *)data[2];                         \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i * s[0]] = (type)integer_##name(a[i * s[1]], b[i * s[2]]);                          \
    }
#define INTEGER_ROWS(name)                                                                         \
    INTEGER_ROW(name, int32_t) INTEGER_ROW(name, int64_t) INTEGER_ROW(name, uint8_t)
INTEGER_ROWS(fmod)
INTEGER_ROWS(remainder)
INTEGER_ROWS(floor_divide)

/* Whether b has no 0. */
static bool check_divisors(const char *op, const ito_tensor *b)
{
    ito_tensor *zero = ito_scalar(0, b->dtype), *any = ito_eq((ito_tensor *)b, zero);
    if (any == NULL)
        return false;
    const uint8_t *is_zero = tensor_data(any); /* dense, of whatever order */
    for (int64_t i = 0, n = ito_numel(any); i < n; i++)
        if (is_zero[i] != 0)
            return error_false(ITO_ERR_RANGE, "%s: division by 0 in %s %s", op,
                               ito_dtype_name(b->dtype), tensor_shape_str(b));
    return true;
}

#define DIVISION(name)                                                                             \
    ito_tensor *op_##name##_forward(op_call *c)                                                    \
    {                                                                                              \
        static iterate_row *const rows[ITO_DTYPES] = {                                             \
            [ITO_I32] = name##_int32_t, [ITO_I64] = name##_int64_t, [ITO_U8] = name##_uint8_t};    \
        ito_tensor *a = c->in[0], *b = c->in[1];                                                   \
        if (ito_dtype_is_float(a->dtype))                                                          \
            return map_doubles(#name, a, b, 0, name##_of, COST_REMAINDER);                         \
        if (rows[a->dtype] == NULL)                                                                \
            return error_null(ITO_ERR_DTYPE, #name ": not defined for bool (see ito_cast)");       \
        return check_divisors(#name, b)                                                            \
                   ? map_binary_rows(#name, a, b, a->dtype, rows[a->dtype], NULL, COST_REMAINDER)  \
                   : NULL;                                                                         \
    }                                                                                              \
    ito_tensor *ito_##name(ito_tensor *a, ito_tensor *b)                                           \
    {                                                                                              \
        return OP2(name, a, b);                                                                    \
    }
#define fmod_of fmod
DIVISION(fmod)
DIVISION(remainder)
DIVISION(floor_divide)

/* Of a - b q, q a whole number that does not change: 1 for a, -q for b. */
static bool rest_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx, ito_tensor *quotient)
{
    if (c->needs[0])
        dx[0] = sum_to_shape(dy, c->shape[0]);
    if (c->needs[1])
        dx[1] = sum_to_shape(ito_neg(ito_mul(dy, quotient)), c->shape[1]);
    return (!c->needs[0] || dx[0] != NULL) && (!c->needs[1] || dx[1] != NULL);
}

bool op_fmod_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *a = c->in[0], *b = c->in[1];
    ito_tensor *size = ito_floor_divide(ito_abs(a), ito_abs(b));
    return rest_backward(c, dy, dx, ito_mul(size, ito_mul(ito_sign(a), ito_sign(b))));
}

bool op_remainder_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    return rest_backward(c, dy, dx, ito_floor_divide(c->in[0], c->in[1]));
}

/* ---- copysign -------------------------------------------------------------------------------- */

ito_tensor *op_copysign_forward(op_call *c)
{
    return map_doubles("copysign", c->in[0], c->in[1], 0, copysign, COST_PLAIN);
}

/* 1 where the sign stayed, -1 where it changed, 0 at 0. */
bool op_copysign_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *turned = ito_mul(ito_sign(c->in[0]), ito_sign(c->out));
    if (c->needs[0])
        dx[0] = sum_to_shape(ito_mul(dy, turned), c->shape[0]);
    return !c->needs[0] || dx[0] != NULL;
}

ito_tensor *ito_copysign(ito_tensor *a, ito_tensor *b)
{
    return OP2(copysign, a, b);
}
