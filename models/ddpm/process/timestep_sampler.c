/* Which steps a batch is trained on.
 * Invariant: an image's weight is 1 / (T p) for the probability p that its step truly had. */
#include "models/ddpm/process/timestep_sampler_internal.h"

#include "models/ddpm/choices.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define UNIFORM_SHARE 0.001

static void second_moment(const ito_ddpm_steps *s, double *p)
{
    int64_t T = s->schedule->steps;
    const int64_t *counts = tensor_data(s->counts);
    const double *history = tensor_data(s->history);
    bool known = true;
    double sum = 0.0;
    for (int64_t t = 0; t < T; t++) {
        double squares = 0.0;
        for (int64_t k = 0; k < ITO_DDPM_HISTORY; k++)
            squares += history[t * ITO_DDPM_HISTORY + k] * history[t * ITO_DDPM_HISTORY + k];
        p[t] = sqrt(squares / ITO_DDPM_HISTORY);
        sum += p[t];
        known = known && counts[t] == ITO_DDPM_HISTORY;
    }
    for (int64_t t = 0; t < T; t++)
        p[t] = known && sum > 0.0 ? p[t] / sum * (1.0 - UNIFORM_SHARE) + UNIFORM_SHARE / (double)T
                                  : 1.0 / (double)T;
}

const ito_ddpm_step_law ito_ddpm_steps_uniform = {"uniform", NULL, false, false};
const ito_ddpm_step_law ito_ddpm_steps_stratified = {"stratified", NULL, true, false};
const ito_ddpm_step_law ito_ddpm_steps_second_moment = {"second-moment", second_moment, false,
                                                        false};

static const ito_ddpm_step_law *const laws[] = {
    &ito_ddpm_steps_uniform,
    &ito_ddpm_steps_stratified,
    &ito_ddpm_steps_second_moment,
};

const ito_ddpm_step_law *ito_ddpm_step_law_find(const char *name)
{
    return CHOICE_FIND("step sampling", laws, name);
}

ito_ddpm_steps *ito_ddpm_steps_create(const ito_ddpm_schedule *schedule,
                                      const ito_ddpm_step_law *law)
{
    int64_t T = schedule->steps;
    ito_ddpm_steps *s = struct_alloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->law = law != NULL ? law : &ito_ddpm_steps_uniform;
    s->schedule = schedule;
    s->p = struct_alloc((size_t)T * sizeof *s->p);
    s->history = ito_retain(ito_zeros(ITO_SHAPE(T, ITO_DDPM_HISTORY), ITO_F64));
    s->counts = ito_retain(ito_zeros(ITO_SHAPE(T), ITO_I64));
    if (s->p != NULL && s->history != NULL && s->counts != NULL)
        return s;
    ito_ddpm_steps_free(s);
    return NULL;
}

void ito_ddpm_steps_free(ito_ddpm_steps *s)
{
    if (s == NULL)
        return;
    ito_release(s->history);
    ito_release(s->counts);
    free(s->p);
    free(s);
}

/* Fill in p, summing to 1. */
static ito_status find_probabilities(ito_ddpm_steps *s)
{
    int64_t T = s->schedule->steps;
    double sum = 0.0;
    for (int64_t t = 0; t < T; t++)
        s->p[t] = 1.0;
    if (s->law->probabilities != NULL)
        s->law->probabilities(s, s->p);
    for (int64_t t = 0; t < T; t++) {
        if (!(s->p[t] >= 0.0 && isfinite(s->p[t])))
            return error_status(ITO_ERR_NUMERIC,
                                "steps: %s gives step %" PRId64 " a probability of %g",
                                s->law->name, t, s->p[t]);
        sum += s->p[t];
    }
    if (!(sum > 0.0 && isfinite(sum)))
        return error_status(ITO_ERR_NUMERIC, "steps: the probabilities of %s add up to %g",
                            s->law->name, sum);
    for (int64_t t = 0; t < T; t++)
        s->p[t] /= sum;
    return ITO_OK;
}

/* The step at u of [0, 1) along the probabilities. */
static int64_t step_at(const ito_ddpm_steps *s, double u)
{
    int64_t T = s->schedule->steps, last = 0;
    if (s->law->probabilities == NULL)
        return (int64_t)(u * (double)T) < T ? (int64_t)(u * (double)T) : T - 1;
    double below = 0.0;
    for (int64_t t = 0; t < T; t++) {
        if (s->p[t] == 0.0)
            continue;
        last = t;
        below += s->p[t];
        if (u < below)
            break;
    }
    return last;
}

ito_status ito_ddpm_steps_draw(ito_ddpm_steps *s, ito_generator *g, int64_t n, ito_tensor **t,
                               ito_tensor **weights)
{
    if (n < 0)
        return error_status(ITO_ERR_RANGE, "steps: %" PRId64 " images", n);
    if (find_probabilities(s) != ITO_OK)
        return ito_error_code();
    ito_tensor *steps = ito_empty(ITO_SHAPE(n), ITO_I64),
               *counts = ito_empty(ITO_SHAPE(n), ITO_F32);
    if (steps == NULL || counts == NULL)
        return ito_error_code();
    double shift = s->law->stratified ? ito_uniform(g) : 0.0;
    for (int64_t i = 0; i < n; i++) {
        double u = s->law->stratified ? shift + (double)i / (double)n : ito_uniform(g);
        int64_t step = step_at(s, u < 1.0 ? u : u - 1.0);
        double weight = 1.0 / ((double)s->schedule->steps * s->p[step]);
        ((int64_t *)tensor_data(steps))[i] = step;
        ((float *)tensor_data(counts))[i] = s->law->unweighted ? 1.0f : (float)weight;
    }
    *t = steps;
    *weights = counts;
    return ITO_OK;
}

static void remember(ito_ddpm_steps *s, int64_t t, double loss)
{
    double *history = (double *)tensor_data(s->history) + t * ITO_DDPM_HISTORY;
    int64_t *count = (int64_t *)tensor_data(s->counts) + t;
    if (*count == ITO_DDPM_HISTORY)
        memmove(history, history + 1, (ITO_DDPM_HISTORY - 1) * sizeof *history);
    else
        (*count)++;
    history[*count - 1] = loss;
}

static int64_t step_of(const ito_tensor *t, int64_t i)
{
    return ((const int64_t *)tensor_data(t))[i * t->stride[0]];
}

ito_status steps_check(const ito_ddpm_steps *s, const ito_tensor *t, const ito_tensor *losses)
{
    if (t == NULL || losses == NULL)
        return error_missing("steps", t == NULL ? "t" : "losses");
    int64_t T = s->schedule->steps;
    if (t->ndim != 1 || t->dtype != ITO_I64 || losses->ndim != 1 ||
        losses->shape[0] != t->shape[0] || (losses->dtype != ITO_F32 && losses->dtype != ITO_F64))
        return error_status(ITO_ERR_SHAPE,
                            "steps: t is %s of %s and the losses are %s of %s; they must be [n] of "
                            "i64 and [n] of f32 or f64",
                            tensor_shape_str(t), ito_dtype_name(t->dtype), tensor_shape_str(losses),
                            ito_dtype_name(losses->dtype));
    for (int64_t i = 0; i < t->shape[0]; i++)
        if (step_of(t, i) < 0 || step_of(t, i) >= T)
            return error_status(ITO_ERR_RANGE,
                                "steps: t of image %" PRId64 " is %" PRId64
                                "; there are steps 0 to %" PRId64,
                                i, step_of(t, i), T - 1);
    return ITO_OK;
}

ito_status ito_ddpm_steps_update(ito_ddpm_steps *s, ito_tensor *t, ito_tensor *losses)
{
    ito_status status = steps_check(s, t, losses);
    if (status != ITO_OK)
        return status;
    const void *data = tensor_data(losses);
    for (int64_t i = 0; i < t->shape[0]; i++) {
        int64_t at = i * losses->stride[0];
        double loss = losses->dtype == ITO_F64 ? ((const double *)data)[at]
                                               : (double)((const float *)data)[at];
        if (isfinite(loss))
            remember(s, step_of(t, i), loss);
    }
    return ITO_OK;
}
