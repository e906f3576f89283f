/* The network and diffusion that the options of `ito-ddpm train` describe.
 * Invariant: the settings returned have been built and checked once. */
#include "examples/ddpm/train_options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The next whole number of a list "1,2,2" at *text, which moves behind it; -1 if there is none. */
static int64_t next_number(const char **text)
{
    char *end;
    errno = 0;
    long long value = strtoll(*text, &end, 10);
    if (**text < '0' || **text > '9' || errno != 0 || (*end != ',' && *end != '\0') ||
        (*end == ',' && end[1] == '\0'))
        return -1;
    *text = *end == ',' ? end + 1 : end;
    return value;
}

static bool set_multipliers(const char *list, ito_unet_config *c)
{
    c->levels = 0;
    for (const char *p = list; *p != '\0';) {
        int64_t value = next_number(&p);
        if (value < 1 || c->levels == ITO_UNET_MAX_LEVELS)
            return options_error("--multipliers: \"%s\" is not a list like 1,2,2 of 1 to %d", list,
                                 ITO_UNET_MAX_LEVELS);
        c->multipliers[c->levels++] = value;
    }
    return true;
}

static bool set_attention(const char *list, ito_unet_config *c)
{
    memset(c->attention, 0, sizeof c->attention);
    if (strcmp(list, "none") == 0)
        return true;
    for (const char *p = list; *p != '\0';) {
        int64_t height = next_number(&p), level = 0;
        while (level < c->levels && c->height >> level != height)
            level++;
        if (level == c->levels)
            return options_error("--attention: \"%s\" is not a list of heights that the %" PRId64
                                 " levels have, beginning with %" PRId64 " and halving",
                                 list, c->levels, c->height);
        c->attention[level] = true;
    }
    return true;
}

/* Whether sampling can begin: at the noisiest time, which may have no signal left. */
static bool can_sample(const ito_diffusion *d)
{
    const ito_process *p = d->process;
    ito_step first = ito_step_between(p, p->t_max, p->t_clean);
    if (isfinite(ito_prediction_to_x_0(d->prediction, &first).c_skip))
        return true;
    return options_error("--prediction: %s does not tell the image at time %g, where the schedule "
                         "leaves nothing of it; x_0 and v do",
                         d->prediction->name, first.t);
}

/* Whether the choices use the numbers that were given. */
static bool numbers_belong(const train_options *o, const ito_diffusion_options *d)
{
    const char *beta = !isnan(o->beta_start) ? "start" : !isnan(o->beta_end) ? "end" : NULL;
    const char *sigma = !isnan(o->sigma_min) ? "min" : !isnan(o->sigma_max) ? "max" : NULL;
    if (beta != NULL && !(d->schedule->uses & ITO_USES_BETAS))
        return options_error("--beta-%s: the schedule %s has no range of betas", beta, o->schedule);
    if (sigma != NULL && !(d->schedule->uses & ITO_USES_SIGMAS))
        return options_error("--sigma-%s: the schedule %s has no range of sigmas", sigma,
                             o->schedule);
    if (!isnan(o->shift) && !(d->schedule->uses & ITO_USES_SHIFT))
        return options_error("--shift: the schedule %s has none; flow has", o->schedule);
    const char *normal = !isnan(o->time_mean) ? "mean" : !isnan(o->time_std) ? "std" : NULL;
    if (normal != NULL && !(ito_timestep_law_find(o->step_sampling)->uses & ITO_USES_NORMAL))
        return options_error("--time-%s: the law of times %s has none; lognormal-sigma and "
                             "logit-normal have",
                             normal, o->step_sampling);
    if (o->zero_terminal_snr && d->schedule->beta == NULL)
        return options_error("--zero-terminal-snr: it changes betas, and the schedule %s has none",
                             o->schedule);
    if (!isnan(o->sigma_data) &&
        !((d->prediction->uses | d->weighting->uses) & ITO_USES_SIGMA_DATA))
        return options_error("--sigma-data: neither the prediction %s nor the weighting %s has "
                             "one; edm has",
                             o->prediction, o->weighting);
    return true;
}

/* Set the diffusion's options, and check that its choices are compatible. */
static bool set_diffusion(const train_options *o, ito_diffusion_options *d)
{
    *d = ITO_OPTIONS(
        ito_diffusion_options, .schedule = ito_schedule_find(o->schedule),
        .steps = int_or(o->diffusion_steps, ITO_USUAL_STEPS),
        .beta_start = real_or(o->beta_start, d->beta_start),
        .beta_end = real_or(o->beta_end, d->beta_end),
        .sigma_min = real_or(o->sigma_min, d->sigma_min),
        .sigma_max = real_or(o->sigma_max, d->sigma_max), .shift = real_or(o->shift, d->shift),
        .zero_terminal_snr = o->zero_terminal_snr, .prediction = ito_prediction_find(o->prediction),
        .time_input = ito_time_input_find(o->time_input),
        .variance = ito_variance_find(o->variance), .weighting = ito_weighting_find(o->weighting),
        .gamma = o->gamma, .k = o->k, .sigma_data = o->sigma_data,
        .objective = ito_objective_find(o->loss));
    if (d->schedule == NULL || d->prediction == NULL || d->time_input == NULL ||
        d->variance == NULL || d->objective == NULL || d->weighting == NULL ||
        !numbers_belong(o, d))
        return false;
    ito_diffusion *made = ito_diffusion_create_with(*d);
    if (made == NULL && !o->resume)
        options_blame();
    bool good = made != NULL && can_sample(made);
    ito_diffusion_free(made);
    return good;
}

bool train_settings(const train_options *o, int64_t channels, int64_t height, int64_t width,
                    ito_ddpm_settings *out)
{
    ito_ddpm_settings s = {.model = {.levels = 0}, .diffusion = ITO_OPTIONS(ito_diffusion_options)};
    ito_unet_config *c = &s.model;
    /* With its own levels a network need not fit the preset's, so take the preset for any size. */
    int64_t unit = 1 << (ITO_UNET_MAX_LEVELS - 1);
    bool own = o->multipliers != NULL;
    if (ito_unet_preset(o->preset, channels, own ? unit : height, own ? unit : width, c) != ITO_OK)
        return false;
    c->height = height;
    c->width = width;
    if (own) {
        if (!set_multipliers(o->multipliers, c))
            return false;
        memset(c->attention, 0, sizeof c->attention);
        c->attention[c->levels - 1] = true;
    }
    if (o->attention != NULL && !set_attention(o->attention, c))
        return false;
    if (o->channels != UNSET_INT) {
        c->channels = o->channels;
        c->groups = 0;
    }
    c->blocks = int_or(o->blocks, c->blocks);
    c->dropout = real_or(o->dropout, c->dropout);
    c->self_condition = o->self_conditioning;
    if (!set_diffusion(o, &s.diffusion))
        return false;
    c->out_channels = channels * (s.diffusion.variance->learned ? 2 : 1);
    if (ito_unet_check(c) != ITO_OK)
        return false;
    *out = s;
    return true;
}
