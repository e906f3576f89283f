/* Classes by what people write for them. */
#include "examples/ddpm/class_names.h"

#include <criterion/criterion.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>

#define NAMES(...) names_of((const char *const[]){__VA_ARGS__, NULL})

static cJSON *names_of(const char *const *names)
{
    int n = 0;
    while (names[n] != NULL)
        n++;
    return cJSON_CreateStringArray(names, n);
}

/* The class that the word stands for; the list is deleted. */
static int64_t class_of(cJSON *names, const char *word)
{
    int64_t class = class_named(names, word);
    cr_expect_eq(class < 0, ito_error_code() != ITO_OK);
    cJSON_Delete(names);
    return class;
}

static void refused(cJSON *names, const char *word, const char *sentence)
{
    cr_expect_eq(class_of(names, word), -1);
    cr_expect_str_eq(ito_error_message(), sentence);
    ito_error_clear();
}

Test(class_names, a_class_is_found_by_name_and_by_number)
{
    cr_expect_eq(class_of(NAMES("cat", "dog"), "dog"), 1);
    cr_expect_eq(class_of(NAMES("cat", "dog"), "DOG"), 1);
    cr_expect_eq(class_of(NAMES("cat", "dog"), "0"), 0);
    cr_expect_eq(class_of(NAMES("cat", "dog"), "01"), 1);
    refused(NAMES("cat", "dog"), "bird", "--class: \"bird\" is none of cat, dog, nor 0 to 1");
    refused(NAMES("cat", "dog"), "2", "--class: \"2\" is none of cat, dog, nor 0 to 1");
    refused(NAMES("cat", "dog"), "99999999999999999999",
            "--class: \"99999999999999999999\" is none of cat, dog, nor 0 to 1");
    refused(NAMES("cat", "dog"), "-1", "--class: \"-1\" is none of cat, dog, nor 0 to 1");
    refused(NAMES("cat", "dog"), " 1", "--class: \" 1\" is none of cat, dog, nor 0 to 1");
    refused(NAMES("cat", "dog"), "", "--class: \"\" is none of cat, dog, nor 0 to 1");
}

Test(class_names, an_exact_name_goes_before_one_in_other_letters)
{
    cr_expect_eq(class_of(NAMES("CAT", "Cat", "cat"), "cat"), 2);
    cr_expect_eq(class_of(NAMES("CAT", "Cat", "cat"), "Cat"), 1);
    refused(NAMES("CAT", "cat", "dog"), "Cat",
            "--class: \"Cat\" may be CAT or cat; write the name as it is");
    cr_expect_eq(class_of(NAMES("CAT", "cat", "Dog"), "dog"), 2);
}

/* Folders "1" to "10", sorted by their bytes: 2 is the name of the third class. */
Test(class_names, where_names_are_numbers_classes_are_not_counted)
{
    cr_expect_eq(class_of(NAMES("1", "10", "2", "3"), "2"), 2);
    cr_expect_eq(class_of(NAMES("1", "10", "2", "3"), "10"), 1);
    refused(NAMES("1", "10", "2", "3"), "0",
            "--class: \"0\" is none of 1, 10, 2, 3; where names are numbers, classes are not "
            "counted");
    refused(NAMES("cat", "7"), "0",
            "--class: \"0\" is none of cat, 7; where names are numbers, classes are not counted");
    cr_expect_eq(class_of(NAMES("0", "1", "2"), "2"), 2);
}

Test(class_names, name_says_that_a_word_is_a_name)
{
    cr_expect_eq(class_of(NAMES("all", "none"), "name:all"), 0);
    cr_expect_eq(class_of(NAMES("all", "none"), "name:None"), 1);
    cr_expect_eq(class_of(NAMES("all", "name:all"), "name:all"), 1);
    cr_expect_eq(class_of(NAMES("all", "name:all"), "name:name:all"), 1);
    refused(NAMES("cat", "dog"), "name:1", "--class: \"name:1\" is none of cat, dog, nor 0 to 1");
}

Test(class_names, many_names_are_shown_as_far_as_there_is_room)
{
    const char *names[101] = {NULL};
    for (int i = 0; i < 100; i++)
        names[i] = i % 2 == 0 ? "a class" : "another class";
    cJSON *list = names_of(names);
    cr_expect_eq(class_named(list, "bird"), -1);
    const char *message = ito_error_message(), *end = ", a class, ..., nor 0 to 99";
    cr_expect_lt(strlen(message), 260);
    cr_expect(strstr(message, end) != NULL || strstr(message, "another class, ..., nor 0 to 99"),
              "%s", message);
    ito_error_clear();
    cJSON_Delete(list);
}

Test(class_names, a_list_is_parted_at_commas_that_are_not_escaped)
{
    char text[] = "bag,red\\, round,,a\\b,\\,";
    static const char *const words[] = {"bag", "red, round", "", "a\\b", ","};
    char *rest = text;
    for (int i = 0; i < 5; i++)
        cr_expect_str_eq(class_list_next(&rest), words[i]);
    cr_expect_null(class_list_next(&rest));
}
