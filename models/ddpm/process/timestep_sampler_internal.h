/* Internal: checks that losses can be recorded, before a training step is applied. */
#ifndef ITO_DDPM_TIMESTEP_SAMPLER_INTERNAL_H
#define ITO_DDPM_TIMESTEP_SAMPLER_INTERNAL_H

#include "models/ddpm/process/timestep_sampler.h"

/* The status that ito_timestep_sampler_update would return; after ITO_OK it cannot fail. */
ito_status timestep_sampler_check(const ito_timestep_sampler *s, const ito_tensor *t,
                                  const ito_tensor *losses);

#endif
