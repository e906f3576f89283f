/* Bold and coloured text, in a terminal that has it. */
#ifndef ITO_EXAMPLES_STYLE_H
#define ITO_EXAMPLES_STYLE_H

#include <stdio.h>

#define STYLE_PLAIN "\033[0m"
#define STYLE_HEADING "\033[1m"
#define STYLE_ERROR "\033[1;31m"

/* The escape sequence, or "" where it would not be understood: in a file or pipe, with NO_COLOR in
 * the environment (no-color.org), and if TERM is "dumb" or missing. */
const char *style(FILE *file, const char *sequence);

#endif
