/* Internal: the driver of samplers, for sampling and for what is built on it. */
#ifndef ITO_DDPM_SAMPLER_INTERNAL_H
#define ITO_DDPM_SAMPLER_INTERNAL_H

#include "models/ddpm/diffusion_internal.h"
#include "models/ddpm/sampler/sampler.h"

/* What the driver holds besides the walk; made and freed by drive_begin and drive_end. */
typedef struct ito_ddpm_drive {
    ito_ddpm_walk walk;
    ito_ddpm_network *network;
    void *context;
    bool asked;                /* the network, on this walk */
    ito_generator *generators; /* one for each image */
    int64_t *nodes;            /* [walk.n + 1] the steps; -1 stands for the clean image */
    ito_tensor *mask, *known;  /* inpainting: what is given, where mask is 1; or NULL */
} ito_ddpm_drive;

/* Check d, network and options for images of this shape and make the list of nodes. A failed one is
 * ended too. */
ito_status drive_begin(ito_ddpm_drive *drive, const ito_diffusion *d, ito_ddpm_network *network,
                       void *context, ito_shape shape, ito_ddpm_sample_options options);
void drive_end(ito_ddpm_drive *drive);
/* From x, which counts as images at the first node, along all nodes: the result, of the current
 * scope. NULL after an error, or if progress stopped it. */
ito_tensor *drive_walk(ito_ddpm_drive *drive, const ito_tensor *x);
/* x at `from` noised on to `to`, which is noisier; amount is the deviation of the noise. */
ito_tensor *noise_up(ito_ddpm_walk *w, ito_tensor *x, ito_ddpm_level from, ito_ddpm_level to,
                     double amount);
/* What the network says of x at step t: its prediction, and v. */
bool ask_heads(ito_ddpm_walk *w, ito_tensor *x, const ito_ddpm_step *step, network_heads *out);
/* The order that a step i has which can look back at `known` guesses. */
int order_at(const ito_ddpm_walk *w, int known, int64_t i);
/* Clipped, thresholded or as it is. */
ito_tensor *limit_x_0(const ito_ddpm_sample_options *o, ito_tensor *x_0);
/* The step whose noise / signal is nearest to sigma, on a logarithmic scale. */
int64_t nearest_step(const ito_ddpm_schedule *s, double sigma);

#endif
