/* The schedule 1/T, 1/(T-1), ..., 1 of Sohl-Dickstein et al. 2015. */
#include "models/ddpm/process/process.h"

static double jsd_beta(int64_t t, int64_t T, const ito_process_options *o)
{
    (void)o;
    return 1.0 / (double)(T - t);
}

const ito_schedule_family ito_schedule_jsd = {
    .name = "jsd",
    .help = "beta of 1 / (T - t): alpha_bar falls on a straight line, to 0 at the last step",
    .source = "Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 2.4.1",
    .beta = jsd_beta};
