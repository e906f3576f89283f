/* Guidance towards a class: networks around networks.
 *
 *     ito_guidance *guided = ito_guidance_create(d, &unet->network, 2.0);
 *     ito_class_condition *labelled = ito_class_condition_create(&guided->base, 10);
 */
#ifndef ITO_DDPM_GUIDANCE_H
#define ITO_DDPM_GUIDANCE_H

#include "../diffusion.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Classifier-free guidance: none + scale (label - none), two evaluations each, where labels are
 * given: 0 is the network without labels, 1 the network with them. With a learned variance only the
 * first head is guided. Source: Ho, Salimans 2022, arXiv:2207.12598; their 1 + w. */
typedef struct ito_guidance {
    ito_network base;
    const ito_diffusion *diffusion; /* borrowed */
    ito_network *network;           /* borrowed; takes labels, and none */
    double scale;
} ito_guidance;

/** Freed by ito_network_free(&g->base). NULL on error: ITO_ERR_ARGUMENT for NULL, ITO_ERR_RANGE for
 * a scale that is not finite. Evaluated without labels it fails with ITO_ERR_ARGUMENT, unless the
 * scale is 0 or 1. */
ITO_API ito_guidance *ito_guidance_create(const ito_diffusion *d, ito_network *network,
                                          double scale);

/** Guidance by a classifier: eps - noise scale grad log p(y | x_t), whatever the network predicts.
 * Without signal the output is not changed.
 * Source: Dhariwal, Nichol 2021, arXiv:2105.05233, algorithm 2. */
typedef struct ito_classifier_guidance {
    ito_network base;
    const ito_diffusion *diffusion; /* borrowed */
    ito_network *network;           /* borrowed */
    ito_network *classifier; /* borrowed: its output is log p(y | x_t), [N], differentiable in
                                in->x, which is x_t */
    ito_tensor *labels;      /* [N] i64 for the classifier; borrowed, may be set at any time */
    double scale;            /* of the classifier's gradient */
} ito_classifier_guidance;

/** Freed by ito_network_free(&g->base). NULL on error: ITO_ERR_ARGUMENT for NULL. Evaluating it
 * fails with ITO_ERR_SHAPE if the classifier's output is not one number an example. */
ITO_API ito_classifier_guidance *ito_classifier_guidance_create(const ito_diffusion *d,
                                                                ito_network *network,
                                                                ito_network *classifier,
                                                                double scale);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_guidance_create(...) ITO_AT(ito_guidance_create(__VA_ARGS__))
#define ito_classifier_guidance_create(...) ITO_AT(ito_classifier_guidance_create(__VA_ARGS__))
#endif

#endif
