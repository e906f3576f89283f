/* --help from a table of options. Lines have at most 79 columns. */
#ifndef ITO_EXAMPLES_OPTIONS_HELP_H
#define ITO_EXAMPLES_OPTIONS_HELP_H

#include "examples/common/options.h"

/* Print the help of a command: without the rare options, and with names alone of choices, or all.
 */
void help_print(const command_line *c, bool all);

/* ---- parts of it, for man pages and completion too ---- */

/* The help of a row with its default and those of presets: "Images a step (32; cifar10 128)". Freed
 * with free(). */
char *help_of_row(const command_line *c, const option_row *o);
/* The placeholder of a row's value, or NULL; freed with free(). */
char *help_metavar(const option_row *o);
/* Whether help_metavar has the words of a choice, so that they need no list. */
bool help_has_words(const option_row *o);
/* The help of a choice with its source: "deterministic (Song et al. 2020)". Freed with free(). */
char *help_of_choice(const ito_choice *choice);

#endif
