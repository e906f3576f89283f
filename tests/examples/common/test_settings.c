/* Values of a table as JSON, and back. */
#include "examples/common/settings.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    bool flag, json;
    int64_t n, unset;
    double x, y, z;
    const char *word, *text;
} values;

#define AT(field) offsetof(values, field)

static const option_row rows[] = {
    GROUP_ROW("All"),
    {.type = OPTION_FLAG, .name = "flag", .offset = AT(flag), .scope = OPTION_FIXED},
    {.type = OPTION_FLAG, .name = "json", .offset = AT(json), .scope = OPTION_OF_CALL},
    {.type = OPTION_INT, .name = "n", .offset = AT(n), .high = 1e12, .scope = OPTION_OF_RUN},
    {.type = OPTION_INT, .name = "unset", .offset = AT(unset), .high = 9, .scope = OPTION_FIXED},
    {.type = OPTION_REAL, .name = "x", .offset = AT(x), .high = 1, .scope = OPTION_FIXED},
    {.type = OPTION_REAL, .name = "y", .offset = AT(y), .high = 1, .scope = OPTION_FIXED},
    {.type = OPTION_CHOICE,
     .name = "word",
     .offset = AT(word),
     .choices = {.words = "yes|no"},
     .scope = OPTION_FIXED},
    {.type = OPTION_TEXT, .name = "text", .offset = AT(text), .scope = OPTION_FIXED},
    {.type = OPTION_REAL,
     .name = "z",
     .offset = AT(z),
     .low = ABOVE_0,
     .high = 1,
     .scope = OPTION_FIXED},
    END_ROW,
};

enum { FLAG = 1, JSON, N, UNSET, X, Y, WORD, TEXT };

static const values some = {.flag = true,
                            .json = true,
                            .n = 999999999999,
                            .unset = UNSET_INT,
                            .x = 0.1,
                            .y = 0.0,
                            .z = UNSET_REAL,
                            .word = "no",
                            .text = "it's \"so\"\n"};

Test(settings, what_is_stored_comes_back_and_nothing_else_is_stored)
{
    cJSON *object = cJSON_CreateObject();
    values v = some, back = {.json = false, .unset = 5};
    bool found[MAX_OPTIONS];
    v.y = UNSET_REAL;
    cr_assert(settings_put(object, rows, &v));
    cr_expect_eq(cJSON_GetArraySize(object), 5); /* not json, unset, y */
    char *text = cJSON_Print(object);
    cJSON_Delete(object);
    object = cJSON_Parse(text);
    cr_assert(settings_get(object, rows, &back, found, "s"), "%s", ito_error());
    static const int stored[] = {FLAG, N, X, WORD, TEXT}, left[] = {JSON, UNSET, Y};
    for (int i = 0; i < 5; i++) {
        cr_expect(found[stored[i]]);
        cr_expect(settings_same(&rows[stored[i]], &v, &back), "%s", rows[stored[i]].name);
    }
    for (int i = 0; i < 3; i++)
        cr_expect(!found[left[i]]);
    cr_expect(!back.json && back.unset == 5);
    free(text);
    cJSON_Delete(object);
}

Test(settings, a_zero_is_stored)
{
    cJSON *object = cJSON_CreateObject();
    values v = {.n = 0, .unset = 0, .x = 0.0, .y = 0.0, .z = UNSET_REAL},
           back = {.n = 1, .unset = 1, .x = 1, .y = 1};
    bool found[MAX_OPTIONS];
    cr_assert(settings_put(object, rows, &v));
    cr_assert(settings_get(object, rows, &back, found, "s"));
    cr_expect(back.n == 0 && back.unset == 0 && back.x == 0.0 && back.y == 0.0);
    cJSON_Delete(object);
}

Test(settings, what_its_row_does_not_take_is_refused_by_name)
{
#define WHOLE "a whole number from 0 to 1000000000000"
#define SHARE "a number from 0 to 1"
#define TEXTS "a text that is not empty"
    static const char *const bad[][3] = {{"{\"flag\": 1}", "flag", "true or false"},
                                         {"{\"n\": 1.5}", "n", WHOLE},
                                         {"{\"n\": -1}", "n", WHOLE},
                                         {"{\"n\": \"1\"}", "n", WHOLE},
                                         {"{\"n\": 1e13}", "n", WHOLE},
                                         {"{\"x\": 1.1}", "x", SHARE},
                                         {"{\"x\": null}", "x", SHARE},
                                         {"{\"z\": 0}", "z", "a number above 0 and at most 1"},
                                         {"{\"word\": \"maybe\"}", "word", "one of yes|no"},
                                         {"{\"word\": true}", "word", "one of yes|no"},
                                         {"{\"text\": \"\"}", "text", TEXTS},
                                         {"{\"text\": {}}", "text", TEXTS}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char words[128];
        values v = {.n = 0};
        bool found[MAX_OPTIONS];
        cJSON *object = cJSON_Parse(bad[i][0]);
        cr_assert(!settings_get(object, rows, &v, found, "s.json"), "%s", bad[i][0]);
        snprintf(words, sizeof words, "s.json: the option \"%s\" is not what it may be: %s",
                 bad[i][1], bad[i][2]);
        cr_expect_str_eq(ito_error_message(), words);
        ito_error_clear();
        cJSON_Delete(object);
    }
}

Test(settings, values_are_compared_and_copied_by_row)
{
    values a = some, b = some;
    char word[] = "no";
    b.word = word; /* the same letters in another place */
    for (int i = FLAG; i <= TEXT; i++)
        cr_expect(settings_same(&rows[i], &a, &b), "%s", rows[i].name);
    b = (values){.n = 1, .unset = 2, .x = 0.2, .y = 0.3, .word = "yes"};
    for (int i = FLAG; i <= TEXT; i++) {
        cr_expect(!settings_same(&rows[i], &a, &b), "%s", rows[i].name);
        settings_copy(&rows[i], &b, &a);
        cr_expect(settings_same(&rows[i], &a, &b), "%s", rows[i].name);
    }
}

Test(settings, members_that_are_no_settings_are_refused_by_name)
{
    static const char *const cases[][2] = {
        {"{\"n\": 1, \"text\": \"a\"}", ""},
        {"{}", ""},
        {"{\"n\": 1, \"txet\": \"a\"}", "s.json: there is no option \"txet\"; did you mean text?"},
        {"{\"pear\": 1}", "s.json: there is no option \"pear\""},
        {"{\"json\": true}",
         "s.json: \"json\" is not a setting of a run: give --json on the command line"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cJSON *object = cJSON_Parse(cases[i][0]);
        cr_expect_eq(settings_known(object, rows, "s.json"), cases[i][1][0] == '\0');
        cr_expect_str_eq(ito_error_message(), cases[i][1]);
        ito_error_clear();
        cJSON_Delete(object);
    }
}
