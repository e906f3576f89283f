/* Euler's method in y = x / signal and sigma = noise / signal, in which the noise-free path is
 * dy/dsigma = eps. */
#include "autograd/ops.h"
#include "models/ddpm/sampler/run.h"

#include <math.h>

/* The step with this slope throughout. */
ito_tensor *slope_step(ito_tensor *x, ito_level at, ito_level to, ito_tensor *eps)
{
    double kept = to.signal / at.signal;
    return ito_axpby(kept, x, to.noise - kept * at.noise, eps);
}

bool leaps(const ito_step *step)
{
    static const double most = 10.0;
    ito_level at = step->at, to = step->to;
    return to.signal / hypot(to.signal, to.noise) > most * at.signal / hypot(at.signal, at.noise);
}

/* For steps to or from an end of the process, and for steps without a history. */
ito_tensor *euler_step(const ito_sampler_state *s)
{
    if (s->step.to.noise == 0.0)
        return ito_mul_scalar(s->estimate.x_0, s->step.to.signal);
    return ito_axpby(s->step.to.signal, s->estimate.x_0, s->step.to.noise, s->estimate.eps);
}

/* x / signal moves by (sigma_to - sigma) eps: from x_0 + sigma eps to x_0 + sigma_to eps. */
static ito_sampler_update euler_update(const ito_diffusion *d, const ito_step *step, double eta)
{
    (void)d, (void)eta;
    return (ito_sampler_update){.x_0 = step->to.signal, .eps = step->to.noise};
}

const ito_sampler ito_sampler_euler = {
    .name = "euler",
    .help = "Euler's method in sigma = noise / signal, the same update as ddim with eta 0",
    .source = "Karras et al. 2022, arXiv:2206.00364",
    .uses = ITO_USES_CHURN | ITO_USES_EPS,
    .update = euler_update,
    .spacing = &ito_spacing_trailing};
