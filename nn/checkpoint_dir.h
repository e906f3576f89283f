/* Directories of checkpoints: step-N, complete or absent. Internal. */
#ifndef ITO_NN_CHECKPOINT_DIR_H
#define ITO_NN_CHECKPOINT_DIR_H

#include "tensor/base.h"

/* A checkpoint that is being written. */
typedef struct checkpoint_writing {
    char *parent;    /* DIR */
    char *final;     /* DIR/step-N */
    char *temporary; /* DIR/step-N.tmp-PID, an empty directory at first */
} checkpoint_writing;

/* Make DIR if it does not exist, remove temporary directories of processes that no longer run, and
 * make the temporary directory. */
ito_status checkpoint_begin(checkpoint_writing *w, const char *dir, int64_t step);
/* Sync the temporary directory and rename it to step-N. On failure it is abandoned. */
ito_status checkpoint_commit(checkpoint_writing *w);
/* Remove the temporary directory. */
void checkpoint_abandon(checkpoint_writing *w);
/* Remove all checkpoints except the newest `keep` and that of this step. One that cannot be removed
 * stays, which is no error. */
void checkpoint_prune(const char *dir, int64_t keep, int64_t step);

/* "DIR/NAME", to be freed with free(); NULL and ITO_ERR_MEMORY. */
char *checkpoint_path(const char *dir, const char *name);

#endif
