/* A trained network by the name it has on the command line: a run, a checkpoint or a file of
 * weights. */
#ifndef ITO_DDPM_MODEL_FILES_H
#define ITO_DDPM_MODEL_FILES_H

#include "examples/common/options.h"

#include <cjson/cJSON.h>
#include <ito/ito.h>

/* How the run that a network is of wants its samples made: by its options or its recipe. What it
 * does not say is NULL, UNSET_INT or NaN. */
typedef struct model_sampling {
    const char *recipe, *sampler, *spacing; /* names of choices */
    int64_t steps;
    double guidance;
    char interval[64]; /* of guidance, "LOW,HIGH"; empty: none */
} model_sampling;

/* The description of a network before it is built; freed by model_files_free. */
typedef struct model_files {
    ito_safetensors *file; /* its weights */
    const char *weights;   /* their path; borrowed from file */
    char *text, *source;   /* its settings in JSON, and their place, for messages */
    int64_t step;
    ito_ddpm_settings settings;
    cJSON *class_names;   /* an array of texts; NULL without classes */
    double label_dropout; /* of its training; 0: no image was without its class */
    model_sampling sampling;
    bool uncertain; /* there may be an uncertainty beside its weights */
} model_files;

/* Keys of the metadata of a self-contained file, which ito-ddpm export writes. */
#define MODEL_SETTINGS "ito_ddpm_settings"
#define MODEL_STEP "ito_step"
/* Of the settings, and the name of the module. */
#define MODEL_UNCERTAINTY "uncertainty"

/* The network that comes with the program: Fashion-MNIST, by class. Its training is in
 * docs/results.md.
 */
#define BUILT_IN "fashion-mnist"

/* The file of weights that model_find finds. NULL with an error recorded. */
ito_safetensors *model_open(const char *path, bool plain);
/* Open a RUN (its newest checkpoint), a checkpoint directory (its averages, or the plain weights if
 * `plain`), a file in one or a self-contained file; or BUILT_IN, unless there is a file of that
 * name. False with an error recorded. */
bool model_find(const char *path, bool plain, model_files *out);
/* The class of this name or number, as class_named has it, of a network that may have none; -1 with
 * an error recorded. */
int64_t model_class(const model_files *files, const char *word);
/* Let reverse steps have the variance of this name, fixedsmall or fixedlarge, in place of the
 * run's; NULL leaves it. False with an error recorded if the network has learned its own. */
bool model_set_variance(model_files *files, const char *name);
void model_files_free(model_files *files);
/* Whether images [N, C, H, W], `whose` for messages, are of the size and channels that the network
 * takes. */
bool model_fits(const model_files *files, const ito_tensor *images, const char *whose);
/* The values of --precision. */
#define PRECISIONS "f32|bf16"
/* Set the network's precision to one of PRECISIONS, with a note on stderr, in the command's name,
 * if this is not faster here. */
void model_set_precision(ito_unet *unet, const char *precision, const char *command);
/* The network with its weights, in evaluation mode; NULL with an error recorded. */
ito_unet *model_load(const model_files *files);

#endif
