/* The diffusion object, the checks that its choices are compatible, and the forward process.
 * Invariant: coefficients are computed in double from the process's levels, one pair per example.
 */
#include "models/ddpm/diffusion.h"

#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>

/* ---- the object ---- */

static bool refuse(const char *format, const char *a, const char *b)
{
    ito_error_set(ITO_ERR_ARGUMENT, format, a, b);
    return false;
}

/* Whether the choices are compatible, apart from their numbers; if not, an error is recorded. */
static bool choices_fit(const ito_diffusion *d)
{
    const ito_objective *o = d->objective;
    if (d->variance->learned && o->vlb == 0.0)
        return refuse(
            "diffusion: the objective %s does not train the variance %s; vlb, rescaled and "
            "hybrid do",
            o->name, d->variance->name);
    if (o->detach_mean && !d->variance->learned)
        return refuse(
            "diffusion: the objective %s trains a learned variance, and %s is not learned", o->name,
            d->variance->name);
    if (o->simple == 0.0 && d->weighting->weight != NULL)
        return refuse("diffusion: the objective %s has no weights, and %s was given", o->name,
                      d->weighting->name);
    return true;
}

/* Whether every choice that needs a process in steps has one. */
static bool steps_fit(const ito_diffusion *d)
{
    const struct {
        const char *kind, *name;
        bool needs;
    } choices[] = {
        {"prediction", d->prediction->name, d->prediction->uses & ITO_NEEDS_STEPS},
        {"weighting", d->weighting->name, d->weighting->uses & ITO_NEEDS_STEPS},
        {"objective", d->objective->name, d->objective->vlb != 0.0},
    };
    for (int i = 0; d->process->steps == 0 && i < 3; i++)
        if (choices[i].needs)
            return refuse("diffusion: the %s %s is for a process in steps, and this one is in "
                          "continuous time",
                          choices[i].kind, choices[i].name);
    return true;
}

/* Whether all that training needs at time t is finite. */
static bool numbers_fit_at(const ito_diffusion *d, double t)
{
    const ito_process *p = d->process;
    ito_step step = ito_step_between(p, t, p->steps > 0 ? t - 1.0 : p->t_clean);
    ito_target target = d->prediction->target(d->prediction, &step);
    ito_preconditioning x_0 = ito_prediction_to_x_0(d->prediction, &step);
    double weight = output_weight(d, &step);
    if (!(isfinite(target.x_0) && isfinite(target.eps) && isfinite(weight) && weight >= 0.0)) {
        ito_error_set(ITO_ERR_ARGUMENT,
                      "diffusion: at time %g (signal %g, noise %g) %s is %g x_0 + %g eps, with a "
                      "weight of %g by %s",
                      t, step.at.signal, step.at.noise, d->prediction->name, target.x_0, target.eps,
                      weight, d->weighting->name);
        return false;
    }
    if (d->objective->vlb != 0.0 && !(isfinite(x_0.c_skip) && isfinite(x_0.c_out))) {
        ito_error_set(ITO_ERR_ARGUMENT,
                      "diffusion: the objective %s needs x_0, which %s does not tell at time %g "
                      "(signal %g)",
                      d->objective->name, d->prediction->name, t, step.at.signal);
        return false;
    }
    return true;
}

/* At every step, or at the ends and some times between them. */
static bool numbers_fit(const ito_diffusion *d)
{
    const ito_process *p = d->process;
    int64_t n = p->steps > 0 ? p->steps : 17;
    for (int64_t i = 0; i < n; i++) {
        double share = n == 1 ? 0.0 : (double)i / (double)(n - 1);
        double t = p->steps > 0 ? (double)i : p->t_min + share * (p->t_max - p->t_min);
        if (!numbers_fit_at(d, i == n - 1 ? p->t_max : t))
            return false;
    }
    return true;
}

/* Replace a number of the weighting, which must use it, by that of the options. */
static bool set_number(ito_diffusion *d, const char *name, unsigned use, double given,
                       double *number)
{
    if (isnan(given))
        return true;
    if (!(d->weighting->uses & use)) {
        ito_error_set(ITO_ERR_ARGUMENT, "diffusion: the weighting %s has no %s, and %g was given",
                      d->weighting->name, name, given);
        return false;
    }
    *number = given;
    d->weighting = &d->own_weighting;
    return true;
}

/* The same for sigma_data, which a prediction may use too. */
static bool set_sigma_data(ito_diffusion *d, double given)
{
    if (isnan(given))
        return true;
    bool predicts = d->prediction->uses & ITO_USES_SIGMA_DATA;
    bool weighs = d->weighting->uses & ITO_USES_SIGMA_DATA;
    if ((predicts || weighs) && given > 0.0 && isfinite(given)) {
        d->own_prediction = *d->prediction;
        d->own_prediction.sigma_data = d->own_weighting.sigma_data = given;
        d->prediction = predicts ? &d->own_prediction : d->prediction;
        d->weighting = weighs ? &d->own_weighting : d->weighting;
        return true;
    }
    if (predicts || weighs)
        ito_error_set(ITO_ERR_ARGUMENT, "diffusion: sigma_data is %g; it must be above 0", given);
    else
        ito_error_set(ITO_ERR_ARGUMENT,
                      "diffusion: neither the prediction %s nor the weighting %s has a sigma_data, "
                      "and %g was given",
                      d->prediction->name, d->weighting->name, given);
    return false;
}

static ito_process *make_process(const ito_diffusion_options *o)
{
    if (o->betas != NULL)
        return ito_process_from_betas(o->betas, o->steps == ITO_USUAL_STEPS ? 1000 : o->steps);
    ito_process_options p = {.steps = o->steps,
                             .beta_start = o->beta_start,
                             .beta_end = o->beta_end,
                             .sigma_min = o->sigma_min,
                             .sigma_max = o->sigma_max,
                             .shift = o->shift,
                             .zero_terminal_snr = o->zero_terminal_snr};
    return ito_process_create_with(o->schedule, p);
}

void fill_choices(ito_diffusion_options *o)
{
    if (o->schedule == NULL)
        o->schedule = &ito_schedule_linear;
    if (o->prediction == NULL)
        o->prediction = &ito_prediction_eps;
    if (o->time_input == NULL)
        o->time_input = &ito_time_input_timestep;
    if (o->variance == NULL)
        o->variance = &ito_variance_fixedlarge;
    if (o->weighting == NULL)
        o->weighting = &ito_weighting_simple;
    if (o->objective == NULL)
        o->objective = &ito_objective_simple;
}

ito_diffusion *ito_diffusion_create_with(ito_diffusion_options o)
{
    ito_diffusion *d = struct_alloc(sizeof *d);
    if (d == NULL)
        return NULL;
    fill_choices(&o);
    d->process = make_process(&o);
    d->prediction = o.prediction;
    d->time_input = o.time_input;
    d->variance = o.variance;
    d->weighting = o.weighting;
    d->objective = o.objective;
    d->own_weighting = *d->weighting;
    if (d->process != NULL &&
        set_number(d, "gamma", ITO_USES_GAMMA, o.gamma, &d->own_weighting.gamma) &&
        set_number(d, "k", ITO_USES_K, o.k, &d->own_weighting.k) &&
        set_sigma_data(d, o.sigma_data) && choices_fit(d) && steps_fit(d) && numbers_fit(d))
        return d;
    ito_diffusion_free(d);
    return NULL;
}

void ito_diffusion_free(ito_diffusion *d)
{
    if (d == NULL)
        return;
    ito_process_free(d->process);
    free(d);
}

/* ---- batches ---- */

double vector_at(const ito_tensor *v, int64_t i)
{
    const void *data = tensor_data(v);
    int64_t at = i * v->stride[0];
    if (v->dtype == ITO_I64)
        return (double)((const int64_t *)data)[at];
    return v->dtype == ITO_F64 ? ((const double *)data)[at] : (double)((const float *)data)[at];
}

bool times_fit(const char *op, const ito_process *p, const ito_tensor *t, int64_t n)
{
    if (t->dtype != ITO_I64 && t->dtype != ITO_F32 && t->dtype != ITO_F64) {
        ito_error_set(ITO_ERR_DTYPE, "%s: t is %s; times are i64, f32 or f64", op,
                      ito_dtype_name(t->dtype));
        return false;
    }
    if (t->ndim != 1 || t->shape[0] != n) {
        ito_error_set(ITO_ERR_SHAPE, "%s: t is %s; %" PRId64 " examples need one time each", op,
                      tensor_shape_str(t), n);
        return false;
    }
    for (int64_t i = 0; i < n; i++) {
        double time = vector_at(t, i);
        if (time >= p->t_min && time <= p->t_max && (p->steps == 0 || time == floor(time)))
            continue;
        ito_error_set(ITO_ERR_RANGE, "%s: t of example %" PRId64 " is %g; there are %s%g to %g", op,
                      i, time, p->steps > 0 ? "steps " : "times ", p->t_min, p->t_max);
        return false;
    }
    return true;
}

bool batch_fits(const char *op, const ito_process *p, const ito_tensor *x, const ito_tensor *y,
                const ito_tensor *t)
{
    if (x->dtype != y->dtype || (x->dtype != ITO_F32 && x->dtype != ITO_F64)) {
        ito_error_set(ITO_ERR_DTYPE, "%s: x_0 is %s and eps %s; they must be both f32 or both f64",
                      op, ito_dtype_name(x->dtype), ito_dtype_name(y->dtype));
        return false;
    }
    if (x->ndim < 1 || !shape_equal(ito_shape_of(x), ito_shape_of(y))) {
        ito_error_set(ITO_ERR_SHAPE, "%s: x_0 is %s and eps %s; they must be equal, [N, ...]", op,
                      tensor_shape_str(x), tensor_shape_str(y));
        return false;
    }
    return times_fit(op, p, t, x->shape[0]);
}

ito_step step_of_example(const ito_process *p, const ito_tensor *t, int64_t i)
{
    double time = vector_at(t, i);
    return ito_step_between(p, time, p->steps > 0 ? time - 1.0 : p->t_clean);
}

/* ---- numbers and coefficients for each example ---- */

static void store(ito_tensor *dst, int64_t i, double value)
{
    if (dst->dtype == ITO_F64)
        ((double *)tensor_data(dst))[i] = value;
    else
        ((float *)tensor_data(dst))[i] = (float)value;
}

ito_shape one_per_example(const ito_tensor *x)
{
    return (ito_shape){.ndim = x->ndim, .dim = {x->shape[0], 1, 1, 1, 1, 1, 1, 1}};
}

ito_tensor *number_per_example(const ito_diffusion *d, number_of_step *number,
                               const ito_tensor *like, const ito_tensor *t)
{
    ito_tensor *values = tensor_empty(one_per_example(like), like->dtype);
    for (int64_t i = 0; values != NULL && i < t->shape[0]; i++) {
        ito_step step = step_of_example(d->process, t, i);
        store(values, i, number(d, &step));
    }
    return values;
}

ito_tensor *weighted_sum(const ito_process *p, coefficients_of_step *of,
                         const ito_prediction *prediction, ito_tensor *x, ito_tensor *y,
                         const ito_tensor *t)
{
    if (x == NULL || y == NULL)
        return NULL;
    ito_tensor *a = tensor_empty(one_per_example(x), x->dtype);
    ito_tensor *b = tensor_empty(one_per_example(x), x->dtype);
    if (a == NULL || b == NULL)
        return NULL;
    bool only_x = true, only_y = true;
    for (int64_t i = 0; i < x->shape[0]; i++) {
        ito_step step = step_of_example(p, t, i);
        coefficients c = of(prediction, &step);
        store(a, i, c.x);
        store(b, i, c.y);
        only_x = only_x && c.x == 1.0 && c.y == 0.0;
        only_y = only_y && c.x == 0.0 && c.y == 1.0;
    }
    return only_x ? x : only_y ? y : ito_add(ito_mul(a, x), ito_mul(b, y));
}

coefficients target_coefficients(const ito_prediction *p, const ito_step *step)
{
    ito_target target = p->target(p, step);
    return (coefficients){target.x_0, target.eps};
}

coefficients x_0_coefficients(const ito_prediction *p, const ito_step *step)
{
    ito_preconditioning x_0 = ito_prediction_to_x_0(p, step);
    return (coefficients){x_0.c_skip, x_0.c_out};
}

static coefficients level_coefficients(const ito_prediction *p, const ito_step *step)
{
    (void)p;
    return (coefficients){step->at.signal, step->at.noise};
}

ito_tensor *ito_q_sample(const ito_process *p, ito_tensor *x_0, ito_tensor *eps, ito_tensor *t)
{
    if (p == NULL) {
        error_missing("q_sample", "the process");
        return NULL;
    }
    if (x_0 == NULL || eps == NULL || t == NULL || !batch_fits("q_sample", p, x_0, eps, t))
        return NULL;
    return weighted_sum(p, level_coefficients, NULL, x_0, eps, t);
}

/* ---- data ---- */

ito_tensor *data_empty(ito_shape shape, ito_dtype dtype)
{
    return shape.ndim == 4 ? tensor_empty_channels_last(shape, dtype) : tensor_empty(shape, dtype);
}

ito_tensor *example_mean(ito_tensor *x)
{
    if (x == NULL || x->ndim == 1)
        return x;
    ito_shape rest = {.ndim = x->ndim - 1, .dim = {1, 2, 3, 4, 5, 6, 7}};
    return ito_mean(x, .dims = rest);
}
