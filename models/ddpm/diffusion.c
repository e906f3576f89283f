/* The choices that make up a diffusion, its forward process and its training loss.
 * Invariant: coefficients are computed in double from the schedule's tables, one pair per image. */
#include "models/ddpm/diffusion.h"

#include "autograd/ops.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the choices ---- */

static ito_ddpm_pair eps_target(const ito_ddpm_step *step)
{
    (void)step;
    return (ito_ddpm_pair){0.0, 1.0};
}

/* x_0 = (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar) */
static ito_ddpm_pair eps_x_0(const ito_ddpm_step *step)
{
    return (ito_ddpm_pair){1.0 / sqrt(step->alpha_bar), -sqrt(1.0 / step->alpha_bar - 1.0)};
}

static ito_ddpm_pair eps_eps(const ito_ddpm_step *step)
{
    (void)step;
    return (ito_ddpm_pair){0.0, 1.0};
}

/* beta of the step, which respacing may have made of several. */
static double fixedlarge(const ito_ddpm_step *step)
{
    return 1.0 - step->alpha_bar / step->alpha_bar_to;
}

static double fixedsmall(const ito_ddpm_step *step)
{
    return (1.0 - step->alpha_bar_to) / (1.0 - step->alpha_bar) * fixedlarge(step);
}

const ito_ddpm_prediction ito_ddpm_predict_eps = {"eps", eps_target, eps_x_0, eps_eps};
const ito_ddpm_variance ito_ddpm_fixedsmall = {"fixedsmall", fixedsmall};
const ito_ddpm_variance ito_ddpm_fixedlarge = {"fixedlarge", fixedlarge};
const ito_ddpm_weighting ito_ddpm_simple = {"simple", NULL};

static const ito_ddpm_variance *const variances[] = {&ito_ddpm_fixedsmall, &ito_ddpm_fixedlarge};

const ito_ddpm_variance *ito_ddpm_variance_find(const char *name)
{
    for (size_t i = 0; i < sizeof variances / sizeof variances[0]; i++)
        if (strcmp(variances[i]->name, name) == 0)
            return variances[i];
    return error_null(ITO_ERR_ARGUMENT,
                      "variance: there is no \"%s\"; there are fixedsmall and fixedlarge", name);
}

ito_diffusion *ito_diffusion_create_with(ito_diffusion_options o)
{
    ito_diffusion *d = struct_alloc(sizeof *d);
    if (d == NULL)
        return NULL;
    d->schedule = ito_ddpm_schedule_create_with(o.schedule, o.steps == 0 ? 1000 : o.steps, o.betas);
    d->prediction = o.prediction != NULL ? o.prediction : &ito_ddpm_predict_eps;
    d->variance = o.variance != NULL ? o.variance : &ito_ddpm_fixedlarge;
    d->weighting = o.weighting != NULL ? o.weighting : &ito_ddpm_simple;
    if (d->schedule == NULL) {
        free(d);
        return NULL;
    }
    return d;
}

void ito_diffusion_free(ito_diffusion *d)
{
    if (d == NULL)
        return;
    ito_ddpm_schedule_free(d->schedule);
    free(d);
}

ito_ddpm_step ito_ddpm_step_at(const ito_ddpm_schedule *s, int64_t t, int64_t to)
{
    return (ito_ddpm_step){t, s->alpha_bar[t], to < 0 ? 1.0 : s->alpha_bar[to]};
}

/* ---- one pair of coefficients per image ---- */

/* Whether x, y [N, ...] and t [N] fit each other and every t is a step of s. */
static bool batch_fits(const char *op, const ito_ddpm_schedule *s, const ito_tensor *x,
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

typedef ito_ddpm_pair pair_of_step(const ito_ddpm_step *step);

static ito_ddpm_step step_of_image(const ito_ddpm_schedule *s, const ito_tensor *t, int64_t i)
{
    int64_t step = ((const int64_t *)tensor_data(t))[i * t->stride[0]];
    return ito_ddpm_step_at(s, step, step - 1);
}

/* a x + b y with a pair for the step of each image. */
static ito_tensor *combine(const ito_ddpm_schedule *s, pair_of_step *pair, ito_tensor *x,
                           ito_tensor *y, const ito_tensor *t)
{
    ito_shape per_image = {.ndim = x->ndim, .dim = {x->shape[0], 1, 1, 1, 1, 1, 1, 1}};
    ito_tensor *a = tensor_empty(per_image, x->dtype), *b = tensor_empty(per_image, x->dtype);
    if (a == NULL || b == NULL)
        return NULL;
    bool only_y = true;
    for (int64_t i = 0; i < x->shape[0]; i++) {
        ito_ddpm_step step = step_of_image(s, t, i);
        ito_ddpm_pair p = pair(&step);
        store(a, i, p.a);
        store(b, i, p.b);
        only_y = only_y && p.a == 0.0 && p.b == 1.0;
    }
    return only_y ? y : ito_add(ito_mul(a, x), ito_mul(b, y));
}

static ito_ddpm_pair noised(const ito_ddpm_step *step)
{
    return (ito_ddpm_pair){sqrt(step->alpha_bar), sqrt(1.0 - step->alpha_bar)};
}

ito_tensor *ito_ddpm_q_sample(const ito_ddpm_schedule *s, ito_tensor *x_0, ito_tensor *eps,
                              ito_tensor *t)
{
    if (x_0 == NULL || eps == NULL || t == NULL || !batch_fits("q_sample", s, x_0, eps, t))
        return NULL;
    return combine(s, noised, x_0, eps, t);
}

/* The squared errors [N, ...], averaged over each image and weighted by its step. */
static ito_tensor *weighted_mean(const ito_diffusion *d, ito_tensor *squares, const ito_tensor *t)
{
    if (squares == NULL)
        return NULL;
    ito_shape per_image = {.ndim = squares->ndim, .dim = {t->shape[0], 1, 1, 1, 1, 1, 1, 1}};
    ito_tensor *w = tensor_empty(per_image, squares->dtype);
    if (w == NULL)
        return NULL;
    for (int64_t i = 0; i < t->shape[0]; i++) {
        ito_ddpm_step step = step_of_image(d->schedule, t, i);
        store(w, i, d->weighting->weight(&step));
    }
    return ito_mean(ito_mul(squares, w));
}

ito_tensor *ito_ddpm_loss(const ito_diffusion *d, ito_ddpm_network *network, void *context,
                          ito_tensor *x_0, ito_tensor *t, ito_tensor *eps)
{
    if (x_0 == NULL || eps == NULL || t == NULL ||
        !batch_fits("ddpm_loss", d->schedule, x_0, eps, t))
        return NULL;
    ito_tensor *output = network(combine(d->schedule, noised, x_0, eps, t), t, context);
    ito_tensor *target = combine(d->schedule, d->prediction->target, x_0, eps, t);
    if (output == NULL || target == NULL)
        return NULL;
    if (!shape_equal(ito_shape_of(output), ito_shape_of(target)))
        return error_null(ITO_ERR_SHAPE, "ddpm_loss: the network made %s of %s",
                          tensor_shape_str(output), tensor_shape_str(x_0));
    if (d->weighting->weight == NULL)
        return ito_mse_loss(output, target);
    return weighted_mean(d, ito_square(ito_sub(output, target)), t);
}
