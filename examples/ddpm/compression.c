/* The network that both sides of the coder evaluate.
 * Invariant: an image's output does not depend on the batch it is in. */
#include "examples/ddpm/compression.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>

bool coder_network_open(coder_network *c, inference_options o)
{
    return inference_open(&c->net, o) &&
           ito_module_checksum(&c->net.unet->base, &c->checksum) == ITO_OK;
}

void coder_network_close(coder_network *c)
{
    inference_close(&c->net);
}

/* Images first .. first + n - 1 of x. */
static ito_tensor *evaluate_batch(const coder_network *c, ito_tensor *x, ito_tensor *t,
                                  int64_t first, int64_t n)
{
    ito_ddpm_conditioned network = inference_network(&c->net, first, n);
    network.labels = c->labels != NULL ? ito_narrow(c->labels, 0, first, n) : NULL;
    ito_tensor *y = ito_ddpm_conditioned_network(ito_narrow(x, 0, first, n),
                                                 ito_narrow(t, 0, first, n), &network);
    ito_ddpm_conditioned_end(&network);
    return y;
}

ito_tensor *coder_network_evaluate(ito_tensor *x, ito_tensor *t, void *context)
{
    const coder_network *c = context;
    int64_t N = ito_size(x, 0), pieces = (N + c->batch - 1) / c->batch;
    ito_tensor **made = calloc((size_t)pieces, sizeof *made), *all = NULL;
    bool good = made != NULL;
    if (!good)
        ito_error_set(ITO_ERR_MEMORY, "compress: no memory for %" PRId64 " batches", pieces);
    for (int64_t k = 0; good && k < pieces; k++) {
        int64_t first = k * c->batch, n = N - first < c->batch ? N - first : c->batch;
        made[k] = evaluate_batch(c, x, t, first, n);
        good = made[k] != NULL;
    }
    if (good)
        all = pieces == 1 ? made[0] : ito_cat(made, pieces, 0);
    free(made);
    return all;
}
