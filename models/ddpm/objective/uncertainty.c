/* The uncertainty of a loss, by noise level. */
#include "models/ddpm/objective/uncertainty.h"

#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "tensor/internal.h"

ito_uncertainty *ito_uncertainty_create_with(ito_module *parent, const char *name, int64_t channels,
                                             ito_uncertainty_options o)
{
    ito_uncertainty *u = ito_module_create(parent, name, sizeof *u);
    if (u == NULL)
        return NULL;
    u->fourier = ito_mp_fourier_create(&u->base, "fourier", channels, .generator = o.generator,
                                       .dtype = o.dtype);
    u->linear = ito_mp_linear_create(&u->base, "linear", channels, 1, .generator = o.generator,
                                     .dtype = o.dtype);
    if (u->fourier != NULL && u->linear != NULL)
        return u;
    ito_module_free(&u->base);
    return NULL;
}

static double c_noise(const ito_diffusion *d, const ito_step *step)
{
    (void)d;
    return ito_time_input_c_noise.value(step);
}

ito_tensor *ito_uncertainty_forward(ito_uncertainty *u, const ito_diffusion *d, ito_tensor *t)
{
    if (u == NULL || d == NULL) {
        error_missing("uncertainty", u == NULL ? "the uncertainty" : "the diffusion");
        return NULL;
    }
    if (t == NULL || !times_fit("uncertainty", d->process, t, ito_numel(t)))
        return NULL;
    ito_shape each = ITO_SHAPE(ito_numel(t));
    ito_tensor *like = ito_empty(each, u->linear->weight->dtype);
    if (like == NULL)
        return NULL;
    ito_tensor *level = number_per_example(d, c_noise, like, t);
    return ito_reshape_to(
        ito_mp_linear_forward(u->linear, ito_mp_fourier_forward(u->fourier, level)), each);
}

ito_tensor *ito_uncertainty_losses(ito_uncertainty *u, const ito_diffusion *d, ito_tensor *t,
                                   ito_tensor *losses)
{
    ito_tensor *each = ito_uncertainty_forward(u, d, t);
    if (each == NULL || losses == NULL)
        return NULL;
    if (!shape_equal(ito_shape_of(losses), ito_shape_of(each)))
        return error_null(ITO_ERR_SHAPE, "uncertainty: the losses are %s and the times %s",
                          tensor_shape_str(losses), tensor_shape_str(t));
    each = ito_cast(each, losses->dtype);
    return ito_add(ito_mul(losses, ito_exp(ito_neg(each))), each);
}
