/* The values of a recipe, by one table of the settings that there are. */
#include "models/ddpm/recipe.h"

#include "tensor/internal.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

const ito_recipe *ito_recipe_find(const char *name)
{
    return (const void *)ito_choice_find("recipe", name);
}

typedef enum field_kind {
    CHOICE, /* pointer to a choice */
    LAW,    /* a copy of one */
    REAL,   /* double */
    COUNT,  /* int64_t */
    NORMAL  /* double, of a law that has a normal distribution */
} field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    size_t offset; /* in ito_recipe_values */
} field;

#define VALUE(member) offsetof(ito_recipe_values, member)
#define DIFFUSION(member) #member, VALUE(diffusion.member)
#define OWN(member) #member, VALUE(member)
/* A row: the kind, and the name with its place. */
#define ROW(kind, ...) ROW_OF(kind, __VA_ARGS__)
#define ROW_OF(kind, name, place)                                                                  \
    {                                                                                              \
        name, kind, place                                                                          \
    }

/* clang-format off */
static const field fields[] = {
    ROW(CHOICE, DIFFUSION(schedule)),
    ROW(COUNT, DIFFUSION(steps)),
    ROW(REAL, DIFFUSION(beta_start)),
    ROW(REAL, DIFFUSION(beta_end)),
    ROW(REAL, DIFFUSION(sigma_min)),
    ROW(REAL, DIFFUSION(sigma_max)),
    ROW(REAL, DIFFUSION(shift)),
    ROW(CHOICE, DIFFUSION(prediction)),
    ROW(CHOICE, DIFFUSION(time_input)),
    ROW(CHOICE, DIFFUSION(variance)),
    ROW(CHOICE, DIFFUSION(objective)),
    ROW(CHOICE, DIFFUSION(weighting)),
    ROW(REAL, DIFFUSION(gamma)),
    ROW(REAL, DIFFUSION(k)),
    ROW(REAL, DIFFUSION(sigma_data)),
    ROW(LAW, OWN(timestep_law)),
    ROW(NORMAL, "mean", VALUE(timestep_law.mean)),
    ROW(NORMAL, "std", VALUE(timestep_law.std)),
    ROW(COUNT, OWN(uncertainty)),
    ROW(CHOICE, "sampler", VALUE(sampling.sampler)),
    ROW(CHOICE, "spacing", VALUE(sampling.spacing)),
    ROW(COUNT, "sampling_steps", VALUE(sampling.steps)),
    ROW(REAL, OWN(guidance)),
    ROW(REAL, OWN(guidance_lo)),
    ROW(REAL, OWN(guidance_hi)),
    ROW(CHOICE, OWN(optimizer)),
    ROW(REAL, OWN(lr)),
    ROW(REAL, OWN(beta1)),
    ROW(REAL, OWN(beta2)),
    ROW(REAL, OWN(weight_decay)),
    ROW(REAL, OWN(ema)),
    ROW(REAL, OWN(ema_sigma_rel)),
    ROW(REAL, OWN(dropout)),
    ROW(REAL, OWN(label_dropout)),
};
/* clang-format on */

static const field *field_named(const ito_recipe *recipe, const char *name)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return error_null(ITO_ERR_ARGUMENT, "recipe %s: there is no setting \"%s\"", recipe->name,
                      name);
}

static ito_status set_choice(const field *f, const char *name, void *place)
{
    const ito_choice *choice = ito_choice_find(f->name, name);
    if (choice == NULL)
        return ito_error_code();
    if (f->kind == LAW)
        memcpy(place, choice, sizeof(ito_timestep_law));
    else
        memcpy(place, &choice, sizeof choice); /* whatever kind of choice it points to */
    return ITO_OK;
}

static ito_status set_number(const ito_recipe *recipe, const field *f, double number,
                             ito_recipe_values *out)
{
    void *place = (char *)out + f->offset;
    if (f->kind == NORMAL && !(out->timestep_law.uses & ITO_USES_NORMAL))
        return error_status(ITO_ERR_ARGUMENT, "recipe %s: the law of times %s has no %s",
                            recipe->name, out->timestep_law.name, f->name);
    if (f->kind != COUNT) {
        *(double *)place = number;
        return ITO_OK;
    }
    if (!(number >= 0.0 && number <= 0x1p53) || number != floor(number))
        return error_status(ITO_ERR_RANGE, "recipe %s: %s is %g, which is not a whole number",
                            recipe->name, f->name, number);
    *(int64_t *)place = (int64_t)number;
    return ITO_OK;
}

static ito_status set_one(const ito_recipe *recipe, const ito_recipe_setting *s,
                          ito_recipe_values *out)
{
    const field *f = field_named(recipe, s->name);
    if (f == NULL)
        return ito_error_code();
    bool chosen = f->kind == CHOICE || f->kind == LAW;
    if (chosen != (s->choice != NULL))
        return error_status(ITO_ERR_ARGUMENT, "recipe %s: %s is a %s, and a %s was given",
                            recipe->name, s->name, chosen ? "choice" : "number",
                            chosen ? "number" : "choice");
    return chosen ? set_choice(f, s->choice, (char *)out + f->offset)
                  : set_number(recipe, f, s->number, out);
}

ito_status ito_recipe_read(const ito_recipe *recipe, ito_recipe_values *out)
{
    if (recipe == NULL)
        return error_missing("recipe", "the recipe");
    if (recipe->settings == NULL)
        return error_missing("recipe", "the list of settings");
    ito_recipe_values values = {.diffusion = ITO_OPTIONS(ito_diffusion_options),
                                .timestep_law = ito_timestep_law_uniform,
                                .sampling = ITO_OPTIONS(ito_sample_options),
                                .guidance = ITO_UNSET,
                                .guidance_lo = ITO_UNSET,
                                .guidance_hi = ITO_UNSET,
                                .lr = ITO_UNSET,
                                .beta1 = ITO_UNSET,
                                .beta2 = ITO_UNSET,
                                .weight_decay = ITO_UNSET,
                                .ema = ITO_UNSET,
                                .ema_sigma_rel = ITO_UNSET,
                                .dropout = ITO_UNSET,
                                .label_dropout = ITO_UNSET};
    for (const ito_recipe_setting *s = recipe->settings; s->name != NULL; s++) {
        ito_status status = set_one(recipe, s, &values);
        if (status != ITO_OK)
            return status;
    }
    *out = values;
    return ITO_OK;
}
