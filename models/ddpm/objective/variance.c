/* Variances of a reverse step: log variance = offset + slope v. */
#include "models/ddpm/objective/objective.h"
#include "tensor/internal.h"

#include <math.h>

/* beta of the step, which respacing may have made of several. */
static double log_large(const ito_step *s)
{
    double kept = s->at.signal / s->to.signal * s->to.noise;
    return log(s->at.noise * s->at.noise - kept * kept);
}

/* beta~; where it is 0, as the paper's code has it, that of t = 1 (the noise of t = 0 itself if
 * there is no such step). */
static double log_small(const ito_step *s)
{
    double variance = ito_step_posterior(s).variance;
    if (variance > 0.0)
        return log(variance);
    const ito_process *all = s->process;
    if (all->steps == 0)
        return log_large(s);
    return log(all->steps > 1 ? all->beta_tilde[1] : all->beta[0]);
}

static ito_log_variance fixedsmall(const ito_step *s)
{
    return (ito_log_variance){log_small(s), 0.0};
}

static ito_log_variance fixedlarge(const ito_step *s)
{
    return (ito_log_variance){s->to.noise > 0.0 ? log_large(s) : log_small(s), 0.0};
}

static ito_log_variance learned(const ito_step *s)
{
    (void)s;
    return (ito_log_variance){0.0, 1.0};
}

static ito_log_variance learned_range(const ito_step *s)
{
    double large = log_large(s), small = log_small(s);
    return (ito_log_variance){0.5 * (large + small), 0.5 * (large - small)};
}

const ito_variance ito_variance_fixedsmall = {
    .name = "fixedsmall",
    .help =
        "beta~_t, right for data that is one point; at the last step, where it is 0, that of t = 1",
    .source = "Ho, Jain, Abbeel 2020, arXiv:2006.11239, section 3.2",
    .log_variance = fixedsmall};
const ito_variance ito_variance_fixedlarge = {
    .name = "fixedlarge",
    .help = "beta_t, right for data that is standard normal; at the last step as fixedsmall",
    .source = "Ho, Jain, Abbeel 2020, arXiv:2006.11239, section 3.2",
    .log_variance = fixedlarge};
const ito_variance ito_variance_learned = {
    .name = "learned",
    .help = "log variance is v, the network's second head",
    .source = "Nichol, Dhariwal 2021, arXiv:2102.09672, section 3.1",
    .log_variance = learned,
    .learned = true};
const ito_variance ito_variance_learned_range = {
    .name = "learned_range",
    .help = "between log beta~_t, where v is -1, and log beta_t, where it is 1",
    .source = "Nichol, Dhariwal 2021, arXiv:2102.09672, eq. (15)",
    .log_variance = learned_range,
    .learned = true};

const ito_variance *ito_variance_find(const char *name)
{
    return (const void *)ito_choice_find("variance", name);
}
