/* The linear layer. */
#include "autograd/ops.h"
#include "nn/init.h"
#include "nn/layer.h"
#include "nn/layers.h"
#include "tensor/internal.h"

#include <math.h>

static ito_tensor *forward(ito_module *self, ito_tensor *x)
{
    return ito_linear_forward((ito_linear_layer *)self, x);
}

ito_linear_layer *ito_linear_create_with(ito_module *parent, const char *name, int64_t in,
                                         int64_t out, ito_linear_options options)
{
    if (in < 1 || out < 1)
        return error_null(
            ITO_ERR_ARGUMENT,
            "linear: %" PRId64 " inputs and %" PRId64 " outputs; both must be positive", in, out);
    if (!layer_dtype_fits("linear", options.dtype))
        return NULL;
    ito_linear_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward;
    ito_tensor *weight = ito_zeros(ITO_SHAPE(out, in), options.dtype);
    ito_tensor *bias = options.bias ? ito_zeros(ITO_SHAPE(out), options.dtype) : NULL;
    if (options.generator != NULL) {
        double bound = 1 / sqrt((double)in);
        weight = ito_init_uniform(weight, -bound, bound, options.generator);
        bias = ito_init_uniform(bias, -bound, bound, options.generator);
    }
    l->weight = ito_module_parameter(&l->base, "weight", weight);
    l->bias = ito_module_parameter(&l->base, "bias", bias);
    if (l->weight == NULL || (l->bias == NULL && options.bias))
        goto fail;
    return l;
fail:
    ito_module_free(&l->base);
    return NULL;
}

ito_tensor *ito_linear_forward(ito_linear_layer *layer, ito_tensor *x)
{
    return layer == NULL ? NULL
                         : ito_linear(x, layer_value(&layer->base, layer->weight), layer->bias);
}
