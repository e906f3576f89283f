/* Man pages from the tables of options. */
#ifndef ITO_EXAMPLES_MAN_PAGE_H
#define ITO_EXAMPLES_MAN_PAGE_H

#include "examples/common/options.h"
#include "examples/common/program.h"

/* Print the page of the command of this name, or of the program that runs if it is NULL, in roff.
 * The exit code; or EXIT_USAGE after a complaint that there is no such command. */
int man_page_print(const char *command);
/* A command of a program (program_command) that does so. */
int man_page_command(int argc, char **argv);
/* Print the page of a program without commands. */
void man_page_of_command(const command_line *c);

#endif
