/* A long job on images, in batches. Each batch has a scope of its own, so memory does not grow with
 * the number of images. All share one line of progress. */
#ifndef ITO_EXAMPLES_BATCHES_H
#define ITO_EXAMPLES_BATCHES_H

#include "examples/common/progress.h"

#include <ito/tensor/tensor.h>

typedef struct batches {
    const char *what;     /* the name of a step on that line: "sampling step" */
    int64_t n, size;      /* the number of images, and the most in a batch */
    int64_t trajectories; /* passes through all steps in a batch; 0: one */
    bool (*run)(int64_t first, int64_t n, void *context);
    void *context;
    progress progress;
    int64_t batch, done; /* images of the current batch; steps taken so far */
} batches;

/* False with an error recorded. */
bool batches_run(batches *b);
/* To be called after every step of a trajectory of `steps`. */
void batches_step(batches *b, int64_t steps);
/* The same as a sampler's progress function; the context is the batches. */
bool batches_progress(int64_t done, int64_t steps, ito_tensor *x, void *context);

#endif
