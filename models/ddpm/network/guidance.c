/* Guidance by labels, by a worse network and by a classifier, around a network.
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

/* ---- away from a worse output ---- */

static bool is_guided(const ito_guidance *g, const ito_tensor *time, int64_t i)
{
    ito_level at = ito_process_level(g->diffusion->process, vector_at(time, i));
    double sigma = at.noise / at.signal; /* infinite without signal */
    return sigma > g->sigma_lo && sigma <= g->sigma_hi;
}

/* How many of n examples are guided. */
static int64_t count_guided(const ito_guidance *g, const ito_network_input *in, int64_t n)
{
    if (g->sigma_lo == 0.0 && isinf(g->sigma_hi))
        return n;
    int64_t guided = 0;
    for (int64_t i = 0; i < n; i++)
        guided += is_guided(g, in->time, i);
    return guided;
}

/* Which these are: [N, 1, ...] bool. */
static ito_tensor *guided_examples(const ito_guidance *g, const ito_network_input *in)
{
    ito_tensor *mask = ito_empty(one_per_example(in->x_t), ITO_BOOL);
    for (int64_t i = 0; mask != NULL && i < in->x_t->shape[0]; i++)
        ((bool *)tensor_data(mask))[i] = is_guided(g, in->time, i);
    return mask;
}

/* y, with phi of the way to the deviation of `to` in each example: eq. (15) and (16) of Lin et al.
 * What has no deviation stays. */
static ito_tensor *rescaled(ito_tensor *y, ito_tensor *to, double phi)
{
    ito_shape each = ITO_SHAPE(y->shape[0], -1);
    ito_tensor *own = ito_std(ito_reshape_to(y, each), .dims = ITO_DIMS(1));
    ito_tensor *ratio = ito_div(ito_std(ito_reshape_to(to, each), .dims = ITO_DIMS(1)), own);
    if (ratio == NULL)
        return NULL;
    ratio = ito_where(ito_gt(own, ito_zeros_like(own)), ratio, ito_ones_like(own));
    ito_tensor *factor = ito_add_scalar(ito_mul_scalar(ratio, phi), 1.0 - phi);
    return ito_mul(y, ito_reshape_to(factor, one_per_example(y)));
}

/* The output of the worse network. */
static ito_tensor *evaluate_worse(const ito_guidance *g, const ito_network_input *in)
{
    ito_network_input without = *in;
    without.labels = NULL;
    return g->guide == NULL ? ito_network_evaluate(g->network, &without)
                            : ito_network_evaluate(g->guide, in);
}

static ito_tensor *evaluate_both(const ito_guidance *g, const ito_network_input *in, bool all)
{
    const char *op = g->guide == NULL ? "guidance" : "autoguidance";
    network_heads better, worse;
    ito_tensor *output = ito_network_evaluate(g->network, in);
    if (!part_heads(op, g->diffusion, output, in->x_t, &better))
        return NULL;
    ito_tensor *other = evaluate_worse(g, in);
    if (other != NULL && !shape_equal(ito_shape_of(other), ito_shape_of(output)))
        return error_null(ITO_ERR_SHAPE, "%s: the worse network made %s of %s, and the network %s",
                          op, tensor_shape_str(other), tensor_shape_str(in->x_t),
                          tensor_shape_str(output));
    if (!part_heads(op, g->diffusion, other, in->x_t, &worse))
        return NULL;
    ito_tensor *guided = ito_lerp(worse.prediction, better.prediction, g->scale);
    if (g->rescale > 0.0 && guided != NULL)
        guided = rescaled(guided, better.prediction, g->rescale);
    if (!all)
        guided = ito_where(guided_examples(g, in), guided, better.prediction);
    return join_heads(guided, better.v);
}

static ito_tensor *evaluate(ito_network *self, const ito_network_input *in)
{
    ito_guidance *g = (ito_guidance *)self;
    if (g->guide == NULL && in->labels == NULL && g->scale != 0.0 && g->scale != 1.0)
        return error_null(ITO_ERR_ARGUMENT, "guidance: a scale of %g needs labels to guide to",
                          g->scale);
    int64_t n = in->x_t->shape[0], guided = count_guided(g, in, n);
    if (g->scale == 1.0 || guided == 0)
        return ito_network_evaluate(g->network, in);
    if (g->scale == 0.0 && g->rescale == 0.0 && guided == n)
        return evaluate_worse(g, in);
    return evaluate_both(g, in, guided == n);
}

static void begin(ito_network *self)
{
    ito_network_begin(((ito_guidance *)self)->network);
    ito_network_begin(((ito_guidance *)self)->guide);
}

static ito_guidance *create(const char *op, const ito_diffusion *d, ito_network *network,
                            ito_network *guide, double scale, ito_guidance_options o)
{
    if (d == NULL || network == NULL)
        return error_null(ITO_ERR_ARGUMENT, "%s: the %s is NULL", op,
                          d == NULL ? "diffusion" : "network");
    if (!isfinite(scale))
        return error_null(ITO_ERR_RANGE, "%s: a scale of %g; it must be finite", op, scale);
    if (!(o.sigma_lo >= 0.0 && o.sigma_lo < o.sigma_hi))
        return error_null(ITO_ERR_RANGE,
                          "%s: sigma_lo %g and sigma_hi %g; they rise, from 0 or more", op,
                          o.sigma_lo, o.sigma_hi);
    if (!(o.rescale >= 0.0 && o.rescale <= 1.0))
        return error_null(ITO_ERR_RANGE, "%s: a rescale of %g; it is from 0 to 1", op, o.rescale);
    ito_guidance *g = struct_alloc(sizeof *g);
    if (g != NULL)
        *g = (ito_guidance){.base = {.evaluate = evaluate, .begin = begin, .free = destroy},
                            .diffusion = d,
                            .network = network,
                            .guide = guide,
                            .scale = scale,
                            .sigma_lo = o.sigma_lo,
                            .sigma_hi = o.sigma_hi,
                            .rescale = o.rescale};
    return g;
}

ito_guidance *ito_guidance_create_with(const ito_diffusion *d, ito_network *network, double scale,
                                       ito_guidance_options options)
{
    return create("guidance", d, network, NULL, scale, options);
}

ito_guidance *ito_autoguidance_create_with(const ito_diffusion *d, ito_network *network,
                                           ito_network *guide, double scale,
                                           ito_guidance_options options)
{
    if (guide == NULL)
        return error_null(ITO_ERR_ARGUMENT, "autoguidance: the guide is NULL");
    return create("autoguidance", d, network, guide, scale, options);
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
