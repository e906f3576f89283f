/* Checkpoints of a model that several ranks train (parallel.h). */
#ifndef ITO_NN_PARALLEL_CHECKPOINT_H
#define ITO_NN_PARALLEL_CHECKPOINT_H

#include "checkpoint.h"
#include "parallel.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * ito_checkpoint_save by rank 0, with the state of all ranks: the file that one rank writes. Every
 * rank calls it and gets what rank 0 got.
 */
ITO_API ito_status ito_parallel_checkpoint_save_with(ito_parallel *p, const char *dir,
                                                     const ito_training_state *state,
                                                     ito_checkpoint_options options);
#define ito_parallel_checkpoint_save(...)                                                          \
    ITO_AT(ITO_CALL_3(ito_parallel_checkpoint_save_with, ito_checkpoint_options, __VA_ARGS__, ))

/** ito_checkpoint_load on every rank, of a checkpoint that any number of ranks has saved. */
ITO_API ito_status ito_parallel_checkpoint_load(ito_parallel *p, const char *path,
                                                ito_training_state *state);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_parallel_checkpoint_load(...) ITO_AT(ito_parallel_checkpoint_load(__VA_ARGS__))
#endif

#endif
