/* Samplers that follow the slope: in y = x / signal and sigma = noise / signal the noise-free path
 * is dy/dsigma = eps. Heun, linear multistep, DEIS and PNDM differ in how they average eps over a
 * step.
 * Invariant: with one eps they are all the Euler step. */
#include "autograd/ops.h"
#include "models/ddpm/sampler/run.h"

#include <math.h>

static double sigma_of(ito_ddpm_level level)
{
    return level.noise / level.signal;
}

/* The step with this slope throughout. */
static ito_tensor *slide(ito_tensor *x, ito_ddpm_level at, ito_ddpm_level to, ito_tensor *eps)
{
    double kept = to.signal / at.signal;
    return ito_axpby(kept, x, to.noise - kept * at.noise, eps);
}

/* Where there is no slope, or nothing to look back at: also a step to or from an end. */
static ito_tensor *euler_step(const ito_ddpm_walk *w)
{
    if (w->step.to.noise == 0.0)
        return ito_mul_scalar(w->guess.x_0, w->step.to.signal);
    return ito_axpby(w->step.to.signal, w->guess.x_0, w->step.to.noise, w->guess.eps);
}

/* ---- Heun ---- */

static ito_tensor *heun_step(ito_ddpm_walk *w)
{
    ito_ddpm_step step = w->step, next = ito_ddpm_step_at(step.schedule, step.t_to, -1);
    ito_ddpm_guess then;
    if (step.t_to < 0 || step.at.signal == 0.0)
        return euler_step(w);
    ito_tensor *first = slide(w->x, step.at, step.to, w->guess.eps);
    if (!ito_ddpm_ask(w, first, &next, &then))
        return NULL;
    return slide(w->x, step.at, step.to, ito_axpby(0.5, w->guess.eps, 0.5, then.eps));
}

const ito_ddpm_sampler ito_ddpm_heun = {.name = "heun", .step = heun_step};

/* ---- multistep: the integral of the polynomial through the last values of eps ---- */

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
static ito_tensor *multistep(ito_ddpm_walk *w, const double *nodes, const double *moments, int n)
{
    double signal = w->step.to.signal;
    ito_tensor *x = ito_mul_scalar(w->x, signal / w->step.at.signal);
    for (int j = 0; j < n; j++) {
        double c[4] = {0.0}, integral = 0.0;
        lagrange(nodes, n, j, c);
        for (int k = 0; k < n; k++)
            integral += c[k] * moments[k];
        x = ito_axpby(1.0, x, signal * integral, j == 0 ? w->guess.eps : w->past[j - 1].eps);
    }
    return x;
}

static ito_ddpm_level level_of(const ito_ddpm_walk *w, int j)
{
    return j == 0 ? w->step.at : w->past[j - 1].at;
}

/* Polynomials in sigma, which is 0 at the clean image: no order is lost there. */
static ito_tensor *lms_step(ito_ddpm_walk *w)
{
    int n = w->known + 1 < w->sampler->order ? w->known + 1 : w->sampler->order;
    double nodes[4], moments[4], end = sigma_of(w->step.to), power;
    if (w->step.at.signal == 0.0 || n <= 1)
        return euler_step(w);
    for (int j = 0; j < n; j++)
        nodes[j] = sigma_of(level_of(w, j)) - end; /* from the end, where the numbers are small */
    power = nodes[0];
    for (int k = 0; k < n; k++) {
        moments[k] = -power / (k + 1);
        power *= nodes[0];
    }
    return multistep(w, nodes, moments, n);
}

/* Polynomials in u = log sigma: the integral of u^k e^u. */
static ito_tensor *deis_step(ito_ddpm_walk *w)
{
    int n = ito_ddpm_order(w);
    double nodes[4], moments[4], end = sigma_of(w->step.to), power = 1.0;
    if (n == 1)
        return euler_step(w);
    for (int j = 0; j < n; j++)
        nodes[j] = log(sigma_of(level_of(w, j)) / end);
    for (int k = 0; k < n; k++) { /* by parts */
        moments[k] = end * ((k == 0 ? 1.0 : 0.0) - power * exp(nodes[0])) -
                     (k == 0 ? 0.0 : k * moments[k - 1]);
        power *= nodes[0];
    }
    return multistep(w, nodes, moments, n);
}

const ito_ddpm_sampler ito_ddpm_lms = {.name = "lms", .step = lms_step, .past = 3, .order = 4};
const ito_ddpm_sampler ito_ddpm_deis = {.name = "deis", .step = deis_step, .past = 1, .order = 2};
const ito_ddpm_sampler ito_ddpm_deis3 = {.name = "deis3", .step = deis_step, .past = 2, .order = 3};

/* ---- PNDM ---- */

/* Adams and Bashforth's mean of eps, by how many values there are. */
static ito_tensor *adams_bashforth(const ito_ddpm_walk *w)
{
    static const double weights[4][4] = {{1.0},
                                         {3.0 / 2, -1.0 / 2},
                                         {23.0 / 12, -16.0 / 12, 5.0 / 12},
                                         {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24}};
    const double *weight = weights[w->known];
    ito_tensor *eps = ito_mul_scalar(w->guess.eps, weight[0]);
    for (int j = 0; j < w->known; j++)
        eps = ito_axpby(1.0, eps, weight[j + 1], w->past[j].eps);
    return eps;
}

/* The classical four slopes, with a step in the middle. */
static ito_tensor *runge_kutta(ito_ddpm_walk *w)
{
    ito_ddpm_step step = w->step, end = ito_ddpm_step_at(step.schedule, step.t_to, -1);
    ito_ddpm_step middle = ito_ddpm_step_at(step.schedule, (step.t + step.t_to) / 2, step.t_to);
    ito_ddpm_guess second, third, fourth;
    ito_tensor *first = w->guess.eps;
    if (!ito_ddpm_ask(w, slide(w->x, step.at, middle.at, first), &middle, &second) ||
        !ito_ddpm_ask(w, slide(w->x, step.at, middle.at, second.eps), &middle, &third) ||
        !ito_ddpm_ask(w, slide(w->x, step.at, step.to, third.eps), &end, &fourth))
        return NULL;
    ito_tensor *mean =
        ito_axpby(1.0 / 6, ito_add(first, fourth.eps), 1.0 / 3, ito_add(second.eps, third.eps));
    return slide(w->x, step.at, step.to, mean);
}

/* Plain: without Runge-Kutta; the first step averages both ends. */
enum { PLAIN = 1 };

static ito_tensor *pndm_step(ito_ddpm_walk *w)
{
    if (w->step.t_to < 0 || w->step.at.signal == 0.0)
        return euler_step(w);
    if (w->known < 3 && w->sampler->variant != PLAIN)
        return runge_kutta(w);
    if (w->known == 0)
        return heun_step(w);
    return slide(w->x, w->step.at, w->step.to, adams_bashforth(w));
}

const ito_ddpm_sampler ito_ddpm_pndm = {.name = "pndm", .step = pndm_step, .past = 3};
const ito_ddpm_sampler ito_ddpm_plms = {
    .name = "plms", .step = pndm_step, .past = 3, .variant = PLAIN};
