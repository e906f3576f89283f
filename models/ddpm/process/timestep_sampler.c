/* Draws times by a law.
 * Invariant: an example's weight is 1 / (T p), with p the probability of its step in this draw, or
 * 1 where the law itself weights the loss. */
#include "models/ddpm/process/timestep_sampler_internal.h"

#include "models/ddpm/diffusion_internal.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const ito_timestep_law *ito_timestep_law_find(const char *name)
{
    return (const void *)ito_choice_find("timestep_law", name);
}

ito_timestep_sampler *ito_timestep_sampler_create(const ito_process *p, const ito_timestep_law *law)
{
    if (law == NULL)
        law = &ito_timestep_law_uniform;
    if (p->steps == 0 && (law->uses & ITO_NEEDS_STEPS || law->probabilities != NULL))
        return error_null(ITO_ERR_ARGUMENT,
                          "timesteps: the law %s is for a process in steps, and this one is in "
                          "continuous time",
                          law->name);
    int64_t T = p->steps;
    ito_timestep_sampler *s = struct_alloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->law = law;
    s->process = p;
    s->p = struct_alloc((size_t)(T + 1) * sizeof *s->p);
    s->history = ito_retain(ito_zeros(ITO_SHAPE(T, ITO_TIMESTEP_HISTORY), ITO_F64));
    s->counts = ito_retain(ito_zeros(ITO_SHAPE(T), ITO_I64));
    if (s->p != NULL && s->history != NULL && s->counts != NULL)
        return s;
    ito_timestep_sampler_free(s);
    return NULL;
}

void ito_timestep_sampler_free(ito_timestep_sampler *s)
{
    if (s == NULL)
        return;
    ito_release(s->history);
    ito_release(s->counts);
    free(s->p);
    free(s);
}

/* Fill in p, summing to 1. */
static ito_status find_probabilities(ito_timestep_sampler *s)
{
    int64_t T = s->process->steps;
    double sum = 0.0;
    for (int64_t t = 0; t < T; t++)
        s->p[t] = 1.0;
    if (s->law->probabilities != NULL)
        s->law->probabilities(s, s->p);
    for (int64_t t = 0; t < T; t++) {
        if (!(s->p[t] >= 0.0 && isfinite(s->p[t])))
            return error_status(ITO_ERR_NUMERIC,
                                "timesteps: %s gives step %" PRId64 " a probability of %g",
                                s->law->name, t, s->p[t]);
        sum += s->p[t];
    }
    if (!(sum > 0.0 && isfinite(sum)))
        return error_status(ITO_ERR_NUMERIC, "timesteps: the probabilities of %s add up to %g",
                            s->law->name, sum);
    for (int64_t t = 0; t < T; t++)
        s->p[t] /= sum;
    return ITO_OK;
}

/* The step at which the cumulative probability exceeds u of [0, 1). */
static int64_t step_of_share(const ito_timestep_sampler *s, double u)
{
    int64_t T = s->process->steps, last = 0;
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

/* The law's time at the share u of [0, 1), and its weight; false if the time is not one of the
 * process. */
static bool time_of_share(const ito_timestep_sampler *s, double u, double *t, double *weight)
{
    const ito_process *p = s->process;
    *weight = 1.0;
    if (s->law->quantile != NULL) {
        *t = s->law->quantile(s->law, p, u);
    } else if (p->steps > 0) {
        int64_t step = step_of_share(s, u);
        *t = (double)step;
        if (!s->law->unweighted)
            *weight = 1.0 / ((double)p->steps * s->p[step]);
    } else {
        *t = p->t_min + u * (p->t_max - p->t_min);
    }
    if (*t >= p->t_min && *t <= p->t_max && (p->steps == 0 || *t == floor(*t)))
        return true;
    ito_error_set(ITO_ERR_NUMERIC, "timesteps: %s gives the time %g; times are %s from %g to %g",
                  s->law->name, *t, p->steps > 0 ? "whole numbers" : "numbers", p->t_min, p->t_max);
    return false;
}

ito_status ito_timestep_sampler_draw(ito_timestep_sampler *s, ito_generator *g, int64_t n,
                                     ito_tensor **t, ito_tensor **weights)
{
    if (n < 0)
        return error_status(ITO_ERR_RANGE, "timesteps: %" PRId64 " examples", n);
    if (s->process->steps > 0 && find_probabilities(s) != ITO_OK)
        return ito_error_code();
    bool in_steps = s->process->steps > 0;
    ito_tensor *times = ito_empty(ITO_SHAPE(n), in_steps ? ITO_I64 : ITO_F64),
               *counts = ito_empty(ITO_SHAPE(n), ITO_F32);
    if (times == NULL || counts == NULL)
        return ito_error_code();
    double shift = s->law->stratified ? ito_uniform(g) : 0.0;
    for (int64_t i = 0; i < n; i++) {
        double u = s->law->stratified ? shift + (double)i / (double)n : ito_uniform(g), time,
               weight;
        if (!time_of_share(s, u < 1.0 ? u : u - 1.0, &time, &weight))
            return ito_error_code();
        if (in_steps)
            ((int64_t *)tensor_data(times))[i] = (int64_t)time;
        else
            ((double *)tensor_data(times))[i] = time;
        ((float *)tensor_data(counts))[i] = (float)weight;
    }
    *t = times;
    *weights = counts;
    return ITO_OK;
}

static void remember(ito_timestep_sampler *s, int64_t t, double loss)
{
    double *history = (double *)tensor_data(s->history) + t * ITO_TIMESTEP_HISTORY;
    int64_t *count = (int64_t *)tensor_data(s->counts) + t;
    if (*count == ITO_TIMESTEP_HISTORY)
        memmove(history, history + 1, (ITO_TIMESTEP_HISTORY - 1) * sizeof *history);
    else
        (*count)++;
    history[*count - 1] = loss;
}

ito_status timestep_sampler_check(const ito_timestep_sampler *s, const ito_tensor *t,
                                  const ito_tensor *losses)
{
    if (t == NULL || losses == NULL)
        return error_missing("timesteps", t == NULL ? "t" : "losses");
    if (losses->ndim != 1 || (losses->dtype != ITO_F32 && losses->dtype != ITO_F64))
        return error_status(ITO_ERR_SHAPE,
                            "timesteps: the losses are %s of %s; they must be [n] of f32 or f64",
                            tensor_shape_str(losses), ito_dtype_name(losses->dtype));
    return times_fit("timesteps", s->process, t, losses->shape[0]) ? ITO_OK : ito_error_code();
}

ito_status ito_timestep_sampler_update(ito_timestep_sampler *s, ito_tensor *t, ito_tensor *losses)
{
    ito_status status = timestep_sampler_check(s, t, losses);
    if (status != ITO_OK || s->process->steps == 0)
        return status;
    for (int64_t i = 0; i < t->shape[0]; i++) {
        double loss = vector_at(losses, i);
        if (isfinite(loss))
            remember(s, (int64_t)vector_at(t, i), loss);
    }
    return ITO_OK;
}
