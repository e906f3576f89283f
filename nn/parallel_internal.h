/* What a model that is trained in parallel keeps. Internal. */
#ifndef ITO_NN_PARALLEL_INTERNAL_H
#define ITO_NN_PARALLEL_INTERNAL_H

#include "nn/optim/optimizer.h"
#include "nn/parallel.h"
#include "nn/reduction.h"

struct ito_parallel {
    ito_communicator *c; /* NULL: one rank */
    ito_module *model;
    ito_optimizer *optimizer;
    int64_t slices; /* of all ranks */
    reduction sum;
    optimizer_shard shard;
    bool sharded; /* the optimiser's state is kept by parts */
    bool vetoed;
    double *sums; /* [ranks, most] of pieces, as they travel; made for the pieces of a step */
    int64_t room; /* of sums */
};

static inline int64_t parallel_ranks(const ito_parallel *p)
{
    return p->c == NULL ? 1 : p->c->ranks;
}

#endif
