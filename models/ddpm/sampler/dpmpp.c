/* Samplers that extrapolate x_0-hat in lambda = log(signal / noise): DPM-Solver++ and UniPC.
 * With h = lambda_to - lambda, the exact step for an x_0-hat that stays is
 *     x_to = noise_to / noise x + signal_to (1 - e^-h) x_0-hat,
 * and higher orders add differences D of x_0-hats.
 * Invariant: of order 1, they are all that step, which exists at both ends of the schedule. */
#include "autograd/ops.h"
#include "models/ddpm/sampler/run.h"

#include <math.h>

static double lambda_of(ito_ddpm_level level)
{
    return log(level.signal) - log(level.noise);
}

/* e^-h, by levels: 0 from no signal or to no noise. */
static double decay(ito_ddpm_level at, ito_ddpm_level to)
{
    return at.signal * to.noise / (at.noise * to.signal);
}

/* The exact step; x + share y if there is a correction y. */
static ito_tensor *exact_step(ito_tensor *x, ito_ddpm_level at, ito_ddpm_level to, ito_tensor *x_0,
                              double share, ito_tensor *correction)
{
    x = ito_axpby(to.noise / at.noise, x, to.signal * (1.0 - decay(at, to)), x_0);
    return correction == NULL ? x : ito_axpby(1.0, x, share, correction);
}

/* (a - b) / r */
static ito_tensor *slope(ito_tensor *a, ito_tensor *b, double r)
{
    return ito_axpby(1.0 / r, a, -1.0 / r, b);
}

/* ---- DPM-Solver++, multistep ---- */

enum { HEUN_FORM = 1 };

/* Lu et al. 2022, algorithm 2, and its third order. */
static ito_tensor *multistep(ito_ddpm_walk *w)
{
    ito_ddpm_level at = w->step.at, to = w->step.to;
    int order = ito_ddpm_order(w);
    ito_tensor *now = w->guess.x_0;
    if (order == 1)
        return exact_step(w->x, at, to, now, 0.0, NULL);
    double h = lambda_of(to) - lambda_of(at), e = decay(at, to);
    double r = (lambda_of(at) - lambda_of(w->past[0].at)) / h;
    double first = to.signal * ((e - 1.0) / h + 1.0);
    ito_tensor *D = slope(now, w->past[0].x_0, r);
    if (order == 2) /* the midpoint form takes half of the step for the integral */
        return exact_step(w->x, at, to, now,
                          w->sampler->variant == HEUN_FORM ? first : 0.5 * to.signal * (1.0 - e),
                          D);
    double s = (lambda_of(w->past[0].at) - lambda_of(w->past[1].at)) / h;
    ito_tensor *bend = slope(D, slope(w->past[0].x_0, w->past[1].x_0, s), r + s);
    ito_tensor *x = exact_step(w->x, at, to, now, first, ito_axpby(1.0, D, r, bend));
    return ito_axpby(1.0, x, to.signal * (0.5 - (e - 1.0 + h) / (h * h)), bend);
}

/* Half of what brings x to x_0 comes from noise: e^-2h in the place of e^-h. */
static ito_tensor *noisy_multistep(ito_ddpm_walk *w)
{
    ito_ddpm_level at = w->step.at, to = w->step.to;
    double e = decay(at, to), share = to.signal * (1.0 - e * e);
    ito_tensor *x = ito_axpby(to.noise / at.noise * e, w->x, share, w->guess.x_0);
    if (ito_ddpm_order(w) > 1) {
        double h = lambda_of(to) - lambda_of(at);
        double r = (lambda_of(at) - lambda_of(w->past[0].at)) / h;
        x = ito_axpby(1.0, x, 0.5 * share, slope(w->guess.x_0, w->past[0].x_0, r));
    }
    if (to.noise == 0.0)
        return x;
    return ito_axpby(1.0, x, to.noise * sqrt(1.0 - e * e), ito_ddpm_draw(w));
}

const ito_ddpm_sampler ito_ddpm_dpm_1s = {.name = "dpm++1s", .step = multistep, .order = 1};
const ito_ddpm_sampler ito_ddpm_dpm_2m = {
    .name = "dpm++2m", .step = multistep, .past = 1, .order = 2};
const ito_ddpm_sampler ito_ddpm_dpm_3m = {
    .name = "dpm++3m", .step = multistep, .past = 2, .order = 3};
const ito_ddpm_sampler ito_ddpm_dpm_2m_sde = {
    .name = "dpm++2m-sde", .step = noisy_multistep, .past = 1, .order = 2};

/* ---- DPM-Solver++, single step ---- */

/* Odd steps start again where the even one before them started, with its result as the midpoint. */
static ito_tensor *single_step(ito_ddpm_walk *w)
{
    ito_ddpm_level at = w->step.at, to = w->step.to;
    if (w->i % 2 == 0 || w->known == 0 || to.noise == 0.0)
        return exact_step(w->x, at, to, w->guess.x_0, 0.0, NULL);
    const ito_ddpm_past *start = &w->past[0];
    double h = lambda_of(to) - lambda_of(start->at);
    double r = (lambda_of(at) - lambda_of(start->at)) / h;
    double share = 0.5 * to.signal * (1.0 - decay(start->at, to));
    return exact_step(start->x, start->at, to, start->x_0, share,
                      slope(w->guess.x_0, start->x_0, r));
}

const ito_ddpm_sampler ito_ddpm_dpm_2s = {
    .name = "dpm++2s", .step = single_step, .past = 1, .order = 2};

/* ---- UniPC ---- */

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
static ito_tensor *unipc_update(const ito_ddpm_sampler *sampler, const ito_ddpm_past *start,
                                const ito_ddpm_past *points, int n, ito_ddpm_level to,
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
static ito_tensor *unipc_step(ito_ddpm_walk *w)
{
    if (w->known > 0) {
        int order = order_at(w, w->known - 1, w->i - 1); /* that the predictor had */
        w->x =
            unipc_update(w->sampler, &w->past[0], &w->past[1], order - 1, w->step.at, w->guess.x_0);
    }
    ito_ddpm_past now = {w->step.at, w->x, w->guess.x_0, w->guess.eps};
    int order = ito_ddpm_order(w);
    return unipc_update(w->sampler, &now, w->past, order - 1, w->step.to, NULL);
}

const ito_ddpm_sampler ito_ddpm_unipc = {
    .name = "unipc", .step = unipc_step, .past = 2, .order = 2};
const ito_ddpm_sampler ito_ddpm_unipc3 = {
    .name = "unipc3", .step = unipc_step, .past = 3, .order = 3};
