/* The loss by time. Invariant: each image counts once, in the line that follows its step. */
#include "examples/ddpm/loss_bins.h"

#include <math.h>

bool loss_bins_logarithmic(const ito_process *p)
{
    return p->family != NULL && p->family->uses & ITO_USES_SIGMAS && p->steps == 0;
}

/* Where time t is between the first and the last, 0 to 1. In steps, step t is the interval from t
 * to t + 1. */
static double share_of(const ito_process *p, double t)
{
    if (p->steps > 0)
        return (t + 0.5) / (double)p->steps;
    if (loss_bins_logarithmic(p))
        return log(t / p->t_min) / log(p->t_max / p->t_min);
    return (t - p->t_min) / (p->t_max - p->t_min);
}

double loss_bin_edge(const ito_process *p, int i)
{
    double share = (double)i / LOG_BINS;
    if (p->steps > 0)
        return share * (double)p->steps;
    if (loss_bins_logarithmic(p))
        return p->t_min * pow(p->t_max / p->t_min, share);
    return p->t_min + share * (p->t_max - p->t_min);
}

bool loss_bins_add(loss_bins *b, const ito_process *p, ito_tensor *t, ito_tensor *losses)
{
    const double *time = ito_const_data(ito_cast(t, ITO_F64));
    const double *loss = ito_const_data(ito_cast(losses, ITO_F64));
    if (time == NULL || loss == NULL)
        return false;
    for (int64_t i = 0; i < ito_numel(losses); i++) {
        if (!isfinite(loss[i]))
            continue;
        int bin = (int)(share_of(p, time[i]) * LOG_BINS);
        bin = bin < 0 ? 0 : bin < LOG_BINS ? bin : LOG_BINS - 1;
        b->sum[bin] += loss[i];
        b->count[bin]++;
    }
    return true;
}

bool loss_bins_due(const loss_bins *b, int64_t step)
{
    return step / LOSS_BINS_EVERY > b->since / LOSS_BINS_EVERY;
}

const char *loss_bins_take(loss_bins *b, int64_t step, char text[256])
{
    int n = snprintf(text, 256, ", \"loss_by_t\": [");
    for (int i = 0; i < LOG_BINS; i++) {
        char mean[24] = "null";
        if (b->count[i] > 0)
            snprintf(mean, sizeof mean, "%.5g", b->sum[i] / (double)b->count[i]);
        n += snprintf(text + n, 256 - (size_t)n, "%s%s", i > 0 ? ", " : "", mean);
    }
    snprintf(text + n, 256 - (size_t)n, "]");
    *b = (loss_bins){.since = step};
    return text;
}
