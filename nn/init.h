/* Initial values of parameters, drawn from a generator that the caller names.
 *
 * Each function overwrites t (f32 or f64, any strides, parameters included), advances g and returns
 * t, so that calls nest. Values depend on the generator and t's shape, not on its memory order.
 * Each gives NULL if t is NULL, and on error: ITO_ERR_DTYPE for other dtypes, ITO_ERR_ARGUMENT
 * without a generator, ITO_ERR_MEMORY.
 */
#ifndef ITO_NN_INIT_H
#define ITO_NN_INIT_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Every element becomes value. */
ITO_API ito_tensor *ito_init_constant(ito_tensor *t, double value);
/** Elements are drawn uniformly from [low, high). */
ITO_API ito_tensor *ito_init_uniform(ito_tensor *t, double low, double high, ito_generator *g);
/** Elements are drawn from the normal distribution of this mean and standard deviation. */
ITO_API ito_tensor *ito_init_normal(ito_tensor *t, double mean, double std, ito_generator *g);

/**
 * Uniform in +-sqrt(3 scale / ((fan_in + fan_out) / 2)), so that the variance is scale over the
 * mean fan. DDPM has scale 1, and 1e-10 where a branch begins at almost zero.
 *
 * @param t  [out, in, ...]: fan_in = in times the sizes behind, fan_out likewise; at least 2 axes,
 *           else ITO_ERR_SHAPE.
 * Source: Glorot, Bengio 2010.
 */
ITO_API ito_tensor *ito_init_glorot_uniform(ito_tensor *t, double scale, ito_generator *g);
/**
 * Uniform in +-gain sqrt(3 / fan_in): variance gain^2 / fan_in. gain sqrt(2) is for relu,
 * sqrt(1 / 3) is the default of PyTorch's linear and convolution layers.
 * Source: He et al. 2015, arXiv:1502.01852, section 2.2.
 */
ITO_API ito_tensor *ito_init_kaiming_uniform(ito_tensor *t, double gain, ito_generator *g);
/** Normal with mean 0 and standard deviation gain / sqrt(fan_in). Errors and source as for
 * ito_init_kaiming_uniform. */
ITO_API ito_tensor *ito_init_kaiming_normal(ito_tensor *t, double gain, ito_generator *g);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_init_constant(...) ITO_AT(ito_init_constant(__VA_ARGS__))
#define ito_init_uniform(...) ITO_AT(ito_init_uniform(__VA_ARGS__))
#define ito_init_normal(...) ITO_AT(ito_init_normal(__VA_ARGS__))
#define ito_init_glorot_uniform(...) ITO_AT(ito_init_glorot_uniform(__VA_ARGS__))
#define ito_init_kaiming_uniform(...) ITO_AT(ito_init_kaiming_uniform(__VA_ARGS__))
#define ito_init_kaiming_normal(...) ITO_AT(ito_init_kaiming_normal(__VA_ARGS__))
#endif

#endif
