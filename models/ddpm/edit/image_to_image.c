/* Image to image: noised to a middle time, and sampled from there.
 * Invariant: example i takes random numbers from its own generator only. */
#include "models/ddpm/edit/noised.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/random.h"
#include "tensor/internal.h"

#include <math.h>

/* x_0 noised to the first time, by numbers of the examples' streams. */
ito_tensor *noised_to_start(sampler_run *run, ito_tensor *x_0)
{
    ito_level level = ito_process_level(run->state.d->process, run->times[0]);
    ito_tensor *z = data_empty(ito_shape_of(x_0), x_0->dtype);
    if (z == NULL || draw_images(run->generators, z) != ITO_OK)
        return NULL;
    return ito_axpby(level.signal, x_0, level.noise, z);
}

ito_tensor *ito_image_to_image_with(const ito_diffusion *d, ito_network *network, ito_tensor *x_0,
                                    double strength, ito_sample_options options)
{
    sampler_run run;
    if (d == NULL) {
        error_missing("image_to_image", "the diffusion");
        return NULL;
    }
    if (x_0 == NULL)
        return NULL;
    if (!(strength > 0.0 && strength <= 1.0))
        return error_null(ITO_ERR_RANGE, "image_to_image: the strength is %g; it must be in (0, 1]",
                          strength);
    const ito_process *p = d->process;
    options.start = p->t_clean + strength * (p->t_max - p->t_clean);
    if (p->steps > 0)
        options.start = fmax(nearbyint(strength * (double)p->steps) - 1.0, fmin(1.0, p->t_max));
    options.start = fmax(options.start, p->t_min);
    options.dtype = x_0->dtype;
    if (sampler_run_begin(&run, d, network, ito_shape_of(x_0), options) != ITO_OK)
        return NULL;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *x = ito_keep(sampler_run_from(&run, noised_to_start(&run, x_0)));
    ito_no_grad_end();
    ito_scope_end();
    sampler_run_end(&run);
    return x;
}
