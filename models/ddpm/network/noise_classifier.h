/* A classifier of noised images: the class of x_t at time t. Its gradient guides a
 * network that was trained without classes (guidance.h).
 *
 * It is the down path of the U-Net: three levels, of 1, 2 and 2 times the width, each with a
 * residual block that takes the time and a halving of the size; then the mean over all positions
 * and a linear layer.
 *
 *     ito_classifier_guidance *guided =
 *         ito_classifier_guidance_create(d, &unet->network, &classifier->network, 2.0);
 *     guided->labels = labels;
 *     ito_tensor *x = ito_diffusion_sample(d, &guided->base, shape);
 */
#ifndef ITO_DDPM_NOISE_CLASSIFIER_H
#define ITO_DDPM_NOISE_CLASSIFIER_H

#include "../../../nn/module.h"
#include "network.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Settings of a classifier of noisy images. */
typedef struct ito_noise_classifier_config {
    int64_t in_channels; /* of the images, which may have any size */
    int64_t channels;    /* the width of the first level; a multiple of 8 */
    int64_t classes;
    ito_dtype dtype; /* of the parameters: ITO_F32 or ITO_F64 */
} ito_noise_classifier_config;

/** A module: its parameters, training mode and so on are those of base. */
typedef struct ito_noise_classifier {
    ito_module base;
    ito_network network; /* its output is log p(label | x_t), [N]; NULL also without labels,
                            ITO_ERR_ARGUMENT, and for labels that do not fit, ITO_ERR_SHAPE or
                            ITO_ERR_RANGE */
    ito_noise_classifier_config config;
    struct noise_classifier_layers *layers;
} ito_noise_classifier;

/**
 * @param init  advances; NULL leaves all weights 0, to be loaded.
 * @return      owned by the caller, freed by ito_module_free(&c->base). NULL on error:
 *              ITO_ERR_RANGE or ITO_ERR_DTYPE with the setting that is wrong, ITO_ERR_MEMORY.
 */
ITO_API ito_noise_classifier *ito_noise_classifier_create(const ito_noise_classifier_config *config,
                                                          ito_generator *init);

/**
 * @param x  [N, in_channels, H, W] of the parameters' dtype, noised.
 * @param t  [N] i64, f32 or f64: the time of each image.
 * @return   logits [N, classes], of the current scope. NULL on error: ITO_ERR_SHAPE, ITO_ERR_DTYPE.
 */
ITO_API ito_tensor *ito_noise_classifier_logits(ito_noise_classifier *c, ito_tensor *x,
                                                ito_tensor *t);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_noise_classifier_create(...) ITO_AT(ito_noise_classifier_create(__VA_ARGS__))
#define ito_noise_classifier_logits(...) ITO_AT(ito_noise_classifier_logits(__VA_ARGS__))
#endif

#endif
