/* The choices of a diffusion as lists, until the library lists them itself. */
#include "examples/common/ito_choices.h"

#include <stddef.h>
#include <string.h>

/* clang-format off */
#define CHOICE(name, help, source) &(const ito_choice){name, help, source}

static const ito_choice *const schedules[] = {
    CHOICE("linear", "beta in equal steps", "Ho et al. 2020"),
    CHOICE("quad", "sqrt(beta) in equal steps, also called scaled linear", NULL),
    CHOICE("const", "the last beta throughout", NULL),
    CHOICE("jsd", "1 / (T - t): alpha_bar falls on a straight line to 0", NULL),
    CHOICE("warmup10", "beta rises in the first 10 % of the steps", NULL),
    CHOICE("warmup50", "beta rises in the first half of the steps", NULL),
    CHOICE("cosine", "alpha_bar follows a squared cosine", "Nichol, Dhariwal 2021"),
    CHOICE("sigmoid", "beta follows a sigmoid", NULL),
    CHOICE("straight", "noise (t+1)/T, signal 1 - noise: flow matching", "Lipman et al. 2022"),
};
static const ito_choice *const predictions[] = {
    CHOICE("eps", "the noise that was added", "Ho et al. 2020"),
    CHOICE("x_0", "the clean image", NULL),
    CHOICE("x_prev", "the mean of the posterior", "Ho et al. 2020"),
    CHOICE("v", "signal eps - noise x_0", "Salimans, Ho 2022"),
    CHOICE("score", "-eps / noise", NULL),
    CHOICE("edm", "F of EDM's preconditioned denoiser", "Karras et al. 2022"),
    CHOICE("flow", "eps - x_0, the velocity of the straight path", "Lipman et al. 2022"),
};
static const ito_choice *const variances[] = {
    CHOICE("fixedsmall", "beta~, right for data that is one point", "Ho et al. 2020"),
    CHOICE("fixedlarge", "beta, right for normal data", "Ho et al. 2020"),
    CHOICE("learned", "the network's second head is its logarithm", "Nichol, Dhariwal 2021"),
    CHOICE("learned_range", "the second head is a place between the two", "Nichol, Dhariwal 2021"),
};
static const ito_choice *const weightings[] = {
    CHOICE("simple", "1 for the network's output", "Ho et al. 2020"),
    CHOICE("bound", "that of the variational bound", "Ho et al. 2020"),
    CHOICE("min_snr", "min(SNR, gamma) for x_0", "Hang et al. 2023"),
    CHOICE("p2", "1 / (k + SNR)^gamma for eps", "Choi et al. 2022"),
    CHOICE("edm", "1 / sigma^2 + 1 / sigma_data^2 for x_0", "Karras et al. 2022"),
};
static const ito_choice *const objectives[] = {
    CHOICE("simple", "the weighted squared error", "Ho et al. 2020"),
    CHOICE("vlb", "the term of the bound, its mean over t", "Nichol, Dhariwal 2021"),
    CHOICE("rescaled", "the same times T: the bound", NULL),
    CHOICE("hybrid", "simple and 0.001 of the bound, for a learned variance",
           "Nichol, Dhariwal 2021"),
};
static const ito_choice *const timestep_laws[] = {
    CHOICE("uniform", "any step, equally often", "Ho et al. 2020"),
    CHOICE("stratified", "spread evenly over a batch", NULL),
    CHOICE("second-moment", "more of the steps with great losses", "Nichol, Dhariwal 2021"),
};
static const ito_choice *const spacings[] = {
    CHOICE("linspace", "evenly, both ends", NULL),
    CHOICE("leading", "evenly from 0, without the last step", "Song et al. 2020"),
    CHOICE("trailing", "evenly from the last step, without 0", NULL),
    CHOICE("karras", "sigma^(1/7) in equal steps", "Karras et al. 2022"),
    CHOICE("rate", "steps that tell about as much of the image each", NULL),
};
static const ito_choice *const samplers[] = {
    CHOICE("ddpm", "ancestral sampling", "Ho et al. 2020"),
    CHOICE("ddim", "deterministic with --eta 0", "Song et al. 2020"),
    CHOICE("euler", "Euler's method in sigma", "Karras et al. 2022"),
    CHOICE("euler-a", "the same with fresh noise in each step", NULL),
    CHOICE("heun", "Heun's method: two evaluations a step", "Karras et al. 2022"),
    CHOICE("lms", "linear multistep in sigma, order 4", NULL),
    CHOICE("deis", "DEIS tAB, order 2", "Zhang, Chen 2022"),
    CHOICE("deis3", "DEIS tAB, order 3", "Zhang, Chen 2022"),
    CHOICE("pndm", "Runge-Kutta, then Adams-Bashforth", "Liu et al. 2022"),
    CHOICE("plms", "the same without Runge-Kutta", "Liu et al. 2022"),
    CHOICE("dpm++1s", "DPM-Solver++, order 1", "Lu et al. 2022"),
    CHOICE("dpm++2s", "DPM-Solver++, single step, order 2", "Lu et al. 2022"),
    CHOICE("dpm++2m", "DPM-Solver++, multistep, order 2", "Lu et al. 2022"),
    CHOICE("dpm++3m", "DPM-Solver++, multistep, order 3", "Lu et al. 2022"),
    CHOICE("dpm++2m-sde", "the same of order 2 with noise", "Lu et al. 2022"),
    CHOICE("unipc", "UniPC, order 2", "Zhao et al. 2023"),
    CHOICE("unipc3", "UniPC, order 3", "Zhao et al. 2023"),
};
/* clang-format on */

#define KIND(name, list)                                                                           \
    {                                                                                              \
        name, list, sizeof(list) / sizeof(list)[0]                                                 \
    }

static const struct {
    const char *kind;
    const ito_choice *const *list;
    int64_t n;
} kinds[] = {
    KIND("schedule", schedules),   KIND("prediction", predictions),
    KIND("variance", variances),   KIND("weighting", weightings),
    KIND("objective", objectives), KIND("timestep_law", timestep_laws),
    KIND("spacing", spacings),     KIND("sampler", samplers),
};

const ito_choice *const *ito_choices(const char *kind, int64_t *n)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].kind, kind) == 0) {
            *n = kinds[i].n;
            return kinds[i].list;
        }
    *n = 0;
    return NULL;
}
