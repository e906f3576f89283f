/* The training objective: errors of the network's output, weighted, and terms of the bound.
 * Invariant: an example's loss depends on that example alone. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "models/ddpm/likelihood/bound_internal.h"
#include "tensor/internal.h"

static ito_tensor *weighted_errors(const ito_diffusion *d, ito_tensor *output, ito_tensor *target,
                                   const ito_tensor *t)
{
    if (output == NULL || target == NULL)
        return NULL;
    ito_tensor *(*distance)(ito_tensor *) = d->objective->distance;
    ito_tensor *difference = ito_sub(output, target);
    ito_tensor *each = distance != NULL ? distance(difference) : ito_square(difference);
    if (each == NULL)
        error_missing("diffusion_loss", "the distance"); /* if it recorded no error */
    ito_tensor *error = example_mean(each);
    if (error != NULL && d->weighting->weight != NULL)
        error = ito_mul(error, number_per_example(d, output_weight, error, t));
    return ito_mul_scalar(error, d->objective->simple);
}

ito_tensor *ito_diffusion_losses(const ito_diffusion *d, ito_network *network, ito_tensor *x_0,
                                 ito_tensor *t, ito_tensor *eps)
{
    if (d == NULL) {
        error_missing("diffusion_loss", "the diffusion");
        return NULL;
    }
    const ito_objective *o = d->objective;
    network_heads heads;
    ito_tensor *x_t = ito_q_sample(d->process, x_0, eps, t), *sum = NULL, *term = NULL;
    if (!evaluate_noised("diffusion_loss", d, network, x_t, t, &heads))
        return NULL;
    if (o->simple != 0.0) {
        sum = weighted_errors(
            d, heads.prediction,
            weighted_sum(d->process, target_coefficients, d->prediction, x_0, eps, t), t);
        if (sum == NULL)
            return NULL;
    }
    if (o->vlb != 0.0) {
        ito_tensor *mean = o->detach_mean ? ito_detach(heads.prediction) : heads.prediction;
        ito_tensor *x_0_hat =
            weighted_sum(d->process, x_0_coefficients, d->prediction, x_t, mean, t);
        term = bound_terms(d, x_0, x_0_hat, heads.v, t, ITO_DECODER_ERF);
        double scale = o->vlb * (o->whole_bound ? (double)d->process->steps : 1.0);
        term = ito_mul_scalar(term, scale);
        if (term == NULL)
            return NULL;
    }
    return sum == NULL ? term : term == NULL ? sum : ito_add(sum, term);
}

/* L_simple by the fused operation. */
static ito_tensor *simple_loss(const ito_diffusion *d, ito_network *network, ito_tensor *x_0,
                               ito_tensor *t, ito_tensor *eps, ito_tensor **each)
{
    network_heads heads;
    ito_tensor *x_t = ito_q_sample(d->process, x_0, eps, t);
    if (!evaluate_noised("diffusion_loss", d, network, x_t, t, &heads))
        return NULL;
    ito_tensor *target = weighted_sum(d->process, target_coefficients, d->prediction, x_0, eps, t);
    if (each != NULL) {
        ito_no_grad_begin();
        *each = example_mean(ito_square(ito_sub(heads.prediction, target)));
        ito_no_grad_end();
        if (*each == NULL)
            return NULL;
    }
    return ito_mse_loss(heads.prediction, target);
}

ito_tensor *diffusion_loss(const ito_diffusion *d, ito_network *network, ito_tensor *x_0,
                           ito_tensor *t, ito_tensor *eps, ito_tensor **each)
{
    if (d == NULL) {
        error_missing("diffusion_loss", "the diffusion");
        return NULL;
    }
    const ito_objective *o = d->objective;
    if (o->simple == 1.0 && o->vlb == 0.0 && o->distance == NULL && d->weighting->weight == NULL)
        return simple_loss(d, network, x_0, t, eps, each);
    ito_tensor *losses = ito_diffusion_losses(d, network, x_0, t, eps);
    if (each != NULL && (*each = ito_detach(losses)) == NULL)
        return NULL;
    return ito_mean(losses);
}

ito_tensor *ito_diffusion_loss(const ito_diffusion *d, ito_network *network, ito_tensor *x_0,
                               ito_tensor *t, ito_tensor *eps)
{
    return diffusion_loss(d, network, x_0, t, eps, NULL);
}
