/* Laws of times in training. */
#include "models/ddpm/process/timestep_sampler.h"
#include "tensor/internal.h"

#include <math.h>

#define UNIFORM_SHARE 0.001

static void second_moment(const ito_timestep_sampler *s, double *p)
{
    int64_t T = s->process->steps;
    const int64_t *counts = tensor_data(s->counts);
    const double *history = tensor_data(s->history);
    bool known = true;
    double sum = 0.0;
    for (int64_t t = 0; t < T; t++) {
        double squares = 0.0;
        for (int64_t k = 0; k < ITO_TIMESTEP_HISTORY; k++)
            squares +=
                history[t * ITO_TIMESTEP_HISTORY + k] * history[t * ITO_TIMESTEP_HISTORY + k];
        p[t] = sqrt(squares / ITO_TIMESTEP_HISTORY);
        sum += p[t];
        known = known && counts[t] == ITO_TIMESTEP_HISTORY;
    }
    for (int64_t t = 0; t < T; t++)
        p[t] = known && sum > 0.0 ? p[t] / sum * (1.0 - UNIFORM_SHARE) + UNIFORM_SHARE / (double)T
                                  : 1.0 / (double)T;
}

/* The quantile of the standard normal distribution at u, by bisection, which is as accurate as
 * erfc. */
static double normal_quantile(double u)
{
    double low = -40.0, high = 40.0;
    for (int i = 0; i < 100; i++) {
        double middle = 0.5 * (low + high);
        if (0.5 * erfc(-middle * M_SQRT1_2) <= u)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static double lognormal_sigma(const ito_timestep_law *self, const ito_process *p, double u)
{
    return ito_process_time(p, exp(self->mean + self->std * normal_quantile(u)));
}

static double logit_normal(const ito_timestep_law *self, const ito_process *p, double u)
{
    double share = 1.0 / (1.0 + exp(-(self->mean + self->std * normal_quantile(u))));
    if (p->steps > 0)
        return fmin(floor(share * (double)p->steps), p->t_max);
    return p->t_min + share * (p->t_max - p->t_min);
}

const ito_timestep_law ito_timestep_law_uniform = {
    .name = "uniform",
    .help = "every time equally likely, as in the paper",
    .source = "Ho, Jain, Abbeel 2020, arXiv:2006.11239, algorithm 1"};
const ito_timestep_law ito_timestep_law_stratified = {
    .name = "stratified",
    .help = "uniform, spread evenly over the batch",
    .source = "Kingma et al. 2021, arXiv:2107.00630, appendix I.1",
    .stratified = true};
const ito_timestep_law ito_timestep_law_second_moment = {
    .name = "second-moment",
    .help = "in proportion to sqrt(E[L^2]) over the last 10 losses of each step",
    .source = "Nichol, Dhariwal 2021, arXiv:2102.09672, section 3.3",
    .uses = ITO_NEEDS_STEPS,
    .probabilities = second_moment};
const ito_timestep_law ito_timestep_law_lognormal_sigma = {
    .name = "lognormal-sigma",
    .help = "log(noise / signal) is normal, of mean -1.2 and deviation 1.2",
    .source = "Karras et al. 2022, arXiv:2206.00364, table 1",
    .uses = ITO_USES_NORMAL,
    .quantile = lognormal_sigma,
    .mean = -1.2,
    .std = 1.2};
const ito_timestep_law ito_timestep_law_logit_normal = {
    .name = "logit-normal",
    .help = "the logit of t, as a share of all times, is standard normal",
    .source = "Esser et al. 2024, arXiv:2403.03206, section 3.1",
    .uses = ITO_USES_NORMAL,
    .quantile = logit_normal,
    .std = 1.0};
