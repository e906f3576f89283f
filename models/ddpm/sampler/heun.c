/* Heun's method in sigma: the mean slope of both ends. */
#include "autograd/ops.h"
#include "models/ddpm/sampler/run.h"

ito_tensor *heun_step(ito_sampler_state *s)
{
    ito_step step = s->step,
             next = ito_step_between(step.process, step.t_to, step.process->t_clean);
    ito_estimate then;
    if (step.to.noise == 0.0 || leaps(&step))
        return euler_step(s);
    ito_tensor *first = slope_step(s->x, step.at, step.to, s->estimate.eps);
    if (!ito_sampler_evaluate(s, first, &next, &then))
        return NULL;
    return slope_step(s->x, step.at, step.to, ito_axpby(0.5, s->estimate.eps, 0.5, then.eps));
}

const ito_sampler ito_sampler_heun = {
    .name = "heun",
    .help = "Heun's method in sigma: evaluates twice a step",
    .source = "Karras et al. 2022, arXiv:2206.00364, algorithms 1 and 2",
    .uses = ITO_USES_CHURN | ITO_USES_EPS,
    .step = heun_step,
    .spacing = &ito_spacing_trailing};
