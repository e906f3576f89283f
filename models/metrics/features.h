/* Features as the metrics take them. Internal. */
#ifndef ITO_METRICS_FEATURES_H
#define ITO_METRICS_FEATURES_H

#include "tensor/tensor.h"

/* Whether x is [N, D] of a float dtype, D >= 1, and all finite; if not, an error says so in op's
 * name. */
bool features_check(const char *op, ito_tensor *x);
/* Whether a and b both are, and as wide as each other. */
bool features_check_pair(const char *op, ito_tensor *a, ito_tensor *b);
/* Rows first .. first + n - 1 in f64, row-major, of the current scope. */
ito_tensor *features_rows(ito_tensor *x, int64_t first, int64_t n);

/* So many rows are worked on at once: sums go block by block, so it is part of the results. */
#define FEATURES_BLOCK 1024
/* The size of the block of n rows that begins at `first`. */
static inline int64_t features_block(int64_t n, int64_t first)
{
    return n - first < FEATURES_BLOCK ? n - first : FEATURES_BLOCK;
}

#endif
