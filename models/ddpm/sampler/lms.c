/* Linear multistep: polynomials in sigma. */
#include "autograd/ops.h"
#include "models/ddpm/sampler/run.h"

#include <math.h>

static double sigma_of(ito_level level)
{
    return level.noise / level.signal;
}

/* Polynomials in sigma, which is 0 at the clean data, so the last step keeps its order. */
static ito_tensor *lms_step(ito_sampler_state *s)
{
    int n = s->n_past + 1 < s->sampler->order ? s->n_past + 1 : s->sampler->order;
    double nodes[4], moments[4], end = sigma_of(s->step.to), power;
    if (s->step.at.signal == 0.0 || n <= 1)
        return euler_step(s);
    for (int j = 0; j < n; j++)
        nodes[j] = sigma_of(past_level(s, j)) - end; /* from the end, where the numbers are small */
    power = nodes[0];
    for (int k = 0; k < n; k++) {
        moments[k] = -power / (k + 1);
        power *= nodes[0];
    }
    return polynomial_step(s, nodes, moments, n);
}

const ito_sampler ito_sampler_lms = {.name = "lms",
                                     .help = "linear multistep in sigma, of order 4",
                                     .source = "Karras et al. 2022, arXiv:2206.00364, code",
                                     .uses = ITO_USES_EPS,
                                     .step = lms_step,
                                     .history = 3,
                                     .order = 4,
                                     .spacing = &ito_spacing_trailing};
