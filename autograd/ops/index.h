/* What other operations need of indexing. Internal. */
#ifndef ITO_INDEX_H
#define ITO_INDEX_H

#include "autograd/op.h"

/* Whether index is i64 with every element in [0, size); records the error in op's name if not. */
bool index_check(const char *op, const ito_tensor *index, int64_t size);
/* Zeros of `size` entries along axis, to which entry k of src is added at index[k], in the order of
 * k. index [K] has been checked. Differentiable. */
ito_tensor *index_add_to_zeros(ito_tensor *src, int axis, ito_tensor *index, int64_t size);
/* The entries of axis named by index, of any rank, whose axes take axis' place. index has been
 * checked. Differentiable. */
ito_tensor *index_select_entries(ito_tensor *x, int axis, ito_tensor *index);
/* ito_gather of an index that has been checked. */
ito_tensor *index_gather(ito_tensor *x, int axis, ito_tensor *index);
/* Zeros of this shape, to which src is added as ito_scatter_add does. index has been checked. */
ito_tensor *scatter_add_to_zeros(ito_tensor *src, int axis, ito_tensor *index, ito_shape shape);
/* Whether index lies within x but for `axis`, and names places along that; or an error. */
bool gather_check(const char *op, const ito_tensor *x, int axis, const ito_tensor *index);

#endif
