/* The U-Net of Ho, Jain, Abbeel 2020, with the names and shapes of diffusers' UNet2DModel, and the
 * other networks that one can be.
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

/** The activation of the residual blocks, for the time's embedding too: diffusers' act_fn. */
typedef enum ito_unet_activation {
    ITO_UNET_SILU, /* "silu" and "swish" */
    ITO_UNET_GELU, /* "gelu": the exact one */
    ITO_UNET_MISH, /* "mish" */
    ITO_UNET_RELU  /* "relu" */
} ito_unet_activation;

/** Attention on a level of the up path. */
typedef enum ito_unet_up_attention {
    ITO_UNET_UP_AS_DOWN, /* where the down path has it */
    ITO_UNET_UP_ATTENTION,
    ITO_UNET_UP_NO_ATTENTION
} ito_unet_up_attention;

/** What stands between the down and the up path. */
typedef enum ito_unet_middle {
    ITO_UNET_MIDDLE_ATTENTION,    /* block, attention, block */
    ITO_UNET_MIDDLE_NO_ATTENTION, /* two blocks: diffusers' add_attention false */
    ITO_UNET_MIDDLE_NONE          /* nothing: its mid_block_type null */
} ito_unet_middle;

/** Features of a time: diffusers' time_embedding_type. */
typedef enum ito_unet_time {
    ITO_UNET_TIME_SINES,   /* "positional": sines and cosines of t, ch in all */
    ITO_UNET_TIME_FOURIER, /* "fourier": sines and cosines of 2 pi w log t, 2 ch in all, with random
                            * w, the buffer "time_proj.weight" [ch]. The result is divided by t, so
                            * t is positive: Song et al. 2021, arXiv:2011.13456, on sigma. */
    ITO_UNET_TIME_LEARNED  /* "learned": a row of "time_proj.weight" [times, ch] for each t */
} ito_unet_time;

/** What labels are: diffusers' class_embed_type. Each kind adds to the embedding of the time. All
 * but the first need a label for each image, and classes is 0 with the last two. */
typedef enum ito_unet_class {
    ITO_UNET_CLASS_OR_NONE,  /* a class's row of "class_embedding.weight", or the last one: none */
    ITO_UNET_CLASS_ALWAYS,   /* the same without that row: diffusers' null with num_class_embeds */
    ITO_UNET_CLASS_TIMESTEP, /* "timestep": labels are numbers, embedded as times are by
                              * "class_embedding.linear_1" and "linear_2" of their own */
    ITO_UNET_CLASS_EMBEDDED  /* "identity": labels are the rows to be added, [N, time_channels] */
} ito_unet_class;

/** Settings of a U-Net. Those after dtype are for the other networks that diffusers' UNet2DModel
 * can be; 0 for each is DDPM's. */
typedef struct ito_unet_config {
    int64_t in_channels;   /* of the images */
    int64_t out_channels;  /* 0: as in_channels */
    int64_t height, width; /* of the images; multiples of 2^(levels - 1) */
    int64_t channels;      /* ch: the width of the first convolution; even, at least 4 */
    int64_t levels;
    int64_t multipliers[ITO_UNET_MAX_LEVELS]; /* of ch, by level */
    bool attention[ITO_UNET_MAX_LEVELS];      /* by level; see up_attention and middle */
    int64_t blocks;                           /* residual blocks a level of the down path */
    double dropout;                           /* in [0, 1) */
    int64_t groups;      /* of the norms, a divisor of ch; 0: the largest one up to 32 */
    int64_t classes;     /* number of classes; 0: the network takes no labels */
    bool self_condition; /* it also takes an earlier estimate of the clean images, as channels after
                            those of x */
    ito_dtype dtype;     /* of the parameters: ITO_F32 or ITO_F64 */
    int64_t widths[ITO_UNET_MAX_LEVELS]; /* by level; 0: ch times the multiplier, which is 0 where a
                                          * width is not */
    ito_unet_up_attention up_attention[ITO_UNET_MAX_LEVELS]; /* by level, as attention */
    int64_t head_channels; /* of an attention head; 0: one head. diffusers' attention_head_dim */
    int64_t middle_attention_groups; /* of the norm in the middle's attention; 0: as groups, and no
                                      * norm with scale_shift. Its attn_norm_num_groups */
    ito_unet_middle middle;
    double middle_scale; /* blocks and attention of the middle are divided by it; 0: 1.
                          * Its mid_block_scale_factor */
    bool down_resnet[ITO_UNET_MAX_LEVELS]; /* by level: it is halved by a residual block with a mean
                                            * of 2 x 2 pixels, not by a convolution. The last level
                                            * is not halved */
    bool up_resnet[ITO_UNET_MAX_LEVELS];   /* by level: it is doubled by a residual block; the first
                                            * level is not */
    int64_t downsample_padding; /* of the halving convolution: 0: a row and a column at the end; 1:
                                 * one at each side */
    ito_unet_activation activation;
    double norm_eps;  /* of all norms; 0: 1e-6 */
    bool scale_shift; /* the time scales and shifts the second norm of a block, and is not added
                       * before it: its resnet_time_scale_shift "scale_shift" */
    ito_unet_time time;
    int64_t times;         /* rows of ITO_UNET_TIME_LEARNED; else 0 */
    int64_t freq_divisor;  /* d of the frequencies 10000^(-i / d), i from 0 on; 0: ch / 2 - 1, its
                            * freq_shift 1, where freq_shift 0 is ch / 2 */
    bool flip_sin_to_cos;  /* the cosines come first */
    int64_t time_channels; /* of the time's embedding; 0: 4 ch. Its time_embedding_dim */
    ito_unet_class class_kind; /* what labels are */
    bool center_input;         /* 2 x - 1 enters, for x in [0, 1]: its center_input_sample */
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
     * arXiv:2403.17377, eq. (14)). ITO_ERR_ARGUMENT without attention there. */
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
 *           ITO_ERR_DTYPE, ITO_ERR_RANGE for times that its kind of times does not have.
 */
ITO_API ito_tensor *ito_unet_forward(ito_unet *unet, ito_tensor *x, ito_tensor *t);

/**
 * The same for images whose classes are known: a row for each class, and one for none, is added to
 * the embedding of the time ("class_embedding.weight", [classes + 1, time_channels]).
 *
 * @param labels  [N] i64: 0 .. classes - 1, or classes for none. NULL: none for all, as
 *                ito_unet_forward has it. With another class_kind, what that says, and not NULL.
 * @return        NULL also for labels of a network without classes and for none where it needs
 *                them, ITO_ERR_ARGUMENT, and labels that do not fit, ITO_ERR_SHAPE or
 *                ITO_ERR_RANGE.
 */
ITO_API ito_tensor *ito_unet_forward_class(ito_unet *unet, ito_tensor *x, ito_tensor *t,
                                           ito_tensor *labels);

/** Options of ito_time_embedding. */
typedef struct ito_time_embedding_options {
    int reserved_;
    ito_dtype dtype;      /* of the result: ITO_F32 (the default) or ITO_F64 */
    int64_t freq_divisor; /* d below; 0: half - 1 */
    bool flip_sin_to_cos; /* the cosines come first */
} ito_time_embedding_options;
#define ITO_DEFAULTS_ito_time_embedding_options .reserved_ = 0

/**
 * The sinusoidal embedding of times: sin(t f_i), then cos(t f_i), f_i = 10000^(-i / d), i from 0 to
 * half - 1, half = channels / 2: ito_time_embedding(t, 128, .dtype = ITO_F64). diffusers'
 * freq_shift is half - d.
 * @param t  [N] i64, f32 or f64.
 * @return   [N, channels], computed in double and rounded once; channels is even, at least 4. NULL
 *           on error: ITO_ERR_SHAPE, ITO_ERR_DTYPE, ITO_ERR_RANGE for a freq_divisor below 0.
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
