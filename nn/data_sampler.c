/* The order of examples: a random permutation for each epoch. */
#include "nn/data.h"
#include "nn/random_streams.h"
#include "tensor/internal.h"

ito_tensor *ito_data_sampler_order(const ito_data_sampler *s, int64_t epoch)
{
    if (s == NULL)
        return NULL;
    if (s->size < 1 || epoch < 0)
        return error_null(ITO_ERR_RANGE, "data_sampler: epoch %" PRId64 " of %" PRId64 " examples",
                          epoch, s->size);
    if (s->sequential)
        return ito_arange(0, (double)s->size, 1, ITO_I64);
    ito_generator g = ito_generator_make(s->seed, data_random_stream(RANDOM_ORDER, epoch));
    return ito_randperm(&g, s->size);
}
