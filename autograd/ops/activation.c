/* Activations with a kernel: one pass forward and, but for relu and softplus, one pass backward,
 * from the input alone. */
#include "autograd/ops/elementwise.h"
#include "autograd/ops/params.h"

#include <math.h>

/* dx is dy times the slope at x, in x's memory order whatever dy's is, over dy where that is free.
 */
static bool fused_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx, binary_kernel *kernel,
                           double p, double q)
{
    dx[0] = op_space_for_dx(c, dy, c->in[0]);
    map_binary_into(dx[0], c->in[0], dy, kernel, p, q, COST_MATH);
    return dx[0] != NULL;
}

#define FUSED_BACKWARD(name)                                                                       \
    bool op_##name##_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)                   \
    {                                                                                              \
        return fused_backward(c, dy, dx, kernels(c->dtype[0])->name##_backward, 0, 0);             \
    }

UNARY(relu, COST_PLAIN)

bool op_relu_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = grad_unless(ito_le(c->out, ito_scalar(0, c->dtype[0])), dy); /* NaN passes it on */
    return dx[0] != NULL;
}

UNARY(silu, COST_MATH)
FUSED_BACKWARD(silu)

ito_tensor *op_silu_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    return ito_mul(in[0], ito_sigmoid(in[0]));
}

UNARY(mish, 2 * COST_MATH)
FUSED_BACKWARD(mish)

ito_tensor *op_mish_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    return ito_mul(in[0], ito_tanh(ito_softplus(in[0])));
}

UNARY(hardswish, COST_PLAIN)
FUSED_BACKWARD(hardswish)

ito_tensor *op_hardswish_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    return ito_mul(in[0], ito_hardsigmoid(in[0]));
}

/* ---- softplus -------------------------------------------------------------------------------- */

ito_tensor *op_softplus_forward(op_call *c)
{
    const ito_softplus_options *o = c->params;
    unary_kernel *kernel = kernels(c->dtype[0])->softplus;
    return map_unary(c->in[0], kernel, o->beta, o->threshold, 2 * COST_MATH);
}

bool op_softplus_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const ito_softplus_options *o = c->params;
    ito_tensor *x = o->beta == 1 ? c->in[0] : ito_mul_scalar(c->in[0], o->beta);
    dx[0] = ito_mul(dy, ito_sigmoid(x));
    if (o->threshold < HUGE_VAL)
        dx[0] = ito_where(ito_gt(x, ito_scalar(o->threshold, c->dtype[0])), dy, dx[0]);
    return dx[0] != NULL;
}

ito_tensor *ito_softplus_with(ito_tensor *x, ito_softplus_options options)
{
    return op_apply(OP_softplus, &x, 1, &options, sizeof options);
}

/* ---- gelu ------------------------------------------------------------------------------------ */

static bool by_tanh(const void *params)
{
    return ((const ito_gelu_options *)params)->approximate == ITO_GELU_TANH;
}

ito_tensor *op_gelu_forward(op_call *c)
{
    const kernel_table *k = kernels(c->dtype[0]);
    return map_unary(c->in[0], by_tanh(c->params) ? k->gelu_tanh : k->gelu, 0, 0, COST_MATH);
}

bool op_gelu_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const kernel_table *k = kernels(c->dtype[0]);
    binary_kernel *kernel = by_tanh(c->params) ? k->gelu_tanh_backward : k->gelu_backward;
    return fused_backward(c, dy, dx, kernel, 0, 0);
}

/* x sigmoid(2 u) is x / 2 (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3). */
static ito_tensor *gelu_tanh(ito_tensor *x)
{
    ito_tensor *cubic = ito_add_scalar(ito_mul_scalar(ito_square(x), 0.044715), 1);
    ito_tensor *twice_u = ito_mul_scalar(ito_mul(x, cubic), 2 * sqrt(2 / M_PI));
    return ito_mul(x, ito_sigmoid(twice_u));
}

ito_tensor *op_gelu_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    if (by_tanh(params))
        return gelu_tanh(in[0]);
    ito_tensor *twice_cdf = ito_add_scalar(ito_erf(ito_mul_scalar(in[0], M_SQRT1_2)), 1);
    return ito_mul_scalar(ito_mul(in[0], twice_cdf), 0.5);
}

ito_tensor *ito_gelu_with(ito_tensor *x, ito_gelu_options options)
{
    if (options.approximate != ITO_GELU_EXACT && options.approximate != ITO_GELU_TANH)
        return error_null(ITO_ERR_ARGUMENT, "gelu: approximation %d does not exist",
                          (int)options.approximate);
    return op_apply(OP_gelu, &x, 1, &options, sizeof options);
}

/* ---- with a branch at 0 -----------------------------------------------------------------------
 */

static ito_tensor *is_positive(ito_tensor *x)
{
    return ito_gt(x, number_like(0, x));
}

ito_tensor *op_leaky_relu_forward(op_call *c)
{
    double slope = *(const double *)c->params;
    return map_unary(c->in[0], kernels(c->dtype[0])->leaky_relu, slope, 0, COST_PLAIN);
}

bool op_leaky_relu_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    double slope = *(const double *)c->params;
    return fused_backward(c, dy, dx, kernels(c->dtype[0])->leaky_relu_backward, slope, 0);
}

ito_tensor *op_leaky_relu_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    ito_tensor *below = ito_mul_scalar(in[0], *(const double *)params);
    return ito_where(is_positive(in[0]), in[0], below);
}

ito_tensor *ito_leaky_relu_with(ito_tensor *x, ito_leaky_relu_options options)
{
    double slope = options.negative_slope;
    return op_apply(OP_leaky_relu, &x, 1, &slope, sizeof slope);
}

ito_tensor *op_elu_forward(op_call *c)
{
    const elu_params *p = c->params;
    return map_unary(c->in[0], kernels(c->dtype[0])->elu, p->scale, p->rate, COST_MATH);
}

bool op_elu_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const elu_params *p = c->params;
    return fused_backward(c, dy, dx, kernels(c->dtype[0])->elu_backward, p->scale, p->rate);
}

/* The exponential sees no x above 0, where it could overflow. */
ito_tensor *op_elu_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    const elu_params *p = params;
    ito_tensor *x = in[0], *positive = is_positive(x);
    ito_tensor *low = grad_unless(positive, x);
    ito_tensor *below = ito_mul_scalar(ito_expm1(ito_mul_scalar(low, p->rate)), p->scale);
    return ito_where(positive, x, below);
}

static ito_tensor *elu(ito_tensor *x, double scale, double rate)
{
    elu_params p = {scale, rate};
    return op_apply(OP_elu, &x, 1, &p, sizeof p);
}

ito_tensor *ito_elu_with(ito_tensor *x, ito_elu_options options)
{
    return elu(x, options.alpha, 1);
}

ito_tensor *ito_celu_with(ito_tensor *x, ito_celu_options options)
{
    if (options.alpha == 0)
        return error_null(ITO_ERR_ARGUMENT, "celu: alpha is 0");
    return check_real("celu", &x, 1) ? elu(x, options.alpha, 1 / options.alpha) : NULL;
}

/* Constants of Klambauer et al. 2017. */
ito_tensor *ito_selu(ito_tensor *x)
{
    static const double alpha = 1.6732632423543772848170429916717;
    static const double scale = 1.0507009873554804934193349852946;
    if (!check_real("selu", &x, 1))
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_mul_scalar(elu(x, alpha, 1), scale));
}

/* ---- as functions of x alone ---- */

#define AS_FUNCTION(name)                                                                          \
    ito_tensor *(ito_##name)(ito_tensor * x)                                                       \
    {                                                                                              \
        return ito_##name##_with(x, ITO_OPTIONS(ito_##name##_options));                            \
    }
AS_FUNCTION(gelu)
AS_FUNCTION(softplus)
AS_FUNCTION(leaky_relu)
AS_FUNCTION(elu)
AS_FUNCTION(celu)
AS_FUNCTION(hardtanh)
AS_FUNCTION(softshrink)
AS_FUNCTION(hardshrink)
AS_FUNCTION(glu)
