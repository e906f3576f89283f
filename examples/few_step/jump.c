/* Steps of a batch whose examples have times of their own. */
#include "examples/few_step/jump.h"

#include <math.h>

ito_tensor *jump_numbers(const ito_process *p, ito_tensor *t, const ito_tensor *like,
                         jump_number *f)
{
    if (t == NULL || like == NULL)
        return NULL;
    ito_shape shape = {.ndim = ito_ndim(like), .dim = {ito_size(like, 0), 1, 1, 1, 1, 1, 1, 1}};
    t = ito_contiguous(t);
    ito_tensor *out = t != NULL ? ito_empty(shape, ITO_F64) : NULL;
    for (int64_t i = 0; out != NULL && i < ito_size(like, 0); i++)
        ((double *)ito_data(out))[i] =
            f(ito_process_level(p, ((const double *)ito_const_data(t))[i]));
    return ito_cast(out, ito_dtype_of(like));
}

static double signal_of(ito_level l)
{
    return l.signal;
}

static double noise_of(ito_level l)
{
    return l.noise;
}

ito_tensor *jump_noised(const ito_process *p, ito_tensor *x_0, ito_tensor *eps, ito_tensor *t)
{
    return ito_add(ito_mul(x_0, jump_numbers(p, t, x_0, signal_of)),
                   ito_mul(eps, jump_numbers(p, t, x_0, noise_of)));
}

ito_tensor *jump_ddim(const ito_diffusion *d, ito_network *network, ito_tensor *x_t, ito_tensor *t,
                      ito_tensor *r)
{
    const ito_process *p = d->process;
    ito_tensor *x_r = NULL;
    ito_estimate e;
    ITO_NO_GRAD
    {
        ito_tensor *first = ito_full(ITO_SHAPE(1), p->t_min, ITO_F64);
        if (ito_diffusion_estimate(d, network, x_t, ito_maximum(t, first), &e) == ITO_OK) {
            ito_tensor *clean =
                ito_eq(jump_numbers(p, t, x_t, noise_of), ito_scalar(0.0, ito_dtype_of(x_t)));
            x_r = jump_noised(p, ito_clamp(e.x_0, -1.0, 1.0), e.eps, r);
            x_r = ito_where(clean, x_t, x_r);
        }
    }
    return x_r;
}

ito_tensor *jump_x_0(const ito_process *p, ito_tensor *x_t, ito_tensor *t, ito_tensor *x_s,
                     ito_tensor *s)
{
    ito_tensor *ratio =
        ito_div(jump_numbers(p, s, x_t, noise_of), jump_numbers(p, t, x_t, noise_of));
    ito_tensor *rest = ito_sub(jump_numbers(p, s, x_t, signal_of),
                               ito_mul(ratio, jump_numbers(p, t, x_t, signal_of)));
    return ito_div(ito_sub(x_s, ito_mul(ratio, x_t)), rest);
}
