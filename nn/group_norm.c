/* The group normalisation layer. */
#include "autograd/ops.h"
#include "nn/layer.h"
#include "nn/layers.h"
#include "tensor/internal.h"

#include <math.h>

static ito_tensor *forward(ito_module *self, ito_tensor *x)
{
    return ito_group_norm_forward((ito_group_norm_layer *)self, x);
}

ito_group_norm_layer *ito_group_norm_create_with(ito_module *parent, const char *name,
                                                 int64_t channels, int64_t groups,
                                                 ito_group_norm_options options)
{
    if (groups < 1 || channels < 1 || channels % groups != 0)
        return error_null(ITO_ERR_SHAPE,
                          "group_norm: %" PRId64 " channels do not form %" PRId64 " groups",
                          channels, groups);
    if (!(options.eps >= 0 && options.eps < HUGE_VAL))
        return error_null(ITO_ERR_RANGE, "group_norm: eps %g is negative or not finite",
                          options.eps);
    if (!layer_dtype_fits("group_norm", options.dtype))
        return NULL;
    ito_group_norm_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward;
    l->groups = groups;
    l->eps = options.eps;
    l->weight =
        ito_module_parameter(&l->base, "weight", ito_ones(ITO_SHAPE(channels), options.dtype));
    l->bias = ito_module_parameter(&l->base, "bias", ito_zeros(ITO_SHAPE(channels), options.dtype));
    if (l->weight == NULL || l->bias == NULL)
        goto fail;
    return l;
fail:
    ito_module_free(&l->base);
    return NULL;
}

ito_tensor *ito_group_norm_forward(ito_group_norm_layer *layer, ito_tensor *x)
{
    return layer == NULL ? NULL
                         : ito_group_norm(x, layer->groups, layer->weight, layer->bias, layer->eps);
}

ito_tensor *ito_group_norm_silu_forward(ito_group_norm_layer *layer, ito_tensor *x)
{
    return layer == NULL
               ? NULL
               : ito_group_norm_silu(x, layer->groups, layer->weight, layer->bias, layer->eps);
}
