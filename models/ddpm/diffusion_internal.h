/* Internal: what the loss, the bound and the samplers share of a diffusion. */
#ifndef ITO_DDPM_DIFFUSION_INTERNAL_H
#define ITO_DDPM_DIFFUSION_INTERNAL_H

#include "models/ddpm/diffusion.h"

/* Whether x_0, eps [N, ...] and t [N] fit each other and every t is a step of s. */
bool batch_fits(const char *op, const ito_ddpm_schedule *s, const ito_tensor *x_0,
                const ito_tensor *eps, const ito_tensor *t);

/* Step t[i], and the one before it. */
ito_ddpm_step step_of_image(const ito_ddpm_schedule *s, const ito_tensor *t, int64_t i);

/* A number of each image's step. */
typedef double number_of_step(const ito_diffusion *d, const ito_ddpm_step *step);
/* [N, 1, ...] of like's axes and dtype. */
ito_tensor *per_image(const ito_diffusion *d, number_of_step *number, const ito_tensor *like,
                      const ito_tensor *t);

/* a x + b y with a pair for the step of each image; y itself if it is that. */
typedef ito_ddpm_pair pair_of_step(const ito_diffusion *d, const ito_ddpm_step *step);
ito_tensor *combine(const ito_diffusion *d, pair_of_step *pair, ito_tensor *x, ito_tensor *y,
                    const ito_tensor *t);

/* What d says of one step, in the form of the two above. */
pair_of_step target_pair, x_0_pair, eps_pair;
/* What the squared error of the output counts. */
number_of_step output_weight;

/* x as the network is to see it. */
ito_tensor *network_input(const ito_diffusion *d, ito_tensor *x_t, const ito_tensor *t);

/* The network, asked of x at steps t. Afresh: what it was asked before has nothing to do with this,
 * as at the start of a walk and for every noising of the loss and the bound. */
ito_tensor *ask_network(ito_ddpm_network *network, void *context, ito_tensor *x, ito_tensor *t,
                        bool afresh);
/* Whether the network that this thread asks now is asked afresh. */
bool asked_afresh(void);

/* The network's output, parted: what predicts, and v or NULL. */
typedef struct network_heads {
    ito_tensor *prediction, *v;
} network_heads;

/* False with a sentence if it has not the shape that d asks for of images x, or is NULL and the
 * network did not say why. */
bool part_heads(const char *op, const ito_diffusion *d, ito_tensor *output, const ito_tensor *x,
                network_heads *out);

/* What the network, asked afresh, makes of images x_t at steps t, parted. */
bool ask_noised(const char *op, const ito_diffusion *d, ito_ddpm_network *network, void *context,
                ito_tensor *x_t, ito_tensor *t, network_heads *out);

/* The mean over all axes but the first. */
ito_tensor *image_mean(ito_tensor *x);

#endif
