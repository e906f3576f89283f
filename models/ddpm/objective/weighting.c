/* Weights of errors, and their conversion to weights of the network's output. */
#include "models/ddpm/diffusion_internal.h"
#include "tensor/internal.h"

#include <math.h>

static double snr(const ito_step *s)
{
    double ratio = s->at.signal / s->at.noise;
    return ratio * ratio;
}

/* For x_0: mu~ - mu = b (x_0 - x_0-hat), so (b^2 / 2) / beta. */
static double bound_weight(const ito_weighting *w, const ito_step *s)
{
    (void)w;
    double b = ito_step_posterior(s).x_0;
    return 0.5 * b * b / exp(ito_variance_fixedlarge.log_variance(s).offset);
}

/* min(SNR, gamma) for x_0 as a weight of eps, which stays finite without signal. */
static double min_snr_weight(const ito_weighting *w, const ito_step *s)
{
    return fmin(1.0, w->gamma / snr(s));
}

static double p2_weight(const ito_weighting *w, const ito_step *s)
{
    return pow(w->k + snr(s), -w->gamma);
}

static double edm_weight(const ito_weighting *w, const ito_step *s)
{
    return snr(s) + 1.0 / (w->sigma_data * w->sigma_data);
}

const ito_weighting ito_weighting_simple = {
    .name = "simple",
    .help = "1 for the output: L_simple, if that is eps",
    .source = "Ho, Jain, Abbeel 2020, arXiv:2006.11239, eq. (14)"};
const ito_weighting ito_weighting_bound = {
    .name = "bound",
    .help =
        "that of the bound with fixedlarge's variance: beta^2 / (2 sigma^2 alpha (1 - alpha_bar)) "
        "for eps",
    .source = "Ho, Jain, Abbeel 2020, arXiv:2006.11239, eq. (12)",
    .uses = ITO_NEEDS_STEPS,
    .weight = bound_weight,
    .of = ITO_QUANTITY_X_0};
const ito_weighting ito_weighting_min_snr = {
    .name = "min_snr",
    .help = "min(SNR, gamma) for x_0, SNR = (signal / noise)^2",
    .source = "Hang et al. 2023, arXiv:2303.09556",
    .uses = ITO_USES_GAMMA,
    .weight = min_snr_weight,
    .of = ITO_QUANTITY_EPS,
    .gamma = 5.0};
const ito_weighting ito_weighting_p2 = {.name = "p2",
                                        .help = "1 / (k + SNR)^gamma for eps",
                                        .source = "Choi et al. 2022, arXiv:2204.00227",
                                        .uses = ITO_USES_GAMMA | ITO_USES_K,
                                        .weight = p2_weight,
                                        .of = ITO_QUANTITY_EPS,
                                        .gamma = 1.0,
                                        .k = 1.0};
const ito_weighting ito_weighting_edm = {
    .name = "edm",
    .help = "1 / sigma^2 + 1 / sigma_data^2 for x_0, sigma = noise / signal: 1 for EDM's F",
    .source = "Karras et al. 2022, arXiv:2206.00364, table 1",
    .uses = ITO_USES_SIGMA_DATA,
    .weight = edm_weight,
    .of = ITO_QUANTITY_X_0,
    .sigma_data = 0.5};

const ito_weighting *ito_weighting_find(const char *name)
{
    return (const void *)ito_choice_find("weighting", name);
}

/* An error of the output is one of x_0 (eps) times the output's coefficient in it. */
double output_weight(const ito_diffusion *d, const ito_step *s)
{
    const ito_weighting *w = d->weighting;
    if (w->weight == NULL)
        return 1.0;
    double factor = w->of == ITO_QUANTITY_X_0   ? ito_prediction_to_x_0(d->prediction, s).c_out
                    : w->of == ITO_QUANTITY_EPS ? ito_prediction_to_eps(d->prediction, s).c_out
                                                : 1.0;
    return w->weight(w, s) * factor * factor;
}
