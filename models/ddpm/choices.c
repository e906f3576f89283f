/* Choices by kind and name: the lists, made from the rows of each kind's .def, and the one place
 * that words the sentence of a name that nothing has. */
#include "models/ddpm/choices.h"

#include "models/ddpm/diffusion.h"
#include "models/ddpm/process/timestep_sampler.h"
#include "models/ddpm/sampler/sampler.h"
#include "tensor/internal.h"

#include <stdio.h>
#include <string.h>

#define ROW(object) (const ito_choice *)(const void *)&object,

#define ITO_SCHEDULE(name) ROW(ito_schedule_##name)
static const ito_choice *const schedules[] = {
#include "models/ddpm/process/schedules.def"
};
#define ITO_TIMESTEP_LAW(name) ROW(ito_timestep_law_##name)
static const ito_choice *const timestep_laws[] = {
#include "models/ddpm/process/timestep_laws.def"
};
#define ITO_PREDICTION(name) ROW(ito_prediction_##name)
static const ito_choice *const predictions[] = {
#include "models/ddpm/objective/predictions.def"
};
#define ITO_TIME_INPUT(name) ROW(ito_time_input_##name)
static const ito_choice *const time_inputs[] = {
#include "models/ddpm/objective/time_inputs.def"
};
#define ITO_VARIANCE(name) ROW(ito_variance_##name)
static const ito_choice *const variances[] = {
#include "models/ddpm/objective/variances.def"
};
#define ITO_WEIGHTING(name) ROW(ito_weighting_##name)
static const ito_choice *const weightings[] = {
#include "models/ddpm/objective/weightings.def"
};
#define ITO_OBJECTIVE(name) ROW(ito_objective_##name)
static const ito_choice *const objectives[] = {
#include "models/ddpm/objective/objectives.def"
};
#define ITO_SAMPLER(name) ROW(ito_sampler_##name)
static const ito_choice *const samplers[] = {
#include "models/ddpm/sampler/samplers.def"
};
#define ITO_SPACING(name) ROW(ito_spacing_##name)
static const ito_choice *const spacings[] = {
#include "models/ddpm/sampler/spacings.def"
};

typedef struct choice_kind {
    const char *name;
    const ito_choice *const *list;
    int64_t n;
} choice_kind;

#define KIND(name, list)                                                                           \
    {                                                                                              \
        name, list, sizeof(list) / sizeof(list)[0]                                                 \
    }

static const choice_kind kinds[] = {
    KIND("schedule", schedules),     KIND("timestep law", timestep_laws),
    KIND("prediction", predictions), KIND("time input", time_inputs),
    KIND("variance", variances),     KIND("weighting", weightings),
    KIND("objective", objectives),   KIND("sampler", samplers),
    KIND("spacing", spacings),
};

const ito_choice *const *ito_choices(const char *kind, int64_t *n)
{
    for (size_t i = 0; kind != NULL && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, kind) == 0) {
            *n = kinds[i].n;
            return kinds[i].list;
        }
    }
    *n = 0;
    return error_null(ITO_ERR_ARGUMENT, "choices: there is no kind \"%s\"",
                      kind != NULL ? kind : "NULL");
}

const ito_choice *ito_choice_find(const char *kind, const char *name)
{
    int64_t n, used = 0;
    char names[400];
    const ito_choice *const *list = ito_choices(kind, &n);
    if (list == NULL)
        return NULL;
    for (int64_t i = 0; i < n; i++) {
        if (name != NULL && strcmp(list[i]->name, name) == 0)
            return list[i];
        const char *separator = i == 0 ? "" : i + 1 < n ? ", " : " and ";
        used +=
            snprintf(names + used, sizeof names - (size_t)used, "%s%s", separator, list[i]->name);
        if (used >= (int64_t)sizeof names)
            used = sizeof names - 1;
    }
    return error_null(ITO_ERR_ARGUMENT, "%s: there is no \"%s\"; there are %s", kind,
                      name != NULL ? name : "NULL", names);
}
