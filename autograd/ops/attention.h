/* What the two halves of attention share: attention.c is the operation, its checks and its
 * definition by other operations, attention_blocks.c computes it. Internal. */
#ifndef ITO_OPS_ATTENTION_DEFINITION_H
#define ITO_OPS_ATTENTION_DEFINITION_H

#include "autograd/op.h"

#include <math.h>

typedef struct attention_params {
    double scale; /* NaN: 1 / sqrt(D) */
    bool causal;
    double dropout_p;
    ito_generator generator; /* as it was before the draw */
} attention_params;

/* Without features scores are 0 by any scale. */
static inline double attention_scale(const attention_params *p, int64_t features)
{
    return isnan(p->scale) ? 1.0 / sqrt((double)(features > 0 ? features : 1)) : p->scale;
}

/* The shape of the scores, [.., T, S]. */
static inline ito_shape attention_scores_shape(const ito_shape *q, const ito_shape *k)
{
    ito_shape shape = *q;
    shape.dim[shape.ndim - 1] = k->dim[k->ndim - 2];
    return shape;
}

#endif
