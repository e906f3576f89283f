/* Checkpoints of a model that several ranks train: rank 0 writes what one rank alone would.
 * Invariant: the optimiser's state is sharded again afterwards, also on failure. */
#include "nn/parallel_checkpoint.h"

#include "nn/parallel_internal.h"
#include "tensor/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Let every rank have all of the optimiser's state, until it is sharded again. */
static ito_status gather_state(ito_parallel *p)
{
    if (!optimizer_set_shard(p->optimizer, NULL))
        return ITO_ERR_MEMORY;
    ito_status status = ITO_OK;
    for (int s = 0; s < MAX_STATES && status == ITO_OK; s++)
        if (p->optimizer->state[s] != NULL)
            status = reduction_spread(&p->sum, p->optimizer->state[s]);
    return status;
}

/* What became of something on rank 0. */
typedef struct outcome {
    ito_status status;
    char message[ERROR_BYTES];
} outcome;

static ito_status hear_outcome(ito_parallel *p, ito_status status)
{
    outcome mine = {.status = status}, *all = struct_alloc((size_t)parallel_ranks(p) * sizeof *all);
    if (all == NULL)
        return ITO_ERR_MEMORY;
    if (status != ITO_OK)
        snprintf(mine.message, sizeof mine.message, "%s", ito_error_message());
    ito_status heard = ito_communicator_gather(p->c, &mine, sizeof mine, all);
    if (heard == ITO_OK && all[0].status != ITO_OK && p->c != NULL && p->c->rank != 0)
        ito_error_set(all[0].status, "%s", all[0].message);
    status = heard == ITO_OK ? all[0].status : heard;
    free(all);
    return status;
}

ito_status ito_parallel_checkpoint_save_with(ito_parallel *p, const char *dir,
                                             const ito_training_state *state,
                                             ito_checkpoint_options options)
{
    if (p == NULL || state == NULL)
        return error_missing("checkpoint", p == NULL ? "the model" : "the state");
    ito_status status = ITO_OK;
    if (p->sharded && state->ema != NULL)
        status = ito_parallel_gather_averages(p, state->ema);
    if (status == ITO_OK && p->sharded && state->optimizer == p->optimizer)
        status = gather_state(p);
    if (status == ITO_OK) {
        bool writes = p->c == NULL || p->c->rank == 0;
        status = hear_outcome(p, writes ? ito_checkpoint_save_with(dir, state, options) : ITO_OK);
    }
    if (p->sharded && !optimizer_set_shard(p->optimizer, &p->shard))
        status = status == ITO_OK ? ITO_ERR_MEMORY : status;
    return status;
}

ito_status ito_parallel_checkpoint_load(ito_parallel *p, const char *path,
                                        ito_training_state *state)
{
    if (p == NULL)
        return error_missing("checkpoint", "the model");
    if (!optimizer_set_shard(p->optimizer, NULL))
        return ITO_ERR_MEMORY;
    ito_status status = ito_checkpoint_load(path, state);
    if (p->sharded && !optimizer_set_shard(p->optimizer, &p->shard))
        status = status == ITO_OK ? ITO_ERR_MEMORY : status;
    return status;
}
