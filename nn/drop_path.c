/* The drop-path layer: a residual branch dropped whole for some of the examples. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "tensor/internal.h"

static ito_tensor *forward(ito_module *self, ito_tensor *x)
{
    return ito_drop_path_forward((ito_drop_path_layer *)self, x);
}

ito_drop_path_layer *ito_drop_path_create(ito_module *parent, const char *name, double p,
                                          ito_generator generator)
{
    if (!(p >= 0 && p < 1))
        return error_null(ITO_ERR_RANGE, "drop_path: probability %g is not in [0, 1)", p);
    ito_drop_path_layer *l = ito_module_create(parent, name, sizeof *l);
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

ito_tensor *ito_drop_path_forward(ito_drop_path_layer *layer, ito_tensor *x)
{
    if (layer == NULL || x == NULL)
        return NULL;
    if (!layer->base.training || layer->p <= 0)
        return x;
    if (x->ndim < 1)
        return error_null(ITO_ERR_SHAPE, "drop_path: [] has no examples; it takes [N, ...]");
    ito_shape each = {.ndim = x->ndim, .dim = {x->shape[0], 1, 1, 1, 1, 1, 1, 1}};
    ito_scope_begin();
    ito_tensor *kept = ito_dropout(ito_ones(each, x->dtype), layer->p, &layer->generator);
    ito_tensor *y = ito_keep(ito_mul(x, kept));
    ito_scope_end();
    return y;
}
