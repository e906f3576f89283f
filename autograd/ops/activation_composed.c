/* Activations that are made of other operations. */
#include "autograd/ops/elementwise.h"

#include <math.h>

/* -softplus(-x) is the softplus of beta = -1. */
ito_tensor *ito_logsigmoid(ito_tensor *x)
{
    if (!check_real("logsigmoid", &x, 1))
        return NULL;
    return ito_softplus(x, .beta = -1, .threshold = HUGE_VAL);
}

ito_tensor *ito_relu6(ito_tensor *x)
{
    return check_real("relu6", &x, 1) ? ito_clamp(x, 0, 6) : NULL;
}

ito_tensor *ito_hardtanh_with(ito_tensor *x, ito_hardtanh_options options)
{
    if (!(options.min_val < options.max_val))
        return error_null(ITO_ERR_ARGUMENT, "hardtanh: min_val %g is not below max_val %g",
                          options.min_val, options.max_val);
    return check_real("hardtanh", &x, 1) ? ito_clamp(x, options.min_val, options.max_val) : NULL;
}

ito_tensor *ito_hardsigmoid(ito_tensor *x)
{
    if (!check_real("hardsigmoid", &x, 1))
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_mul_scalar(ito_clamp(ito_add_scalar(x, 3), 0, 6), 1.0 / 6));
}

/* Where |x| <= lambd. */
static ito_tensor *is_near(ito_tensor *x, double lambd)
{
    return ito_le(ito_abs(x), number_like(lambd, x));
}

static bool check_lambd(const char *op, double lambd)
{
    return lambd >= 0 || error_false(ITO_ERR_ARGUMENT, "%s: lambd %g is not 0 or more", op, lambd);
}

ito_tensor *ito_softshrink_with(ito_tensor *x, ito_softshrink_options options)
{
    if (!check_real("softshrink", &x, 1) || !check_lambd("softshrink", options.lambd))
        return NULL;
    ito_scope_begin();
    ito_tensor *shrunk = ito_axpby(1, x, -options.lambd, ito_sign(x));
    return leave_scope(grad_unless(is_near(x, options.lambd), shrunk));
}

ito_tensor *ito_hardshrink_with(ito_tensor *x, ito_hardshrink_options options)
{
    if (!check_real("hardshrink", &x, 1) || !check_lambd("hardshrink", options.lambd))
        return NULL;
    ito_scope_begin();
    return leave_scope(grad_unless(is_near(x, options.lambd), x));
}

ito_tensor *ito_tanhshrink(ito_tensor *x)
{
    if (!check_real("tanhshrink", &x, 1))
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_sub(x, ito_tanh(x)));
}

ito_tensor *ito_softsign(ito_tensor *x)
{
    if (!check_real("softsign", &x, 1))
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_div(x, ito_add_scalar(ito_abs(x), 1)));
}

ito_tensor *ito_threshold(ito_tensor *x, double threshold, double value)
{
    if (!check_real("threshold", &x, 1))
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_masked_fill(x, ito_le(x, number_like(threshold, x)), value));
}

/* The weight is laid along axis 1. */
ito_tensor *ito_prelu(ito_tensor *x, ito_tensor *weight)
{
    if (!check_real("prelu", (ito_tensor *[]){x, weight}, 2))
        return NULL;
    int64_t n = ito_numel(weight), channels = x->ndim > 1 ? x->shape[1] : 1;
    if (weight->ndim > 1 || (n != 1 && n != channels))
        return error_null(
            ITO_ERR_SHAPE,
            "prelu: the weight %s is neither one number nor one for each of the %" PRId64
            " channels of %s",
            tensor_shape_str(weight), channels, tensor_shape_str(x));
    ito_scope_begin();
    ito_shape shape = {.ndim = x->ndim};
    for (int i = 0; i < x->ndim; i++)
        shape.dim[i] = i == 1 ? n : 1;
    ito_tensor *below = ito_mul(x, ito_reshape_to(weight, shape));
    return leave_scope(ito_where(ito_gt(x, number_like(0, x)), x, below));
}

/* a gate(b), where x is a and b side by side along the axis. */
static ito_tensor *gated(const char *op, ito_tensor *x, int dim, ito_tensor *(*gate)(ito_tensor *b))
{
    if (!check_real(op, &x, 1))
        return NULL;
    int axis = axis_normalize(op, dim, x->ndim);
    if (axis < 0)
        return NULL;
    int64_t half = x->shape[axis] / 2;
    if (x->shape[axis] % 2 != 0)
        return error_null(ITO_ERR_SHAPE, "%s: axis %d of %s does not form two halves", op, axis,
                          tensor_shape_str(x));
    ito_scope_begin();
    ito_tensor *b = gate(ito_narrow(x, axis, half, half));
    return leave_scope(ito_mul(ito_narrow(x, axis, 0, half), b));
}

ito_tensor *ito_glu_with(ito_tensor *x, ito_glu_options options)
{
    return gated("glu", x, options.dim, ito_sigmoid);
}

static ito_tensor *exact_gelu(ito_tensor *x)
{
    return ito_gelu(x);
}

ito_tensor *ito_geglu_with(ito_tensor *x, ito_glu_options options)
{
    return gated("geglu", x, options.dim, exact_gelu);
}

ito_tensor *ito_swiglu_with(ito_tensor *x, ito_glu_options options)
{
    return gated("swiglu", x, options.dim, ito_silu);
}

ito_tensor *ito_softmin(ito_tensor *x, int axis)
{
    if (!check_real("softmin", &x, 1))
        return NULL;
    axis = axis_normalize("softmin", axis, x->ndim);
    if (axis < 0)
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_softmax(ito_neg(x), axis));
}
