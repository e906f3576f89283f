/* Recipes of the library as presets of train's options, under the names these have here. */
#include "examples/ddpm/recipes.h"

#include <stdio.h>
#include <string.h>

/* A setting of a recipe, its option, and the option of the choice that it goes with. */
static const struct {
    const char *setting, *option, *owner;
} names[] = {
    {"schedule", "schedule", NULL},
    {"steps", "diffusion-steps", "schedule"},
    {"beta_start", "beta-start", "schedule"},
    {"beta_end", "beta-end", "schedule"},
    {"sigma_min", "sigma-min", "schedule"},
    {"sigma_max", "sigma-max", "schedule"},
    {"shift", "shift", "schedule"},
    {"prediction", "prediction", NULL},
    {"time_input", "time-input", NULL},
    {"variance", "variance", NULL},
    {"objective", "loss", NULL},
    {"weighting", "weighting", NULL},
    {"gamma", "gamma", "weighting"},
    {"k", "k", "weighting"},
    {"sigma_data", "sigma-data", "prediction"},
    {"timestep_law", "step-sampling", NULL},
    {"mean", "time-mean", "step-sampling"},
    {"std", "time-std", "step-sampling"},
    {"uncertainty", "uncertainty", NULL},
    {"sampler", "sampler", NULL},
    {"spacing", "spacing", "sampler"},
    {"sampling_steps", "sampling-steps", "sampler"},
    {"guidance", "guidance", NULL},
    {"guidance_hi", "guidance-interval", NULL}, /* with guidance_lo */
    {"optimizer", "optimizer", NULL},
    {"lr", "lr", "optimizer"},
    {"beta1", "beta1", "optimizer"},
    {"beta2", "beta2", "optimizer"},
    {"weight_decay", "weight-decay", "optimizer"},
    {"ema", "ema", NULL},
    {"ema_sigma_rel", "ema-sigma-rel", "ema"},
    {"dropout", "dropout", NULL},
    {"label_dropout", "label-dropout", NULL},
};

enum { NAMES = sizeof names / sizeof names[0] };

const char *recipe_owner(const char *option)
{
    for (int i = 0; i < NAMES; i++)
        if (strcmp(names[i].option, option) == 0)
            return names[i].owner;
    return NULL;
}

bool recipe_has(const ito_recipe *recipe, const char *option)
{
    for (const ito_recipe_setting *s = recipe->settings; s->name != NULL; s++)
        for (int i = 0; i < NAMES; i++)
            if (strcmp(s->name, names[i].setting) == 0 && strcmp(names[i].option, option) == 0)
                return true;
    return false;
}

/* The choice that the recipe has for this option; NULL if it has none. */
static const char *choice_of(const ito_recipe *recipe, const char *option)
{
    for (int i = 0; i < NAMES; i++)
        for (const ito_recipe_setting *s = recipe->settings;
             strcmp(names[i].option, option) == 0 && s->name != NULL; s++)
            if (strcmp(s->name, names[i].setting) == 0)
                return s->choice;
    return NULL;
}

/* "LOW,HIGH", kept: options of texts point to it. */
static const char *interval_of(const ito_recipe *recipe, double high)
{
    static char text[64];
    double low = 0.0;
    for (const ito_recipe_setting *s = recipe->settings; s->name != NULL; s++)
        if (strcmp(s->name, "guidance_lo") == 0)
            low = s->number;
    snprintf(text, sizeof text, "%g,%g", low, high);
    return text;
}

/* Whether the option was given, and is not what the recipe has for it. */
static bool is_other(const char *option, const ito_recipe *recipe, const train_options *o,
                     const bool *given)
{
    int row = 0;
    while (train_rows[row].name == NULL || strcmp(train_rows[row].name, option) != 0)
        row++;
    const char *own = choice_of(recipe, option);
    return given[row] &&
           (own == NULL ||
            strcmp(*(const char *const *)((const char *)o + train_rows[row].offset), own) != 0);
}

const option_preset *recipe_preset_make(recipe_preset *out, const ito_recipe *recipe,
                                        const option_preset *below, const train_options *o,
                                        const bool *given)
{
    int n = 0;
    for (const ito_recipe_setting *s = recipe->settings; s->name != NULL; s++)
        for (int i = 0; i < NAMES; i++) {
            if (strcmp(s->name, names[i].setting) != 0 ||
                (names[i].owner != NULL && is_other(names[i].owner, recipe, o, given)))
                continue;
            snprintf(out->numbers[n], sizeof out->numbers[n], "%.17g", s->number);
            const char *text = s->choice != NULL ? s->choice : out->numbers[n];
            if (strcmp(s->name, "guidance_hi") == 0)
                text = interval_of(recipe, s->number);
            out->values[n][0] = names[i].option;
            out->values[n][1] = text;
            n++;
        }
    for (int i = 0; below->values[i][0] != NULL; i++, n++)
        memcpy(out->values[n], below->values[i], sizeof out->values[n]);
    out->values[n][0] = NULL;
    out->preset = (option_preset){below->choice, out->values};
    return &out->preset;
}
