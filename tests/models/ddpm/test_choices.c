/* Choices as lists: every kind, every name, every line of help. */
#include "models/ddpm/choices.h"

#include "autograd/ode.h"
#include "models/ddpm/process/timestep_sampler.h"
#include "models/ddpm/recipe.h"
#include "models/ddpm/sampler/sampler.h"
#include "nn/optim.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <string.h>

static const char *const kinds[] = {"schedule", "timestep_law", "prediction", "time_input",
                                    "variance", "weighting",    "objective",  "sampler",
                                    "spacing",  "recipe",       "optimizer",  "ode_method"};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const ito_choice *const *list_of(const char *kind, int64_t *n)
{
    const ito_choice *const *list = ito_choices(kind, n);
    cr_assert(list != NULL && *n > 0, "%s: %s", kind, ito_error());
    return list;
}

Test(choices, every_name_finds_its_choice)
{
    for (int k = 0; k < KINDS; k++) {
        int64_t n;
        const ito_choice *const *list = list_of(kinds[k], &n);
        for (int64_t i = 0; i < n; i++)
            cr_assert_eq(ito_choice_find(kinds[k], list[i]->name), list[i], "%s %s", kinds[k],
                         list[i]->name);
    }
}

#define FINDER(kind)                                                                               \
    static const void *find_##kind(const char *name)                                               \
    {                                                                                              \
        return ito_##kind##_find(name);                                                            \
    }

FINDER(schedule)
FINDER(timestep_law)
FINDER(prediction)
FINDER(time_input)
FINDER(variance)
FINDER(weighting)
FINDER(objective)
FINDER(sampler)
FINDER(spacing)
FINDER(recipe)
FINDER(optimizer)
FINDER(ode_method)

Test(choices, functions_of_each_kind_find_the_same)
{
    static const void *(*const find[KINDS])(const char *) = {
        find_schedule, find_timestep_law, find_prediction, find_time_input,
        find_variance, find_weighting,    find_objective,  find_sampler,
        find_spacing,  find_recipe,       find_optimizer,  find_ode_method,
    };
    for (int k = 0; k < KINDS; k++) {
        int64_t n;
        const ito_choice *const *list = list_of(kinds[k], &n);
        for (int64_t i = 0; i < n; i++)
            cr_assert_eq(find[k](list[i]->name), list[i], "%s %s", kinds[k], list[i]->name);
    }
}

static void assert_listed(const char *kind, const void *choice)
{
    int64_t n, times = 0;
    const ito_choice *const *list = list_of(kind, &n);
    for (int64_t i = 0; i < n; i++)
        times += (const void *)list[i] == choice;
    cr_assert_eq(times, 1, "%s %s", kind, ((const ito_choice *)choice)->name);
}

Test(choices, the_defaults_are_listed)
{
    assert_listed("schedule", &ito_schedule_linear);
    assert_listed("timestep_law", &ito_timestep_law_uniform);
    assert_listed("prediction", &ito_prediction_eps);
    assert_listed("time_input", &ito_time_input_timestep);
    assert_listed("variance", &ito_variance_fixedlarge);
    assert_listed("weighting", &ito_weighting_simple);
    assert_listed("objective", &ito_objective_simple);
    assert_listed("sampler", &ito_sampler_ddpm);
    assert_listed("spacing", &ito_spacing_linspace);
}

/* They can be typed as an option's value. */
Test(choices, names_are_single_words)
{
    for (int k = 0; k < KINDS; k++) {
        int64_t n;
        const ito_choice *const *list = list_of(kinds[k], &n);
        for (int64_t i = 0; i < n; i++)
            cr_assert(*list[i]->name != '\0' && strpbrk(list[i]->name, " \t\n,;=\"'") == NULL,
                      "%s \"%s\"", kinds[k], list[i]->name);
    }
}

Test(choices, each_has_a_line_of_help_without_a_full_stop)
{
    for (int k = 0; k < KINDS; k++) {
        int64_t n;
        const ito_choice *const *list = list_of(kinds[k], &n);
        for (int64_t i = 0; i < n; i++) {
            const char *help = list[i]->help, *name = list[i]->name;
            cr_assert(help != NULL && *help != '\0', "%s %s", kinds[k], name);
            cr_assert(strchr(help, '\n') == NULL && help[strlen(help) - 1] != '.', "%s %s: %s",
                      kinds[k], name, help);
        }
    }
}

Test(choices, an_unknown_kind_is_refused)
{
    int64_t n = 7;
    assert_refused(ito_choices("colour", &n), ITO_ERR_ARGUMENT,
                   "choices: there is no kind \"colour\"");
    cr_assert_eq(n, 0);
    assert_refused(ito_choices(NULL, &n), ITO_ERR_ARGUMENT, "choices: there is no kind \"NULL\"");
    assert_refused(ito_choice_find("colour", "red"), ITO_ERR_ARGUMENT,
                   "choices: there is no kind \"colour\"");
}

Test(choices, an_unknown_name_is_refused_with_those_there_are)
{
    assert_refused(ito_choice_find("objective", "l2"), ITO_ERR_ARGUMENT,
                   "objective: there is no \"l2\"; there are simple, vlb, rescaled and hybrid");
    assert_refused(ito_choice_find("objective", NULL), ITO_ERR_ARGUMENT,
                   "objective: there is no \"NULL\"; there are simple, vlb, rescaled and hybrid");
}

Test(choices, the_sentence_has_room_for_every_list)
{
    for (int k = 0; k < KINDS; k++) {
        int64_t n;
        const ito_choice *const *list = list_of(kinds[k], &n);
        const char *last = list[n - 1]->name, *message;
        cr_assert_null(ito_choice_find(kinds[k], "?"));
        message = ito_error_message();
        cr_assert_str_eq(message + strlen(message) - strlen(last), last, "%s", message);
        ito_error_clear();
    }
}
