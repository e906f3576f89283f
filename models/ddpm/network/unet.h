/* The U-Net of Ho, Jain, Abbeel 2020, with the names and shapes of diffusers' UNet2DModel.
 *
 * Per level: residual blocks, each followed by self-attention where the level has it, then a
 * halving of the image; a middle of block, attention, block; and the up path, which concatenates
 * every result of the down path. The output has the shape of the input.
 *
 *     ito_unet_config config;
 *     ito_unet_preset("cifar10", 3, 32, 32, &config);
 *     ito_unet *unet = ito_unet_create(&config, &generator);
 *     ito_tensor *eps = ito_unet_forward(unet, x_t, t);
 *     ito_tensor *x = ito_diffusion_sample(d, &unet->network, ITO_SHAPE(16, 3, 32, 32));
 */
#ifndef ITO_DDPM_UNET_H
#define ITO_DDPM_UNET_H

#include "../../../nn/module.h"
#include "network.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ITO_UNET_MAX_LEVELS 8

/** Settings of a U-Net. */
typedef struct ito_unet_config {
    int64_t in_channels;   /* of the images */
    int64_t out_channels;  /* 0: as in_channels */
    int64_t height, width; /* of the images; multiples of 2^(levels - 1) */
    int64_t channels;      /* ch: the width of the first level; even, at least 4 */
    int64_t levels;
    int64_t multipliers[ITO_UNET_MAX_LEVELS]; /* of ch, by level */
    bool attention[ITO_UNET_MAX_LEVELS];      /* by level; the middle always has it */
    int64_t blocks;                           /* residual blocks a level of the down path */
    double dropout;                           /* in [0, 1) */
    int64_t groups;      /* of the norms, a divisor of ch; 0: the largest one up to 32 */
    int64_t classes;     /* number of classes; 0: the network takes no labels */
    bool self_condition; /* it also takes an earlier estimate of the clean images, as channels after
                            those of x */
    ito_dtype dtype;     /* of the parameters: ITO_F32 or ITO_F64 */
} ito_unet_config;

/** Tested settings, for images of this size:
 *   small    ch 32, multipliers 1 2 2, attention at the smallest level, no dropout
 *   cifar10  ch 128, multipliers 1 2 2 2, attention at 16 pixels, dropout 0.1: the paper's
 *   lsun256  ch 128, multipliers 1 1 2 2 4 4, attention at 16 pixels, no dropout: the paper's
 * all with 2 blocks a level. Attention at 16 pixels means the level with 9 to 16 on the shorter
 * side; there may be none.
 * @return  ITO_ERR_ARGUMENT for another name; ITO_ERR_SHAPE as ito_unet_create.
 */
ITO_API ito_status ito_unet_preset(const char *name, int64_t image_channels, int64_t height,
                                   int64_t width, ito_unet_config *out);
/** ITO_OK, or what ito_unet_create would refuse. */
ITO_API ito_status ito_unet_check(const ito_unet_config *config);

/** A module: its parameters, training mode and so on are those of base. */
typedef struct ito_unet {
    ito_module base;
    /** The U-Net as a network, for losses, samplers and guidance. It takes labels and an earlier
     * estimate if config has them, and refuses them otherwise. */
    ito_network network;
    /** The same, but each position of the attention in the middle attends to itself alone: a worse
     * network, for perturbed attention guidance by ito_autoguidance_create (Ahn et al. 2024,
     * arXiv:2403.17377, eq. (14)). */
    ito_network perturbed;
    ito_unet_config config; /* out_channels and groups filled in */
    ito_dtype precision;    /* see ito_unet_set_precision */
    bool recompute; /* set by the user: backward computes the inside of each residual block and
                     * attention again, which saves memory and costs about a third of the time */
    struct unet_layers *layers;
} ito_unet;

/**
 * Build the network. Weights are drawn as in the paper's code: Glorot uniform, with scale 1e-10 for
 * the last layer of each branch and of the network, so that it begins near the identity; biases 0.
 *
 * @param init  advances; NULL leaves all weights 0, to be loaded.
 * @return      owned by the caller, freed by ito_module_free(&unet->base). NULL on error:
 *              ITO_ERR_SHAPE, ITO_ERR_RANGE or ITO_ERR_DTYPE with the setting that is wrong,
 *              ITO_ERR_MEMORY.
 */
ITO_API ito_unet *ito_unet_create(const ito_unet_config *config, ito_generator *init);

/** Set the precision: that of the parameters, the default; or ITO_BF16, with f32 parameters. Then
 * images are rounded to bf16 where they enter, all activations and their gradients are bf16, half
 * the memory, and the result is cast back. Parameters, their gradients and every sum stay f32, so
 * weights serve either precision.
 * @return  ITO_ERR_DTYPE for another dtype, and for ITO_BF16 with f64 parameters.
 */
ITO_API ito_status ito_unet_set_precision(ito_unet *unet, ito_dtype precision);

/**
 * @param x  [N, in_channels, H, W] of the parameters' dtype; H and W are multiples of
 *           2^(levels - 1).
 * @param t  [N] i64, f32 or f64: the time of each image.
 * @return   [N, out_channels, H, W], of the current scope. NULL on error: ITO_ERR_SHAPE,
 *           ITO_ERR_DTYPE.
 */
ITO_API ito_tensor *ito_unet_forward(ito_unet *unet, ito_tensor *x, ito_tensor *t);

/**
 * The same for images whose classes are known: a row for each class, and one for none, is added to
 * the embedding of the time ("class_embedding.weight", [classes + 1, 4 ch]).
 *
 * @param labels  [N] i64: 0 .. classes - 1, or classes for none. NULL: none for all, as
 *                ito_unet_forward has it.
 * @return        NULL also for labels of a network without classes, ITO_ERR_ARGUMENT, and labels
 *                that do not fit, ITO_ERR_SHAPE or ITO_ERR_RANGE.
 */
ITO_API ito_tensor *ito_unet_forward_class(ito_unet *unet, ito_tensor *x, ito_tensor *t,
                                           ito_tensor *labels);

/** Options of ito_time_embedding. */
typedef struct ito_time_embedding_options {
    int reserved_;
    ito_dtype dtype; /* of the result: ITO_F32 (the default) or ITO_F64 */
} ito_time_embedding_options;
#define ITO_DEFAULTS_ito_time_embedding_options .reserved_ = 0

/**
 * The sinusoidal embedding of times: sin(t f_i), then cos(t f_i), f_i = 10000^(-i / (half - 1)),
 * half = channels / 2: ito_time_embedding(t, 128), ito_time_embedding(t, 128, .dtype = ITO_F64).
 * @param t  [N] i64, f32 or f64.
 * @return   [N, channels], computed in double and rounded once; channels is even, at least 4. NULL
 *           on error: ITO_ERR_SHAPE, ITO_ERR_DTYPE.
 */
ITO_API ito_tensor *ito_time_embedding_with(ito_tensor *t, int64_t channels,
                                            ito_time_embedding_options options);
#define ito_time_embedding(...)                                                                    \
    ITO_AT(ITO_CALL_2(ito_time_embedding_with, ito_time_embedding_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_unet_preset(...) ITO_AT(ito_unet_preset(__VA_ARGS__))
#define ito_unet_check(...) ITO_AT(ito_unet_check(__VA_ARGS__))
#define ito_unet_create(...) ITO_AT(ito_unet_create(__VA_ARGS__))
#define ito_unet_set_precision(...) ITO_AT(ito_unet_set_precision(__VA_ARGS__))
#define ito_unet_forward(...) ITO_AT(ito_unet_forward(__VA_ARGS__))
#define ito_unet_forward_class(...) ITO_AT(ito_unet_forward_class(__VA_ARGS__))
#endif

#endif
