/* Sums of a kernel over pairs of points: a row of a block, then the rows, then the blocks. */
#include "models/metrics/kernel_sum.h"

#include "models/metrics/features.h"
#include "tensor/internal.h"

#include <math.h>

/* The sum of a block, without the diagonal if that is a point with itself. NaN on error. */
static double block_sum(const points *a, int64_t i, const points *b, int64_t j,
                        kernel_block *kernel, double parameter)
{
    int64_t rows = features_block(a->n, i), columns = features_block(b->n, j);
    bool same = a == b && i == j;
    double sums[FEATURES_BLOCK], total = 0.0;
    ito_scope_begin();
    const double *k = kernel(a, i, rows, b, j, columns, parameter);
    if (k != NULL) {
#pragma omp parallel for num_threads(threads_for(rows *columns)) schedule(static)
        for (int64_t r = 0; r < rows; r++) {
            sums[r] = 0.0;
            for (int64_t c = 0; c < columns; c++)
                sums[r] += same && r == c ? 0.0 : k[r * columns + c];
        }
        for (int64_t r = 0; r < rows; r++)
            total += sums[r];
    }
    ito_scope_end();
    return k != NULL ? total : (double)NAN;
}

double kernel_sum(const points *a, const points *b, kernel_block *kernel, double parameter)
{
    double total = 0.0;
    for (int64_t i = 0; i < a->n; i += FEATURES_BLOCK)
        for (int64_t j = a == b ? i : 0; j < b->n; j += FEATURES_BLOCK) {
            double sum = block_sum(a, i, b, j, kernel, parameter);
            if (isnan(sum))
                return sum;
            total += a == b && j > i ? 2.0 * sum : sum; /* a kernel is symmetric */
        }
    return total;
}
