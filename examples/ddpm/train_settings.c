/* The network and diffusion that the options of `ito-ddpm train` describe.
 * Invariant: what is given to the caller has been built and checked once. */
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

/* Whether sampling can begin: at the last step, which may have no signal left. */
static bool can_sample(const ito_diffusion *d)
{
    const ito_process *s = d->process;
    ito_step last = ito_step_between(s, s->steps - 1, s->steps - 2);
    if (isfinite(ito_prediction_to_x_0(d->prediction, &last).a))
        return true;
    return options_error("--prediction: %s does not tell the image at step %" PRId64
                         ", where the schedule leaves nothing of it; x_0 and v do",
                         d->prediction->name, last.t);
}

/* Whether the numbers that were given belong to something that was chosen. */
static bool numbers_belong(const train_options *o, const ito_diffusion_options *d)
{
    const char *given = o->beta_start > 0.0 ? "start" : o->beta_end > 0.0 ? "end" : NULL;
    if (given != NULL && !d->process->ranged)
        return options_error("--beta-%s: the schedule %s has no range of betas", given,
                             o->schedule);
    if (o->zero_terminal_snr && d->process->beta == NULL)
        return options_error("--zero-terminal-snr: it changes betas, and the schedule %s has none",
                             o->schedule);
    if (o->sigma_data > 0.0 && d->prediction->sigma_data == 0.0 && d->weighting->sigma_data == 0.0)
        return options_error("--sigma-data: neither the prediction %s nor the weighting %s has "
                             "one; edm has",
                             o->prediction, o->weighting);
    return true;
}

/* The diffusion, whose choices go together. To the library a 0 is a choice's own number. */
static bool set_diffusion(const train_options *o, ito_diffusion_options *d)
{
    d->steps = o->diffusion_steps;
    d->process = ito_schedule_find(o->schedule);
    d->prediction = ito_prediction_find(o->prediction);
    d->variance = ito_variance_find(o->variance);
    d->loss = ito_objective_find(o->loss);
    d->weighting = ito_weighting_find(o->weighting);
    d->gamma = real_or(o->gamma, 0.0);
    d->k = real_or(o->k, 0.0);
    d->sigma_data = real_or(o->sigma_data, 0.0);
    d->betas = (ito_process_options){.beta_start = real_or(o->beta_start, 0.0),
                                           .beta_end = real_or(o->beta_end, 0.0),
                                           .zero_terminal_snr = o->zero_terminal_snr};
    if (d->process == NULL || d->prediction == NULL || d->variance == NULL || d->loss == NULL ||
        d->weighting == NULL || !numbers_belong(o, d))
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
    ito_ddpm_settings s = {.model = {.levels = 0}};
    ito_unet_config *c = &s.model;
    /* With levels of its own a network need not fit the preset's: take that for any size. */
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
