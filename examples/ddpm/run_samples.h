/* The grids of samples that a run leaves on its way. */
#ifndef ITO_DDPM_RUN_SAMPLES_H
#define ITO_DDPM_RUN_SAMPLES_H

#include "examples/ddpm/session.h"

/* Write samples/step-N.png of the current step, unless it is there. Samples that are not finite are
 * no reason to stop, since the averages are still young. False with an error recorded. */
bool run_samples_write(session *s);
/* Whether grids can be drawn at all: their size, and the first step of the sampler in earnest.
 * False with an error recorded. */
bool run_samples_try(session *s);

/* How many seconds a grid takes, by its first step, which run_samples_try has done before. False
 * with an error recorded. */
bool run_samples_time(session *s, double *seconds);

#endif
