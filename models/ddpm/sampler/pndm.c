/* PNDM: Runge-Kutta steps, then four-step Adams-Bashforth, in sigma. */
#include "autograd/ops.h"
#include "models/ddpm/sampler/run.h"

#include <math.h>

/* How many earlier slopes there are: one that was followed by a leap is of no use. */
static int slopes(const ito_sampler_state *s)
{
    int n = s->n_past;
    if (n == 0)
        return 0;
    ito_step oldest = {.at = past_level(s, n), .to = past_level(s, n - 1)};
    return leaps(&oldest) ? n - 1 : n;
}

/* Adams and Bashforth's mean of eps and n earlier values. */
static ito_tensor *adams_bashforth(const ito_sampler_state *s, int n)
{
    static const double weights[4][4] = {{1.0},
                                         {3.0 / 2, -1.0 / 2},
                                         {23.0 / 12, -16.0 / 12, 5.0 / 12},
                                         {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24}};
    const double *weight = weights[n];
    ito_tensor *eps = ito_mul_scalar(s->estimate.eps, weight[0]);
    for (int j = 0; j < n; j++)
        eps = ito_axpby(1.0, eps, weight[j + 1], s->past[j].eps);
    return eps;
}

/* The classical four slopes, with a step in the middle. */
static ito_tensor *runge_kutta(ito_sampler_state *s)
{
    ito_step step = s->step, end = ito_step_between(step.process, step.t_to, step.process->t_clean);
    double half = 0.5 * (step.t + step.t_to);
    ito_step middle =
        ito_step_between(step.process, step.process->steps > 0 ? floor(half) : half, step.t_to);
    ito_estimate second, third, fourth;
    ito_tensor *first = s->estimate.eps;
    if (!ito_sampler_evaluate(s, slope_step(s->x, step.at, middle.at, first), &middle, &second) ||
        !ito_sampler_evaluate(s, slope_step(s->x, step.at, middle.at, second.eps), &middle,
                              &third) ||
        !ito_sampler_evaluate(s, slope_step(s->x, step.at, step.to, third.eps), &end, &fourth))
        return NULL;
    ito_tensor *mean =
        ito_axpby(1.0 / 6, ito_add(first, fourth.eps), 1.0 / 3, ito_add(second.eps, third.eps));
    return slope_step(s->x, step.at, step.to, mean);
}

/* Plain: without Runge-Kutta; the first step averages both ends. */
enum { PLAIN = 1 };

static ito_tensor *pndm_step(ito_sampler_state *s)
{
    if (s->step.to.noise == 0.0 || leaps(&s->step))
        return euler_step(s);
    int n = slopes(s);
    if (n < 3 && s->sampler->variant != PLAIN)
        return runge_kutta(s);
    if (n == 0)
        return heun_step(s);
    return slope_step(s->x, s->step.at, s->step.to, adams_bashforth(s, n));
}

const ito_sampler ito_sampler_pndm = {
    .name = "pndm",
    .help = "three Runge-Kutta steps of four evaluations, then four-step Adams-Bashforth",
    .source = "Liu et al. 2022, arXiv:2202.09778",
    .uses = ITO_USES_EPS,
    .step = pndm_step,
    .history = 3,
    .spacing = &ito_spacing_trailing};
const ito_sampler ito_sampler_plms = {.name = "plms",
                                      .help = "pndm without Runge-Kutta: one improved Euler step",
                                      .source = "Liu et al. 2022, arXiv:2202.09778",
                                      .uses = ITO_USES_EPS,
                                      .step = pndm_step,
                                      .history = 3,
                                      .variant = PLAIN,
                                      .spacing = &ito_spacing_trailing};
