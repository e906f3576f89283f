/* Inception-v3 as pytorch-fid has it: the network whose 2048 features the Frechet Inception
 * distance (FID), KID and others compare. Weights do not come with the library; docs/evaluation.md
 * says how to make a safetensors file of pytorch-fid's.
 *
 * Parameters have the names of torchvision's and pytorch-fid's state dicts. pytorch-fid's network,
 * ported from TensorFlow, differs from torchvision's in three points: padding does not count in the
 * mean of an average pool, Mixed_7c has a max pool in its place, and there are 1008 classes.
 *
 *     ito_inception *net = ito_inception_load("inception.safetensors");
 *     ito_tensor *features = ito_inception_run(net, images);
 */
#ifndef ITO_INCEPTION_H
#define ITO_INCEPTION_H

#include "../../nn/layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The number of features. */
#define ITO_INCEPTION_WIDTH 2048
/** Height and width, in pixels, to which images are resized. */
#define ITO_INCEPTION_SIDE 299

/** The network: a module whose parameters and so on are those of base. It is always evaluated with
 * the running statistics of its batch norms. */
typedef struct ito_inception {
    ito_module base;
    struct ito_inception_unit *units; /* its convolutions, in the order of the state dict */
    ito_linear_layer *fc;
    bool fid;
} ito_inception;

/** Options of ito_inception_create and ito_inception_load. */
typedef struct ito_inception_options {
    int reserved_;
    bool fid ITO_DEFAULT(true);        /* pytorch-fid's pools; false: torchvision's */
    int64_t classes ITO_DEFAULT(1008); /* torchvision's: 1000 */
    ito_generator *generator;          /* weights are drawn as layers.h says; NULL: zero */
} ito_inception_options;
#define ITO_DEFAULTS_ito_inception_options .fid = true, .classes = 1008

/**
 * A network without knowledge: ito_inception_create(.generator = &g).
 *
 * @return  owned by the caller, freed by ito_module_free(&net->base). NULL on error:
 *          ITO_ERR_ARGUMENT unless there are classes, ITO_ERR_MEMORY.
 */
ITO_API ito_inception *ito_inception_create_with(ito_inception_options options);
#define ito_inception_create(...)                                                                  \
    ITO_AT(ITO_CALL_0(ito_inception_create_with, ito_inception_options, __VA_ARGS__))

/**
 * The network of a safetensors file: ito_inception_load("inception.safetensors"). The file may lack
 * num_batches_tracked, which nothing depends on, and may have torchvision's AuxLogits, which are
 * not read.
 *
 * @return  owned by the caller. NULL on error: ITO_ERR_FORMAT for a file of another layout, with
 *          the first name that is missing or unexpected, ITO_ERR_SHAPE for a tensor of another
 *          shape, other errors of ito_module_load and ito_inception_create.
 */
ITO_API ito_inception *ito_inception_load_with(const char *path, ito_inception_options options);
#define ito_inception_load(...)                                                                    \
    ITO_AT(ITO_CALL_1(ito_inception_load_with, ito_inception_options, __VA_ARGS__, ))

/**
 * The features of a batch of images: what the last average pool gives.
 *
 * @param x  [N, 1 or 3, H, W] f32 in [-1, 1], or u8, which counts as x / 127.5 - 1. Images of
 *           another size are resized to 299x299 as pytorch-fid does (bilinear, corners not aligned,
 *           no antialiasing); grey ones are three equal channels.
 * @return   [N, 2048] f32 of the current scope; differentiable in x if that is f32, and in the
 *           parameters. NULL: ITO_ERR_SHAPE, ITO_ERR_DTYPE, ITO_ERR_MEMORY, or NULL was given.
 * Source: Szegedy et al. 2015, arXiv:1512.00567; Heusel et al. 2017, arXiv:1706.08500.
 */
ITO_API ito_tensor *ito_inception_features(ito_inception *net, ito_tensor *x);
/** The logits [N, classes] of features [N, 2048]; of the current scope, differentiable. NULL as for
 * ito_inception_features. */
ITO_API ito_tensor *ito_inception_logits(ito_inception *net, ito_tensor *features);

/**
 * Features of any number of images, in batches, without gradients: [N, 2048] f32 of the current
 * scope. images are as for ito_inception_features, but f32 is clamped to [-1, 1] and rounded to 256
 * steps first, so that an image has the features of its file. NULL as for ito_inception_features,
 * or ITO_ERR_ARGUMENT if net or images is NULL.
 */
ITO_API ito_tensor *ito_inception_run(ito_inception *net, ito_tensor *images);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_inception_features(...) ITO_AT(ito_inception_features(__VA_ARGS__))
#define ito_inception_logits(...) ITO_AT(ito_inception_logits(__VA_ARGS__))
#define ito_inception_run(...) ITO_AT(ito_inception_run(__VA_ARGS__))
#endif

#endif
