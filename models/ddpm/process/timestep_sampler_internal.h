/* Internal: whether losses can be remembered, to know it before a training step is applied. */
#ifndef ITO_DDPM_STEPS_INTERNAL_H
#define ITO_DDPM_STEPS_INTERNAL_H

#include "models/ddpm/process/timestep_sampler.h"

/* What ito_ddpm_steps_update returns; where that is ITO_OK it cannot fail. */
ito_status steps_check(const ito_ddpm_steps *s, const ito_tensor *t, const ito_tensor *losses);

#endif
