/* results.jsonl of a run.
 * Invariant: a line is appended by one write, so several evaluations may end at once. */
#include "examples/ddpm/run_results.h"

#include "examples/common/messages.h"
#include "examples/common/paths.h"

#include <fcntl.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The measures of eval; other members say of what and how. */
static const char *const measures[] = {"frechet", "kid",      "mmd",   "precision",   "recall",
                                       "density", "coverage", "score", "bits_per_dim"};
enum { MEASURES = sizeof measures / sizeof measures[0], MAX_RESULTS = 64 << 20 };

/* ---- writing ---- */

/* The results as a line that begins with the time of day; NULL without memory. */
static char *line_of(const cJSON *results)
{
    char when[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc) != NULL)
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "when", when);
    const cJSON *item;
    cJSON_ArrayForEach(item, results)
        cJSON_AddItemToObject(root, item->string, cJSON_Duplicate(item, true));
    char *text = cJSON_PrintUnformatted(root), *line = NULL;
    cJSON_Delete(root);
    if (text != NULL && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}

void run_results_add(const char *model, const cJSON *results)
{
    if (!path_has(model, "config.json"))
        return;
    char *path = path_join(model, "results.jsonl"), *line = line_of(results);
    int file = path != NULL && line != NULL
                   ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)
                   : -1;
    ssize_t size = line != NULL ? (ssize_t)strlen(line) : -1;
    if (file < 0 || write(file, line, (size_t)size) != size) {
        path_failed(path != NULL ? path : model, "add the results");
        complain("eval", "%s", ito_error_message());
        ito_error_clear();
    }
    if (file >= 0)
        close(file);
    free(path);
    free(line);
}

/* ---- reading ---- */

/* Lines up to the first that was cut. */
static void parse_lines(cJSON *list, const char *text, int64_t size)
{
    for (const char *end = text + size; text < end;) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        cJSON *line = stop != NULL ? cJSON_ParseWithLength(text, (size_t)(stop - text)) : NULL;
        if (!cJSON_IsObject(line)) {
            cJSON_Delete(line);
            return;
        }
        cJSON_AddItemToArray(list, line);
        text = stop + 1;
    }
}

cJSON *run_results_read(const char *dir)
{
    cJSON *list = cJSON_CreateArray();
    char *path = path_join(dir, "results.jsonl");
    if (list == NULL || path == NULL)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its results", dir);
    else if (path_exists(path)) {
        int64_t size = 0;
        char *text = ito_file_read(path, MAX_RESULTS, &size);
        if (text != NULL)
            parse_lines(list, text, size);
        free(text);
        ito_error_clear(); /* results that cannot be read are none */
    }
    free(path);
    return list;
}

static void keep(cJSON *latest, const cJSON *line, const char *measure)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(line, measure);
    if (!cJSON_IsNumber(value))
        return;
    cJSON *one = cJSON_CreateObject();
    cJSON_AddNumberToObject(one, "value", value->valuedouble);
    static const char *const of[] = {"step", "images"};
    for (int i = 0; i < 2; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, of[i]);
        if (cJSON_IsNumber(item))
            cJSON_AddNumberToObject(one, of[i], item->valuedouble);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(latest, measure);
    cJSON_AddItemToObject(latest, measure, one);
}

cJSON *run_results_latest(const cJSON *results)
{
    cJSON *latest = cJSON_CreateObject();
    const cJSON *line;
    for (int m = 0; m < MEASURES; m++)
        cJSON_ArrayForEach(line, results) keep(latest, line, measures[m]);
    return latest;
}

void run_result_text(const cJSON *latest, bool more, char *text, size_t size)
{
    if (latest == NULL) {
        snprintf(text, size, "-");
        return;
    }
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(latest, "value");
    const cJSON *images = cJSON_GetObjectItemCaseSensitive(latest, "images");
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(latest, "step");
    int n = snprintf(text, size, "%s %.4g", latest->string, value->valuedouble);
    if (more && images != NULL && step != NULL && n >= 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, " (%.0f images, step %.0f)", images->valuedouble,
                 step->valuedouble);
}
