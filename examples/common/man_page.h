/* Man pages from the tables of options. */
#ifndef ITO_EXAMPLES_MAN_PAGE_H
#define ITO_EXAMPLES_MAN_PAGE_H

#include "examples/common/options.h"
#include "examples/common/program.h"

/* Print the page of a command, or of the program, in roff. */
void man_page_of_command(const command_line *c);
void man_page_of_program(const program *p);

#endif
