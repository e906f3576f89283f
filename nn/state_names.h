/* Names of tensors in files of other makers, and in the model. Internal. */
#ifndef ITO_NN_STATE_NAMES_H
#define ITO_NN_STATE_NAMES_H

#include "nn/module.h"

/* How names of a file become names of the model. */
typedef struct state_names {
    const ito_load_options *options;
    char prefix[sizeof((ito_load_report *)0)->prefix]; /* that was found, where none was given */
} state_names;

/* What is cut off the names of the file. */
const char *state_prefix(const state_names *n);
/* Write the model's name for a name of the file to out, unless that is NULL, and return its size,
 * the 0 included; 0 if the name of the file does not begin with the prefix. */
size_t state_name(const state_names *n, const char *in_file, char *out);
/* The longest state_name of the file, also behind what wrappers put in front; at least 1. */
size_t state_longest_name(const state_names *n, const ito_weights *file);

/* Whether the model has a tensor of this name. */
typedef bool state_has(const void *model, const char *name);
/* Where no prefix was given and no name of the file is one of the model's: find what training
 * programs put in front of them, "state_dict.module.". name has room for any name of the file.
 * ITO_ERR_FORMAT if the model is there under several. */
ito_status state_find_prefix(state_names *n, const ito_weights *file, state_has *has,
                             const void *model, char *name);
/* ITO_ERR_FORMAT, with what names begin with, if a prefix was given that none has. */
ito_status state_check_prefix(const state_names *n, const ito_weights *file);

#endif
