/* Tables of options: what a row takes, defaults and presets, help, and the kind of an error. */
#include "examples/common/nearest.h"
#include "examples/common/options.h"
#include "examples/common/options_help.h"
#include "models/ddpm/choices.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    bool flag;
    int64_t n, unset;
    double x, y;
    const char *word, *text;
} values;

#define AT(field) offsetof(values, field)

static bool not_banana(const ito_choice *choice)
{
    return strcmp(choice->name, "banana") != 0;
}

static const ito_choice apple = {"apple", "round", NULL},
                        banana = {"banana", "long", "Linnaeus 1753"},
                        crate = {"crate:DIR", "many", NULL};
static const ito_choice *const fruit[] = {&apple, &banana, &crate, NULL};

static const option_row rows[] = {
    GROUP_ROW("All"),
    FLAG_ROW("flag", flag, "A flag"),
    INT_ROW("n", n, "N", 0, 10, "3", "A number"),
    INT_ROW("unset", unset, "N", 0, 10, NULL, "A number without a default"),
    REAL_ROW("x", x, "X", 0, 1, "0.5", "A real"),
    REAL_ROW("y", y, "Y", ABOVE_0, 1, NULL, "A real without a default"),
    LIST_ROW("fruit", word, "FRUIT", fruit, "apple", "A fruit"),
    TEXT_ROW("text", text, "TEXT", NULL, "A text"),
    END_ROW,
};

enum { FLAG = 1, N, UNSET, X, Y, FRUIT, TEXT };

static const option_preset big = {
    {"big", "more", NULL}, (const char *const[][2]){{"n", "9"}, {"fruit", "banana"}, {NULL}}};
static const ito_choice *const presets[] = {&big.choice, NULL};

static values parse(command_line *c, int argc, const char *const *words)
{
    static values v;
    static char *argv[10];
    for (int i = 0; i <= argc; i++)
        argv[i] = i < argc ? strdup(words[i]) : NULL;
    *c = (command_line){.command = "test", .doc = "", .options = rows, .values = &v};
    options_parse(c, argc, argv);
    return v;
}

Test(options, what_is_not_given_has_its_default_or_is_unset)
{
    command_line c;
    values v = parse(&c, 1, (const char *[]){"test"});
    cr_expect(!v.flag);
    cr_expect_eq(v.n, 3);
    cr_expect_eq(v.unset, UNSET_INT);
    cr_expect_eq(v.x, 0.5);
    cr_expect(isnan(v.y));
    cr_expect_str_eq(v.word, "apple");
    cr_expect_null(v.text);
    cr_expect(!options_given(&c, "n"));
}

Test(options, zero_is_zero)
{
    command_line c;
    values v = parse(&c, 4, (const char *[]){"test", "--n=0", "--unset=0", "--x=0"});
    cr_expect_eq(v.n, 0);
    cr_expect_eq(v.unset, 0);
    cr_expect_eq(v.x, 0.0);
    cr_expect(options_given(&c, "n") && options_given(&c, "unset") && options_given(&c, "x"));
    cr_expect_eq(int_or(v.unset, 7), 0);
    cr_expect_eq(int_or(UNSET_INT, 7), 7);
    cr_expect_eq(real_or(v.x, 7.0), 0.0);
    cr_expect_eq(real_or(UNSET_REAL, 7.0), 7.0);
}

Test(options, a_row_takes_its_range_and_nothing_else)
{
    static const struct {
        int row;
        const char *text;
        bool good;
    } cases[] = {{N, "0", true},          {N, "10", true},          {N, "11", false},
                 {N, "-1", false},        {N, "1.5", false},        {N, "", false},
                 {N, " 1", false},        {X, "1e-3", true},        {X, "1.0001", false},
                 {X, "nan", false},       {X, "0", true},           {Y, "0", false},
                 {Y, "1e-200", true},     {FRUIT, "banana", true},  {FRUIT, "bananas", false},
                 {FRUIT, "crate", false}, {FRUIT, "crate:", false}, {FRUIT, "crate:a/b", true},
                 {FRUIT, "", false},      {TEXT, "", false},        {TEXT, "words", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        values v = {.n = 0};
        cr_expect_eq(option_set(&rows[cases[i].row], &v, cases[i].text), cases[i].good, "%s \"%s\"",
                     rows[cases[i].row].name, cases[i].text);
    }
}

Test(options, a_preset_takes_the_place_of_defaults_and_not_of_what_is_given)
{
    values v = {.word = "apple"};
    bool given[MAX_OPTIONS] = {[FRUIT] = true};
    options_set_defaults(rows, &v, given, &big);
    cr_expect_eq(v.n, 9);
    cr_expect_str_eq(v.word, "apple");
    cr_expect_eq(v.x, 0.5);
    options_set_defaults(rows, &v, given, NULL);
    cr_expect_eq(v.n, 3);
}

Test(options, help_has_the_default_and_those_of_presets)
{
    static const struct {
        int row;
        const char *help, *metavar;
    } cases[] = {{N, "A number (3; big 9)", "N"},
                 {FRUIT, "A fruit (apple; big banana)", "FRUIT"},
                 {X, "A real (0.5)", "X"},
                 {Y, "A real without a default", "Y"}};
    command_line c = {.options = rows, .presets = presets};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *help = help_of_row(&c, &rows[cases[i].row]),
             *word = help_metavar(&rows[cases[i].row]);
        cr_expect_str_eq(help, cases[i].help);
        cr_expect_str_eq(word, cases[i].metavar);
        free(help);
        free(word);
    }
    option_row plain = {.type = OPTION_CHOICE, .choices = {.words = "yes|no"}};
    char *word = help_metavar(&plain);
    cr_expect_str_eq(word, "yes|no");
    free(word);
}

Test(options, help_leaves_out_rare_rows_and_headings_of_nothing)
{
    static const option_row some[] = {
        FLAG_ROW("flag", flag, "A flag", RARE),
        INT_ROW("n", n, "N", 0, 10, NULL, "A number"),
        GROUP_ROW("None here"),
        REAL_ROW("x", x, "X", 0, 1, NULL, "A real", RARE),
        END_ROW,
    };
    static const char end[] =
        "\nIn every command\n"
        "  --quiet                 Print errors alone: no progress and no notes\n"
        "  --help                  Print this and exit\n"
        "  --help-all              The same with all options and choices\n"
        "  --version               Print the version and exit\n";
    command_line c = {.command = "", .doc = "What it does.", .options = some};
    char text[2048];
    cr_redirect_stdout();
    help_print(&c, false);
    help_print(&c, true);
    snprintf(text, sizeof text,
             "Usage: %s [OPTION...]\nWhat it does.\n\nOptions\n"
             "  --n N                   A number\n%s"
             "\n%s --help-all lists 2 more options.\n"
             "Usage: %s [OPTION...]\nWhat it does.\n\nOptions\n"
             "  --flag                  A flag\n"
             "  --n N                   A number\n\n"
             "None here\n"
             "  --x X                   A real\n%s",
             program_invocation_short_name, end, program_invocation_short_name,
             program_invocation_short_name, end);
    fflush(stdout);
    cr_assert_stdout_eq_str(text);
}

Test(options, a_list_can_take_some_of_its_choices)
{
    char words[64];
    choice_list all = {.own = fruit}, some = {.own = fruit, .accepts = not_banana};
    cr_expect_str_eq(choices_words(&all, words, sizeof words), "apple|banana|crate:DIR");
    cr_expect_str_eq(choices_words(&some, words, sizeof words), "apple|crate:DIR");
    cr_expect(choices_have(&all, "banana"));
    cr_expect(!choices_have(&some, "banana"));
    cr_expect_eq(choices_find(&some, "crate:x"), &crate);
    cr_expect(words_have("a|bc|d", "bc"));
    cr_expect(!words_have("a|bc|d", "b") && !words_have("a|bc|d", "c|d") && !words_have("a", ""));
}

Test(options, choices_of_a_kind_are_those_of_the_library)
{
    static const char *const kinds[] = {"schedule",  "prediction",   "variance", "weighting",
                                        "objective", "timestep_law", "spacing",  "sampler"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        int64_t n;
        const ito_choice *const *all = ito_choices(kinds[i], &n);
        cr_expect(n >= 3, "%s", kinds[i]);
        for (int64_t k = 0; k < n; k++) {
            choice_list list = {.kind = kinds[i], .list = ito_choices};
            cr_expect_eq(choices_find(&list, all[k]->name), all[k]);
            cr_expect(all[k]->help != NULL && all[k]->help[0] != '\0', "%s", all[k]->name);
        }
    }
    int64_t none = 1;
    cr_expect_null(ito_choices("fruit", &none));
    cr_expect_eq(none, 0);
}

/* ---- the kind of an error decides the exit code ---- */

static void begin_error(void)
{
    cr_redirect_stderr();
    ito_error_clear();
}

TestSuite(options_error, .init = begin_error, .fini = ito_error_clear);

Test(options_error, an_option_that_does_not_fit_the_data_is_wrong_usage)
{
    cr_assert(!options_error("%d is too many", 7));
    cr_expect_str_eq(ito_error_message(), "7 is too many");
    cr_expect_eq(options_report("test"), EXIT_USAGE);
}

Test(options_error, an_error_of_the_library_is_a_failure_whatever_its_first_letters)
{
    ito_error_set(ITO_ERR_ARGUMENT, "--file: it is damaged");
    cr_expect_eq(options_report("test"), 1);
}

Test(options_error, the_first_error_stays)
{
    ito_error_set(ITO_ERR_IO, "data: cannot open");
    options_error("--n: 3 is more than there are");
    cr_expect_str_eq(ito_error_message(), "data: cannot open");
    cr_expect_eq(options_report("test"), 1);
}

Test(options_error, an_argument_that_the_library_refuses_can_be_blamed_on_options)
{
    ito_error_set(ITO_ERR_ARGUMENT, "the two do not go together");
    options_blame();
    cr_expect_str_eq(ito_error_message(), "the two do not go together");
    cr_expect_eq(options_report("test"), EXIT_USAGE);
    ito_error_clear();
    ito_error_set(ITO_ERR_SHAPE, "images of 7x7");
    options_blame();
    cr_expect_eq(options_report("test"), 1);
}

#define REFUSED(name, ...)                                                                         \
    Test(options_error, name, .exit_code = EXIT_USAGE)                                             \
    {                                                                                              \
        command_line c;                                                                            \
        const char *words[] = {"test", __VA_ARGS__};                                               \
        parse(&c, sizeof words / sizeof words[0], words);                                          \
    }

REFUSED(a_number_out_of_range_ends_the_program, "--n=11")
REFUSED(a_word_of_no_list_ends_the_program, "--fruit=pear")
REFUSED(an_unknown_option_ends_the_program, "--pear")
REFUSED(an_abbreviation_ends_the_program, "--tex=a")
REFUSED(an_argument_too_many_ends_the_program, "pear")
REFUSED(a_flag_with_a_value_ends_the_program, "--flag=yes")
REFUSED(a_missing_value_ends_the_program, "--n")
REFUSED(an_option_in_place_of_a_value_ends_the_program, "--text", "--flag")

/* ---- arguments ---- */

static values parse_arguments(command_line *c, int argc, char **argv)
{
    static values v;
    c->command = "test";
    c->doc = "";
    c->options = rows;
    c->values = &v;
    options_parse(c, argc, argv);
    return v;
}

Test(options, arguments_stand_between_options_and_behind_two_dashes)
{
    command_line c = {.arguments = "FILE...", .most = 3};
    char *argv[] = {"test", "a", "--n", "4", "-", "--", "--flag", NULL};
    values v = parse_arguments(&c, 7, argv);
    cr_expect_eq(v.n, 4);
    cr_expect(!v.flag);
    cr_assert_eq(c.count, 3);
    cr_expect_str_eq(c.argument, "a");
    cr_expect_str_eq(c.all[1], "-");
    cr_expect_str_eq(c.all[2], "--flag");
}

Test(options, a_value_may_begin_with_a_dash)
{
    command_line c = {.arguments = NULL};
    char *argv[] = {"test", "--text", "-3", NULL};
    cr_expect_str_eq(parse_arguments(&c, 3, argv).text, "-3");
    char *like_an_option[] = {"test", "--text=--flag", NULL};
    values v = parse_arguments(&c, 2, like_an_option);
    cr_expect_str_eq(v.text, "--flag");
    cr_expect(!v.flag);
}

Test(options, an_argument_can_stand_for_an_option)
{
    command_line c = {.arguments = "TEXT", .argument_of = "text"};
    char *argv[] = {"test", "words", NULL};
    cr_expect_str_eq(parse_arguments(&c, 2, argv).text, "words");
    cr_expect(options_given(&c, "text"));
}

/* ---- names ---- */

Test(options, synonyms_are_those_of_what_there_is)
{
    command_line c = {.options = rows};
    cr_expect_eq(options_find(&c, "n"), &rows[N]);
    cr_expect_eq(options_find(&c, "count"), &rows[N]);
    cr_expect_null(options_find(&c, "learning-rate")); /* there is no lr */
    cr_expect_null(options_find(&c, "pear"));
    cr_expect_str_eq(options_find(&c, "quiet")->name, "quiet");
}

static const char *question(const char *word)
{
    static char text[128];
    nearest n = {.word = word};
    for (int i = 0; rows[i].type != OPTION_END; i++)
        if (rows[i].name != NULL)
            nearest_try(&n, rows[i].name);
    return nearest_question(&n, "--", text);
}

Test(options, the_nearest_name_is_one_of_few_edits)
{
    cr_expect_str_eq(question("fruti"), "; did you mean --fruit?"); /* two letters swapped */
    cr_expect_str_eq(question("friut"), "; did you mean --fruit?");
    cr_expect_str_eq(question("uset"), "; did you mean --unset?"); /* one left out */
    cr_expect_str_eq(question("fflag"), "; did you mean --flag?"); /* one too many */
    cr_expect_str_eq(question("tex"), "; did you mean --text?");
    cr_expect_str_eq(question("un"), "; did you mean --unset?"); /* an abbreviation */
    cr_expect_str_eq(question("big-text"), "; did you mean --text?");
    cr_expect_str_eq(question("bigtext"), "");
    cr_expect_str_eq(question("banana"), "");
    cr_expect_str_eq(question("k"), ""); /* --n is one edit away, and all of it */
    cr_expect_str_eq(question(""), "");
    cr_expect_str_eq(question("a-word-that-is-far-longer-than-any-option-could-ever-be"), "");
}

Test(options_error, what_is_required_is_missed, .exit_code = EXIT_USAGE)
{
    command_line c;
    parse(&c, 1, (const char *[]){"test"});
    options_require(&c, "text", "what it says");
}

Test(options_error, what_is_idle_is_refused, .exit_code = EXIT_USAGE)
{
    command_line c;
    parse(&c, 2, (const char *[]){"test", "--flag"});
    options_refuse_given(&c, "x|y", "it does nothing"); /* not given: goes on */
    options_refuse_given(&c, "n|flag", "it does nothing");
}
