/* The options of `ito-ddpm train`: one table for the struct, the command line, --help, and the
 * config.json that a run is resumed from. */
#ifndef ITO_DDPM_TRAIN_OPTIONS_H
#define ITO_DDPM_TRAIN_OPTIONS_H

#include "examples/common/options.h"

#include <cjson/cJSON.h>
#include <ito/ito.h>

typedef struct train_options {
#define GROUP(title)
#define FLAG(name, field, ...) bool field;
#define INT(name, field, ...) int64_t field;
#define REAL(name, field, ...) double field;
#define TEXT(name, field, ...) const char *field;
#define WORDS(name, field, ...) const char *field;
#define KIND(name, field, ...) const char *field;
#define LIST(name, field, ...) const char *field;
#include "examples/ddpm/train_options.def"
} train_options;

/* The table; closed by OPTION_END. */
extern const option_row train_rows[];

/* Parse the command line, or end the program. A run that is resumed has its settings from its
 * config.json, and --config those of a file: as *config, which must outlive o; false with an error
 * recorded if it cannot be used. */
bool train_options_parse(train_options *o, int argc, char **argv, cJSON **config);
/* Set what was neither given nor stored: the values of the recipe, if it is not NULL, then the
 * preset's, the table's defaults, and what follows from other settings. given is by row. */
void train_options_set_defaults(train_options *o, const bool *given, const ito_recipe *recipe);

/* The network and diffusion for images of this shape, or false with an error recorded
 * (train_settings.c). */
bool train_settings(const train_options *o, int64_t channels, int64_t height, int64_t width,
                    ito_ddpm_settings *out);

/* All options, the settings and which images they are (data_identity.h) as a JSON text, freed with
 * free(). */
char *train_options_format(const train_options *o, const ito_ddpm_settings *settings,
                           const cJSON *data);
/* The config of a run that is resumed with these options and images in it, likewise. */
char *train_options_update(const train_options *o, const cJSON *config, const cJSON *data);

#endif
