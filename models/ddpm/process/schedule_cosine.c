/* The cosine schedule. */
#include "models/ddpm/process/process.h"

#include <math.h>

/* The fraction of the signal left at s in [0, 1]. */
static double cosine_signal(double s)
{
    double c = cos((s + 0.008) / 1.008 * (M_PI / 2));
    return c * c;
}

static double cosine_beta(int64_t t, int64_t T, const ito_process_options *o)
{
    (void)o;
    double now = cosine_signal((double)t / (double)T),
           next = cosine_signal((double)(t + 1) / (double)T);
    return fmin(1.0 - next / now, 0.999);
}

const ito_schedule_family ito_schedule_cosine = {
    .name = "cosine",
    .help = "alpha_bar along cos^2((s + 0.008) / 1.008 pi/2), s = t / T; no beta above 0.999",
    .source = "Nichol, Dhariwal 2021, arXiv:2102.09672, eq. (17)",
    .beta = cosine_beta};
