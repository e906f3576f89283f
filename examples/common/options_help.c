/* --help from a table of options. */
#include "examples/common/options_help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 79, LONGEST_METAVAR = 40 };

char *help_of_row(const command_line *c, const option_row *o)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (f == NULL)
        return NULL;
    fputs(o->help, f);
    const char *before = " (";
    if (o->initial != NULL) {
        fprintf(f, "%s%s", before, o->initial);
        before = "; ";
    }
    for (int i = 0; o->name != NULL && c->presets != NULL && c->presets[i] != NULL; i++) {
        const char *value = preset_value((const option_preset *)c->presets[i], o->name);
        if (value == NULL)
            continue;
        fprintf(f, "%s%s %s", before, c->presets[i]->name, value);
        before = "; ";
    }
    if (before[0] == ';')
        fputc(')', f);
    return fclose(f) == 0 ? text : NULL;
}

char *help_metavar(const option_row *o)
{
    char words[512];
    if (o->metavar != NULL || o->type != OPTION_CHOICE)
        return o->metavar != NULL ? strdup(o->metavar) : NULL;
    choices_words(&o->choices, words, sizeof words);
    return strdup(strlen(words) <= LONGEST_METAVAR ? words : "NAME");
}

/* A line each: "  ddim   deterministic with --eta 0 (Song et al. 2020)". */
static void print_choices(const option_row *o)
{
    const ito_choice *choice;
    if (choices_at(&o->choices, 0) != NULL)
        printf("\n--%s is one of\n", o->name);
    for (int64_t i = 0; (choice = choices_at(&o->choices, i)) != NULL; i++)
        printf("  %-14s %s%s%s%s\n", choice->name, choice->help, choice->source != NULL ? " (" : "",
               choice->source != NULL ? choice->source : "", choice->source != NULL ? ")" : "");
}

/* Lines that begin with a space are examples and keep their line breaks, which argp would remove;
 * others are filled. */
static void print_filled(const char *text)
{
    for (size_t column = 0; *text != '\0';) {
        size_t n = text[0] == ' ' && column == 0 ? strcspn(text, "\n") : strcspn(text, " \n");
        if (column > 0 && n > 0 && column + 1 + n > WIDTH) {
            putchar('\n');
            column = 0;
        }
        column += (size_t)printf("%s%.*s", column > 0 && n > 0 ? " " : "", (int)n, text);
        text += n;
        if (*text == '\n') {
            putchar('\n');
            column = 0;
        }
        text += *text != '\0';
    }
    putchar('\n');
}

void help_print_end(const command_line *c)
{
    for (const option_row *o = c->options; o->type != OPTION_END; o++)
        print_choices(o);
    const char *after = strchr(c->doc, '\v');
    if (after != NULL) {
        putchar('\n');
        print_filled(after + 1);
    }
}
