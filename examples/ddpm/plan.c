/* The plans of a run of --minutes. */
#include "examples/ddpm/plan.h"

#include "examples/common/messages.h"
#include "examples/common/results.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>

/* ---- the first plan ---- */

/* The network alone, but one that needs a class for each image with labels. */
static ito_network *trial_network(session *s)
{
    if (s->labelled == NULL || s->unet->config.class_kind == ITO_UNET_CLASS_OR_NONE)
        return &s->unet->network;
    s->labelled->labels = ito_zeros(ITO_SHAPE(s->o.batch), ITO_I64);
    return &s->labelled->base;
}

/* One forward and backward pass on black images; nothing is kept. */
static bool trial_step(session *s)
{
    ito_tensor *x_0 = ito_zeros(ITO_SHAPE(s->o.batch, s->channels, s->height, s->width), ITO_F32);
    ito_tensor *t = ito_full(ITO_SHAPE(s->o.batch), s->diffusion->process->t_min, ITO_F64);
    ito_tensor *loss = ito_diffusion_loss(s->diffusion, trial_network(s), x_0, t, x_0);
    return loss != NULL && ito_backward(loss) == ITO_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Set the number of steps from --minutes: by the median of some passes after a warm-up. A tenth of
 * the time is left for the optimiser, grids and checkpoints. Self-conditioning evaluates the
 * network once more for half of the batches, without gradients, which adds a sixth of a step. */
bool plan_try(session *s)
{
    enum { TRIALS = 7 };
    double seconds[TRIALS];
    for (int i = -1; i < TRIALS; i++) {
        double started = progress_clock();
        ito_scope_begin();
        bool good = trial_step(s);
        ito_scope_end();
        if (!good)
            return false;
        seconds[i < 0 ? 0 : i] = progress_clock() - started;
    }
    ito_module_zero_grad(&s->unet->base);
    qsort(seconds, TRIALS, sizeof seconds[0], by_value);
    double a_step = seconds[TRIALS / 2] * (s->o.self_conditioning ? 7.0 / 6.0 : 1.0) / 0.9;
    double steps = 60.0 * s->o.minutes / a_step;
    s->o.steps = steps < 10.0 ? 10 : (int64_t)steps / 10 * 10;
    pace_begin(&s->pace, s->o.minutes, a_step, 0, 0.0);
    note("%.2f s a step here: %" PRId64 " steps in about %g minutes\n", a_step, s->o.steps,
         s->o.minutes);
    return true;
}

/* ---- the list of plans ---- */

static double now(const session *s)
{
    return s->started > 0.0 ? s->seconds + progress_clock() - s->started : s->seconds;
}

/* The list of plans, NULL if the run has none. */
static cJSON *plans_of(const session *s)
{
    cJSON *plan = cJSON_GetObjectItemCaseSensitive(s->planned, "plan");
    return cJSON_GetObjectItemCaseSensitive(plan, "steps");
}

/* From which step on a plan is for, and how many steps it has. */
static int64_t number(const cJSON *plan, int i)
{
    const cJSON *item = cJSON_GetArrayItem(plan, i);
    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : -1;
}

/* Append the plan of s->o.steps from s->step on, and write it down. */
static bool put(session *s)
{
    const double numbers[] = {(double)s->step, (double)s->o.steps};
    cJSON *plan = cJSON_CreateDoubleArray(numbers, 2);
    if (plan != NULL && !cJSON_AddItemToArray(plans_of(s), plan)) {
        cJSON_Delete(plan);
        plan = NULL;
    }
    char *config = plan != NULL ? train_options_update(&s->o, s->planned, s->identity) : NULL;
    bool good = config != NULL && run_set_config(&s->run, config);
    if (plan == NULL)
        ito_error_set(ITO_ERR_MEMORY, "train: no memory for the plan");
    free(config);
    return good;
}

bool plan_begin(session *s)
{
    if (s->pace.seconds == 0.0)
        return true;
    s->planned = run_config(s->o.out);
    cJSON *plan = s->planned != NULL ? cJSON_AddObjectToObject(s->planned, "plan") : NULL;
    return result_number(plan, "minutes", s->o.minutes) &&
           cJSON_AddArrayToObject(plan, "steps") != NULL && put(s);
}

/* The plan for s->step: the last that begins at it or before. */
static void take(session *s)
{
    const cJSON *plan;
    cJSON_ArrayForEach(plan, plans_of(s))
    {
        if (number(plan, 0) > s->step)
            return;
        if (number(plan, 1) > s->step)
            s->o.steps = number(plan, 1);
    }
}

/* Whether the run has planned beyond s->step, before it was stopped. */
static bool planned(const session *s)
{
    const cJSON *plans = plans_of(s);
    int n = cJSON_GetArraySize(plans);
    return n > 0 && number(cJSON_GetArrayItem(plans, n - 1), 0) > s->step;
}

bool plan_hold(session *s)
{
    const cJSON *plans = plans_of(s);
    int n = cJSON_GetArraySize(plans);
    bool held = n == 0 || number(cJSON_GetArrayItem(plans, n - 1), 0) >= s->step;
    return held || put(s);
}

bool plan_resume(session *s)
{
    const cJSON *plan = cJSON_GetObjectItemCaseSensitive(s->config, "plan"), *each;
    const cJSON *minutes = cJSON_GetObjectItemCaseSensitive(plan, "minutes");
    if (plan == NULL)
        return true;
    s->planned = cJSON_Duplicate(s->config, true);
    bool good = cJSON_IsNumber(minutes) && minutes->valuedouble > 0.0 && cJSON_IsArray(plans_of(s));
    cJSON_ArrayForEach(each, plans_of(s)) good =
        good && number(each, 0) >= 0 && number(each, 1) > 0;
    if (!good) {
        ito_error_set(ITO_ERR_FORMAT,
                      "%s/config.json: its \"plan\" is not a number of minutes and a list of "
                      "[from, steps]",
                      s->o.out);
        return false;
    }
    take(s);
    pace_begin(&s->pace, minutes->valuedouble, 0.0, s->step, s->seconds);
    return true;
}

bool plan_follow(session *s)
{
    if (s->pace.seconds == 0.0)
        return true;
    int64_t before = s->o.steps;
    bool good = true;
    take(s);
    if (planned(s)) {
        pace_restart(&s->pace, s->step, now(s));
    } else if (pace_due(&s->pace, s->step, now(s))) {
        s->o.steps = pace_plan(&s->pace, s->step, now(s));
        good = put(s);
    }
    if (s->o.steps != before)
        s->progress.total = s->o.steps;
    return good;
}
