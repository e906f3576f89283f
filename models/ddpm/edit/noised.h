/* Internal: data noised to the first time of a run. */
#ifndef ITO_DDPM_EDIT_NOISED_H
#define ITO_DDPM_EDIT_NOISED_H

#include "models/ddpm/edit/edit.h"
#include "models/ddpm/sampler/run.h"

/* x_0 noised to the first time of the run, by numbers of the examples' streams. */
ito_tensor *noised_to_start(sampler_run *run, ito_tensor *x_0);

#endif
