/* EDM's noise levels: time is sigma, the standard deviation of the noise. */
#include "models/ddpm/process/process.h"

static ito_level edm_level(double t, const ito_process_options *o)
{
    (void)o;
    return (ito_level){1.0, t};
}

static void edm_range(const ito_process_options *o, double *t_min, double *t_max)
{
    *t_min = o->sigma_min;
    *t_max = o->sigma_max;
}

const ito_schedule_family ito_schedule_edm = {
    .name = "edm",
    .help = "x_0 + sigma eps, t = sigma from sigma_min to sigma_max",
    .source = "Karras et al. 2022, arXiv:2206.00364",
    .uses = ITO_USES_SIGMAS,
    .level = edm_level,
    .range = edm_range};
