/* Command lines by table.
 * Invariant: a number that is stored was written out in full and lies in its row's range. */
#include "examples/common/options.h"

#include "examples/common/completion.h"
#include "examples/common/man_page.h"
#include "examples/common/messages.h"
#include "examples/common/nearest.h"
#include "examples/common/options_help.h"
#include "examples/common/version.h"

#include <errno.h>
#include <inttypes.h>
#include <ito/tensor/runtime.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

/* The kind of an error of options_error, beside those of the library. */
enum { ERROR_USAGE = 1000 };

static void print_usage(const char *command, const char *arguments)
{
    command_name name = command_name_of(command);
    if (complaints_are_held())
        return;
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
    complain(command, "%s", ito_error_message());
    if (ito_error_code() != (ito_status)ERROR_USAGE)
        return 1;
    print_usage(command, NULL);
    return EXIT_USAGE;
}

bool options_set_threads(int64_t threads)
{
    if (threads == UNSET_INT)
        return true;
    if (threads > ito_threads_limit() && threads <= 1024)
        note("--threads %" PRId64 ": built without OpenMP, this program uses one\n", threads);
    return ito_set_threads((int)threads) == ITO_OK;
}

void options_refuse(const command_line *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain_list(c->command, format, arguments);
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

/* ---- names ---- */

/* Names for the same thing. A command that has one of a line takes the others for it; they are not
 * shown. */
static const char *const synonyms[][4] = {
    {"batch", "batch-size"},
    {"conditional", "class-conditional"},
    {"data", "dataset"},
    {"frechet", "fid"},
    {"grey", "gray", "grayscale", "greyscale"},
    {"image", "images"},
    {"lr", "learning-rate"},
    {"n", "count"},
    {"optimizer", "optimiser"},
    {"out", "output"},
    {"precision", "dtype"},
    {"schedule", "schedules"},
    {"step-sampling", "timestep-law"},
};

enum { SYNONYMS = sizeof synonyms / sizeof synonyms[0], MOST_SYNONYMS = 4 };

static const option_row *find_row(const option_row *rows, const char *name)
{
    for (; rows->type != OPTION_END; rows++)
        if (rows->name != NULL && strcmp(rows->name, name) == 0)
            return rows;
    return NULL;
}

static bool has_synonym(int line, const char *name)
{
    for (int k = 0; k < MOST_SYNONYMS && synonyms[line][k] != NULL; k++)
        if (strcmp(synonyms[line][k], name) == 0)
            return true;
    return false;
}

const option_row *options_find(const command_line *c, const char *name)
{
    const option_row *found = find_row(c->options, name);
    if (found == NULL)
        found = find_row(options_of_all, name);
    for (int i = 0; found == NULL && i < SYNONYMS; i++)
        for (int k = 0; found == NULL && has_synonym(i, name) && k < MOST_SYNONYMS; k++)
            if (synonyms[i][k] != NULL)
                found = find_row(c->options, synonyms[i][k]);
    return found;
}

/* ---- command lines ---- */

/* What options_of_all say; their rows have no values. */
const option_row options_of_all[] = {
    GROUP_ROW("In every command"),
    {.type = OPTION_FLAG, .name = "quiet", .help = "Print errors alone: no progress and no notes"},
    {.type = OPTION_FLAG, .name = "help", .help = "Print this and exit"},
    {.type = OPTION_FLAG, .name = "help-all", .help = "The same with all options and choices"},
    {.type = OPTION_FLAG, .name = "version", .help = "Print the version and exit"},
    END_ROW,
};

static void (*print_instead)(const command_line *c, int argc, char **argv);

void options_parse_prints(void (*print)(const command_line *c, int argc, char **argv))
{
    print_instead = print;
}

/* End the program with the reason why the row cannot have this value. */
static _Noreturn void refuse_value(const command_line *c, const option_row *o, const char *text)
{
    char words[1024], question[128];
    if ((o->type == OPTION_TEXT || o->type == OPTION_CHOICE) && text[0] == '\0')
        options_refuse(c, "--%s: it is empty", o->name);
    if (o->type == OPTION_CHOICE)
        options_refuse(c, "--%s: \"%s\" is none of %s%s", o->name, text,
                       choices_words(&o->choices, words, sizeof words),
                       choices_question(&o->choices, text, question));
    if (o->low == ABOVE_0)
        options_refuse(c, "--%s: \"%s\" is not a number above 0 and at most %g", o->name, text,
                       o->high);
    options_refuse(c, "--%s: \"%s\" is not a %snumber from %.16g to %.16g", o->name, text,
                   o->type == OPTION_INT ? "whole " : "", o->low, o->high);
}

static _Noreturn void refuse_unknown(const command_line *c, const char *dashes, const char *name)
{
    char question[128];
    nearest n = {.word = name};
    for (const option_row *o = c->options; o->type != OPTION_END; o++)
        if (o->name != NULL)
            nearest_try(&n, o->name);
    for (const option_row *o = options_of_all; o->type != OPTION_END; o++)
        if (o->name != NULL)
            nearest_try(&n, o->name);
    options_refuse(c, "there is no option %s%s%s", dashes, name,
                   nearest_question(&n, "--", question));
}

static _Noreturn void end_after_printing(void)
{
    exit(fflush(stdout) == 0 ? 0 : 1);
}

/* Do what one of options_of_all says. */
static void do_at_once(const command_line *c, const char *name)
{
    if (strcmp(name, "quiet") == 0) {
        notes_silence();
        return;
    }
    if (strcmp(name, "version") == 0)
        version_print();
    else
        help_print(c, strcmp(name, "help-all") == 0);
    end_after_printing();
}

static void set_row(command_line *c, const option_row *o, const char *text)
{
    if (!option_set(o, c->values, text))
        refuse_value(c, o, text);
    c->given[o - c->options] = true;
}

/* The name that "--name" or "--name=value" begins with; or end the program. */
static const option_row *row_of(const command_line *c, const char *word)
{
    char name[64];
    if (word[1] != '-')
        refuse_unknown(c, "", word);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const option_row *o = options_find(c, name);
    if (o == NULL)
        refuse_unknown(c, "--", name);
    return o;
}

/* Take argv[i], an option, and its value, which may be the next word. Returns how many words. */
static int take_option(command_line *c, char **argv, int i)
{
    const char *word = strcmp(argv[i], "-h") == 0 ? "--help" : argv[i], *next = argv[i + 1];
    const option_row *o = row_of(c, word);
    const char *value = strchr(word, '=');
    if (o->type == OPTION_FLAG && value != NULL)
        options_refuse(c, "--%s: it takes no value", o->name);
    if (find_row(options_of_all, o->name) == o) {
        do_at_once(c, o->name);
        return 1;
    }
    if (o->type == OPTION_FLAG || value != NULL) {
        set_row(c, o, value != NULL ? value + 1 : "");
        return 1;
    }
    if (next == NULL)
        options_refuse(c, "--%s: its value is missing", o->name);
    if (next[0] == '-' && next[1] == '-' && options_find(c, next + 2) != NULL)
        options_refuse(c, "--%s: its value is missing (if it is %s, write --%s=%s)", o->name, next,
                       o->name, next);
    set_row(c, o, next);
    return 2;
}

static void take_argument(command_line *c, char **argv, char *word)
{
    int most = c->arguments == NULL ? 0 : c->most > 0 ? c->most : 1;
    if (c->count == most)
        options_refuse(c, "\"%s\" is one argument too many", word);
    argv[c->count++] = word;
    c->argument = argv[0];
}

/* The argument in place of the option that it stands for. */
static void set_option_of_argument(command_line *c)
{
    const option_row *o = find_row(c->options, c->argument_of);
    if (options_given(c, o->name))
        options_refuse(c, "\"%s\" is one argument too many: --%s says it already", c->argument,
                       o->name);
    set_row(c, o, c->argument);
}

/* A program without commands has its man page and completion as words, as a program of commands has
 * them as commands. */
static void print_if_asked(const command_line *c, int argc, char **argv)
{
    if (c->command[0] != '\0' || c->arguments != NULL || argc < 2)
        return;
    if (strcmp(argv[1], "man") == 0)
        man_page_of_command(c);
    else if (strcmp(argv[1], "complete") == 0 && argc > 2)
        completion_of_command(c, argc - 1, argv + 1);
    else
        return;
    end_after_printing();
}

void options_parse(command_line *c, int argc, char **argv)
{
    print_if_asked(c, argc, argv);
    if (print_instead != NULL) {
        print_instead(c, argc, argv);
        end_after_printing();
    }
    options_set_defaults(c->options, c->values, c->given, NULL);
    c->all = argv;
    c->count = 0;
    bool options_end = false;
    for (int i = 1; i < argc;) {
        char *word = argv[i];
        if (!options_end && word[0] == '-' && word[1] != '\0' && strcmp(word, "--") != 0) {
            i += take_option(c, argv, i);
            continue;
        }
        if (options_end || word[0] != '-' || word[1] == '\0')
            take_argument(c, argv, word);
        else
            options_end = true;
        i++;
    }
    if (c->argument_of != NULL && c->argument != NULL)
        set_option_of_argument(c);
}
