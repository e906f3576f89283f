/* The network's time input. */
#include "models/ddpm/objective/objective.h"
#include "tensor/internal.h"

#include <math.h>

/* Continuous times take the range that sinusoidal embeddings are made for. */
static double timestep(const ito_step *s)
{
    return s->process->steps > 0 ? s->t : 1000.0 * s->t / s->process->t_max;
}

/* The same embedding serves any number of steps. */
static double share(const ito_step *s)
{
    return s->process->steps > 0 ? 1000.0 * s->t / (double)s->process->steps : timestep(s);
}

static double time_itself(const ito_step *s)
{
    return s->t;
}

/* Of a shifted process too, the time that its noise has without a shift. */
static double noise(const ito_step *s)
{
    return 1000.0 * s->at.noise;
}

/* Bounded where no signal is left. */
static double log_snr(const ito_step *s)
{
    return 2.0 * fmax(log(s->at.signal) - log(s->at.noise), -20.0);
}

static double c_noise(const ito_step *s)
{
    return 0.25 * fmin(log(s->at.noise) - log(s->at.signal), 20.0);
}

const ito_time_input ito_time_input_timestep = {
    .name = "timestep",
    .help = "t in steps; in continuous time, t as a share of the noisiest time, times 1,000",
    .source = "Ho, Jain, Abbeel 2020, arXiv:2006.11239, appendix B",
    .value = timestep};
const ito_time_input ito_time_input_share = {
    .name = "share",
    .help = "t as a share of all, times 1,000, however many steps there are",
    .source = "Nichol, Dhariwal 2021, arXiv:2102.09672, code",
    .value = share};
const ito_time_input ito_time_input_t = {
    .name = "t", .help = "the time of the process as it is", .value = time_itself};
const ito_time_input ito_time_input_noise = {
    .name = "noise",
    .help = "1,000 times the noise: in flow, t after its shift",
    .source = "Esser et al. 2024, arXiv:2403.03206",
    .value = noise};
const ito_time_input ito_time_input_log_snr = {.name = "log-snr",
                                               .help = "log(signal^2 / noise^2), at least -40",
                                               .source = "Kingma et al. 2021, arXiv:2107.00630",
                                               .value = log_snr};
const ito_time_input ito_time_input_c_noise = {.name = "c-noise",
                                               .help = "log(noise / signal) / 4",
                                               .source =
                                                   "Karras et al. 2022, arXiv:2206.00364, table 1",
                                               .value = c_noise};

const ito_time_input *ito_time_input_find(const char *name)
{
    return (const void *)ito_choice_find("time_input", name);
}
