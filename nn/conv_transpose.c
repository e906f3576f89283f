/* The layers of transposed convolution. */
#include "autograd/ops.h"
#include "nn/conv_layer.h"
#include "nn/layer.h"
#include "nn/layers.h"
#include "tensor/internal.h"

static ito_tensor *convolve(ito_conv_transpose_layer *l, ito_tensor *x)
{
    if (l == NULL)
        return NULL;
    static ito_tensor *(*const by_dims[])(ito_tensor *, ito_tensor *, ito_tensor *,
                                          ito_conv_transpose_options) = {
        ito_conv_transpose1d_with, ito_conv_transpose2d_with, ito_conv_transpose3d_with};
    return by_dims[l->dims - 1](x, layer_value(&l->base, l->weight), l->bias, l->conv);
}

static ito_tensor *forward(ito_module *self, ito_tensor *x)
{
    return convolve((ito_conv_transpose_layer *)self, x);
}

static ito_conv_transpose_layer *create(const char *op, int dims, ito_module *parent,
                                        const char *name, int64_t in, int64_t out, int64_t kernel,
                                        ito_conv_transpose_layer_options o)
{
    const conv_number numbers[] = {{"kernel", kernel, o.kernels, 1},
                                   {"stride", o.stride, o.strides, 1},
                                   {"dilation", o.dilation, o.dilations, 1},
                                   {"padding", o.padding, o.paddings, 0},
                                   {"output_padding", o.output_padding, o.output_paddings, 0}};
    if (!conv_numbers_fit(op, dims, in, out, o.groups, numbers, 5) ||
        !layer_dtype_fits(op, o.dtype))
        return NULL;
    ito_conv_transpose_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward;
    l->dims = dims;
    l->conv = (ito_conv_transpose_options){.stride = o.stride,
                                           .padding = o.padding,
                                           .output_padding = o.output_padding,
                                           .groups = o.groups,
                                           .dilation = o.dilation,
                                           .strides = o.strides,
                                           .paddings = o.paddings,
                                           .output_paddings = o.output_paddings,
                                           .dilations = o.dilations};
    if (conv_parameters(&l->base, in, out / o.groups, conv_kernel(dims, kernel, o.kernels), out,
                        o.bias, o.dtype, o.generator, &l->weight, &l->bias))
        return l;
    ito_module_free(&l->base);
    return NULL;
}

ito_conv_transpose1d_layer *ito_conv_transpose1d_create_with(ito_module *parent, const char *name,
                                                             int64_t in, int64_t out,
                                                             int64_t kernel,
                                                             ito_conv_transpose_layer_options o)
{
    return create("conv_transpose1d", 1, parent, name, in, out, kernel, o);
}

ito_conv_transpose2d_layer *ito_conv_transpose2d_create_with(ito_module *parent, const char *name,
                                                             int64_t in, int64_t out,
                                                             int64_t kernel,
                                                             ito_conv_transpose_layer_options o)
{
    return create("conv_transpose2d", 2, parent, name, in, out, kernel, o);
}

ito_conv_transpose3d_layer *ito_conv_transpose3d_create_with(ito_module *parent, const char *name,
                                                             int64_t in, int64_t out,
                                                             int64_t kernel,
                                                             ito_conv_transpose_layer_options o)
{
    return create("conv_transpose3d", 3, parent, name, in, out, kernel, o);
}

ito_tensor *ito_conv_transpose1d_forward(ito_conv_transpose1d_layer *layer, ito_tensor *x)
{
    return convolve(layer, x);
}

ito_tensor *ito_conv_transpose2d_forward(ito_conv_transpose2d_layer *layer, ito_tensor *x)
{
    return convolve(layer, x);
}

ito_tensor *ito_conv_transpose3d_forward(ito_conv_transpose3d_layer *layer, ito_tensor *x)
{
    return convolve(layer, x);
}
