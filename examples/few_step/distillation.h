/* Progressive distillation: one step of the student does what K steps of its teacher's ddim do.
 * Then it is the teacher of a student with a K-th of its steps, and so on. K is 2 in the paper;
 * from few steps to two, one round with a large K is the shorter way. Source: Salimans, Ho 2022,
 * arXiv:2202.00512, algorithm 2. */
#ifndef ITO_EXAMPLES_FEW_STEP_DISTILLATION_H
#define ITO_EXAMPLES_FEW_STEP_DISTILLATION_H

#include "examples/few_step/pupil.h"

/* The x_0-hat with which one step of ddim from x_t leads where the teacher's steps lead, along
 * times path [K + 1, N] f64 that fall from those of x_t: the target. NULL with an error recorded.
 */
ito_tensor *distillation_target(const ito_diffusion *d, ito_network *teacher, ito_tensor *x_t,
                                ito_tensor *path);

/* [N] max(SNR, 1) times the mean square of x_0-hat - target, at times t [N] f64: eq. (9). */
ito_tensor *distillation_losses(const ito_diffusion *d, ito_network *student, ito_tensor *x_t,
                                ito_tensor *t, ito_tensor *target);

/* Train p's student in rounds, from o->grid steps of the teacher to two of its own, each round
 * dividing them by o->ratio. A round's targets are computed once, for o->lessons images. False with
 * an error recorded, also for a grid that is not 2 times a power of the ratio. */
bool distillation_train(pupil *p);

#endif
