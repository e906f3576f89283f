/* Choices by kind and name: the lists, made from the rows of each kind's .def, and the error
 * message for an unknown name. */
#include "models/ddpm/choices.h"

#include "autograd/ode.h"
#include "models/ddpm/diffusion.h"
#include "models/ddpm/process/timestep_sampler.h"
#include "models/ddpm/recipe.h"
#include "models/ddpm/sampler/sampler.h"
#include "nn/optim.h"
#include "tensor/choice.h"
#include "tensor/internal.h"

#include <string.h>

#define ROW(object) (const ito_choice *)(const void *)&object,

#define ITO_SCHEDULE ROW
static const ito_choice *const schedules[] = {
#include "models/ddpm/process/schedules.def"
};
#define ITO_TIMESTEP_LAW ROW
static const ito_choice *const timestep_laws[] = {
#include "models/ddpm/process/timestep_laws.def"
};
#define ITO_PREDICTION ROW
static const ito_choice *const predictions[] = {
#include "models/ddpm/objective/predictions.def"
};
#define ITO_TIME_INPUT ROW
static const ito_choice *const time_inputs[] = {
#include "models/ddpm/objective/time_inputs.def"
};
#define ITO_VARIANCE ROW
static const ito_choice *const variances[] = {
#include "models/ddpm/objective/variances.def"
};
#define ITO_WEIGHTING ROW
static const ito_choice *const weightings[] = {
#include "models/ddpm/objective/weightings.def"
};
#define ITO_OBJECTIVE ROW
static const ito_choice *const objectives[] = {
#include "models/ddpm/objective/objectives.def"
};
#define ITO_SAMPLER ROW
static const ito_choice *const samplers[] = {
#include "models/ddpm/sampler/samplers.def"
};
#define ITO_SPACING ROW
static const ito_choice *const spacings[] = {
#include "models/ddpm/sampler/spacings.def"
};

#define ITO_RECIPE ROW
static const ito_choice *const recipes[] = {
#include "models/ddpm/recipes.def"
};
#define ITO_OPTIMIZER ROW
static const ito_choice *const optimizers[] = {
#include "nn/optim/optimizers.def"
};

#define ITO_ODE_METHOD ROW
static const ito_choice *const ode_methods[] = {
#include "autograd/ode_methods.def"
};

typedef struct choice_kind {
    const char *name, *words; /* in messages */
    const ito_choice *const *list;
    int64_t n;
} choice_kind;

#define LIST(list) list, sizeof(list) / sizeof(list)[0]

static const choice_kind kinds[] = {
    {"schedule", "schedule", LIST(schedules)},
    {"timestep_law", "timestep law", LIST(timestep_laws)},
    {"prediction", "prediction", LIST(predictions)},
    {"time_input", "time input", LIST(time_inputs)},
    {"variance", "variance", LIST(variances)},
    {"weighting", "weighting", LIST(weightings)},
    {"objective", "objective", LIST(objectives)},
    {"sampler", "sampler", LIST(samplers)},
    {"spacing", "spacing", LIST(spacings)},
    {"recipe", "recipe", LIST(recipes)},
    {"optimizer", "optimizer", LIST(optimizers)},
    {"ode_method", "ode method", LIST(ode_methods)},
};

static const choice_kind *kind_find(const char *kind)
{
    for (size_t i = 0; kind != NULL && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, kind) == 0)
            return &kinds[i];
    return error_null(ITO_ERR_ARGUMENT, "choices: there is no kind \"%s\"",
                      kind != NULL ? kind : "NULL");
}

const ito_choice *const *ito_choices(const char *kind, int64_t *n)
{
    const choice_kind *k = kind_find(kind);
    *n = k != NULL ? k->n : 0;
    return k != NULL ? k->list : NULL;
}

const ito_choice *ito_choice_find(const char *kind, const char *name)
{
    const choice_kind *k = kind_find(kind);
    return k == NULL ? NULL : choice_in(k->words, k->list, k->n, name);
}
