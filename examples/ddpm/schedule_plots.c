/* The curves of noise schedules. */
#include "examples/ddpm/schedule_plots.h"

#include "examples/common/chart.h"

#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>

static double beta(const ito_process *s, int64_t t)
{
    return s->beta[t];
}

static double alpha_bar(const ito_process *s, int64_t t)
{
    return s->alpha_bar[t];
}

static double snr(const ito_process *s, int64_t t)
{
    double ratio = s->signal[t] / s->noise[t];
    return ratio * ratio;
}

static double beta_tilde(const ito_process *s, int64_t t)
{
    return s->beta_tilde[t];
}

/* Eq. (12) with sigma^2 = beta. The library's weight is that of the error of x_0, which is noise /
 * signal times that of eps. The last step is not such a term. */
static double bound_weight(const ito_process *s, int64_t t)
{
    if (t == 0)
        return (double)NAN;
    ito_step step = ito_step_between(s, (double)t, (double)t - 1.0);
    return ito_weighting_bound.weight(&ito_weighting_bound, &step) / snr(s, t);
}

const schedule_plot schedule_plots[SCHEDULE_PLOTS] = {
    {"beta", "beta: the variance that a step adds", true, beta},
    {"alpha_bar", "alpha_bar: what is left of the image", false, alpha_bar},
    {"snr", "SNR = alpha_bar / (1 - alpha_bar)", true, snr},
    {"beta_tilde", "beta~: the variance of the posterior", true, beta_tilde},
    {"bound_weight", "What an error of eps counts in the bound", true, bound_weight},
};

bool schedule_plot_write(FILE *out, const schedule_plot *p, const ito_process *const *s,
                         const char *const *names, int64_t count, bool alone)
{
    chart_series lines[MOST_SCHEDULES];
    int64_t T = 0, used = 0;
    for (int64_t i = 0; i < count; i++)
        T += s[i]->steps;
    double *x = malloc(2 * (size_t)T * sizeof *x);
    if (x == NULL) {
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its points", p->name);
        return false;
    }
    double *y = x + T;
    for (int64_t i = 0; i < count; used += s[i++]->steps) {
        for (int64_t t = 0; t < s[i]->steps; t++) {
            x[used + t] = (double)t;
            y[used + t] = p->value(s[i], t);
        }
        lines[i] = (chart_series){.name = names != NULL ? names[i] : NULL,
                                  .x = x + used,
                                  .y = y + used,
                                  .n = s[i]->steps};
    }
    chart_write(out, &(chart){.title = p->title,
                              .x_label = "t",
                              .log_y = p->log_y,
                              .from_zero = true,
                              .alone = alone,
                              .series = lines,
                              .count = count});
    free(x);
    return true;
}
