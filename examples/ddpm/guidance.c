/* The options of guidance, and the network that guides another.
 * Invariant: an open guide takes what the network takes, and predicts the same of the same
 * process. */
#include "examples/ddpm/guidance.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool guidance_by_class(const guidance_options *o)
{
    return o->network == NULL && !o->perturbed;
}

void guidance_check(const command_line *c, const guidance_options *o, const char *class)
{
    if (!options_given(c, "guidance"))
        options_refuse_given(c, GUIDANCE_MORE, "it needs --guidance, which says how much");
    if (o->network != NULL && o->perturbed)
        options_refuse(c, "--perturbed-attention: --autoguidance guides already, by another "
                          "network");
    if (options_given(c, "guidance") && guidance_by_class(o) &&
        (class == NULL || strcmp(class, "none") == 0))
        options_refuse(c, "--guidance: it needs a --class to guide to");
}

bool guidance_interval(const guidance_options *o, double *lo, double *hi)
{
    int end = -1;
    if (o->interval == NULL)
        return true;
    if (sscanf(o->interval, "%lf,%lf%n", lo, hi, &end) == 2 && o->interval[end] == '\0' &&
        *lo >= 0.0 && *lo < *hi)
        return true;
    return options_error(
        "--guidance-interval: \"%s\" is not LOW,HIGH, two numbers from 0 that rise", o->interval);
}

bool same_levels(const ito_process *a, const ito_process *b)
{
    int64_t n = a->steps > 0 ? a->steps : 33;
    bool same = a->steps == b->steps && a->t_min == b->t_min && a->t_max == b->t_max;
    for (int64_t i = 0; same && i < n; i++) {
        double t = a->steps > 0 ? (double)i : a->t_min + (a->t_max - a->t_min) * (double)i / 32.0;
        ito_level one = ito_process_level(a, t), two = ito_process_level(b, t);
        same = one.signal == two.signal && one.noise == two.noise;
    }
    return same;
}

/* What is compared of a network, in words. */
typedef struct traits {
    char images[64], prediction[64], time_input[64];
    const char *variance, *estimate;
} traits;

static traits traits_of(const ito_ddpm_settings *s)
{
    const ito_unet_config *c = &s->model;
    const ito_diffusion_options *d = &s->diffusion;
    traits t = {.variance = d->variance->learned ? "a learned variance" : "a fixed variance",
                .estimate = c->self_condition ? "self-conditioning" : "no self-conditioning"};
    snprintf(t.images, sizeof t.images, "%" PRId64 "x%" PRId64 " images with %" PRId64 " channel%s",
             c->height, c->width, c->in_channels, PLURAL(c->in_channels));
    snprintf(t.prediction, sizeof t.prediction, "the prediction %s", d->prediction->name);
    snprintf(t.time_input, sizeof t.time_input, "the time input %s", d->time_input->name);
    return t;
}

static bool same(const char *whose, const char *its, const char *ours)
{
    return strcmp(its, ours) == 0 ||
           options_error("--autoguidance: %s has %s, and the network %s", whose, its, ours);
}

static bool same_classes(const ito_ddpm *a, const ito_ddpm *b)
{
    bool same = a->settings.model.classes == b->settings.model.classes;
    for (int64_t i = 0; same && i < a->settings.model.classes; i++)
        same = strcmp(a->class_names[i], b->class_names[i]) == 0;
    return same;
}

static bool agrees(const ito_ddpm *guide, const ito_ddpm *better)
{
    const char *whose = guide->path;
    traits its = traits_of(&guide->settings), ours = traits_of(&better->settings);
    if (!same(whose, its.images, ours.images))
        return false;
    if (!same_classes(guide, better))
        return options_error("--autoguidance: %s has other classes than the network", whose);
    if (!same_levels(guide->diffusion->process, better->diffusion->process))
        return options_error("--autoguidance: %s has another schedule than the network", whose);
    double sigma_data = guide->settings.diffusion.sigma_data;
    if (sigma_data != better->settings.diffusion.sigma_data && !isnan(sigma_data))
        return options_error("--autoguidance: %s has another sigma_data than the network", whose);
    return same(whose, its.prediction, ours.prediction) &&
           same(whose, its.time_input, ours.time_input) &&
           same(whose, its.variance, ours.variance) && same(whose, its.estimate, ours.estimate);
}

ito_ddpm *guide_load(const guidance_options *o, bool plain, const ito_ddpm *better)
{
    ito_ddpm *guide = model_load(o->network, ITO_OPTIONS(ito_ddpm_load_options, .plain = plain));
    if (guide == NULL || agrees(guide, better))
        return guide;
    ito_ddpm_free(guide);
    return NULL;
}
