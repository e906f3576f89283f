/* The convolution layer. Its weight is channels-last in memory, which the kernels read fastest. */
#include "autograd/ops.h"
#include "nn/init.h"
#include "nn/layer.h"
#include "nn/layers.h"
#include "tensor/internal.h"

#include <math.h>

static ito_tensor *forward(ito_module *self, ito_tensor *x)
{
    return ito_conv2d_forward((ito_conv2d_layer *)self, x);
}

static bool check(int64_t in, int64_t out, int64_t kernel, const ito_conv2d_layer_options *o)
{
    if (in < 1 || out < 1 || kernel < 1)
        ito_error_set(ITO_ERR_ARGUMENT,
                      "conv2d: %" PRId64 " channels in, %" PRId64 " out and a kernel of %" PRId64
                      "; all must be positive",
                      in, out, kernel);
    else if (o->stride < 1 || o->dilation < 1 || o->padding < 0 || o->padding_end < 0)
        ito_error_set(ITO_ERR_ARGUMENT,
                      "conv2d: stride %" PRId64 ", dilation %" PRId64 ", padding %" PRId64
                      " and %" PRId64 "; stride and dilation must be positive, paddings 0 or more",
                      o->stride, o->dilation, o->padding, o->padding_end);
    else if (o->groups < 1 || in % o->groups != 0 || out % o->groups != 0)
        ito_error_set(ITO_ERR_ARGUMENT,
                      "conv2d: %" PRId64 " channels in and %" PRId64 " out do not form %" PRId64
                      " groups",
                      in, out, o->groups);
    else
        return layer_dtype_fits("conv2d", o->dtype);
    return false;
}

static ito_tensor *zero_weight(int64_t out, int64_t in, int64_t kernel, ito_dtype dtype)
{
    ito_tensor *t = tensor_empty_channels_last(ITO_SHAPE(out, in, kernel, kernel), dtype);
    return ito_init_constant(t, 0);
}

ito_conv2d_layer *ito_conv2d_create_with(ito_module *parent, const char *name, int64_t in,
                                         int64_t out, int64_t kernel,
                                         ito_conv2d_layer_options options)
{
    if (!check(in, out, kernel, &options))
        return NULL;
    ito_conv2d_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward;
    l->stride = options.stride;
    l->padding = options.padding;
    l->padding_end = options.padding_end;
    l->dilation = options.dilation;
    l->groups = options.groups;
    ito_tensor *weight = zero_weight(out, in / l->groups, kernel, options.dtype);
    ito_tensor *bias = options.bias ? ito_zeros(ITO_SHAPE(out), options.dtype) : NULL;
    if (options.generator != NULL) {
        double bound = 1 / sqrt((double)(in / l->groups) * (double)kernel * (double)kernel);
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

static ito_tensor *convolve(ito_conv2d_layer *layer, ito_tensor *x, ito_tensor *add)
{
    if (layer == NULL)
        return NULL;
    return ito_conv2d(x, layer_value(&layer->base, layer->weight), layer->bias,
                      .stride = layer->stride, .padding = layer->padding,
                      .padding_end = layer->padding_end, .dilation = layer->dilation,
                      .groups = layer->groups, .add = add);
}

ito_tensor *ito_conv2d_forward(ito_conv2d_layer *layer, ito_tensor *x)
{
    return convolve(layer, x, NULL);
}

ito_tensor *ito_conv2d_forward_add(ito_conv2d_layer *layer, ito_tensor *x, ito_tensor *add)
{
    return add == NULL ? NULL : convolve(layer, x, add);
}
