/* The training objective: errors of the network's output, weighted, and terms of the bound.
 * Invariant: an image's loss depends on that image alone. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/bound_internal.h"
#include "models/ddpm/diffusion_internal.h"
#include "tensor/internal.h"

static double input_number(const ito_diffusion *d, const ito_ddpm_step *step)
{
    return d->prediction->input(d->prediction, step);
}

ito_tensor *network_input(const ito_diffusion *d, ito_tensor *x_t, const ito_tensor *t)
{
    if (x_t == NULL || d->prediction->input == NULL)
        return x_t;
    return ito_mul(x_t, per_image(d, input_number, x_t, t));
}

/* A mode of the thread, since a network may stand around another. */
static _Thread_local bool afresh_now;

bool asked_afresh(void)
{
    return afresh_now;
}

ito_tensor *ask_network(ito_ddpm_network *network, void *context, ito_tensor *x, ito_tensor *t,
                        bool afresh)
{
    if (x == NULL || t == NULL || network == NULL)
        return NULL;
    bool saved = afresh_now;
    afresh_now = afresh;
    ito_tensor *output = network(x, t, context);
    afresh_now = saved;
    return output;
}

bool part_heads(const char *op, const ito_diffusion *d, ito_tensor *output, const ito_tensor *x,
                network_heads *out)
{
    ito_shape wanted = ito_shape_of(x);
    if (d == NULL) {
        error_missing(op, "the diffusion");
        return false;
    }
    if (output == NULL) {
        ito_error_set(ITO_ERR_ARGUMENT, "%s: the network gave nothing", op); /* if it was silent */
        return false;
    }
    bool learned = d->variance->learned && x->ndim > 1;
    if (learned)
        wanted.dim[1] *= 2;
    if (!shape_equal(ito_shape_of(output), wanted)) {
        if (d->variance->learned)
            ito_error_set(ITO_ERR_SHAPE,
                          "%s: the network made %s of %s; the variance %s needs a second head, %s",
                          op, tensor_shape_str(output), tensor_shape_str(x), d->variance->name,
                          shape_str(wanted));
        else
            ito_error_set(ITO_ERR_SHAPE, "%s: the network made %s of %s", op,
                          tensor_shape_str(output), tensor_shape_str(x));
        return false;
    }
    out->prediction = learned ? ito_chunk(output, 2, 1, 0) : output;
    out->v = learned ? ito_chunk(output, 2, 1, 1) : NULL;
    return out->prediction != NULL && (!learned || out->v != NULL);
}

ito_tensor *image_mean(ito_tensor *x)
{
    if (x == NULL || x->ndim == 1)
        return x;
    ito_shape rest = {.ndim = x->ndim - 1, .dim = {1, 2, 3, 4, 5, 6, 7}};
    return ito_mean(x, .dims = rest);
}

bool ask_noised(const char *op, const ito_diffusion *d, ito_ddpm_network *network, void *context,
                ito_tensor *x_t, ito_tensor *t, network_heads *out)
{
    return x_t != NULL &&
           part_heads(op, d, ask_network(network, context, network_input(d, x_t, t), t, true), x_t,
                      out);
}

static ito_tensor *weighted_errors(const ito_diffusion *d, ito_tensor *output, ito_tensor *target,
                                   const ito_tensor *t)
{
    if (output == NULL || target == NULL)
        return NULL;
    ito_tensor *(*distance)(ito_tensor *) = d->loss->distance;
    ito_tensor *difference = ito_sub(output, target);
    ito_tensor *each = distance != NULL ? distance(difference) : ito_square(difference);
    if (each == NULL)
        error_missing("ddpm_loss", "the distance"); /* if it was silent */
    ito_tensor *error = image_mean(each);
    if (error != NULL && d->weighting->weight != NULL)
        error = ito_mul(error, per_image(d, output_weight, error, t));
    return ito_mul_scalar(error, d->loss->simple);
}

ito_tensor *ito_ddpm_losses(const ito_diffusion *d, ito_ddpm_network *network, void *context,
                            ito_tensor *x_0, ito_tensor *t, ito_tensor *eps)
{
    if (d == NULL) {
        error_missing("ddpm_loss", "the diffusion");
        return NULL;
    }
    const ito_ddpm_objective *loss = d->loss;
    network_heads heads;
    ito_tensor *x_t = ito_ddpm_q_sample(d->schedule, x_0, eps, t), *sum = NULL, *term = NULL;
    if (!ask_noised("ddpm_loss", d, network, context, x_t, t, &heads))
        return NULL;
    if (loss->simple != 0.0) {
        sum = weighted_errors(d, heads.prediction, combine(d, target_pair, x_0, eps, t), t);
        if (sum == NULL)
            return NULL;
    }
    if (loss->vlb != 0.0) {
        ito_tensor *mean = loss->detach_mean ? ito_detach(heads.prediction) : heads.prediction;
        term = bound_terms(d, x_0, combine(d, x_0_pair, x_t, mean, t), heads.v, t, ITO_DDPM_ERF);
        double scale = loss->vlb * (loss->whole_bound ? (double)d->schedule->steps : 1.0);
        term = ito_mul_scalar(term, scale);
        if (term == NULL)
            return NULL;
    }
    return sum == NULL ? term : term == NULL ? sum : ito_add(sum, term);
}

ito_tensor *ito_ddpm_loss(const ito_diffusion *d, ito_ddpm_network *network, void *context,
                          ito_tensor *x_0, ito_tensor *t, ito_tensor *eps)
{
    if (d == NULL) {
        error_missing("ddpm_loss", "the diffusion");
        return NULL;
    }
    const ito_ddpm_objective *loss = d->loss;
    if (loss->simple != 1.0 || loss->vlb != 0.0 || loss->distance != NULL ||
        d->weighting->weight != NULL)
        return ito_mean(ito_ddpm_losses(d, network, context, x_0, t, eps));
    /* L_simple by the fused operation. */
    network_heads heads;
    ito_tensor *x_t = ito_ddpm_q_sample(d->schedule, x_0, eps, t);
    if (!ask_noised("ddpm_loss", d, network, context, x_t, t, &heads))
        return NULL;
    return ito_mse_loss(heads.prediction, combine(d, target_pair, x_0, eps, t));
}
