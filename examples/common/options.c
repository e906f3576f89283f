/* Command lines by table, on top of argp.
 * Invariant: a number that is stored was written out in full and lies in its row's range. */
#include "examples/common/options.h"

#include "tensor/base.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The programs that parse with this are called by their own names: ito-ddpm, ito-classifier. */
#define PROGRAM program_invocation_short_name

enum { KEY_FIRST = 1000, KEY_HELP = 999 };

static void print_usage(const char *command, const char *arguments)
{
    fprintf(stderr, "Usage: %s %s [OPTION...]%s%s (see %s %s --help)\n", PROGRAM, command,
            arguments != NULL ? " " : "", arguments != NULL ? arguments : "", PROGRAM, command);
}

int options_report(const char *command)
{
    const char *message = ito_error_message();
    fprintf(stderr, "%s %s: %s\n", PROGRAM, command, message);
    if (strncmp(message, "--", 2) != 0)
        return 1;
    print_usage(command, NULL);
    return EXIT_USAGE;
}

void options_refuse(const command_line *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s %s: ", PROGRAM, c->command);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    print_usage(c->command, c->arguments);
    exit(EXIT_USAGE);
}

void options_refuse_given(const command_line *c, const char *names, const char *why)
{
    for (int i = 0; c->options[i].kind != OPTION_END; i++)
        if (c->given[i] && options_has_word(names, c->options[i].name))
            options_refuse(c, "--%s: %s", c->options[i].name, why);
}

bool options_given(const command_line *c, const char *name)
{
    for (int i = 0; c->options[i].kind != OPTION_END; i++)
        if (c->options[i].name != NULL && strcmp(c->options[i].name, name) == 0)
            return c->given[i];
    return false;
}

static void refuse_range(const command_line *c, const option_row *o, const char *text)
{
    if (o->low == ABOVE_0)
        options_refuse(c, "--%s: \"%s\" is not a number above 0 and at most %g", o->name, text,
                       o->high);
    options_refuse(c, "--%s: \"%s\" is not a %snumber from %.16g to %.16g", o->name, text,
                   o->kind == OPTION_INT ? "whole " : "", o->low, o->high);
}

static int64_t parse_int(const command_line *c, const option_row *o, const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool starts_well = (text[0] >= '0' && text[0] <= '9') || text[0] == '-';
    if (!starts_well || *end != '\0' || errno != 0 || (double)value < o->low ||
        (double)value > o->high)
        refuse_range(c, o, text);
    return value;
}

static double parse_real(const command_line *c, const option_row *o, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (text[0] == '\0' || text[0] == ' ' || *end != '\0' || !isfinite(value) ||
        !(value >= o->low && value <= o->high))
        refuse_range(c, o, text);
    return value;
}

bool options_has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    while (words != NULL) {
        const char *bar = strchr(words, '|');
        size_t n = bar != NULL ? (size_t)(bar - words) : strlen(words);
        if (n == length && memcmp(words, word, n) == 0)
            return true;
        words = bar != NULL ? bar + 1 : NULL;
    }
    return false;
}

/* getopt takes the beginning of a name for all of it, so that --n would be --npy where there is no
 * --n: a file that nobody asked for. */
static void refuse_abbreviation(const command_line *c, const char *name, const char *word)
{
    size_t n = strcspn(word + 2, "=");
    if (n != strlen(name))
        options_refuse(c, "--%.*s: there is no such option; there is --%s", (int)n, word + 2, name);
}

static void store(command_line *c, int row, const char *text)
{
    const option_row *o = &c->options[row];
    void *place = (char *)c->values + o->offset;
    if (o->kind == OPTION_FLAG)
        *(bool *)place = true;
    else if (o->kind == OPTION_INT)
        *(int64_t *)place = parse_int(c, o, text);
    else if (o->kind == OPTION_REAL)
        *(double *)place = parse_real(c, o, text);
    else if (o->kind == OPTION_CHOICE || text[0] != '\0')
        *(const char **)place = text;
    else
        options_refuse(c, "--%s: it is empty", o->name);
    if (o->kind == OPTION_CHOICE && !options_has_word(o->metavar, text))
        options_refuse(c, "--%s: \"%s\" is none of %s", o->name, text, o->metavar);
    c->given[row] = true;
}

/* What stands behind the options: lines that begin with a space are examples and stay whole, which
 * argp would not let them; others are filled. */
static void print_after(const char *text)
{
    enum { WIDTH = 79 };
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

static error_t parse_key(int key, char *text, struct argp_state *state)
{
    command_line *c = state->input;
    if (key == ARGP_KEY_INIT)
        state->err_stream = NULL; /* argp would add where to find help, which the usage line says */
    if (key == KEY_HELP) {
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP & ~(unsigned)ARGP_HELP_EXIT_OK);
        const char *after = strchr(c->doc, '\v');
        if (after != NULL) {
            putchar('\n');
            print_after(after + 1);
        }
        exit(fflush(stdout) == 0 ? 0 : 1);
    }
    if (key >= KEY_FIRST && key < KEY_FIRST + MAX_OPTIONS) {
        const char *last = state->argv[state->next - 1]; /* "--n=3", or the 3 of "--n 3" */
        refuse_abbreviation(c, c->options[key - KEY_FIRST].name,
                            text == last ? state->argv[state->next - 2] : last);
        store(c, key - KEY_FIRST, text);
        return 0;
    }
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (c->arguments == NULL || c->argument != NULL)
        options_refuse(c, "\"%s\" is one argument too many", text);
    c->argument = text;
    return 0;
}

void options_parse(command_line *c, int argc, char **argv)
{
    struct argp_option rows[MAX_OPTIONS + 2] = {{.name = NULL}};
    int n = 0, group = 0;
    for (; c->options[n].kind != OPTION_END; n++) {
        const option_row *o = &c->options[n];
        bool heading = o->kind == OPTION_GROUP;
        group += heading;
        rows[n] = (struct argp_option){.name = heading ? NULL : o->name,
                                       .key = heading ? 0 : KEY_FIRST + n,
                                       .arg = o->metavar,
                                       .doc = o->doc,
                                       .group = group};
    }
    rows[n] = (struct argp_option){
        .name = "help", .key = KEY_HELP, .doc = "Print this and exit", .group = group + 1};
    char *before = strndup(c->doc, strcspn(c->doc, "\v"));
    struct argp argp = {rows, parse_key, c->arguments, before, NULL, NULL, NULL};

    char name[32];
    snprintf(name, sizeof name, "%s %s", PROGRAM, c->command);
    argv[0] = name;
    /* What is unknown getopt has named on stderr; argp on its own would end with 64. */
    if (argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_NO_EXIT, NULL, c) != 0) {
        print_usage(c->command, c->arguments);
        exit(EXIT_USAGE);
    }
    argv[0] = NULL;
    free(before);
}
