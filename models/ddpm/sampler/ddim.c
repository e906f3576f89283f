/* DDIM, and the ancestral Euler sampler, which is the same update. */
#include "models/ddpm/sampler/run.h"

#include <math.h>

/* sigma = eta sqrt(beta~): eq. (16), written for any signal and noise. */
static ito_sampler_update ddim_update(const ito_diffusion *d, const ito_step *step, double eta)
{
    (void)d;
    ito_level at = step->at, to = step->to;
    double ratio = to.noise / to.signal * at.signal / at.noise;
    double sigma = eta * to.noise * sqrt(1.0 - ratio * ratio);
    return (ito_sampler_update){.x_0 = to.signal,
                                .eps = sqrt(fmax(to.noise * to.noise - sigma * sigma, 0.0)),
                                .noise = sigma};
}

/* Down to sigma_down, then up by noise: sigma_up^2 = sigma_to^2 (1 - sigma_to^2 / sigma^2). */
static ito_sampler_update euler_ancestral_update(const ito_diffusion *d, const ito_step *step,
                                                 double eta)
{
    (void)eta;
    return ddim_update(d, step, 1.0);
}

const ito_sampler ito_sampler_ddim = {.name = "ddim",
                                      .help = "eq. (12) and (16); deterministic with eta 0",
                                      .source = "Song et al. 2020, arXiv:2010.02502",
                                      .uses = ITO_USES_ETA | ITO_USES_CHURN | ITO_USES_EPS,
                                      .update = ddim_update,
                                      .spacing = &ito_spacing_trailing};
const ito_sampler ito_sampler_euler_a = {.name = "euler-a",
                                         .help = "Euler's method with noise, as ddim with eta 1",
                                         .source =
                                             "Karras et al. 2022, arXiv:2206.00364; k-diffusion",
                                         .uses = ITO_USES_CHURN | ITO_USES_EPS,
                                         .update = euler_ancestral_update,
                                         .spacing = &ito_spacing_trailing};
