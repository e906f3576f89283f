/* Gradients: a graph built as operations run, and sweeps back through it.
 *
 * A tensor requires a gradient if it was told to (a leaf) or came from one that does. Each result
 * then carries a node that knows how to pass a gradient on to the operation's inputs and keeps only
 * what that takes. A backward sweep frees what it has used unless told to retain the graph.
 */
#ifndef ITO_AUTOGRAD_H
#define ITO_AUTOGRAD_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Make a leaf of t: gradients with respect to it are wanted, or no longer. f32, f64 or bf16.
 * Returns t.
 */
ITO_API ito_tensor *ito_requires_grad(ito_tensor *t, bool wanted);
/** Whether t is such a leaf or was computed from one. */
ITO_API bool ito_has_grad_path(const ito_tensor *t);
/** The gradient that sweeps have accumulated in the leaf t: zeros if nothing in them depends on it
 * smoothly (floor, x**0), NULL if none has come by. Borrowed from t. */
ITO_API ito_tensor *ito_grad_of(const ito_tensor *t);
/** Set the leaf's gradient to zero. */
ITO_API void ito_zero_grad(ito_tensor *t);
/** t's values without its history: a view that gradients do not pass. */
ITO_API ito_tensor *ito_detach(ito_tensor *t);

/** Until the matching end, operations in this thread record no history. They nest. */
ITO_API void ito_no_grad_begin(void);
/** End the innermost block that ito_no_grad_begin opened in this thread. */
ITO_API void ito_no_grad_end(void);
/**
 * Until the matching end, operations in this thread record history again, whatever no-grad blocks
 * are open. They nest with these and with each other: code that differentiates inside works
 * wherever it is called from.
 * @return  what ito_enable_grad_end takes to bring back the mode of before.
 */
ITO_API int ito_enable_grad_begin(void);
/** End the block whose begin returned this. */
ITO_API void ito_enable_grad_end(int saved);
/** Whether operations record history now. */
ITO_API bool ito_grad_enabled(void);

/**
 * Until the matching end, operations of this thread convert f32 and bf16 inputs as mixed precision
 * needs (torch.autocast): products (linear, matmul, conv2d, attention) run in bf16, what overflows
 * or cancels (exp, log, powers, softmax, sums, mse_loss) in f32, and where the rest meets both, in
 * f32. Parameters stay f32. f64 and integers stay as they are. Sweeps follow the types that their
 * forward had. Blocks nest; ITO_F32 switches it off within.
 * @param dtype  ITO_BF16, or ITO_F32 for none; another records ITO_ERR_DTYPE and changes nothing.
 * @return       what ito_autocast_end takes to bring back the mode of before.
 */
ITO_API ito_dtype ito_autocast_begin(ito_dtype dtype);
/** End the block whose begin returned this. */
ITO_API void ito_autocast_end(ito_dtype before);

/** Told of a leaf whose gradient is complete: nothing more of the sweep will be added to it. */
typedef void ito_leaf_hook(ito_tensor *leaf, void *context);

/** What sweeps take. */
typedef struct ito_backward_options {
    int reserved_;
    ito_tensor
        *cotangent;    /* dL/d(output), shaped as the output; by default 1 for a single number */
    bool retain_graph; /* keep what backward needs, for another sweep */
    bool create_graph; /* record the sweep itself, so that its result can be differentiated */
    /* Of ito_backward: called once for each leaf behind the output, as soon as its gradient is
     * complete, in an order that depends on the graph alone: so that gradients are sent while the
     * sweep goes on. It starts no sweep. NULL: none. */
    ito_leaf_hook *leaf_done;
    void *leaf_context; /* for leaf_done */
} ito_backward_options;
#define ITO_DEFAULTS_ito_backward_options .reserved_ = 0

/**
 * Add to the gradient of every leaf that output depends on: ito_backward(loss), or with options,
 * ito_backward(y, .cotangent = dy).
 * @return ITO_ERR_GRAD if nothing requires a gradient, the graph was freed, or a value that
 * backward needs was changed in place; ITO_ERR_SHAPE if output is not one number and no cotangent
 * is given.
 */
ITO_API ito_status ito_backward_with(ito_tensor *output, ito_backward_options options);
#define ito_backward(...) ITO_AT(ITO_CALL_1(ito_backward_with, ito_backward_options, __VA_ARGS__, ))

/**
 * The gradient of output with respect to input (any tensor it was computed from), leaving every
 * leaf's own gradient alone: ito_grad(y, x, .create_graph = true). The vector-Jacobian product if a
 * cotangent is given.
 * @return shaped as input, of the current scope; zeros if output does not depend on input.
 */
ITO_API ito_tensor *ito_grad_with(ito_tensor *output, ito_tensor *input,
                                  ito_backward_options options);
#define ito_grad(...) ITO_AT(ITO_CALL_2(ito_grad_with, ito_backward_options, __VA_ARGS__, ))

/** The same for n inputs in one sweep; grads[i] is written only on success. */
ITO_API ito_status ito_grads(ito_tensor *output, ito_tensor *const *inputs, int64_t n,
                             ito_tensor **grads, ito_backward_options options);

/** A function of tensors, for what takes one: checks, transforms, recompute. Pure: same inputs,
 * same result. */
typedef ito_tensor *ito_function(ito_tensor *const *inputs, int64_t n, void *context);

/** What ito_recompute takes. */
typedef struct ito_recompute_options {
    int reserved_;
    ito_generator *const *generators; /* that f draws from, each once: ITO_GENERATORS(&g) */
    int64_t n_generators;
} ito_recompute_options;
#define ITO_DEFAULTS_ito_recompute_options .reserved_ = 0

/**
 * f(inputs), computed again in backward rather than kept (activation checkpointing; Chen et al.
 * 2016, arXiv:1604.06174): ito_recompute(f, context, inputs, 2, ITO_GENERATORS(&g)). Leaves that f
 * uses besides get their gradients, too, and may not change meanwhile; results that require one
 * must be inputs (1 to 32).
 *
 * f runs without history first, and again in backward, where the generators named have the state
 * that they had before the first time; afterwards they go on as if f had run once. f must not draw
 * from others, unless from copies of its own. context and generators must outlive the graph.
 * @return f's result, of the current scope. NULL with ITO_ERR_ARGUMENT for a missing function,
 * input or generator, ITO_ERR_GRAD for a result from outside, or f's own error.
 */
ITO_API ito_tensor *ito_recompute_with(ito_function *f, void *context, ito_tensor *const *inputs,
                                       int64_t n, ito_recompute_options options);
#define ito_recompute(...)                                                                         \
    ITO_AT(ITO_CALL_4(ito_recompute_with, ito_recompute_options, __VA_ARGS__, ))
/**
 * Called with the gradient that reaches a tensor in each sweep, before it is passed on.
 * @return the gradient to use instead: grad itself, or another of its shape; NULL after an error.
 */
typedef ito_tensor *ito_grad_hook(ito_tensor *grad, void *context);
/** Add a hook to a tensor that requires a gradient. They run in the order they were added. */
ITO_API ito_status ito_add_grad_hook(ito_tensor *t, ito_grad_hook *hook, void *context);

/** Look for the first NaN that an operation makes in this thread, forward, in forward mode or in
 * its backward, and fail there (ITO_ERR_NUMERIC) with the operation's name and the line that called
 * it forward. Slow. Infinities, as in masks, pass. */
ITO_API void ito_set_anomaly_mode(bool on);

/** Write the graph behind t to file in Graphviz's DOT language. */
ITO_API ito_status ito_graph_dot(const ito_tensor *t, FILE *file);

/** What gradient checks take. */
typedef struct ito_gradcheck_options {
    int reserved_;
    double eps ITO_DEFAULT(1e-6);  /* step of the central difference; more than 0 */
    double atol ITO_DEFAULT(1e-5); /* an error of atol + rtol |difference| passes; 0 or more */
    double rtol ITO_DEFAULT(1e-3);
    /* How many elements of each input are checked, drawn at random, the same ones every time; 1 or
     * more. -1: all. A network has too many for all. */
    int64_t elements ITO_DEFAULT(-1);
} ito_gradcheck_options;
#define ITO_DEFAULTS_ito_gradcheck_options .eps = 1e-6, .atol = 1e-5, .rtol = 1e-3, .elements = -1

/**
 * Compare f's gradients with central differences, for every element of every input that requires a
 * gradient (one has to). Inputs are f64; f's result may have any shape. Inputs may be the
 * parameters of a network that f uses: ito_gradcheck(f, net, p->tensors, p->n) with
 * p = ito_module_parameters(net).
 * @return ITO_OK, or ITO_ERR_GRAD with the first element that disagrees; ITO_ERR_ARGUMENT for
 * options out of range.
 */
ITO_API ito_status ito_gradcheck_with(ito_function *f, void *context, ito_tensor *const *inputs,
                                      int64_t n, ito_gradcheck_options options);
#define ito_gradcheck(...)                                                                         \
    ITO_AT(ITO_CALL_4(ito_gradcheck_with, ito_gradcheck_options, __VA_ARGS__, ))

/** The same for the gradient of the gradient. */
ITO_API ito_status ito_gradgradcheck_with(ito_function *f, void *context, ito_tensor *const *inputs,
                                          int64_t n, ito_gradcheck_options options);
#define ito_gradgradcheck(...)                                                                     \
    ITO_AT(ITO_CALL_4(ito_gradgradcheck_with, ito_gradcheck_options, __VA_ARGS__, ))

/* ---- operations of one's own --------------------------------------------------------------------
 */

/** An operation defined outside the library. One such struct serves any number of calls. */
typedef struct ito_custom_op {
    const char *name;
    /** The result, computed from the inputs' values; nothing is recorded meanwhile. A new tensor.
     */
    ito_tensor *(*forward)(ito_tensor *const *inputs, int64_t n, const void *params);
    /** The gradient for input i, given that of the output. Written with operations of this library
     * it can be differentiated again. NULL: the operation has no gradient, and refuses to need one.
     */
    ito_tensor *(*backward)(int64_t i, ito_tensor *const *inputs, int64_t n, ito_tensor *output,
                            ito_tensor *dy, const void *params);
    size_t params_size; /* of the plain data behind params, copied with each call */
    /** The derivative of the output along tangents, shaped as it; tangents[i] is shaped as input i,
     * or NULL for zero. For forward mode (ito_jvp). NULL: it is made from backward, which then has
     * to be written with operations. */
    ito_tensor *(*jvp)(ito_tensor *const *tangents, ito_tensor *const *inputs, int64_t n,
                       ito_tensor *output, const void *params);
    /** The same function as forward, made of operations of this library: what ito_onnx_save writes.
     * NULL: forward has to be made of them itself, or the operation cannot be saved. */
    ito_tensor *(*composed)(ito_tensor *const *inputs, int64_t n, const void *params);
} ito_custom_op;

/** Apply it. op must outlive the graph; params may be NULL if params_size is 0. */
ITO_API ito_tensor *ito_custom(const ito_custom_op *op, ito_tensor *const *inputs, int64_t n,
                               const void *params);

#ifdef __cplusplus
}
#endif

/** Both fields of an ito_recompute_options: a list of generators, and how many. */
#ifdef __cplusplus
#include <initializer_list>
#define ITO_GENERATORS(...)                                                                        \
    .generators = (std::initializer_list<ito_generator *>{__VA_ARGS__}.begin()),                   \
    .n_generators = (int64_t)(std::initializer_list<ito_generator *>{__VA_ARGS__}.size())
#else
#define ITO_GENERATORS(...)                                                                        \
    .generators = (ito_generator *const[]){__VA_ARGS__},                                           \
    .n_generators =                                                                                \
        (int64_t)(sizeof((ito_generator *const[]){__VA_ARGS__}) / sizeof(ito_generator *))
#endif

static inline void ito_no_grad_leave_(int *once)
{
    (void)once;
    ito_no_grad_end();
}

static inline void ito_enable_grad_leave_(int *saved)
{
    ito_enable_grad_end(*saved < 0 ? -1 - *saved : *saved);
}

static inline void ito_autocast_leave_(int *before)
{
    ito_autocast_end((ito_dtype)(*before < 0 ? -1 - *before : *before));
}

/** ITO_NO_GRAD { ... }: a block in which nothing is recorded, however it is left. break and
 * continue leave the block, not a loop around it. */
#define ITO_NO_GRAD                                                                                \
    for (int ITO_UNIQUE_(ito_no_grad_)                                                             \
             __attribute__((cleanup(ito_no_grad_leave_))) = (ito_no_grad_begin(), 1);              \
         ITO_UNIQUE_(ito_no_grad_); ITO_UNIQUE_(ito_no_grad_) = 0)

/** ITO_ENABLE_GRAD { ... }: a block in which operations record history, even inside ITO_NO_GRAD. It
 * is left as that is. */
#define ITO_ENABLE_GRAD                                                                            \
    for (int ITO_UNIQUE_(ito_grad_)                                                                \
             __attribute__((cleanup(ito_enable_grad_leave_))) = ito_enable_grad_begin();           \
         ITO_UNIQUE_(ito_grad_) >= 0; ITO_UNIQUE_(ito_grad_) = -1 - ITO_UNIQUE_(ito_grad_))

/** ITO_AUTOCAST(ITO_BF16) { ... }: a block in mixed precision: see ito_autocast_begin. It is left
 * as those are. */
#define ITO_AUTOCAST(dtype)                                                                        \
    for (int ITO_UNIQUE_(ito_autocast_)                                                            \
             __attribute__((cleanup(ito_autocast_leave_))) = (int)ito_autocast_begin(dtype);       \
         ITO_UNIQUE_(ito_autocast_) >= 0;                                                          \
         ITO_UNIQUE_(ito_autocast_) = -1 - ITO_UNIQUE_(ito_autocast_))

#ifndef ITO_BUILD
#define ito_requires_grad(...) ITO_AT(ito_requires_grad(__VA_ARGS__))
#define ito_detach(...) ITO_AT(ito_detach(__VA_ARGS__))
#define ito_grads(...) ITO_AT(ito_grads(__VA_ARGS__))
#define ito_add_grad_hook(...) ITO_AT(ito_add_grad_hook(__VA_ARGS__))
#define ito_custom(...) ITO_AT(ito_custom(__VA_ARGS__))
#endif

#endif
