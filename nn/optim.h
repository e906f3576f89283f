/* Optimisers and gradient clipping: a step is one pass over a model's flat memory, clipping and
 * averages included.
 *
 *     ito_module_zero_grad(model);
 *     ... ito_backward(loss) ...
 *     ito_optimizer_step(opt, lr, .max_norm = 1, .ema = ema);
 *
 * Several backward passes before one step add their gradients up: scale each loss by 1 / n for the
 * mean of n. What to do about a gradient that is not finite is the caller's decision; a step that
 * clips or reports the norm fails and changes nothing. Parameters without a gradient count as
 * having gradient 0; frozen ones are not changed. Results do not depend on the number of threads.
 */
#ifndef ITO_NN_OPTIM_H
#define ITO_NN_OPTIM_H

#include "ema.h"
#include "module.h"

#include <math.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An optimiser of one model: its algorithm, its state and the number of steps taken. */
typedef struct ito_optimizer ito_optimizer;

/** Options of ito_adam_create and ito_adamw_create. */
typedef struct ito_adam_options {
    int reserved_;
    double beta1 ITO_DEFAULT(0.9);   /* in [0, 1) */
    double beta2 ITO_DEFAULT(0.999); /* in [0, 1) */
    double eps ITO_DEFAULT(1e-8);    /* 0 or more; with 0, a gradient that was always 0 gives NaN */
    /* lambda, 0 or more. adam adds lambda p to the gradient; adamw shrinks p by lr lambda. */
    double weight_decay;
} ito_adam_options;
#define ITO_DEFAULTS_ito_adam_options .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8

/**
 * Adam: m += (1 - beta1) (g - m), v = beta2 v + (1 - beta2) g^2,
 *     p -= lr m_hat / (sqrt(v_hat) + eps), m_hat = m / (1 - beta1^t), v_hat = v / (1 - beta2^t).
 * ito_adam_create(&model->base, .beta2 = 0.99). Flattens the model; state (zeros) exists at once.
 *
 * @param model  a root; borrowed, must outlive the optimiser.
 * @return       owned by the caller. NULL: ITO_ERR_RANGE for betas outside [0, 1), eps or decay
 *               below 0 or not finite; whatever ito_module_flatten records; ITO_ERR_MEMORY.
 * Source: Kingma, Ba 2014, arXiv:1412.6980, algorithm 1; as in PyTorch.
 */
ITO_API ito_optimizer *ito_adam_create_with(ito_module *model, ito_adam_options options);
#define ito_adam_create(...)                                                                       \
    ITO_AT(ITO_CALL_1(ito_adam_create_with, ito_adam_options, __VA_ARGS__, ))
/** Adam with decoupled weight decay: p *= 1 - lr weight_decay before the step. The default decay is
 * 0, where PyTorch's is 0.01. Arguments, ownership and errors as for ito_adam_create.
 * Source: Loshchilov, Hutter 2017, arXiv:1711.05101. */
ITO_API ito_optimizer *ito_adamw_create_with(ito_module *model, ito_adam_options options);
#define ito_adamw_create(...)                                                                      \
    ITO_AT(ITO_CALL_1(ito_adamw_create_with, ito_adam_options, __VA_ARGS__, ))

/** Options of ito_sgd_create. */
typedef struct ito_sgd_options {
    int reserved_;
    double momentum;     /* in [0, 1) */
    bool nesterov;       /* only with a momentum above 0 */
    double weight_decay; /* lambda, 0 or more: lambda p is added to the gradient */
} ito_sgd_options;
#define ITO_DEFAULTS_ito_sgd_options .reserved_ = 0

/** Stochastic gradient descent: b = momentum b + g, p -= lr b, or p -= lr (g + momentum b) with
 * nesterov; as in PyTorch, without dampening. Errors as for Adam; ITO_ERR_ARGUMENT for nesterov
 * without momentum. */
ITO_API ito_optimizer *ito_sgd_create_with(ito_module *model, ito_sgd_options options);
#define ito_sgd_create(...) ITO_AT(ITO_CALL_1(ito_sgd_create_with, ito_sgd_options, __VA_ARGS__, ))

/** Free an optimiser and its state, not the model. Accepts NULL. */
ITO_API void ito_optimizer_free(ito_optimizer *opt);

/** Options of ito_optimizer_step. */
typedef struct ito_step_options {
    int reserved_;
    /* 0 or more: the step takes the gradients as if scaled down to this joint norm. INFINITY: the
     * gradients are not clipped, and their norm is not computed for it. */
    double max_norm ITO_DEFAULT((double)INFINITY);
    double *grad_norm; /* receives the norm before clipping; NULL: none */
    ito_ema *ema;      /* averages of the same model, updated with the new values; NULL: none */
} ito_step_options;
#define ITO_DEFAULTS_ito_step_options .max_norm = (double)INFINITY

/**
 * One update of all parameters that are not frozen:
 *     ito_optimizer_step(opt, lr);
 *     ito_optimizer_step(opt, lr, .max_norm = 1, .ema = ema, .grad_norm = &norm);
 * The second makes, to the bit, what ito_clip_grad_norm, the first and ito_ema_update make one
 * after the other, but reads the gradients for their norm and then all memory once. The gradients
 * themselves are not scaled, since they are cleared next.
 *
 * @param lr  the learning rate of this step, at least 0.
 * @return    ITO_ERR_RANGE for an lr that is negative or not finite, a max_norm that is negative or
 *            NaN; ITO_ERR_ARGUMENT if opt is NULL, a parameter has moved to another model that was
 *            flattened later, or the averages belong to another model or are swapped;
 *            ITO_ERR_NUMERIC if max_norm or grad_norm needs the norm and it is not finite:
 *            *grad_norm then holds it. After an error parameters, state, averages and counts are as
 *            they were.
 */
ITO_API ito_status ito_optimizer_step_with(ito_optimizer *opt, double lr, ito_step_options options);
#define ito_optimizer_step(...)                                                                    \
    ITO_AT(ITO_CALL_2(ito_optimizer_step_with, ito_step_options, __VA_ARGS__, ))
/** The number of steps taken: t in Adam's corrections. 0 for NULL. */
ITO_API int64_t ito_optimizer_steps(const ito_optimizer *opt);
/** Set the number of steps taken, as a checkpoint gives it. ITO_ERR_RANGE below 0; ITO_ERR_ARGUMENT
 * if opt is NULL. */
ITO_API ito_status ito_optimizer_set_steps(ito_optimizer *opt, int64_t steps);
/** The algorithm's name: "adam", "adamw" or "sgd"; "" for NULL. A constant string. */
ITO_API const char *ito_optimizer_kind(const ito_optimizer *opt);
/**
 * The state by name, as views shaped as the parameters: "exp_avg.<parameter>" and
 * "exp_avg_sq.<parameter>" for Adam, "momentum_buffer.<parameter>" for SGD with momentum, nothing
 * for SGD without. Writing to a tensor changes the optimiser.
 * @return  owned by the caller (ito_named_tensors_free). NULL: ITO_ERR_MEMORY, or NULL was given.
 */
ITO_API ito_named_tensors *ito_optimizer_state(const ito_optimizer *opt);

/**
 * Scale all gradients of a root by max_norm / (norm + 1e-6) if their joint norm exceeds max_norm,
 * as PyTorch does. Frozen parameters do not count. The sum is taken in double in a fixed order.
 *
 * @param model     a root; it is flattened.
 * @param max_norm  0 or more; INFINITY only measures.
 * @return          the norm before clipping. If it is not finite the gradients are not changed. NaN
 *                  with an error recorded: ITO_ERR_RANGE for max_norm, whatever flatten records.
 */
ITO_API double ito_clip_grad_norm(ito_module *model, double max_norm);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_optimizer_set_steps(...) ITO_AT(ito_optimizer_set_steps(__VA_ARGS__))
#define ito_clip_grad_norm(...) ITO_AT(ito_clip_grad_norm(__VA_ARGS__))
#endif

#endif
