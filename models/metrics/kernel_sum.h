/* Sums of a kernel over pairs of points, of which squared maximum mean discrepancies are made.
 * Internal. */
#ifndef ITO_METRICS_KERNEL_SUM_H
#define ITO_METRICS_KERNEL_SUM_H

#include "models/metrics/points.h"

/* The kernel of a block of a's points, from point i on, with one of b's, from point j on: rows x
 * columns of the current scope, row-major; NULL on error. */
typedef double *kernel_block(const points *a, int64_t i, int64_t rows, const points *b, int64_t j,
                             int64_t columns, double parameter);

/* The sum over all pairs of a point of a and one of b or, if b is a, over all pairs of different
 * points, each in both orders. NaN on error. Its order is fixed, whatever the number of threads. */
double kernel_sum(const points *a, const points *b, kernel_block *kernel, double parameter);

#endif
