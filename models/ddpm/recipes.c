/* The recipes of papers: each setting with its place in the paper. Sections, tables and equations
 * are those of the paper named as the source; "code" is its authors'.
 * Where a paper has several columns, the one taken is named in the help. */
#include "models/ddpm/recipe.h"

#include <stddef.h>

#define CHOOSE(name, choice, where)                                                                \
    {                                                                                              \
#name, choice, 0.0, where                                                                  \
    }
#define NUMBER(name, number, where)                                                                \
    {                                                                                              \
#name, NULL, number, where                                                                 \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, NULL, 0.0, NULL                                                                      \
    }

static const ito_recipe_setting ddpm[] = {
    CHOOSE(schedule, "linear", "section 4"),
    NUMBER(steps, 1000, "section 4"),
    NUMBER(beta_start, 1e-4, "section 4"),
    NUMBER(beta_end, 0.02, "section 4"),
    CHOOSE(prediction, "eps", "eq. (11)"),
    CHOOSE(time_input, "timestep", "appendix B"),
    CHOOSE(variance, "fixedlarge", "section 3.2; code"),
    CHOOSE(objective, "simple", "eq. (14)"),
    CHOOSE(weighting, "simple", "eq. (14)"),
    CHOOSE(timestep_law, "uniform", "algorithm 1"),
    CHOOSE(sampler, "ddpm", "algorithm 2"),
    CHOOSE(spacing, "linspace", "algorithm 2: all steps"),
    NUMBER(sampling_steps, 1000, "algorithm 2"),
    CHOOSE(optimizer, "adam", "appendix B"),
    NUMBER(lr, 2e-4, "appendix B"),
    NUMBER(ema, 0.9999, "appendix B"),
    NUMBER(dropout, 0.1, "appendix B"),
    END,
};
const ito_recipe ito_recipe_ddpm = {.name = "ddpm",
                                    .help = "DDPM, as for CIFAR-10",
                                    .source = "Ho, Jain, Abbeel 2020, arXiv:2006.11239",
                                    .settings = ddpm};

static const ito_recipe_setting iddpm[] = {
    CHOOSE(schedule, "cosine", "eq. (17)"),
    NUMBER(steps, 4000, "section 3"),
    CHOOSE(prediction, "eps", "section 2.3"),
    CHOOSE(time_input, "share", "code"),
    CHOOSE(variance, "learned_range", "eq. (15)"),
    CHOOSE(objective, "hybrid", "eq. (16)"),
    CHOOSE(weighting, "simple", "eq. (16)"),
    CHOOSE(timestep_law, "uniform", "section 3.3: importance sampling is for L_vlb alone"),
    CHOOSE(sampler, "ddpm", "section 4"),
    CHOOSE(spacing, "linspace", "section 4"),
    NUMBER(sampling_steps, 100, "section 4"),
    CHOOSE(optimizer, "adam", "appendix A"),
    NUMBER(lr, 1e-4, "appendix A"),
    NUMBER(ema, 0.9999, "appendix A"),
    NUMBER(dropout, 0.3, "appendix A"),
    END,
};
const ito_recipe ito_recipe_iddpm = {.name = "iddpm",
                                     .help = "improved DDPM: cosine schedule, learned variance, "
                                             "L_hybrid, as for CIFAR-10",
                                     .source = "Nichol, Dhariwal 2021, arXiv:2102.09672",
                                     .settings = iddpm};

static const ito_recipe_setting p2[] = {
    CHOOSE(schedule, "linear", "code"),
    NUMBER(steps, 1000, "code"),
    NUMBER(beta_start, 1e-4, "code"),
    NUMBER(beta_end, 0.02, "code"),
    CHOOSE(prediction, "eps", "code"),
    CHOOSE(time_input, "timestep", "code"),
    CHOOSE(variance, "learned_range", "code"),
    CHOOSE(objective, "hybrid", "code"),
    CHOOSE(weighting, "p2", "code"),
    NUMBER(gamma, 1, "code; 0.5 for some data"),
    NUMBER(k, 1, "code"),
    CHOOSE(timestep_law, "uniform", "code"),
    CHOOSE(sampler, "ddpm", "code"),
    CHOOSE(spacing, "linspace", "code"),
    NUMBER(sampling_steps, 250, "code"),
    CHOOSE(optimizer, "adam", "code"),
    NUMBER(lr, 2e-5, "code"),
    NUMBER(ema, 0.9999, "code"),
    NUMBER(dropout, 0, "code"),
    END,
};
const ito_recipe ito_recipe_p2 = {.name = "p2",
                                  .help = "perception-prioritised weights in ADM's training",
                                  .source = "Choi et al. 2022, arXiv:2204.00227",
                                  .settings = p2};

static const ito_recipe_setting min_snr[] = {
    CHOOSE(schedule, "cosine", "code"),
    NUMBER(steps, 1000, "code"),
    CHOOSE(prediction, "x_0", "code"),
    CHOOSE(time_input, "timestep", "code"),
    CHOOSE(objective, "simple", "code"),
    CHOOSE(weighting, "min_snr", "section 3.4"),
    NUMBER(gamma, 5, "code"),
    CHOOSE(timestep_law, "uniform", "code"),
    CHOOSE(sampler, "heun", "code"),
    CHOOSE(spacing, "karras", "code, which begins at sigma = 80"),
    NUMBER(sampling_steps, 50, "code"),
    NUMBER(guidance, 1.5, "code, ViT-XL"),
    CHOOSE(optimizer, "adamw", "code"),
    NUMBER(lr, 1e-4, "code"),
    NUMBER(beta1, 0.99, "code"),
    NUMBER(beta2, 0.99, "code"),
    NUMBER(weight_decay, 0.03, "code"),
    NUMBER(ema, 0.9999, "code"),
    NUMBER(label_dropout, 0.15, "code"),
    END,
};
const ito_recipe ito_recipe_min_snr = {.name = "min-snr",
                                       .help = "min-SNR-5 weights for the x_0 of ViTs on ImageNet",
                                       .source = "Hang et al. 2023, arXiv:2303.09556",
                                       .settings = min_snr};

#define EDM_PROCESS                                                                                \
    CHOOSE(schedule, "edm", "table 1"), NUMBER(sigma_min, 0.002, "table 1"),                       \
        NUMBER(sigma_max, 80, "table 1"), CHOOSE(prediction, "edm", "table 1"),                    \
        NUMBER(sigma_data, 0.5, "table 1"), CHOOSE(time_input, "c-noise", "table 1")

static const ito_recipe_setting edm[] = {
    EDM_PROCESS,
    CHOOSE(objective, "simple", "eq. (8)"),
    CHOOSE(weighting, "edm", "table 1"),
    CHOOSE(timestep_law, "lognormal-sigma", "table 1"),
    NUMBER(mean, -1.2, "table 1"),
    NUMBER(std, 1.2, "table 1"),
    CHOOSE(sampler, "heun", "table 1, algorithm 1"),
    CHOOSE(spacing, "karras", "table 1, eq. (5)"),
    NUMBER(sampling_steps, 18, "table 2: 35 evaluations"),
    CHOOSE(optimizer, "adam", "appendix F"),
    NUMBER(lr, 1e-3, "table 7"),
    NUMBER(ema, 0.9993, "table 7: a half-life of 0.5 million images, 512 at a step"),
    NUMBER(dropout, 0.13, "table 7"),
    END,
};
const ito_recipe ito_recipe_edm = {.name = "edm",
                                   .help = "EDM, configuration F, as for CIFAR-10",
                                   .source = "Karras et al. 2022, arXiv:2206.00364",
                                   .settings = edm};

/* Tables and equations of Karras et al. */
#define EDM2                                                                                       \
    CHOOSE(schedule, "edm", "appendix B.1"), NUMBER(sigma_min, 0.002, "code"),                     \
        NUMBER(sigma_max, 80, "code"), CHOOSE(prediction, "edm", "appendix B.1"),                  \
        NUMBER(sigma_data, 0.5, "appendix B.1"), CHOOSE(time_input, "c-noise", "appendix B.1"),    \
        CHOOSE(objective, "simple", "eq. (14)"), CHOOSE(weighting, "edm", "eq. (14)"),             \
        CHOOSE(timestep_law, "lognormal-sigma", "table 6"), NUMBER(mean, -0.4, "table 6"),         \
        NUMBER(std, 1, "table 6"), NUMBER(uncertainty, 128, "eq. (14), (21); code"),               \
        CHOOSE(sampler, "heun", "table 2"), CHOOSE(spacing, "karras", "code"),                     \
        NUMBER(sampling_steps, 32, "table 2: 63 evaluations"),                                     \
        CHOOSE(optimizer, "adam", "table 6"), NUMBER(beta1, 0.9, "table 6"),                       \
        NUMBER(beta2, 0.99, "table 6"), NUMBER(ema_sigma_rel, 0.025, "table 6: with guidance"),    \
        NUMBER(dropout, 0, "table 6")

static const ito_recipe_setting edm2[] = {
    EDM2,
    NUMBER(guidance, 1.4, "table 6"),
    END,
};
const ito_recipe ito_recipe_edm2 = {
    .name = "edm2",
    .help = "EDM2-S on ImageNet-512, but for the rate of its magnitude-preserving network",
    .source = "Karras et al. 2023, arXiv:2312.02696",
    .settings = edm2};

static const ito_recipe_setting edm2_interval[] = {
    EDM2,
    NUMBER(guidance, 2.1, "Kynkaanniemi et al., table 1: EDM2-S"),
    NUMBER(guidance_lo, 0.28, "Kynkaanniemi et al., table 1"),
    NUMBER(guidance_hi, 2.9, "Kynkaanniemi et al., table 1"),
    END,
};
const ito_recipe ito_recipe_edm2_interval = {
    .name = "edm2-interval",
    .help = "the same with guidance in an interval of noise levels",
    .source = "Kynkaanniemi et al. 2024, arXiv:2404.07724",
    .settings = edm2_interval};

static const ito_recipe_setting flow[] = {
    CHOOSE(schedule, "flow", "eq. (20)"),
    CHOOSE(prediction, "flow", "eq. (21)"),
    CHOOSE(objective, "simple", "eq. (23)"),
    CHOOSE(weighting, "simple", "eq. (23)"),
    CHOOSE(timestep_law, "uniform", "eq. (9)"),
    CHOOSE(sampler, "euler", "section 6.2: of its solvers with fixed steps"),
    CHOOSE(spacing, "trailing", "section 6.2: equal steps"),
    CHOOSE(optimizer, "adam", "appendix E"),
    NUMBER(lr, 5e-4, "table 3"),
    NUMBER(dropout, 0, "table 3"),
    END,
};
const ito_recipe ito_recipe_flow = {
    .name = "flow",
    .help = "flow matching with optimal-transport paths, as for CIFAR-10",
    .source = "Lipman et al. 2022, arXiv:2210.02747",
    .settings = flow};

#define RECTIFIED_FLOW                                                                             \
    CHOOSE(schedule, "flow", "eq. (13)"), CHOOSE(prediction, "flow", "section 3"),                 \
        CHOOSE(objective, "simple", "section 3"), CHOOSE(weighting, "simple", "section 3.1"),      \
        CHOOSE(timestep_law, "logit-normal", "section 3.1"), NUMBER(mean, 0, "table 1"),           \
        NUMBER(std, 1, "table 1"), CHOOSE(sampler, "euler", "eq. (1): an ODE"),                    \
        CHOOSE(spacing, "trailing", "equal steps"), NUMBER(sampling_steps, 25, "table 2"),         \
        CHOOSE(optimizer, "adamw", "section 5.1"), NUMBER(lr, 1e-4, "section 5.1"),                \
        NUMBER(ema, 0.9999, "section 5.1: 0.99 every 100 steps"),                                  \
        NUMBER(label_dropout, 0.1, "section 5.1")

static const ito_recipe_setting rectified_flow[] = {
    RECTIFIED_FLOW,
    CHOOSE(time_input, "timestep", "section 4"),
    END,
};
const ito_recipe ito_recipe_rectified_flow = {
    .name = "rectified-flow",
    .help = "rectified flow at logit-normal times, rf/lognorm(0.00, 1.00)",
    .source = "Esser et al. 2024, arXiv:2403.03206",
    .settings = rectified_flow};

static const ito_recipe_setting sd3[] = {
    RECTIFIED_FLOW,
    NUMBER(shift, 3, "section 5.3.2, eq. (23)"),
    CHOOSE(time_input, "noise", "eq. (23): the time after the shift"),
    END,
};
const ito_recipe ito_recipe_sd3 = {
    .name = "sd3",
    .help = "the same with times shifted by 3, as Stable Diffusion 3 at 1024x1024",
    .source = "Esser et al. 2024, arXiv:2403.03206",
    .settings = sd3};
