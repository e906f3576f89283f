/* Names of classes.
 * Invariant: a word stands for one class or is refused; what could be two is never guessed. */
#include "examples/ddpm/class_names.h"

#include "examples/common/messages.h"
#include "examples/common/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME "name:"

const char *class_name(const cJSON *class_names, int64_t class)
{
    return cJSON_GetArrayItem(class_names, (int)class)->valuestring;
}

/* The first class from `from` on whose name is the word by `compare`; -1 if there is none. */
static int64_t find(const cJSON *class_names, const char *word, int64_t from,
                    int (*compare)(const char *, const char *))
{
    const cJSON *name;
    int64_t i = 0;
    cJSON_ArrayForEach(name, class_names)
    {
        if (i >= from && compare(name->valuestring, word) == 0)
            return i;
        i++;
    }
    return -1;
}

bool class_has_name(const cJSON *class_names, const char *word)
{
    return find(class_names, word, 0, strcmp) >= 0;
}

static bool is_number(const char *word)
{
    return *word != '\0' && word[strspn(word, "0123456789")] == '\0';
}

static bool has_numbers_for_names(const cJSON *class_names)
{
    const cJSON *name;
    cJSON_ArrayForEach(name, class_names)
    {
        if (is_number(name->valuestring))
            return true;
    }
    return false;
}

/* "cat, dog" as far as there is room, then "...". */
static const char *list_names(const cJSON *class_names, char text[200])
{
    const cJSON *name;
    size_t length = 0;
    text[0] = '\0';
    cJSON_ArrayForEach(name, class_names)
    {
        const char *comma = length > 0 ? ", " : "";
        if (length + strlen(comma) + strlen(name->valuestring) + sizeof ", ..." > 200) {
            snprintf(text + length, 200 - length, "%s...", comma);
            break;
        }
        length += (size_t)snprintf(text + length, 200 - length, "%s%s", comma, name->valuestring);
    }
    return text;
}

static int64_t refuse(const cJSON *class_names, const char *word)
{
    int classes = cJSON_GetArraySize(class_names);
    char names[200];
    list_names(class_names, names);
    if (!has_numbers_for_names(class_names))
        options_error("--class: \"%s\" is none of %s, nor 0 to %d", word, names, classes - 1);
    else
        options_error("--class: \"%s\" is none of %s; where names are numbers, classes are not "
                      "counted",
                      word, names);
    return -1;
}

int64_t class_named(const cJSON *class_names, const char *word)
{
    int64_t class = find(class_names, word, 0, strcmp);
    bool named = strncmp(word, NAME, strlen(NAME)) == 0;
    const char *name = named ? word + strlen(NAME) : word;
    if (class < 0 && named)
        class = find(class_names, name, 0, strcmp);
    if (class >= 0)
        return class;
    class = find(class_names, name, 0, strcasecmp);
    int64_t other = class >= 0 ? find(class_names, name, class + 1, strcasecmp) : -1;
    if (other >= 0) {
        options_error("--class: \"%s\" may be %s or %s; write the name as it is", word,
                      class_name(class_names, class), class_name(class_names, other));
        return -1;
    }
    if (class >= 0)
        return class;
    errno = 0;
    long long number = !named && is_number(word) ? strtoll(word, NULL, 10) : -1;
    bool counted = number >= 0 && errno == 0 && number < cJSON_GetArraySize(class_names);
    return counted && !has_numbers_for_names(class_names) ? number : refuse(class_names, word);
}

void class_say(const cJSON *class_names, int64_t class)
{
    note("class: %s, number %" PRId64 " of 0 to %d\n", class_name(class_names, class), class,
         cJSON_GetArraySize(class_names) - 1);
}

char *class_list_next(char **rest)
{
    char *word = *rest, *to = word;
    if (word == NULL)
        return NULL;
    const char *from = word;
    for (; *from != '\0' && *from != ','; from++) {
        if (from[0] == '\\' && from[1] == ',')
            from++;
        *to++ = *from;
    }
    *rest = *from == ',' ? word + (from - word) + 1 : NULL;
    *to = '\0';
    return word;
}
