/* The variational bound on -log2 p(x_0), in bits a dimension, in its parts (eq. 5):
 *     L_T + sum of L_{t-1} over t > 1 + L_0,
 * and rate and distortion of progressive coding (section 4.3, algorithms 3 and 4).
 *
 * L_T = KL(q(x_T | x_0) || N(0, I)), L_{t-1} = KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)), and
 * L_0 = -log p(x_0 | x_1), the discretised decoder of eq. (13): x_0 are 8-bit images, scaled to
 * [-1, 1].
 */
#ifndef ITO_DDPM_BOUND_H
#define ITO_DDPM_BOUND_H

#include "../diffusion.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How the normal distribution function is computed in L_0. */
typedef enum ito_decoder {
    ITO_DECODER_ERF, /* as it is */
    ITO_DECODER_TANH /* (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2, as in the authors' code */
} ito_decoder;

/**
 * -log2 of the mass that N(mean, exp(log_variance)) gives to within 1/255 of x; at -1 and 1 the
 * interval is open outwards. Floored: no mass counts below 1e-12 (39.9 bits).
 *
 * @param x, mean, log_variance  of shapes that broadcast; f32 or f64.
 * @return                       element by element; differentiable in mean and log_variance, with
 *                               finite gradients at any log variance, infinite ones too.
 */
ITO_API ito_tensor *ito_decoder_bits(ito_tensor *x, ito_tensor *mean, ito_tensor *log_variance,
                                     ito_decoder decoder);

/** L_T of examples [N, ...]: [N], bits a dimension. */
ITO_API ito_tensor *ito_prior_bits(const ito_diffusion *d, ito_tensor *x_0);

/** The bound of N examples, in f64, bits a dimension; of the current scope. */
typedef struct ito_bits {
    ito_tensor *total;   /* [N] prior + the sum of terms */
    ito_tensor *prior;   /* [N] L_T */
    ito_tensor *terms;   /* [N, T] L_0 at t = 0, then L_t; of steps that are drawn, divided by how
                            often each is, so that means over images are unbiased */
    ito_tensor *squares; /* [N, T] mean squared error of x_0-hat at x_t; likewise */
    ito_tensor *decoded; /* [2, N] L_0 by each ito_decoder */
} ito_bits;

/** Called after each step; false stops. */
typedef bool ito_step_progress(int64_t done, int64_t steps, void *context);

/** How the bound is estimated. */
typedef struct ito_bits_options {
    int reserved_;
    bool no_clip; /* leave x_0-hat as it is; by default it is clipped to [-1, 1], as in sampling */
    ito_decoder decoder;
    int64_t draws ITO_DEFAULT(1); /* noisings of each example at each step, averaged */
    int64_t monte_carlo; /* 0: all steps. Else t = 0 and so many of the others, drawn for each image
                            from its stream: the network is evaluated 1 + monte_carlo times */
    uint64_t seed;
    int64_t first_image; /* example i draws from stream first_image + i */
    ito_step_progress *progress;
    void *progress_context;
} ito_bits_options;
#define ITO_DEFAULTS_ito_bits_options .draws = 1

/** The bound of each example: an unbiased estimate of it from one noising a step. The network is
 * evaluated T times.
 *
 * With .monte_carlo = K the sum of L_t over t >= 1 is estimated from K of its terms, each counted 1
 * / (how many times it is expected among K). One number of [0, 1) for each image, shifted by k / K,
 * picks them, with probabilities in proportion to the terms that images of independent pixels
 * N(0, 1/4) would have, but for a tenth, which is uniform. L_T is exact, and each estimate has L_0.
 *
 * @param x_0  [N, ...] f32 or f64, pixels scaled to [-1, 1].
 * @param out  written on success.
 * @return     ITO_ERR_ARGUMENT if the prediction does not determine x_0 at some step; ITO_ERR_RANGE
 * for more steps to draw than there are; the network's errors. If progress stops it
 * ITO_ERR_ARGUMENT, with no error recorded.
 */
ITO_API ito_status ito_bits_per_dim_with(const ito_diffusion *d, ito_network *network,
                                         ito_tensor *x_0, ito_bits_options options, ito_bits *out);
#define ito_bits_per_dim(...)                                                                      \
    ITO_AT(ITO_CALL_3_OUT(ito_bits_per_dim_with, ito_bits_options, __VA_ARGS__, ))

/**
 * Rate and distortion of progressive coding, averaged over images.
 *
 * @return  [T, 2] f64. Row t is for a receiver that has decoded down to x_t: the bits a dimension
 *          that took, L_T + the sum of L_s over s > t, and the root of the mean squared error of
 *          its x_0-hat on the scale of 0 to 255.
 */
ITO_API ito_tensor *ito_rate_distortion(const ito_bits *bits);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_decoder_bits(...) ITO_AT(ito_decoder_bits(__VA_ARGS__))
#define ito_prior_bits(...) ITO_AT(ito_prior_bits(__VA_ARGS__))
#define ito_rate_distortion(...) ITO_AT(ito_rate_distortion(__VA_ARGS__))
#endif

#endif
