/* The integral over a step of the polynomial through the last values of eps: what linear multistep
 * and DEIS share.
 * Invariant: with one value it is the Euler step. */
#include "autograd/ops.h"
#include "models/ddpm/sampler/run.h"

/* Coefficients, lowest first, of the polynomial that is 1 at node j and 0 at the others. */
static void lagrange(const double *nodes, int n, int j, double c[4])
{
    int degree = 0;
    c[0] = 1.0;
    for (int k = 0; k < n; k++) {
        if (k == j)
            continue;
        double scale = 1.0 / (nodes[j] - nodes[k]);
        c[degree + 1] = 0.0;
        for (int i = ++degree; i >= 0; i--)
            c[i] = scale * ((i > 0 ? c[i - 1] : 0.0) - nodes[k] * c[i]);
    }
}

/* y += sum over j of eps_j times the integral of its polynomial, whose power k has moments[k]; the
 * nodes belong to this step's eps and those of the past. */
ito_tensor *polynomial_step(ito_sampler_state *s, const double *nodes, const double *moments, int n)
{
    double signal = s->step.to.signal;
    ito_tensor *x = ito_mul_scalar(s->x, signal / s->step.at.signal);
    for (int j = 0; j < n; j++) {
        double c[4] = {0.0}, integral = 0.0;
        lagrange(nodes, n, j, c);
        for (int k = 0; k < n; k++)
            integral += c[k] * moments[k];
        x = ito_axpby(1.0, x, signal * integral, j == 0 ? s->estimate.eps : s->past[j - 1].eps);
    }
    return x;
}

ito_level past_level(const ito_sampler_state *s, int j)
{
    return j == 0 ? s->step.at : s->past[j - 1].at;
}
