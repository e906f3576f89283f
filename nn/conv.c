/* The convolution layers. The weight of images is channels-last in memory, which the kernels read
 * fastest. */
#include "autograd/ops.h"
#include "nn/conv_layer.h"
#include "nn/init.h"
#include "nn/layer.h"
#include "nn/layers.h"
#include "tensor/internal.h"

#include <math.h>

/* ---- shared with transposed convolution --------------------------------------------------------
 */

static bool number_fits(const char *op, int dims, const conv_number *c)
{
    if (c->list.ndim != 0 && c->list.ndim != dims)
        return error_false(ITO_ERR_ARGUMENT, "%s: %ss %s; there is one for each of the %d axes", op,
                           c->what, shape_str(c->list), dims);
    for (int i = 0; i < c->list.ndim; i++)
        if (c->list.dim[i] < c->least)
            return error_false(ITO_ERR_ARGUMENT, "%s: %ss %s; each is at least %" PRId64, op,
                               c->what, shape_str(c->list), c->least);
    return c->list.ndim != 0 || c->number >= c->least ||
           error_false(ITO_ERR_ARGUMENT, "%s: %s %" PRId64 "; it is at least %" PRId64, op, c->what,
                       c->number, c->least);
}

bool conv_numbers_fit(const char *op, int dims, int64_t in, int64_t out, int64_t groups,
                      const conv_number *numbers, int n)
{
    if (in < 1 || out < 1)
        return error_false(ITO_ERR_ARGUMENT,
                           "%s: %" PRId64 " channels in and %" PRId64 " out; both must be positive",
                           op, in, out);
    for (int i = 0; i < n; i++)
        if (!number_fits(op, dims, &numbers[i]))
            return false;
    return (groups >= 1 && in % groups == 0 && out % groups == 0) ||
           error_false(ITO_ERR_ARGUMENT,
                       "%s: %" PRId64 " channels in and %" PRId64 " out do not form %" PRId64
                       " groups",
                       op, in, out, groups);
}

ito_shape conv_kernel(int dims, int64_t kernel, ito_shape kernels)
{
    if (kernels.ndim > 0)
        return kernels;
    ito_shape k = {.ndim = dims};
    for (int i = 0; i < dims; i++)
        k.dim[i] = kernel;
    return k;
}

bool conv_parameters(ito_module *m, int64_t first, int64_t second, ito_shape kernel, int64_t out,
                     bool biased, ito_dtype dtype, ito_generator *g, ito_tensor **weight,
                     ito_tensor **bias)
{
    ito_shape shape = {.ndim = kernel.ndim + 2, .dim = {first, second}};
    double fan_in = (double)second;
    for (int i = 0; i < kernel.ndim; i++) {
        shape.dim[i + 2] = kernel.dim[i];
        fan_in *= (double)kernel.dim[i];
    }
    ito_tensor *w =
        shape.ndim == 4 ? tensor_empty_channels_last(shape, dtype) : tensor_empty(shape, dtype);
    ito_tensor *b = biased ? ito_zeros(ITO_SHAPE(out), dtype) : NULL;
    double bound = 1 / sqrt(fan_in);
    w = g != NULL ? ito_init_uniform(w, -bound, bound, g) : ito_init_constant(w, 0);
    if (g != NULL)
        b = ito_init_uniform(b, -bound, bound, g);
    *weight = ito_module_parameter(m, "weight", w);
    *bias = ito_module_parameter(m, "bias", b);
    return *weight != NULL && (*bias != NULL || !biased);
}

/* ---- convolution -------------------------------------------------------------------------------
 */

static ito_tensor *convolve(ito_conv_layer *l, ito_tensor *x, ito_tensor *add)
{
    if (l == NULL)
        return NULL;
    static ito_tensor *(*const by_dims[])(ito_tensor *, ito_tensor *, ito_tensor *,
                                          ito_conv_options) = {ito_conv1d_with, ito_conv2d_with,
                                                               ito_conv3d_with};
    ito_conv_options options = l->conv;
    options.add = add;
    return by_dims[l->dims - 1](x, layer_value(&l->base, l->weight), l->bias, options);
}

static ito_tensor *forward(ito_module *self, ito_tensor *x)
{
    return convolve((ito_conv_layer *)self, x, NULL);
}

static ito_conv_layer *create(const char *op, int dims, ito_module *parent, const char *name,
                              int64_t in, int64_t out, int64_t kernel, ito_conv_layer_options o)
{
    int64_t least_padding = o.padding == ITO_PADDING_SAME ? ITO_PADDING_SAME : 0;
    const conv_number numbers[] = {{"kernel", kernel, o.kernels, 1},
                                   {"stride", o.stride, o.strides, 1},
                                   {"dilation", o.dilation, o.dilations, 1},
                                   {"padding", o.padding, o.paddings, least_padding},
                                   {"padding_end", o.padding_end, ITO_SHAPE(), 0}};
    if (!conv_numbers_fit(op, dims, in, out, o.groups, numbers, 5) ||
        !layer_dtype_fits(op, o.dtype))
        return NULL;
    ito_conv_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward;
    l->dims = dims;
    l->conv = (ito_conv_options){.stride = o.stride,
                                 .padding = o.padding,
                                 .padding_end = o.padding_end,
                                 .dilation = o.dilation,
                                 .groups = o.groups,
                                 .strides = o.strides,
                                 .paddings = o.paddings,
                                 .dilations = o.dilations,
                                 .padding_mode = o.padding_mode};
    if (conv_parameters(&l->base, out, in / o.groups, conv_kernel(dims, kernel, o.kernels), out,
                        o.bias, o.dtype, o.generator, &l->weight, &l->bias))
        return l;
    ito_module_free(&l->base);
    return NULL;
}

ito_conv1d_layer *ito_conv1d_create_with(ito_module *parent, const char *name, int64_t in,
                                         int64_t out, int64_t kernel,
                                         ito_conv_layer_options options)
{
    return create("conv1d", 1, parent, name, in, out, kernel, options);
}

ito_conv2d_layer *ito_conv2d_create_with(ito_module *parent, const char *name, int64_t in,
                                         int64_t out, int64_t kernel,
                                         ito_conv_layer_options options)
{
    return create("conv2d", 2, parent, name, in, out, kernel, options);
}

ito_conv3d_layer *ito_conv3d_create_with(ito_module *parent, const char *name, int64_t in,
                                         int64_t out, int64_t kernel,
                                         ito_conv_layer_options options)
{
    return create("conv3d", 3, parent, name, in, out, kernel, options);
}

ito_tensor *ito_conv1d_forward(ito_conv1d_layer *layer, ito_tensor *x)
{
    return convolve(layer, x, NULL);
}

ito_tensor *ito_conv2d_forward(ito_conv2d_layer *layer, ito_tensor *x)
{
    return convolve(layer, x, NULL);
}

ito_tensor *ito_conv3d_forward(ito_conv3d_layer *layer, ito_tensor *x)
{
    return convolve(layer, x, NULL);
}

ito_tensor *ito_conv2d_forward_add(ito_conv2d_layer *layer, ito_tensor *x, ito_tensor *add)
{
    return add == NULL ? NULL : convolve(layer, x, add);
}
