/* Guidance by labels and by a classifier, around a network.
 * Invariant: an example's output depends on that example and its label alone. */
#include "models/ddpm/network/guidance.h"

#include "autograd/autograd.h"
#include "autograd/graph.h"
#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>

static ito_tensor *join_heads(ito_tensor *prediction, ito_tensor *v)
{
    return v == NULL ? prediction : ito_cat(ITO_TENSORS(prediction, v), 1);
}

static void destroy(ito_network *self)
{
    free(self);
}

/* ---- classifier-free ---- */

static ito_tensor *evaluate(ito_network *self, const ito_network_input *in)
{
    ito_guidance *g = (ito_guidance *)self;
    ito_network_input without = *in;
    without.labels = NULL;
    if (g->scale == 0.0)
        return ito_network_evaluate(g->network, &without);
    if (g->scale == 1.0)
        return ito_network_evaluate(g->network, in);
    if (in->labels == NULL)
        return error_null(ITO_ERR_ARGUMENT, "guidance: a scale of %g needs labels to guide to",
                          g->scale);
    network_heads labelled, none;
    if (!part_heads("guidance", g->diffusion, ito_network_evaluate(g->network, in), in->x_t,
                    &labelled) ||
        !part_heads("guidance", g->diffusion, ito_network_evaluate(g->network, &without), in->x_t,
                    &none))
        return NULL;
    return join_heads(ito_lerp(none.prediction, labelled.prediction, g->scale), labelled.v);
}

static void begin(ito_network *self)
{
    ito_network_begin(((ito_guidance *)self)->network);
}

ito_guidance *ito_guidance_create(const ito_diffusion *d, ito_network *network, double scale)
{
    if (d == NULL || network == NULL)
        return error_null(ITO_ERR_ARGUMENT, "guidance: the %s is NULL",
                          d == NULL ? "diffusion" : "network");
    if (!isfinite(scale))
        return error_null(ITO_ERR_RANGE, "guidance: a scale of %g; it must be finite", scale);
    ito_guidance *g = struct_alloc(sizeof *g);
    if (g != NULL)
        *g = (ito_guidance){.base = {.evaluate = evaluate, .begin = begin, .free = destroy},
                            .diffusion = d,
                            .network = network,
                            .scale = scale};
    return g;
}

/* ---- by a classifier's gradient ---- */

/* What an output changes by for -noise of eps: output = a x_0 + b eps with x_0 following eps. */
static double output_share(const ito_diffusion *d, const ito_step *step)
{
    ito_target target = d->prediction->target(d->prediction, step);
    if (step->at.signal == 0.0)
        return 0.0;
    return -step->at.noise * (target.eps - target.x_0 * step->at.noise / step->at.signal);
}

/* The gradient of the sum of log p with respect to x_t. */
static ito_tensor *classifier_gradient(const ito_classifier_guidance *g,
                                       const ito_network_input *in)
{
    int saved = grad_mode_enable();
    ito_tensor *leaf = ito_requires_grad(ito_clone(ito_detach(in->x_t)), true), *gradient = NULL;
    ito_network_input noised = {
        .x = leaf, .t = in->t, .x_t = leaf, .time = in->time, .labels = g->labels};
    ito_tensor *log_p = leaf == NULL ? NULL : ito_network_evaluate(g->classifier, &noised);
    if (log_p != NULL && (log_p->ndim != 1 || log_p->shape[0] != leaf->shape[0]))
        ito_error_set(ITO_ERR_SHAPE,
                      "classifier_guidance: the classifier made %s of %s; it must be [%" PRId64 "]",
                      tensor_shape_str(log_p), tensor_shape_str(leaf), leaf->shape[0]);
    else if (log_p != NULL)
        gradient = ito_grad(ito_sum(log_p), leaf);
    grad_mode_restore(saved);
    return gradient == NULL ? NULL : ito_detach(gradient);
}

static ito_tensor *classifier_evaluate(ito_network *self, const ito_network_input *in)
{
    ito_classifier_guidance *g = (ito_classifier_guidance *)self;
    network_heads heads;
    if (!part_heads("classifier_guidance", g->diffusion, ito_network_evaluate(g->network, in),
                    in->x_t, &heads))
        return NULL;
    ito_tensor *gradient = classifier_gradient(g, in);
    if (gradient == NULL)
        return NULL;
    ito_tensor *shift =
        ito_mul(gradient, number_per_example(g->diffusion, output_share, in->x_t, in->time));
    return join_heads(ito_axpby(1.0, heads.prediction, g->scale, shift), heads.v);
}

static void classifier_begin(ito_network *self)
{
    ito_classifier_guidance *g = (ito_classifier_guidance *)self;
    ito_network_begin(g->network);
    ito_network_begin(g->classifier);
}

ito_classifier_guidance *ito_classifier_guidance_create(const ito_diffusion *d,
                                                        ito_network *network,
                                                        ito_network *classifier, double scale)
{
    if (d == NULL || network == NULL || classifier == NULL)
        return error_null(ITO_ERR_ARGUMENT, "classifier_guidance: the %s is NULL",
                          d == NULL         ? "diffusion"
                          : network == NULL ? "network"
                                            : "classifier");
    ito_classifier_guidance *g = struct_alloc(sizeof *g);
    if (g != NULL)
        *g = (ito_classifier_guidance){
            .base = {.evaluate = classifier_evaluate, .begin = classifier_begin, .free = destroy},
            .diffusion = d,
            .network = network,
            .classifier = classifier,
            .scale = scale};
    return g;
}
