/* Losses: the weighted error, terms of the bound, or both. */
#include "models/ddpm/objective/objective.h"
#include "tensor/internal.h"

const ito_objective ito_objective_simple = {.name = "simple",
                                            .help = "the weighted squared error, L_simple",
                                            .source =
                                                "Ho, Jain, Abbeel 2020, arXiv:2006.11239, eq. (14)",
                                            .simple = 1.0};
const ito_objective ito_objective_vlb = {
    .name = "vlb",
    .help = "the term of the bound in bits a dimension, L_vlb: the mean over t",
    .source = "Nichol, Dhariwal 2021, arXiv:2102.09672, section 3.3",
    .uses = ITO_NEEDS_STEPS,
    .vlb = 1.0};
const ito_objective ito_objective_rescaled = {.name = "rescaled",
                                              .help = "the same times T: the bound",
                                              .source =
                                                  "Nichol, Dhariwal 2021, arXiv:2102.09672, code",
                                              .uses = ITO_NEEDS_STEPS,
                                              .vlb = 1.0,
                                              .whole_bound = true};
const ito_objective ito_objective_hybrid = {
    .name = "hybrid",
    .help = "L_simple + 0.001 of the bound, whose mean is detached",
    .source = "Nichol, Dhariwal 2021, arXiv:2102.09672, eq. (16)",
    .uses = ITO_NEEDS_STEPS,
    .simple = 1.0,
    .vlb = 1e-3,
    .whole_bound = true,
    .detach_mean = true};

const ito_objective *ito_objective_find(const char *name)
{
    return (const void *)ito_choice_find("objective", name);
}
