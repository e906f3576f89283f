/* Which steps t a batch is trained on, and what each image's loss then counts so that the mean is
 * still that over uniform steps.
 *
 *     ito_ddpm_steps *steps = ito_ddpm_steps_create(d->schedule, &ito_ddpm_steps_second_moment);
 *     ito_ddpm_steps_draw(steps, &g, n, &t, &weights);
 *     ito_tensor *losses = ito_ddpm_losses(d, network, context, x_0, t, eps);
 *     ito_backward(ito_mean(ito_mul(losses, weights)));
 *     ito_ddpm_steps_update(steps, t, losses);
 */
#ifndef ITO_DDPM_STEPS_H
#define ITO_DDPM_STEPS_H

#include "../../../tensor/tensor.h"
#include "process.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How many losses of each step are remembered. */
#define ITO_DDPM_HISTORY 10

typedef struct ito_ddpm_steps ito_ddpm_steps;

/** A way to choose. */
typedef struct ito_ddpm_step_law {
    const char *name;
    /** Fill in the probability of each of the T steps, up to a common factor; NULL: equal. */
    void (*probabilities)(const ito_ddpm_steps *steps, double *p);
    bool stratified; /* one random number for a batch of n, shifted by i / n for image i: each t has
                        its probability, and the batch covers all of them evenly */
    bool unweighted; /* weights are 1: the probabilities are meant to weigh the loss */
} ito_ddpm_step_law;

struct ito_ddpm_steps {
    const ito_ddpm_step_law *law;
    const ito_ddpm_schedule *schedule; /* borrowed */
    ito_tensor *history; /* [T, ITO_DDPM_HISTORY] f64: the last losses of each step, oldest first */
    ito_tensor *counts;  /* [T] i64: how many of them there are. These two are all the state: save
                            them, and copy them back to resume */
    double *p;           /* [T] room for probabilities */
};

/** Every step equally likely, as in the paper. */
ITO_API extern const ito_ddpm_step_law ito_ddpm_steps_uniform;
/** The same, stratified over the batch (Kingma et al. 2021, arXiv:2107.00630, appendix I.1). */
ITO_API extern const ito_ddpm_step_law ito_ddpm_steps_stratified;
/** In proportion to sqrt(E[L^2]) over the last 10 losses of the step, with 0.001 of uniform mixed
 * in; uniform until every step has 10 (Nichol, Dhariwal 2021, section 3.3). */
ITO_API extern const ito_ddpm_step_law ito_ddpm_steps_second_moment;

/** "uniform", "stratified" or "second-moment". NULL and ITO_ERR_ARGUMENT if none has the name. */
ITO_API const ito_ddpm_step_law *ito_ddpm_step_law_find(const char *name);

/** Owned by the caller, freed by ito_ddpm_steps_free. law NULL: uniform. */
ITO_API ito_ddpm_steps *ito_ddpm_steps_create(const ito_ddpm_schedule *s,
                                              const ito_ddpm_step_law *law);
/** Accepts NULL. */
ITO_API void ito_ddpm_steps_free(ito_ddpm_steps *steps);

/**
 * Steps for n images.
 *
 * @param t        written on success: [n] i64.
 * @param weights  the same: [n] f32, 1 / (T p[t]).
 * @return         ITO_ERR_NUMERIC if the law's probabilities are negative, not finite or all 0.
 */
ITO_API ito_status ito_ddpm_steps_draw(ito_ddpm_steps *steps, ito_generator *g, int64_t n,
                                       ito_tensor **t, ito_tensor **weights);

/**
 * Remember each image's loss, before weights. A loss that is not finite is passed over.
 * @param t, losses  [n] i64, [n] f32 or f64.
 * @return           ITO_ERR_SHAPE, ITO_ERR_RANGE for a step, ITO_ERR_ARGUMENT for NULL; nothing is
 *                   remembered then.
 */
ITO_API ito_status ito_ddpm_steps_update(ito_ddpm_steps *steps, ito_tensor *t, ito_tensor *losses);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_ddpm_step_law_find(...) ITO_AT(ito_ddpm_step_law_find(__VA_ARGS__))
#define ito_ddpm_steps_create(...) ITO_AT(ito_ddpm_steps_create(__VA_ARGS__))
#define ito_ddpm_steps_draw(...) ITO_AT(ito_ddpm_steps_draw(__VA_ARGS__))
#define ito_ddpm_steps_update(...) ITO_AT(ito_ddpm_steps_update(__VA_ARGS__))
#endif

#endif
