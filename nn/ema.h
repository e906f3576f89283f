/* Exponential moving average (EMA) of a model's parameters. Diffusion models sample better with the
 * averages than with the parameters themselves. Buffers are not averaged.
 *
 *     ito_ema_update(ema);   // after each optimiser step, unless that has .ema = ema
 *     ito_ema_swap(ema);     // the model now has the averages: sample, evaluate
 *     ito_ema_swap(ema);     // continue training
 */
#ifndef ITO_NN_EMA_H
#define ITO_NN_EMA_H

#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The averages of one model's parameters, and the number of updates so far. */
typedef struct ito_ema ito_ema;

/** Options of ito_ema_create. */
typedef struct ito_ema_options {
    int reserved_;
    double decay ITO_DEFAULT(0.9999); /* in [0, 1); 0: the averages follow the parameters */
    bool warmup; /* min(decay, (1 + n) / (10 + n)) at update n = 0, 1, ...: forget the start */
    /* In (0, 0.288]: the average of a power of time, in place of a constant decay. Its weights have
     * this standard deviation, as a share of the length of the training: 0.05 to 0.25. 0: none. */
    double sigma_rel;
} ito_ema_options;
#define ITO_DEFAULTS_ito_ema_options .decay = 0.9999

/**
 * Averages that begin as copies of the parameters: ito_ema_create(&model->base, .decay = 0.999).
 * Flattens the model. With sigma_rel the decay of update n = 0, 1, ... is (1 - 1 / (n + 1))^(gamma
 * + 1), gamma being such that (gamma + 1) / ((gamma + 2)^2 (gamma + 3)) = sigma_rel^2: the average
 * forgets the start and gets longer with the training. From snapshots of two widths any other can
 * be had afterwards: see posthoc.h. Source: Karras et al. 2023, arXiv:2312.02696, section 3.1.
 * @param model  a root; borrowed, must outlive the averages.
 * @return       owned by the caller. NULL: ITO_ERR_RANGE for the decay or sigma_rel,
 *               ITO_ERR_ARGUMENT for a warm-up with sigma_rel, ITO_ERR_MEMORY, whatever
 *               ito_module_flatten records.
 */
ITO_API ito_ema *ito_ema_create_with(ito_module *model, ito_ema_options options);
#define ito_ema_create(...) ITO_AT(ITO_CALL_1(ito_ema_create_with, ito_ema_options, __VA_ARGS__, ))
/** Free the averages; the model stays as it is, and is not swapped back. Accepts NULL. */
ITO_API void ito_ema_free(ito_ema *ema);

/** One update of all averages: average += (1 - decay) (parameter - average). ITO_ERR_ARGUMENT if
 * ema is NULL or swapped, or a parameter has moved to another model that was flattened later. */
ITO_API ito_status ito_ema_update(ito_ema *ema);
/** Exchange the model's parameters and the averages; twice restores both to the bit.
 * ITO_ERR_ARGUMENT if ema is NULL or a parameter has moved to another model that was flattened
 * later. */
ITO_API ito_status ito_ema_swap(ito_ema *ema);
/** Whether the model holds the averages now. false for NULL. */
ITO_API bool ito_ema_is_swapped(const ito_ema *ema);

/** The decay that the next update uses, in [0, 1). 0 for NULL. */
ITO_API double ito_ema_decay(const ito_ema *ema);
/** The number of updates so far. 0 for NULL. */
ITO_API int64_t ito_ema_updates(const ito_ema *ema);
/** Set the number of updates, as a checkpoint gives it. ITO_ERR_RANGE below 0; ITO_ERR_ARGUMENT if
 * ema is NULL. */
ITO_API ito_status ito_ema_set_updates(ito_ema *ema, int64_t updates);
/** The averages under the parameters' names, as views; saved, a state dict that ito_module_load
 * reads. While swapped, the parameters. Owned by the caller (ito_named_tensors_free). NULL:
 * ITO_ERR_MEMORY, or NULL was given. */
ITO_API ito_named_tensors *ito_ema_state(const ito_ema *ema);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_ema_update(...) ITO_AT(ito_ema_update(__VA_ARGS__))
#define ito_ema_swap(...) ITO_AT(ito_ema_swap(__VA_ARGS__))
#define ito_ema_set_updates(...) ITO_AT(ito_ema_set_updates(__VA_ARGS__))
#endif

#endif
