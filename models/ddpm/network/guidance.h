/* Guidance, towards a class or away from a worse network: networks around networks.
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

/** Guidance away from a worse output: worse + scale (output - worse), where
 *  - classifier-free guidance (guide is NULL) has the network without labels for the worse one
 *    (Ho, Salimans 2022, arXiv:2207.12598; their 1 + w),
 *  - autoguidance has another network: an earlier checkpoint, a smaller one (Karras et al. 2024,
 *    arXiv:2406.02507), or the network itself, perturbed: ito_unet's `perturbed` (Ahn et al. 2024,
 *    arXiv:2403.17377; their 1 + s).
 * A scale of 1 is the network alone, 0 the worse one alone, by one evaluation each; others take
 * two. With a learned variance only the first head is guided. */
typedef struct ito_guidance {
    ito_network base;
    const ito_diffusion *diffusion; /* borrowed */
    ito_network *network;           /* borrowed; without a guide it takes labels, and none */
    ito_network *guide;             /* borrowed, or NULL; these five may be set at any time */
    double scale;
    double sigma_lo, sigma_hi, rescale;
} ito_guidance;

/** Options of guidance. */
typedef struct ito_guidance_options {
    int reserved_;
    /** Guide only where sigma = noise / signal is above sigma_lo and at most sigma_hi. Elsewhere
     * the output is the network's, by one evaluation (Kynkaanniemi et al. 2024, arXiv:2404.07724,
     * eq. (5)). */
    double sigma_lo;
    double sigma_hi ITO_DEFAULT(INFINITY);
    /** Bring the deviation of each example's guided output back to that of the network's: 0 not at
     * all, 1 wholly, 0.7 in the paper. An output without a deviation, all of whose numbers are
     * equal, stays as it is (Lin et al. 2023, arXiv:2305.08891, section 3.4). */
    double rescale;
} ito_guidance_options;
#define ITO_DEFAULTS_ito_guidance_options .sigma_hi = (double)INFINITY

/** Classifier-free guidance: ito_guidance_create(d, &unet->network, 2.0, .sigma_hi = 5). Freed by
 * ito_network_free(&g->base). NULL on error: ITO_ERR_ARGUMENT for NULL, ITO_ERR_RANGE for a scale
 * that is not finite, for 0 <= sigma_lo < sigma_hi not so, for a rescale not of [0, 1]. Evaluated
 * without labels it fails with ITO_ERR_ARGUMENT, unless the scale is 0 or 1. */
ITO_API ito_guidance *ito_guidance_create_with(const ito_diffusion *d, ito_network *network,
                                               double scale, ito_guidance_options options);
#define ito_guidance_create(...)                                                                   \
    ITO_AT(ITO_CALL_3(ito_guidance_create_with, ito_guidance_options, __VA_ARGS__, ))

/** Autoguidance: ito_autoguidance_create(d, &good->network, &bad->network, 2.0). Both networks get
 * the same input, labels too, and their outputs mean the same: one prediction, time input and
 * process, d's; their architectures are free. Freed and refused as above. Evaluating it fails with
 * ITO_ERR_SHAPE if the outputs have different shapes. */
ITO_API ito_guidance *ito_autoguidance_create_with(const ito_diffusion *d, ito_network *network,
                                                   ito_network *guide, double scale,
                                                   ito_guidance_options options);
#define ito_autoguidance_create(...)                                                               \
    ITO_AT(ITO_CALL_4(ito_autoguidance_create_with, ito_guidance_options, __VA_ARGS__, ))

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
#define ito_classifier_guidance_create(...) ITO_AT(ito_classifier_guidance_create(__VA_ARGS__))
#endif

#endif
