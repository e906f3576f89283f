/* Ancestral sampling: algorithm 2 of the paper. */
#include "models/ddpm/sampler/run.h"

#include <math.h>

/* Eq. (7), for a step that respacing may have made of several. */
static ito_sampler_update ancestral_update(const ito_diffusion *d, const ito_step *step, double eta)
{
    (void)eta;
    ito_posterior mean = ito_step_posterior(step);
    bool learned = d->variance->learned;
    double log_variance = learned ? 0.0 : d->variance->log_variance(step).offset;
    return (ito_sampler_update){
        .x_t = mean.x_t, .x_0 = mean.x_0, .noise = exp(0.5 * log_variance), .learned = learned};
}

const ito_sampler ito_sampler_ddpm = {
    .name = "ddpm",
    .help = "ancestral: the mean of eq. (7) at x_0-hat, the diffusion's variance",
    .source = "Ho, Jain, Abbeel 2020, arXiv:2006.11239, algorithm 2",
    .uses = ITO_USES_VARIANCE | ITO_USES_CHURN,
    .update = ancestral_update,
    .spacing = &ito_spacing_trailing};
