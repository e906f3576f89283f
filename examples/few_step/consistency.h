/* Consistency models: f(x_t, t), the network's x_0-hat, is to be the same at every point of a
 * trajectory: f(x_t, t) = f(x_r, r) at an earlier time r, down to f(x, clean) = x. This boundary
 * holds without c_skip and c_out of its own: x_0-hat of v or eps is x_t where there is no noise.
 *
 * Two points of one trajectory are x_0 with one noise at both times (easy consistency tuning: Geng
 * et al. 2024, arXiv:2406.14548), or x_0 with noise at t, and a step of the teacher's ddim from
 * there (consistency distillation: Song et al. 2023, arXiv:2303.01469). */
#ifndef ITO_EXAMPLES_FEW_STEP_CONSISTENCY_H
#define ITO_EXAMPLES_FEW_STEP_CONSISTENCY_H

#include "examples/few_step/pupil.h"

/* ECT's r for a time t of p after this share (0 to 1) of the training:
 *     r' = t' (1 - n(t') / q^a), n(t') = 1 + 8 / (1 + exp(t')), q = 2, a = 1, 2, ... 8
 * rounded down, and at least 0. In place of the paper's sigma, t' is the process's own time: steps
 * above the clean data over the steps of noise / signal = 1, which is sigma where that is small. */
double consistency_earlier(const ito_process *p, double t, double share);

/* [N] sqrt(|f(x_t, t) - f(x_r, r)|^2 + c^2) - c with c = 0.00054 sqrt(D); f(x_r, r), clipped to
 * [-1, 1] as samplers do, counts as constant and is x_r where r is clean. The norm's gradient is
 * that of ECT's adaptive weight. NULL with an error recorded.
 * Source: Song, Dhariwal 2023, arXiv:2310.14189, section 3.3. */
ito_tensor *consistency_losses(const ito_diffusion *d, ito_network *network, ito_tensor *x_t,
                               ito_tensor *t, ito_tensor *x_r, ito_tensor *r);

/* x_r at r [N] f64 on the trajectory of x_t, x_0 with noise eps at t, by o->pairs: the same noise,
 * or a step of the teacher. NULL with an error recorded. */
ito_tensor *consistency_second_point(const pupil *p, ito_tensor *x_0, ito_tensor *eps,
                                     ito_tensor *x_t, ito_tensor *t, ito_tensor *r);

/* Train p's student by o->pairs. False with an error recorded. */
bool consistency_train(pupil *p);

#endif
