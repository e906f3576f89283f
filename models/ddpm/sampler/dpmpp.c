/* DPM-Solver++: differences of x_0-hats extrapolate it in lambda = log(signal / noise).
 * Invariant: of order 1, all are the exact step of exponential.h. */
#include "models/ddpm/sampler/exponential.h"

/* ---- DPM-Solver++, multistep ---- */

enum { HEUN_FORM = 1 };

/* Lu et al. 2022, algorithm 2, and its third order. */
static ito_tensor *multistep(ito_sampler_state *s)
{
    ito_level at = s->step.at, to = s->step.to;
    int order = ito_sampler_order(s);
    ito_tensor *now = s->estimate.x_0;
    if (order == 1)
        return exact_step(s->x, at, to, now, 0.0, NULL);
    double h = lambda_of(to) - lambda_of(at), e = decay(at, to);
    double r = (lambda_of(at) - lambda_of(s->past[0].at)) / h;
    double first = to.signal * ((e - 1.0) / h + 1.0);
    ito_tensor *D = slope(now, s->past[0].x_0, r);
    if (order == 2) /* the midpoint form takes half of the step for the integral */
        return exact_step(s->x, at, to, now,
                          s->sampler->variant == HEUN_FORM ? first : 0.5 * to.signal * (1.0 - e),
                          D);
    double q = (lambda_of(s->past[0].at) - lambda_of(s->past[1].at)) / h;
    ito_tensor *bend = slope(D, slope(s->past[0].x_0, s->past[1].x_0, q), r + q);
    ito_tensor *x = exact_step(s->x, at, to, now, first, ito_axpby(1.0, D, r, bend));
    return ito_axpby(1.0, x, to.signal * (0.5 - (e - 1.0 + h) / (h * h)), bend);
}

/* Half of what brings x to x_0 comes from noise: e^-2h in the place of e^-h. */
static ito_tensor *noisy_multistep(ito_sampler_state *s)
{
    ito_level at = s->step.at, to = s->step.to;
    double e = decay(at, to), share = to.signal * (1.0 - e * e);
    ito_tensor *x = ito_axpby(to.noise / at.noise * e, s->x, share, s->estimate.x_0);
    if (ito_sampler_order(s) > 1) {
        double h = lambda_of(to) - lambda_of(at);
        double r = (lambda_of(at) - lambda_of(s->past[0].at)) / h;
        x = ito_axpby(1.0, x, 0.5 * share, slope(s->estimate.x_0, s->past[0].x_0, r));
    }
    if (to.noise == 0.0)
        return x;
    return ito_axpby(1.0, x, to.noise * sqrt(1.0 - e * e), ito_sampler_noise(s));
}

const ito_sampler ito_sampler_dpmpp_1s = {.name = "dpm++1s",
                                          .help = "DPM-Solver++ of order 1",
                                          .source = "Lu et al. 2022, arXiv:2211.01095",
                                          .step = multistep,
                                          .order = 1,
                                          .spacing = &ito_spacing_trailing};
const ito_sampler ito_sampler_dpmpp_2m = {.name = "dpm++2m",
                                          .help =
                                              "DPM-Solver++ multistep, midpoint form, of order 2",
                                          .source = "Lu et al. 2022, arXiv:2211.01095, algorithm 2",
                                          .step = multistep,
                                          .history = 1,
                                          .order = 2,
                                          .spacing = &ito_spacing_trailing};
const ito_sampler ito_sampler_dpmpp_3m = {.name = "dpm++3m",
                                          .help = "DPM-Solver++ multistep of order 3",
                                          .source = "Lu et al. 2022, arXiv:2211.01095",
                                          .step = multistep,
                                          .history = 2,
                                          .order = 3,
                                          .spacing = &ito_spacing_trailing};
const ito_sampler ito_sampler_dpmpp_2m_sde = {.name = "dpm++2m-sde",
                                              .help = "SDE-DPM-Solver++ 2M, which adds noise",
                                              .source = "Lu et al. 2022, arXiv:2211.01095",
                                              .step = noisy_multistep,
                                              .history = 1,
                                              .order = 2,
                                              .spacing = &ito_spacing_trailing};

/* ---- DPM-Solver++, single step ---- */

/* An odd step starts where the even step before it started, with the result of that as its
 * midpoint. */
static ito_tensor *single_step(ito_sampler_state *s)
{
    ito_level at = s->step.at, to = s->step.to;
    if (s->i % 2 == 0 || s->n_past == 0 || to.noise == 0.0)
        return exact_step(s->x, at, to, s->estimate.x_0, 0.0, NULL);
    const ito_sampler_past *start = &s->past[0];
    double h = lambda_of(to) - lambda_of(start->at);
    double r = (lambda_of(at) - lambda_of(start->at)) / h;
    double share = 0.5 * to.signal * (1.0 - decay(start->at, to));
    return exact_step(start->x, start->at, to, start->x_0, share,
                      slope(s->estimate.x_0, start->x_0, r));
}

const ito_sampler ito_sampler_dpmpp_2s = {
    .name = "dpm++2s",
    .help =
        "DPM-Solver++ single step of order 2: every other step is of order 1, and helps the next",
    .source = "Lu et al. 2022, arXiv:2211.01095",
    .step = single_step,
    .history = 1,
    .order = 2,
    .spacing = &ito_spacing_trailing};
