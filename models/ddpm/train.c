/* One training step of a diffusion.
 * Invariant: a step draws only from generators that end with it. Parameters, optimiser and averages
 * change together or not at all. */
#include "models/ddpm/train.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "models/ddpm/process/timestep_sampler_internal.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>

/* Streams reserved for the generators of a network: dropout in every block. */
#define STREAMS_A_STEP 4096

ito_generator ito_diffusion_generator(uint64_t seed, ito_draw_purpose purpose, int64_t step)
{
    return ito_generator_make(seed, (uint64_t)purpose << 56 | (uint64_t)step * STREAMS_A_STEP);
}

static bool all_finite(ito_tensor *t)
{
    bool finite = true;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *largest = t == NULL || ito_numel(t) == 0 ? NULL : ito_max(ito_abs(ito_detach(t)));
    if (largest != NULL)
        finite = isfinite(ito_item(largest));
    ito_no_grad_end();
    ito_scope_end();
    return finite;
}

/* The name of the first parameter, or gradient if of_gradients, that is not finite. */
static bool find_in_model(const ito_module *model, bool of_gradients, ito_train_result *r)
{
    ito_named_tensors *p = ito_module_parameters(model);
    bool found = false;
    for (int64_t i = 0; p != NULL && i < p->n && !found; i++) {
        found = !all_finite(of_gradients ? ito_grad_of(p->tensors[i]) : p->tensors[i]);
        if (found)
            snprintf(r->culprit, sizeof r->culprit, "%s%.120s",
                     of_gradients ? "the gradient of " : "", p->names[i]);
    }
    ito_named_tensors_free(p);
    return found;
}

/* Find the first tensor that is not finite, in the order in which a step computes them. */
static void find_culprit(const ito_module *model, ito_tensor *x_0, ito_train_result *r)
{
    if (!all_finite(x_0))
        snprintf(r->culprit, sizeof r->culprit, "the data of the batch");
    else if (!find_in_model(model, false, r) &&
             (!isfinite(r->loss) || !find_in_model(model, true, r)))
        snprintf(r->culprit, sizeof r->culprit, "%s",
                 isfinite(r->loss) ? "the norm of the gradient" : "the output of the network");
}

/* The time of each example and its loss before weighting; NULL where nobody asks for the losses. */
typedef struct drawn {
    ito_tensor *t, *losses;
    ito_tensor *plain; /* the loss without the uncertainty; NULL where there is none */
} drawn;

/* What is minimised in place of losses [N] at times t. */
static ito_tensor *with_uncertainty(const ito_diffusion_trainer *tr, ito_tensor *t,
                                    ito_tensor *losses, ito_tensor *weights, drawn *out)
{
    ito_tensor *all = weights == NULL ? losses : ito_mul(losses, weights);
    out->plain = ito_detach(ito_mean(all));
    return out->plain == NULL ? NULL
                              : ito_uncertainty_losses(tr->uncertainty, tr->diffusion, t, losses);
}

/* The loss at times drawn by a law, weighted so that its mean is that over uniform times. */
static ito_tensor *loss_at_drawn(const ito_diffusion_trainer *tr, ito_generator *for_t,
                                 ito_tensor *x_0, ito_tensor *eps, drawn *out)
{
    ito_tensor *weights;
    if (ito_timestep_sampler_draw(tr->timesteps, for_t, x_0->shape[0], &out->t, &weights) != ITO_OK)
        return NULL;
    ito_tensor *losses = ito_diffusion_losses(tr->diffusion, tr->network, x_0, out->t, eps);
    out->losses = ito_detach(losses);
    if (out->losses == NULL)
        return NULL;
    weights = ito_cast(weights, losses->dtype);
    if (tr->uncertainty != NULL)
        losses = with_uncertainty(tr, out->t, losses, weights, out);
    return ito_mean(ito_mul(losses, weights));
}

static ito_tensor *uniform_times(const ito_process *p, ito_generator *g, int64_t n)
{
    if (p->steps > 0)
        return ito_randint(g, 0, p->steps, ITO_SHAPE(n), ITO_I64);
    ito_tensor *share = ito_rand(g, ITO_SHAPE(n), ITO_F64);
    return ito_add_scalar(ito_mul_scalar(share, p->t_max - p->t_min), p->t_min);
}

static ito_tensor *loss_of(const ito_diffusion_trainer *tr, ito_tensor *x_0, int64_t step,
                           drawn *out)
{
    if (x_0->ndim < 1)
        return error_null(ITO_ERR_SHAPE, "train_step: x_0 is %s; it must be [N, ...]",
                          tensor_shape_str(x_0));
    ito_generator for_t = ito_diffusion_generator(tr->seed, ITO_DRAW_T, step);
    ito_generator for_eps = ito_diffusion_generator(tr->seed, ITO_DRAW_EPS, step);
    ito_tensor *eps = ito_randn(&for_eps, ito_shape_of(x_0), x_0->dtype);
    ito_generator for_dropout = ito_diffusion_generator(tr->seed, ITO_DRAW_DROPOUT, step);
    ito_module_seed(tr->model, for_dropout.seed, for_dropout.stream);
    if (tr->timesteps != NULL)
        return loss_at_drawn(tr, &for_t, x_0, eps, out);
    out->t = uniform_times(tr->diffusion->process, &for_t, x_0->shape[0]);
    if (tr->uncertainty == NULL)
        return diffusion_loss(tr->diffusion, tr->network, x_0, out->t, eps,
                              tr->each ? &out->losses : NULL);
    ito_tensor *losses = ito_diffusion_losses(tr->diffusion, tr->network, x_0, out->t, eps);
    out->losses = ito_detach(losses);
    return out->losses == NULL ? NULL : ito_mean(with_uncertainty(tr, out->t, losses, NULL, out));
}

/* Clip, update and average, unless the gradient is not finite, which is not an error here. */
static ito_status apply(const ito_diffusion_trainer *tr, double lr, ito_train_result *r)
{
    double max_norm = tr->max_norm > 0.0 ? tr->max_norm : HUGE_VAL;
    ito_status status = ito_optimizer_step(tr->optimizer, lr, .max_norm = max_norm,
                                           .grad_norm = &r->grad_norm, .ema = tr->ema);
    r->applied = status == ITO_OK;
    if (status != ITO_ERR_NUMERIC)
        return status;
    ito_error_clear();
    return ITO_OK;
}

ito_status ito_diffusion_train_step(const ito_diffusion_trainer *tr, ito_tensor *x_0, int64_t step,
                                    double lr, ito_train_result *out)
{
    if (tr->diffusion == NULL || x_0 == NULL)
        return error_missing("train_step", x_0 == NULL ? "x_0" : "the diffusion");
    ito_train_result r = {.grad_norm = (double)NAN};
    ito_status status = ITO_OK;
    ito_scope_begin();
    ito_module_zero_grad(tr->model);
    drawn d = {NULL, NULL, NULL};
    ito_tensor *loss = loss_of(tr, x_0, step, &d);
    if (loss == NULL) {
        status = error_missing("train_step", "the loss");
    } else {
        status = ito_to_data(d.plain != NULL ? d.plain : loss, &r.loss, ITO_F64);
        if (status == ITO_OK && isfinite(r.loss)) {
            if (tr->timesteps != NULL)
                status = timestep_sampler_check(tr->timesteps, d.t, d.losses);
            if (status == ITO_OK)
                status = ito_backward(loss);
            if (status == ITO_OK)
                status = apply(tr, lr, &r);
            if (status == ITO_OK && r.applied && tr->timesteps != NULL)
                status = ito_timestep_sampler_update(tr->timesteps, d.t, d.losses);
        }
        if (status == ITO_OK && !r.applied)
            find_culprit(tr->model, x_0, &r);
    }
    if (status == ITO_OK && tr->each) {
        r.t = ito_keep(d.t);
        r.losses = ito_keep(d.losses);
    }
    ito_scope_end();
    if (status == ITO_OK)
        *out = r;
    return status;
}
