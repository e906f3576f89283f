/* Internal: the probability-flow ODE, for sampling and the likelihood. */
#ifndef ITO_DDPM_PROBABILITY_FLOW_INTERNAL_H
#define ITO_DDPM_PROBABILITY_FLOW_INTERNAL_H

#include "models/ddpm/diffusion_internal.h"
#include "models/ddpm/sampler/probability_flow.h"

/* The equation of a diffusion and its network between two times. */
typedef struct probability_flow {
    const char *op; /* in whose name errors are recorded */
    const ito_diffusion *d;
    ito_network *network;
    ito_dtype dtype;     /* what the network is evaluated in; u and du/da are f64 */
    double t_min, t_max; /* NaN: those of the process, which are filled in */
    double clean, noisy; /* the angles at these */
} probability_flow;

/* Check the parts, the times and the prediction, and find the angles. */
ito_status flow_begin(probability_flow *flow);
/* du/da at this angle, [N, ...] f64 as u. A trajectory begins. */
ito_tensor *flow_velocity(const probability_flow *flow, double angle, ito_tensor *u);

#endif
