/* Optimisers and gradient clipping: a step is one pass over a model's flat memory, clipping and
 * averages included. Muon, SOAP and Adafactor, which see matrices, look at each of them before it.
 *
 *     ito_module_zero_grad(model);
 *     ... ito_backward(loss) ...
 *     ito_optimizer_step(opt, lr, .max_norm = 1, .ema = ema);
 *
 * Several backward passes before one step add their gradients up: scale each loss by 1 / n for the
 * mean of n. What to do about a gradient that is not finite is the caller's decision; a step that
 * clips or reports the norm fails and changes nothing. Parameters without a gradient count as
 * having gradient 0; frozen ones are not changed. Results do not depend on the number of threads.
 *
 * Options and defaults are those of PyTorch or, where it has no such optimiser, of the paper's
 * code. The learning rate is an argument of each step; ito_optimizer_algorithm has the usual one.
 * In the formulas g is the gradient, t counts steps from 1, and powers, roots and products are
 * element by element. Each function that creates an optimiser flattens the model, which is a root,
 * borrowed, and must outlive it; its state exists at once. What it returns is owned by the caller.
 * NULL: ITO_ERR_RANGE for a number outside its range, whatever ito_module_flatten records,
 * ITO_ERR_MEMORY.
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

/** Options of ito_adam_create. */
typedef struct ito_adam_options {
    int reserved_;
    double beta1 ITO_DEFAULT(0.9);   /* in [0, 1) */
    double beta2 ITO_DEFAULT(0.999); /* in [0, 1) */
    double eps ITO_DEFAULT(1e-8);    /* 0 or more; with 0, a gradient that was always 0 gives NaN */
    double weight_decay;             /* lambda, 0 or more: lambda p is added to the gradient */
    bool amsgrad;                    /* v_hat is divided by the largest v so far */
} ito_adam_options;
#define ITO_DEFAULTS_ito_adam_options .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8

/**
 * Adam: m += (1 - beta1) (g - m), v = beta2 v + (1 - beta2) g^2,
 *     p -= lr m_hat / (sqrt(v_hat) + eps), m_hat = m / (1 - beta1^t), v_hat = v / (1 - beta2^t).
 * ito_adam_create(&model->base, .beta2 = 0.99). With amsgrad the largest v so far takes v's place
 * in v_hat. State: exp_avg, exp_avg_sq, max_exp_avg_sq (amsgrad).
 * Source: Kingma, Ba 2014, arXiv:1412.6980, algorithm 1; Reddi, Kale, Kumar 2018, algorithm 2
 * (amsgrad); as in PyTorch.
 */
ITO_API ito_optimizer *ito_adam_create_with(ito_module *model, ito_adam_options options);
#define ito_adam_create(...)                                                                       \
    ITO_AT(ITO_CALL_1(ito_adam_create_with, ito_adam_options, __VA_ARGS__, ))

/** Options of ito_adamw_create: those of Adam, but for the decay. */
typedef struct ito_adamw_options {
    int reserved_;
    double beta1 ITO_DEFAULT(0.9);
    double beta2 ITO_DEFAULT(0.999);
    double eps ITO_DEFAULT(1e-8);
    double weight_decay ITO_DEFAULT(0.01); /* lambda, 0 or more: p shrinks by lr lambda */
    bool amsgrad;
} ito_adamw_options;
#define ITO_DEFAULTS_ito_adamw_options                                                             \
    .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01

/** Adam with decoupled weight decay: p *= 1 - lr weight_decay before the step.
 * Source: Loshchilov, Hutter 2017, arXiv:1711.05101. */
ITO_API ito_optimizer *ito_adamw_create_with(ito_module *model, ito_adamw_options options);
#define ito_adamw_create(...)                                                                      \
    ITO_AT(ITO_CALL_1(ito_adamw_create_with, ito_adamw_options, __VA_ARGS__, ))

/** Options of ito_sgd_create. */
typedef struct ito_sgd_options {
    int reserved_;
    double momentum;     /* in [0, 1) */
    double dampening;    /* in [0, 1]; the gradient counts 1 - dampening, but in the first step */
    bool nesterov;       /* only with a momentum above 0 and without dampening */
    double weight_decay; /* lambda, 0 or more: lambda p is added to the gradient */
} ito_sgd_options;
#define ITO_DEFAULTS_ito_sgd_options .reserved_ = 0

/** Stochastic gradient descent: b = momentum b + (1 - dampening) g, p -= lr b, or
 * p -= lr (g + momentum b) with nesterov; b = g in the first step. State: momentum_buffer, with
 * momentum. ITO_ERR_ARGUMENT for nesterov without momentum or with dampening. */
ITO_API ito_optimizer *ito_sgd_create_with(ito_module *model, ito_sgd_options options);
#define ito_sgd_create(...) ITO_AT(ITO_CALL_1(ito_sgd_create_with, ito_sgd_options, __VA_ARGS__, ))

/** Options of ito_rmsprop_create. */
typedef struct ito_rmsprop_options {
    int reserved_;
    double alpha ITO_DEFAULT(0.99); /* in [0, 1) */
    double eps ITO_DEFAULT(1e-8);   /* 0 or more */
    double weight_decay;            /* lambda, 0 or more: lambda p is added to the gradient */
    double momentum;                /* in [0, 1) */
    bool centered;                  /* divide by the standard deviation, not the root mean square */
} ito_rmsprop_options;
#define ITO_DEFAULTS_ito_rmsprop_options .alpha = 0.99, .eps = 1e-8

/** RMSprop: v = alpha v + (1 - alpha) g^2, b = momentum b + g / (sqrt(v) + eps), p -= lr b. If
 * centered, v - m^2 takes v's place, m += (1 - alpha) (g - m); where rounding makes that negative
 * it is 0, and PyTorch's NaN. State: square_avg, grad_avg (centered), momentum_buffer (momentum).
 * Source: Hinton 2012, lecture 6; centered: Graves 2013, arXiv:1308.0850. */
ITO_API ito_optimizer *ito_rmsprop_create_with(ito_module *model, ito_rmsprop_options options);
#define ito_rmsprop_create(...)                                                                    \
    ITO_AT(ITO_CALL_1(ito_rmsprop_create_with, ito_rmsprop_options, __VA_ARGS__, ))

/** Options of ito_adagrad_create. */
typedef struct ito_adagrad_options {
    int reserved_;
    double lr_decay;                  /* 0 or more */
    double weight_decay;              /* lambda, 0 or more: lambda p is added to the gradient */
    double initial_accumulator_value; /* 0 or more: of the sum at the start */
    double eps ITO_DEFAULT(1e-10);    /* 0 or more */
} ito_adagrad_options;
#define ITO_DEFAULTS_ito_adagrad_options .eps = 1e-10

/** Adagrad: sum += g^2, p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(sum) + eps). State: sum.
 * Source: Duchi, Hazan, Singer 2011. */
ITO_API ito_optimizer *ito_adagrad_create_with(ito_module *model, ito_adagrad_options options);
#define ito_adagrad_create(...)                                                                    \
    ITO_AT(ITO_CALL_1(ito_adagrad_create_with, ito_adagrad_options, __VA_ARGS__, ))

/** Options of ito_radam_create. */
typedef struct ito_radam_options {
    int reserved_;
    double beta1 ITO_DEFAULT(0.9);   /* in [0, 1) */
    double beta2 ITO_DEFAULT(0.999); /* in [0, 1) */
    double eps ITO_DEFAULT(1e-8);    /* 0 or more */
    double weight_decay;             /* lambda, 0 or more: lambda p is added to the gradient */
    bool decoupled_weight_decay;     /* p shrinks by lr lambda instead */
} ito_radam_options;
#define ITO_DEFAULTS_ito_radam_options .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8

/** Rectified Adam: with rho_inf = 2 / (1 - beta2) - 1, rho = rho_inf - 2 t beta2^t / (1 - beta2^t),
 * the step is lr m_hat where rho is 5 or less, and otherwise Adam's, with sqrt(1 - beta2^t) over
 * (sqrt(v) + eps), times the root of (rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2)
 * rho). State as Adam's. Source: Liu et al. 2019, arXiv:1908.03265, algorithm 2; as in PyTorch. */
ITO_API ito_optimizer *ito_radam_create_with(ito_module *model, ito_radam_options options);
#define ito_radam_create(...)                                                                      \
    ITO_AT(ITO_CALL_1(ito_radam_create_with, ito_radam_options, __VA_ARGS__, ))

/** Options of ito_lion_create. */
typedef struct ito_lion_options {
    int reserved_;
    double beta1 ITO_DEFAULT(0.9);  /* in [0, 1) */
    double beta2 ITO_DEFAULT(0.99); /* in [0, 1) */
    double weight_decay;            /* lambda, 0 or more: p shrinks by lr lambda */
} ito_lion_options;
#define ITO_DEFAULTS_ito_lion_options .beta1 = 0.9, .beta2 = 0.99

/** Lion: p *= 1 - lr weight_decay, p -= lr sign(beta1 m + (1 - beta1) g), m = beta2 m + (1 - beta2)
 * g. The learning rate is a third to a tenth of Adam's, the decay larger by as much. State:
 * exp_avg. Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2. */
ITO_API ito_optimizer *ito_lion_create_with(ito_module *model, ito_lion_options options);
#define ito_lion_create(...)                                                                       \
    ITO_AT(ITO_CALL_1(ito_lion_create_with, ito_lion_options, __VA_ARGS__, ))

/** Options of ito_adafactor_create. */
typedef struct ito_adafactor_options {
    int reserved_;
    double beta2_decay ITO_DEFAULT(-0.8); /* 0 or less: beta2 = 1 - t^beta2_decay */
    /* 0 or more, of divisions; NaN: the spacing of numbers at 1 */
    double eps1 ITO_DEFAULT((double)NAN);
    double eps2 ITO_DEFAULT(1e-3); /* 0 or more: least size of a parameter, for its step */
    double d ITO_DEFAULT(1.0);     /* 1 or more: largest root mean square of an update */
    double weight_decay;           /* lambda, 0 or more: p shrinks by lr lambda */
} ito_adafactor_options;
#define ITO_DEFAULTS_ito_adafactor_options                                                         \
    .beta2_decay = -0.8, .eps1 = (double)NAN, .eps2 = 1e-3, .d = 1.0

/**
 * Adafactor: of the mean of squares over the last two axes only the means of rows and columns are
 * kept, V = row col / mean(row), with beta2 = 1 - t^beta2_decay; parameters with one axis keep all
 * of it. u = g / max(sqrt(V), eps1), then p -= alpha u / max(1, rms(u) / d), alpha = max(eps2,
 * rms(p)) min(lr, 1 / sqrt(t)): lr is the largest step relative to a parameter's size.
 * State: row_var and col_var, or variance. One block of the parameters' size is scratch.
 * Source: Shazeer, Stern 2018, arXiv:1804.04235, algorithms 4 and 5; as in PyTorch.
 */
ITO_API ito_optimizer *ito_adafactor_create_with(ito_module *model, ito_adafactor_options options);
#define ito_adafactor_create(...)                                                                  \
    ITO_AT(ITO_CALL_1(ito_adafactor_create_with, ito_adafactor_options, __VA_ARGS__, ))

/** What Muon's learning rate is multiplied by, for a parameter of A rows and B columns. */
typedef enum ito_muon_adjust {
    ITO_MUON_ORIGINAL,          /* sqrt(max(1, A / B)) */
    ITO_MUON_MATCH_RMS_ADAMW,   /* 0.2 sqrt(max(A, B)): the rates and decays that suit AdamW */
    ITO_MUON_SPECTRAL_UNCLAMPED /* sqrt(A / B) */
} ito_muon_adjust;

/** Options of ito_muon_create. */
typedef struct ito_muon_options {
    int reserved_;
    double weight_decay ITO_DEFAULT(0.1); /* lambda, 0 or more: p shrinks by lr lambda */
    double momentum ITO_DEFAULT(0.95);    /* in [0, 1) */
    bool nesterov ITO_DEFAULT(true);
    double ns_a ITO_DEFAULT(3.4445); /* of a step of Newton-Schulz */
    double ns_b ITO_DEFAULT(-4.775);
    double ns_c ITO_DEFAULT(2.0315);
    double eps ITO_DEFAULT(1e-7);     /* above 0: the least norm that a matrix is divided by */
    int64_t ns_steps ITO_DEFAULT(5);  /* in [0, 100) */
    ito_muon_adjust adjust_lr_fn;     /* ITO_MUON_ORIGINAL */
    double adamw_lr ITO_DEFAULT(1.0); /* 0 or more: AdamW's learning rate over Muon's */
    double adamw_beta1 ITO_DEFAULT(0.9);
    double adamw_beta2 ITO_DEFAULT(0.999);
    double adamw_eps ITO_DEFAULT(1e-8);
    double adamw_weight_decay ITO_DEFAULT(0.01);
} ito_muon_options;
#define ITO_DEFAULTS_ito_muon_options                                                              \
    .weight_decay = 0.1, .momentum = 0.95, .nesterov = true, .ns_a = 3.4445, .ns_b = -4.775,       \
    .ns_c = 2.0315, .eps = 1e-7, .ns_steps = 5, .adamw_lr = 1.0, .adamw_beta1 = 0.9,               \
    .adamw_beta2 = 0.999, .adamw_eps = 1e-8, .adamw_weight_decay = 0.01

/**
 * Muon: b += (1 - momentum) (g - b), and X = g + momentum (b - g) (nesterov) or b, divided by its
 * norm. ns_steps times X = a X + (b A + c A A) X with A = X X^T, which brings all singular values
 * near 1; then p *= 1 - lr weight_decay, p -= lr adjust X.
 *
 * Parameters with two axes and more are matrices [first, the rest]: a convolution's weights are
 * flattened. All others, and those of a group with .elementwise, go by AdamW. A PyTorch program has
 * two optimisers for that; adamw_lr relates their rates. PyTorch computes the matrices in bf16,
 * this in the parameters' own dtype.
 * State: momentum_buffer for matrices; exp_avg and exp_avg_sq for the others.
 * Source: Jordan et al. 2024; Liu et al. 2025, arXiv:2502.16982 (match_rms_adamw); as in PyTorch.
 */
ITO_API ito_optimizer *ito_muon_create_with(ito_module *model, ito_muon_options options);
#define ito_muon_create(...)                                                                       \
    ITO_AT(ITO_CALL_1(ito_muon_create_with, ito_muon_options, __VA_ARGS__, ))

/** Options of ito_soap_create. */
typedef struct ito_soap_options {
    int reserved_;
    double beta1 ITO_DEFAULT(0.95);        /* in [0, 1) */
    double beta2 ITO_DEFAULT(0.95);        /* in [0, 1) */
    double shampoo_beta ITO_DEFAULT(-1.0); /* below 1: of the preconditioner; below 0: beta2 */
    double eps ITO_DEFAULT(1e-8);          /* 0 or more */
    double
        weight_decay ITO_DEFAULT(0.01); /* lambda, 0 or more: p shrinks by lr lambda afterwards */
    int64_t precondition_frequency ITO_DEFAULT(10); /* 1 or more: steps between new bases */
    int64_t max_precond_dim ITO_DEFAULT(10000);     /* longer axes have no basis of their own */
    bool merge_dims; /* join axes, from the first on, as long as their product is at most that */
    bool precondition_1d; /* a basis for parameters with one axis, too */
    bool normalize_grads; /* updates of root mean square 1 */
    bool correct_bias ITO_DEFAULT(true);
} ito_soap_options;
#define ITO_DEFAULTS_ito_soap_options                                                              \
    .beta1 = 0.95, .beta2 = 0.95, .shampoo_beta = -1.0, .eps = 1e-8, .weight_decay = 0.01,         \
    .precondition_frequency = 10, .max_precond_dim = 10000, .correct_bias = true

/**
 * SOAP: Adam in the basis in which Shampoo's preconditioner is diagonal. Each axis has
 * GG += (1 - shampoo_beta) (G G^T - GG), G being the gradient unfolded along it, and its
 * eigenvectors Q: at the first step by an eigendecomposition, later, every so many steps, one power
 * iteration and a QR. The first step only makes these; no parameter moves.
 * State: exp_avg and exp_avg_sq (in that basis), GG.<axis> and Q.<axis>. One more block of the
 * parameters' size is scratch.
 * Source: Vyas et al. 2024, arXiv:2409.11321, algorithm 3; defaults and details as in the authors'
 * code.
 */
ITO_API ito_optimizer *ito_soap_create_with(ito_module *model, ito_soap_options options);
#define ito_soap_create(...)                                                                       \
    ITO_AT(ITO_CALL_1(ito_soap_create_with, ito_soap_options, __VA_ARGS__, ))

/** Options of ito_schedule_free_adamw_create. */
typedef struct ito_schedule_free_adamw_options {
    int reserved_;
    double beta1 ITO_DEFAULT(0.9);   /* in (0, 1) */
    double beta2 ITO_DEFAULT(0.999); /* in [0, 1) */
    double eps ITO_DEFAULT(1e-8);    /* 0 or more */
    double weight_decay;             /* lambda, 0 or more: lambda y is added to the update */
    double r;                        /* 0 or more: later steps count t^r in the mean */
    double weight_lr_power ITO_DEFAULT(2.0); /* 0 or more: and the largest lr so far, to this */
} ito_schedule_free_adamw_options;
#define ITO_DEFAULTS_ito_schedule_free_adamw_options                                               \
    .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_lr_power = 2.0

/**
 * Schedule-Free AdamW: gradients are taken at y = (1 - beta1) z + beta1 x, a step moves z by
 * -lr (g / (sqrt(v_hat) + eps) + weight_decay y), and x is the mean of all z, weighted by
 * t^r lr_max^weight_lr_power. Give it a constant rate after a warm-up.
 *
 * The model holds y in training; x, the result, is in its place after
 * ito_optimizer_train(opt, false). Averages (.ema of a step) follow x.
 * State: z, exp_avg_sq, and lr_max and weight_sum, two numbers.
 * Source: Defazio et al. 2024, arXiv:2405.15682, algorithm 1; as in the authors' code.
 */
ITO_API ito_optimizer *ito_schedule_free_adamw_create_with(ito_module *model,
                                                           ito_schedule_free_adamw_options options);
#define ito_schedule_free_adamw_create(...)                                                        \
    ITO_AT(ITO_CALL_1(ito_schedule_free_adamw_create_with, ito_schedule_free_adamw_options,        \
                      __VA_ARGS__, ))

/** Options of ito_schedule_free_sgd_create. */
typedef struct ito_schedule_free_sgd_options {
    int reserved_;
    double momentum ITO_DEFAULT(0.9); /* in (0, 1): beta1 above */
    double weight_decay;              /* lambda, 0 or more: lambda y is added to the gradient */
    double r;
    double weight_lr_power ITO_DEFAULT(2.0);
} ito_schedule_free_sgd_options;
#define ITO_DEFAULTS_ito_schedule_free_sgd_options .momentum = 0.9, .weight_lr_power = 2.0

/** Schedule-Free SGD: the same with g in place of g / (sqrt(v_hat) + eps), and without
 * exp_avg_sq. */
ITO_API ito_optimizer *ito_schedule_free_sgd_create_with(ito_module *model,
                                                         ito_schedule_free_sgd_options options);
#define ito_schedule_free_sgd_create(...)                                                          \
    ITO_AT(ITO_CALL_1(ito_schedule_free_sgd_create_with, ito_schedule_free_sgd_options,            \
                      __VA_ARGS__, ))

/** Free an optimiser and its state, not the model. Accepts NULL. */
ITO_API void ito_optimizer_free(ito_optimizer *opt);

/* ---- algorithms by name ------------------------------------------------------------------------
 */

/** An algorithm, for programs that choose one by its name: ito_choices("optimizer", &n). */
typedef struct ito_optimizer_algorithm {
    const char *name, *help, *source;            /* as in ito_choice */
    double lr;                                   /* the learning rate that its authors begin with */
    ito_optimizer *(*create)(ito_module *model); /* with the defaults of its options */
} ito_optimizer_algorithm;

/** Each of these is described by its own help and source, in optimizers.def. */
#define ITO_OPTIMIZER(name) ITO_API extern const ito_optimizer_algorithm name;
#include "optim/optimizers.def"

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_optimizer_algorithm *ito_optimizer_find(const char *name);

/* ---- parameter groups --------------------------------------------------------------------------
 */

/** Options of ito_optimizer_group: what is not named stays as it was. */
typedef struct ito_group_options {
    int reserved_;
    double lr_scale ITO_DEFAULT((double)NAN);     /* 0 or more: of the step's learning rate; 1 */
    double weight_decay ITO_DEFAULT((double)NAN); /* 0 or more, in place of the optimiser's own */
    bool elementwise; /* Muon, SOAP: no matrices; by AdamW and Adam. Before the first step */
    bool frozen;      /* as ito_module_freeze: no gradients, no changes */
} ito_group_options;
#define ITO_DEFAULTS_ito_group_options .lr_scale = (double)NAN, .weight_decay = (double)NAN

/**
 * Set the learning rate, decay, ... of some parameters:
 *     ito_optimizer_group(opt, "*.bias", .weight_decay = 0);
 *     ito_optimizer_group(opt, "down_blocks.*", .lr_scale = 0.1);
 * Calls add up: a bias of the down blocks has both. Like other options, they are not part of the
 * state: a program that resumes a run makes the same calls.
 *
 * @param pattern  of full names: * stands for any characters, dots included, ? for one.
 * @return         ITO_ERR_ARGUMENT if no name fits, opt or pattern is NULL, or for .elementwise
 *                 after the first step; ITO_ERR_RANGE; ITO_ERR_MEMORY.
 */
ITO_API ito_status ito_optimizer_group_with(ito_optimizer *opt, const char *pattern,
                                            ito_group_options options);
#define ito_optimizer_group(...)                                                                   \
    ITO_AT(ITO_CALL_2(ito_optimizer_group_with, ito_group_options, __VA_ARGS__, ))

/** The same for the n parameters of a list, which belong to the model; else ITO_ERR_ARGUMENT. */
ITO_API ito_status ito_optimizer_group_list_with(ito_optimizer *opt, ito_tensor *const *parameters,
                                                 int64_t n, ito_group_options options);
#define ito_optimizer_group_list(...)                                                              \
    ITO_AT(ITO_CALL_3(ito_optimizer_group_list_with, ito_group_options, __VA_ARGS__, ))

/* ---- use ---------------------------------------------------------------------------------------
 */

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
 * themselves are not scaled, since they are cleared next. (Averages of Schedule-Free follow x.)
 *
 * @param lr  the learning rate of this step, at least 0.
 * @return    ITO_ERR_RANGE for an lr that is negative or not finite, a max_norm that is negative or
 *            NaN; ITO_ERR_ARGUMENT if opt is NULL or in evaluation mode, a parameter has moved to
 *            another model that was flattened later, or the averages belong to another model or are
 *            swapped; ITO_ERR_NUMERIC if max_norm or grad_norm needs the norm and it is not finite:
 *            *grad_norm then holds it; ITO_ERR_MEMORY for Adafactor, Muon and SOAP. After an error
 *            parameters, state, averages and counts are as they were.
 */
ITO_API ito_status ito_optimizer_step_with(ito_optimizer *opt, double lr, ito_step_options options);
#define ito_optimizer_step(...)                                                                    \
    ITO_AT(ITO_CALL_2(ito_optimizer_step_with, ito_step_options, __VA_ARGS__, ))

/**
 * Put Schedule-Free's x, the weights for evaluation, in the model's place (false), or y, the
 * weights that training goes on with (true), to the bit as it was. Optimisers begin in training
 * mode. No other algorithm has two sets of weights; there nothing happens.
 * @return  ITO_ERR_ARGUMENT if opt is NULL, or a parameter has moved to another model that was
 *          flattened later; ITO_ERR_MEMORY, and nothing has changed.
 */
ITO_API ito_status ito_optimizer_train(ito_optimizer *opt, bool training);
/** Whether the model holds the weights that training goes on with. false for NULL. */
ITO_API bool ito_optimizer_is_training(const ito_optimizer *opt);

/** The number of steps taken: t in Adam's corrections. 0 for NULL. */
ITO_API int64_t ito_optimizer_steps(const ito_optimizer *opt);
/** Set the number of steps taken, as a checkpoint gives it. ITO_ERR_RANGE below 0; ITO_ERR_ARGUMENT
 * if opt is NULL. */
ITO_API ito_status ito_optimizer_set_steps(ito_optimizer *opt, int64_t steps);
/** The algorithm's name: "adam", "muon", ...; "" for NULL. A constant string. */
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
#define ito_optimizer_find(...) ITO_AT(ito_optimizer_find(__VA_ARGS__))
#define ito_optimizer_train(...) ITO_AT(ito_optimizer_train(__VA_ARGS__))
#define ito_optimizer_set_steps(...) ITO_AT(ito_optimizer_set_steps(__VA_ARGS__))
#define ito_clip_grad_norm(...) ITO_AT(ito_clip_grad_norm(__VA_ARGS__))
#endif

#endif
