/* The layer norm and the rms norm layer. */
#include "autograd/ops.h"
#include "nn/layer.h"
#include "nn/layers.h"
#include "tensor/internal.h"

#include <math.h>

static bool sizes_fit(const char *name, ito_shape normalized_shape)
{
    bool fit = normalized_shape.ndim > 0;
    for (int i = 0; i < normalized_shape.ndim; i++)
        fit = fit && normalized_shape.dim[i] > 0;
    return fit || error_false(ITO_ERR_SHAPE, "%s: normalized_shape %s; it has sizes, all positive",
                              name, shape_str(normalized_shape));
}

static bool eps_fits(const char *name, double eps)
{
    return (eps >= 0 && eps < HUGE_VAL) ||
           error_false(ITO_ERR_RANGE, "%s: eps %g is negative or not finite", name, eps);
}

/* Makes the parameters that there is a place for; frees the module if one cannot be made. */
static bool has_parameters(ito_module *m, ito_shape shape, ito_dtype dtype, ito_tensor **weight,
                           ito_tensor **bias)
{
    if (weight != NULL)
        *weight = ito_module_parameter(m, "weight", ito_ones(shape, dtype));
    if (bias != NULL)
        *bias = ito_module_parameter(m, "bias", ito_zeros(shape, dtype));
    bool made = (weight == NULL || *weight != NULL) && (bias == NULL || *bias != NULL);
    if (!made)
        ito_module_free(m);
    return made;
}

/* ---- layer norm ---- */

static ito_tensor *layer_norm(ito_module *self, ito_tensor *x)
{
    return ito_layer_norm_forward((ito_layer_norm_layer *)self, x);
}

ito_layer_norm_layer *ito_layer_norm_create_with(ito_module *parent, const char *name,
                                                 ito_shape normalized_shape,
                                                 ito_layer_norm_layer_options options)
{
    if (!sizes_fit("layer_norm", normalized_shape) || !eps_fits("layer_norm", options.eps) ||
        !layer_dtype_fits("layer_norm", options.dtype))
        return NULL;
    ito_layer_norm_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = layer_norm;
    l->normalized_shape = normalized_shape;
    l->eps = options.eps;
    bool biased = options.elementwise_affine && options.bias;
    return has_parameters(&l->base, normalized_shape, options.dtype,
                          options.elementwise_affine ? &l->weight : NULL, biased ? &l->bias : NULL)
               ? l
               : NULL;
}

ito_tensor *ito_layer_norm_forward(ito_layer_norm_layer *layer, ito_tensor *x)
{
    return layer == NULL ? NULL
                         : ito_layer_norm(x, layer->normalized_shape, layer->weight, layer->bias,
                                          .eps = layer->eps);
}

/* ---- rms norm ---- */

static ito_tensor *rms_norm(ito_module *self, ito_tensor *x)
{
    return ito_rms_norm_forward((ito_rms_norm_layer *)self, x);
}

ito_rms_norm_layer *ito_rms_norm_create_with(ito_module *parent, const char *name,
                                             ito_shape normalized_shape,
                                             ito_rms_norm_layer_options options)
{
    if (!sizes_fit("rms_norm", normalized_shape) ||
        (!isnan(options.eps) && !eps_fits("rms_norm", options.eps)) ||
        !layer_dtype_fits("rms_norm", options.dtype))
        return NULL;
    ito_rms_norm_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = rms_norm;
    l->normalized_shape = normalized_shape;
    l->eps = options.eps;
    return has_parameters(&l->base, normalized_shape, options.dtype,
                          options.elementwise_affine ? &l->weight : NULL, NULL)
               ? l
               : NULL;
}

ito_tensor *ito_rms_norm_forward(ito_rms_norm_layer *layer, ito_tensor *x)
{
    return layer == NULL
               ? NULL
               : ito_rms_norm(x, layer->normalized_shape, layer->weight, .eps = layer->eps);
}
