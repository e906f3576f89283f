/* A long job on images, in batches, each in a scope of its own, so that memory does not grow with
 * the images; with one line of progress for all of it. */
#ifndef ITO_EXAMPLES_BATCHES_H
#define ITO_EXAMPLES_BATCHES_H

#include "examples/common/progress.h"

#include <ito/tensor/tensor.h>

typedef struct batches {
    const char *what;     /* a step is, on that line: "sampling step" */
    int64_t n, size;      /* images, and at most so many in a batch */
    int64_t trajectories; /* through all steps that a batch takes; 0: one */
    bool (*run)(int64_t first, int64_t n, void *context);
    void *context;
    progress progress;
    int64_t batch, done; /* images of the batch under way; steps taken by all */
} batches;

/* False with an error recorded, by what failed. */
bool batches_run(batches *b);
/* To be called behind every step of a trajectory of `steps` of them. */
void batches_step(batches *b, int64_t steps);
/* The same as a sampler's progress function; the context is the batches. */
bool batches_progress(int64_t done, int64_t steps, ito_tensor *x, void *context);

#endif
