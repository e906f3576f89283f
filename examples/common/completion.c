/* Completion from the tables of options.
 * Invariant: what is printed begins with the word, and a command line that has it in place of the
 * word is not refused for it. */
#include "examples/common/completion.h"

#include "examples/common/options.h"
#include "examples/common/options_help.h"
#include "examples/common/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "--sampler=" or "" before the word, and the beginning of the word. */
typedef struct place {
    const char *before;
    const char *word;
} place;

static void offer(place p, const char *name, size_t length, const char *help)
{
    if (strncmp(name, p.word, strlen(p.word)) == 0 && strlen(p.word) <= length)
        printf("%s%.*s\t%s\n", p.before, (int)length, name, help);
}

static void offer_values(place p, const option_row *o)
{
    const ito_choice *choice;
    for (int64_t i = 0; (choice = choices_at(&o->choices, i)) != NULL; i++) {
        size_t length = strcspn(choice->name, ":"); /* "mnist:" of mnist:DIR */
        offer(p, choice->name, length + (choice->name[length] == ':'), choice->help);
    }
    for (const char *word = o->choices.words; word != NULL;) {
        size_t length = strcspn(word, "|");
        offer(p, word, length, o->help);
        word = word[length] == '|' ? word + length + 1 : NULL;
    }
    if (o->type != OPTION_CHOICE && o->initial != NULL)
        offer(p, o->initial, strlen(o->initial), "the default");
}

static void offer_options(const option_row *rows, place p)
{
    for (const option_row *o = rows; o->type != OPTION_END; o++) {
        char name[64];
        if (o->name == NULL)
            continue;
        snprintf(name, sizeof name, "--%s", o->name);
        offer(p, name, strlen(name), o->help);
    }
}

/* The option whose value follows this word, or NULL. */
static const option_row *row_before_value(const command_line *c, const char *word)
{
    const option_row *o = strncmp(word, "--", 2) == 0 ? options_find(c, word + 2) : NULL;
    return o != NULL && o->type != OPTION_FLAG ? o : NULL;
}

void completion_of_command(const command_line *c, int argc, char **argv)
{
    const char *word = argv[argc - 1], *previous = argc > 2 ? argv[argc - 2] : "";
    bool at_equals = strcmp(word, "=") == 0;
    if (at_equals)
        word = "";
    else if (strcmp(previous, "=") == 0 && argc > 3)
        previous = argv[argc - 3];
    const option_row *o = row_before_value(c, previous);
    char before[64];
    int named = 0;
    if (sscanf(word, "--%60[^=]=%n", before, &named) == 1 && named > 0) {
        o = options_find(c, before);
        snprintf(before, sizeof before, "%.*s", named, word);
        if (o != NULL)
            offer_values((place){before, word + named}, o);
    } else if (o != NULL) {
        offer_values((place){"", word}, o);
    } else if (word[0] == '-') {
        offer_options(c->options, (place){"", word});
        offer_options(options_of_all, (place){"", word});
    }
}

int completion_print(int argc, char **argv)
{
    const program *p = program_running();
    place first = {"", argc == 2 ? argv[1] : ""};
    for (const program_command *c = p->commands; c->name != NULL; c++) {
        if (argc > 2 && strcmp(c->name, argv[1]) == 0) {
            options_parse_prints(completion_of_command);
            return c->run(argc - 1, argv + 1);
        }
        bool named = argc == 2 || (argc == 3 && words_have("help|man", argv[1]));
        if (argc == 3)
            first.word = argv[2];
        if (named && c->doc != NULL)
            offer(first, c->name, strlen(c->name), c->doc);
    }
    if (argc == 2) {
        offer(first, "help", 4, "say what a command takes");
        offer(first, "--help", 6, "list the commands");
        offer(first, "--version", 9, "print the version");
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
