/* Several runs beside each other.
 * Invariant: value i of a setting that differs is that of the i-th run that can be read. */
#include "examples/ddpm/runs.h"

#include "examples/common/progress.h"
#include "examples/common/results.h"
#include "examples/ddpm/run_results.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool run_list_add(run_list *list, const char *path)
{
    if (list->n == list->room) {
        int64_t room = list->room > 0 ? 2 * list->room : 16;
        run_entry *grown = realloc(list->entries, (size_t)room * sizeof *grown);
        if (grown == NULL) {
            ito_error_set(ITO_ERR_MEMORY, "%s: no memory to list it", path);
            return false;
        }
        list->entries = grown;
        list->room = room;
    }
    run_entry *e = &list->entries[list->n];
    *e = (run_entry){.path = strdup(path)};
    if (e->path == NULL) {
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory to list it", path);
        return false;
    }
    list->n++;
    e->good = run_summary_read(e->path, &e->run);
    if (!e->good) {
        snprintf(e->fault, sizeof e->fault, "%s", ito_error_message());
        ito_error_clear();
    }
    return true;
}

void run_list_free(run_list *list)
{
    for (int64_t i = 0; i < list->n; i++) {
        if (list->entries[i].good)
            run_summary_free(&list->entries[i].run);
        free(list->entries[i].path);
    }
    free(list->entries);
    *list = (run_list){.n = 0};
}

/* ---- settings that differ ---- */

/* Of the options, or what else config.json says of the run. */
static const cJSON *setting_of(const run_entry *e, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(e->run.options, name);
    return value != NULL ? value : cJSON_GetObjectItemCaseSensitive(e->run.config, name);
}

static void put_if_differing(cJSON *all, const run_list *list, const char *name)
{
    const cJSON *first = NULL;
    bool any = false, differs = false;
    if (cJSON_GetObjectItemCaseSensitive(all, name) != NULL)
        return;
    for (int64_t i = 0; i < list->n; i++) {
        if (!list->entries[i].good)
            continue;
        const cJSON *value = setting_of(&list->entries[i], name);
        bool same =
            value == NULL || first == NULL ? value == first : cJSON_Compare(value, first, true);
        differs = differs || (any && !same);
        first = any ? first : value;
        any = true;
    }
    cJSON *values = differs ? cJSON_AddArrayToObject(all, name) : NULL;
    for (int64_t i = 0; values != NULL && i < list->n; i++) {
        const cJSON *value = list->entries[i].good ? setting_of(&list->entries[i], name) : NULL;
        if (list->entries[i].good)
            cJSON_AddItemToArray(values,
                                 value != NULL ? cJSON_Duplicate(value, true) : cJSON_CreateNull());
    }
}

cJSON *runs_differing(const run_list *list)
{
    static const char *const others[] = {"images", "isa", "version"};
    cJSON *all = cJSON_CreateObject();
    for (int64_t i = 0; i < list->n; i++) {
        const cJSON *item;
        cJSON_ArrayForEach(item, list->entries[i].run.options)
            put_if_differing(all, list, item->string);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        put_if_differing(all, list, others[i]);
    return all;
}

const char *runs_loss_differs(const cJSON *differing)
{
    static const char *const names[] = {"data",          "schedule", "prediction", "loss",
                                        "weighting",     "gamma",    "k",          "sigma-data",
                                        "step-sampling", "variance"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (cJSON_GetObjectItemCaseSensitive(differing, names[i]) != NULL)
            return names[i];
    return NULL;
}

/* ---- the table ---- */

enum { COLUMNS = 80, NAME_COLUMNS = 24, INDENT = 4 };

/* A paragraph of words, indented, each line within the columns unless one word fills it. */
static void print_wrapped(FILE *out, const char *text)
{
    int at = 0;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (at > 0 && at + 1 + length > COLUMNS - 1) {
            fputc('\n', out);
            at = 0;
        }
        at += fprintf(out, "%*s%.*s", at == 0 ? INDENT : 1, "", length, text);
        text += length;
        text += strspn(text, " ");
    }
    if (at > 0)
        fputc('\n', out);
}

static const char *name_of(const run_entry *e, const char *base)
{
    size_t n = base != NULL ? strlen(base) : 0;
    bool inside = n > 0 && strncmp(e->path, base, n) == 0 && e->path[n] == '/';
    return inside ? e->path + n + 1 : e->path;
}

/* The number in a column of this width, or "-". */
static void print_number(FILE *out, int width, const char *format, double value)
{
    char text[32] = "-";
    if (isfinite(value))
        snprintf(text, sizeof text, format, value);
    fprintf(out, "  %*s", width, text);
}

static void print_columns(FILE *out, const run_summary *r)
{
    char step[48], took[32] = "-";
    if (r->steps > 0)
        snprintf(step, sizeof step, "%" PRId64 "/%" PRId64, r->step, r->steps);
    else
        snprintf(step, sizeof step, "%" PRId64, r->step);
    if (isfinite(r->seconds))
        format_duration(took, r->seconds);
    fprintf(out, "  %13s", step);
    print_number(out, 8, "%.4g", r->loss);
    fprintf(out, "  %7s", took);
    print_number(out, 8, "%.4g", r->images_per_second);
    fprintf(out, "  %s\n", r->state);
}

/* "schedule cosine, prediction v", of the k-th run that can be read. */
static void print_settings(FILE *out, const cJSON *differing, int k)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (f == NULL)
        return;
    const cJSON *values;
    const char *comma = "";
    cJSON_ArrayForEach(values, differing)
    {
        char shown[300];
        const cJSON *value = cJSON_GetArrayItem(values, k);
        if (cJSON_IsNull(value))
            continue;
        fprintf(f, "%s%s %s", comma, values->string, setting_text(value, shown, sizeof shown));
        comma = ", ";
    }
    if (fclose(f) == 0)
        print_wrapped(out, text);
    free(text);
}

static void print_results(FILE *out, const cJSON *latest)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, latest)
    {
        char text[160];
        run_result_text(one, true, text, sizeof text);
        print_wrapped(out, text);
    }
}

void runs_print(FILE *out, const run_list *list, const cJSON *differing, const char *base)
{
    int width = 3, k = 0;
    for (int64_t i = 0; i < list->n; i++) {
        int length = (int)strlen(name_of(&list->entries[i], base));
        width = length > width && length <= NAME_COLUMNS ? length : width;
    }
    if (list->n > 0)
        fprintf(out, "%-*s  %13s  %8s  %7s  %8s  %s\n", width, "run", "step", "loss", "time",
                "images/s", "state");
    for (int64_t i = 0; i < list->n; i++) {
        const run_entry *e = &list->entries[i];
        const char *name = name_of(e, base);
        if ((int)strlen(name) > width)
            fprintf(out, "%s\n%-*s", name, width, "");
        else
            fprintf(out, "%-*s", width, name);
        if (e->good) {
            print_columns(out, &e->run);
            print_settings(out, differing, k++);
            print_results(out, e->run.latest);
        } else {
            fprintf(out, "  damaged\n");
            print_wrapped(out, e->fault);
        }
    }
}

/* ---- JSON ---- */

cJSON *runs_describe(const run_list *list, const cJSON *differing)
{
    cJSON *root = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(root, "runs");
    for (int64_t i = 0; i < list->n; i++) {
        const run_entry *e = &list->entries[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddItemToArray(runs, one);
        result_text(one, "run", e->path);
        if (e->good) {
            run_summary_put(one, &e->run);
            cJSON_AddItemToObject(one, "options", cJSON_Duplicate(e->run.options, true));
        } else {
            result_text(one, "state", "damaged");
            result_text(one, "fault", e->fault);
        }
    }
    cJSON_AddItemToObject(root, "differing", cJSON_Duplicate(differing, true));
    return root;
}
