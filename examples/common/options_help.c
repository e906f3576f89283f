/* --help from a table of options. */
#include "examples/common/options_help.h"

#include "examples/common/fill.h"
#include "examples/common/messages.h"
#include "examples/common/style.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_COLUMN = 26, LONGEST_METAVAR = 40 };

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

bool help_has_words(const option_row *o)
{
    char words[1024];
    return o->metavar == NULL && o->type == OPTION_CHOICE &&
           strlen(choices_words(&o->choices, words, sizeof words)) <= LONGEST_METAVAR;
}

char *help_metavar(const option_row *o)
{
    char words[1024];
    if (o->metavar != NULL || o->type != OPTION_CHOICE)
        return o->metavar != NULL ? strdup(o->metavar) : NULL;
    return strdup(help_has_words(o) ? choices_words(&o->choices, words, sizeof words) : "NAME");
}

char *help_of_choice(const ito_choice *choice)
{
    char *text = NULL;
    bool sourced = choice->source != NULL;
    int n = asprintf(&text, "%s%s%s%s", choice->help, sourced ? " (" : "",
                     sourced ? choice->source : "", sourced ? ")" : "");
    return n >= 0 ? text : NULL;
}

/* ---- options ---- */

static void print_heading(const char *text)
{
    printf("\n%s", style(stdout, STYLE_HEADING));
    fill_words(text, 0, 0);
    printf("%s", style(stdout, STYLE_PLAIN));
}

/* "  --n N                   How many images (64)" */
static void print_row(const command_line *c, const option_row *o)
{
    char *metavar = help_metavar(o), *help = help_of_row(c, o);
    size_t column = (size_t)printf("  --%s%s%s", o->name, metavar != NULL ? " " : "",
                                   metavar != NULL ? metavar : "");
    if (column + 2 > TEXT_COLUMN) {
        putchar('\n');
        column = 0;
    }
    printf("%*s", (int)(TEXT_COLUMN - column), "");
    fill_words(help != NULL ? help : o->help, TEXT_COLUMN, TEXT_COLUMN);
    free(help);
    free(metavar);
}

/* The rows of a table under their headings; how many were left out. */
static int print_rows(const command_line *c, const option_row *rows, bool all)
{
    int left_out = 0;
    const char *heading = "Options";
    for (const option_row *o = rows; o->type != OPTION_END; o++) {
        if (o->type == OPTION_GROUP) {
            heading = o->help;
            continue;
        }
        if (o->rare && !all) {
            left_out++;
            continue;
        }
        if (heading != NULL)
            print_heading(heading);
        heading = NULL;
        print_row(c, o);
    }
    return left_out;
}

/* ---- choices that are too many for the option's line ---- */

/* A line each: "  ddim           deterministic with --eta 0 (Song et al. 2020)". */
static void print_choices(const option_row *o)
{
    const ito_choice *choice;
    for (int64_t i = 0; (choice = choices_at(&o->choices, i)) != NULL; i++) {
        char *help = help_of_choice(choice);
        size_t column = (size_t)printf("  %-14s ", choice->name);
        fill_words(help != NULL ? help : choice->help, column, 17);
        free(help);
    }
}

/* "--sampler is one of: ddpm, ddim, ..." */
static void print_names(const option_row *o)
{
    char words[1024], *text = NULL;
    size_t size = 0;
    choices_words(&o->choices, words, sizeof words);
    FILE *f = open_memstream(&text, &size);
    if (f == NULL)
        return;
    for (const char *p = words; *p != '\0'; p++)
        fputs(*p == '|' ? ", " : (char[]){*p, '\0'}, f);
    if (fclose(f) == 0)
        fill_words(text, (size_t)printf("--%s is one of: ", o->name), 2);
    free(text);
}

static void print_lists(const command_line *c, bool all)
{
    for (const option_row *o = c->options; o->type != OPTION_END; o++) {
        bool described = choices_at(&o->choices, 0) != NULL && (all || o->choices.own != NULL);
        if (o->type != OPTION_CHOICE || (o->rare && !all) || (!described && help_has_words(o)))
            continue;
        if (described) {
            printf("\n--%s is one of\n", o->name);
            print_choices(o);
        } else {
            putchar('\n');
            print_names(o);
        }
    }
}

/* ---- all of it ---- */

void help_print(const command_line *c, bool all)
{
    const char *after = strchr(c->doc, '\v');
    command_name name = command_name_of(c->command);
    char *before = strndup(c->doc, strcspn(c->doc, "\v"));
    printf("%sUsage:%s %s [OPTION...]%s%s\n", style(stdout, STYLE_HEADING),
           style(stdout, STYLE_PLAIN), name.text, c->arguments != NULL ? " " : "",
           c->arguments != NULL ? c->arguments : "");
    fill_paragraphs(before != NULL ? before : "");
    free(before);
    int left_out = print_rows(c, c->options, all);
    print_rows(c, options_of_all, true);
    if (left_out > 0)
        printf("\n%s --help-all lists %d more option%s.\n", name.text, left_out, PLURAL(left_out));
    print_lists(c, all);
    if (after != NULL) {
        putchar('\n');
        fill_paragraphs(after + 1);
    }
}
