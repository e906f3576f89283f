/* What layers of convolutions and of transposed ones share. Internal. */
#ifndef ITO_NN_CONV_LAYER_H
#define ITO_NN_CONV_LAYER_H

#include "nn/module.h"

/* A number for each axis, or a list of them, and how small it may be. */
typedef struct conv_number {
    const char *what;
    int64_t number;
    ito_shape list;
    int64_t least;
} conv_number;

/* Whether channels and groups go together, lists have a number for each axis, and none is too
 * small; if not, an error in the name of op is recorded. */
bool conv_numbers_fit(const char *op, int dims, int64_t in, int64_t out, int64_t groups,
                      const conv_number *numbers, int n);
/* The size of the kernel on each axis. */
ito_shape conv_kernel(int dims, int64_t kernel, ito_shape kernels);
/* Make and register weight [first, second, kernel ..] and bias [out], drawn from g unless that is
 * NULL. False without them. */
bool conv_parameters(ito_module *m, int64_t first, int64_t second, ito_shape kernel, int64_t out,
                     bool biased, ito_dtype dtype, ito_generator *g, ito_tensor **weight,
                     ito_tensor **bias);

#endif
