/* The variance-preserving SDE: DDPM's linear schedule in continuous time. */
#include "models/ddpm/process/process.h"

#include <math.h>

/* signal = exp(-1/2 integral of beta), beta(t) in equal steps from one end to the other. */
static ito_level vp_level(double t, const ito_process_options *o)
{
    double first = 1000.0 * o->beta_start, last = 1000.0 * o->beta_end;
    double integral = t * first + 0.5 * t * t * (last - first);
    return (ito_level){exp(-0.5 * integral), sqrt(-expm1(-integral))};
}

static void vp_range(const ito_process_options *o, double *t_min, double *t_max)
{
    (void)o;
    *t_min = 1e-3;
    *t_max = 1.0;
}

const ito_schedule_family ito_schedule_vp = {
    .name = "vp",
    .help = "the variance-preserving SDE on t of [0, 1]: linear in continuous time",
    .source = "Song et al. 2020, arXiv:2011.13456, eq. (33)",
    .uses = ITO_USES_BETAS,
    .level = vp_level,
    .range = vp_range};
