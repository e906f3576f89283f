/* What the commands that make images have in common. */
#ifndef ITO_DDPM_GENERATE_H
#define ITO_DDPM_GENERATE_H

#include "tensor/tensor.h"

/* Whether all of images [N, ...] f32, made by these weights and numbered from `first`, is finite;
 * false with an error recorded, also for NULL. Nothing else may be written. */
bool images_finite(ito_tensor *images, const char *weights, int64_t first);

#endif
