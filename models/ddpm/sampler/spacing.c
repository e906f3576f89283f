/* Respacing: which steps of the schedule a sampler takes.
 * Invariant: the steps fall, and are within the schedule. */
#include "models/ddpm/sampler/run.h"
#include "tensor/internal.h"

#include <math.h>
#include <string.h>

ito_status ito_ddpm_spacing_find(const char *name, ito_ddpm_spacing *out)
{
    static const char *const names[] = {"linspace", "leading", "trailing", "karras", "rate"};
    for (int i = 0; i < 5; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (ito_ddpm_spacing)i;
            return ITO_OK;
        }
    }
    return error_status(
        ITO_ERR_ARGUMENT,
        "spacing: there is no \"%s\"; there are linspace, leading, trailing, karras and rate",
        name);
}

/* -log(signal / noise), which rises with t. */
static double log_sigma(const ito_ddpm_schedule *s, int64_t t)
{
    return log(s->noise[t]) - log(s->signal[t]);
}

int64_t nearest_step(const ito_ddpm_schedule *s, double sigma)
{
    double wanted = log(sigma);
    int64_t low = 0, high = s->steps - 1;
    while (high - low > 1) { /* log_sigma(low) <= wanted <= log_sigma(high), or it is beyond */
        int64_t middle = low + (high - low) / 2;
        if (log_sigma(s, middle) <= wanted)
            low = middle;
        else
            high = middle;
    }
    return fabs(wanted - log_sigma(s, low)) <= fabs(log_sigma(s, high) - wanted) ? low : high;
}

/* Where steps coincide they move apart, first up from the low end, then down from the high one. */
static void move_apart(int64_t T, int64_t S, int64_t *times)
{
    for (int64_t i = S - 1; i >= 0; i--) {
        int64_t least = i == S - 1 ? 0 : times[i + 1] + 1;
        times[i] = times[i] < least ? least : times[i];
    }
    for (int64_t i = 0; i < S; i++) {
        int64_t most = i == 0 ? T - 1 : times[i - 1] - 1;
        times[i] = times[i] > most ? most : times[i];
    }
}

/* The steps nearest to sigma^power in equal steps from `high`, which counts as T - 1, to `low`. */
static void power_times(const ito_ddpm_schedule *s, int64_t S, double high, double low,
                        double power, int64_t *times)
{
    for (int64_t i = 0; i < S; i++) { /* i counts from the high end, as times do */
        double share = S == 1 ? 0.0 : (double)i / (double)(S - 1);
        double wanted = pow(high + share * (low - high), 1.0 / power);
        times[i] = i == 0 ? s->steps - 1 : nearest_step(s, wanted);
    }
    move_apart(s->steps, S, times);
}

/* sigma^(1/7) in equal steps. */
static void karras_times(const ito_ddpm_schedule *s, int64_t S, int64_t *times)
{
    static const double rho = 7.0;
    int64_t T = s->steps;
    bool lost = s->signal[T - 1] == 0.0; /* then sigma has no bound: the one before counts */
    double low = exp(log_sigma(s, 0) / rho);
    double high = exp(log_sigma(s, lost && T > 1 ? T - 2 : T - 1) / rho);
    power_times(s, S, high, low, 1.0 / rho, times);
}

/* (signal / noise)^0.4 in equal steps, from none at all. */
static void rate_times(const ito_ddpm_schedule *s, int64_t S, int64_t *times)
{
    static const double power = 0.4;
    power_times(s, S, 0.0, exp(-power * log_sigma(s, 0)), -power, times);
}

ito_status ito_ddpm_timesteps(const ito_ddpm_schedule *s, ito_ddpm_spacing spacing, int64_t S,
                              int64_t *times)
{
    int64_t T = s->steps;
    if (S < 1 || S > T)
        return error_status(ITO_ERR_RANGE,
                            "timesteps: %" PRId64 " steps; the schedule has 1 to %" PRId64, S, T);
    if (spacing == ITO_SPACING_KARRAS || spacing == ITO_SPACING_RATE) {
        (spacing == ITO_SPACING_KARRAS ? karras_times : rate_times)(s, S, times);
        return ITO_OK;
    }
    for (int64_t i = 0; i < S; i++) {
        double t = nearbyint((double)(i + 1) * (double)T / (double)S) - 1.0;
        if (spacing == ITO_SPACING_LEADING)
            t = (double)(i * T / S);
        else if (spacing == ITO_SPACING_LINSPACE && S > 1)
            t = nearbyint((double)i * (double)(T - 1) / (double)(S - 1));
        times[S - 1 - i] = (int64_t)t;
    }
    return ITO_OK;
}
