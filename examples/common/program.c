/* A program with commands. */
#include "examples/common/program.h"

#include "examples/common/fill.h"
#include "examples/common/messages.h"
#include "examples/common/nearest.h"
#include "examples/common/options.h"
#include "examples/common/options_help.h"
#include "examples/common/style.h"
#include "examples/common/version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const program *running;

const program *program_running(void)
{
    return running;
}

void program_print_help(const program *p)
{
    const char *heading = style(stdout, STYLE_HEADING), *plain = style(stdout, STYLE_PLAIN),
               *name = program_invocation_short_name;
    printf("%sUsage:%s %s COMMAND [OPTION...]\n", heading, plain, name);
    fill_paragraphs(p->doc);
    printf("\n%sCommands%s\n", heading, plain);
    for (const program_command *c = p->commands; c->name != NULL; c++)
        if (c->doc != NULL)
            fill_words(c->doc, (size_t)printf("  %-12s ", c->name), 15);
    printf("\n%s COMMAND --help says what a command takes.\n", name);
    if (p->after != NULL)
        fill_paragraphs(p->after);
}

/* "burgers|score", or "COMMAND" if they are many. */
static const char *name_commands(const program *p, char text[256])
{
    enum { LONGEST = 45 };
    size_t n = 0;
    for (const program_command *c = p->commands; c->name != NULL && n < 200; c++)
        if (c->doc != NULL)
            n += (size_t)snprintf(text + n, 256 - n, "%s%.40s", n > 0 ? "|" : "", c->name);
    return n <= LONGEST ? text : "COMMAND";
}

static int print_usage(const program *p)
{
    char names[256] = "";
    const char *name = program_invocation_short_name;
    fprintf(stderr, "Usage: %s %s [OPTION...] (see %s --help)\n", name, name_commands(p, names),
            name);
    return EXIT_USAGE;
}

const program_command *program_find(const program *p, const char *name)
{
    char question[128];
    nearest n = {.word = name};
    for (const program_command *c = p->commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0)
            return c;
        if (c->doc != NULL)
            nearest_try(&n, c->name);
    }
    complain("", "there is no command \"%s\"%s", name, nearest_question(&n, "", question));
    print_usage(p);
    return NULL;
}

/* In a terminal, one who types the name alone asks what there is. */
static int without_command(const program *p)
{
    if (isatty(STDOUT_FILENO) == 1) {
        program_print_help(p);
        return EXIT_USAGE;
    }
    complain("", "there is no command");
    return print_usage(p);
}

int program_run(const program *p, int argc, char **argv)
{
    running = p;
    if (argc < 2)
        return without_command(p);
    bool help = words_have("help|--help|--help-all|-h", argv[1]),
         version = words_have("version|--version", argv[1]);
    if (argc > 2 + help && (help || version)) {
        complain("", "\"%s\" is one argument too many", argv[2 + help]);
        return print_usage(p);
    }
    if ((help && argc == 2) || version) {
        if (help)
            program_print_help(p);
        else
            version_print();
        return fflush(stdout) == 0 ? 0 : 1;
    }
    const program_command *command = program_find(p, help ? argv[2] : argv[1]);
    if (command == NULL)
        return EXIT_USAGE;
    char *asked[] = {argv[1 + help], (char[]){"--help"}, NULL};
    return help ? command->run(2, asked) : command->run(argc - 1, argv + 1);
}
