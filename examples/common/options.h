/* Command lines by table: one row an option, from which parsing, range checks, --help and the
 * stored settings of a run are made. A bad option ends the program: its name and the usage line on
 * stderr, exit code 2. */
#ifndef ITO_DDPM_OPTIONS_H
#define ITO_DDPM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_USAGE = 2 };

/* "1 image", "2 images": the end of the word. */
#define PLURAL(n) ((n) == 1 ? "" : "s")

typedef enum option_kind {
    OPTION_END,
    OPTION_GROUP, /* a heading in --help: its doc */
    OPTION_FLAG,  /* bool */
    OPTION_INT,   /* int64_t */
    OPTION_REAL,  /* double */
    OPTION_TEXT,  /* const char *, borrowed; NULL if not given */
    OPTION_CHOICE /* the same, one of the words in metavar: "ddpm|ddim" */
} option_kind;

/* The least positive number in a range: the value must be above 0. */
#define ABOVE_0 1e-300
/* The largest whole number that JSON readers keep. */
#define LARGEST_INT 9007199254740991.0

typedef struct option_row {
    option_kind kind;
    const char *name;
    size_t offset; /* of the value in the struct of values */
    const char *metavar, *doc;
    double low, high; /* what a number may be */
    bool fixed;       /* train: belongs to the run and cannot change when it is resumed */
} option_row;

enum { MAX_OPTIONS = 64 };

typedef struct command_line {
    const char *command;       /* "train" */
    const char *arguments;     /* of the usage line: "FILE|RUN|DIR", or NULL */
    const char *doc;           /* for --help; what stands behind a \v follows the options */
    const option_row *options; /* closed by OPTION_END */
    void *values;
    bool given[MAX_OPTIONS]; /* by row: whether the command line has it */
    const char *argument;    /* the one that is not an option, if arguments is set */
} command_line;

/* Fill in values and given, or end the program. */
void options_parse(command_line *c, int argc, char **argv);
/* End the program on account of what the command line asks for. */
_Noreturn void options_refuse(const command_line *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, if one of the options called "a|b|c" was given: why it has no part in this. */
void options_refuse_given(const command_line *c, const char *names, const char *why);
/* Print the recorded error as the program's one line and return the exit code: that of wrong usage,
 * with the usage line, if it begins with an option's name, which only became wrong with the data.
 */
int options_report(const char *command);
/* Whether word is one of those in "a|b|c". */
bool options_has_word(const char *words, const char *word);
/* Whether the option of this name was given. */
bool options_given(const command_line *c, const char *name);

#endif
