/* A locale whose numbers have a decimal comma, as a host program may have set: made by localedef of
 * sources written here, so that the machine needs no locales. */
#ifndef TESTS_GERMAN_H
#define TESTS_GERMAN_H

#include "tests/temporary.h"

#include <locale.h>

/* Run what follows in it; 1.5 is printed as "1,5". Until end_german. */
static inline const char *begin_german(void)
{
    const char *dir = temporary_directory();
    char command[1200];
    snprintf(command, sizeof command,
             "cd '%s' && printf 'LC_NUMERIC\\ndecimal_point \",\"\\nthousands_sep \".\"\\n"
             "grouping 3;3\\nEND LC_NUMERIC\\n' >source && printf '<code_set_name> ASCII\\n"
             "<escape_char> /\\nCHARMAP\\n<U0000>..<U007F> /x00 ASCII\\nEND CHARMAP\\n' >ascii && "
             "localedef -c -i source -f ./ascii ./comma >localedef.txt 2>&1; "
             "test -f comma/LC_NUMERIC",
             dir);
    cr_assert_eq(system(command), 0, "localedef makes no locale");
    setenv("LOCPATH", dir, 1);
    cr_assert_not_null(setlocale(LC_NUMERIC, "comma"));
    char text[8];
    snprintf(text, sizeof text, "%.1f", 1.5);
    cr_assert_str_eq(text, "1,5");
    return dir;
}

static inline void end_german(const char *dir)
{
    setlocale(LC_NUMERIC, "C");
    remove_tree(dir);
}

#endif
