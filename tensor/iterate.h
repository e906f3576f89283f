/* Element-wise loops over tensors of any strides, planned once and run in rows.
 *
 * A plan drops axes of size 1, sorts the others by the result's memory order and merges neighbours
 * that run on in every operand, so dense tensors of one layout become a single row. Rows are cut
 * and shared among threads; an element's value never depends on where the cuts are.
 */
#ifndef ITO_TENSOR_ITERATE_H
#define ITO_TENSOR_ITERATE_H

#include "tensor/internal.h"

enum { ITERATE_OPERANDS = 4 };

typedef struct iterate_plan {
    int operands, ndim; /* axis ndim - 1 is the fastest; there is at least one */
    int64_t size[ITO_MAX_DIMS];
    int64_t stride[ITERATE_OPERANDS][ITO_MAX_DIMS]; /* in elements; 0 where broadcast */
    char *data[ITERATE_OPERANDS];
    size_t element[ITERATE_OPERANDS]; /* bytes */
} iterate_plan;

/* n elements of each operand, in steps of stride (elements). A dense result has stride 1. */
typedef void iterate_row(const void *context, char *const *data, const int64_t *stride, int64_t n);

/* Calls row until every element of the operands has been met once. Operand 0 is the result; the
 * others broadcast to its shape (the caller has checked). cost: nanoseconds an element takes,
 * about. */
void iterate(ito_tensor *const *t, int operands, iterate_row *row, const void *context,
             int64_t cost);

/* How a plan is made, for loops with a plan of their own: sorts axes by falling strides of operand
 * `by` (ties keep their order), then merges. */
void iterate_plan_sort(iterate_plan *p, int by);
void iterate_plan_merge(iterate_plan *p);

/* Uninitialised and dense; its axes lie in memory in falling order of stride[], which has one for
 * each axis. */
ito_tensor *tensor_empty_ordered(ito_shape shape, const int64_t *stride, ito_dtype dtype);

/* The result of an element-wise operation on t[0 .. n): in the memory order of the first one that
 * has this shape and is dense, else of the first one of this shape, else row-major. */
ito_tensor *tensor_empty_for(ito_shape shape, ito_tensor *const *t, int n, ito_dtype dtype);

#endif
