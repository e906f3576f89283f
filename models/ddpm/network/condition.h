/* Class labels: a network that is given the class of each example.
 *
 *     ito_class_condition *labelled = ito_class_condition_create(&unet->network, 10);
 *     labelled->labels = labels;
 *     ito_tensor *x = ito_diffusion_sample(d, &labelled->base, shape, .steps = 50);
 *     ito_network_free(&labelled->base);
 *
 * The innermost network takes in->labels, as the U-Net does. For guidance put an ito_guidance
 * between the two.
 */
#ifndef ITO_DDPM_CONDITION_H
#define ITO_DDPM_CONDITION_H

#include "network.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A network around another that takes labels. The fields behind `classes` may be set at any time;
 * all is borrowed. */
typedef struct ito_class_condition {
    ito_network base;
    ito_network *network;
    int64_t classes;          /* of the network; the label `classes` means none of them */
    ito_tensor *labels;       /* [N] i64 of the next batches; NULL: none of the classes */
    double drop;              /* in training: the probability that a label is replaced by none */
    ito_generator *generator; /* that this is drawn from; NULL: nothing is dropped */
} ito_class_condition;

/** A network with labels around one with so many classes, which is borrowed. Freed by
 * ito_network_free(&c->base). NULL on error: ITO_ERR_ARGUMENT for a network that is NULL,
 * ITO_ERR_RANGE for fewer classes than 1. Evaluating it fails with ITO_ERR_SHAPE or ITO_ERR_RANGE
 * for labels that do not fit. */
ITO_API ito_class_condition *ito_class_condition_create(ito_network *network, int64_t classes);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_class_condition_create(...) ITO_AT(ito_class_condition_create(__VA_ARGS__))
#endif

#endif
