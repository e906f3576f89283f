/* Text in lines of at most 79 columns. */
#include "examples/common/fill.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>

static void begin(void)
{
    cr_redirect_stdout();
}

static void printed(const char *text)
{
    fflush(stdout);
    cr_assert_stdout_eq_str(text);
}

TestSuite(fill, .init = begin);

#define TEN "ten chars "

Test(fill, a_line_may_have_79_columns)
{
    fill_words(TEN TEN TEN TEN TEN TEN TEN "and nine", 0, 2);  /* 78 */
    fill_words(TEN TEN TEN TEN TEN TEN TEN "and nine.", 0, 2); /* 79 */
    fill_words(TEN TEN TEN TEN TEN TEN TEN "and nine..", 0, 2);
    printed(TEN TEN TEN TEN TEN TEN TEN "and nine\n" TEN TEN TEN TEN TEN TEN TEN
                                        "and nine.\n" TEN TEN TEN TEN TEN TEN TEN
                                        "and\n  nine..\n");
}

Test(fill, later_lines_have_the_indent)
{
    printf("%-70s", "x");
    fill_words("a word  that goes on", 70, 4);
    printed("x                                                                     a word\n"
            "    that goes on\n");
}

Test(fill, a_word_that_is_too_long_stands_alone)
{
    fill_words(
        "a " TEN
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb "
        "c",
        0, 0);
    printed(
        "a ten chars\n"
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n"
        "c\n");
}

Test(fill, examples_without_options_are_broken_at_a_space)
{
    fill_paragraphs("  " TEN TEN TEN TEN TEN TEN TEN "and more");
    printed("  " TEN TEN TEN TEN TEN TEN TEN "and \\\n      more\n");
}

Test(fill, examples_go_on_behind_a_backslash)
{
    fill_paragraphs(
        "Examples:\n"
        "  program --with many --options that --go on --and on until --they end --here now\n"
        "  program --short\n\n"
        "An end.");
    printed("Examples:\n"
            "  program --with many --options that --go on --and on until --they end \\\n"
            "      --here now\n"
            "  program --short\n\n"
            "An end.\n");
}
