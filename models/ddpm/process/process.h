/* A diffusion process: the signal and noise of data at time t,
 *     x_t = signal(t) x_0 + noise(t) eps,
 * for any real t from t_clean, the time without noise, to t_max.
 *
 * A process is in continuous time (flow matching on [0, 1], EDM's noise levels), or in steps:
 * DDPM's T steps are a process given at the times 0 .. T-1, where the paper counts 1 .. T, and
 * interpolated between them; -1 is then the time of the clean data. Its tables are f64.
 *
 * Invariant: the ratio of signal to noise falls with t and stays above 0, except at t_max, where it
 * may be 0.
 *
 * A schedule is a family of processes, given by a small function. A custom one is an
 * ito_schedule_family with one of the three functions, or a list of betas (ito_process_from_betas).
 *
 *     ito_process *p = ito_process_create(&ito_schedule_linear, .steps = 1000, .beta_end = 0.01);
 *     ito_level level = ito_process_level(p, 499.5);
 */
#ifndef ITO_DDPM_PROCESS_H
#define ITO_DDPM_PROCESS_H

#include "../choices.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The level of noisy data: signal x_0 + noise eps. */
typedef struct ito_level {
    double signal, noise;
} ito_level;

/** The default number of steps of a family: 1000, or 0 in continuous time. */
#define ITO_USUAL_STEPS (-1)

/** Settings of a process. The `uses` of a family lists those that it reads. */
typedef struct ito_process_options {
    int reserved_;
    /** T, 1 to 1,000,000; 0: continuous time. */
    int64_t steps ITO_DEFAULT(ITO_USUAL_STEPS);
    /** beta of the first step and of the last; neither rescales with T. vp: those of 1,000 steps,
     * so beta(t) goes from 1,000 beta_start to 1,000 beta_end. */
    double beta_start ITO_DEFAULT(1e-4);
    double beta_end ITO_DEFAULT(0.02);
    /** edm: the cleanest and the noisiest level. */
    double sigma_min ITO_DEFAULT(0.002);
    double sigma_max ITO_DEFAULT(80.0);
    /** flow: the noise is s t / (1 + (s - 1) t): more noise at every time for large images, s being
     * the square root of how many more pixels they have (Esser et al. 2024, eq. 23). */
    double shift ITO_DEFAULT(1.0);
    /** Shift and scale sqrt(alpha_bar) so that no signal is left at T - 1 (Lin et al. 2023,
     * arXiv:2305.08891, algorithm 1); eps does not determine x_0 there. */
    bool zero_terminal_snr;
} ito_process_options;
#define ITO_DEFAULTS_ito_process_options                                                           \
    .steps = ITO_USUAL_STEPS, .beta_start = 1e-4, .beta_end = 0.02, .sigma_min = 0.002,            \
    .sigma_max = 80.0, .shift = 1.0

/** A family of processes, by one of its functions. */
typedef struct ito_schedule_family {
    const char *name, *help, *source; /* see choices.h */
    unsigned uses;                    /* ITO_USES_BETAS, ITO_USES_SIGMAS, ITO_USES_SHIFT */
    /** In steps: the beta of step t of T, in (0, 1), or 1 at the last one; variance is preserved,
     * signal^2 + noise^2 = 1, as in the paper. */
    double (*beta)(int64_t t, int64_t T, const ito_process_options *options);
    /** Or, in steps, the level of step t of T. */
    ito_level (*level_of_step)(int64_t t, int64_t T, const ito_process_options *options);
    /** Or, in continuous time, the level at t; {1, 0} at time 0. With .steps = T it is evaluated at
     * T equidistant times, the last one being the end of the range. */
    ito_level (*level)(double t, const ito_process_options *options);
    /** In continuous time: the cleanest and the noisiest time of training and sampling. */
    void (*range)(const ito_process_options *options, double *t_min, double *t_max);
} ito_schedule_family;

/** Each of these is described by its own help and source, in schedules.def. */
#define ITO_SCHEDULE(name) ITO_API extern const ito_schedule_family name;
#include "schedules.def"

/** The family of this name. NULL and ITO_ERR_ARGUMENT, with a list of the names, if none has it. */
ITO_API const ito_schedule_family *ito_schedule_find(const char *name);

/** A process; read only. */
typedef struct ito_process {
    const ito_schedule_family *family; /* NULL: from a list of betas */
    ito_process_options options;       /* with the number of steps filled in */
    double t_clean;                    /* the time of the clean data: -1 in steps, else 0 */
    double t_min, t_max;               /* the times of training and sampling */
    int64_t steps;                     /* T, or 0 in continuous time, which has no tables */
    const double *signal;              /* [T] sqrt(alpha_bar) where variance is preserved */
    const double *noise;               /* [T] sqrt(1 - alpha_bar) there */
    const double *beta;                /* [T] variance that step t adds */
    const double *alpha_bar;           /* [T] signal^2 / (signal^2 + noise^2) */
    const double *beta_tilde; /* [T] variance of q(x_{t-1} | x_t, x_0), eq. (7); 0 at t = 0 */
} ito_process;

/**
 * A process of a family.
 *
 * @return  owned by the caller, freed by ito_process_free. NULL on error: ITO_ERR_RANGE for the
 *          number of steps, for sigmas that do not rise, for a shift that is not above 0, or for a
 *          step at which the signal does not fall; ITO_ERR_ARGUMENT for a NULL family or one
 * without functions, or for zero_terminal_snr of a family without betas; ITO_ERR_MEMORY.
 */
ITO_API ito_process *ito_process_create_with(const ito_schedule_family *family,
                                             ito_process_options options);
#define ito_process_create(...)                                                                    \
    ITO_AT(ITO_CALL_1(ito_process_create_with, ito_process_options, __VA_ARGS__, ))

/** A process from a list of T betas, each in (0, 1); the last one may be 1. The list is copied. */
ITO_API ito_process *ito_process_from_betas(const double *betas, int64_t T);
/** Accepts NULL. */
ITO_API void ito_process_free(ito_process *p);

/**
 * The level at time t, from t_clean to t_max; outside these it is that of the nearer end. In steps,
 * it is the table's at whole times; log(signal / noise) is linear between them, noise / signal
 * before step 0, and signal / noise before a last step without signal.
 */
ITO_API ito_level ito_process_level(const ito_process *p, double t);
/** The time at which noise / signal is sigma, between t_min and t_max; in steps, the nearest step
 * on a logarithmic scale. */
ITO_API double ito_process_time(const ito_process *p, double sigma);

/** A step of the reverse process, from time t to the cleaner time t_to. */
typedef struct ito_step {
    const ito_process *process;
    double t;         /* where the network is evaluated */
    ito_level at;     /* the level there */
    double t_to;      /* where the step ends; t_clean: at the clean data */
    ito_level to;     /* the level there */
    ito_level before; /* in steps: at t - 1, one step of the process earlier; else as `to` */
} ito_step;

/** The step from t to t_to, both of the process. */
ITO_API ito_step ito_step_between(const ito_process *p, double t, double t_to);

/** The mean of q(x_to | x_t, x_0), eq. (7), is x_t x_t + x_0 x_0. */
typedef struct ito_posterior {
    double x_t, x_0; /* coefficients of the two */
    double variance;
} ito_posterior;

/** q(x_to | x_t, x_0) of a step. */
ITO_API ito_posterior ito_step_posterior(const ito_step *step);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_schedule_find(...) ITO_AT(ito_schedule_find(__VA_ARGS__))
#define ito_process_from_betas(...) ITO_AT(ito_process_from_betas(__VA_ARGS__))
#endif

#endif
