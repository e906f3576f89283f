/* A perceptron as a network of a diffusion. */
#include "examples/toy/mlp.h"

enum { POINT = 2, EMBEDDING = 32 };

static ito_tensor *evaluate(ito_network *self, const ito_network_input *in)
{
    mlp *m = self->context;
    ito_tensor *h = ito_cat(ITO_TENSORS(in->x, ito_time_embedding(in->t, EMBEDDING)), 1);
    for (int i = 0; i < 3; i++)
        h = ito_silu(ito_linear_forward(m->layer[i], h));
    return ito_linear_forward(m->layer[3], h);
}

mlp *mlp_create(int64_t width, ito_generator *g)
{
    static const char *const names[] = {"0", "1", "2", "3"};
    mlp *m = ito_module_create(NULL, "", sizeof *m);
    for (int i = 0; m != NULL && i < 4; i++) {
        int64_t in = i == 0 ? POINT + EMBEDDING : width, out = i == 3 ? POINT : width;
        m->layer[i] = ito_linear_create(&m->base, names[i], in, out, .generator = g);
        if (m->layer[i] == NULL) {
            ito_module_free(&m->base);
            return NULL;
        }
    }
    if (m != NULL)
        m->network = (ito_network){.evaluate = evaluate, .context = m};
    return m;
}
