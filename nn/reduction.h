/* The sum of the gradients of all slices of a batch, over ranks, in an order that depends on the
 * number of slices alone. Internal.
 *
 * Slices are the leaves of a binary tree: neighbours are added, then neighbours of those, and so
 * on. Each rank has as many slices next to each other as fill a subtree, and adds those up itself;
 * the nodes above are added, for each element, by the rank that has its part. Invariant: which
 * elements are added to which, and in which order, does not depend on the number of ranks. */
#ifndef ITO_NN_REDUCTION_H
#define ITO_NN_REDUCTION_H

#include "nn/communicator.h"
#include "nn/shard.h"

#include <pthread.h>

enum { MOST_LEVELS = 32 };

typedef struct reduction {
    ito_communicator *c; /* NULL: one rank */
    module_flat *flat;
    flat_shard shard;
    int64_t slices; /* of this rank */
    bool bf16;      /* what is added is rounded to bf16 first, and travels as that */
    ito_tensor *level[MOST_LEVELS]; /* [flat->n] references: sums of 1, 2, 4, ... slices */
    void *received;                 /* a part of a bucket from each rank */
    void *sent;                     /* the bucket in bf16, if it is sent so */
    ito_block *blocks;              /* [2 ranks] */
    int64_t *missing;               /* [buckets] parameters whose gradient is not complete */
    /* of the thread, under the lock */
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t next; /* the bucket to be reduced, from the last to the first; -1: none is left */
    bool stop;
    ito_status status;
    char message[ERROR_BYTES];
    int64_t slice; /* of this rank, that comes next */
    double waited; /* seconds: until the thread was done, after the sweep */
    int64_t bytes; /* sent to other ranks so far */
} reduction;

/* Prepare for so many slices a rank; false with an error recorded: reduction_free then. */
bool reduction_open(reduction *r, ito_communicator *c, module_flat *f, int64_t slices,
                    int64_t bucket_bytes, bool bf16);
void reduction_free(reduction *r);

/* Begin slice r->slice: count what is missing. */
void reduction_begin(reduction *r);
/* Parameter i is complete in this rank's last slice. */
void reduction_complete(reduction *r, int64_t i);
/* The gradients of a slice are complete. After the last one of this rank, wait until every part of
 * flat->grad that is this rank's has the sum over all ranks. */
ito_status reduction_end(reduction *r);

/* Give every rank the parts of all others of a block like the flat ones. */
ito_status reduction_spread(reduction *r, ito_tensor *block);

#endif
