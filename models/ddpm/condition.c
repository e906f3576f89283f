/* Conditions and guidance, each an ito_ddpm_network around another.
 * Invariant: an image's output depends on its own label and guess alone. */
#include "models/ddpm/condition.h"

#include "autograd/autograd.h"
#include "autograd/graph.h"
#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "tensor/internal.h"

#include <math.h>

/* ---- labels ---- */

static bool check_labels(const ito_ddpm_conditioned *c, const ito_tensor *x)
{
    const ito_tensor *labels = c->labels;
    double w = c->guidance;
    if (c->classes == 0 && (labels != NULL || (w != 0.0 && w != 1.0)))
        return error_status(
                   ITO_ERR_ARGUMENT,
                   "guidance: the network is not conditional on classes: it takes no labels "
                   "and no guidance") == ITO_OK;
    if (c->training && c->draw == NULL && (c->drop > 0.0 || c->self_condition))
        return error_status(ITO_ERR_ARGUMENT,
                            "guidance: training needs a generator to draw from") == ITO_OK;
    if (labels == NULL) {
        if (w != 0.0 && w != 1.0)
            ito_error_set(ITO_ERR_ARGUMENT, "guidance: a scale of %g needs labels to guide to", w);
        return w == 0.0 || w == 1.0;
    }
    if (labels->dtype != ITO_I64 || labels->ndim != 1 || labels->shape[0] != x->shape[0])
        return error_status(ITO_ERR_SHAPE,
                            "guidance: the labels are %s of %s; images %s need one i64 each",
                            tensor_shape_str(labels), ito_dtype_name(labels->dtype),
                            tensor_shape_str(x)) == ITO_OK;
    for (int64_t i = 0; i < labels->shape[0]; i++) {
        int64_t label = ((const int64_t *)tensor_data(labels))[i * labels->stride[0]];
        if (label < 0 || label > c->classes)
            return error_status(ITO_ERR_RANGE,
                                "guidance: the label of image %" PRId64 " is %" PRId64
                                "; there are 0 to %" PRId64 ", and %" PRId64 " for none",
                                i, label, c->classes - 1, c->classes) == ITO_OK;
    }
    return true;
}

/* The labels as the network is to see them: some dropped in training. */
static ito_tensor *labels_of(const ito_ddpm_conditioned *c, int64_t n, bool none)
{
    ito_tensor *labels = ito_full(ITO_SHAPE(n), (double)c->classes, ITO_I64);
    for (int64_t i = 0; labels != NULL && c->labels != NULL && !none && i < n; i++) {
        bool dropped = c->training && c->drop > 0.0 && ito_uniform(c->draw) < c->drop;
        if (!dropped)
            ((int64_t *)tensor_data(labels))[i] =
                ((const int64_t *)tensor_data(c->labels))[i * c->labels->stride[0]];
    }
    return labels;
}

/* ---- the network, given all that ---- */

/* none + w (label - none) in the first head; the second as the label has it. */
static ito_tensor *guided(const ito_ddpm_conditioned *c, ito_tensor *x, ito_tensor *labelled,
                          ito_tensor *none)
{
    network_heads a, b;
    if (!part_heads("guidance", c->diffusion, labelled, x, &a) ||
        !part_heads("guidance", c->diffusion, none, x, &b))
        return NULL;
    ito_tensor *y = ito_lerp(b.prediction, a.prediction, c->guidance);
    return a.v == NULL ? y : ito_cat(ITO_TENSORS(y, a.v), 1);
}

static ito_tensor *ask(const ito_ddpm_conditioned *c, ito_tensor *x, ito_tensor *t,
                       ito_tensor *labels, ito_tensor *x_0)
{
    ito_ddpm_condition given = {labels, x_0};
    ito_tensor *output = c->network(x, t, &given, c->context);
    if (output == NULL || c->labels == NULL || c->training || c->guidance == 0.0 ||
        c->guidance == 1.0)
        return output;
    given.labels = labels_of(c, x->shape[0], true);
    return given.labels == NULL ? NULL : guided(c, x, output, c->network(x, t, &given, c->context));
}

static double inverse_input(const ito_diffusion *d, const ito_ddpm_step *step)
{
    return 1.0 / d->prediction->input(d->prediction, step);
}

/* x_t of what the network was given. */
static ito_tensor *seen(const ito_diffusion *d, ito_tensor *x, const ito_tensor *t)
{
    return d->prediction->input == NULL ? x : ito_mul(x, per_image(d, inverse_input, x, t));
}

/* The clean images that an output implies, without history. */
static ito_tensor *guess(const ito_ddpm_conditioned *c, ito_tensor *x, ito_tensor *t,
                         ito_tensor *output)
{
    network_heads heads;
    if (!part_heads("guidance", c->diffusion, output, x, &heads))
        return NULL;
    ito_tensor *x_0 =
        combine(c->diffusion, x_0_pair, seen(c->diffusion, x, t), ito_detach(heads.prediction), t);
    return ito_clamp(ito_detach(x_0), -1.0, 1.0);
}

/* Half of the batches get a guess that the network itself makes without one. */
static ito_tensor *training_guess(const ito_ddpm_conditioned *c, ito_tensor *x, ito_tensor *t,
                                  ito_tensor *labels)
{
    ito_tensor *zeros = ito_zeros_like(x), *x_0 = zeros;
    if (ito_uniform(c->draw) < 0.5)
        return zeros;
    ito_no_grad_begin();
    x_0 = guess(c, x, t, ask(c, x, t, labels, zeros));
    ito_no_grad_end();
    return x_0;
}

static ito_tensor *last_guess(const ito_ddpm_conditioned *c, ito_tensor *x, int64_t t)
{
    bool goes_on = c->last != NULL && !asked_afresh() && t <= c->last_t &&
                   c->last->dtype == x->dtype &&
                   shape_equal(ito_shape_of(c->last), ito_shape_of(x));
    return goes_on ? c->last : ito_zeros_like(x);
}

ito_tensor *ito_ddpm_conditioned_network(ito_tensor *x, ito_tensor *t, void *context)
{
    ito_ddpm_conditioned *c = context;
    if (x == NULL || t == NULL || !check_labels(c, x))
        return NULL;
    int64_t first = x->shape[0] > 0 ? ((const int64_t *)tensor_data(t))[0] : 0;
    ito_tensor *labels = c->classes > 0 ? labels_of(c, x->shape[0], false) : NULL, *x_0 = NULL;
    if (c->classes > 0 && labels == NULL)
        return NULL;
    if (c->self_condition) {
        x_0 = c->training ? training_guess(c, x, t, labels) : last_guess(c, x, first);
        if (x_0 == NULL)
            return NULL;
    }
    ito_tensor *output = ask(c, x, t, labels, x_0);
    if (!c->self_condition || c->training || output == NULL)
        return output;
    ito_tensor *next = guess(c, x, t, output);
    if (next == NULL)
        return NULL;
    ito_ddpm_conditioned_end(c);
    c->last = ito_retain(next);
    c->last_t = first;
    return output;
}

void ito_ddpm_conditioned_end(ito_ddpm_conditioned *c)
{
    ito_release(c->last);
    c->last = NULL;
}

/* ---- a classifier's gradient ---- */

/* What an output changes by for -noise of eps: output = a x_0 + b eps with x_0 following eps. */
static double output_share(const ito_diffusion *d, const ito_ddpm_step *step)
{
    ito_ddpm_pair target = target_pair(d, step);
    if (step->at.signal == 0.0)
        return 0.0;
    return -step->at.noise * (target.b - target.a * step->at.noise / step->at.signal);
}

/* The gradient of the sum of log p with respect to x_t. */
static ito_tensor *slope_of(const ito_ddpm_classifier *c, ito_tensor *x, ito_tensor *t)
{
    int saved = grad_mode_enable();
    ito_tensor *leaf = ito_requires_grad(ito_clone(ito_detach(x)), true), *slope = NULL;
    ito_tensor *log_p = leaf == NULL ? NULL : c->log_probability(leaf, t, c->classifier_context);
    if (log_p != NULL && (log_p->ndim != 1 || log_p->shape[0] != x->shape[0]))
        error_status(ITO_ERR_SHAPE,
                     "guidance: the classifier made %s of %s; it must be [%" PRId64 "]",
                     tensor_shape_str(log_p), tensor_shape_str(x), x->shape[0]);
    else
        slope = ito_grad(ito_sum(log_p), leaf);
    grad_mode_restore(saved);
    return slope == NULL ? NULL : ito_detach(slope);
}

ito_tensor *ito_ddpm_classifier_network(ito_tensor *x, ito_tensor *t, void *context)
{
    const ito_ddpm_classifier *c = context;
    network_heads heads;
    if (x == NULL || t == NULL)
        return NULL;
    ito_tensor *output = c->network(x, t, c->context);
    ito_tensor *x_t = seen(c->diffusion, x, t), *slope = NULL;
    if (!part_heads("guidance", c->diffusion, output, x, &heads) || x_t == NULL)
        return NULL;
    slope = slope_of(c, x_t, t);
    if (slope == NULL)
        return NULL;
    ito_tensor *shift = ito_mul(slope, per_image(c->diffusion, output_share, x, t));
    ito_tensor *y = ito_axpby(1.0, heads.prediction, c->scale, shift);
    return heads.v == NULL ? y : ito_cat(ITO_TENSORS(y, heads.v), 1);
}
