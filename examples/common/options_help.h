/* --help from a table of options. */
#ifndef ITO_EXAMPLES_OPTIONS_HELP_H
#define ITO_EXAMPLES_OPTIONS_HELP_H

#include "examples/common/options.h"

/* The help of a row with its default and those of presets: "Images a step (32; cifar10 128)". Freed
 * with free(). */
char *help_of_row(const command_line *c, const option_row *o);
/* The placeholder of a row's value, or NULL; freed with free(). */
char *help_metavar(const option_row *o);
/* Print the text after the options: the choices of each row that has a list, and the end of the
 * command's doc. */
void help_print_end(const command_line *c);

#endif
