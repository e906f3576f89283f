/* A trained network by the name it has on the command line: a run, a checkpoint, a file of weights
 * or a directory of diffusers. */
#ifndef ITO_DDPM_MODEL_FILES_H
#define ITO_DDPM_MODEL_FILES_H

#include "examples/common/options.h"

#include <cjson/cJSON.h>
#include <ito/ito.h>

/* Of the settings, and the name of the module. */
#define MODEL_UNCERTAINTY "uncertainty"

/* The network that comes with the library: Fashion-MNIST, by class. Its training is in
 * docs/results.md.
 */
#define BUILT_IN "fashion-mnist"

/* What ito_ddpm_load takes, with its notes on stderr; or BUILT_IN, unless there is a file of that
 * name. NULL with an error recorded. */
ito_ddpm *model_load(const char *path, ito_ddpm_load_options options);
/* The class of this name or number, as class_named has it, of a network that may have none; -1 with
 * an error recorded. */
int64_t model_class(const ito_ddpm *model, const char *word);
/* The names of its classes, an array of texts for the caller to delete; NULL without classes. */
cJSON *model_class_names(const ito_ddpm *model);
/* Let reverse steps have the variance of this name, fixedsmall or fixedlarge, in place of the
 * run's; NULL leaves it. False with an error recorded if the network has learned its own. */
bool model_set_variance(ito_ddpm *model, const char *name);
/* Whether images [N, C, H, W], `whose` for messages, are of the size and channels that the network
 * takes. */
bool model_fits(const ito_ddpm *model, const ito_tensor *images, const char *whose);
/* The values of --precision. */
#define PRECISIONS "f32|bf16"
/* Set the network's precision to one of PRECISIONS, with a note on stderr, in the command's name,
 * if this is not faster here. */
void model_set_precision(ito_unet *unet, const char *precision, const char *command);

#endif
