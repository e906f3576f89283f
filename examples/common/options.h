/* Command lines by table: a row is an option, with its place in a struct of values, its default,
 * its valid values and its help. Parsing, checks, --help, man pages, completion and the stored
 * settings of a run (settings.h) are made from the rows. A bad option ends the program: its name
 * and the usage line on stderr, exit code 2. */
#ifndef ITO_EXAMPLES_OPTIONS_H
#define ITO_EXAMPLES_OPTIONS_H

#include "examples/common/choices.h"

#include <ito/tensor/base.h>
#include <math.h>

enum { EXIT_USAGE = 2 };

/* "1 image", "2 images": the end of the word. */
#define PLURAL(n) ((n) == 1 ? "" : "s")

typedef enum option_type {
    OPTION_END,
    OPTION_GROUP, /* a heading in --help: its help */
    OPTION_FLAG,  /* bool */
    OPTION_INT,   /* int64_t */
    OPTION_REAL,  /* double */
    OPTION_TEXT,  /* const char *, borrowed */
    OPTION_CHOICE /* the same, one of a list */
} option_type;

/* The values of options that were not given and have no default; texts are NULL. */
#define UNSET_INT INT64_MIN
#define UNSET_REAL ((double)NAN)

/* The low end of a range of positive numbers: the value must be above 0. */
#define ABOVE_0 1e-300
/* The largest whole number that JSON readers represent exactly. */
#define LARGEST_INT 9007199254740991.0

/* Whether a run stores an option. */
typedef enum option_scope {
    OPTION_OF_CALL, /* not stored: for one call of the program */
    OPTION_OF_RUN,  /* stored; may be changed when the run is resumed */
    OPTION_FIXED    /* stored; cannot be changed */
} option_scope;

typedef struct option_row {
    option_type type;
    const char *name;
    size_t offset;       /* of the value in the struct of values */
    const char *metavar; /* the placeholder of the value in --help; NULL for a choice: its words */
    const char *initial; /* the default, as written on the command line; NULL: none */
    double low, high;    /* the range of a number */
    choice_list choices;
    option_scope scope;
    const char *help;
    bool rare; /* seldom needed: --help leaves it to --help-all */
} option_row;

/* Rows. A file that has a table defines AT(field), the offset in its struct of values. Members of
 * option_row may follow the text: RARE. */
#define RARE .rare = true
#define GROUP_ROW(text)                                                                            \
    {                                                                                              \
        .type = OPTION_GROUP, .help = text                                                         \
    }
#define FLAG_ROW(option, field, text, ...)                                                         \
    {                                                                                              \
        .type = OPTION_FLAG, .name = option, .offset = AT(field), .help = text, __VA_ARGS__        \
    }
#define INT_ROW(option, field, word, least, most, usual, text, ...)                                \
    {                                                                                              \
        .type = OPTION_INT, .name = option, .offset = AT(field), .metavar = word, .low = least,    \
        .high = most, .initial = usual, .help = text, __VA_ARGS__                                  \
    }
#define REAL_ROW(option, field, word, least, most, usual, text, ...)                               \
    {                                                                                              \
        .type = OPTION_REAL, .name = option, .offset = AT(field), .metavar = word, .low = least,   \
        .high = most, .initial = usual, .help = text, __VA_ARGS__                                  \
    }
#define TEXT_ROW(option, field, word, usual, text, ...)                                            \
    {                                                                                              \
        .type = OPTION_TEXT, .name = option, .offset = AT(field), .metavar = word,                 \
        .initial = usual, .help = text, __VA_ARGS__                                                \
    }
/* One of "a|b", of the library's choices of a kind, or of a list of the program's own. */
#define WORDS_ROW(option, field, all, usual, text, ...)                                            \
    {                                                                                              \
        .type = OPTION_CHOICE, .name = option, .offset = AT(field), .choices = {.words = all},     \
        .initial = usual, .help = text, __VA_ARGS__                                                \
    }
#define KIND_ROW(option, field, what, usual, text, ...)                                            \
    {                                                                                              \
        .type = OPTION_CHOICE, .name = option, .offset = AT(field),                                \
        .choices = {.kind = what, .list = ito_choices}, .initial = usual, .help = text,            \
        __VA_ARGS__                                                                                \
    }
#define LIST_ROW(option, field, word, list, usual, text, ...)                                      \
    {                                                                                              \
        .type = OPTION_CHOICE, .name = option, .offset = AT(field), .metavar = word,               \
        .choices = {.own = list}, .initial = usual, .help = text, __VA_ARGS__                      \
    }
#define END_ROW                                                                                    \
    {                                                                                              \
        .type = OPTION_END                                                                         \
    }
/* Rows that many commands have. */
#define SEED_ROW INT_ROW("seed", seed, "S", 0, LARGEST_INT, "0", "Decides all random numbers")
#define THREADS_ROW                                                                                \
    INT_ROW("threads", threads, "N", 1, 1024, NULL,                                                \
            "Threads; results do not depend on it (all processors)")
#define JSON_ROW FLAG_ROW("json", json, "Print one JSON object on stdout at the end")

enum { MAX_OPTIONS = 128 };

/* A named set of values in place of some defaults. */
typedef struct option_preset {
    ito_choice choice;              /* its head: a list of presets is a list of choices */
    const char *const (*values)[2]; /* {"batch", "128"}, ...; closed by {NULL} */
} option_preset;

typedef struct command_line {
    const char *command;              /* "train"; "" for a program without commands */
    const char *arguments;            /* of the usage line: "FILE|RUN|DIR", or NULL */
    int most;                         /* how many such arguments are taken; 0: one */
    const char *argument_of;          /* the option whose value may be given as the argument too */
    const char *doc;                  /* for --help; the text after a \v follows the options */
    const option_row *options;        /* closed by OPTION_END */
    const ito_choice *const *presets; /* heads of option_preset, closed by NULL; or NULL */
    void *values;
    bool given[MAX_OPTIONS]; /* by row: whether it was given */
    const char *argument;    /* the argument that is not an option, if arguments is set */
    int count;               /* how many there are: */
    char **all;
} command_line;

/* ---- command lines ---- */

/* Fill in values, with defaults for options that were not given, and given; or end the program.
 * Arguments of the program are moved to the beginning of argv, which c->all then is. */
void options_parse(command_line *c, int argc, char **argv);
/* From now on options_parse prints this of the command, in place of parsing, and ends the program:
 * its man page, for example. */
void options_parse_prints(void (*print)(const command_line *c, int argc, char **argv));
/* The options that each command has beside its own; closed by OPTION_END. */
extern const option_row options_of_all[];
/* The row of the option that is written like this, which may be a synonym; NULL if there is none.
 */
const option_row *options_find(const command_line *c, const char *name);
/* Whether the option of this name was given. */
bool options_given(const command_line *c, const char *name);
/* End the program because of an error in the command line. */
_Noreturn void options_refuse(const command_line *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same if one of the options "a|b|c" was given; the message is why it does not apply. */
void options_refuse_given(const command_line *c, const char *names, const char *why);
/* The same if the option was not given: "--out is missing: WHAT it is". */
void options_require(const command_line *c, const char *name, const char *what);
/* The same if there is no argument: "there is no RUN". */
void options_require_argument(const command_line *c);

/* ---- one row ---- */

/* Store a value written as on a command line; false if it is not valid. */
bool option_set(const option_row *o, void *values, const char *text);
/* The preset's value of the option of this name; NULL if it has none or preset is NULL. */
const char *preset_value(const option_preset *preset, const char *name);
/* Give each row that was not given the preset's value or, where it has none or preset is NULL, its
 * default. */
void options_set_defaults(const option_row *rows, void *values, const bool *given,
                          const option_preset *preset);

/* The number, or `otherwise` if it was not given and has no default. */
double real_or(double value, double otherwise);
int64_t int_or(int64_t value, int64_t otherwise);

/* ---- errors ---- */

/* Record that an option, valid by itself, does not fit the data or the other options; the program's
 * exit code is then EXIT_USAGE. An earlier error stays. Always false. */
bool options_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Treat a recorded ITO_ERR_ARGUMENT of the library as an error of options: its arguments came from
 * the command line. */
void options_blame(void);
/* Print the recorded error as the program's one line and return the exit code: 1, or EXIT_USAGE and
 * the usage line for an error of options_error. */
int options_report(const char *command);
/* Set the library's number of threads, unless it is UNSET_INT; false with an error recorded. */
bool options_set_threads(int64_t threads);

#endif
