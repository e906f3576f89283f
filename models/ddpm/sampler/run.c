/* A sampling run: the times visited, the network's estimates, and the loop.
 * Invariant: example i takes random numbers from its own generator only, and every operation here
 * treats elements alike, so a batch changes no example. */
#include "models/ddpm/sampler/run.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/random.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- estimates ---- */

const ito_sampler *ito_sampler_find(const char *name)
{
    return (const void *)ito_choice_find("sampler", name);
}

bool ito_sampler_evaluate(ito_sampler_state *s, ito_tensor *x, const ito_step *step,
                          ito_estimate *out)
{
    network_heads heads;
    if (!evaluate_at("sample", s->d, s->run->network, x, step, &heads))
        return false;
    ito_preconditioning p = ito_prediction_to_x_0(s->d->prediction, step);
    ito_preconditioning q = ito_prediction_to_eps(s->d->prediction, step);
    ito_tensor *x_0 = limit_x_0(&s->o, ito_axpby(p.c_skip, x, p.c_out, heads.prediction)), *eps;
    if (s->o.rederive_eps)
        eps = ito_axpby(1.0 / step->at.noise, x, -step->at.signal / step->at.noise, x_0);
    else if (q.c_skip == 0.0 && q.c_out == 1.0)
        eps = heads.prediction;
    else
        eps = ito_axpby(q.c_skip, x, q.c_out, heads.prediction);
    *out = (ito_estimate){x_0, eps, heads.v};
    return x_0 != NULL && eps != NULL;
}

int order_at(const ito_sampler_state *s, int n_past, int64_t i)
{
    int order = s->sampler->order < n_past + 1 ? s->sampler->order : n_past + 1;
    if (order < 1)
        return 1;
    return s->o.keep_order || s->n - i > order ? order : (int)(s->n - i);
}

int ito_sampler_order(const ito_sampler_state *s)
{
    if (s->step.to.noise == 0.0 || s->step.at.signal == 0.0)
        return 1;
    return order_at(s, s->n_past, s->i);
}

/* ---- noise ---- */

ito_tensor *ito_sampler_noise(ito_sampler_state *s)
{
    if (s->o.noise != NULL)
        return s->o.noise(s, s->o.noise_context);
    ito_tensor *z = data_empty(ito_shape_of(s->x), s->x->dtype);
    return z != NULL && draw_images(s->run->generators, z) == ITO_OK ? z : NULL;
}

ito_tensor *noise_up(ito_sampler_state *s, ito_tensor *x, ito_level from, ito_level to,
                     double amount)
{
    double kept = to.signal / from.signal;
    double variance = to.noise * to.noise - kept * kept * from.noise * from.noise;
    return ito_axpby(kept, x, amount * sqrt(fmax(variance, 0.0)), ito_sampler_noise(s));
}

/* Replace the step by one from a noisier time near by, and noise the data up to it. */
static bool churn(ito_sampler_state *s)
{
    const ito_sample_options *o = &s->o;
    double sigma = s->step.at.noise / s->step.at.signal;
    if (o->s_churn == 0.0 || sigma < o->s_tmin || sigma > o->s_tmax)
        return true;
    double growth = 1.0 + fmin(o->s_churn / (double)s->n, M_SQRT2 - 1.0);
    double t = ito_process_time(s->step.process, sigma * growth);
    if (t <= s->step.t)
        return true;
    ito_step step = ito_step_between(s->step.process, t, s->step.t_to);
    s->x = noise_up(s, s->x, s->step.at, step.at, o->s_noise);
    s->step = step;
    return s->x != NULL;
}

/* ---- a step ---- */

static ito_tensor *update_noise(ito_sampler_state *s, const ito_sampler_update *update)
{
    ito_tensor *z = ito_sampler_noise(s);
    if (!update->learned)
        return z;
    ito_log_variance p = s->d->variance->log_variance(&s->step);
    return ito_mul(
        z, ito_exp(ito_add_scalar(ito_mul_scalar(s->estimate.v, 0.5 * p.slope), 0.5 * p.offset)));
}

static ito_tensor *apply_update(ito_sampler_state *s)
{
    ito_sampler_update u = s->sampler->update(s->d, &s->step, s->o.eta);
    if (s->step.t_to <= s->step.process->t_clean && !s->o.noise_at_last)
        u.noise = 0.0;
    ito_tensor *x = ito_mul_scalar(s->estimate.x_0, u.x_0);
    if (u.x_t != 0.0)
        x = ito_axpby(1.0, x, u.x_t, s->x);
    if (u.eps != 0.0)
        x = ito_axpby(1.0, x, u.eps, s->estimate.eps);
    return u.noise != 0.0 ? ito_axpby(1.0, x, u.noise, update_noise(s, &u)) : x;
}

static void past_release(ito_sampler_past *p)
{
    ito_release(p->x);
    ito_release(p->x_0);
    ito_release(p->eps);
}

static void forget(ito_sampler_state *s)
{
    for (int i = 0; i < s->n_past; i++)
        past_release(&s->past[i]);
    s->n_past = 0;
}

/* Differences of estimates need a finite log(signal / noise): a step from pure noise is not kept.
 */
static void remember(ito_sampler_state *s)
{
    if (s->sampler->history == 0 || s->step.at.signal == 0.0)
        return;
    if (s->n_past == s->sampler->history)
        past_release(&s->past[--s->n_past]);
    memmove(s->past + 1, s->past, (size_t)s->n_past * sizeof *s->past);
    s->past[0] = (ito_sampler_past){s->step.at, ito_retain(s->x), ito_retain(s->estimate.x_0),
                                    ito_retain(s->estimate.eps)};
    s->n_past++;
}

/* Inpainting: put the given data, noised, in the place of the generated data. */
static ito_tensor *merge_given(sampler_run *run, ito_tensor *x, ito_level level)
{
    ito_tensor *given = ito_mul_scalar(run->given, level.signal);
    if (level.noise != 0.0)
        given = ito_axpby(1.0, given, level.noise, ito_sampler_noise(&run->state));
    return ito_where(run->mask, given, x);
}

/* From time i to the next one, down or, for inpainting, up. */
static ito_tensor *advance(sampler_run *run, int64_t i)
{
    ito_sampler_state *s = &run->state;
    s->i = i;
    s->step = ito_step_between(s->d->process, run->times[i], run->times[i + 1]);
    if (s->step.t_to > s->step.t) {
        forget(s);
        return noise_up(s, s->x, s->step.at, s->step.to, 1.0);
    }
    if (!churn(s) || !ito_sampler_evaluate(s, s->x, &s->step, &s->estimate))
        return NULL;
    ito_tensor *x = s->sampler->update != NULL ? apply_update(s) : s->sampler->step(s);
    if (x != NULL && run->mask != NULL)
        x = merge_given(run, x, s->step.to);
    if (x != NULL)
        remember(s);
    return x;
}

/* Step i in a scope of its own; *x is replaced by the result, retained. */
static bool take_step(sampler_run *run, int64_t i, ito_tensor **x)
{
    ito_sampler_state *s = &run->state;
    bool go_on = true;
    ito_scope_begin();
    s->x = *x;
    ito_tensor *next = advance(run, i);
    if (next != NULL) {
        if (s->o.observe != NULL)
            s->o.observe(s, next, s->o.observe_context);
        go_on = s->o.progress == NULL || s->o.progress(i + 1, s->n, next, s->o.progress_context);
        ito_retain(next);
        ito_release(*x);
        *x = next;
    } else {
        ito_error_set(ITO_ERR_ARGUMENT, "sample: %s gave nothing at time %g", s->sampler->name,
                      s->step.t); /* if it recorded no error */
    }
    ito_scope_end();
    return next != NULL && go_on;
}

ito_tensor *sampler_run_from(sampler_run *run, const ito_tensor *start)
{
    if (start == NULL)
        return NULL;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *x = data_empty(ito_shape_of(start), start->dtype);
    bool good = x != NULL;
    if (good) {
        tensor_copy(x, start);
        ito_retain(x);
    }
    for (int64_t i = 0; good && i < run->state.n; i++)
        good = take_step(run, i, &x);
    forget(&run->state);
    ito_no_grad_end();
    ito_scope_end();
    if (good)
        return tensor_adopt(x);
    ito_release(x);
    return NULL;
}

/* ---- options ---- */

static ito_status check_sampler(const ito_sample_options *o)
{
    int history = o->sampler->history, order = o->sampler->order;
    if (history < 0 || history > ITO_SAMPLER_HISTORY || order < 0 || order > history + 1)
        return error_status(ITO_ERR_ARGUMENT,
                            "sample: %s looks back at %d steps and is of order %d; it can be at 0 "
                            "to %d, with an order of 0 to one more",
                            o->sampler->name, history, order, ITO_SAMPLER_HISTORY);
    if (o->s_churn > 0.0 && history > 0)
        return error_status(ITO_ERR_ARGUMENT,
                            "sample: churn is for samplers without memory, and %s looks back at %d "
                            "steps",
                            o->sampler->name, history);
    return ITO_OK;
}

static ito_status check_numbers(const ito_sample_options *o)
{
    if (!(o->eta >= 0.0 && o->eta <= 1.0))
        return error_status(ITO_ERR_RANGE, "sample: eta is %g; it must be in [0, 1]", o->eta);
    if (!(o->threshold >= 0.0 && o->threshold <= 1.0))
        return error_status(ITO_ERR_RANGE, "sample: threshold is %g; it must be in [0, 1]",
                            o->threshold);
    if (!(o->s_churn >= 0.0 && isfinite(o->s_churn)))
        return error_status(ITO_ERR_RANGE,
                            "sample: s_churn is %g; it must be finite and at least 0", o->s_churn);
    if (!(o->s_noise >= 0.0 && isfinite(o->s_noise)))
        return error_status(ITO_ERR_RANGE,
                            "sample: s_noise is %g; it must be finite and at least 0", o->s_noise);
    return ITO_OK;
}

/* An explicit list falls within the process. */
static ito_status check_times(const ito_process *p, const ito_sample_options *o)
{
    for (int64_t i = 0; o->times != NULL && i < o->steps; i++) {
        double t = o->times[i];
        bool falls = t >= p->t_min && (i == 0 ? t <= p->t_max : t < o->times[i - 1]);
        if (falls && (p->steps == 0 || t == floor(t)))
            continue;
        return error_status(ITO_ERR_RANGE,
                            "sample: time %" PRId64 " of the list is %g; they must fall from at "
                            "most %g to at least %g%s",
                            i, t, p->t_max, p->t_min, p->steps > 0 ? ", in whole steps" : "");
    }
    return ITO_OK;
}

static ito_status check_options(const ito_diffusion *d, ito_shape shape, ito_sample_options *o)
{
    enum { USUAL_STEPS = 50 };
    int64_t T = d->process->steps;
    if (shape.ndim < 1)
        return error_status(ITO_ERR_SHAPE, "sample: %s is not [N, ...]", shape_str(shape));
    if (o->dtype != ITO_F32 && o->dtype != ITO_F64)
        return error_status(ITO_ERR_DTYPE, "sample: data are f32 or f64, not %s",
                            ito_dtype_name(o->dtype));
    if (o->steps == ITO_ALL_STEPS && o->times != NULL)
        return error_status(ITO_ERR_RANGE,
                            "sample: times are given, and .steps does not say how many");
    if (o->steps == ITO_ALL_STEPS)
        o->steps = T == 0 ? USUAL_STEPS : o->end_at_first && T > 1 ? T - 1 : T;
    if (o->steps < 1 || (T > 0 && o->steps > T))
        return error_status(ITO_ERR_RANGE,
                            T > 0 ? "sample: %" PRId64 " steps; the process has 1 to %" PRId64
                                  : "sample: %" PRId64 " steps; at least 1 is needed",
                            o->steps, T);
    ito_status status = check_sampler(o);
    if (status == ITO_OK)
        status = check_numbers(o);
    return status == ITO_OK ? check_times(d->process, o) : status;
}

/* Begin at o->start even if it is not on the list. Returns how many times are left. */
static int64_t begin_at(double *times, int64_t n, double start)
{
    int64_t skipped = 0;
    while (skipped < n && times[skipped] > start)
        skipped++;
    if (skipped == n || times[skipped] < start) {
        if (skipped == 0)
            memmove(times + 1, times, (size_t)(++n) * sizeof *times);
        else
            skipped--;
        times[skipped] = start;
    }
    memmove(times, times + skipped, (size_t)(n + 1 - skipped) * sizeof *times);
    return n - skipped;
}

/* The times visited, falling, then the end of the last step. */
static ito_status find_times(sampler_run *run)
{
    ito_sampler_state *s = &run->state;
    const ito_sample_options *o = &s->o;
    const ito_process *p = s->d->process;
    int64_t n = o->steps;
    double *times = run->times;
    ito_status status = ITO_OK;
    /* A run down to t_min has one more time, at which it ends; trailing times do not reach it. */
    bool one_more = o->end_at_first && !o->spacing->above_t_min;
    if (o->times != NULL)
        memcpy(times, o->times, (size_t)n * sizeof *times);
    else
        status = ito_timesteps(p, o->spacing, n + one_more, times);
    if (status != ITO_OK)
        return status;
    if (o->end_at_first && times[n - 1] == p->t_min) /* a list that has the end already */
        n--;
    times[n] = o->end_at_first ? p->t_min : p->t_clean;
    bool whole = p->steps == 0 || o->start == floor(o->start);
    if (!isnan(o->start) && !(o->start >= p->t_min && o->start <= p->t_max && whole))
        return error_status(ITO_ERR_RANGE, "sample: the start is %g; times are %g to %g%s",
                            o->start, p->t_min, p->t_max, p->steps > 0 ? ", in whole steps" : "");
    s->n = isnan(o->start) ? n : begin_at(times, n, o->start);
    if (s->n == 0 || times[0] <= times[s->n])
        return error_status(ITO_ERR_RANGE,
                            "sample: the only time visited is %g, where it is to end; nothing is "
                            "left to do",
                            p->t_min);
    return ITO_OK;
}

/* Whether the prediction determines x_0 wherever the network is evaluated. If it does at the first
 * time, the noisiest, it does at all. */
static ito_status check_prediction(const sampler_run *run)
{
    const ito_diffusion *d = run->state.d;
    for (int64_t i = 0; i < run->state.n; i++) {
        ito_step step = ito_step_between(d->process, run->times[i], run->times[i + 1]);
        ito_preconditioning p = ito_prediction_to_x_0(d->prediction, &step);
        if (!isfinite(p.c_skip) || !isfinite(p.c_out))
            return error_status(ITO_ERR_ARGUMENT,
                                "sample: %s cannot drive %s: it does not tell x_0 at time %g "
                                "(signal %g); v and x_0 do",
                                d->prediction->name, run->state.sampler->name, step.t,
                                step.at.signal);
    }
    return ITO_OK;
}

ito_status sampler_run_begin(sampler_run *run, const ito_diffusion *d, ito_network *network,
                             ito_shape shape, ito_sample_options options)
{
    if (d == NULL)
        return error_missing("sample", "the diffusion");
    if (options.sampler == NULL)
        options.sampler = &ito_sampler_ddpm;
    if (options.spacing == NULL)
        options.spacing = ito_sampler_spacing(options.sampler, d->process);
    *run = (sampler_run){.network = network};
    ito_status status = check_options(d, shape, &options);
    if (status != ITO_OK)
        return status;
    int64_t N = shape.dim[0];
    run->state = (ito_sampler_state){.d = d, .sampler = options.sampler, .o = options, .run = run};
    run->times = struct_alloc(((size_t)options.steps + 2) * sizeof *run->times);
    run->generators = image_generators("sample", options.seed, options.first_image, N);
    if (run->times == NULL || run->generators == NULL)
        status = ito_error_code();
    for (int64_t i = 0; status == ITO_OK && options.same_noise && i < N; i++)
        run->generators[i] = run->generators[0];
    if (status == ITO_OK)
        status = find_times(run);
    if (status == ITO_OK)
        status = check_prediction(run);
    if (status != ITO_OK)
        sampler_run_end(run);
    else
        ito_network_begin(network);
    return status;
}

void sampler_run_end(sampler_run *run)
{
    free(run->times);
    free(run->generators);
    run->times = NULL;
    run->generators = NULL;
}

/* ---- sampling ---- */

ito_tensor *ito_diffusion_sample_with(const ito_diffusion *d, ito_network *network, ito_shape shape,
                                      ito_sample_options options)
{
    sampler_run run;
    if (sampler_run_begin(&run, d, network, shape, options) != ITO_OK)
        return NULL;
    ito_scope_begin();
    ito_tensor *noise = data_empty(shape, options.dtype), *x = NULL;
    double deviation = prior_deviation(d->process);
    if (noise != NULL && draw_images(run.generators, noise) == ITO_OK)
        x = sampler_run_from(&run, deviation == 1.0 ? noise : ito_mul_scalar_(noise, deviation));
    x = ito_keep(x);
    ito_scope_end();
    sampler_run_end(&run);
    return x;
}

ito_tensor *ito_diffusion_sample_from_with(const ito_diffusion *d, ito_network *network,
                                           ito_tensor *x_T, ito_sample_options options)
{
    sampler_run run;
    if (x_T == NULL)
        return NULL;
    options.dtype = x_T->dtype;
    if (sampler_run_begin(&run, d, network, ito_shape_of(x_T), options) != ITO_OK)
        return NULL;
    ito_tensor *x = sampler_run_from(&run, x_T);
    sampler_run_end(&run);
    return x;
}
