/* Predictions: the target of the output, x_0 x_0 + eps eps, and its inverse. Invariant: none
 * divides by the signal, which may be 0 at the last time, unless its target is infinite there. */
#include "models/ddpm/objective/objective.h"
#include "tensor/internal.h"

#include <math.h>

typedef const ito_prediction prediction;
typedef const ito_step step;

static ito_target eps_target(prediction *p, step *s)
{
    (void)p, (void)s;
    return (ito_target){0.0, 1.0};
}

static ito_target x_0_target(prediction *p, step *s)
{
    (void)p, (void)s;
    return (ito_target){1.0, 0.0};
}

/* mu~ with x_t put in. The step is the process's, however sampling is spaced. */
static ito_target x_prev_target(prediction *p, step *s)
{
    (void)p;
    ito_step one = *s;
    one.to = s->before;
    ito_posterior mean = ito_step_posterior(&one);
    return (ito_target){mean.x_0 + mean.x_t * s->at.signal, mean.x_t * s->at.noise};
}

static ito_target v_target(prediction *p, step *s)
{
    (void)p;
    return (ito_target){-s->at.noise, s->at.signal};
}

static ito_target score_target(prediction *p, step *s)
{
    (void)p;
    return (ito_target){0.0, -1.0 / s->at.noise};
}

/* The standard deviation of x_t. */
static double deviation(prediction *p, step *s)
{
    return hypot(s->at.noise, s->at.signal * p->sigma_data);
}

/* F = (x_0 - c_skip x) / c_out for x = x_t / signal, with c_skip and c_out put in. */
static ito_target edm_target(prediction *p, step *s)
{
    double D = deviation(p, s);
    return (ito_target){s->at.noise / (p->sigma_data * D), -s->at.signal * p->sigma_data / D};
}

static double edm_c_in(prediction *p, step *s)
{
    return 1.0 / deviation(p, s);
}

static ito_target flow_target(prediction *p, step *s)
{
    (void)p, (void)s;
    return (ito_target){-1.0, 1.0};
}

#define HO_2020 "Ho, Jain, Abbeel 2020, arXiv:2006.11239"

const ito_prediction ito_prediction_eps = {.name = "eps",
                                           .help = "the noise that was added",
                                           .source = HO_2020 ", eq. (11)",
                                           .target = eps_target};
const ito_prediction ito_prediction_x_0 = {.name = "x_0",
                                           .help = "the clean data",
                                           .source = HO_2020 ", section 3.2",
                                           .target = x_0_target};
const ito_prediction ito_prediction_x_prev = {.name = "x_prev",
                                              .help = "mu~, the mean of q(x_{t-1} | x_t, x_0)",
                                              .source = HO_2020 ", eq. (7)",
                                              .uses = ITO_NEEDS_STEPS,
                                              .target = x_prev_target};
const ito_prediction ito_prediction_v = {.name = "v",
                                         .help = "signal eps - noise x_0",
                                         .source = "Salimans, Ho 2022, arXiv:2202.00512",
                                         .target = v_target};
const ito_prediction ito_prediction_score = {.name = "score",
                                             .help = "grad log q(x_t | x_0) = -eps / noise",
                                             .source = "Song, Ermon 2019, arXiv:1907.05600",
                                             .target = score_target};
const ito_prediction ito_prediction_edm = {
    .name = "edm",
    .help = "F of EDM's preconditioned denoiser; the network sees data of unit variance",
    .source = "Karras et al. 2022, arXiv:2206.00364, table 1",
    .uses = ITO_USES_SIGMA_DATA,
    .target = edm_target,
    .c_in = edm_c_in,
    .sigma_data = 0.5};
const ito_prediction ito_prediction_flow = {.name = "flow",
                                            .help = "eps - x_0, the velocity of the straight path",
                                            .source = "Lipman et al. 2022, arXiv:2210.02747",
                                            .target = flow_target};

const ito_prediction *ito_prediction_find(const char *name)
{
    return (const void *)ito_choice_find("prediction", name);
}

/* ---- the way back: the inverse of x_t = signal x_0 + noise eps and the output, by Cramer's rule
 */

ito_preconditioning ito_prediction_to_x_0(const ito_prediction *p, const ito_step *s)
{
    ito_target target = p->target(p, s);
    double determinant = s->at.signal * target.eps - s->at.noise * target.x_0;
    return (ito_preconditioning){target.eps / determinant, -s->at.noise / determinant};
}

ito_preconditioning ito_prediction_to_eps(const ito_prediction *p, const ito_step *s)
{
    ito_target target = p->target(p, s);
    if (target.x_0 == 0.0) /* also where no signal is left */
        return (ito_preconditioning){0.0, 1.0 / target.eps};
    double determinant = s->at.signal * target.eps - s->at.noise * target.x_0;
    return (ito_preconditioning){-target.x_0 / determinant, s->at.signal / determinant};
}
