/* The dropout layer, whose generator is part of the model's saved state. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "tensor/internal.h"

static ito_tensor *forward(ito_module *self, ito_tensor *x)
{
    return ito_dropout_forward((ito_dropout_layer *)self, x);
}

ito_dropout_layer *ito_dropout_create(ito_module *parent, const char *name, double p,
                                      ito_generator generator)
{
    if (!(p >= 0 && p < 1))
        return error_null(ITO_ERR_RANGE, "dropout: probability %g is not in [0, 1)", p);
    ito_dropout_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward;
    l->p = p;
    l->generator = generator;
    if (ito_module_generator(&l->base, "generator", &l->generator) != ITO_OK)
        goto fail;
    return l;
fail:
    ito_module_free(&l->base);
    return NULL;
}

ito_tensor *ito_dropout_forward(ito_dropout_layer *layer, ito_tensor *x)
{
    if (layer == NULL)
        return NULL;
    if (!layer->base.training || layer->p <= 0)
        return x;
    return ito_dropout(x, layer->p, &layer->generator);
}
