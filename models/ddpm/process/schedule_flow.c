/* The straight path of flow matching, in T steps and in continuous time. */
#include "models/ddpm/process/process.h"

static ito_level straight_level(int64_t t, int64_t T, const ito_process_options *o)
{
    (void)o;
    return (ito_level){(double)(T - 1 - t) / (double)T, (double)(t + 1) / (double)T};
}

static ito_level flow_level(double t, const ito_process_options *o)
{
    /* In this form the noise is exactly 1 at t = 1, and no rounding takes it beyond. */
    double noise = o->shift * t / ((1.0 - t) + o->shift * t);
    return (ito_level){1.0 - noise, noise};
}

/* Time 0 has no noise, so there is nothing to train. */
static void flow_range(const ito_process_options *o, double *t_min, double *t_max)
{
    (void)o;
    *t_min = 1e-3;
    *t_max = 1.0;
}

#define LIPMAN_2022 "Lipman et al. 2022, arXiv:2210.02747; Liu et al. 2022, arXiv:2209.03003"

const ito_schedule_family ito_schedule_straight = {
    .name = "straight",
    .help = "noise (t + 1) / T, signal 1 - noise: flow in T steps",
    .source = LIPMAN_2022,
    .level_of_step = straight_level};
const ito_schedule_family ito_schedule_flow = {
    .name = "flow",
    .help = "noise t, signal 1 - t, for t of [0, 1]: flow matching, rectified flow",
    .source = LIPMAN_2022,
    .uses = ITO_USES_SHIFT,
    .level = flow_level,
    .range = flow_range};
