/* A long job on images, in batches. */
#include "examples/common/batches.h"

#include <ito/tensor/scope.h>
#include <math.h>

bool batches_run(batches *b)
{
    bool good = true;
    progress_begin(&b->progress, b->what, "image steps", 0, 0);
    for (int64_t first = 0; good && first < b->n; first += b->size) {
        b->batch = b->n - first < b->size ? b->n - first : b->size;
        ito_scope_begin();
        good = b->run(first, b->batch, b->context);
        ito_scope_end();
    }
    progress_end(&b->progress);
    return good;
}

void batches_step(batches *b, int64_t steps)
{
    int64_t count = (b->n + b->size - 1) / b->size;
    b->progress.total = count * (b->trajectories != 0 ? b->trajectories : 1) * steps;
    progress_step(&b->progress, ++b->done, b->batch, (double)NAN);
}

bool batches_progress(int64_t done, int64_t steps, ito_tensor *x, void *context)
{
    (void)done;
    (void)x;
    batches_step(context, steps);
    return true;
}
