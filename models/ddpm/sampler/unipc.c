/* UniPC: a predictor and a corrector of x_0-hat in lambda = log(signal / noise).
 * Invariant: of order 1, it is the exact step of exponential.h. */
#include "models/ddpm/sampler/exponential.h"

enum { B_IS_H = 1 };

/* Solve A x = b for n <= 3, in place, with the largest pivots. */
static void solve(double A[3][3], double *b, int n)
{
    for (int k = 0; k < n; k++) {
        int pivot = k;
        for (int i = k + 1; i < n; i++)
            pivot = fabs(A[i][k]) > fabs(A[pivot][k]) ? i : pivot;
        for (int j = 0; j < n; j++) {
            double t = A[k][j];
            A[k][j] = A[pivot][j];
            A[pivot][j] = t;
        }
        double t = b[k];
        b[k] = b[pivot];
        b[pivot] = t;
        for (int i = 0; i < n; i++) {
            double factor = i == k ? 0.0 : A[i][k] / A[k][k];
            for (int j = k; j < n; j++)
                A[i][j] -= factor * A[k][j];
            b[i] -= factor * b[k];
        }
    }
    for (int k = 0; k < n; k++)
        b[k] /= A[k][k];
}

/* Weights rho of n differences at places r, in units of h, so that the step is exact for
 * polynomials of degree n (eq. 9 and 11, in the form for x_0). */
static void unipc_weights(double h, double B, const double *r, int n, double *rho)
{
    double A[3][3], phi = expm1(-h) / -h - 1.0, factorial = 1.0;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++)
            A[i][j] = pow(r[j], i);
        rho[i] = phi * factorial / B;
        factorial *= i + 2;
        phi = phi / -h - 1.0 / factorial;
    }
    solve(A, rho, n);
}

/* One update from x at start over h; points [n] are earlier steps, and ahead, if not NULL, is the
 * x_0-hat at the end of the step: the corrector. */
static ito_tensor *unipc_update(const ito_sampler *sampler, const ito_sampler_past *start,
                                const ito_sampler_past *points, int n, ito_level to,
                                ito_tensor *ahead)
{
    int unknowns = n + (ahead != NULL);
    ito_tensor *x = exact_step(start->x, start->at, to, start->x_0, 0.0, NULL);
    if (unknowns == 0)
        return x;
    double h = lambda_of(to) - lambda_of(start->at), r[4], rho[3] = {0.5};
    double B = sampler->variant == B_IS_H ? -h : expm1(-h);
    for (int k = 0; k < n; k++)
        r[k] = (lambda_of(points[k].at) - lambda_of(start->at)) / h;
    r[n] = 1.0;
    if (unknowns > 1)
        unipc_weights(h, B, r, unknowns, rho); /* 1/2 for a single one, whatever B is */
    for (int k = 0; k < n; k++)
        x = ito_axpby(1.0, x, -to.signal * B * rho[k], slope(points[k].x_0, start->x_0, r[k]));
    if (ahead != NULL)
        x = ito_axpby(1.0, x, -to.signal * B * rho[n], slope(ahead, start->x_0, 1.0));
    return x;
}

/* Correct the step that led here, then predict the next one. */
static ito_tensor *unipc_step(ito_sampler_state *s)
{
    if (s->n_past > 0) {
        int order = order_at(s, s->n_past - 1, s->i - 1); /* that the predictor had */
        s->x = unipc_update(s->sampler, &s->past[0], &s->past[1], order - 1, s->step.at,
                            s->estimate.x_0);
    }
    ito_sampler_past now = {s->step.at, s->x, s->estimate.x_0, s->estimate.eps};
    int order = ito_sampler_order(s);
    return unipc_update(s->sampler, &now, s->past, order - 1, s->step.to, NULL);
}

const ito_sampler ito_sampler_unipc = {
    .name = "unipc",
    .help = "predictor and corrector of x_0-hat, B(h) = e^-h - 1, of order 2",
    .source = "Zhao et al. 2023, arXiv:2302.04867",
    .step = unipc_step,
    .history = 2,
    .order = 2,
    .spacing = &ito_spacing_trailing};
const ito_sampler ito_sampler_unipc3 = {.name = "unipc3",
                                        .help = "unipc of order 3",
                                        .source = "Zhao et al. 2023, arXiv:2302.04867",
                                        .step = unipc_step,
                                        .history = 3,
                                        .order = 3,
                                        .spacing = &ito_spacing_trailing};
