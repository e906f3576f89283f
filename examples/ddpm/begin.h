/* train --model: the network that a training begins with.
 * Invariant: its settings are the run's, also after the network itself is gone. */
#ifndef ITO_DDPM_BEGIN_H
#define ITO_DDPM_BEGIN_H

#include "examples/ddpm/train_options.h"

/* Set the options that the network of o->model settles, and mark them in known, which is by row;
 * end the program if one of them was given. False with an error recorded. */
bool begin_options(train_options *o, const command_line *c, bool *known);
/* The settings of a run of images of this shape: those of the network, or of the run's own
 * config.json if it is resumed. out->betas is the caller's. False with an error recorded. */
bool begin_settings(const train_options *o, const cJSON *config, int64_t channels, int64_t height,
                    int64_t width, ito_ddpm_settings *out);
/* Copy the weights of o->model. False with an error recorded. */
bool begin_weights(const train_options *o, ito_unet *unet);

#endif
