/* Directories of checkpoints: step-N, made whole or not at all. Internal. */
#ifndef ITO_NN_CHECKPOINT_DIR_H
#define ITO_NN_CHECKPOINT_DIR_H

#include "tensor/base.h"

/* A checkpoint on its way. */
typedef struct checkpoint_writing {
    char *parent;    /* DIR */
    char *final;     /* DIR/step-N */
    char *temporary; /* DIR/step-N.tmp-PID, an empty directory at first */
} checkpoint_writing;

/* Make DIR if it is not there, remove what processes that are gone have left in it, and make the
 * temporary directory. */
ito_status checkpoint_begin(checkpoint_writing *w, const char *dir, int64_t step);
/* Bring the directory to the disk and to its place. On failure it is abandoned. */
ito_status checkpoint_commit(checkpoint_writing *w);
/* Remove the temporary. */
void checkpoint_abandon(checkpoint_writing *w);
/* Remove checkpoints but for the newest `keep` and that of this step. What cannot be removed stays:
 * no checkpoint is lost by it. */
void checkpoint_prune(const char *dir, int64_t keep, int64_t step);

/* "DIR/NAME", to be freed with free(); NULL and ITO_ERR_MEMORY. */
char *checkpoint_path(const char *dir, const char *name);

#endif
