/* Noise schedules: betas by family, and the tables that follow from them.
 * Invariant: a schedule that exists has all betas in (0, 1), so no table entry divides by zero. */
#include "models/ddpm/schedule.h"

#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STEPS 1000000

static double linear_beta(int64_t t, int64_t T, const ito_ddpm_schedule_options *options)
{
    if (T == 1)
        return options->beta_start;
    double step = (options->beta_end - options->beta_start) / (double)(T - 1);
    return options->beta_start + (double)t * step;
}

/* The share of the signal that is left at s in [0, 1]. */
static double cosine_signal(double s)
{
    double c = cos((s + 0.008) / 1.008 * (M_PI / 2));
    return c * c;
}

static double cosine_beta(int64_t t, int64_t T, const ito_ddpm_schedule_options *options)
{
    (void)options;
    double now = cosine_signal((double)t / (double)T),
           next = cosine_signal((double)(t + 1) / (double)T);
    return fmin(1.0 - next / now, 0.999);
}

const ito_ddpm_betas ito_ddpm_linear = {"linear", linear_beta};
const ito_ddpm_betas ito_ddpm_cosine = {"cosine", cosine_beta};

static const ito_ddpm_betas *const families[] = {&ito_ddpm_linear, &ito_ddpm_cosine};

const ito_ddpm_betas *ito_ddpm_betas_find(const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(families[i]->name, name) == 0)
            return families[i];
    return error_null(ITO_ERR_ARGUMENT, "schedule: there is no \"%s\"; there are linear and cosine",
                      name);
}

/* One block: the struct, then its tables. */
typedef struct schedule_block {
    ito_ddpm_schedule tables;
    double values[];
} schedule_block;

static schedule_block *schedule_alloc(int64_t T)
{
    if (T < 1 || T > MAX_STEPS)
        return error_null(ITO_ERR_RANGE, "schedule: %" PRId64 " steps; there are 1 to %d", T,
                          MAX_STEPS);
    schedule_block *b = struct_alloc(sizeof *b + 3 * (size_t)T * sizeof(double));
    if (b == NULL)
        return NULL;
    b->tables = (ito_ddpm_schedule){
        .steps = T, .beta = b->values, .alpha_bar = b->values + T, .beta_tilde = b->values + 2 * T};
    return b;
}

/* The other tables from beta, which is filled in. Frees b and gives NULL if a beta is out of range.
 */
static ito_ddpm_schedule *schedule_finish(schedule_block *b)
{
    int64_t T = b->tables.steps;
    double *beta = b->values, *alpha_bar = beta + T, *beta_tilde = beta + 2 * T;
    double before = 1.0;
    for (int64_t t = 0; t < T; t++) {
        alpha_bar[t] = before * (1.0 - beta[t]);
        if (!(beta[t] > 0.0 && beta[t] < 1.0 && alpha_bar[t] > 1e-300 && alpha_bar[t] < before)) {
            ito_error_set(ITO_ERR_RANGE,
                          "schedule: with a beta of %g step %" PRId64 " takes alpha_bar from %g to "
                          "%g; it must fall and stay above 0",
                          beta[t], t, before, alpha_bar[t]);
            free(b);
            return NULL;
        }
        beta_tilde[t] = (1.0 - before) / (1.0 - alpha_bar[t]) * beta[t];
        before = alpha_bar[t];
    }
    return &b->tables;
}

ito_ddpm_schedule *ito_ddpm_schedule_create_with(const ito_ddpm_betas *family, int64_t T,
                                                 ito_ddpm_schedule_options options)
{
    schedule_block *b = schedule_alloc(T);
    if (b == NULL)
        return NULL;
    if (family == NULL)
        family = &ito_ddpm_linear;
    if (options.beta_start == 0.0)
        options.beta_start = 1e-4;
    if (options.beta_end == 0.0)
        options.beta_end = 0.02;
    for (int64_t t = 0; t < T; t++)
        b->values[t] = family->beta(t, T, &options);
    return schedule_finish(b);
}

ito_ddpm_schedule *ito_ddpm_schedule_from_betas(const double *betas, int64_t T)
{
    schedule_block *b = schedule_alloc(T);
    if (b == NULL)
        return NULL;
    memcpy(b->values, betas, (size_t)T * sizeof *betas);
    return schedule_finish(b);
}

void ito_ddpm_schedule_free(ito_ddpm_schedule *s)
{
    free(s);
}
