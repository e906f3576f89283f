/* Samplers that are the coefficients of a move, and the list of all samplers.
 * Invariant: no coefficient divides by the signal at the step's beginning, of which nothing may be
 * left there. */
#include "models/ddpm/choices.h"
#include "models/ddpm/sampler/run.h"

#include <math.h>

/* Eq. (7), for a step that respacing may have made of several. */
static ito_ddpm_move ancestral_move(const ito_diffusion *d, const ito_ddpm_step *step, double eta)
{
    (void)eta;
    ito_ddpm_pair mean = ito_ddpm_posterior(step, NULL);
    bool learned = d->variance->learned;
    double log_variance = learned ? 0.0 : d->variance->log_variance(step).a;
    return (ito_ddpm_move){
        .x_t = mean.a, .x_0 = mean.b, .noise = exp(0.5 * log_variance), .learned = learned};
}

/* sigma = eta sqrt(beta~): eq. (16), written for any signal and noise. */
static ito_ddpm_move ddim_move(const ito_diffusion *d, const ito_ddpm_step *step, double eta)
{
    (void)d;
    ito_ddpm_level at = step->at, to = step->to;
    double ratio = to.noise / to.signal * at.signal / at.noise;
    double sigma = eta * to.noise * sqrt(1.0 - ratio * ratio);
    return (ito_ddpm_move){.x_0 = to.signal,
                           .eps = sqrt(fmax(to.noise * to.noise - sigma * sigma, 0.0)),
                           .noise = sigma};
}

/* x / signal moves by (sigma_to - sigma) eps: from x_0 + sigma eps to x_0 + sigma_to eps. */
static ito_ddpm_move euler_move(const ito_diffusion *d, const ito_ddpm_step *step, double eta)
{
    (void)d, (void)eta;
    return (ito_ddpm_move){.x_0 = step->to.signal, .eps = step->to.noise};
}

/* Down to sigma_down, then up by noise: sigma_up^2 = sigma_to^2 (1 - sigma_to^2 / sigma^2). */
static ito_ddpm_move euler_ancestral_move(const ito_diffusion *d, const ito_ddpm_step *step,
                                          double eta)
{
    (void)eta;
    return ddim_move(d, step, 1.0);
}

const ito_ddpm_sampler ito_ddpm_ancestral = {.name = "ddpm", .move = ancestral_move};
const ito_ddpm_sampler ito_ddpm_ddim = {.name = "ddim", .move = ddim_move};
const ito_ddpm_sampler ito_ddpm_euler = {.name = "euler", .move = euler_move};
const ito_ddpm_sampler ito_ddpm_euler_ancestral = {.name = "euler-a", .move = euler_ancestral_move};

static const ito_ddpm_sampler *const samplers[] = {
    &ito_ddpm_ancestral, &ito_ddpm_ddim,   &ito_ddpm_euler,      &ito_ddpm_euler_ancestral,
    &ito_ddpm_heun,      &ito_ddpm_lms,    &ito_ddpm_deis,       &ito_ddpm_deis3,
    &ito_ddpm_pndm,      &ito_ddpm_plms,   &ito_ddpm_dpm_1s,     &ito_ddpm_dpm_2s,
    &ito_ddpm_dpm_2m,    &ito_ddpm_dpm_3m, &ito_ddpm_dpm_2m_sde, &ito_ddpm_unipc,
    &ito_ddpm_unipc3,
};

const ito_ddpm_sampler *ito_ddpm_sampler_find(const char *name)
{
    return CHOICE_FIND("sampler", samplers, name);
}
