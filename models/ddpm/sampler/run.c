/* The driver of samplers: the nodes of a walk, the network's guesses, and the loop.
 * Invariant: image i takes random numbers from its own generator only, and every operation here
 * treats elements alike, so a batch changes no image. */
#include "models/ddpm/sampler/run.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/random.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the network says ---- */

bool ask_heads(ito_ddpm_walk *w, ito_tensor *x, const ito_ddpm_step *step, network_heads *out)
{
    if (x == NULL)
        return false;
    const ito_ddpm_prediction *p = w->d->prediction;
    ito_tensor *t = ito_full(ITO_SHAPE(x->shape[0]), (double)step->t, ITO_I64);
    ito_tensor *input = p->input == NULL ? x : ito_mul_scalar(x, p->input(p, step));
    ito_tensor *output =
        ask_network(w->drive->network, w->drive->context, input, t, !w->drive->asked);
    w->drive->asked = true;
    return part_heads("sample", w->d, output, x, out);
}

bool ito_ddpm_ask(ito_ddpm_walk *w, ito_tensor *x, const ito_ddpm_step *step, ito_ddpm_guess *out)
{
    network_heads heads;
    if (!ask_heads(w, x, step, &heads))
        return false;
    ito_ddpm_pair p = ito_ddpm_x_0_of(w->d->prediction, step);
    ito_ddpm_pair q = ito_ddpm_eps_of(w->d->prediction, step);
    ito_tensor *x_0 = limit_x_0(&w->o, ito_axpby(p.a, x, p.b, heads.prediction)), *eps;
    if (w->o.rederive_eps)
        eps = ito_axpby(1.0 / step->at.noise, x, -step->at.signal / step->at.noise, x_0);
    else
        eps =
            q.a == 0.0 && q.b == 1.0 ? heads.prediction : ito_axpby(q.a, x, q.b, heads.prediction);
    *out = (ito_ddpm_guess){x_0, eps, heads.v};
    return x_0 != NULL && eps != NULL;
}

int order_at(const ito_ddpm_walk *w, int known, int64_t i)
{
    int order = w->sampler->order < known + 1 ? w->sampler->order : known + 1;
    if (order < 1)
        return 1;
    return w->o.keep_order || w->n - i > order ? order : (int)(w->n - i);
}

int ito_ddpm_order(const ito_ddpm_walk *w)
{
    if (w->step.to.noise == 0.0 || w->step.at.signal == 0.0)
        return 1;
    return order_at(w, w->known, w->i);
}

/* ---- noise ---- */

ito_tensor *ito_ddpm_draw(ito_ddpm_walk *w)
{
    if (w->o.noise != NULL)
        return w->o.noise(w, w->o.noise_context);
    ito_tensor *z = tensor_empty_channels_last(ito_shape_of(w->x), w->x->dtype);
    return z != NULL && draw_images(w->drive->generators, z) == ITO_OK ? z : NULL;
}

ito_tensor *noise_up(ito_ddpm_walk *w, ito_tensor *x, ito_ddpm_level from, ito_ddpm_level to,
                     double amount)
{
    double kept = to.signal / from.signal;
    double variance = to.noise * to.noise - kept * kept * from.noise * from.noise;
    return ito_axpby(kept, x, amount * sqrt(fmax(variance, 0.0)), ito_ddpm_draw(w));
}

/* The step from a noisier one near by, and the images noised up to it. */
static bool churn(ito_ddpm_walk *w)
{
    ito_ddpm_churn c = w->o.churn;
    double sigma = w->step.at.noise / w->step.at.signal;
    if (c.amount == 0.0 || sigma < c.low || (c.high > 0.0 && sigma > c.high))
        return true;
    double growth = 1.0 + fmin(c.amount / (double)w->n, M_SQRT2 - 1.0);
    int64_t t = nearest_step(w->step.schedule, sigma * growth);
    if (t <= w->step.t)
        return true;
    ito_ddpm_step step = ito_ddpm_step_at(w->step.schedule, t, w->step.t_to);
    w->x = noise_up(w, w->x, w->step.at, step.at, c.noise == 0.0 ? 1.0 : c.noise);
    w->step = step;
    return w->x != NULL;
}

/* ---- a step ---- */

static ito_tensor *noise_of_move(ito_ddpm_walk *w, const ito_ddpm_move *move)
{
    ito_tensor *z = ito_ddpm_draw(w);
    if (!move->learned)
        return z;
    ito_ddpm_pair p = w->d->variance->log_variance(&w->step);
    return ito_mul(z, ito_exp(ito_add_scalar(ito_mul_scalar(w->guess.v, 0.5 * p.b), 0.5 * p.a)));
}

static ito_tensor *apply_move(ito_ddpm_walk *w)
{
    ito_ddpm_move move = w->sampler->move(w->d, &w->step, w->o.eta);
    if (w->step.t_to < 0 && !w->o.noise_at_last)
        move.noise = 0.0;
    ito_tensor *x = ito_mul_scalar(w->guess.x_0, move.x_0);
    if (move.x_t != 0.0)
        x = ito_axpby(1.0, x, move.x_t, w->x);
    if (move.eps != 0.0)
        x = ito_axpby(1.0, x, move.eps, w->guess.eps);
    return move.noise != 0.0 ? ito_axpby(1.0, x, move.noise, noise_of_move(w, &move)) : x;
}

static void past_release(ito_ddpm_past *p)
{
    ito_release(p->x);
    ito_release(p->x_0);
    ito_release(p->eps);
}

static void forget(ito_ddpm_walk *w)
{
    for (int i = 0; i < w->known; i++)
        past_release(&w->past[i]);
    w->known = 0;
}

/* Differences of guesses need a finite log(signal / noise): a step from pure noise is not kept. */
static void remember(ito_ddpm_walk *w)
{
    if (w->sampler->past == 0 || w->step.at.signal == 0.0)
        return;
    if (w->known == w->sampler->past)
        past_release(&w->past[--w->known]);
    memmove(w->past + 1, w->past, (size_t)w->known * sizeof *w->past);
    w->past[0] = (ito_ddpm_past){w->step.at, ito_retain(w->x), ito_retain(w->guess.x_0),
                                 ito_retain(w->guess.eps)};
    w->known++;
}

/* Inpainting: what is given takes the place of what was made there. */
static ito_tensor *merge_known(ito_ddpm_drive *drive, ito_tensor *x, ito_ddpm_level level)
{
    ito_tensor *known = ito_mul_scalar(drive->known, level.signal);
    if (level.noise != 0.0)
        known = ito_axpby(1.0, known, level.noise, ito_ddpm_draw(&drive->walk));
    return ito_where(drive->mask, known, x);
}

/* From node i to the next one, down or, for inpainting, up. */
static ito_tensor *advance(ito_ddpm_drive *drive, int64_t i)
{
    ito_ddpm_walk *w = &drive->walk;
    int64_t from = drive->nodes[i], to = drive->nodes[i + 1];
    w->i = i;
    w->step = ito_ddpm_step_at(w->d->schedule, from, to);
    if (to > from) {
        forget(w);
        return noise_up(w, w->x, w->step.at, w->step.to, 1.0);
    }
    if (!churn(w) || !ito_ddpm_ask(w, w->x, &w->step, &w->guess))
        return NULL;
    ito_tensor *x = w->sampler->move != NULL ? apply_move(w) : w->sampler->step(w);
    if (x != NULL && drive->mask != NULL)
        x = merge_known(drive, x, w->step.to);
    if (x != NULL)
        remember(w);
    return x;
}

/* Node i in a scope of its own; w->x is replaced by what it leads to, retained. */
static bool walk_once(ito_ddpm_drive *drive, int64_t i, ito_tensor **x)
{
    ito_ddpm_walk *w = &drive->walk;
    bool go_on = true;
    ito_scope_begin();
    w->x = *x;
    ito_tensor *next = advance(drive, i);
    if (next != NULL) {
        if (w->o.observe != NULL)
            w->o.observe(w, next, w->o.observe_context);
        go_on = w->o.progress == NULL || w->o.progress(i + 1, w->n, next, w->o.progress_context);
        ito_retain(next);
        ito_release(*x);
        *x = next;
    } else {
        ito_error_set(ITO_ERR_ARGUMENT, "sample: %s gave nothing at step %" PRId64,
                      w->sampler->name, w->step.t); /* if it said nothing */
    }
    ito_scope_end();
    return next != NULL && go_on;
}

ito_tensor *drive_walk(ito_ddpm_drive *drive, const ito_tensor *start)
{
    if (start == NULL)
        return NULL;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *x = tensor_empty_channels_last(ito_shape_of(start), start->dtype);
    bool good = x != NULL;
    if (good) {
        tensor_copy(x, start);
        ito_retain(x);
    }
    for (int64_t i = 0; good && i < drive->walk.n; i++)
        good = walk_once(drive, i, &x);
    forget(&drive->walk);
    ito_no_grad_end();
    ito_scope_end();
    if (good)
        return tensor_adopt(x);
    ito_release(x);
    return NULL;
}

/* ---- options ---- */

static ito_status check_options(const ito_diffusion *d, ito_shape shape, ito_ddpm_sample_options *o)
{
    int64_t T = d->schedule->steps;
    if (shape.ndim != 4)
        return error_status(ITO_ERR_SHAPE, "sample: %s is not [N, C, H, W]", shape_str(shape));
    if (o->dtype != ITO_F32 && o->dtype != ITO_F64)
        return error_status(ITO_ERR_DTYPE, "sample: images are f32 or f64, not %s",
                            ito_dtype_name(o->dtype));
    int past = o->sampler->past, order = o->sampler->order;
    if (past < 0 || past > ITO_DDPM_PAST || order < 0 || order > past + 1)
        return error_status(ITO_ERR_ARGUMENT,
                            "sample: %s looks back at %d steps and is of order %d; it can be at 0 "
                            "to %d, with an order of 0 to one more",
                            o->sampler->name, past, order, ITO_DDPM_PAST);
    if (!(o->eta >= 0.0 && o->eta <= 1.0))
        return error_status(ITO_ERR_RANGE, "sample: eta is %g; it must be in [0, 1]", o->eta);
    if (!(o->threshold >= 0.0 && o->threshold <= 1.0))
        return error_status(ITO_ERR_RANGE, "sample: threshold is %g; it must be in [0, 1]",
                            o->threshold);
    if (!(o->churn.amount >= 0.0 && isfinite(o->churn.amount)))
        return error_status(ITO_ERR_RANGE, "sample: churn is %g; it must be at least 0",
                            o->churn.amount);
    if (o->churn.amount > 0.0 && o->sampler->past > 0)
        return error_status(ITO_ERR_ARGUMENT,
                            "sample: churn is for samplers without memory, and %s looks back at %d "
                            "steps",
                            o->sampler->name, o->sampler->past);
    if (o->steps == 0 && o->times == NULL)
        o->steps = o->end_at_first && T > 1 ? T - 1 : T;
    if (o->steps < 1 || o->steps > T)
        return error_status(ITO_ERR_RANGE,
                            "sample: %" PRId64 " steps; the schedule has 1 to %" PRId64, o->steps,
                            T);
    for (int64_t i = 0; o->times != NULL && i < o->steps; i++)
        if (o->times[i] < 0 || o->times[i] >= (i == 0 ? T : o->times[i - 1]))
            return error_status(ITO_ERR_RANGE,
                                "sample: step %" PRId64 " of the list is %" PRId64
                                "; they must fall from at most %" PRId64 " to at least 0",
                                i, o->times[i], T - 1);
    return ITO_OK;
}

/* The steps taken, falling, then where the last one leads. */
static ito_status find_nodes(ito_ddpm_drive *drive)
{
    ito_ddpm_walk *w = &drive->walk;
    const ito_ddpm_sample_options *o = &w->o;
    int64_t n = o->steps, *nodes = drive->nodes, skipped = 0;
    ito_status status = ITO_OK;
    /* Down to step 0 there is one step more, which only ends it; trailing steps do not reach it. */
    bool one_more = o->end_at_first && o->spacing != ITO_SPACING_TRAILING;
    if (o->times != NULL)
        memcpy(nodes, o->times, (size_t)n * sizeof *nodes);
    else
        status = ito_ddpm_timesteps(w->d->schedule, o->spacing, n + one_more, nodes);
    if (status != ITO_OK)
        return status;
    if (o->end_at_first && nodes[n - 1] == 0) /* a list that has the end already */
        n--;
    nodes[n] = o->end_at_first ? 0 : -1;
    while (o->start > 0 && skipped < n && nodes[skipped] > o->start)
        skipped++;
    if (o->start > 0 && nodes[skipped] < o->start) { /* begin there even if it is not on the list */
        if (skipped == 0)
            memmove(nodes + 1, nodes, (size_t)(++n) * sizeof *nodes);
        else
            skipped--;
        nodes[skipped] = o->start;
    }
    memmove(nodes, nodes + skipped, (size_t)(n + 1 - skipped) * sizeof *nodes);
    w->n = n - skipped;
    if (w->n == 0)
        return error_status(ITO_ERR_RANGE,
                            "sample: the only step taken is 0, where it is to end; nothing is left "
                            "to do");
    return ITO_OK;
}

/* Whether the prediction tells x_0 wherever it is asked; where it does so at the first step, which
 * is the noisiest, it does at all. */
static ito_status check_prediction(const ito_ddpm_drive *drive)
{
    const ito_diffusion *d = drive->walk.d;
    for (int64_t i = 0; i < drive->walk.n; i++) {
        ito_ddpm_step step = ito_ddpm_step_at(d->schedule, drive->nodes[i], drive->nodes[i + 1]);
        ito_ddpm_pair p = ito_ddpm_x_0_of(d->prediction, &step);
        if (!isfinite(p.a) || !isfinite(p.b))
            return error_status(ITO_ERR_ARGUMENT,
                                "sample: %s cannot drive %s: it does not tell x_0 at step %" PRId64
                                " (signal %g); v and x_0 do",
                                d->prediction->name, drive->walk.sampler->name, step.t,
                                step.at.signal);
    }
    return ITO_OK;
}

ito_status drive_begin(ito_ddpm_drive *drive, const ito_diffusion *d, ito_ddpm_network *network,
                       void *context, ito_shape shape, ito_ddpm_sample_options options)
{
    if (d == NULL)
        return error_missing("sample", "the diffusion");
    if (options.sampler == NULL)
        options.sampler = &ito_ddpm_ancestral;
    *drive = (ito_ddpm_drive){.network = network, .context = context};
    ito_status status = check_options(d, shape, &options);
    if (status != ITO_OK)
        return status;
    int64_t N = shape.dim[0];
    drive->walk = (ito_ddpm_walk){.d = d, .sampler = options.sampler, .o = options, .drive = drive};
    drive->nodes = struct_alloc(((size_t)options.steps + 2) * sizeof *drive->nodes);
    drive->generators = image_generators("sample", options.seed, options.first_image, N);
    if (drive->nodes == NULL || drive->generators == NULL)
        status = ito_error_code();
    for (int64_t i = 0; status == ITO_OK && options.same_noise && i < N; i++)
        drive->generators[i] = drive->generators[0];
    if (status == ITO_OK)
        status = find_nodes(drive);
    if (status == ITO_OK)
        status = check_prediction(drive);
    if (status != ITO_OK)
        drive_end(drive);
    return status;
}

void drive_end(ito_ddpm_drive *drive)
{
    free(drive->nodes);
    free(drive->generators);
    drive->nodes = NULL;
    drive->generators = NULL;
}

/* ---- sampling ---- */

ito_tensor *ito_ddpm_sample_with(const ito_diffusion *d, ito_ddpm_network *network, void *context,
                                 ito_shape shape, ito_ddpm_sample_options options)
{
    ito_ddpm_drive drive;
    if (drive_begin(&drive, d, network, context, shape, options) != ITO_OK)
        return NULL;
    ito_scope_begin();
    ito_tensor *noise = tensor_empty_channels_last(shape, options.dtype), *x = NULL;
    double deviation = prior_deviation(d->schedule);
    if (noise != NULL && draw_images(drive.generators, noise) == ITO_OK)
        x = drive_walk(&drive, deviation == 1.0 ? noise : ito_mul_scalar_(noise, deviation));
    x = ito_keep(x);
    ito_scope_end();
    drive_end(&drive);
    return x;
}

ito_tensor *ito_ddpm_sample_from_with(const ito_diffusion *d, ito_ddpm_network *network,
                                      void *context, ito_tensor *x_T,
                                      ito_ddpm_sample_options options)
{
    ito_ddpm_drive drive;
    if (x_T == NULL)
        return NULL;
    options.dtype = x_T->dtype;
    if (drive_begin(&drive, d, network, context, ito_shape_of(x_T), options) != ITO_OK)
        return NULL;
    ito_tensor *x = drive_walk(&drive, x_T);
    drive_end(&drive);
    return x;
}
