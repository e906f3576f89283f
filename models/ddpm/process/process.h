/* Noise schedules: how much of an image is left after t steps of the forward process.
 *
 * Tables are f64 and indexed t = 0 .. T-1, where the paper counts 1 .. T. An image at step t is
 *     x_t = signal[t] x_0 + noise[t] eps,
 * and before t = 0 there is the clean image: signal 1, noise 0. Invariant: the ratio of signal to
 * noise falls with every step and stays above 0, but for the last step, where it may be 0.
 *
 * A schedule is one small function: the beta of step t, from which signal^2 + noise^2 = 1 follows
 * (variance preserving, as in the paper), or the signal and noise of step t themselves.
 * ito_ddpm_linear and ito_ddpm_straight show the forms. One of your own goes the same way, or as a
 * plain list through ito_ddpm_schedule_from_betas.
 */
#ifndef ITO_DDPM_SCHEDULE_H
#define ITO_DDPM_SCHEDULE_H

#include "../../../tensor/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How noisy an image is: signal x_0 + noise eps. */
typedef struct ito_ddpm_level {
    double signal, noise;
} ito_ddpm_level;

/** The tables of a schedule; borrowed from it, read only. */
typedef struct ito_ddpm_schedule {
    int64_t steps;            /* T */
    const double *signal;     /* [T] sqrt(alpha_bar) where variance is preserved */
    const double *noise;      /* [T] sqrt(1 - alpha_bar) there */
    const double *beta;       /* [T] variance that step t adds */
    const double *alpha_bar;  /* [T] signal^2 / (signal^2 + noise^2) */
    const double *beta_tilde; /* [T] variance of q(x_{t-1} | x_t, x_0), eq. (7); 0 at t = 0 */
} ito_ddpm_schedule;

typedef struct ito_ddpm_schedule_options {
    int reserved_;
    double beta_start; /* beta of the first step; default 1e-4 */
    double beta_end;   /* beta of the last step; default 0.02. Neither rescales with T. cosine, jsd
                          and straight use neither */
    bool zero_terminal_snr; /* shift and scale sqrt(alpha_bar) so that nothing of the image is left
                               at T - 1 (Lin et al. 2023, arXiv:2305.08891, algorithm 1); eps alone
                               then says nothing of x_0 there */
} ito_ddpm_schedule_options;
#define ITO_DEFAULTS_ito_ddpm_schedule_options .reserved_ = 0

/** A family of schedules, by one of its functions; options has its defaults filled in. */
typedef struct ito_ddpm_betas {
    const char *name;
    /** The beta of step t of T, in (0, 1), or 1 at the last one. */
    double (*beta)(int64_t t, int64_t T, const ito_ddpm_schedule_options *options);
    /** Or, if beta is NULL, the level of step t of T. */
    ito_ddpm_level (*level)(int64_t t, int64_t T, const ito_ddpm_schedule_options *options);
    bool ranged; /* beta_start and beta_end are used, and belong into a file of settings */
} ito_ddpm_betas;

/** beta from beta_start to beta_end in equal steps, whatever T is (Ho et al. 2020, section 4). */
ITO_API extern const ito_ddpm_betas ito_ddpm_linear;
/** sqrt(beta) in equal steps; also called scaled linear. */
ITO_API extern const ito_ddpm_betas ito_ddpm_quad;
/** beta_end throughout. */
ITO_API extern const ito_ddpm_betas ito_ddpm_const;
/** 1 / (T - t): alpha_bar falls on a straight line, to 0 at the last step. */
ITO_API extern const ito_ddpm_betas ito_ddpm_jsd;
/** beta_end, but for the first 10 (50) % of the steps, which rise to it in equal steps. */
ITO_API extern const ito_ddpm_betas ito_ddpm_warmup10;
ITO_API extern const ito_ddpm_betas ito_ddpm_warmup50;
/** min(1 - f((t+1)/T) / f(t/T), 0.999), f(s) = cos^2((s + 0.008) / 1.008 pi/2) (Nichol, Dhariwal
 * 2021, arXiv:2102.09672, eq. 17). */
ITO_API extern const ito_ddpm_betas ito_ddpm_cosine;
/** beta_start + (beta_end - beta_start) / (1 + exp(-u)), u from -6 to 6 in equal steps. */
ITO_API extern const ito_ddpm_betas ito_ddpm_sigmoid;
/** noise (t+1)/T, signal 1 - noise: the straight path of flow matching (Lipman et al. 2022,
 * arXiv:2210.02747; Liu et al. 2022, arXiv:2209.03003). */
ITO_API extern const ito_ddpm_betas ito_ddpm_straight;

/** The family of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_ddpm_betas *ito_ddpm_betas_find(const char *name);

/**
 * The tables of a family for T steps.
 *
 * @param family  NULL means ito_ddpm_linear.
 * @param T       at least 1, at most 1,000,000.
 * @return        owned by the caller, freed by ito_ddpm_schedule_free. NULL on error:
 *                ITO_ERR_RANGE for T, or a step at which the signal does not fall;
 *                ITO_ERR_ARGUMENT for zero_terminal_snr of a family of levels; ITO_ERR_MEMORY.
 */
ITO_API ito_ddpm_schedule *ito_ddpm_schedule_create_with(const ito_ddpm_betas *family, int64_t T,
                                                         ito_ddpm_schedule_options options);
/** ito_ddpm_schedule_create(&ito_ddpm_linear, 1000, .beta_end = 0.01) */
#define ito_ddpm_schedule_create(family, T, ...)                                                   \
    ITO_AT(ito_ddpm_schedule_create_with(family, T,                                                \
                                         ITO_OPTIONS(ito_ddpm_schedule_options, __VA_ARGS__)))

/** The same from a list of T betas, each in (0, 1), the last one perhaps 1; copied. */
ITO_API ito_ddpm_schedule *ito_ddpm_schedule_from_betas(const double *betas, int64_t T);
/** Accepts NULL. */
ITO_API void ito_ddpm_schedule_free(ito_ddpm_schedule *s);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_ddpm_betas_find(...) ITO_AT(ito_ddpm_betas_find(__VA_ARGS__))
#define ito_ddpm_schedule_from_betas(...) ITO_AT(ito_ddpm_schedule_from_betas(__VA_ARGS__))
#endif

#endif
