/* The network that both sides of the coder evaluate.
 * Invariant: an image's output does not depend on the batch it is in. */
#include "examples/ddpm/compression.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>

void coder_network_close(coder_network *c)
{
    inference_close(&c->net);
}

/* Images first .. first + n - 1 of x. */
static ito_tensor *evaluate_batch(coder_network *c, const ito_network_input *in, int64_t first,
                                  int64_t n)
{
    ito_network *network = inference_network_labelled(
        &c->net, c->labels != NULL ? ito_narrow(c->labels, 0, first, n) : NULL);
    ito_network_input part = {.x = ito_narrow(in->x, 0, first, n),
                              .t = ito_narrow(in->t, 0, first, n),
                              .x_t = ito_narrow(in->x_t, 0, first, n),
                              .time = ito_narrow(in->time, 0, first, n)};
    if (part.x == NULL || part.t == NULL || part.x_t == NULL || part.time == NULL)
        return NULL;
    ito_network_begin(network);
    return ito_network_evaluate(network, &part);
}

static ito_tensor *evaluate(ito_network *self, const ito_network_input *in)
{
    coder_network *c = self->context;
    int64_t N = ito_size(in->x, 0), pieces = (N + c->batch - 1) / c->batch;
    ito_tensor **made = calloc((size_t)pieces, sizeof *made), *all = NULL;
    bool good = made != NULL;
    if (!good)
        ito_error_set(ITO_ERR_MEMORY, "compress: no memory for %" PRId64 " batches", pieces);
    for (int64_t k = 0; good && k < pieces; k++) {
        int64_t first = k * c->batch, n = N - first < c->batch ? N - first : c->batch;
        made[k] = evaluate_batch(c, in, first, n);
        good = made[k] != NULL;
    }
    if (good)
        all = pieces == 1 ? made[0] : ito_cat(made, pieces, 0);
    free(made);
    return all;
}

bool coder_network_open(coder_network *c, inference_options o)
{
    c->network = (ito_network){.evaluate = evaluate, .context = c};
    return inference_open(&c->net, o) &&
           ito_module_checksum(&c->net.model->unet->base, &c->checksum) == ITO_OK;
}
