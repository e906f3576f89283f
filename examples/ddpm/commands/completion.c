/* ito-ddpm completion: what a shell needs to complete its command lines. */
#include "completion_bash.h"
#include "completion_fish.h"
#include "completion_zsh.h"
#include "examples/common/options.h"
#include "examples/common/results.h"
#include "examples/ddpm/commands/commands.h"

#include <stdio.h>
#include <string.h>

typedef struct completion_options {
    const char *shell;
} completion_options;

#define AT(field) offsetof(completion_options, field)

static const option_row rows[] = {
    WORDS_ROW("shell", shell, "bash|zsh|fish", NULL, "The shell; its name alone does"),
    END_ROW,
};

static const char doc[] =
    "Print a script that makes a shell complete commands, options and their values with Tab."
    "\v"
    "Examples:\n"
    "  source <(ito-ddpm completion bash)\n"
    "  ito-ddpm completion fish > ~/.config/fish/completions/ito-ddpm.fish\n\n"
    "An installed ito-ddpm has its script where the shell finds it.";

int command_completion(int argc, char **argv)
{
    completion_options o;
    command_line c = {.command = "completion",
                      .arguments = "bash|zsh|fish",
                      .argument_of = "shell",
                      .doc = doc,
                      .options = rows,
                      .values = &o};
    options_parse(&c, argc, argv);
    if (o.shell == NULL)
        options_refuse(&c, "bash, zsh or fish is missing: which shell it is for");
    const struct {
        const char *shell;
        const unsigned char *text;
        size_t size;
    } scripts[] = {{"bash", completion_bash, completion_bash_size()},
                   {"zsh", completion_zsh, completion_zsh_size()},
                   {"fish", completion_fish, completion_fish_size()}};
    int i = 0;
    while (strcmp(scripts[i].shell, o.shell) != 0)
        i++;
    fwrite(scripts[i].text, 1, scripts[i].size, stdout);
    return results_end("completion", true);
}
