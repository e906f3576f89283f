/* Internal: random numbers of examples. Example i of a run draws from the stream first + i of its
 * seed alone, so that it does not depend on the batch it is in. */
#ifndef ITO_DDPM_RANDOM_H
#define ITO_DDPM_RANDOM_H

#include "models/ddpm/process/process.h"
#include "tensor/tensor.h"

/* One generator for each of n examples; freed by the caller. NULL with an error recorded in op's
 * name, for a number of examples that cannot be. */
ito_generator *image_generators(const char *op, uint64_t seed, int64_t first, int64_t n);
/* Standard normal numbers for example i of dst [N, ...] from generator i. */
ito_status draw_images(ito_generator *generators, ito_tensor *dst);
/* The standard deviation of the noise that sampling starts from: that of x_T for data of unit
 * variance, exactly 1 where variance is preserved. */
double prior_deviation(const ito_process *p);

#endif
