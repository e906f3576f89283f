/* The settings of a run in JSON.
 * Invariant: what settings_put writes settings_get reads back to the same values. */
#include "examples/common/settings.h"

#include "examples/common/nearest.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_stored(const option_row *o)
{
    return o->type != OPTION_GROUP && o->scope != OPTION_OF_CALL;
}

static bool put(cJSON *object, const option_row *o, const void *values)
{
    const void *value = (const char *)values + o->offset;
    if (o->type == OPTION_FLAG)
        return cJSON_AddBoolToObject(object, o->name, *(const bool *)value) != NULL;
    if (o->type == OPTION_INT) {
        int64_t number = *(const int64_t *)value;
        return number == UNSET_INT ||
               cJSON_AddNumberToObject(object, o->name, (double)number) != NULL;
    }
    if (o->type == OPTION_REAL) {
        double number = *(const double *)value;
        return isnan(number) || cJSON_AddNumberToObject(object, o->name, number) != NULL;
    }
    const char *text = *(const char *const *)value;
    return text == NULL || cJSON_AddStringToObject(object, o->name, text) != NULL;
}

bool settings_put(cJSON *object, const option_row *rows, const void *values)
{
    bool good = true;
    for (int i = 0; good && rows[i].type != OPTION_END; i++)
        good = !is_stored(&rows[i]) || put(object, &rows[i], values);
    return good;
}

static bool get(const cJSON *item, const option_row *o, void *values)
{
    void *value = (char *)values + o->offset;
    double number = item->valuedouble;
    if (o->type == OPTION_FLAG) {
        *(bool *)value = cJSON_IsTrue(item);
        return cJSON_IsBool(item);
    }
    if (o->type == OPTION_TEXT || o->type == OPTION_CHOICE)
        return cJSON_IsString(item) && option_set(o, values, item->valuestring);
    if (!cJSON_IsNumber(item) || !(number >= o->low && number <= o->high) ||
        (o->type == OPTION_INT && floor(number) != number))
        return false;
    if (o->type == OPTION_INT)
        *(int64_t *)value = (int64_t)number;
    else
        *(double *)value = number;
    return true;
}

/* "a whole number from 1 to 8192" */
static const char *describe(const option_row *o, char *text, size_t size)
{
    char words[1024];
    if (o->type == OPTION_FLAG)
        return "true or false";
    if (o->type == OPTION_TEXT)
        return "a text that is not empty";
    if (o->type == OPTION_CHOICE)
        snprintf(text, size, "one of %s", choices_words(&o->choices, words, sizeof words));
    else if (o->low == ABOVE_0)
        snprintf(text, size, "a number above 0 and at most %g", o->high);
    else
        snprintf(text, size, "a %snumber from %.16g to %.16g",
                 o->type == OPTION_INT ? "whole " : "", o->low, o->high);
    return text;
}

bool settings_get(const cJSON *object, const option_row *rows, void *values, bool *found,
                  const char *source)
{
    for (int i = 0; rows[i].type != OPTION_END; i++) {
        const cJSON *item =
            is_stored(&rows[i]) ? cJSON_GetObjectItemCaseSensitive(object, rows[i].name) : NULL;
        found[i] = item != NULL;
        if (item != NULL && !get(item, &rows[i], values)) {
            char may_be[1152];
            ito_error_set(ITO_ERR_FORMAT, "%s: the option \"%s\" is not what it may be: %s", source,
                          rows[i].name, describe(&rows[i], may_be, sizeof may_be));
            return false;
        }
    }
    return true;
}

/* Whether there is a row of this name that belongs to a run. */
static bool is_known(const char *name, const option_row *rows, const char *source)
{
    char question[128];
    nearest n = {.word = name};
    for (const option_row *o = rows; o->type != OPTION_END; o++) {
        if (o->name != NULL && strcmp(o->name, name) == 0) {
            if (!is_stored(o))
                ito_error_set(ITO_ERR_FORMAT,
                              "%s: \"%s\" is not a setting of a run: give --%s on the command line",
                              source, name, name);
            return is_stored(o);
        }
        if (is_stored(o))
            nearest_try(&n, o->name);
    }
    ito_error_set(ITO_ERR_FORMAT, "%s: there is no option \"%s\"%s", source, name,
                  nearest_question(&n, "", question));
    return false;
}

bool settings_known(const cJSON *object, const option_row *rows, const char *source)
{
    const cJSON *item;
    bool good = true;
    cJSON_ArrayForEach(item, object) good = good && is_known(item->string, rows, source);
    return good;
}

static size_t size_of(const option_row *o)
{
    return o->type == OPTION_FLAG   ? sizeof(bool)
           : o->type == OPTION_INT  ? sizeof(int64_t)
           : o->type == OPTION_REAL ? sizeof(double)
                                    : sizeof(const char *);
}

bool settings_same(const option_row *o, const void *a, const void *b)
{
    const char *left = (const char *)a + o->offset, *right = (const char *)b + o->offset;
    if (o->type != OPTION_TEXT && o->type != OPTION_CHOICE)
        return memcmp(left, right, size_of(o)) == 0;
    const char *x = *(const char *const *)left, *y = *(const char *const *)right;
    return x == y || (x != NULL && y != NULL && strcmp(x, y) == 0);
}

void settings_copy(const option_row *o, void *to, const void *from)
{
    memcpy((char *)to + o->offset, (const char *)from + o->offset, size_of(o));
}
