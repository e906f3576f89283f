/* Samplers: from noise to images, along the whole schedule or a few of its steps.
 *
 * Image i of a run draws everything from the stream (seed, i), so it does not depend on how many
 * images are made at once, nor on threads. A sampler of one step is one small function, the
 * coefficients of its move; ito_ddpm_ancestral and ito_ddpm_ddim show the form.
 */
#ifndef ITO_DDPM_SAMPLER_H
#define ITO_DDPM_SAMPLER_H

#include "diffusion.h"

#ifdef __cplusplus
extern "C" {
#endif

/** x_s = x_t x_t + x_0 x_0-hat + eps eps-hat + noise z, with z standard normal. */
typedef struct ito_ddpm_move {
    double x_t, x_0, eps, noise;
} ito_ddpm_move;

typedef struct ito_ddpm_sampler {
    const char *name;
    /** eta as in the options below; samplers without one ignore it. */
    ito_ddpm_move (*move)(const ito_diffusion *d, const ito_ddpm_step *step, double eta);
} ito_ddpm_sampler;

/** Algorithm 2 of Ho et al. 2020: the mean of eq. (7) at x_0-hat, and the diffusion's variance. */
ITO_API extern const ito_ddpm_sampler ito_ddpm_ancestral;
/** Song et al. 2020, arXiv:2010.02502, eq. (12) and (16); deterministic with eta 0. */
ITO_API extern const ito_ddpm_sampler ito_ddpm_ddim;

/** The one of that name, "ddpm" or "ddim". NULL and ITO_ERR_ARGUMENT if none has it. */
ITO_API const ito_ddpm_sampler *ito_ddpm_sampler_find(const char *name);

/** Which steps of T are taken when there are S < T. All are the same with S = T. */
typedef enum ito_ddpm_spacing {
    ITO_SPACING_LINSPACE, /* round(i (T-1) / (S-1)): both ends; T-1 if S is 1 */
    ITO_SPACING_LEADING,  /* floor(i T / S): from 0, not up to T-1, as DDIM's authors */
    ITO_SPACING_TRAILING  /* round((i+1) T / S) - 1: up to T-1, not from 0 */
} ito_ddpm_spacing;

/** The spacing called "linspace", "leading" or "trailing". ITO_ERR_ARGUMENT if there is none. */
ITO_API ito_status ito_ddpm_spacing_find(const char *name, ito_ddpm_spacing *out);

/**
 * The S steps taken, falling. Sampling goes from each to the next one, and from the last to
 * alpha_bar = 1.
 * @param times  room for S numbers.
 * @return       ITO_ERR_RANGE unless 1 <= S <= T.
 */
ITO_API ito_status ito_ddpm_timesteps(ito_ddpm_spacing spacing, int64_t T, int64_t S,
                                      int64_t *times);

/** Called after each step; false stops the sampling. x is borrowed. */
typedef bool ito_ddpm_progress(int64_t done, int64_t steps, ito_tensor *x, void *context);

typedef struct ito_ddpm_sample_options {
    int reserved_;
    const ito_ddpm_sampler *sampler; /* default ito_ddpm_ancestral */
    int64_t steps;                   /* S; default the schedule's T */
    ito_ddpm_spacing spacing;
    const int64_t *times; /* [steps] an explicit list, falling, instead of spacing */
    double eta;           /* ddim: 0 deterministic, 1 the noise of fixedsmall */
    bool no_clip;         /* leave x_0-hat as it is, as in the paper; the authors' code clips to
                             [-1, 1] */
    bool rederive_eps;    /* ddim: take eps-hat from the clipped x_0-hat, not from the network */
    uint64_t seed;
    int64_t first_image; /* image i of the batch draws from stream first_image + i */
    ito_dtype dtype;     /* f32 or f64 */
    ito_ddpm_progress *progress;
    void *progress_context;
} ito_ddpm_sample_options;

/**
 * One step of a sampler, for loops of one's own.
 *
 * @param x_t, output  the images and what the network made of them at step->t.
 * @param noise        standard normal, shaped as x_t; may be NULL where the move takes none.
 * @return             x at the step's end, of the current scope. ITO_ERR_SHAPE if shapes differ,
 *                     ITO_ERR_ARGUMENT if noise is missing.
 */
ITO_API ito_tensor *ito_ddpm_sample_step(const ito_diffusion *d, const ito_ddpm_step *step,
                                         ito_tensor *x_t, ito_tensor *output, ito_tensor *noise,
                                         ito_ddpm_sample_options options);

/**
 * Images made of noise; nothing is recorded for gradients.
 *
 * @param shape  [N, C, H, W].
 * @return       about in [-1, 1], of the current scope. NULL on error: ITO_ERR_RANGE for steps, eta
 *               or times, what the network says, or, with no error recorded, if progress stopped
 * it.
 */
ITO_API ito_tensor *ito_ddpm_sample_with(const ito_diffusion *d, ito_ddpm_network *network,
                                         void *context, ito_shape shape,
                                         ito_ddpm_sample_options options);
#define ito_ddpm_sample(d, network, context, shape, ...)                                           \
    ITO_AT(ito_ddpm_sample_with(d, network, context, shape,                                        \
                                ITO_OPTIONS(ito_ddpm_sample_options, __VA_ARGS__)))

/** The same from given noise x_T [N, C, H, W], f32 or f64; the streams serve the later noise. */
ITO_API ito_tensor *ito_ddpm_sample_from_with(const ito_diffusion *d, ito_ddpm_network *network,
                                              void *context, ito_tensor *x_T,
                                              ito_ddpm_sample_options options);
#define ito_ddpm_sample_from(d, network, context, x_T, ...)                                        \
    ITO_AT(ito_ddpm_sample_from_with(d, network, context, x_T,                                     \
                                     ITO_OPTIONS(ito_ddpm_sample_options, __VA_ARGS__)))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_ddpm_sampler_find(...) ITO_AT(ito_ddpm_sampler_find(__VA_ARGS__))
#define ito_ddpm_spacing_find(...) ITO_AT(ito_ddpm_spacing_find(__VA_ARGS__))
#define ito_ddpm_timesteps(...) ITO_AT(ito_ddpm_timesteps(__VA_ARGS__))
#define ito_ddpm_sample_step(...) ITO_AT(ito_ddpm_sample_step(__VA_ARGS__))
#endif

#endif
