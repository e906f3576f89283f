/* MeanFlow: the mean velocity u between two times learns from the velocity v of the flow alone, by
 *     u(x_t, t, r) = v - (t - r) d/dt u(x_t, t, r),
 * what its definition (t - r) u = integral of v from r to t becomes when it is differentiated. The
 * total derivative along the flow, v du/dx + du/dt, is one forward-mode product.
 * Source: Geng et al. 2025, arXiv:2505.13447, eq. (6) and algorithm 1. */
#ifndef ITO_EXAMPLES_FEW_STEP_MEAN_FLOW_H
#define ITO_EXAMPLES_FEW_STEP_MEAN_FLOW_H

#include "examples/few_step/plane.h"

/* The right side of that identity for v [N, D], without history; *value receives u(x, t, r), which
 * has history. NULL with an error recorded. */
ito_tensor *mean_flow_target(const mean_velocity *u, ito_tensor *x, ito_tensor *t, ito_tensor *r,
                             ito_tensor *v, ito_tensor **value);

/* [N] w |u - target|^2 with w = 1 / (|u - target|^2 + 0.001)^power, held constant: section 4.3. */
ito_tensor *mean_flow_losses(const mean_velocity *u, ito_tensor *x, ito_tensor *t, ito_tensor *r,
                             ito_tensor *v, double power);

/* The mean loss of points x_0 [N, 2]: t and r are uniform, equal in three quarters of the batch; v
 * is eps - x_0. power is 0, not the paper's 1: in the plane |u - target| varies much from example
 * to example, and the weight would pull u off the mean. */
ito_tensor *mean_flow_loss(const mean_velocity *u, ito_tensor *x_0, ito_generator *g);

#endif
