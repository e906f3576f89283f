/* log.jsonl of a training run.
 * Invariant: the file holds whole lines of steps in order, except for a last one that is truncated
 * if its process died. */
#include "examples/common/run_log.h"

#include "examples/common/paths.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <ito/tensor/base.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- writing ---- */

/* The step of such a line, 0 to 2^53; -1 if it has none. */
static int64_t step_of(const cJSON *line)
{
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(line, "step");
    bool good = cJSON_IsNumber(step) && step->valuedouble >= 0.0 && step->valuedouble <= 0x1p53;
    return good ? (int64_t)step->valuedouble : -1;
}

/* The step of a line, or -1; seconds is set if it has one. */
static int64_t line_step(const char *line, double *seconds)
{
    cJSON *root = cJSON_Parse(line);
    const cJSON *took = cJSON_GetObjectItemCaseSensitive(root, "seconds");
    int64_t value = step_of(root);
    if (value >= 0 && cJSON_IsNumber(took))
        *seconds = took->valuedouble;
    cJSON_Delete(root);
    return value;
}

/* The number of bytes of the log for steps up to `step`: whole lines that can be read. */
static bool kept_length(FILE *f, int64_t step, off_t *length, double *seconds)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    *length = 0;
    while ((n = getline(&line, &room, f)) > 0) {
        double took = *seconds;
        int64_t at = line[n - 1] == '\n' ? line_step(line, &took) : -1;
        if (at < 0 || at > step)
            break;
        *seconds = took;
        *length += n;
    }
    free(line);
    return ferror(f) == 0;
}

bool run_log_open(run_log *log, const char *dir, int64_t step, double *seconds)
{
    off_t length = 0;
    *seconds = 0.0;
    *log = (run_log){.path = path_join(dir, "log.jsonl")};
    if (log->path == NULL)
        return false;
    log->file = fopen(log->path, "a+");
    bool good = log->file != NULL && fseek(log->file, 0, SEEK_SET) == 0 &&
                kept_length(log->file, step, &length, seconds) && fflush(log->file) == 0 &&
                ftruncate(fileno(log->file), length) == 0 && fseek(log->file, 0, SEEK_END) == 0;
    return good || path_failed(log->path, "open it to write");
}

bool run_log_write(run_log *log, const char *line)
{
    return (fputs(line, log->file) >= 0 && fputc('\n', log->file) != EOF &&
            fflush(log->file) == 0) ||
           path_failed(log->path, "write");
}

void run_log_close(run_log *log)
{
    if (log->file != NULL)
        fclose(log->file);
    free(log->path);
    *log = (run_log){.file = NULL};
}

/* ---- reading ---- */

static const char *const names[LOG_COLUMNS] = {
    "step", "loss", "grad_norm", "lr", "images_per_second", "seconds", "peak_bytes"};

static bool grow(run_history *h, int64_t *room)
{
    int64_t wanted = *room > 0 ? 2 * *room : 1024;
    for (int c = 0; c < LOG_COLUMNS; c++) {
        double *grown = realloc(h->column[c], (size_t)wanted * sizeof *grown);
        if (grown == NULL)
            return false;
        h->column[c] = grown;
    }
    *room = wanted;
    return true;
}

/* Append the loss by time of a line, if it has one; false without memory. The room doubles at each
 * power of two. */
static bool take_bins(run_history *h, const cJSON *root)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "loss_by_t");
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != LOG_BINS)
        return true;
    if ((h->n_bins & (h->n_bins - 1)) == 0) {
        size_t room = h->n_bins > 0 ? 2 * (size_t)h->n_bins : 1;
        log_bins *grown = realloc(h->bins, room * sizeof *grown);
        if (grown == NULL)
            return false;
        h->bins = grown;
    }
    log_bins *bins = &h->bins[h->n_bins++];
    bins->step = (double)step_of(root);
    for (int i = 0; i < LOG_BINS; i++) {
        const cJSON *item = cJSON_GetArrayItem(list, i);
        bins->mean[i] = cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
    }
    return true;
}

/* Append the columns of the line; false if it is not a line of a log, or *memory if there is none.
 */
static bool take_line(run_history *h, const char *line, bool *memory)
{
    cJSON *root = cJSON_Parse(line);
    bool good = step_of(root) >= 0;
    *memory = !good || take_bins(h, root);
    for (int c = 0; good && c < LOG_COLUMNS; c++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, names[c]);
        h->column[c][h->n] = cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
    }
    h->n += good;
    cJSON_Delete(root);
    return good;
}

/* An exponential average whose weights sum to 1 from the first point on. */
static bool smooth(run_history *h)
{
    h->smoothed = malloc((size_t)(h->n > 0 ? h->n : 1) * sizeof *h->smoothed);
    if (h->smoothed == NULL)
        return false;
    double keep = pow(0.5, 40.0 / (double)(h->n > 40 ? h->n : 40)), sum = 0.0, weight = 0.0;
    for (int64_t i = 0; i < h->n; i++) {
        double loss = h->column[LOG_LOSS][i];
        if (isfinite(loss)) {
            sum = keep * sum + loss;
            weight = keep * weight + 1.0;
        }
        h->smoothed[i] = weight > 0.0 ? sum / weight : (double)NAN;
    }
    return true;
}

static bool read_lines(run_history *h, FILE *f)
{
    char *line = NULL;
    size_t length = 0;
    int64_t room = 0;
    ssize_t n;
    bool memory = true;
    while (memory && (n = getline(&line, &length, f)) > 0) {
        if (h->n == room)
            memory = grow(h, &room);
        if (!memory || line[n - 1] != '\n' || !take_line(h, line, &memory))
            break;
    }
    free(line);
    return memory;
}

bool run_history_read(const char *dir, run_history *out)
{
    *out = (run_history){.n = 0};
    char *path = path_join(dir, "log.jsonl");
    if (path == NULL)
        return false;
    FILE *f = fopen(path, "r");
    bool good = f != NULL || errno == ENOENT;
    if (!good)
        path_failed(path, "open");
    if (good && ((f != NULL && !read_lines(out, f)) || !smooth(out))) {
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory to read it", path);
        good = false;
    }
    if (f != NULL)
        fclose(f);
    free(path);
    return good;
}

void run_history_free(run_history *h)
{
    for (int c = 0; c < LOG_COLUMNS; c++)
        free(h->column[c]);
    free(h->smoothed);
    free(h->bins);
    *h = (run_history){.n = 0};
}
