/* A small convolutional network that tells classes of images apart, and whose last features serve
 * to compare sets of images (models/metrics).
 *
 * For images of 28x28: four 3x3 convolutions, each with group norm and silu, the image being halved
 * behind the first and the second; a 1x1 convolution to few channels; and two linear layers. What
 * the first one gives, behind a silu, are the features, 96 of them; from them the second makes the
 * classes. One such network, trained on Fashion-MNIST, comes with the library.
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

#define ITO_CLASSIFIER_WIDTH 96
#define ITO_CLASSIFIER_SIDE 28

/** A module: parameters, training mode and so on are those of base. */
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

typedef struct ito_classifier_options {
    int reserved_;
    ito_generator *generator; /* weights are drawn as layers.h says; without it they are 0 */
    double dropout;           /* in [0, 1) */
} ito_classifier_options;
#define ITO_DEFAULTS_ito_classifier_options .reserved_ = 0

/**
 * ito_classifier_create(1, 10, .generator = &g): for grey images of ten classes.
 *
 * @return  owned by the caller, freed by ito_module_free(&c->base). NULL on error: ITO_ERR_ARGUMENT
 *          for numbers below 1, ITO_ERR_RANGE for the dropout, ITO_ERR_MEMORY.
 */
ITO_API ito_classifier *ito_classifier_create_with(int64_t channels, int64_t classes,
                                                   ito_classifier_options options);
#define ito_classifier_create(channels, classes, ...)                                              \
    ITO_AT(ito_classifier_create_with(channels, classes,                                           \
                                      ITO_OPTIONS(ito_classifier_options, __VA_ARGS__)))

/** x [N, channels, 28, 28] f32 in [-1, 1] to features [N, 96]. */
ITO_API ito_tensor *ito_classifier_features(ito_classifier *c, ito_tensor *x);
/** Features to logits [N, classes]. */
ITO_API ito_tensor *ito_classifier_logits(ito_classifier *c, ito_tensor *features);

/**
 * Features and logits of any number of images, in batches, in evaluation mode, without gradients.
 *
 * @param images    [N, channels, 28, 28] u8, or f32 in about [-1, 1]: those are clamped and rounded
 * to 256 steps first, so that an image counts as what a file of it would; borrowed.
 * @param features  receives [N, 96] f32 of the current scope; NULL if they are not wanted.
 * @param logits    receives [N, classes] f32 of the current scope; NULL if they are not wanted.
 * @return          ITO_ERR_DTYPE, ITO_ERR_SHAPE, ITO_ERR_MEMORY; nothing is set then.
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
