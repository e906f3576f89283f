/* Noise schedules: how much of an image is left after t steps of the forward process.
 *
 * Tables are f64 and indexed t = 0 .. T-1, where the paper counts 1 .. T; alpha_bar before t = 0 is
 * 1. Invariant: 0 < alpha_bar[T-1] < ... < alpha_bar[0] < 1.
 *
 * A schedule is one small function, the beta of step t; ito_ddpm_linear shows the form. One of your
 * own goes the same way, or as a plain list through ito_ddpm_schedule_from_betas.
 */
#ifndef ITO_DDPM_SCHEDULE_H
#define ITO_DDPM_SCHEDULE_H

#include "../../tensor/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The tables of a schedule; borrowed from it, read only. */
typedef struct ito_ddpm_schedule {
    int64_t steps;            /* T */
    const double *beta;       /* [T] variance that step t adds */
    const double *alpha_bar;  /* [T] product of 1 - beta up to and including t */
    const double *beta_tilde; /* [T] variance of q(x_{t-1} | x_t, x_0), eq. (7); 0 at t = 0 */
} ito_ddpm_schedule;

typedef struct ito_ddpm_schedule_options {
    int reserved_;
    double beta_start; /* linear: beta of the first step; default 1e-4 */
    double beta_end;   /* linear: beta of the last step; default 0.02. Neither rescales with T */
} ito_ddpm_schedule_options;

/** A family of schedules. */
typedef struct ito_ddpm_betas {
    const char *name;
    /** The beta of step t of T. options has its defaults filled in. */
    double (*beta)(int64_t t, int64_t T, const ito_ddpm_schedule_options *options);
} ito_ddpm_betas;

/** beta from beta_start to beta_end in equal steps, whatever T is (Ho et al. 2020, section 4). */
ITO_API extern const ito_ddpm_betas ito_ddpm_linear;
/** min(1 - f((t+1)/T) / f(t/T), 0.999), f(s) = cos^2((s + 0.008) / 1.008 pi/2) (Nichol, Dhariwal
 * 2021, arXiv:2102.09672, eq. 17). */
ITO_API extern const ito_ddpm_betas ito_ddpm_cosine;

/** The family of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_ddpm_betas *ito_ddpm_betas_find(const char *name);

/**
 * The tables of a family for T steps.
 *
 * @param family  NULL means ito_ddpm_linear.
 * @param T       at least 1, at most 1,000,000.
 * @return        owned by the caller, freed by ito_ddpm_schedule_free. NULL on error:
 *                ITO_ERR_RANGE for T or a beta that is not in (0, 1), ITO_ERR_MEMORY.
 */
ITO_API ito_ddpm_schedule *ito_ddpm_schedule_create_with(const ito_ddpm_betas *family, int64_t T,
                                                         ito_ddpm_schedule_options options);
/** ito_ddpm_schedule_create(&ito_ddpm_linear, 1000, .beta_end = 0.01) */
#define ito_ddpm_schedule_create(family, T, ...)                                                   \
    ITO_AT(ito_ddpm_schedule_create_with(family, T,                                                \
                                         ITO_OPTIONS(ito_ddpm_schedule_options, __VA_ARGS__)))

/** The same from a list of T betas, each in (0, 1); copied. */
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
