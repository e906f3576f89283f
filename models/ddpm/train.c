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
#include <stdlib.h>

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

/* What is drawn for a batch, whole or the rows of a slice; weights are NULL for uniform times. */
typedef struct drawn {
    ito_tensor *x_0, *t, *weights;
} drawn;

/* The loss of a slice. */
typedef struct slice_loss {
    ito_tensor *loss;  /* what is minimised, a mean over its rows */
    ito_tensor *each;  /* [rows] before weighting; NULL where nobody asks for it */
    ito_tensor *plain; /* the loss without the uncertainty; NULL where there is none */
} slice_loss;

/* What is minimised in place of losses [N] at times t. */
static ito_tensor *with_uncertainty(const ito_diffusion_trainer *tr, const drawn *d,
                                    ito_tensor *losses, ito_tensor *weights, slice_loss *out)
{
    ito_tensor *all = weights == NULL ? losses : ito_mul(losses, weights);
    out->plain = ito_detach(ito_mean(all));
    return out->plain == NULL
               ? NULL
               : ito_uncertainty_losses(tr->uncertainty, tr->diffusion, d->t, losses);
}

/* The loss at times drawn by a law, weighted so that its mean is that over uniform times. */
static ito_tensor *loss_at_drawn(const ito_diffusion_trainer *tr, const drawn *d, ito_tensor *eps,
                                 slice_loss *out)
{
    ito_tensor *losses = ito_diffusion_losses(tr->diffusion, tr->network, d->x_0, d->t, eps);
    out->each = ito_detach(losses);
    if (out->each == NULL)
        return NULL;
    ito_tensor *weights = ito_cast(d->weights, losses->dtype);
    if (tr->uncertainty != NULL)
        losses = with_uncertainty(tr, d, losses, weights, out);
    return ito_mean(ito_mul(losses, weights));
}

static ito_tensor *loss_of(const ito_diffusion_trainer *tr, const drawn *d, ito_tensor *eps,
                           slice_loss *out)
{
    if (d->weights != NULL)
        return loss_at_drawn(tr, d, eps, out);
    if (tr->uncertainty == NULL)
        return diffusion_loss(tr->diffusion, tr->network, d->x_0, d->t, eps,
                              tr->each ? &out->each : NULL);
    ito_tensor *losses = ito_diffusion_losses(tr->diffusion, tr->network, d->x_0, d->t, eps);
    out->each = ito_detach(losses);
    return out->each == NULL ? NULL : ito_mean(with_uncertainty(tr, d, losses, NULL, out));
}

/* ---- what is drawn ---- */

static ito_tensor *uniform_times(const ito_process *p, ito_generator *g, int64_t n)
{
    if (p->steps > 0)
        return ito_randint(g, 0, p->steps, ITO_SHAPE(n), ITO_I64);
    ito_tensor *share = ito_rand(g, ITO_SHAPE(n), ITO_F64);
    return ito_add_scalar(ito_mul_scalar(share, p->t_max - p->t_min), p->t_min);
}

/* The times of the whole batch. */
static bool draw_times(const ito_diffusion_trainer *tr, int64_t step, drawn *d)
{
    ito_generator g = ito_diffusion_generator(tr->seed, ITO_DRAW_T, step);
    int64_t n = d->x_0->shape[0];
    if (tr->timesteps != NULL)
        return ito_timestep_sampler_draw(tr->timesteps, &g, n, &d->t, &d->weights) == ITO_OK;
    d->t = uniform_times(tr->diffusion->process, &g, n);
    return d->t != NULL;
}

/* Rows of the noise that a batch like x_0 has; numbers come in blocks of 16 bytes. */
static ito_tensor *noise_rows(const ito_diffusion_trainer *tr, int64_t step, const ito_tensor *x_0,
                              ito_batch_slice s)
{
    ito_generator g = ito_diffusion_generator(tr->seed, ITO_DRAW_EPS, step);
    ito_shape shape = ito_shape_of(x_0);
    int64_t row = ito_numel(x_0) / (s.n > 0 ? s.n : 1), first = s.begin * row;
    int64_t a_block = 16 / (int64_t)ito_dtype_size(x_0->dtype), before = first % a_block;
    shape.dim[0] = s.end - s.begin;
    g.offset += (uint64_t)(first / a_block);
    ito_tensor *all = ito_randn(&g, ITO_SHAPE(before + shape.dim[0] * row), x_0->dtype);
    return ito_view_to(ito_narrow(all, 0, before, shape.dim[0] * row), shape);
}

ito_generator ito_slice_generator(ito_generator g, int64_t index)
{
    g.offset += (uint64_t)index << 40;
    return g;
}

/* The network's own generators, of dropout. */
static bool seed_model(const ito_diffusion_trainer *tr, int64_t step, ito_batch_slice s)
{
    ito_generator g = ito_diffusion_generator(tr->seed, ITO_DRAW_DROPOUT, step);
    ito_module_seed(tr->model, g.seed, g.stream);
    if (s.index == 0)
        return true;
    ito_named_generators *list = ito_module_generators(tr->model);
    for (int64_t i = 0; list != NULL && i < list->n; i++)
        *list->generators[i] = ito_slice_generator(*list->generators[i], s.index);
    bool good = list != NULL;
    ito_named_generators_free(list);
    return good;
}

/* ---- a step ---- */

static drawn rows_of(const drawn *d, ito_batch_slice s)
{
    int64_t n = s.end - s.begin;
    if (n == s.n)
        return *d;
    return (drawn){ito_narrow(d->x_0, 0, s.begin, n), ito_narrow(d->t, 0, s.begin, n),
                   d->weights == NULL ? NULL : ito_narrow(d->weights, 0, s.begin, n)};
}

/* Forward. */
static ito_status run_slice(const ito_diffusion_trainer *tr, int64_t step, const drawn *batch,
                            ito_batch_slice s, slice_loss *out)
{
    drawn d = rows_of(batch, s);
    ito_tensor *eps = noise_rows(tr, step, batch->x_0, s);
    if (!seed_model(tr, step, s) ||
        (tr->parallel != NULL && tr->slice != NULL && tr->slice(s, tr->slice_context) != ITO_OK))
        return ito_error_code();
    out->loss = loss_of(tr, &d, eps, out);
    return out->loss == NULL ? error_missing("train_step", "the loss") : ITO_OK;
}

static ito_status value_of(const slice_loss *l, double *out)
{
    return ito_to_data(l->plain != NULL ? l->plain : l->loss, out, ITO_F64);
}

/* Clip, update and average, unless the gradient is not finite, which is not an error here. */
static ito_status apply(const ito_diffusion_trainer *tr, double lr, ito_train_result *r)
{
    ito_step_options o = ITO_OPTIONS(ito_step_options, .grad_norm = &r->grad_norm, .ema = tr->ema);
    o.max_norm = tr->max_norm > 0.0 ? tr->max_norm : HUGE_VAL;
    ito_status status = tr->parallel != NULL ? ito_parallel_step_with(tr->parallel, lr, o)
                                             : ito_optimizer_step_with(tr->optimizer, lr, o);
    r->applied = status == ITO_OK;
    if (status != ITO_ERR_NUMERIC)
        return status;
    ito_error_clear();
    return ITO_OK;
}

/* One slice, the batch, by this process alone. each is the caller's scope's. */
static ito_status gradients_alone(const ito_diffusion_trainer *tr, int64_t step, const drawn *d,
                                  ito_train_result *r, ito_tensor **each)
{
    int64_t n = d->x_0->shape[0];
    slice_loss l = {NULL, NULL, NULL};
    ito_module_zero_grad(tr->model);
    ito_status status = run_slice(tr, step, d, (ito_batch_slice){0, 0, n, n}, &l);
    if (status == ITO_OK)
        status = value_of(&l, &r->loss);
    *each = l.each;
    if (status != ITO_OK || !isfinite(r->loss))
        return status;
    if (tr->timesteps != NULL)
        status = timestep_sampler_check(tr->timesteps, d->t, l.each);
    return status == ITO_OK ? ito_backward(l.loss) : status;
}

/* ---- slices ---- */

/* The numbers that slices leave: of each row, and of each slice. */
typedef struct slice_values {
    double *each, *all_each;   /* [rows of this rank], [rows] */
    double *means, *all_means; /* [slices of this rank], [slices] */
} slice_values;

/* One slice: its numbers, and its gradient. A loss that is not finite still has one, since other
 * ranks wait for it. */
static ito_status take_slice(const ito_diffusion_trainer *tr, int64_t step, const drawn *d,
                             int64_t i, int64_t first, slice_values *v)
{
    ito_batch_slice s = ito_parallel_slice(tr->parallel, i, d->x_0->shape[0]);
    slice_loss l = {NULL, NULL, NULL};
    ito_scope_begin();
    ito_status status = run_slice(tr, step, d, s, &l);
    if (status == ITO_OK)
        status = value_of(&l, &v->means[i]);
    if (status == ITO_OK && l.each != NULL)
        status = ito_to_data(l.each, v->each + (s.begin - first), ITO_F64);
    if (status == ITO_OK && !isfinite(v->means[i]))
        ito_parallel_veto(tr->parallel);
    if (status == ITO_OK)
        status = ito_parallel_backward(tr->parallel, s, l.loss);
    ito_scope_end();
    return status;
}

/* The batch's loss, and the losses of its rows as the caller's scope's. */
static ito_status join_slices(const ito_diffusion_trainer *tr, const drawn *d, slice_values *v,
                              ito_train_result *r, ito_tensor **each)
{
    int64_t n = d->x_0->shape[0], slices = ito_parallel_all_slices(tr->parallel);
    ito_status status = ito_parallel_gather_rows(tr->parallel, v->means, slices, v->all_means);
    r->loss = 0.0;
    for (int64_t k = 0; k < slices && status == ITO_OK; k++) {
        ito_batch_slice s = ito_slice_of(k, slices, n);
        r->loss += (double)(s.end - s.begin) / (double)n * v->all_means[k];
    }
    if (status != ITO_OK || (!tr->each && tr->timesteps == NULL))
        return status;
    status = ito_parallel_gather_rows(tr->parallel, v->each, n, v->all_each);
    *each = status == ITO_OK ? ito_from_data(v->all_each, ITO_SHAPE(n), ITO_F64) : NULL;
    if (*each == NULL)
        return ito_error_code();
    bool checks = tr->timesteps != NULL && isfinite(r->loss);
    return checks ? timestep_sampler_check(tr->timesteps, d->t, *each) : ITO_OK;
}

static ito_status gradients_by_slices(const ito_diffusion_trainer *tr, int64_t step, const drawn *d,
                                      ito_train_result *r, ito_tensor **each)
{
    int64_t n = d->x_0->shape[0], slices = ito_parallel_all_slices(tr->parallel);
    if (n < slices)
        return ito_error_set(ITO_ERR_SHAPE,
                             "train_step: %" PRId64 " examples do not fill %" PRId64 " slices", n,
                             slices);
    slice_values v = {.each = struct_alloc(2 * (size_t)(n + slices) * sizeof *v.each)};
    if (v.each == NULL)
        return ITO_ERR_MEMORY;
    v.all_each = v.each + n;
    v.means = v.all_each + n;
    v.all_means = v.means + slices;
    int64_t first = ito_parallel_slice(tr->parallel, 0, n).begin;
    ito_status status = ITO_OK;
    for (int64_t i = 0; i < ito_parallel_slices(tr->parallel) && status == ITO_OK; i++)
        status = take_slice(tr, step, d, i, first, &v);
    if (status == ITO_OK)
        status = join_slices(tr, d, &v, r, each);
    seed_model(tr, step, ito_slice_of(0, slices, n)); /* checkpoints have the same on all ranks */
    free(v.each);
    return status;
}

/* What was not finite; on all ranks the same. */
static ito_status blame(const ito_diffusion_trainer *tr, ito_tensor *x_0, ito_train_result *r)
{
    ito_status status = tr->parallel != NULL ? ito_parallel_gather_gradients(tr->parallel) : ITO_OK;
    if (status == ITO_OK)
        find_culprit(tr->model, x_0, r);
    return status;
}

static ito_status train_step(const ito_diffusion_trainer *tr, int64_t step, double lr, drawn *d,
                             ito_train_result *r)
{
    ito_tensor *each = NULL;
    if (d->x_0->ndim < 1)
        return ito_error_set(ITO_ERR_SHAPE, "train_step: x_0 is %s; it must be [N, ...]",
                             tensor_shape_str(d->x_0));
    if (!draw_times(tr, step, d))
        return ito_error_code();
    ito_status status = tr->parallel != NULL ? gradients_by_slices(tr, step, d, r, &each)
                                             : gradients_alone(tr, step, d, r, &each);
    if (status == ITO_OK && (isfinite(r->loss) || tr->parallel != NULL))
        status = apply(tr, lr, r);
    if (status == ITO_OK && r->applied && tr->timesteps != NULL)
        status = ito_timestep_sampler_update(tr->timesteps, d->t, each);
    if (status == ITO_OK && !r->applied)
        status = blame(tr, d->x_0, r);
    if (status == ITO_OK && tr->each) {
        r->t = ito_keep(d->t);
        r->losses = ito_keep(each);
    }
    return status;
}

ito_status ito_diffusion_train_step(const ito_diffusion_trainer *tr, ito_tensor *x_0, int64_t step,
                                    double lr, ito_train_result *out)
{
    if (tr->diffusion == NULL || x_0 == NULL)
        return error_missing("train_step", x_0 == NULL ? "x_0" : "the diffusion");
    ito_train_result r = {.grad_norm = (double)NAN};
    drawn d = {x_0, NULL, NULL};
    ito_scope_begin();
    ito_status status = train_step(tr, step, lr, &d, &r);
    ito_scope_end();
    if (status == ITO_OK)
        *out = r;
    return status;
}
