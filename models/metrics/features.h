/* Checks and blocks of features for the metrics. Internal. */
#ifndef ITO_METRICS_FEATURES_H
#define ITO_METRICS_FEATURES_H

#include "tensor/tensor.h"

/* Whether x is [N, D] of a float dtype, D >= 1, and all finite; if not, an error in op's name is
 * recorded. */
bool features_check(const char *op, ito_tensor *x);
/* Whether a and b both pass features_check and have the same D. */
bool features_check_pair(const char *op, ito_tensor *a, ito_tensor *b);
/* Rows first .. first + n - 1 in f64, row-major, of the current scope. */
ito_tensor *features_rows(ito_tensor *x, int64_t first, int64_t n);
/* The mean of all rows [D] f64, of the current scope; NULL on error. */
ito_tensor *features_mean(ito_tensor *x);

/* Rows of a block. Sums go block by block, so this number determines the rounding of results. */
#define FEATURES_BLOCK 1024
/* The size of the block of n rows that begins at `first`. */
static inline int64_t features_block(int64_t n, int64_t first)
{
    return n - first < FEATURES_BLOCK ? n - first : FEATURES_BLOCK;
}

#endif
