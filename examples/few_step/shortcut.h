/* Shortcut models: a step of any size d does what two steps of d / 2 do; steps of size 0 follow the
 * velocity of the flow. u(x, t, r) is the paper's s(x, t, d) with d = t - r, from noise at t = 1.
 * Source: Frans et al. 2024, arXiv:2410.12557, eq. (5) and algorithm 1. */
#ifndef ITO_EXAMPLES_FEW_STEP_SHORTCUT_H
#define ITO_EXAMPLES_FEW_STEP_SHORTCUT_H

#include "examples/few_step/plane.h"

/* What u(x, t, r) is to be by self-consistency: the mean of two steps of half the size, without
 * history. Steps of at most `least` follow u(x, t, t). NULL with an error recorded. */
ito_tensor *shortcut_target(const mean_velocity *u, ito_tensor *x, ito_tensor *t, ito_tensor *r,
                            double least);

/* The loss of points x_0 [N, 2]: flow matching, and self-consistency for the last quarter of the
 * batch, of steps 1, 1/2, ... 1/64, of two halves each. */
ito_tensor *shortcut_loss(const mean_velocity *u, ito_tensor *x_0, ito_generator *g);

#endif
