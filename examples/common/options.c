/* Command lines by table, on top of argp.
 * Invariant: a number that is stored was written out in full and lies in its row's range. */
#include "examples/common/options.h"

#include "examples/common/options_help.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <ito/tensor/runtime.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name of the running program: ito-ddpm, ito-classifier, ito-toy. */
#define PROGRAM program_invocation_short_name

enum { KEY_FIRST = 1000, KEY_HELP = 999 };

/* ---- errors ---- */

/* The kind of an error of options_error, beside those of the library. */
enum { ERROR_USAGE = 1000 };

/* "ito-ddpm train", or "ito-toy", which has no commands. */
typedef struct full_name {
    char text[64];
} full_name;

static full_name name_of(const char *command)
{
    full_name name;
    snprintf(name.text, sizeof name.text, "%s%s%s", PROGRAM, command[0] != '\0' ? " " : "",
             command);
    return name;
}

static void print_usage(const char *command, const char *arguments)
{
    full_name name = name_of(command);
    fprintf(stderr, "Usage: %s [OPTION...]%s%s (see %s --help)\n", name.text,
            arguments != NULL ? " " : "", arguments != NULL ? arguments : "", name.text);
}

bool options_error(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    ito_error_set((ito_status)ERROR_USAGE, "%s", text);
    return false;
}

void options_blame(void)
{
    char text[1024];
    if (ito_error_code() != ITO_ERR_ARGUMENT)
        return;
    snprintf(text, sizeof text, "%s", ito_error_message());
    ito_error_clear();
    options_error("%s", text);
}

int options_report(const char *command)
{
    fprintf(stderr, "%s: %s\n", name_of(command).text, ito_error_message());
    if (ito_error_code() != (ito_status)ERROR_USAGE)
        return 1;
    print_usage(command, NULL);
    return EXIT_USAGE;
}

bool options_set_threads(int64_t threads)
{
    return threads == UNSET_INT || ito_set_threads((int)threads) == ITO_OK;
}

void options_refuse(const command_line *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", name_of(c->command).text);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    print_usage(c->command, c->arguments);
    exit(EXIT_USAGE);
}

void options_refuse_given(const command_line *c, const char *names, const char *why)
{
    for (int i = 0; c->options[i].type != OPTION_END; i++)
        if (c->given[i] && words_have(names, c->options[i].name))
            options_refuse(c, "--%s: %s", c->options[i].name, why);
}

bool options_given(const command_line *c, const char *name)
{
    for (int i = 0; c->options[i].type != OPTION_END; i++)
        if (c->options[i].name != NULL && strcmp(c->options[i].name, name) == 0)
            return c->given[i];
    return false;
}

void options_require(const command_line *c, const char *name, const char *what)
{
    if (!options_given(c, name))
        options_refuse(c, "--%s is missing: %s", name, what);
}

void options_require_argument(const command_line *c)
{
    if (c->argument == NULL)
        options_refuse(c, "there is no %s", c->arguments);
}

/* ---- one row ---- */

static bool set_int(const option_row *o, int64_t *place, const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool starts_well = (text[0] >= '0' && text[0] <= '9') || text[0] == '-';
    if (!starts_well || *end != '\0' || errno != 0 || (double)value < o->low ||
        (double)value > o->high)
        return false;
    *place = value;
    return true;
}

static bool set_real(const option_row *o, double *place, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (text[0] == '\0' || text[0] == ' ' || *end != '\0' || !isfinite(value) ||
        !(value >= o->low && value <= o->high))
        return false;
    *place = value;
    return true;
}

bool option_set(const option_row *o, void *values, const char *text)
{
    void *place = (char *)values + o->offset;
    switch (o->type) {
    case OPTION_FLAG:
        *(bool *)place = true;
        return true;
    case OPTION_INT:
        return set_int(o, place, text);
    case OPTION_REAL:
        return set_real(o, place, text);
    case OPTION_TEXT:
    case OPTION_CHOICE:
        *(const char **)place = text;
        return text[0] != '\0' && (o->type == OPTION_TEXT || choices_have(&o->choices, text));
    default:
        return false;
    }
}

static void unset(const option_row *o, void *values)
{
    void *place = (char *)values + o->offset;
    if (o->type == OPTION_FLAG)
        *(bool *)place = false;
    else if (o->type == OPTION_INT)
        *(int64_t *)place = UNSET_INT;
    else if (o->type == OPTION_REAL)
        *(double *)place = UNSET_REAL;
    else
        *(const char **)place = NULL;
}

const char *preset_value(const option_preset *preset, const char *name)
{
    for (int i = 0; preset != NULL && preset->values[i][0] != NULL; i++)
        if (strcmp(preset->values[i][0], name) == 0)
            return preset->values[i][1];
    return NULL;
}

void options_set_defaults(const option_row *rows, void *values, const bool *given,
                          const option_preset *preset)
{
    for (int i = 0; rows[i].type != OPTION_END; i++) {
        if (given[i] || rows[i].type == OPTION_GROUP)
            continue;
        const char *text = preset_value(preset, rows[i].name);
        text = text != NULL ? text : rows[i].initial;
        if (text == NULL || !option_set(&rows[i], values, text))
            unset(&rows[i], values);
    }
}

double real_or(double value, double otherwise)
{
    return isnan(value) ? otherwise : value;
}

int64_t int_or(int64_t value, int64_t otherwise)
{
    return value == UNSET_INT ? otherwise : value;
}

/* ---- command lines ---- */

/* End the program with the reason why the row cannot have this value. */
static _Noreturn void refuse_value(const command_line *c, const option_row *o, const char *text)
{
    char words[512];
    if ((o->type == OPTION_TEXT || o->type == OPTION_CHOICE) && text[0] == '\0')
        options_refuse(c, "--%s: it is empty", o->name);
    if (o->type == OPTION_CHOICE)
        options_refuse(c, "--%s: \"%s\" is none of %s", o->name, text,
                       choices_words(&o->choices, words, sizeof words));
    if (o->low == ABOVE_0)
        options_refuse(c, "--%s: \"%s\" is not a number above 0 and at most %g", o->name, text,
                       o->high);
    options_refuse(c, "--%s: \"%s\" is not a %snumber from %.16g to %.16g", o->name, text,
                   o->type == OPTION_INT ? "whole " : "", o->low, o->high);
}

/* getopt accepts an abbreviated name, so that --n would mean --npy where there is no --n, and write
 * an unwanted file. */
static void refuse_abbreviation(const command_line *c, const char *name, const char *word)
{
    size_t n = strcspn(word + 2, "=");
    if (n != strlen(name))
        options_refuse(c, "--%.*s: there is no such option; there is --%s", (int)n, word + 2, name);
}

static error_t parse_key(int key, char *text, struct argp_state *state)
{
    command_line *c = state->input;
    if (key == ARGP_KEY_INIT)
        state->err_stream = NULL; /* argp would add a hint that the usage line already has */
    if (key == KEY_HELP) {
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP & ~(unsigned)ARGP_HELP_EXIT_OK);
        help_print_end(c);
        exit(fflush(stdout) == 0 ? 0 : 1);
    }
    if (key >= KEY_FIRST && key < KEY_FIRST + MAX_OPTIONS) {
        const char *last = state->argv[state->next - 1]; /* "--n=3", or the 3 of "--n 3" */
        refuse_abbreviation(c, c->options[key - KEY_FIRST].name,
                            text == last ? state->argv[state->next - 2] : last);
        if (!option_set(&c->options[key - KEY_FIRST], c->values, text))
            refuse_value(c, &c->options[key - KEY_FIRST], text);
        c->given[key - KEY_FIRST] = true;
        return 0;
    }
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    int most = c->arguments == NULL ? 0 : c->most > 0 ? c->most : 1;
    if (c->count == most)
        options_refuse(c, "\"%s\" is one argument too many", text);
    c->all[c->count++] = text;
    c->argument = c->all[0];
    return 0;
}

/* The rows in argp's form, with the texts of --help; freed by free_rows. */
static void make_rows(const command_line *c, struct argp_option *rows)
{
    int n = 0, group = 0;
    for (; c->options[n].type != OPTION_END; n++) {
        const option_row *o = &c->options[n];
        bool heading = o->type == OPTION_GROUP;
        group += heading;
        rows[n] = (struct argp_option){.name = heading ? NULL : o->name,
                                       .key = heading ? 0 : KEY_FIRST + n,
                                       .arg = help_metavar(o),
                                       .doc = help_of_row(c, o),
                                       .group = group};
    }
    rows[n] = (struct argp_option){
        .name = "help", .key = KEY_HELP, .doc = strdup("Print this and exit"), .group = group + 1};
}

static void free_rows(struct argp_option *rows)
{
    for (int i = 0; rows[i].doc != NULL; i++) {
        free((char *)rows[i].arg);
        free((char *)rows[i].doc);
    }
}

void options_parse(command_line *c, int argc, char **argv)
{
    struct argp_option rows[MAX_OPTIONS + 2] = {{.name = NULL}};
    make_rows(c, rows);
    options_set_defaults(c->options, c->values, c->given, NULL);
    char *before = strndup(c->doc, strcspn(c->doc, "\v"));
    struct argp argp = {rows, parse_key, c->arguments, before, NULL, NULL, NULL};

    full_name name = name_of(c->command);
    argv[0] = name.text;
    /* getopt has reported unknown options on stderr; argp on its own would exit with 64. */
    if (argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_NO_EXIT, NULL, c) != 0) {
        print_usage(c->command, c->arguments);
        exit(EXIT_USAGE);
    }
    argv[0] = NULL;
    free(before);
    free_rows(rows);
}
