/* Self-conditioning: a network that is given its own earlier estimate of the clean data.
 *
 *     ito_self_condition *net = ito_self_condition_create(d, &unet->network);
 *     ito_tensor *x = ito_diffusion_sample(d, &net->base, shape);
 *     ito_network_free(&net->base);
 */
#ifndef ITO_DDPM_SELF_CONDITION_H
#define ITO_DDPM_SELF_CONDITION_H

#include "../diffusion.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A network around another that takes in->x_0. In sampling that is the last estimate if time
 * falls, or zeros: at the start of a trajectory, when time rises, in the bound, and in a loss that
 * is not training. In training it is the network's own estimate for half of the batches, without a
 * gradient, and zeros for the others.
 * Source: Chen et al. 2022, arXiv:2208.04202. */
typedef struct ito_self_condition {
    ito_network base;
    const ito_diffusion *diffusion; /* borrowed */
    ito_network *network;           /* borrowed */
    ito_generator *generator;       /* training: which batches get an estimate; NULL: sampling */
    ito_tensor *last;               /* the last estimate, owned, */
    double last_time;               /* and the time it was made at */
} ito_self_condition;

/** Freed by ito_network_free(&s->base). NULL on error: ITO_ERR_ARGUMENT for NULL. */
ITO_API ito_self_condition *ito_self_condition_create(const ito_diffusion *d, ito_network *network);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_self_condition_create(...) ITO_AT(ito_self_condition_create(__VA_ARGS__))
#endif

#endif
