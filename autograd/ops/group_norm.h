/* The statistics of group normalisation, for others. Internal. */
#ifndef ITO_OPS_GROUP_NORM_H
#define ITO_OPS_GROUP_NORM_H

#include "autograd/op.h"

/* f64 [N, groups]: the mean and the variance (sums of squares by n) of each group of channels of
 * each image of x [N, C, ...], which is not empty; from one pass over x. Not recorded. */
bool group_norm_measure(const ito_tensor *x, int64_t groups, ito_tensor **mean,
                        ito_tensor **variance);

#endif
