/* train --config: the settings of another run, or of a file made by hand, as a recipe. */
#ifndef ITO_DDPM_TRAIN_CONFIG_H
#define ITO_DDPM_TRAIN_CONFIG_H

#include "examples/ddpm/train_options.h"

/* Take from o->config, a run or a JSON file with an object "options", what the command line does
 * not say; known[row] is then whether one of them said it. What the file says is left out where it
 * belongs to something else that the command line changes: to the recipe or the preset, or the
 * learning rate to the optimiser. o points into *config. False with an error recorded. */
bool train_config_read(train_options *o, const command_line *c, bool *known, cJSON **config);

#endif
