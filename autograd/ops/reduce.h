/* Reductions over any axes of any strides, as a fixed tree. Internal.
 *
 * Invariant: the terms of one result are cut into pieces of a fixed length, each reduced in a fixed
 * order, and the pieces are combined in order. So bits depend on the reduced axes alone: neither on
 * the number of threads nor on how many results there are.
 */
#ifndef ITO_REDUCE_H
#define ITO_REDUCE_H

#include "autograd/op.h"

/* *acc = *acc op (n terms); acc[j] = acc[j] op (rows terms), n columns: see kernels/reduce.def. */
typedef void reduce_row(double *acc, const void *x, int64_t stride, int64_t n);
typedef void reduce_columns(double *acc, const void *x, int64_t row_stride, int64_t rows,
                            int64_t stride, int64_t n);

typedef struct reducer {
    double start; /* the reduction of nothing */
    double (*combine)(double a, double b);
    reduce_row *row;
    reduce_columns *columns;
    double divisor; /* of each result, in double before it is rounded */
} reducer;

/* Whether dims, ITO_ALL_DIMS or a list, names axes of x, each once; or the error in op's name. */
bool check_axes(const char *op, const ito_tensor *x, ito_shape dims);
/* y[kept index] = the reduction of x over the axes whose bits are set in axes; y has x's dtype and
 * the kept axes, the others either not at all or with size 1. y is dense. false: no memory. */
bool reduce_axes(ito_tensor *y, const ito_tensor *x, unsigned axes, const reducer *r);

/* Of one call. */
typedef struct reduce_params {
    unsigned axes; /* a bit for each axis that is reduced */
    bool keepdim;
    double divisor; /* of the sum: how a mean is rounded once */
} reduce_params;

/* The options in op's name, resolved for x; false with an error. */
bool reduce_resolve(const char *op, const ito_tensor *x, const ito_reduce_options *options,
                    reduce_params *params);
/* The operation, with the options resolved in the name of `name`. */
ito_tensor *reduce_apply(op_id id, const char *name, ito_tensor *x,
                         const ito_reduce_options *options);
/* The result's shape if reduced axes stay with size 1. */
ito_shape kept_shape(ito_shape shape, unsigned axes);
/* x's sum, a differentiable operation. */
ito_tensor *sum_over(ito_tensor *x, const reduce_params *params, double divisor);

/* *y = the reduction of a row-major line of n elements. */
typedef void line_reducer(void *y, const void *line, int64_t n);
/* Each result, of this dtype, by f, for what needs no kernel: row-major. */
ito_tensor *reduce_lines(const ito_tensor *x, const reduce_params *params, ito_dtype dtype,
                         line_reducer *f);
/* Sum (in i64), maximum and minimum of integers and bool. */
typedef enum integer_reduction { INTEGER_SUM, INTEGER_MAX, INTEGER_MIN } integer_reduction;
ito_tensor *reduce_integers(integer_reduction kind, const op_call *c);

#endif
