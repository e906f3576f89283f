/* The times that a sampler visits. Invariant: the times fall, and are within the process; in steps
 * they are whole. */
#include "models/ddpm/sampler/run.h"
#include "tensor/internal.h"

#include <math.h>

const ito_spacing *ito_spacing_find(const char *name)
{
    return (const void *)ito_choice_find("spacing", name);
}

const ito_spacing *ito_sampler_spacing(const ito_sampler *sampler, const ito_process *p)
{
    if (p != NULL && p->family != NULL && (p->family->uses & ITO_USES_SIGMAS))
        return &ito_spacing_karras;
    return sampler != NULL && sampler->spacing != NULL ? sampler->spacing : &ito_spacing_linspace;
}

/* ---- equal steps in t ---- */

/* In continuous time, n times from t_max on in equal steps: to t_min, or, if not, to one step above
 * the clean data. */
static void equal_times(const ito_process *p, int64_t n, bool to_t_min, double *times)
{
    double end = to_t_min ? p->t_min : p->t_clean, steps = (double)(to_t_min ? n - 1 : n);
    for (int64_t i = 0; i < n; i++)
        times[i] = i == 0 ? p->t_max : p->t_max + (double)i / steps * (end - p->t_max);
    if (to_t_min && n > 1)
        times[n - 1] = p->t_min;
}

static void linspace(const ito_process *p, int64_t n, double *times)
{
    if (p->steps == 0) {
        equal_times(p, n, true, times);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        times[n - 1 - i] = n == 1 ? p->t_max : nearbyint((double)i * p->t_max / (double)(n - 1));
}

/* In continuous time there is no last step to leave out: it is as linspace. */
static void leading(const ito_process *p, int64_t n, double *times)
{
    if (p->steps == 0) {
        equal_times(p, n, true, times);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        times[n - 1 - i] = (double)(i * p->steps / n);
}

static void trailing(const ito_process *p, int64_t n, double *times)
{
    if (p->steps == 0) { /* of so many times that the last would be below t_min, all as linspace */
        equal_times(p, n, (p->t_max - p->t_clean) / (double)n < p->t_min - p->t_clean, times);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        times[n - 1 - i] = nearbyint((double)(i + 1) * (double)p->steps / (double)n) - 1.0;
}

/* ---- equal steps in a function of sigma = noise / signal ---- */

/* log sigma, which rises with t. */
static double log_sigma(const ito_process *p, double t)
{
    ito_level level = ito_process_level(p, t);
    return log(level.noise) - log(level.signal);
}

/* The noisiest time with a finite sigma: where no signal is left at t_max, the step before it, or a
 * thousandth of all times before. */
static double noisiest(const ito_process *p)
{
    if (ito_process_level(p, p->t_max).signal > 0.0 || p->steps == 1)
        return p->t_max;
    return p->steps > 0 ? p->t_max - 1.0 : p->t_max - 1e-3 * (p->t_max - p->t_min);
}

/* Where steps coincide they move apart, first up from the low end, then down from the high one. */
static void move_apart(int64_t T, int64_t S, double *times)
{
    for (int64_t i = S - 1; i >= 0; i--) {
        double least = i == S - 1 ? 0.0 : times[i + 1] + 1.0;
        times[i] = times[i] < least ? least : times[i];
    }
    for (int64_t i = 0; i < S; i++) {
        double most = i == 0 ? (double)(T - 1) : times[i - 1] - 1.0;
        times[i] = times[i] > most ? most : times[i];
    }
}

/* The times nearest to sigma = inverse(y), y in equal steps from `high`, which counts as t_max, to
 * `low`, which is t_min. */
static void warped_times(const ito_process *p, int64_t n, double high, double low,
                         double (*inverse)(double y), double *times)
{
    for (int64_t i = 0; i < n; i++) { /* i counts from the high end, as times do */
        double share = n == 1 ? 0.0 : (double)i / (double)(n - 1);
        double sigma = inverse(high + share * (low - high));
        times[i] = i == 0 ? p->t_max : i == n - 1 ? p->t_min : ito_process_time(p, sigma);
    }
    if (p->steps > 0)
        move_apart(p->steps, n, times);
}

static double seventh_power(double y)
{
    return pow(y, 1.0 / (1.0 / 7.0));
}

static void karras(const ito_process *p, int64_t n, double *times)
{
    static const double rho = 7.0;
    double low = exp(log_sigma(p, p->t_min) / rho), high = exp(log_sigma(p, noisiest(p)) / rho);
    warped_times(p, n, high, low, seventh_power, times);
}

static double rate_inverse(double y)
{
    return pow(y, 1.0 / -0.4);
}

/* In steps, from no signal at all, since times that coincide move apart there. */
static void rate(const ito_process *p, int64_t n, double *times)
{
    double high = p->steps > 0 ? 0.0 : exp(-0.4 * log_sigma(p, p->t_max));
    warped_times(p, n, high, exp(-0.4 * log_sigma(p, p->t_min)), rate_inverse, times);
}

static void log_snr(const ito_process *p, int64_t n, double *times)
{
    warped_times(p, n, log_sigma(p, noisiest(p)), log_sigma(p, p->t_min), exp, times);
}

const ito_spacing ito_spacing_linspace = {
    .name = "linspace",
    .help = "equal steps in t from the noisiest to the cleanest time",
    .source = "Lin et al. 2023, arXiv:2305.08891, table 2",
    .times = linspace};
const ito_spacing ito_spacing_leading = {
    .name = "leading",
    .help = "floor(i T / n): from 0, not up to T - 1, as DDIM's authors",
    .source = "Song et al. 2020, arXiv:2010.02502, code",
    .times = leading};
const ito_spacing ito_spacing_trailing = {.name = "trailing",
                                          .help =
                                              "round((i + 1) T / n) - 1: up to T - 1, not from 0",
                                          .source = "Lin et al. 2023, arXiv:2305.08891, table 2",
                                          .times = trailing,
                                          .above_t_min = true};
const ito_spacing ito_spacing_karras = {.name = "karras",
                                        .help =
                                            "sigma^(1/7) in equal steps, sigma = noise / signal",
                                        .source = "Karras et al. 2022, arXiv:2206.00364, eq. (5)",
                                        .times = karras};
const ito_spacing ito_spacing_rate = {
    .name = "rate",
    .help = "(signal / noise)^0.4 in equal steps: about as many bits each",
    .times = rate};
const ito_spacing ito_spacing_log_snr = {.name = "log-snr",
                                         .help = "log(signal / noise) in equal steps",
                                         .source = "Lu et al. 2022, arXiv:2206.00927, section 3.3",
                                         .times = log_snr};

ito_status ito_timesteps(const ito_process *p, const ito_spacing *spacing, int64_t n, double *times)
{
    if (n < 1 || (p->steps > 0 && n > p->steps))
        return error_status(ITO_ERR_RANGE,
                            p->steps > 0 ? "timesteps: %" PRId64
                                           " steps; the process has 1 to %" PRId64
                                         : "timesteps: %" PRId64 " steps; at least 1 is needed",
                            n, p->steps);
    (spacing != NULL ? spacing : &ito_spacing_linspace)->times(p, n, times);
    return ITO_OK;
}
