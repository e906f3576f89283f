/* Samplers applied to existing data: encode and decode, interpolate, change, complete. All of it is
 * a run of the samplers of sampler.h, with their options; nothing is recorded for gradients.
 */
#ifndef ITO_DDPM_EDIT_H
#define ITO_DDPM_EDIT_H

#include "../sampler/sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The noise from which DDIM makes x_0: its steps taken upwards. At each the network is evaluated
 * on x at the time that the step goes to.
 *
 * @param x_0      [N, ...] f32 or f64.
 * @param options  steps, spacing, times, start, the limits of x_0-hat, progress; others are
 * ignored. The limits spoil the round trip where they act.
 * @return         x at the noisiest of the times, to be decoded with the same options.
 * Source: Song et al. 2020, arXiv:2010.02502, section 4.3.
 */
ITO_API ito_tensor *ito_diffusion_encode_with(const ito_diffusion *d, ito_network *network,
                                              ito_tensor *x_0, ito_sample_options options);
#define ito_diffusion_encode(...)                                                                  \
    ITO_AT(ITO_CALL_3(ito_diffusion_encode_with, ito_sample_options, __VA_ARGS__, ))

/** Encoded and decoded by DDIM. */
typedef struct ito_round_trip {
    ito_tensor *noise; /* what was encoded */
    ito_tensor *image; /* and decoded from it */
    ito_tensor *error; /* [N] root of the mean squared difference to x_0 */
} ito_round_trip;

/** Encode, then decode with the deterministic sampler of the options, DDIM by default. out is
 * written on success, with tensors of the current scope. */
ITO_API ito_status ito_diffusion_round_trip_with(const ito_diffusion *d, ito_network *network,
                                                 ito_tensor *x_0, ito_sample_options options,
                                                 ito_round_trip *out);
#define ito_diffusion_round_trip(...)                                                              \
    ITO_AT(ITO_CALL_3_OUT(ito_diffusion_round_trip_with, ito_sample_options, __VA_ARGS__, ))

/** Between two examples: both are noised to time t, mixed there in the proportions 1 - lambda to
 * lambda, and sampled from there. All mixtures take the same noise, in sampling too.
 *
 * @param x_a, x_b  [1, ...] f32 or f64.
 * @param lambda    [K] f32 or f64.
 * @param t         above t_min, to t_max: the first of the times visited, whatever the others are;
 * whole in steps.
 * @return          [K, ...].
 * Source: Ho et al. 2020, section 4.3, figure 8.
 */
ITO_API ito_tensor *ito_diffusion_interpolate_with(const ito_diffusion *d, ito_network *network,
                                                   ito_tensor *x_a, ito_tensor *x_b,
                                                   ito_tensor *lambda, double t,
                                                   ito_sample_options options);
#define ito_diffusion_interpolate(...)                                                             \
    ITO_AT(ITO_CALL_6(ito_diffusion_interpolate_with, ito_sample_options, __VA_ARGS__, ))

/** Image to image, for data of any shape: noised to the share `strength` of all times, and sampled
 * from there.
 *
 * @param x_0       [N, ...] f32 or f64.
 * @param strength  in (0, 1]: 1 keeps almost nothing of x_0.
 * Source: Meng et al. 2021, arXiv:2108.01073 (SDEdit).
 */
ITO_API ito_tensor *ito_image_to_image_with(const ito_diffusion *d, ito_network *network,
                                            ito_tensor *x_0, double strength,
                                            ito_sample_options options);
#define ito_image_to_image(...)                                                                    \
    ITO_AT(ITO_CALL_4(ito_image_to_image_with, ito_sample_options, __VA_ARGS__, ))

/** How often inpainting goes back to noisier times, so that generated parts fit the given ones.
 * {10, 1} does not go back. */
typedef struct ito_resampling {
    int64_t jump;    /* steps up at once; the paper's is 10 */
    int64_t repeats; /* times each stretch is sampled; 1 never goes up, the paper's is 10 */
} ito_resampling;

/** Complete data: after every step the given part is put in its place, noised to the same time.
 *
 * @param x_0   [N, ...] f32 or f64; values outside the mask do not matter.
 * @param mask  of a shape that broadcasts to x_0's, any dtype: above 0.5 where x_0 is given.
 * @return      equal to x_0 there.
 * Source: Lugmayr et al. 2022, arXiv:2201.09865 (RePaint), algorithm 1 and appendix B.
 */
ITO_API ito_tensor *ito_diffusion_inpaint_with(const ito_diffusion *d, ito_network *network,
                                               ito_tensor *x_0, ito_tensor *mask,
                                               ito_resampling resampling,
                                               ito_sample_options options);
#define ito_diffusion_inpaint(...)                                                                 \
    ITO_AT(ITO_CALL_5(ito_diffusion_inpaint_with, ito_sample_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
