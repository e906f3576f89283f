/* Runs that were written down with --json, and what of one got slower in another.
 *
 * A row is slower if its time is longer than the old one's by more than noise: a floor of 5 %, and
 * half of what the rounds of both runs spread (from the fastest to the slowest round, relative to
 * the median), so that the rounds of the two runs, each about its median, do not meet. */
#include "tests/bench/bench_table.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>

enum { FORMAT = 1 };
static const double noise_floor = 0.05;

/* ---- reading ---- */

static ITO_PRINTF(2, 3) bool refuse(char said[LINE], const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(said, LINE, format, list);
    va_end(list);
    return false;
}

/* NaN if there is no such number. */
static double number_of(const cJSON *object, const char *name)
{
    return cJSON_GetNumberValue(cJSON_GetObjectItem(object, name));
}

const record *find_record(const recording *r, const char *work, const char *dtype, int threads)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->rows[i].work, work) == 0 && strcmp(r->rows[i].dtype, dtype) == 0 &&
            r->rows[i].threads == threads)
            return &r->rows[i];
    return NULL;
}

bool add_record(recording *r, const record *entry)
{
    const record *same = find_record(r, entry->work, entry->dtype, entry->threads);
    if (same != NULL) {
        record *at = &r->rows[same - r->rows];
        *at = entry->ms < at->ms ? *entry : *at;
        return true;
    }
    record *rows = realloc(r->rows, (r->n + 1) * sizeof *rows);
    if (rows == NULL)
        return false;
    r->rows = rows;
    r->rows[r->n++] = *entry;
    return true;
}

/* 0 if there is no such number, which nothing refuses. */
static double optional(const cJSON *line, const char *name)
{
    double number = number_of(line, name);
    return number > 0 && isfinite(number) ? number : 0;
}

/* A row of the benchmark; one without a time, since it was skipped or tells a gain, is left out. */
static bool add_line(recording *r, const cJSON *line)
{
    const char *work = text_of(line, "work", ""), *dtype = text_of(line, "dtype", "");
    record entry = {.threads = 0};
    double threads = number_of(line, "threads");
    if (!cJSON_IsObject(line) || *work == '\0' || strlen(work) >= sizeof entry.work ||
        strlen(dtype) >= sizeof entry.dtype || !(threads >= 1 && threads <= 1024))
        return false;
    if (!cJSON_HasObjectItem(line, "ms"))
        return true;
    strcpy(entry.work, work);
    strcpy(entry.dtype, dtype);
    snprintf(entry.part, sizeof entry.part, "%s", text_of(line, "part", ""));
    entry.threads = (int)threads;
    entry.rate = optional(line, "rate");
    entry.torch_ms = optional(line, "torch_ms");
    entry.onednn_ms = optional(line, "onednn_ms");
    entry.memory = optional(line, "process_mib");
    entry.torch_memory = optional(line, "torch_process_mib");
    entry.ms = number_of(line, "ms");
    entry.spread = number_of(line, "spread");
    return entry.ms > 0 && isfinite(entry.ms) && entry.spread >= 0 && isfinite(entry.spread) &&
           add_record(r, &entry);
}

static bool add_head(recording *r, cJSON *line)
{
    r->head = line;
    return cJSON_IsObject(line) && cJSON_HasObjectItem(line, "ito_bench");
}

bool read_recording(recording *r, const char *file, char said[LINE])
{
    *r = (recording){.file = file};
    FILE *f = fopen(file, "r");
    char *text = NULL;
    size_t size = 0;
    bool fine = f != NULL && getline(&text, &size, f) > 0;
    if (!fine && (f == NULL || ferror(f))) {
        refuse(said, "%s cannot be read: %s", file, strerror(errno));
    } else if (!fine) {
        refuse(said, "%s is empty", file);
    } else if (!add_head(r, cJSON_Parse(text))) {
        fine = refuse(said, "%s is not what ./run bench --json writes: its first line is no head",
                      file);
    } else if (number_of(r->head, "ito_bench") != FORMAT) {
        fine = refuse(said, "%s is of format %g of the benchmark; this one reads format %d", file,
                      number_of(r->head, "ito_bench"), FORMAT);
    }
    for (int number = 2; fine && getline(&text, &size, f) > 0; number++) {
        cJSON *line = cJSON_Parse(text);
        if (!add_line(r, line))
            fine = refuse(said, "%s is not what ./run bench --json writes: line %d is no row", file,
                          number);
        cJSON_Delete(line);
    }
    free(text);
    if (f != NULL)
        fclose(f);
    return fine;
}

void free_recording(recording *r)
{
    cJSON_Delete(r->head);
    free(r->rows);
    *r = (recording){0};
}

/* ---- comparing ---- */

static const char *name_of(const recording *r)
{
    return r->file != NULL ? r->file : "this run";
}

bool comparable(const recording *old, const recording *now, char said[LINE])
{
    char before[LINE / 4], after[LINE / 4];
    processor_of(old->head, before, sizeof before);
    processor_of(now->head, after, sizeof after);
    if (strcmp(before, after) != 0)
        return refuse(said, "%s was made on another processor: %s; %s on %s", name_of(old), before,
                      name_of(now), after);
    double threads = number_of(old->head, "threads"), others = number_of(now->head, "threads");
    if (threads != others)
        return refuse(said, "%s was made with --threads %g, %s with %g", name_of(old), threads,
                      name_of(now), others);
    return true;
}

static const record *find(const recording *r, const record *entry)
{
    return find_record(r, entry->work, entry->dtype, entry->threads);
}

/* What one time has to be of another to differ beyond noise. */
static double noise(const record *a, const record *b)
{
    return 1 + noise_floor + 0.5 * (a->spread + b->spread);
}

static bool beyond(const record *longer, const record *shorter)
{
    return longer->ms > shorter->ms * noise(longer, shorter);
}

bool is_slower(const recording *old, const record *entry)
{
    const record *before = find(old, entry);
    return before != NULL && beyond(entry, before);
}

static void print_difference(const char *what, const record *before, const record *now, FILE *to)
{
    double ratio = now->ms > before->ms ? now->ms / before->ms : before->ms / now->ms;
    fprintf(to, "%s: %s, %s, %d thread%s: %.4g ms, was %.4g: %.2f times (noise: %.2f)\n", what,
            now->work, now->dtype, now->threads, now->threads > 1 ? "s" : "", now->ms, before->ms,
            ratio, noise(before, now));
}

/* What else is not the same, and may be why, as limits may. */
static void print_heads(const recording *old, const recording *now, FILE *to)
{
    static const char *const names[] = {"date", "commit", "compiler", "isa", "torch", "onednn"};
    fprintf(to, "%s, against %s\n", name_of(now), name_of(old));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *before = text_of(old->head, names[i], "none"),
                   *after = text_of(now->head, names[i], "none");
        if (strcmp(before, after) != 0)
            fprintf(to, "  %s: %s, was %s\n", names[i], after, before);
    }
}

/* Limits on all threads that differ by more than the floor. */
static void print_limits(const recording *old, const recording *now, FILE *to)
{
    const cJSON *all = cJSON_GetObjectItem(now->head, "limits"), *limit;
    cJSON_ArrayForEach(limit, all)
    {
        const cJSON *other =
            cJSON_GetObjectItem(cJSON_GetObjectItem(old->head, "limits"), limit->string);
        double after = cJSON_GetNumberValue(cJSON_GetArrayItem(limit, 1));
        double before = cJSON_GetNumberValue(cJSON_GetArrayItem(other, 1));
        if (after > before * (1 + noise_floor) || before > after * (1 + noise_floor))
            fprintf(to, "  limit %s: %g, was %g\n", limit->string, after, before);
    }
}

int print_comparison(const recording *old, const recording *now, FILE *to)
{
    int slower = 0, faster = 0, both = 0;
    print_heads(old, now, to);
    print_limits(old, now, to);
    for (size_t i = 0; i < now->n; i++) {
        const record *entry = &now->rows[i], *before = find(old, entry);
        both += before != NULL;
        if (before != NULL && beyond(entry, before)) {
            print_difference("slower", before, entry, to);
            slower++;
        }
    }
    for (size_t i = 0; i < now->n; i++) {
        const record *entry = &now->rows[i], *before = find(old, entry);
        if (before != NULL && beyond(before, entry)) {
            print_difference("faster", before, entry, to);
            faster++;
        }
    }
    fprintf(to, "%d rows compared: %d slower, %d faster\n", both, slower, faster);
    if ((size_t)both < old->n || (size_t)both < now->n)
        fprintf(to, "not compared: %zu only in %s, %zu only in %s\n", old->n - (size_t)both,
                name_of(old), now->n - (size_t)both, name_of(now));
    return slower;
}
