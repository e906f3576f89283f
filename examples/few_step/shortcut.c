/* Shortcut models. */
#include "examples/few_step/shortcut.h"

#include <math.h>

enum { SIZES = 7 }; /* of two halves: 1, 1/2, ... 1/64 */

/* u for a step to r, or the velocity if the step is that short. */
static ito_tensor *half(const mean_velocity *u, ito_tensor *x, ito_tensor *t, ito_tensor *r,
                        double least)
{
    ito_tensor *size = ito_sub(t, r);
    ito_tensor *small = ito_le(size, ito_full_like(size, least));
    return mean_velocity_at(u, x, t, ito_where(small, t, r));
}

ito_tensor *shortcut_target(const mean_velocity *u, ito_tensor *x, ito_tensor *t, ito_tensor *r,
                            double least)
{
    ito_tensor *mean = NULL;
    ITO_NO_GRAD
    {
        ito_tensor *middle = ito_lerp(t, r, 0.5);
        ito_tensor *first = half(u, x, t, middle, least);
        ito_tensor *x_middle = ito_sub(x, ito_mul(ito_sub(t, middle), first));
        mean = ito_lerp(first, half(u, x_middle, middle, r, least), 0.5);
    }
    return mean;
}

/* t and r, [n, 1] each: steps that end at multiples of their size. */
static bool draw_steps(ito_generator *g, int64_t n, ito_tensor **t, ito_tensor **r)
{
    *t = ito_empty(ITO_SHAPE(n, 1), ITO_F32);
    *r = *t != NULL ? ito_empty(ITO_SHAPE(n, 1), ITO_F32) : NULL;
    for (int64_t i = 0; *r != NULL && i < n; i++) {
        double size = ldexp(1.0, -(int)(SIZES * ito_uniform(g)));
        double end = size * floor(ito_uniform(g) / size);
        ((float *)ito_data(*t))[i] = (float)(end + size);
        ((float *)ito_data(*r))[i] = (float)end;
    }
    return *r != NULL;
}

ito_tensor *shortcut_loss(const mean_velocity *u, ito_tensor *x_0, ito_generator *g)
{
    if (x_0 == NULL)
        return NULL;
    int64_t n = ito_size(x_0, 0), flow = n - n / 4;
    ito_tensor *eps = ito_randn(g, ito_shape_of(x_0), ITO_F32), *v = ito_sub(eps, x_0);
    ito_tensor *t_step, *r_step, *t_flow = ito_rand(g, ITO_SHAPE(flow, 1), ITO_F32);
    if (!draw_steps(g, n - flow, &t_step, &r_step))
        return NULL;
    ito_tensor *t = ito_cat(ITO_TENSORS(t_flow, t_step), 0);
    ito_tensor *r = ito_cat(ITO_TENSORS(t_flow, r_step), 0);
    ito_tensor *x_t = ito_add(x_0, ito_mul(t, v));
    ito_tensor *own =
        shortcut_target(u, ito_narrow(x_t, 0, flow, n - flow), t_step, r_step, ldexp(1.0, -SIZES));
    ito_tensor *target = ito_cat(ITO_TENSORS(ito_narrow(v, 0, 0, flow), own), 0);
    return ito_mean(ito_square(ito_sub(mean_velocity_at(u, x_t, t, r), target)));
}
