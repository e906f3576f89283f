/* How training times are drawn, and the weight of each example's loss.
 *
 *     ito_timestep_sampler *s = ito_timestep_sampler_create(d->process,
 *                                                           &ito_timestep_law_second_moment);
 *     ito_timestep_sampler_draw(s, &g, n, &t, &weights);
 *     ito_tensor *losses = ito_diffusion_losses(d, network, x_0, t, eps);
 *     ito_backward(ito_mean(ito_mul(losses, weights)));
 *     ito_timestep_sampler_update(s, t, losses);
 */
#ifndef ITO_DDPM_TIMESTEP_SAMPLER_H
#define ITO_DDPM_TIMESTEP_SAMPLER_H

#include "../../../tensor/tensor.h"
#include "process.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The number of losses recorded for each step. */
#define ITO_TIMESTEP_HISTORY 10

/** Draws times of a process by a law; see below. */
typedef struct ito_timestep_sampler ito_timestep_sampler;

/** A law of times. Weights make the mean of the weighted losses that over uniform times, unless the
 * law itself weights the loss. */
typedef struct ito_timestep_law ito_timestep_law;
struct ito_timestep_law {
    const char *name, *help, *source; /* see choices.h */
    unsigned uses;                    /* ITO_NEEDS_STEPS, ITO_USES_NORMAL */
    /** In steps: fill in the probability of each of the T steps, up to a common factor. */
    void (*probabilities)(const ito_timestep_sampler *s, double *p);
    /** Or: the time below which a share u of [0, 1) of all times lies; in steps, a step. Weights
     * are then 1. NULL, as probabilities: uniform. */
    double (*quantile)(const ito_timestep_law *self, const ito_process *p, double u);
    bool stratified;  /* one random number for a batch of n, shifted by i / n for example i: each t
                         keeps its probability, and the batch covers the times evenly */
    bool unweighted;  /* weights are 1: the law itself weights the loss */
    double mean, std; /* of the normal distribution, in laws that have one */
};

/** Laws of times in training; each of these is described by its own help and source, in
 * timestep_laws.def. */
#define ITO_TIMESTEP_LAW(name) ITO_API extern const ito_timestep_law name;
#include "timestep_laws.def"

/** The law of this name. NULL and ITO_ERR_ARGUMENT, with a list of the names, if none has it. */
ITO_API const ito_timestep_law *ito_timestep_law_find(const char *name);

struct ito_timestep_sampler {
    const ito_timestep_law *law;
    const ito_process *process; /* borrowed */
    /* The whole state, to be saved, and copied back to resume; T is 0 in continuous time. */
    ito_tensor *history; /* [T, ITO_TIMESTEP_HISTORY] f64 last losses of each step, oldest first */
    ito_tensor *counts;  /* [T] i64 the number of these */
    double *p;           /* [T] room for probabilities */
};

/** A timestep sampler for p with a law; NULL: uniform. Owned by the caller, freed by
 * ito_timestep_sampler_free. NULL on error: ITO_ERR_ARGUMENT for a law in steps and a process in
 * continuous time, ITO_ERR_MEMORY. */
ITO_API ito_timestep_sampler *ito_timestep_sampler_create(const ito_process *p,
                                                          const ito_timestep_law *law);
/** Accepts NULL. */
ITO_API void ito_timestep_sampler_free(ito_timestep_sampler *s);

/**
 * Draw times for n examples.
 *
 * @param t        written on success: [n] times, i64 for a process in steps, f64 in continuous
 *                 time.
 * @param weights  written on success: [n] f32, 1 / (T p[t]), or 1.
 * @return         ITO_ERR_NUMERIC if the law's probabilities are negative, not finite or all 0, or
 *                 its times are not times of the process.
 */
ITO_API ito_status ito_timestep_sampler_draw(ito_timestep_sampler *s, ito_generator *g, int64_t n,
                                             ito_tensor **t, ito_tensor **weights);

/**
 * Record each example's loss before weighting. A loss that is not finite is ignored; in continuous
 * time nothing is recorded.
 * @param t, losses  [n] as drawn, [n] f32 or f64.
 * @return           ITO_ERR_SHAPE, ITO_ERR_RANGE for a time, ITO_ERR_ARGUMENT for NULL; nothing is
 *                   recorded then.
 */
ITO_API ito_status ito_timestep_sampler_update(ito_timestep_sampler *s, ito_tensor *t,
                                               ito_tensor *losses);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_timestep_law_find(...) ITO_AT(ito_timestep_law_find(__VA_ARGS__))
#define ito_timestep_sampler_create(...) ITO_AT(ito_timestep_sampler_create(__VA_ARGS__))
#define ito_timestep_sampler_draw(...) ITO_AT(ito_timestep_sampler_draw(__VA_ARGS__))
#define ito_timestep_sampler_update(...) ITO_AT(ito_timestep_sampler_update(__VA_ARGS__))
#endif

#endif
