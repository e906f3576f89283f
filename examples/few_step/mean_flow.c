/* MeanFlow. */
#include "examples/few_step/mean_flow.h"

static ito_tensor *of_inputs(ito_tensor *const *inputs, int64_t n, void *context)
{
    (void)n;
    return mean_velocity_at(context, inputs[0], inputs[1], inputs[2]);
}

ito_tensor *mean_flow_target(const mean_velocity *u, ito_tensor *x, ito_tensor *t, ito_tensor *r,
                             ito_tensor *v, ito_tensor **value)
{
    if (t == NULL)
        return NULL;
    mean_velocity own = *u;
    ito_tensor *along[] = {v, ito_ones_like(t), NULL};
    ito_tensor *slope = ito_jvp(of_inputs, &own, ITO_TENSORS(x, t, r), along, value);
    return ito_detach(ito_sub(v, ito_mul(ito_sub(t, r), slope)));
}

ito_tensor *mean_flow_losses(const mean_velocity *u, ito_tensor *x, ito_tensor *t, ito_tensor *r,
                             ito_tensor *v, double power)
{
    ito_tensor *value = NULL, *target = mean_flow_target(u, x, t, r, v, &value);
    ito_tensor *off = ito_sum(ito_square(ito_sub(value, target)), .dims = ITO_DIMS(1));
    return ito_mul(off, ito_pow_scalar(ito_add_scalar(ito_detach(off), 1e-3), -power));
}

ito_tensor *mean_flow_loss(const mean_velocity *u, ito_tensor *x_0, ito_generator *g)
{
    if (x_0 == NULL)
        return NULL;
    int64_t n = ito_size(x_0, 0);
    ito_shape one = ITO_SHAPE(n, 1);
    ito_tensor *eps = ito_randn(g, ito_shape_of(x_0), ITO_F32), *v = ito_sub(eps, x_0);
    ito_tensor *a = ito_rand(g, one, ITO_F32), *b = ito_rand(g, one, ITO_F32);
    ito_tensor *t = ito_maximum(a, b), *r = ito_minimum(a, b);
    ito_tensor *equal = ito_lt(ito_rand(g, one, ITO_F32), ito_scalar(0.75, ITO_F32));
    ito_tensor *x_t = ito_add(x_0, ito_mul(t, v));
    return ito_mean(mean_flow_losses(u, x_t, t, ito_where(equal, t, r), v, 0.0));
}
