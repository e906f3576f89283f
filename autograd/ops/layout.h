/* Memory order of results: a result lies in memory as its input does where it can. Internal. */
#ifndef ITO_OPS_LAYOUT_H
#define ITO_OPS_LAYOUT_H

#include "tensor/internal.h"

/* Whether t's axes other than those of size 1 follow each other in memory as in `order`, slowest
 * first, gaps allowed; false if an axis repeats (stride 0). */
bool layout_follows(const ito_tensor *t, const int *order);
/* Whether the four axes of t lie in the order N H W C and not also in the order N C H W. */
bool layout_is_nhwc(const ito_tensor *t);
/* Uninitialised memory of this shape, dense, its axes in the order of like's, which has as many. */
ito_tensor *empty_in_order_of(const ito_tensor *like, ito_shape shape, ito_dtype dtype);

#endif
