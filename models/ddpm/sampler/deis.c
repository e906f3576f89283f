/* DEIS: polynomials in log sigma. */
#include "autograd/ops.h"
#include "models/ddpm/sampler/run.h"

#include <math.h>

static double sigma_of(ito_level level)
{
    return level.noise / level.signal;
}

/* Polynomials in u = log sigma: the integral of u^k e^u. */
static ito_tensor *deis_step(ito_sampler_state *s)
{
    int n = ito_sampler_order(s);
    double nodes[4], moments[4], end = sigma_of(s->step.to), power = 1.0;
    if (n == 1)
        return euler_step(s);
    for (int j = 0; j < n; j++)
        nodes[j] = log(sigma_of(past_level(s, j)) / end);
    for (int k = 0; k < n; k++) { /* by parts */
        moments[k] = end * ((k == 0 ? 1.0 : 0.0) - power * exp(nodes[0])) -
                     (k == 0 ? 0.0 : k * moments[k - 1]);
        power *= nodes[0];
    }
    return polynomial_step(s, nodes, moments, n);
}

const ito_sampler ito_sampler_deis = {.name = "deis",
                                      .help = "exponential integrator tAB in log rho, of order 2",
                                      .source = "Zhang, Chen 2022, arXiv:2204.13902",
                                      .uses = ITO_USES_EPS,
                                      .step = deis_step,
                                      .history = 1,
                                      .order = 2,
                                      .spacing = &ito_spacing_trailing};
const ito_sampler ito_sampler_deis3 = {.name = "deis3",
                                       .help = "exponential integrator tAB in log rho, of order 3",
                                       .source = "Zhang, Chen 2022, arXiv:2204.13902",
                                       .uses = ITO_USES_EPS,
                                       .step = deis_step,
                                       .history = 2,
                                       .order = 3,
                                       .spacing = &ito_spacing_trailing};
