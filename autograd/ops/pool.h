/* The fast average pool. Internal. */
#ifndef ITO_OPS_POOL_TILES_H
#define ITO_OPS_POOL_TILES_H

#include "autograd/op.h"

/* Means of size x size windows, side by side, of x [N, C, H, W] whose H and W are multiples of
 * size. */
ito_tensor *avg_pool_tiles(ito_tensor *x, int64_t size);

#endif
