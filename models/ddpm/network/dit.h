/* The diffusion transformer (DiT) of Peebles, Xie 2022, arXiv:2212.09748, with the names and shapes
 * of its published weights.
 *
 * An image is cut into patches, each a token. In a block, attention and an MLP are branches between
 * a norm without parameters and a gate; shift, scale and gate of each are a linear function of the
 * embedding of time and class (adaLN-zero: at first all are 0, and a block changes nothing). A last
 * norm of the same kind and a linear layer turn tokens into patches.
 *
 *     ito_dit *dit = ito_dit_create(1, 28, 28, .generator = &g, .hidden_size = 128, .depth = 6,
 *                                   .num_heads = 4, .classes = 10);
 *     ito_tensor *eps = ito_dit_forward(dit, x_t, t);
 *     ito_tensor *x = ito_diffusion_sample(d, &dit->network, ITO_SHAPE(16, 1, 28, 28));
 */
#ifndef ITO_DDPM_DIT_H
#define ITO_DDPM_DIT_H

#include "../../../nn/module.h"
#include "network.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How a token knows its place. */
typedef enum ito_dit_positions {
    ITO_DIT_SINCOS,  /* sines and cosines of column and row, added to the patches: the paper's;
                        "pos_embed", a buffer */
    ITO_DIT_LEARNED, /* a parameter in their place, "pos_embed" [1, tokens, hidden_size] */
    ITO_DIT_ROTARY   /* queries and keys are turned instead, half of the pairs by the column, half
                        by the row, by the angle place 100^(-4 j / width of a head), j = 0, 1, ...
                        (Heo et al. 2024, arXiv:2403.13298, eq. (9), axial) */
} ito_dit_positions;

/** Options of ito_dit_create; defaults are those of the paper's DiT-XL/2. Its others: S has
 * hidden_size 384, depth 12, num_heads 6; B 768, 12, 12; L 1024, 24, 16. */
typedef struct ito_dit_options {
    int reserved_;
    ito_generator *generator; /* draws the weights, as in the paper's code; NULL: zero */
    int64_t out_channels;     /* 0: those of the images; with a learned variance, twice as many */
    int64_t patch_size ITO_DEFAULT(2); /* in pixels; divides height and width */
    int64_t hidden_size ITO_DEFAULT(1152);
    int64_t depth ITO_DEFAULT(28);     /* blocks */
    int64_t num_heads ITO_DEFAULT(16); /* a divisor of hidden_size */
    double mlp_ratio ITO_DEFAULT(4);   /* width of an MLP over hidden_size, rounded down */
    int64_t classes;                   /* number of classes; 0: the network takes no labels */
    ito_dit_positions positions ITO_DEFAULT(ITO_DIT_SINCOS);
    ito_dtype dtype; /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_dit_options;
#define ITO_DEFAULTS_ito_dit_options                                                               \
    .patch_size = 2, .hidden_size = 1152, .depth = 28, .num_heads = 16, .mlp_ratio = 4,            \
    .positions = ITO_DIT_SINCOS

/** A module: its parameters, training mode and so on are those of base. */
typedef struct ito_dit {
    ito_module base;
    /** The transformer as a network, for losses, samplers and guidance. It takes labels if it has
     * classes, and refuses them otherwise, as it does an earlier estimate of the images. */
    ito_network network;
    int64_t channels, height, width; /* of the images */
    ito_dit_options options;         /* out_channels filled in, generator NULL */
    ito_dtype precision;             /* see ito_dit_set_precision */
    struct dit_layers *layers;
} ito_dit;

/**
 * A transformer of images with so many channels and this size, square or not.
 *
 * @return  owned by the caller, freed by ito_module_free(&dit->base). NULL on error: ITO_ERR_RANGE
 *          for a number that is out of range; ITO_ERR_SHAPE for patches that do not divide the
 *          image, for heads that do not divide hidden_size, and unless hidden_size is a multiple of
 *          4 with sines and cosines, and that of a head with rotary positions; ITO_ERR_DTYPE,
 *          ITO_ERR_MEMORY.
 */
ITO_API ito_dit *ito_dit_create_with(int64_t channels, int64_t height, int64_t width,
                                     ito_dit_options options);
#define ito_dit_create(...) ITO_AT(ITO_CALL_3(ito_dit_create_with, ito_dit_options, __VA_ARGS__, ))

/** Set the precision: that of the parameters, the default; or ITO_BF16, with f32 parameters. Then
 * images and the embedding of time and class are rounded to bf16, all that follows is bf16, and the
 * result is cast back. Parameters, their gradients and every sum stay f32. ITO_ERR_DTYPE for
 * another dtype, and for ITO_BF16 with f64 parameters. */
ITO_API ito_status ito_dit_set_precision(ito_dit *dit, ito_dtype precision);

/**
 * @param x  [N, channels, height, width] of the parameters' dtype.
 * @param t  [N] i64, f32 or f64: the time of each image.
 * @return   [N, out_channels, height, width], of the current scope, differentiable in x, in t if
 *           that is a float, and in the parameters. NULL on error: ITO_ERR_SHAPE, ITO_ERR_DTYPE.
 */
ITO_API ito_tensor *ito_dit_forward(ito_dit *dit, ito_tensor *x, ito_tensor *t);

/**
 * The same for images whose classes are known: a row for each class, and one for none, is added to
 * the embedding of the time ("y_embedder.embedding_table.weight", [classes + 1, hidden_size]).
 * Labels are dropped in training by ito_class_condition, not here.
 *
 * @param labels  [N] i64: 0 .. classes - 1, or classes for none. NULL: none for all.
 * @return        NULL also for labels of a network without classes, ITO_ERR_ARGUMENT, and labels
 *                that do not fit, ITO_ERR_SHAPE or ITO_ERR_RANGE.
 */
ITO_API ito_tensor *ito_dit_forward_class(ito_dit *dit, ito_tensor *x, ito_tensor *t,
                                          ito_tensor *labels);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_dit_set_precision(...) ITO_AT(ito_dit_set_precision(__VA_ARGS__))
#define ito_dit_forward(...) ITO_AT(ito_dit_forward(__VA_ARGS__))
#define ito_dit_forward_class(...) ITO_AT(ito_dit_forward_class(__VA_ARGS__))
#endif

#endif
