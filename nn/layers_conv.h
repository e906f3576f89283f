/* Layers of convolutions, in one, two and three dimensions. What layers.h, which includes this,
 * says of all layers holds here.
 */
#ifndef ITO_NN_LAYERS_CONV_H
#define ITO_NN_LAYERS_CONV_H

#include "../autograd/ops_conv.h"
#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- convolution -------------------------------------------------------------------------------
 */

/** A convolution in 1, 2 or 3 dimensions: PyTorch's Conv1d, Conv2d, Conv3d. */
typedef struct ito_conv_layer {
    ito_module base;
    ito_tensor *weight; /* [out, in / groups, kernel ..]; in 2 dimensions channels-last in memory */
    ito_tensor *bias;   /* [out], or NULL */
    int dims;
    ito_conv_options conv; /* of the operation */
} ito_conv_layer;
/** A convolution of [N, C, L]. */
typedef ito_conv_layer ito_conv1d_layer;
/** A convolution of [N, C, H, W]. */
typedef ito_conv_layer ito_conv2d_layer;
/** A convolution of [N, C, D, H, W]. */
typedef ito_conv_layer ito_conv3d_layer;

/** Options of ito_conv1d_create, ito_conv2d_create and ito_conv3d_create. A number holds for each
 * axis; a list with one for each, .strides = ITO_SHAPE(2, 1), takes its place. */
typedef struct ito_conv_layer_options {
    int reserved_;
    ito_generator *generator; /* weight and bias: uniform in +-1 / sqrt(fan in) */
    int64_t stride ITO_DEFAULT(1);
    int64_t padding;     /* on both sides of each axis, or ITO_PADDING_SAME */
    int64_t padding_end; /* further zeros at the end of each axis */
    int64_t dilation ITO_DEFAULT(1);
    int64_t groups ITO_DEFAULT(1); /* divides `in` and `out` */
    bool bias ITO_DEFAULT(true);
    ito_dtype dtype; /* of the parameters: ITO_F32 (the default) or ITO_F64 */
    ito_shape kernels;
    ito_shape strides;
    ito_shape paddings;
    ito_shape dilations;
    ito_padding_mode padding_mode; /* zeros by default */
} ito_conv_layer_options;
#define ITO_DEFAULTS_ito_conv_layer_options .stride = 1, .dilation = 1, .groups = 1, .bias = true

/** A convolution from `in` to `out` channels with a window of kernel x kernel:
 * ito_conv2d_create(&m->base, "conv1", 64, 128, 3, .padding = 1, .generator = &g).
 * ITO_ERR_ARGUMENT unless all sizes are positive (paddings: 0 or more), each list has a number for
 * each axis, and groups divides both numbers of channels. */
ITO_API ito_conv2d_layer *ito_conv2d_create_with(ito_module *parent, const char *name, int64_t in,
                                                 int64_t out, int64_t kernel,
                                                 ito_conv_layer_options options);
/** The same in one dimension. */
ITO_API ito_conv1d_layer *ito_conv1d_create_with(ito_module *parent, const char *name, int64_t in,
                                                 int64_t out, int64_t kernel,
                                                 ito_conv_layer_options options);
/** The same in three dimensions. */
ITO_API ito_conv3d_layer *ito_conv3d_create_with(ito_module *parent, const char *name, int64_t in,
                                                 int64_t out, int64_t kernel,
                                                 ito_conv_layer_options options);
#define ito_conv1d_create(...)                                                                     \
    ITO_AT(ITO_CALL_5(ito_conv1d_create_with, ito_conv_layer_options, __VA_ARGS__, ))
#define ito_conv2d_create(...)                                                                     \
    ITO_AT(ITO_CALL_5(ito_conv2d_create_with, ito_conv_layer_options, __VA_ARGS__, ))
#define ito_conv3d_create(...)                                                                     \
    ITO_AT(ITO_CALL_5(ito_conv3d_create_with, ito_conv_layer_options, __VA_ARGS__, ))
/** x [N, in, L] to [N, out, OL], as ito_conv1d. */
ITO_API ito_tensor *ito_conv1d_forward(ito_conv1d_layer *layer, ito_tensor *x);
/** x [N, in, H, W] to [N, out, OH, OW], as ito_conv2d. */
ITO_API ito_tensor *ito_conv2d_forward(ito_conv2d_layer *layer, ito_tensor *x);
/** x [N, in, D, H, W] to [N, out, OD, OH, OW], as ito_conv3d. */
ITO_API ito_tensor *ito_conv3d_forward(ito_conv3d_layer *layer, ito_tensor *x);
/** ito_conv2d_forward(layer, x) + add in one pass over memory; add is [N, out, OH, OW] or
 * [N, out, 1, 1]. NULL gives NULL. */
ITO_API ito_tensor *ito_conv2d_forward_add(ito_conv2d_layer *layer, ito_tensor *x, ito_tensor *add);

/* ---- transposed convolution --------------------------------------------------------------------
 */

/** A transposed convolution in 1, 2 or 3 dimensions: PyTorch's ConvTranspose1d, ... */
typedef struct ito_conv_transpose_layer {
    ito_module base;
    ito_tensor *weight; /* [in, out / groups, kernel ..]; in 2 dimensions channels-last in memory */
    ito_tensor *bias;   /* [out], or NULL */
    int dims;
    ito_conv_transpose_options conv; /* of the operation */
} ito_conv_transpose_layer;
/** A transposed convolution of [N, C, L]. */
typedef ito_conv_transpose_layer ito_conv_transpose1d_layer;
/** A transposed convolution of [N, C, H, W]. */
typedef ito_conv_transpose_layer ito_conv_transpose2d_layer;
/** A transposed convolution of [N, C, D, H, W]. */
typedef ito_conv_transpose_layer ito_conv_transpose3d_layer;

/** Options of ito_conv_transpose1d_create, ...; lists as in ito_conv_layer_options. */
typedef struct ito_conv_transpose_layer_options {
    int reserved_;
    ito_generator *generator; /* weight and bias: uniform in +-1 / sqrt(out / groups kernel ..) */
    int64_t stride ITO_DEFAULT(1);
    int64_t padding;        /* so much is cut off on both sides */
    int64_t output_padding; /* so much is added at the end; less than the stride or the dilation */
    int64_t groups ITO_DEFAULT(1); /* divides `in` and `out` */
    bool bias ITO_DEFAULT(true);
    int64_t dilation ITO_DEFAULT(1);
    ito_dtype dtype; /* of the parameters: ITO_F32 (the default) or ITO_F64 */
    ito_shape kernels;
    ito_shape strides;
    ito_shape paddings;
    ito_shape output_paddings;
    ito_shape dilations;
} ito_conv_transpose_layer_options;
#define ITO_DEFAULTS_ito_conv_transpose_layer_options                                              \
    .stride = 1, .groups = 1, .bias = true, .dilation = 1

/** A transposed convolution from `in` to `out` channels: ito_conv_transpose2d_create(&m->base,
 * "up", 128, 64, 4, .stride = 2, .padding = 1, .generator = &g). Errors as for ito_conv2d_create.
 */
ITO_API ito_conv_transpose2d_layer *
ito_conv_transpose2d_create_with(ito_module *parent, const char *name, int64_t in, int64_t out,
                                 int64_t kernel, ito_conv_transpose_layer_options options);
/** The same in one dimension. */
ITO_API ito_conv_transpose1d_layer *
ito_conv_transpose1d_create_with(ito_module *parent, const char *name, int64_t in, int64_t out,
                                 int64_t kernel, ito_conv_transpose_layer_options options);
/** The same in three dimensions. */
ITO_API ito_conv_transpose3d_layer *
ito_conv_transpose3d_create_with(ito_module *parent, const char *name, int64_t in, int64_t out,
                                 int64_t kernel, ito_conv_transpose_layer_options options);
#define ito_conv_transpose1d_create(...)                                                           \
    ITO_AT(ITO_CALL_5(ito_conv_transpose1d_create_with, ito_conv_transpose_layer_options,          \
                      __VA_ARGS__, ))
#define ito_conv_transpose2d_create(...)                                                           \
    ITO_AT(ITO_CALL_5(ito_conv_transpose2d_create_with, ito_conv_transpose_layer_options,          \
                      __VA_ARGS__, ))
#define ito_conv_transpose3d_create(...)                                                           \
    ITO_AT(ITO_CALL_5(ito_conv_transpose3d_create_with, ito_conv_transpose_layer_options,          \
                      __VA_ARGS__, ))
/** x [N, in, L] to [N, out, OL], as ito_conv_transpose1d. */
ITO_API ito_tensor *ito_conv_transpose1d_forward(ito_conv_transpose1d_layer *layer, ito_tensor *x);
/** x [N, in, H, W] to [N, out, OH, OW], as ito_conv_transpose2d. */
ITO_API ito_tensor *ito_conv_transpose2d_forward(ito_conv_transpose2d_layer *layer, ito_tensor *x);
/** x [N, in, D, H, W] to [N, out, OD, OH, OW], as ito_conv_transpose3d. */
ITO_API ito_tensor *ito_conv_transpose3d_forward(ito_conv_transpose3d_layer *layer, ito_tensor *x);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_conv1d_forward(...) ITO_AT(ito_conv1d_forward(__VA_ARGS__))
#define ito_conv2d_forward(...) ITO_AT(ito_conv2d_forward(__VA_ARGS__))
#define ito_conv3d_forward(...) ITO_AT(ito_conv3d_forward(__VA_ARGS__))
#define ito_conv2d_forward_add(...) ITO_AT(ito_conv2d_forward_add(__VA_ARGS__))
#define ito_conv_transpose1d_forward(...) ITO_AT(ito_conv_transpose1d_forward(__VA_ARGS__))
#define ito_conv_transpose2d_forward(...) ITO_AT(ito_conv_transpose2d_forward(__VA_ARGS__))
#define ito_conv_transpose3d_forward(...) ITO_AT(ito_conv_transpose3d_forward(__VA_ARGS__))
#endif

#endif
