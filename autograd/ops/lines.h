/* Operations along one axis, or on all elements as one axis. Internal.
 *
 * A line is what an axis runs through: one for each place in the other axes, which count row-major.
 * Each line of a result has one writer, so bits do not depend on the number of threads.
 */
#ifndef ITO_OPS_LINES_H
#define ITO_OPS_LINES_H

#include "autograd/op.h"
#include "tensor/convert.h"

/* F(dtype, C type, suffix, type that holds the value, how an element is read): of floats, and of
 * the other numbers. */
#define LINE_REALS(F)                                                                              \
    F(ITO_F32, float, f32, double, (double))                                                       \
    F(ITO_F64, double, f64, double, )                                                              \
    F(ITO_BF16, uint16_t, bf16, double, (double)bf16_to_f32)
#define LINE_INTEGERS(F)                                                                           \
    F(ITO_I32, int32_t, i32, int64_t, )                                                            \
    F(ITO_I64, int64_t, i64, int64_t, )                                                            \
    F(ITO_U8, uint8_t, u8, int64_t, )                                                              \
    F(ITO_BOOL, bool, b8, int64_t, )
#define LINE_NUMBERS(F) LINE_REALS(F) LINE_INTEGERS(F)

/* How a real is written. */
static inline float real_to_f32(double v)
{
    return (float)v;
}
static inline double real_to_f64(double v)
{
    return v;
}
static inline uint16_t real_to_bf16(double v)
{
    return f32_to_bf16((float)v);
}

/* x, or for ITO_NO_DIM all of it as one axis, and the axis that is meant; NULL with an error in
 * op's name. A number becomes a list of one. Differentiable. */
ito_tensor *along(const char *op, ito_tensor *x, int dim, int *axis);
/* y, made of along(x), in x's shape again. */
ito_tensor *along_back(ito_tensor *y, const ito_tensor *x);
/* y, made of along(x) with one element along the axis, in the shape of a reduction of x. */
ito_tensor *along_reduced(ito_tensor *y, const ito_tensor *x, int dim, bool keepdim);

/* The elements of line, made of along(x), at `places` of its axis, in the shape of a reduction of
 * x; the places through *indices. Both are kept: for the end of a scope. */
ito_tensor *chosen_along(ito_tensor *line, int axis, ito_tensor *places, const ito_tensor *x,
                         int dim, bool keepdim, ito_tensor **indices);
/* Hands y on to the scope around, and second through *to unless that is NULL; both or none. */
ito_tensor *keep_both(ito_tensor *y, ito_tensor *second, ito_tensor **to);

/* How many lines shape has along axis. */
int64_t line_count(const ito_shape *shape, int axis);
/* Where the r-th line along axis of a tensor of this shape begins in t, in elements. */
int64_t line_begin(const ito_tensor *t, const ito_shape *shape, int axis, int64_t r);

/* Whether x is f32, f64 or bf16, or an error in op's name. */
bool takes_reals(const char *op, const ito_tensor *x);
/* Whether x is not f16, or an error in op's name. */
bool takes_numbers(const char *op, const ito_tensor *x);
/* Whether x has elements along axis, or an error in op's name. */
bool has_elements(const char *op, const ito_tensor *x, int axis);

#endif
