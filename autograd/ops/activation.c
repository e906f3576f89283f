/* Activations. silu and gelu are fused: one pass forward, one pass backward, from the input alone.
 */
#include "autograd/ops/elementwise.h"

#include <math.h>

/* dx is dy times the slope at x, in x's memory order whatever dy's is, over dy where that is free.
 */
#define FUSED_BACKWARD(name)                                                                       \
    bool op_##name##_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)                   \
    {                                                                                              \
        binary_kernel *kernel = kernels(c->dtype[0])->name##_backward;                             \
        dx[0] = op_space_for_dx(c, dy, c->in[0]);                                                  \
        map_binary_into(dx[0], c->in[0], dy, kernel, 0, 0, COST_MATH);                             \
        return dx[0] != NULL;                                                                      \
    }

UNARY(relu, COST_PLAIN)

bool op_relu_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = grad_unless(ito_le(c->out, ito_scalar(0, c->dtype[0])), dy); /* NaN passes it on */
    return dx[0] != NULL;
}

UNARY(softplus, 2 * COST_MATH)

bool op_softplus_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = ito_mul(dy, ito_sigmoid(c->in[0]));
    return dx[0] != NULL;
}

UNARY(silu, COST_MATH)
FUSED_BACKWARD(silu)

ito_tensor *op_silu_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    return ito_mul(in[0], ito_sigmoid(in[0]));
}

UNARY(gelu, COST_MATH)
FUSED_BACKWARD(gelu)

ito_tensor *op_gelu_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    ito_tensor *twice_cdf = ito_add_scalar(ito_erf(ito_mul_scalar(in[0], M_SQRT1_2)), 1);
    return ito_mul_scalar(ito_mul(in[0], twice_cdf), 0.5);
}
