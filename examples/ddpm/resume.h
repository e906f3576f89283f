/* train --resume: a run continues with its own settings, from its last checkpoint. */
#ifndef ITO_DDPM_RESUME_H
#define ITO_DDPM_RESUME_H

#include "examples/ddpm/session.h"

/* Take from the config.json of the run in o->out, given as *config, what the command line does not
 * say. A different value of a setting that cannot change ends the program. False with an error
 * recorded if the run cannot be used. */
bool resume_options(train_options *o, const command_line *c, cJSON **config);
/* Whether the images that were loaded are those of the run, as far as its config.json tells. False
 * with an error recorded. */
bool resume_data(const session *s);
/* Add to the error of images that could not be loaded what helps if they are elsewhere now. Always
 * false. */
bool resume_data_missing(const session *s);
/* Restore everything from the last checkpoint of the run, if it has one. False with an error
 * recorded. */
bool resume_state(session *s);

#endif
