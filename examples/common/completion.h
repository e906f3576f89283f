/* What may follow on a command line, for the completion of a shell. */
#ifndef ITO_EXAMPLES_COMPLETION_H
#define ITO_EXAMPLES_COMPLETION_H

#include "examples/common/options.h"

/* A command of a program (program_command): print, a line each, what the last of the words behind
 * it may become, and after a tab what that is. The words are those of a command line without the
 * program; the last one may be empty. Nothing is printed where there may be any text, as the name
 * of a file. bash breaks words at "=" and ":", which are words of their own then. */
int completion_print(int argc, char **argv);
/* The same in a program without commands; argv[0] is no word. */
void completion_of_command(const command_line *c, int argc, char **argv);

#endif
