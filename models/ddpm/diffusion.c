/* The object that joins the choices, the checks of their combination, and the forward process.
 * Invariant: coefficients are computed in double from the schedule's tables, one pair per image. */
#include "models/ddpm/diffusion.h"

#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>

/* ---- steps ---- */

static ito_ddpm_level level_at(const ito_ddpm_schedule *s, int64_t t)
{
    return t < 0 ? (ito_ddpm_level){1.0, 0.0} : (ito_ddpm_level){s->signal[t], s->noise[t]};
}

ito_ddpm_step ito_ddpm_step_at(const ito_ddpm_schedule *s, int64_t t, int64_t to)
{
    return (ito_ddpm_step){s, t, level_at(s, t), level_at(s, t - 1), to, level_at(s, to)};
}

/* The inverse of x_t = signal x_0 + noise eps, output = a x_0 + b eps, by Cramer's rule. */
ito_ddpm_pair ito_ddpm_x_0_of(const ito_ddpm_prediction *p, const ito_ddpm_step *step)
{
    ito_ddpm_pair target = p->target(p, step);
    double determinant = step->at.signal * target.b - step->at.noise * target.a;
    return (ito_ddpm_pair){target.b / determinant, -step->at.noise / determinant};
}

ito_ddpm_pair ito_ddpm_eps_of(const ito_ddpm_prediction *p, const ito_ddpm_step *step)
{
    ito_ddpm_pair target = p->target(p, step);
    if (target.a == 0.0) /* also where nothing is left of x_0 */
        return (ito_ddpm_pair){0.0, 1.0 / target.b};
    double determinant = step->at.signal * target.b - step->at.noise * target.a;
    return (ito_ddpm_pair){-target.a / determinant, step->at.signal / determinant};
}

/* Precisions of q(x_t | x_to) and q(x_to | x_0) add; written so that no signal is divided by but
 * that of the cleaner image. */
ito_ddpm_pair ito_ddpm_posterior(const ito_ddpm_step *step, double *variance)
{
    ito_ddpm_level at = step->at, to = step->to;
    double alpha = at.signal / to.signal, share = to.noise * to.noise / (at.noise * at.noise);
    double beta = at.noise * at.noise - alpha * alpha * to.noise * to.noise;
    if (variance != NULL)
        *variance = share * beta;
    return (ito_ddpm_pair){alpha * share, to.signal * beta / (at.noise * at.noise)};
}

/* ---- the object ---- */

/* Why the choices do not go together, apart from numbers; or true. */
static bool choices_fit(const ito_diffusion *d)
{
    const ito_ddpm_objective *loss = d->loss;
    if (d->variance->learned && loss->vlb == 0.0) {
        ito_error_set(ITO_ERR_ARGUMENT,
                      "diffusion: the loss %s does not train the variance %s; vlb, rescaled and "
                      "hybrid do",
                      loss->name, d->variance->name);
        return false;
    }
    if (loss->detach_mean && !d->variance->learned) {
        ito_error_set(ITO_ERR_ARGUMENT,
                      "diffusion: the loss %s trains a learned variance, and %s is not learned",
                      loss->name, d->variance->name);
        return false;
    }
    if (loss->simple == 0.0 && d->weighting->weight != NULL) {
        ito_error_set(ITO_ERR_ARGUMENT, "diffusion: the loss %s has no weights, and %s was given",
                      loss->name, d->weighting->name);
        return false;
    }
    return true;
}

/* Whether all that training asks for is finite at every step. */
static bool numbers_fit(const ito_diffusion *d)
{
    for (int64_t t = 0; t < d->schedule->steps; t++) {
        ito_ddpm_step step = ito_ddpm_step_at(d->schedule, t, t - 1);
        ito_ddpm_pair target = target_pair(d, &step), x_0 = x_0_pair(d, &step);
        double weight = output_weight(d, &step);
        if (!(isfinite(target.a) && isfinite(target.b) && isfinite(weight) && weight >= 0.0)) {
            ito_error_set(ITO_ERR_ARGUMENT,
                          "diffusion: at step %" PRId64
                          " (signal %g, noise %g) %s is %g x_0 + %g eps, with a weight of %g by %s",
                          t, step.at.signal, step.at.noise, d->prediction->name, target.a, target.b,
                          weight, d->weighting->name);
            return false;
        }
        if (d->loss->vlb != 0.0 && !(isfinite(x_0.a) && isfinite(x_0.b))) {
            ito_error_set(
                ITO_ERR_ARGUMENT,
                "diffusion: the loss %s needs x_0, which %s does not tell at step %" PRId64
                " (signal %g)",
                d->loss->name, d->prediction->name, t, step.at.signal);
            return false;
        }
    }
    return true;
}

/* Put a number of the options in place of the weighting's, which must have one. */
static bool set_number(ito_diffusion *d, const char *name, double given, double *number)
{
    if (given == 0.0)
        return true;
    if (*number == 0.0) {
        ito_error_set(ITO_ERR_ARGUMENT, "diffusion: the weighting %s has no %s, and %g was given",
                      d->weighting->name, name, given);
        return false;
    }
    *number = given;
    d->weighting = &d->numbered;
    return true;
}

/* The same with sigma_data, which a prediction can have, too. */
static bool set_sigma_data(ito_diffusion *d, double given)
{
    if (given == 0.0)
        return true;
    bool predicts = d->prediction->sigma_data != 0.0, weighs = d->weighting->sigma_data != 0.0;
    if ((predicts || weighs) && given > 0.0 && isfinite(given)) {
        d->numbered_prediction = *d->prediction;
        d->numbered_prediction.sigma_data = d->numbered.sigma_data = given;
        d->prediction = predicts ? &d->numbered_prediction : d->prediction;
        d->weighting = weighs ? &d->numbered : d->weighting;
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

ito_diffusion *ito_diffusion_create_with(ito_diffusion_options o)
{
    ito_diffusion *d = struct_alloc(sizeof *d);
    if (d == NULL)
        return NULL;
    int64_t T = o.steps == 0 ? 1000 : o.steps;
    d->schedule = o.list != NULL ? ito_ddpm_schedule_from_betas(o.list, T)
                                 : ito_ddpm_schedule_create_with(o.schedule, T, o.betas);
    d->prediction = o.prediction != NULL ? o.prediction : &ito_ddpm_predict_eps;
    d->variance = o.variance != NULL ? o.variance : &ito_ddpm_fixedlarge;
    d->weighting = o.weighting != NULL ? o.weighting : &ito_ddpm_simple;
    d->loss = o.loss != NULL ? o.loss : &ito_ddpm_loss_simple;
    d->numbered = *d->weighting;
    if (d->schedule != NULL && set_number(d, "gamma", o.gamma, &d->numbered.gamma) &&
        set_number(d, "k", o.k, &d->numbered.k) && set_sigma_data(d, o.sigma_data) &&
        choices_fit(d) && numbers_fit(d))
        return d;
    ito_diffusion_free(d);
    return NULL;
}

void ito_diffusion_free(ito_diffusion *d)
{
    if (d == NULL)
        return;
    ito_ddpm_schedule_free(d->schedule);
    free(d);
}

/* ---- numbers and pairs of numbers for each image ---- */

bool batch_fits(const char *op, const ito_ddpm_schedule *s, const ito_tensor *x,
                const ito_tensor *y, const ito_tensor *t)
{
    if (x->dtype != y->dtype || (x->dtype != ITO_F32 && x->dtype != ITO_F64) ||
        t->dtype != ITO_I64) {
        ito_error_set(ITO_ERR_DTYPE,
                      "%s: x_0 is %s, eps %s and t %s; they must be both f32 or both f64, and i64",
                      op, ito_dtype_name(x->dtype), ito_dtype_name(y->dtype),
                      ito_dtype_name(t->dtype));
        return false;
    }
    if (x->ndim < 1 || !shape_equal(ito_shape_of(x), ito_shape_of(y)) || t->ndim != 1 ||
        t->shape[0] != x->shape[0]) {
        ito_error_set(ITO_ERR_SHAPE,
                      "%s: x_0 is %s, eps %s and t %s; the first two must be equal, with one t an "
                      "image",
                      op, tensor_shape_str(x), tensor_shape_str(y), tensor_shape_str(t));
        return false;
    }
    const int64_t *steps = tensor_data(t);
    for (int64_t i = 0; i < t->shape[0]; i++) {
        int64_t step = steps[i * t->stride[0]];
        if (step < 0 || step >= s->steps) {
            ito_error_set(ITO_ERR_RANGE,
                          "%s: t of image %" PRId64 " is %" PRId64
                          "; there are steps 0 to %" PRId64,
                          op, i, step, s->steps - 1);
            return false;
        }
    }
    return true;
}

static void store(ito_tensor *dst, int64_t i, double value)
{
    if (dst->dtype == ITO_F64)
        ((double *)tensor_data(dst))[i] = value;
    else
        ((float *)tensor_data(dst))[i] = (float)value;
}

ito_ddpm_step step_of_image(const ito_ddpm_schedule *s, const ito_tensor *t, int64_t i)
{
    int64_t step = ((const int64_t *)tensor_data(t))[i * t->stride[0]];
    return ito_ddpm_step_at(s, step, step - 1);
}

static ito_shape one_an_image(const ito_tensor *like)
{
    return (ito_shape){.ndim = like->ndim, .dim = {like->shape[0], 1, 1, 1, 1, 1, 1, 1}};
}

ito_tensor *per_image(const ito_diffusion *d, number_of_step *number, const ito_tensor *like,
                      const ito_tensor *t)
{
    ito_tensor *values = tensor_empty(one_an_image(like), like->dtype);
    for (int64_t i = 0; values != NULL && i < t->shape[0]; i++) {
        ito_ddpm_step step = step_of_image(d->schedule, t, i);
        store(values, i, number(d, &step));
    }
    return values;
}

ito_tensor *combine(const ito_diffusion *d, pair_of_step *pair, ito_tensor *x, ito_tensor *y,
                    const ito_tensor *t)
{
    if (x == NULL || y == NULL)
        return NULL;
    ito_tensor *a = tensor_empty(one_an_image(x), x->dtype);
    ito_tensor *b = tensor_empty(one_an_image(x), x->dtype);
    if (a == NULL || b == NULL)
        return NULL;
    bool only_x = true, only_y = true;
    for (int64_t i = 0; i < x->shape[0]; i++) {
        ito_ddpm_step step = step_of_image(d->schedule, t, i);
        ito_ddpm_pair p = pair(d, &step);
        store(a, i, p.a);
        store(b, i, p.b);
        only_x = only_x && p.a == 1.0 && p.b == 0.0;
        only_y = only_y && p.a == 0.0 && p.b == 1.0;
    }
    return only_x ? x : only_y ? y : ito_add(ito_mul(a, x), ito_mul(b, y));
}

static ito_ddpm_pair noised(const ito_diffusion *d, const ito_ddpm_step *step)
{
    (void)d;
    return (ito_ddpm_pair){step->at.signal, step->at.noise};
}

ito_tensor *ito_ddpm_q_sample(const ito_ddpm_schedule *s, ito_tensor *x_0, ito_tensor *eps,
                              ito_tensor *t)
{
    if (x_0 == NULL || eps == NULL || t == NULL || !batch_fits("q_sample", s, x_0, eps, t))
        return NULL;
    ito_diffusion d = {.schedule = (ito_ddpm_schedule *)(uintptr_t)s}; /* read only */
    return combine(&d, noised, x_0, eps, t);
}
