/* How element-wise operations run a kernel over tensors of any strides. Internal.
 * f32, f64 and bf16 go through the kernels of tensor/kernels/elementwise.c; integers and bool
 * through integer.c. */
#ifndef ITO_OPS_ELEMENTWISE_H
#define ITO_OPS_ELEMENTWISE_H

#include "autograd/op.h"
#include "tensor/iterate.h"
#include "tensor/kernels/kernels.h"

typedef void unary_kernel(void *y, const void *x, int64_t stride, int64_t n, double p, double q);
typedef void binary_kernel(void *y, const void *a, int64_t a_stride, const void *b,
                           int64_t b_stride, int64_t n, double p, double q);

/* What an element costs a thread, in nanoseconds: see iterate. */
enum { COST_PLAIN = 1, COST_MATH = 4 };

/* y = f(x), a new tensor in x's memory order. */
ito_tensor *map_unary(ito_tensor *x, unary_kernel *kernel, double p, double q, int64_t cost);
/* op_<name>_forward and ito_<name> of a function without numbers. */
#define UNARY(name, cost)                                                                          \
    ito_tensor *op_##name##_forward(op_call *c)                                                    \
    {                                                                                              \
        return map_unary(c->in[0], kernels(c->dtype[0])->name, 0, 0, cost);                        \
    }                                                                                              \
    ito_tensor *ito_##name(ito_tensor *x)                                                          \
    {                                                                                              \
        return OP1(name, x);                                                                       \
    }

/* y = f(a, b), broadcast. ITO_ERR_SHAPE in the name of op. */
ito_tensor *map_binary(const char *op, ito_tensor *a, ito_tensor *b, binary_kernel *kernel,
                       double p, double q, int64_t cost);
/* The same into y, shaped and laid out as a; y may be an operand of its layout, or NULL after an
 * error. */
void map_binary_into(ito_tensor *y, ito_tensor *a, ito_tensor *b, binary_kernel *kernel, double p,
                     double q, int64_t cost);
/* The same with a row function over operands y, a, b; y is of this dtype. */
ito_tensor *map_binary_rows(const char *op, ito_tensor *a, ito_tensor *b, ito_dtype dtype,
                            iterate_row *row, const void *context, int64_t cost);

/* y = f(a, b) in double, rounded once: for functions that are too rare for a kernel. Where b is
 * NULL, f's second argument is p. ITO_ERR_SHAPE in the name of op. */
typedef double function_of_doubles(double a, double b);
ito_tensor *map_doubles(const char *op, ito_tensor *a, ito_tensor *b, double p,
                        function_of_doubles *f, int64_t cost);

/* For composed operations: that no input is NULL and that all have a type of REAL, the same one; or
 * the error in op's name. */
static inline bool check_real(const char *op, ito_tensor *const *in, int64_t n)
{
    return op_inputs_fit(op, REAL, in, n, 0);
}
/* That the shapes of a and b broadcast, in op's name. */
bool check_broadcast(const char *op, const ito_tensor *a, const ito_tensor *b);
/* A 0-dimensional tensor of like's dtype; NULL for NULL. */
ito_tensor *number_like(double value, const ito_tensor *like);
/* The end of a scope that a composed operation opened: its result outlives it. */
ito_tensor *leave_scope(ito_tensor *y);

/* Rows over i32, i64 and u8, wrapping, and bool (or, nothing, and, or, and). NULL where the
 * operation does not exist, with an error recorded. */
typedef enum integer_op {
    INTEGER_ADD,
    INTEGER_SUB,
    INTEGER_MUL,
    INTEGER_MAXIMUM,
    INTEGER_MINIMUM
} integer_op;
iterate_row *integer_row(integer_op op, const char *name, ito_dtype dtype);

/* dy where the bool mask holds, else 0: shaped as both broadcast. For gradients. */
ito_tensor *grad_where(ito_tensor *mask, ito_tensor *dy);
/* dy where the mask does not hold. */
ito_tensor *grad_unless(ito_tensor *mask, ito_tensor *dy);

#endif
