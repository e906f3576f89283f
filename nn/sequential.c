/* Sequential networks: modules applied one after the other, and operations as modules. */
#include "nn/layers.h"
#include "tensor/internal.h"

static ito_tensor *forward_activation(ito_module *self, ito_tensor *x)
{
    return ito_activation_forward((ito_activation_layer *)self, x);
}

ito_activation_layer *ito_activation_create(ito_module *parent, const char *name,
                                            ito_tensor *(*function)(ito_tensor *x))
{
    if (function == NULL)
        return error_null(ITO_ERR_ARGUMENT, "activation: no function");
    ito_activation_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward_activation;
    l->function = function;
    return l;
}

ito_tensor *ito_activation_forward(ito_activation_layer *layer, ito_tensor *x)
{
    return layer == NULL || x == NULL ? NULL : layer->function(x);
}

ito_module *ito_sequential_create(ito_module *parent, const char *name)
{
    ito_module *m = ito_module_create(parent, name, sizeof *m);
    if (m != NULL)
        m->forward = ito_sequential_forward;
    return m;
}

ito_tensor *ito_sequential_forward(ito_module *sequential, ito_tensor *x)
{
    if (sequential == NULL)
        return NULL;
    for (ito_module *m = sequential->first_child; m != NULL; m = m->next)
        x = ito_module_forward(m, x);
    return x;
}
