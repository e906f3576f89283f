/* ito-ddpm man: man pages, made from the tables that --help is made from. */
#include "examples/common/man_page.h"
#include "examples/common/results.h"
#include "examples/ddpm/commands/commands.h"

static const option_row rows[] = {END_ROW};

static const char doc[] =
    "Print the man page of a command, or of ito-ddpm itself, in roff."
    "\v"
    "Examples:\n"
    "  ito-ddpm man train | man -l -\n\n"
    "An installed ito-ddpm has its pages where man finds them: man ito-ddpm-train.";

static void print_page(const command_line *c, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    man_page_of_command(c);
}

int command_man(int argc, char **argv)
{
    command_line c = {.command = "man", .arguments = "[COMMAND]", .doc = doc, .options = rows};
    options_parse(&c, argc, argv);
    if (c.argument == NULL) {
        man_page_of_program(program_running());
        return results_end("man", true);
    }
    const program_command *command = program_find(program_running(), c.argument);
    if (command == NULL)
        return EXIT_USAGE;
    options_parse_prints(print_page);
    return command->run(1, (char *[]){argv[0], NULL});
}
