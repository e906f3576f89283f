/* Internal: the terms of the bound, for the loss and for its evaluation. */
#ifndef ITO_DDPM_BOUND_INTERNAL_H
#define ITO_DDPM_BOUND_INTERNAL_H

#include "models/ddpm/likelihood/bound.h"

/* [N], bits a dimension: L_{t-1} of eq. (5) for each image, L_0 where t = 0; from x_0, the
 * network's x_0-hat, and v, or NULL if the variance is fixed. Differentiable. */
ito_tensor *bound_terms(const ito_diffusion *d, ito_tensor *x_0, ito_tensor *x_0_hat, ito_tensor *v,
                        const ito_tensor *t, ito_decoder decoder);

#endif
