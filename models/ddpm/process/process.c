/* Processes: the tables of steps, levels at any time, and steps between two times.
 * Invariant: the signal falls with time and only the last one may be zero, so only 1 / signal at
 * the last time may be infinite. */
#include "models/ddpm/process/process.h"

#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STEPS 1000000

const ito_schedule_family *ito_schedule_find(const char *name)
{
    return (const void *)ito_choice_find("schedule", name);
}

/* ---- tables of a process in steps ---- */

/* One block: the struct, then its tables. */
typedef struct process_block {
    ito_process process;
    double values[];
} process_block;

/* The tables of b while they are filled in. */
typedef struct process_tables {
    double *signal, *noise, *beta, *alpha_bar, *beta_tilde;
} process_tables;

static process_tables tables_of(process_block *b)
{
    double *v = b->values;
    int64_t T = b->process.steps;
    return (process_tables){v, v + T, v + 2 * T, v + 3 * T, v + 4 * T};
}

static process_block *process_alloc(int64_t T)
{
    if (T < 1 || T > MAX_STEPS)
        return error_null(ITO_ERR_RANGE, "process: %" PRId64 " steps; there are 1 to %d", T,
                          MAX_STEPS);
    process_block *b = struct_alloc(sizeof *b + 5 * (size_t)T * sizeof(double));
    if (b == NULL)
        return NULL;
    b->process.steps = T;
    process_tables v = tables_of(b);
    b->process = (ito_process){.t_clean = -1.0,
                               .t_min = 0.0,
                               .t_max = (double)(T - 1),
                               .steps = T,
                               .signal = v.signal,
                               .noise = v.noise,
                               .beta = v.beta,
                               .alpha_bar = v.alpha_bar,
                               .beta_tilde = v.beta_tilde};
    return b;
}

/* The other tables from signal and noise. beta of levels that do not preserve variance is the noise
 * variance that step t adds, noise_t^2 - (signal_t / signal_{t-1})^2 noise_{t-1}^2. Frees b and
 * returns NULL if the signal does not fall. */
static ito_process *finish_levels(process_block *b)
{
    process_tables v = tables_of(b);
    int64_t T = b->process.steps;
    ito_level before = {1.0, 0.0};
    for (int64_t t = 0; t < T; t++) {
        double a = v.signal[t], s = v.noise[t], kept = a / before.signal * before.noise;
        bool left = a > 1e-150 || (a == 0.0 && t == T - 1);
        if (!(left && isfinite(a) && s > 0.0 && isfinite(s) && kept < s)) {
            ito_error_set(ITO_ERR_RANGE,
                          "process: step %" PRId64 " goes from signal %g and noise %g to %g and "
                          "%g; their ratio must fall, and reach 0 at the last step only",
                          t, before.signal, before.noise, a, s);
            free(b);
            return NULL;
        }
        v.alpha_bar[t] = a * a / (a * a + s * s);
        v.beta[t] = s * s - kept * kept;
        v.beta_tilde[t] = before.noise * before.noise / (s * s) * v.beta[t];
        before = (ito_level){a, s};
    }
    return &b->process;
}

/* The other tables from beta. */
static ito_process *finish_betas(process_block *b)
{
    process_tables v = tables_of(b);
    int64_t T = b->process.steps;
    double before = 1.0;
    for (int64_t t = 0; t < T; t++) {
        double beta = v.beta[t], now = before * (1.0 - beta);
        bool left = now > 1e-300 || (now == 0.0 && t == T - 1);
        if (!(beta > 0.0 && left && now < before)) {
            ito_error_set(ITO_ERR_RANGE,
                          "process: with a beta of %g step %" PRId64 " takes alpha_bar from %g to "
                          "%g; it must fall, and reach 0 at the last step only",
                          beta, t, before, now);
            free(b);
            return NULL;
        }
        v.alpha_bar[t] = now;
        v.signal[t] = sqrt(now);
        v.noise[t] = sqrt(1.0 - now);
        v.beta_tilde[t] = (1.0 - before) / (1.0 - now) * beta;
        before = now;
    }
    return &b->process;
}

/* Lin et al. 2023, algorithm 1: rescale betas so that sqrt(alpha_bar) ends at 0 and keeps its first
 * value. */
static void end_without_signal(double *beta, int64_t T)
{
    double product = 1.0, first = sqrt(1.0 - beta[0]), before = 1.0;
    for (int64_t t = 0; t < T; t++)
        product *= 1.0 - beta[t];
    double last = sqrt(product);
    product = 1.0;
    for (int64_t t = 0; t < T; t++) {
        product *= 1.0 - beta[t];
        double root = t == T - 1 ? 0.0 : (sqrt(product) - last) * first / (first - last);
        beta[t] = 1.0 - root * root / before;
        before = root * root;
    }
}

/* The tables of a family for T steps. */
static ito_process *create_in_steps(const ito_schedule_family *family, const ito_process_options *o)
{
    process_block *b = process_alloc(o->steps);
    if (b == NULL)
        return NULL;
    process_tables v = tables_of(b);
    int64_t T = o->steps;
    double t_min, t_max = 0.0;
    if (family->level != NULL)
        family->range(o, &t_min, &t_max);
    for (int64_t t = 0; t < T; t++) {
        if (family->beta != NULL) {
            v.beta[t] = family->beta(t, T, o);
        } else {
            ito_level level = family->level != NULL
                                  ? family->level(t_max * (double)(t + 1) / (double)T, o)
                                  : family->level_of_step(t, T, o);
            v.signal[t] = level.signal;
            v.noise[t] = level.noise;
        }
    }
    if (o->zero_terminal_snr)
        end_without_signal(v.beta, T);
    ito_process *p = family->beta != NULL ? finish_betas(b) : finish_levels(b);
    if (p != NULL) {
        p->family = family;
        p->options = *o;
    }
    return p;
}

static ito_process *create_continuous(const ito_schedule_family *family,
                                      const ito_process_options *o)
{
    double t_min, t_max;
    family->range(o, &t_min, &t_max);
    ito_level low = family->level(t_min, o), high = family->level(t_max, o);
    if (!(t_min > 0.0 && t_min < t_max && isfinite(t_max) && low.signal > 0.0 && low.noise > 0.0 &&
          high.noise * low.signal > low.noise * high.signal))
        return error_null(ITO_ERR_RANGE,
                          "process: %s goes from time %g (signal %g, noise %g) to %g (%g, %g); the "
                          "ratio of signal to noise must fall",
                          family->name, t_min, low.signal, low.noise, t_max, high.signal,
                          high.noise);
    ito_process *p = struct_alloc(sizeof *p);
    if (p != NULL)
        *p = (ito_process){.family = family, .options = *o, .t_min = t_min, .t_max = t_max};
    return p;
}

ito_process *ito_process_create_with(const ito_schedule_family *family, ito_process_options o)
{
    if (family == NULL)
        return error_null(ITO_ERR_ARGUMENT, "process: the schedule is NULL");
    if (family->beta == NULL && family->level_of_step == NULL &&
        (family->level == NULL || family->range == NULL))
        return error_null(ITO_ERR_ARGUMENT,
                          "process: the schedule %s has neither beta, nor level_of_step, nor level "
                          "and range",
                          family->name);
    if (o.steps == ITO_USUAL_STEPS)
        o.steps = family->level != NULL ? 0 : 1000;
    if (family->beta == NULL && o.zero_terminal_snr)
        return error_null(ITO_ERR_ARGUMENT,
                          "process: zero_terminal_snr changes betas, and %s has none",
                          family->name);
    if (family->level == NULL && o.steps == 0)
        return error_null(ITO_ERR_ARGUMENT,
                          "process: 0 steps mean continuous time, and the schedule %s is in steps",
                          family->name);
    if (family->uses & ITO_USES_SHIFT && !(o.shift > 0.0 && isfinite(o.shift)))
        return error_null(ITO_ERR_RANGE, "process: the shift is %g; it must be above 0", o.shift);
    if (family->level != NULL && o.steps == 0)
        return create_continuous(family, &o);
    return create_in_steps(family, &o);
}

ito_process *ito_process_from_betas(const double *betas, int64_t T)
{
    if (betas == NULL)
        return error_null(ITO_ERR_ARGUMENT, "process: the list of betas is NULL");
    process_block *b = process_alloc(T);
    if (b == NULL)
        return NULL;
    memcpy(tables_of(b).beta, betas, (size_t)T * sizeof *betas);
    ito_process *p = finish_betas(b);
    if (p != NULL)
        p->options = (ito_process_options){.steps = T};
    return p;
}

void ito_process_free(ito_process *p)
{
    free(p);
}

/* ---- levels at any time ---- */

/* log(noise / signal), which rises with t. */
static double log_sigma(ito_level level)
{
    return log(level.noise) - log(level.signal);
}

static ito_level table_level(const ito_process *p, int64_t t)
{
    return t < 0 ? (ito_level){1.0, 0.0} : (ito_level){p->signal[t], p->noise[t]};
}

/* noise / signal between two levels at a share of (0, 1): its logarithm is linear; where that is
 * infinite at one end, it is linear itself from the clean data on, and its inverse towards a level
 * without signal. */
static double sigma_between(ito_level a, ito_level b, double share)
{
    bool clean = a.noise == 0.0, lost = b.signal == 0.0;
    if (clean && lost)
        return share / (1.0 - share);
    if (clean)
        return share * b.noise / b.signal;
    if (lost)
        return a.noise / a.signal / (1.0 - share);
    return exp((1.0 - share) * log_sigma(a) + share * log_sigma(b));
}

/* hypot(signal, noise) is linear, too. */
static ito_level interpolate(ito_level a, ito_level b, double share)
{
    double size = (1.0 - share) * hypot(a.signal, a.noise) + share * hypot(b.signal, b.noise);
    double sigma = sigma_between(a, b, share);
    return (ito_level){size / hypot(1.0, sigma), size * sigma / hypot(1.0, sigma)};
}

ito_level ito_process_level(const ito_process *p, double t)
{
    t = fmin(fmax(t, p->t_clean), p->t_max);
    if (p->steps == 0)
        return p->family->level(t, &p->options);
    double below = floor(t);
    ito_level level = table_level(p, (int64_t)below);
    return t == below ? level : interpolate(level, table_level(p, (int64_t)below + 1), t - below);
}

/* Bisection: the table's steps, then the nearer of two neighbours. */
static double nearest_step(const ito_process *p, double log_wanted)
{
    int64_t low = 0, high = p->steps - 1;
    while (high - low > 1) { /* log_sigma(low) <= wanted <= log_sigma(high), or it is beyond */
        int64_t middle = low + (high - low) / 2;
        if (log_sigma(table_level(p, middle)) <= log_wanted)
            low = middle;
        else
            high = middle;
    }
    double below = log_wanted - log_sigma(table_level(p, low));
    double above = log_sigma(table_level(p, high)) - log_wanted;
    return (double)(below <= above ? low : high);
}

static double sigma_at(const ito_process *p, double t)
{
    ito_level level = ito_process_level(p, t);
    return level.noise / level.signal;
}

/* In continuous time: the last time with at most this sigma. */
double ito_process_time(const ito_process *p, double sigma)
{
    if (p->steps > 0)
        return nearest_step(p, log(sigma));
    double low = p->t_min, high = p->t_max;
    for (int i = 0; i < 200 && low < high; i++) {
        double middle = 0.5 * (low + high);
        if (middle == low || middle == high)
            break;
        if (sigma_at(p, middle) <= sigma)
            low = middle;
        else
            high = middle;
    }
    return sigma_at(p, high) <= sigma ? high : low;
}

/* ---- steps ---- */

ito_step ito_step_between(const ito_process *p, double t, double t_to)
{
    ito_level to = ito_process_level(p, t_to);
    return (ito_step){.process = p,
                      .t = t,
                      .at = ito_process_level(p, t),
                      .t_to = t_to,
                      .to = to,
                      .before = p->steps > 0 ? ito_process_level(p, t - 1.0) : to};
}

/* Precisions of q(x_t | x_to) and q(x_to | x_0) add. Only the signal of the cleaner data is a
 * divisor. */
ito_posterior ito_step_posterior(const ito_step *step)
{
    ito_level at = step->at, to = step->to;
    double alpha = at.signal / to.signal, share = to.noise * to.noise / (at.noise * at.noise);
    double beta = at.noise * at.noise - alpha * alpha * to.noise * to.noise;
    return (ito_posterior){.x_t = alpha * share,
                           .x_0 = to.signal * beta / (at.noise * at.noise),
                           .variance = share * beta};
}
