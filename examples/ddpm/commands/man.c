/* ito-ddpm man: man pages, made from the tables that --help is made from. */
#include "examples/common/man_page.h"
#include "examples/ddpm/commands/commands.h"

static const option_row rows[] = {END_ROW};

static const char doc[] =
    "Print the man page of a command, or of ito-ddpm itself, in roff."
    "\v"
    "Examples:\n"
    "  ito-ddpm man train | man -l -\n\n"
    "An installed ito-ddpm has its pages where man finds them: man ito-ddpm-train.";

int command_man(int argc, char **argv)
{
    command_line c = {.command = "man", .arguments = "[COMMAND]", .doc = doc, .options = rows};
    options_parse(&c, argc, argv);
    return man_page_print(c.argument);
}
