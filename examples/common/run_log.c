/* log.jsonl read back, as columns. */
#include "examples/common/run_log.h"

#include "examples/ddpm/run_directory.h"
#include "tensor/base.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Append what the line says; false if it is not a line of a log. */
static bool take_line(run_history *h, const char *line)
{
    cJSON *root = cJSON_Parse(line);
    bool good = run_log_step(root) >= 0;
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
        if (!memory || line[n - 1] != '\n' || !take_line(h, line))
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
        ito_error_set(ITO_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
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
    *h = (run_history){.n = 0};
}
