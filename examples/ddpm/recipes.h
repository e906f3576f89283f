/* Recipes of the library as presets of train's options. */
#ifndef ITO_DDPM_RECIPES_H
#define ITO_DDPM_RECIPES_H

#include "examples/ddpm/train_options.h"

#include <ito/ito.h>

/* The option of the choice that a number of this option goes with, as "gamma" with "weighting";
 * NULL if there is none. */
const char *recipe_owner(const char *option);
/* Whether the recipe says something of this option. */
bool recipe_has(const ito_recipe *recipe, const char *option);

/* Values for options_set_defaults: those of a recipe, before those of another preset. */
typedef struct recipe_preset {
    option_preset preset;
    const char *values[2 * MAX_OPTIONS][2];
    char numbers[MAX_OPTIONS][32];
} recipe_preset;

/* Fill in out, to which the preset that is returned belongs. A number that goes with a choice, as
 * gamma with the weighting, is left out where another choice was given. given is by row. */
const option_preset *recipe_preset_make(recipe_preset *out, const ito_recipe *recipe,
                                        const option_preset *below, const train_options *o,
                                        const bool *given);

#endif
