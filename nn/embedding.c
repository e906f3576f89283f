/* The embedding layer: a table of rows. */
#include "autograd/ops.h"
#include "nn/init.h"
#include "nn/layer.h"
#include "nn/layers.h"
#include "tensor/internal.h"

static ito_tensor *forward(ito_module *self, ito_tensor *index)
{
    return ito_embedding_forward((ito_embedding_layer *)self, index);
}

ito_embedding_layer *ito_embedding_create_with(ito_module *parent, const char *name, int64_t count,
                                               int64_t dim, ito_embedding_options options)
{
    if (count < 1 || dim < 1)
        return error_null(ITO_ERR_ARGUMENT,
                          "embedding: %" PRId64 " rows of %" PRId64 "; both must be positive",
                          count, dim);
    if (!layer_dtype_fits("embedding", options.dtype))
        return NULL;
    ito_embedding_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward;
    ito_tensor *weight = ito_zeros(ITO_SHAPE(count, dim), options.dtype);
    if (options.generator != NULL)
        weight = ito_init_normal(weight, 0, 1, options.generator);
    l->weight = ito_module_parameter(&l->base, "weight", weight);
    if (l->weight == NULL)
        goto fail;
    return l;
fail:
    ito_module_free(&l->base);
    return NULL;
}

ito_tensor *ito_embedding_forward(ito_embedding_layer *layer, ito_tensor *index)
{
    return layer == NULL ? NULL : ito_embedding(layer_value(&layer->base, layer->weight), index);
}
