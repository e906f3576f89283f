/* Noise schedules: betas and levels by family, and the tables that follow from them.
 * Invariant: in a schedule that exists the signal falls at every step, and only the last step may
 * have none of it left, so nothing but its inverse is ever divided by zero. */
#include "models/ddpm/process/process.h"

#include "models/ddpm/choices.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STEPS 1000000

/* ---- families ---- */

/* Value i of n from a to b in equal steps; a alone if n is 1. */
static double between(double a, double b, int64_t i, int64_t n)
{
    return n == 1 ? a : a + (double)i * ((b - a) / (double)(n - 1));
}

static double linear_beta(int64_t t, int64_t T, const ito_ddpm_schedule_options *o)
{
    return between(o->beta_start, o->beta_end, t, T);
}

static double quad_beta(int64_t t, int64_t T, const ito_ddpm_schedule_options *o)
{
    double root = between(sqrt(o->beta_start), sqrt(o->beta_end), t, T);
    return root * root;
}

static double const_beta(int64_t t, int64_t T, const ito_ddpm_schedule_options *o)
{
    (void)t, (void)T;
    return o->beta_end;
}

static double jsd_beta(int64_t t, int64_t T, const ito_ddpm_schedule_options *o)
{
    (void)o;
    return 1.0 / (double)(T - t);
}

static double warmup_beta(int64_t t, int64_t T, const ito_ddpm_schedule_options *o, double share)
{
    int64_t warm = (int64_t)((double)T * share);
    return t < warm ? between(o->beta_start, o->beta_end, t, warm) : o->beta_end;
}

static double warmup10_beta(int64_t t, int64_t T, const ito_ddpm_schedule_options *o)
{
    return warmup_beta(t, T, o, 0.1);
}

static double warmup50_beta(int64_t t, int64_t T, const ito_ddpm_schedule_options *o)
{
    return warmup_beta(t, T, o, 0.5);
}

/* The share of the signal that is left at s in [0, 1]. */
static double cosine_signal(double s)
{
    double c = cos((s + 0.008) / 1.008 * (M_PI / 2));
    return c * c;
}

static double cosine_beta(int64_t t, int64_t T, const ito_ddpm_schedule_options *o)
{
    (void)o;
    double now = cosine_signal((double)t / (double)T),
           next = cosine_signal((double)(t + 1) / (double)T);
    return fmin(1.0 - next / now, 0.999);
}

static double sigmoid_beta(int64_t t, int64_t T, const ito_ddpm_schedule_options *o)
{
    double share = 1.0 / (1.0 + exp(-between(-6.0, 6.0, t, T)));
    return o->beta_start + (o->beta_end - o->beta_start) * share;
}

static ito_ddpm_level straight_level(int64_t t, int64_t T, const ito_ddpm_schedule_options *o)
{
    (void)o;
    return (ito_ddpm_level){(double)(T - 1 - t) / (double)T, (double)(t + 1) / (double)T};
}

const ito_ddpm_betas ito_ddpm_linear = {"linear", linear_beta, NULL, true};
const ito_ddpm_betas ito_ddpm_quad = {"quad", quad_beta, NULL, true};
const ito_ddpm_betas ito_ddpm_const = {"const", const_beta, NULL, true};
const ito_ddpm_betas ito_ddpm_jsd = {"jsd", jsd_beta, NULL, false};
const ito_ddpm_betas ito_ddpm_warmup10 = {"warmup10", warmup10_beta, NULL, true};
const ito_ddpm_betas ito_ddpm_warmup50 = {"warmup50", warmup50_beta, NULL, true};
const ito_ddpm_betas ito_ddpm_cosine = {"cosine", cosine_beta, NULL, false};
const ito_ddpm_betas ito_ddpm_sigmoid = {"sigmoid", sigmoid_beta, NULL, true};
const ito_ddpm_betas ito_ddpm_straight = {"straight", NULL, straight_level, false};

static const ito_ddpm_betas *const families[] = {
    &ito_ddpm_linear,   &ito_ddpm_quad,   &ito_ddpm_const,   &ito_ddpm_jsd,      &ito_ddpm_warmup10,
    &ito_ddpm_warmup50, &ito_ddpm_cosine, &ito_ddpm_sigmoid, &ito_ddpm_straight,
};

const ito_ddpm_betas *ito_ddpm_betas_find(const char *name)
{
    return CHOICE_FIND("schedule", families, name);
}

/* ---- tables ---- */

/* One block: the struct, then its tables. */
typedef struct schedule_block {
    ito_ddpm_schedule tables;
    double values[];
} schedule_block;

/* The tables of b while they are filled in. */
typedef struct schedule_tables {
    double *signal, *noise, *beta, *alpha_bar, *beta_tilde;
} schedule_tables;

static schedule_tables tables_of(schedule_block *b)
{
    double *v = b->values;
    int64_t T = b->tables.steps;
    return (schedule_tables){v, v + T, v + 2 * T, v + 3 * T, v + 4 * T};
}

static schedule_block *schedule_alloc(int64_t T)
{
    if (T < 1 || T > MAX_STEPS)
        return error_null(ITO_ERR_RANGE, "schedule: %" PRId64 " steps; there are 1 to %d", T,
                          MAX_STEPS);
    schedule_block *b = struct_alloc(sizeof *b + 5 * (size_t)T * sizeof(double));
    if (b == NULL)
        return NULL;
    b->tables.steps = T;
    schedule_tables v = tables_of(b);
    b->tables = (ito_ddpm_schedule){T, v.signal, v.noise, v.beta, v.alpha_bar, v.beta_tilde};
    return b;
}

/* The other tables from signal and noise. beta of levels that do not preserve variance: what step t
 * adds to its noise, noise_t^2 - (signal_t / signal_{t-1})^2 noise_{t-1}^2. Frees b and gives NULL
 * if the signal does not fall. */
static ito_ddpm_schedule *finish_levels(schedule_block *b)
{
    schedule_tables v = tables_of(b);
    int64_t T = b->tables.steps;
    ito_ddpm_level before = {1.0, 0.0};
    for (int64_t t = 0; t < T; t++) {
        double a = v.signal[t], s = v.noise[t], kept = a / before.signal * before.noise;
        bool left = a > 1e-150 || (a == 0.0 && t == T - 1);
        if (!(left && isfinite(a) && s > 0.0 && isfinite(s) && kept < s)) {
            ito_error_set(ITO_ERR_RANGE,
                          "schedule: step %" PRId64 " goes from signal %g and noise %g to %g and "
                          "%g; their ratio must fall, and reach 0 at the last step only",
                          t, before.signal, before.noise, a, s);
            free(b);
            return NULL;
        }
        v.alpha_bar[t] = a * a / (a * a + s * s);
        v.beta[t] = s * s - kept * kept;
        v.beta_tilde[t] = before.noise * before.noise / (s * s) * v.beta[t];
        before = (ito_ddpm_level){a, s};
    }
    return &b->tables;
}

/* The other tables from beta. */
static ito_ddpm_schedule *finish_betas(schedule_block *b)
{
    schedule_tables v = tables_of(b);
    int64_t T = b->tables.steps;
    double before = 1.0;
    for (int64_t t = 0; t < T; t++) {
        double beta = v.beta[t], now = before * (1.0 - beta);
        bool left = now > 1e-300 || (now == 0.0 && t == T - 1);
        if (!(beta > 0.0 && left && now < before)) {
            ito_error_set(ITO_ERR_RANGE,
                          "schedule: with a beta of %g step %" PRId64 " takes alpha_bar from %g to "
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
    return &b->tables;
}

/* Lin et al. 2023, algorithm 1: betas whose sqrt(alpha_bar) ends at 0 and begins where it did. */
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

ito_ddpm_schedule *ito_ddpm_schedule_create_with(const ito_ddpm_betas *family, int64_t T,
                                                 ito_ddpm_schedule_options options)
{
    if (family == NULL)
        family = &ito_ddpm_linear;
    if (family->beta == NULL && options.zero_terminal_snr)
        return error_null(ITO_ERR_ARGUMENT,
                          "schedule: zero_terminal_snr changes betas, and %s has none",
                          family->name);
    schedule_block *b = schedule_alloc(T);
    if (b == NULL)
        return NULL;
    if (options.beta_start == 0.0)
        options.beta_start = 1e-4;
    if (options.beta_end == 0.0)
        options.beta_end = 0.02;
    schedule_tables v = tables_of(b);
    for (int64_t t = 0; t < T; t++) {
        if (family->beta != NULL) {
            v.beta[t] = family->beta(t, T, &options);
        } else {
            ito_ddpm_level level = family->level(t, T, &options);
            v.signal[t] = level.signal;
            v.noise[t] = level.noise;
        }
    }
    if (options.zero_terminal_snr)
        end_without_signal(v.beta, T);
    return family->beta != NULL ? finish_betas(b) : finish_levels(b);
}

ito_ddpm_schedule *ito_ddpm_schedule_from_betas(const double *betas, int64_t T)
{
    schedule_block *b = schedule_alloc(T);
    if (b == NULL)
        return NULL;
    memcpy(tables_of(b).beta, betas, (size_t)T * sizeof *betas);
    return finish_betas(b);
}

void ito_ddpm_schedule_free(ito_ddpm_schedule *s)
{
    free(s);
}
