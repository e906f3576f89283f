/* Learning-rate schedules: pure functions of the step that return a factor. Factors multiply:
 *     double lr = 2e-4 * ito_lr_warmup(step, 5000);
 *     double lr = 1e-3 * ito_lr_warmup(step, 100) * ito_lr_cosine(step, 3500, 0.0);
 * step counts the optimiser's steps from 0, so a resumed run needs no other state. No function has
 * an error; `end` and `factor` may be any number, and are the last factor and the factor of a drop.
 */
#ifndef ITO_NN_LR_SCHEDULE_H
#define ITO_NN_LR_SCHEDULE_H

#include "../tensor/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Always 1. */
ITO_API double ito_lr_constant(int64_t step);
/** A linear rise: (step + 1) / steps, and 1 from step = steps - 1 on. 1 if steps < 1. */
ITO_API double ito_lr_warmup(int64_t step, int64_t steps);
/** Half a cosine, end + (1 - end) (1 + cos(pi step / steps)) / 2: 1 at step 0, end from step =
 * steps on. Source: Loshchilov, Hutter 2016, arXiv:1608.03983, eq. (5). */
ITO_API double ito_lr_cosine(int64_t step, int64_t steps, double end);
/** A straight line from 1 at step 0 to end from step = steps on. */
ITO_API double ito_lr_linear(int64_t step, int64_t steps, double end);
/** Drops at regular steps: factor^floor(step / every). 1 if every < 1. */
ITO_API double ito_lr_step(int64_t step, int64_t every, double factor);

#ifdef __cplusplus
}
#endif

#endif
