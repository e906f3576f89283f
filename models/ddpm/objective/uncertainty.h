/* The uncertainty u(sigma) of a loss, learned beside a network: at a noise level of uncertainty u
 * the loss L counts as L / e^u + u. That is least at u = log L, where every noise level pulls on
 * the network with the same strength, whatever the weighting.
 *
 *     ito_uncertainty *u = ito_uncertainty_create(&unet->base, "uncertainty", 128, .generator =
 * &g); ito_diffusion_trainer trainer = {.uncertainty = u, ...};
 *
 * Sampling does not need it.
 * Source: Karras et al. 2023, arXiv:2312.02696, eq. (14), (21).
 */
#ifndef ITO_DDPM_UNCERTAINTY_H
#define ITO_DDPM_UNCERTAINTY_H

#include "../../../nn/layers_mp.h"
#include "../diffusion.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A linear function of Fourier features of log(noise / signal) / 4. */
typedef struct ito_uncertainty {
    ito_module base;
    ito_mp_fourier_layer *fourier;
    ito_mp_linear_layer *linear; /* [1, channels] */
} ito_uncertainty;

/** Options of ito_uncertainty_create. */
typedef struct ito_uncertainty_options {
    int reserved_;
    ito_generator *generator; /* draws features and weights; NULL: zero, to be loaded */
    ito_dtype dtype;          /* of parameters and results: ITO_F32 (the default) or ITO_F64 */
} ito_uncertainty_options;
#define ITO_DEFAULTS_ito_uncertainty_options .reserved_ = 0

/** One of so many features, 128 in the paper; a part of the model that the optimiser moves. NULL on
 * error: ITO_ERR_ARGUMENT unless channels are positive, ITO_ERR_MEMORY. */
ITO_API ito_uncertainty *ito_uncertainty_create_with(ito_module *parent, const char *name,
                                                     int64_t channels,
                                                     ito_uncertainty_options options);
#define ito_uncertainty_create(...)                                                                \
    ITO_AT(ITO_CALL_3(ito_uncertainty_create_with, ito_uncertainty_options, __VA_ARGS__, ))

/** u at these times of d's process: t [N] as in ito_q_sample, to [N] of the module's dtype. NULL on
 * error: what ito_q_sample says of t; ITO_ERR_ARGUMENT for NULL. */
ITO_API ito_tensor *ito_uncertainty_forward(ito_uncertainty *u, const ito_diffusion *d,
                                            ito_tensor *t);

/** losses / e^u + u, for losses [N] of ito_diffusion_losses at times t [N]; differentiable in both.
 * NULL on error: that of ito_uncertainty_forward, ITO_ERR_SHAPE if the two differ. */
ITO_API ito_tensor *ito_uncertainty_losses(ito_uncertainty *u, const ito_diffusion *d,
                                           ito_tensor *t, ito_tensor *losses);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_uncertainty_forward(...) ITO_AT(ito_uncertainty_forward(__VA_ARGS__))
#define ito_uncertainty_losses(...) ITO_AT(ito_uncertainty_losses(__VA_ARGS__))
#endif

#endif
