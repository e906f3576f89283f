/* Layers: modules for the operations that have parameters or a mode.
 *
 * Names of parameters, shapes and initial values are PyTorch's. Parameters are f32, or f64 with
 * .dtype = ITO_F64, and so are inputs and results; f32 parameters take bf16 inputs besides. Each
 * create function gives ITO_ERR_DTYPE for another dtype of parameters.
 *
 * Each create function takes the parent and the name within it, and returns a module that the
 * parent owns. Without a parent (NULL) the module is a root, which the caller frees with
 * ito_module_free. With .generator = &g the weights are drawn from g, which advances; without,
 * weights are zero, to be loaded or initialised by other means (init.h). Besides its own errors,
 * each records those of ito_module_create and returns NULL.
 *
 * Each forward function returns a tensor of the current scope, differentiable in x and in the
 * parameters. It passes NULL on and records the errors of the operations it is made of.
 */
#ifndef ITO_NN_LAYERS_H
#define ITO_NN_LAYERS_H

#include "layers_conv.h"
#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- linear ------------------------------------------------------------------------------------
 */

/** y = x weight^T + bias. */
typedef struct ito_linear_layer {
    ito_module base;
    ito_tensor *weight; /* [out, in] */
    ito_tensor *bias;   /* [out], or NULL */
} ito_linear_layer;

/** Options of ito_linear_create. */
typedef struct ito_linear_options {
    int reserved_;
    ito_generator *generator; /* weight and bias: uniform in +-1 / sqrt(in); NULL: zero */
    bool bias ITO_DEFAULT(true);
    ito_dtype dtype; /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_linear_options;
#define ITO_DEFAULTS_ito_linear_options .bias = true

/** A linear layer from `in` to `out` features:
 * ito_linear_create(&m->base, "proj", 128, 512, .generator = &g). ITO_ERR_ARGUMENT unless both
 * sizes are positive. */
ITO_API ito_linear_layer *ito_linear_create_with(ito_module *parent, const char *name, int64_t in,
                                                 int64_t out, ito_linear_options options);
#define ito_linear_create(...)                                                                     \
    ITO_AT(ITO_CALL_4(ito_linear_create_with, ito_linear_options, __VA_ARGS__, ))
/** x [.., in] to [.., out], as ito_linear. */
ITO_API ito_tensor *ito_linear_forward(ito_linear_layer *layer, ito_tensor *x);

/* ---- group normalisation -----------------------------------------------------------------------
 */

/** Zero mean and unit variance in each group of channels of each example, then a scale and a shift
 * for each channel. */
typedef struct ito_group_norm_layer {
    ito_module base;
    ito_tensor *weight, *bias; /* [channels]: 1 and 0 at first */
    int64_t groups;
    double eps;
} ito_group_norm_layer;

/** Options of ito_group_norm_create. */
typedef struct ito_group_norm_options {
    int reserved_;
    double eps ITO_DEFAULT(1e-5); /* PyTorch's; DDPM has 1e-6 */
    ito_dtype dtype;              /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_group_norm_options;
#define ITO_DEFAULTS_ito_group_norm_options .eps = 1e-5

/** A group norm: ito_group_norm_create(&m->base, "norm1", 128, 32, .eps = 1e-6). ITO_ERR_SHAPE
 * unless groups divides channels, both positive; ITO_ERR_RANGE for an eps that is negative or not
 * finite. eps is added to the variance; with 0, a group of equal numbers gives NaN. */
ITO_API ito_group_norm_layer *ito_group_norm_create_with(ito_module *parent, const char *name,
                                                         int64_t channels, int64_t groups,
                                                         ito_group_norm_options options);
#define ito_group_norm_create(...)                                                                 \
    ITO_AT(ITO_CALL_4(ito_group_norm_create_with, ito_group_norm_options, __VA_ARGS__, ))
/** x [N, channels, ...] to the same shape, as ito_group_norm. */
ITO_API ito_tensor *ito_group_norm_forward(ito_group_norm_layer *layer, ito_tensor *x);
/** ito_silu(ito_group_norm_forward(layer, x)) in one operation, to the bit. */
ITO_API ito_tensor *ito_group_norm_silu_forward(ito_group_norm_layer *layer, ito_tensor *x);

/* ---- layer normalisation -----------------------------------------------------------------------
 */

/** Zero mean and unit variance over the last axes of x together, then a scale and a shift for each
 * of their elements: PyTorch's LayerNorm. */
typedef struct ito_layer_norm_layer {
    ito_module base;
    ito_tensor *weight; /* [normalized_shape]: 1 at first; or NULL */
    ito_tensor *bias;   /* [normalized_shape]: 0 at first; or NULL */
    ito_shape normalized_shape;
    double eps;
} ito_layer_norm_layer;

/** Options of ito_layer_norm_create. */
typedef struct ito_layer_norm_layer_options {
    int reserved_;
    double eps ITO_DEFAULT(1e-5);
    bool elementwise_affine ITO_DEFAULT(true); /* with weight and, if asked for, bias */
    bool bias ITO_DEFAULT(true);
    ito_dtype dtype; /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_layer_norm_layer_options;
#define ITO_DEFAULTS_ito_layer_norm_layer_options                                                  \
    .eps = 1e-5, .elementwise_affine = true, .bias = true

/** A layer norm over axes of these sizes: ito_layer_norm_create(&m->base, "norm", ITO_SHAPE(512)).
 * ITO_ERR_SHAPE unless there are sizes and all are positive; ITO_ERR_RANGE for an eps that is
 * negative or not finite. eps is added to the variance; with 0, equal numbers give NaN. */
ITO_API ito_layer_norm_layer *ito_layer_norm_create_with(ito_module *parent, const char *name,
                                                         ito_shape normalized_shape,
                                                         ito_layer_norm_layer_options options);
#define ito_layer_norm_create(...)                                                                 \
    ITO_AT(ITO_CALL_3(ito_layer_norm_create_with, ito_layer_norm_layer_options, __VA_ARGS__, ))
/** x [.., normalized_shape] to the same shape, as ito_layer_norm. */
ITO_API ito_tensor *ito_layer_norm_forward(ito_layer_norm_layer *layer, ito_tensor *x);

/** x over the root of its mean square over the last axes together, then a scale for each of their
 * elements: PyTorch's RMSNorm. */
typedef struct ito_rms_norm_layer {
    ito_module base;
    ito_tensor *weight; /* [normalized_shape]: 1 at first; or NULL */
    ito_shape normalized_shape;
    double eps; /* NaN: the default of ito_rms_norm */
} ito_rms_norm_layer;

/** Options of ito_rms_norm_create. */
typedef struct ito_rms_norm_layer_options {
    int reserved_;
    double eps ITO_DEFAULT(__builtin_nan("")); /* by default (NaN) 2^-52 for f64, else 2^-23 */
    bool elementwise_affine ITO_DEFAULT(true); /* with weight */
    ito_dtype dtype; /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_rms_norm_layer_options;
#define ITO_DEFAULTS_ito_rms_norm_layer_options .eps = __builtin_nan(""), .elementwise_affine = true

/** An rms norm over axes of these sizes: ito_rms_norm_create(&m->base, "norm", ITO_SHAPE(512)).
 * Errors are those of ito_layer_norm_create; eps is added to the mean square. */
ITO_API ito_rms_norm_layer *ito_rms_norm_create_with(ito_module *parent, const char *name,
                                                     ito_shape normalized_shape,
                                                     ito_rms_norm_layer_options options);
#define ito_rms_norm_create(...)                                                                   \
    ITO_AT(ITO_CALL_3(ito_rms_norm_create_with, ito_rms_norm_layer_options, __VA_ARGS__, ))
/** x [.., normalized_shape] to the same shape, as ito_rms_norm. */
ITO_API ito_tensor *ito_rms_norm_forward(ito_rms_norm_layer *layer, ito_tensor *x);

/* ---- embedding ---------------------------------------------------------------------------------
 */

/** A table with a row for each index: of each class, say. */
typedef struct ito_embedding_layer {
    ito_module base;
    ito_tensor *weight; /* [count, dim] */
} ito_embedding_layer;

/** Options of ito_embedding_create. */
typedef struct ito_embedding_options {
    int reserved_;
    ito_generator *generator; /* weight: standard normal; NULL: zero */
    ito_dtype dtype;          /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_embedding_options;
#define ITO_DEFAULTS_ito_embedding_options .reserved_ = 0

/** An embedding with a row of dim numbers for each index in [0, count):
 * ito_embedding_create(&m->base, "class", 10, 128, .generator = &g). ITO_ERR_ARGUMENT unless both
 * sizes are positive. */
ITO_API ito_embedding_layer *ito_embedding_create_with(ito_module *parent, const char *name,
                                                       int64_t count, int64_t dim,
                                                       ito_embedding_options options);
#define ito_embedding_create(...)                                                                  \
    ITO_AT(ITO_CALL_4(ito_embedding_create_with, ito_embedding_options, __VA_ARGS__, ))
/** index [..] i64 to [.., dim], as ito_embedding. */
ITO_API ito_tensor *ito_embedding_forward(ito_embedding_layer *layer, ito_tensor *index);

/* ---- dropout -----------------------------------------------------------------------------------
 */

/** Dropout with its own random numbers. */
typedef struct ito_dropout_layer {
    ito_module base;
    double p;
    ito_generator generator; /* registered as "generator": part of checkpoints */
} ito_dropout_layer;

/** A layer that, in training mode, sets elements to zero with probability p in [0, 1) and divides
 * the others by 1 - p. generator is copied. Layers with the same generator would drop the same
 * elements: give each its own random stream, or call ito_module_seed on the finished network.
 * ITO_ERR_RANGE for p. */
ITO_API ito_dropout_layer *ito_dropout_create(ito_module *parent, const char *name, double p,
                                              ito_generator generator);
/** x with dropout applied, the same shape; x itself in evaluation mode or if p is 0. */
ITO_API ito_tensor *ito_dropout_forward(ito_dropout_layer *layer, ito_tensor *x);

/** Stochastic depth: the branch of a residual block dropped whole for some of the examples. */
typedef struct ito_drop_path_layer {
    ito_module base;
    double p;
    ito_generator generator; /* registered as "generator": part of checkpoints */
} ito_drop_path_layer;

/** A layer that, in training mode, sets whole examples of [N, ...] to zero with probability p in
 * [0, 1) and divides the others by 1 - p: x + drop_path(branch(x)). generator as for
 * ito_dropout_create. ITO_ERR_RANGE for p.
 * Source: Huang et al. 2016, arXiv:1603.09382; by example as in timm's DropPath. */
ITO_API ito_drop_path_layer *ito_drop_path_create(ito_module *parent, const char *name, double p,
                                                  ito_generator generator);
/** x with whole examples dropped, the same shape; x itself in evaluation mode or if p is 0. */
ITO_API ito_tensor *ito_drop_path_forward(ito_drop_path_layer *layer, ito_tensor *x);

/* ---- Fourier features --------------------------------------------------------------------------
 */

/** cos(2 pi B x) and sin(2 pi B x) of vectors x, with random B. */
typedef struct ito_fourier_features_layer {
    ito_module base;
    ito_tensor *b; /* [features, in], registered as the buffer "B" */
} ito_fourier_features_layer;

/** Options of ito_fourier_features_create. */
typedef struct ito_fourier_features_options {
    int reserved_;
    ito_generator *generator;    /* draws B: normal with deviation scale; NULL: zero */
    double scale ITO_DEFAULT(1); /* the larger, the finer what can be learnt */
    ito_dtype dtype;             /* of B: ITO_F32 (the default) or ITO_F64 */
} ito_fourier_features_options;
#define ITO_DEFAULTS_ito_fourier_features_options .scale = 1

/** Random Fourier features: ito_fourier_features_create(&m->base, "embed", 2, 64, .scale = 10,
 * .generator = &g). ITO_ERR_ARGUMENT unless both sizes are positive, ITO_ERR_RANGE unless scale is
 * finite.
 * Source: Tancik et al. 2020, arXiv:2006.10739, section 6.1. */
ITO_API ito_fourier_features_layer *
ito_fourier_features_create_with(ito_module *parent, const char *name, int64_t in, int64_t features,
                                 ito_fourier_features_options options);
#define ito_fourier_features_create(...)                                                           \
    ITO_AT(                                                                                        \
        ITO_CALL_4(ito_fourier_features_create_with, ito_fourier_features_options, __VA_ARGS__, ))
/** x [.., in] to [.., 2 features]: the cosines, then the sines. */
ITO_API ito_tensor *ito_fourier_features_forward(ito_fourier_features_layer *layer, ito_tensor *x);

/* ---- attention ---------------------------------------------------------------------------------
 */

/** Self-attention over the positions of an image or a sequence, after a group norm and with the
 * input added to the result: diffusers' Attention, as DDPM's U-Net uses it. */
typedef struct ito_attention_layer {
    ito_module base;
    ito_group_norm_layer *group_norm;     /* or NULL */
    ito_linear_layer *to_q, *to_k, *to_v; /* channels to channels */
    ito_linear_layer *to_out;             /* registered as "to_out.0" */
    int64_t channels, heads;
} ito_attention_layer;

/** Options of ito_attention_create. */
typedef struct ito_attention_options {
    int reserved_;
    ito_generator *generator;     /* drawn for to_q, to_k, to_v, to_out in turn, as linear layers */
    double eps ITO_DEFAULT(1e-5); /* of the group norm */
    ito_dtype dtype;              /* of the parameters: ITO_F32 (the default) or ITO_F64 */
    int64_t heads ITO_DEFAULT(1); /* divides channels; each scales its scores by the root of its own
                                   * number of channels */
    bool group_norm ITO_DEFAULT(true); /* without, `groups` is not looked at */
} ito_attention_options;
#define ITO_DEFAULTS_ito_attention_options .eps = 1e-5, .heads = 1, .group_norm = true

/** An attention layer: ito_attention_create(&m->base, "attentions.0", 128, 32, .heads = 16).
 * Errors are those of ito_group_norm_create, and ITO_ERR_SHAPE for heads that do not divide
 * channels. */
ITO_API ito_attention_layer *ito_attention_create_with(ito_module *parent, const char *name,
                                                       int64_t channels, int64_t groups,
                                                       ito_attention_options options);
#define ito_attention_create(...)                                                                  \
    ITO_AT(ITO_CALL_4(ito_attention_create_with, ito_attention_options, __VA_ARGS__, ))
/** x + to_out(attention(group_norm(x))), shaped as x: [N, channels, H, W] or [N, T, channels].
 * ITO_ERR_SHAPE for another x. */
ITO_API ito_tensor *ito_attention_forward(ito_attention_layer *layer, ito_tensor *x);

/* ---- sequential networks -----------------------------------------------------------------------
 */

/** An operation of one input as a module, for sequential networks. */
typedef struct ito_activation_layer {
    ito_module base;
    ito_tensor *(*function)(ito_tensor *x);
} ito_activation_layer;

/** A module that applies function: ito_activation_create(s, "1", ito_silu). ITO_ERR_ARGUMENT
 * without a function. */
ITO_API ito_activation_layer *ito_activation_create(ito_module *parent, const char *name,
                                                    ito_tensor *(*function)(ito_tensor *x));
/** function(x); NULL gives NULL. */
ITO_API ito_tensor *ito_activation_forward(ito_activation_layer *layer, ito_tensor *x);

/** A plain module whose forward applies its children one after the other, in the order they were
 * made with it as parent. Each child needs base.forward, which every layer of this header has. */
ITO_API ito_module *ito_sequential_create(ito_module *parent, const char *name);
/** x through all children in their order; x itself if there are none. ITO_ERR_ARGUMENT for a child
 * without a forward function. */
ITO_API ito_tensor *ito_sequential_forward(ito_module *sequential, ito_tensor *x);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_linear_forward(...) ITO_AT(ito_linear_forward(__VA_ARGS__))
#define ito_group_norm_forward(...) ITO_AT(ito_group_norm_forward(__VA_ARGS__))
#define ito_group_norm_silu_forward(...) ITO_AT(ito_group_norm_silu_forward(__VA_ARGS__))
#define ito_layer_norm_forward(...) ITO_AT(ito_layer_norm_forward(__VA_ARGS__))
#define ito_rms_norm_forward(...) ITO_AT(ito_rms_norm_forward(__VA_ARGS__))
#define ito_embedding_forward(...) ITO_AT(ito_embedding_forward(__VA_ARGS__))
#define ito_dropout_create(...) ITO_AT(ito_dropout_create(__VA_ARGS__))
#define ito_dropout_forward(...) ITO_AT(ito_dropout_forward(__VA_ARGS__))
#define ito_drop_path_create(...) ITO_AT(ito_drop_path_create(__VA_ARGS__))
#define ito_drop_path_forward(...) ITO_AT(ito_drop_path_forward(__VA_ARGS__))
#define ito_fourier_features_forward(...) ITO_AT(ito_fourier_features_forward(__VA_ARGS__))
#define ito_attention_forward(...) ITO_AT(ito_attention_forward(__VA_ARGS__))
#define ito_activation_create(...) ITO_AT(ito_activation_create(__VA_ARGS__))
#define ito_activation_forward(...) ITO_AT(ito_activation_forward(__VA_ARGS__))
#define ito_sequential_create(...) ITO_AT(ito_sequential_create(__VA_ARGS__))
#define ito_sequential_forward(...) ITO_AT(ito_sequential_forward(__VA_ARGS__))
#endif

#endif
