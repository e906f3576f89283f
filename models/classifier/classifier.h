/* A small convolutional network that classifies images of 28x28 pixels, and whose features are used
 * to compare sets of images (models/metrics).
 *
 * Four 3x3 convolutions, each with group norm and silu; average pooling halves the image after the
 * first and the second. A 1x1 convolution reduces the channels. Two linear layers follow: the first
 * gives, after a silu, the 96 features; the second gives the logits of the classes. One such
 * network, trained on Fashion-MNIST, comes with the library.
 *
 *     ito_classifier *net = ito_classifier_fashion_mnist();
 *     ito_tensor *features;
 *     if (ito_classifier_run(net, images, &features, NULL) == ITO_OK) ...
 */
#ifndef ITO_CLASSIFIER_H
#define ITO_CLASSIFIER_H

#include "../../nn/layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The number of features. */
#define ITO_CLASSIFIER_WIDTH 96
/** Height and width of an image, in pixels. */
#define ITO_CLASSIFIER_SIDE 28

/** The network: a module whose parameters, training mode and so on are those of base. */
typedef struct ito_classifier {
    ito_module base;
    ito_conv2d_layer *conv[4];
    ito_group_norm_layer *norm[4];
    ito_conv2d_layer *squeeze;
    ito_linear_layer *dense;
    ito_dropout_layer *dropout; /* of the features */
    ito_linear_layer *head;
    int64_t channels, classes;
} ito_classifier;

/** Options of ito_classifier_create. */
typedef struct ito_classifier_options {
    int reserved_;
    ito_generator *generator; /* weights are drawn as layers.h says; NULL: zero */
    double dropout;           /* of the features, in training mode; in [0, 1) */
    ito_dtype dtype;          /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_classifier_options;
#define ITO_DEFAULTS_ito_classifier_options .reserved_ = 0

/**
 * A network for images of this many channels and classes:
 * ito_classifier_create(1, 10, .generator = &g) is for grey images of ten classes.
 *
 * @return  owned by the caller, freed by ito_module_free(&c->base). NULL on error: ITO_ERR_ARGUMENT
 *          for numbers below 1, ITO_ERR_RANGE for the dropout, ITO_ERR_DTYPE, ITO_ERR_MEMORY.
 */
ITO_API ito_classifier *ito_classifier_create_with(int64_t channels, int64_t classes,
                                                   ito_classifier_options options);
#define ito_classifier_create(...)                                                                 \
    ITO_AT(ITO_CALL_2(ito_classifier_create_with, ito_classifier_options, __VA_ARGS__, ))

/** The features [N, 96] of images x [N, channels, 28, 28] in [-1, 1], both of the parameters'
 * dtype, of the current scope; differentiable. NULL: ITO_ERR_SHAPE, the errors of the layers, or
 * NULL was given. */
ITO_API ito_tensor *ito_classifier_features(ito_classifier *c, ito_tensor *x);
/** The logits [N, classes] of features [N, 96], with dropout in training mode; of the
 * current scope, differentiable. NULL as for ito_classifier_features. */
ITO_API ito_tensor *ito_classifier_logits(ito_classifier *c, ito_tensor *features);

/**
 * Features and logits of any number of images, in batches, in evaluation mode, without gradients.
 *
 * @param images    [N, channels, 28, 28] u8, or f32 in about [-1, 1]: clamped and rounded to
 *                  256 steps first, so that an image has the features of its file; borrowed.
 * @param features  receives [N, 96] f32 of the current scope; NULL if they are not wanted.
 * @param logits    receives [N, classes] f32 of the current scope; NULL if they are not wanted.
 * @return          ITO_ERR_DTYPE, ITO_ERR_SHAPE, ITO_ERR_ARGUMENT if c or images is NULL,
 *                  ITO_ERR_MEMORY; nothing is set then.
 */
ITO_API ito_status ito_classifier_run(ito_classifier *c, ito_tensor *images, ito_tensor **features,
                                      ito_tensor **logits);

/**
 * The classifier of Fashion-MNIST's ten classes that comes with the library, in evaluation mode:
 * for images [N, 1, 28, 28]. Its training and accuracy are in docs/evaluation.md.
 *
 * @return  owned by the caller, freed by ito_module_free(&c->base). NULL on error: ITO_ERR_MEMORY.
 */
ITO_API ito_classifier *ito_classifier_fashion_mnist(void);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_classifier_run(...) ITO_AT(ito_classifier_run(__VA_ARGS__))
#define ito_classifier_fashion_mnist(...) ITO_AT(ito_classifier_fashion_mnist(__VA_ARGS__))
#define ito_classifier_features(...) ITO_AT(ito_classifier_features(__VA_ARGS__))
#define ito_classifier_logits(...) ITO_AT(ito_classifier_logits(__VA_ARGS__))
#endif

#endif
