/* Functions made of functions: derivatives along directions, whole Jacobians, maps over a batch.
 *
 * Names are those of torch.func. Forward mode carries a tangent beside each value: ito_jvp costs
 * about two forward passes, keeps no graph, and passes through every operation of the library,
 * attention and custom ones included. Transforms nest, and results are differentiable where history
 * is recorded.
 *
 * Each returns NULL (or a status) with an error recorded by f or by itself: ITO_ERR_ARGUMENT for a
 * missing function or list, ITO_ERR_SHAPE and ITO_ERR_DTYPE for a tangent that does not fit its
 * input.
 */
#ifndef ITO_TRANSFORMS_H
#define ITO_TRANSFORMS_H

#include "autograd.h"

#include <limits.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The derivative of f at inputs along tangents, sum_i (df / dx_i) t_i: the Jacobian-vector product,
 * by forward mode (torch.func.jvp).
 *     ito_tensor *du = ito_jvp(f, context, ITO_TENSORS(x, t), (ito_tensor *[]){v, NULL}, &u);
 * What f uses besides its inputs counts as constant. Up to 4 nest.
 * @param inputs    [n] those of f.
 * @param tangents  [n] each of its input's shape and dtype; NULL for zero.
 * @param value     receives f(inputs), of the current scope; NULL if it is not wanted.
 * @return          shaped as f's result; zeros if nothing depends on the inputs.
 */
ITO_API ito_tensor *ito_jvp(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                            ito_tensor *const *tangents, ito_tensor **value);

/**
 * The derivative of f's gradient along vectors, sum_j (d2f / dx_i dx_j) v_j for each i: the
 * Hessian-vector product, by the gradient of ito_jvp (torch.autograd.functional.hvp).
 * @param f         gives a single number.
 * @param vectors   [n] each of its input's shape and dtype; NULL for zero.
 * @param products  [n] receives a tensor shaped as each input, of the current scope; NULL where the
 *                  input is no float. Written on success only.
 * @return          besides the errors above, ITO_ERR_SHAPE if f gives more than one number.
 */
ITO_API ito_status ito_hvp(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                           ito_tensor *const *vectors, ito_tensor **products);

/**
 * All derivatives of f with respect to inputs[argnum]: element (i.., j..) is df_i / dx_j. By
 * forward mode a column at a time, or by backward a row at a time, whichever has fewer
 * (torch.func.jacfwd, jacrev).
 * @return  [f's shape, the input's shape]. ITO_ERR_SHAPE if that has more than ITO_MAX_DIMS axes,
 *          ITO_ERR_RANGE for another argnum.
 */
ITO_API ito_tensor *ito_jacobian(ito_function *f, void *context, ito_tensor *const *inputs,
                                 int64_t n, int64_t argnum);

/**
 * All second derivatives of f, which gives a single number, with respect to inputs[argnum]
 * (torch.func.hessian).
 * @return  [the input's shape, the input's shape]. Errors as for ito_jacobian and ito_hvp.
 */
ITO_API ito_tensor *ito_hessian(ito_function *f, void *context, ito_tensor *const *inputs,
                                int64_t n, int64_t argnum);

/** In place of an axis of ito_vmap: the input is the same for all. */
#define ITO_NO_AXIS INT_MIN

/** What ito_vmap takes. */
typedef struct ito_vmap_options {
    int reserved_;
    const int
        *in_axes; /* [n] the axis of each input that f does not see, or ITO_NO_AXIS; NULL: 0 */
    int out_axis; /* where the axis is in the result */
} ito_vmap_options;
#define ITO_DEFAULTS_ito_vmap_options .in_axes = NULL

/**
 * f of each entry of an axis of the inputs, stacked: ito_vmap(f, context, inputs, 2)
 * (torch.func.vmap). f runs once for each entry, in order, so it may take gradients (per-sample
 * gradients) and draw random numbers (others for each entry); what it can do over a batch itself is
 * faster so.
 * @return  f's result with the axis. ITO_ERR_SHAPE if sizes along the axes differ or are 0,
 *          ITO_ERR_ARGUMENT if no input has an axis.
 */
ITO_API ito_tensor *ito_vmap_with(ito_function *f, void *context, ito_tensor *const *inputs,
                                  int64_t n, ito_vmap_options options);
#define ito_vmap(...) ITO_AT(ITO_CALL_4(ito_vmap_with, ito_vmap_options, __VA_ARGS__, ))

/** The gradient for input i given that of the output, dy, shaped as that input. Written with
 * operations it can be differentiated again. */
typedef ito_tensor *ito_custom_vjp(int64_t i, ito_tensor *const *inputs, int64_t n,
                                   ito_tensor *output, ito_tensor *dy, void *context);

/**
 * f(inputs) with another gradient than its own: straight-through estimators, clipped or scaled
 * gradients (jax.custom_vjp; torch.autograd.Function). f runs without history. For an operation
 * with parameters or a jvp of its own see ito_custom.
 * @param context  handed to both; outlives the graph.
 * @return         ITO_ERR_ARGUMENT for a missing function.
 */
ITO_API ito_tensor *ito_custom_grad(ito_function *f, ito_custom_vjp *vjp, void *context,
                                    ito_tensor *const *inputs, int64_t n);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_jvp(...) ITO_AT(ito_jvp(__VA_ARGS__))
#define ito_hvp(...) ITO_AT(ito_hvp(__VA_ARGS__))
#define ito_jacobian(...) ITO_AT(ito_jacobian(__VA_ARGS__))
#define ito_hessian(...) ITO_AT(ito_hessian(__VA_ARGS__))
#define ito_custom_grad(...) ITO_AT(ito_custom_grad(__VA_ARGS__))
#endif

#endif
