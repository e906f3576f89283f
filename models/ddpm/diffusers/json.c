/* Settings of a JSON file, each taken once.
 * Invariant: a setting that Ito does not know, and that says something, is an error. */
#include "models/ddpm/diffusers/json.h"

#include "nn/checkpoint_dir.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 24, SHOWN = 60 };

/* ---- the file ---- */

/* Python's json writes these words, which JSON has not. */
static void null_infinities(char *text)
{
    static const char *const words[] = {"-Infinity", "Infinity"};
    bool quoted = false;
    for (char *at = text; *at != '\0'; at++) {
        if (*at == '\\' && quoted && at[1] != '\0') {
            at++;
            continue;
        }
        quoted ^= *at == '"';
        for (int i = 0; !quoted && i < 2; i++) {
            size_t length = strlen(words[i]);
            if (strncmp(at, words[i], length) == 0) {
                memset(at, ' ', length);
                memcpy(at, "null", 4);
            }
        }
    }
}

bool diffusers_json_open(diffusers_json *j, const char *dir, const char *name)
{
    *j = (diffusers_json){.path = checkpoint_path(dir, name)};
    void *text = NULL;
    if (j->path == NULL || file_read_all(j->path, MAX_BYTES, &text, &(int64_t){0}) != ITO_OK)
        return false;
    null_infinities(text);
    j->root = cJSON_Parse(text);
    j->taken = cJSON_CreateObject();
    mem_free(text);
    if (cJSON_IsObject(j->root) && j->taken != NULL)
        return true;
    file_error(ITO_ERR_FORMAT, j->path, "it is not a JSON object");
    return false;
}

void diffusers_json_close(diffusers_json *j)
{
    cJSON_Delete(j->root);
    cJSON_Delete(j->taken);
    free(j->path);
    *j = (diffusers_json){0};
}

bool diffusers_json_finish(const diffusers_json *j)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, j->root)
    {
        if (item->string[0] != '_' && !cJSON_IsNull(item) && !cJSON_IsFalse(item))
            return diffusers_refuse(j, item->string, item, "Ito has no such setting");
    }
    return true;
}

/* ---- a setting ---- */

const cJSON *diffusers_take(diffusers_json *j, const char *key)
{
    cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(j->root, key);
    if (item != NULL)
        cJSON_AddItemToArray(j->taken, item);
    return item;
}

bool diffusers_refuse(const diffusers_json *j, const char *key, const cJSON *item,
                      const char *wanted, ...)
{
    char sentence[400], *value = item != NULL ? cJSON_PrintUnformatted(item) : NULL;
    va_list arguments;
    va_start(arguments, wanted);
    vsnprintf(sentence, sizeof sentence, wanted, arguments);
    va_end(arguments);
    bool whole = value != NULL && strlen(value) <= SHOWN;
    file_error(ITO_ERR_FORMAT, j->path, "\"%s\" is %.*s%s; %s", key, SHOWN,
               value != NULL ? value : "missing", whole || value == NULL ? "" : "...", sentence);
    cJSON_free(value);
    return false;
}

bool diffusers_is_whole(const cJSON *item, int64_t *out)
{
    if (!cJSON_IsNumber(item) || !(fabs(item->valuedouble) <= 0x1p53) ||
        floor(item->valuedouble) != item->valuedouble)
        return false;
    *out = (int64_t)item->valuedouble;
    return true;
}

bool diffusers_whole(diffusers_json *j, const char *key, int64_t usual, int64_t *out)
{
    const cJSON *item = diffusers_take(j, key);
    *out = usual;
    return item == NULL || diffusers_is_whole(item, out) ||
           diffusers_refuse(j, key, item, "it is a whole number");
}

bool diffusers_whole_or_null(diffusers_json *j, const char *key, int64_t usual, int64_t *out)
{
    const cJSON *item = diffusers_take(j, key);
    *out = cJSON_IsNull(item) ? 0 : usual;
    return item == NULL || cJSON_IsNull(item) || (diffusers_is_whole(item, out) && *out > 0) ||
           diffusers_refuse(j, key, item, "it is null or a whole number from 1 on");
}

bool diffusers_real(diffusers_json *j, const char *key, double usual, double *out)
{
    const cJSON *item = diffusers_take(j, key);
    *out = cJSON_IsNumber(item) ? item->valuedouble : usual;
    return item == NULL || cJSON_IsNumber(item) || diffusers_refuse(j, key, item, "it is a number");
}

bool diffusers_truth(diffusers_json *j, const char *key, bool usual, bool *out)
{
    const cJSON *item = diffusers_take(j, key);
    *out = cJSON_IsBool(item) ? cJSON_IsTrue(item) : usual;
    return item == NULL || cJSON_IsBool(item) ||
           diffusers_refuse(j, key, item, "it is true or false");
}

/* ---- one of a few words ---- */

int diffusers_word_value(const diffusers_word *words, const char *name)
{
    for (; name != NULL && words->name != NULL; words++)
        if (strcmp(words->name, name) == 0)
            return words->value;
    return -1;
}

const char *diffusers_word_name(const diffusers_word *words, int value)
{
    while (words->name != NULL && words->value != value)
        words++;
    return words->name;
}

bool diffusers_choice(diffusers_json *j, const char *key, const diffusers_word *words, int usual,
                      int *out)
{
    const cJSON *item = diffusers_take(j, key);
    char names[300] = "";
    *out = item == NULL ? usual : diffusers_word_value(words, cJSON_GetStringValue(item));
    if (*out >= 0)
        return true;
    for (size_t n = 0; words->name != NULL; words++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s",
                              n == 0                      ? ""
                              : (words + 1)->name == NULL ? " or "
                                                          : ", ",
                              words->name);
    return diffusers_refuse(j, key, item, "it can be %s", names);
}

/* ---- writing ---- */

bool diffusers_put(cJSON *o, const char *key, cJSON *item)
{
    if (item != NULL && cJSON_AddItemToObject(o, key, item))
        return true;
    cJSON_Delete(item);
    return false;
}

/* ---- notes ---- */

bool diffusers_note(char **text, const char *format, ...)
{
    char line[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    size_t before = *text != NULL ? strlen(*text) : 0, length = strlen(line);
    char *all = struct_alloc(before + length + 2);
    if (all == NULL)
        return false;
    if (*text != NULL)
        memcpy(all, *text, before);
    memcpy(all + before, line, length);
    all[before + length] = '\n';
    free(*text);
    *text = all;
    return true;
}
