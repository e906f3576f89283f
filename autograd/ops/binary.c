/* Arithmetic of two arrays that broadcast. A gradient is summed over the axes along which its input
 * was repeated. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/params.h"

/* dx[i] = the expression, summed to input i's shape, if it is wanted. */
#define GRADIENT(i, expression)                                                                    \
    if (c->needs[i]) {                                                                             \
        dx[i] = sum_to_shape(expression, c->shape[i]);                                             \
        if (dx[i] == NULL)                                                                         \
            return false;                                                                          \
    }

#define BINARY(name)                                                                               \
    ito_tensor *ito_##name(ito_tensor *a, ito_tensor *b)                                           \
    {                                                                                              \
        return OP2(name, a, b);                                                                    \
    }

/* Operations of f32 and f64 alone. */
#define REAL_BINARY(name, cost)                                                                    \
    ito_tensor *op_##name##_forward(op_call *c)                                                    \
    {                                                                                              \
        return map_binary(#name, c->in[0], c->in[1], kernels(c->dtype[0])->name, 0, 0, cost);      \
    }                                                                                              \
    BINARY(name)

/* Operations of integers and bool as well. */
#define NUMBER_BINARY(name, integer)                                                               \
    ito_tensor *op_##name##_forward(op_call *c)                                                    \
    {                                                                                              \
        ito_dtype dtype = c->dtype[0];                                                             \
        if (ito_dtype_is_float(dtype))                                                             \
            return map_binary(#name, c->in[0], c->in[1], kernels(dtype)->name, 0, 0, COST_PLAIN);  \
        iterate_row *row = integer_row(integer, #name, dtype);                                     \
        return row == NULL                                                                         \
                   ? NULL                                                                          \
                   : map_binary_rows(#name, c->in[0], c->in[1], dtype, row, NULL, COST_PLAIN);     \
    }                                                                                              \
    BINARY(name)

ito_tensor *sum_to_shape(ito_tensor *dy, ito_shape shape)
{
    if (dy == NULL || tensor_has_shape(dy, &shape))
        return dy;
    ito_reduce_options options = {.dims = ITO_DIMS(), .keepdim = true};
    int lead = dy->ndim - shape.ndim; /* axes that shape lacks */
    for (int i = 0; i < dy->ndim; i++)
        if (i < lead || (shape.dim[i - lead] == 1 && dy->shape[i] != 1))
            options.dims.dim[options.dims.ndim++] = i;
    ito_tensor *sum = options.dims.ndim == 0 ? dy : ito_sum_with(dy, options);
    return lead == 0 ? sum : ito_reshape_to(sum, shape);
}

NUMBER_BINARY(add, INTEGER_ADD)

bool op_add_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    GRADIENT(0, dy)
    GRADIENT(1, dy)
    return true;
}

NUMBER_BINARY(sub, INTEGER_SUB)

bool op_sub_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    GRADIENT(0, dy)
    if (c->needs[1])
        dx[1] = ito_neg(sum_to_shape(dy, c->shape[1]));
    return !c->needs[1] || dx[1] != NULL;
}

NUMBER_BINARY(mul, INTEGER_MUL)

bool op_mul_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    GRADIENT(0, ito_mul(dy, c->in[1]))
    GRADIENT(1, ito_mul(dy, c->in[0]))
    return true;
}

REAL_BINARY(div, COST_PLAIN)

/* d(a/b) = da / b - (a/b) db / b */
bool op_div_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *a = c->in[0], *b = c->in[1];
    ito_tensor *slope = ito_div(dy, b);
    GRADIENT(0, slope)
    GRADIENT(1, ito_neg(ito_mul(slope, ito_div(a, b))))
    return true;
}

REAL_BINARY(pow, 4 * COST_MATH)

/* d(a^b) = b a^(b-1) da + a^b log(a) db. At a = 0 two factors are infinite where the whole is 0:
 * a^(b-1) for b = 0 and log(a) for b >= 0. They are replaced by finite ones there before anything
 * is multiplied, since 0 times infinity is NaN in this sweep or in the next. */
bool op_pow_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *a = c->in[0], *b = c->in[1];
    ito_tensor *zero = ito_scalar(0, c->dtype[0]), *one = ito_scalar(1, c->dtype[0]);
    ito_tensor *zero_base = ito_eq(a, zero);
    if (zero_base == NULL || one == NULL)
        return false;
    ito_tensor *flat = ito_mul(zero_base, ito_eq(b, zero));
    ito_tensor *power = ito_where(flat, zero, ito_add_scalar(b, -1));
    GRADIENT(0, ito_mul(dy, ito_mul(b, ito_pow(a, power))))
    ito_tensor *base = ito_where(ito_mul(zero_base, ito_ge(b, zero)), one, a);
    GRADIENT(1, ito_mul(dy, ito_mul(c->out, ito_log(base))))
    return true;
}

/* The gradient goes to the operand that was taken: all of it where the other lost (or either is
 * NaN), half of it at a tie. */
static ito_tensor *winner(ito_tensor *dy, ito_tensor *lost, ito_tensor *tied)
{
    return grad_unless(lost, ito_where(tied, ito_mul_scalar(dy, 0.5), dy));
}

NUMBER_BINARY(maximum, INTEGER_MAXIMUM)

bool op_maximum_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *a = c->in[0], *b = c->in[1], *tied = ito_eq(a, b);
    GRADIENT(0, winner(dy, ito_lt(a, b), tied))
    GRADIENT(1, winner(dy, ito_lt(b, a), tied))
    return true;
}

NUMBER_BINARY(minimum, INTEGER_MINIMUM)

bool op_minimum_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *a = c->in[0], *b = c->in[1], *tied = ito_eq(a, b);
    GRADIENT(0, winner(dy, ito_gt(a, b), tied))
    GRADIENT(1, winner(dy, ito_gt(b, a), tied))
    return true;
}

/* ---- angles, lengths, logarithms of sums ------------------------------------------------------
 */

REAL_BINARY(atan2, 2 * COST_MATH)

/* d atan2(a, b) = (b da - a db) / (a^2 + b^2); 0 at the origin, as in PyTorch. */
bool op_atan2_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *a = c->in[0], *b = c->in[1], *square = ito_add(ito_square(a), ito_square(b));
    ito_tensor *zero = ito_scalar(0, c->dtype[0]), *one = ito_scalar(1, c->dtype[0]);
    if (square == NULL)
        return false;
    ito_tensor *slope = ito_div(dy, ito_where(ito_eq(square, zero), one, square));
    GRADIENT(0, ito_mul(slope, b))
    GRADIENT(1, ito_neg(ito_mul(slope, a)))
    return true;
}

REAL_BINARY(hypot, COST_MATH)

bool op_hypot_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    GRADIENT(0, ito_mul(dy, ito_div(c->in[0], c->out)))
    GRADIENT(1, ito_mul(dy, ito_div(c->in[1], c->out)))
    return true;
}

REAL_BINARY(logaddexp, 2 * COST_MATH)

bool op_logaddexp_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *a = c->in[0], *b = c->in[1];
    GRADIENT(0, ito_mul(dy, ito_sigmoid(ito_sub(a, b))))
    GRADIENT(1, ito_mul(dy, ito_sigmoid(ito_sub(b, a))))
    return true;
}

/* ---- a x + b y ------------------------------------------------------------------------------- */

ito_tensor *op_axpby_forward(op_call *c)
{
    const axpby_params *s = c->params;
    binary_kernel *kernel = kernels(c->dtype[0])->axpby;
    return map_binary("axpby", c->in[0], c->in[1], kernel, s->a, s->b, COST_PLAIN);
}

bool op_axpby_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const axpby_params *s = c->params;
    GRADIENT(0, ito_mul_scalar(dy, s->a))
    GRADIENT(1, ito_mul_scalar(dy, s->b))
    return true;
}

ito_tensor *ito_axpby(double a, ito_tensor *x, double b, ito_tensor *y)
{
    axpby_params s = {a, b};
    return op_apply(OP_axpby, (ito_tensor *[]){x, y}, 2, &s, sizeof s);
}

ito_tensor *ito_lerp(ito_tensor *x, ito_tensor *y, double weight)
{
    return ito_axpby(1 - weight, x, weight, y);
}
