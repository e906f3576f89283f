/* Reductions over any axes of any strides, as a fixed tree. Internal.
 *
 * Invariant: the terms of one result are cut into pieces of a fixed length, each reduced in a fixed
 * order, and the pieces are combined in order. So bits depend on the reduced axes alone: neither on
 * the number of threads nor on how many results there are.
 */
#ifndef ITO_OPS_REDUCE_H
#define ITO_OPS_REDUCE_H

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

#endif
