/* What a run directory says of its run.
 * Invariant: nothing in the directory is changed, and what is missing there is unknown, no error,
 * but for config.json. */
#include "examples/ddpm/run_summary.h"

#include "examples/common/paths.h"
#include "examples/common/results.h"
#include "examples/common/settings.h"
#include "examples/ddpm/resume.h"
#include "examples/ddpm/run_directory.h"
#include "examples/ddpm/run_results.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* ---- grids of samples ---- */

static int64_t grid_step(const char *name)
{
    static const char start[] = "step-";
    const char *digits = name + sizeof start - 1;
    if (strncmp(name, start, sizeof start - 1) != 0 || *digits < '0' || *digits > '9')
        return -1;
    char *end;
    errno = 0;
    long long step = strtoll(digits, &end, 10);
    return errno == 0 && strcmp(end, ".png") == 0 ? step : -1;
}

static int by_step(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t run_grids(const char *dir, const char *name, int64_t **steps)
{
    char *path = path_join(dir, name);
    DIR *d = path != NULL ? opendir(path) : NULL;
    int64_t n = 0, room = 0;
    *steps = NULL;
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (grid_step(e->d_name) < 0)
            continue;
        if (n == room) {
            room = room > 0 ? 2 * room : 64;
            int64_t *grown = realloc(*steps, (size_t)room * sizeof *grown);
            if (grown == NULL)
                break;
            *steps = grown;
        }
        (*steps)[n++] = grid_step(e->d_name);
    }
    if (d != NULL)
        closedir(d);
    free(path);
    if (n > 0)
        qsort(*steps, (size_t)n, sizeof **steps, by_step);
    return n;
}

/* ---- settings ---- */

/* With the defaults of this version for options that the run's did not have; as they are in a run
 * of a later version, whose values may be unknown here. */
static cJSON *read_options(const char *dir, const cJSON *config)
{
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(config, "options");
    train_options stored;
    cJSON *options = cJSON_CreateObject();
    if (options != NULL && stored_options(&stored, dir, given) &&
        settings_put(options, train_rows, &stored))
        return options;
    ito_error_clear();
    cJSON_Delete(options);
    return cJSON_Duplicate(given, true);
}

const char *setting_text(const cJSON *value, char *text, size_t size)
{
    char *number = cJSON_IsNumber(value) ? cJSON_PrintUnformatted(value) : NULL;
    if (value == NULL || cJSON_IsNull(value))
        snprintf(text, size, "-");
    else if (cJSON_IsBool(value))
        snprintf(text, size, "%s", cJSON_IsTrue(value) ? "yes" : "no");
    else if (cJSON_IsString(value))
        snprintf(text, size, "%s", value->valuestring);
    else
        snprintf(text, size, "%s", number != NULL ? number : "...");
    free(number);
    for (char *p = text; *p != '\0'; p++) /* which could control the terminal */
        *p = (unsigned char)*p < ' ' || *p == 127 ? '?' : *p;
    return text;
}

/* ---- how far it is ---- */

/* Whether a process holds the lock of the run: it is training. */
static bool is_training(const char *dir)
{
    char *path = path_join(dir, "lock");
    int file = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool held = file >= 0 && flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (file >= 0)
        close(file);
    free(path);
    return held;
}

/* The newest checkpoint, with the number of its parameters, by the head of their file. */
static void find_checkpoint(run_summary *r)
{
    char *dir = path_join(r->dir, "checkpoints");
    r->checkpoint = dir != NULL && path_exists(dir) ? ito_checkpoint_latest(dir) : NULL;
    if (r->checkpoint != NULL) {
        r->checkpoint_step = ito_checkpoint_step(r->checkpoint);
        char *path = path_join(r->checkpoint, "model.safetensors");
        ito_safetensors *f = path != NULL ? ito_safetensors_open(path) : NULL;
        r->parameters = f != NULL ? 0.0 : (double)NAN;
        for (int64_t i = 0; i < ito_safetensors_count(f); i++)
            r->parameters += (double)ito_shape_numel(ito_safetensors_shape(f, i));
        ito_safetensors_close(f);
        free(path);
    }
    ito_error_clear(); /* a damaged one is reported by who verifies it */
    free(dir);
}

static double last_of(const run_history *h, log_column column)
{
    return h->n > 0 ? h->column[column][h->n - 1] : (double)NAN;
}

/* The smoothed loss a tenth of the run ago, if there are lines enough to tell a trend. */
static double loss_before(const run_history *h)
{
    return h->n >= 40 ? h->smoothed[h->n - 1 - h->n / 10] : (double)NAN;
}

/* NaN for what is no time or size: a log may say anything. */
static double plausible(double value)
{
    return value >= 0.0 && value <= 0x1p53 ? value : (double)NAN;
}

static void take_log(run_summary *r)
{
    const run_history *h = &r->log;
    double step = last_of(h, LOG_STEP);
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(r->options, "steps");
    r->step = isfinite(step) ? (int64_t)step : 0;
    if (r->step < r->checkpoint_step)
        r->step = r->checkpoint_step;
    r->steps = cJSON_IsNumber(steps) && !isnan(plausible(steps->valuedouble))
                   ? (int64_t)steps->valuedouble
                   : 0;
    r->loss = h->n > 0 ? h->smoothed[h->n - 1] : (double)NAN;
    r->loss_before = loss_before(h);
    r->seconds = plausible(last_of(h, LOG_SECONDS));
    r->images_per_second = plausible(last_of(h, LOG_IMAGES_PER_SECOND));
    r->peak_bytes = plausible(last_of(h, LOG_PEAK_BYTES));
}

bool run_summary_read(const char *dir, run_summary *out)
{
    run_summary r = {.dir = dir, .checkpoint_step = -1, .grid_step = -1, .parameters = (double)NAN};
    r.config = run_config(dir);
    bool good = r.config != NULL && run_history_read(dir, &r.log) &&
                (r.results = run_results_read(dir)) != NULL;
    if (good) {
        int64_t *steps;
        r.options = read_options(dir, r.config);
        r.latest = run_results_latest(r.results);
        find_checkpoint(&r);
        take_log(&r);
        r.grids = run_grids(dir, "samples", &steps);
        r.grid_step = r.grids > 0 ? steps[r.grids - 1] : -1;
        free(steps);
        r.state = is_training(dir)                             ? "training"
                  : r.checkpoint == NULL                       ? "begun"
                  : r.steps > 0 && r.checkpoint_step < r.steps ? "stopped"
                                                               : "done";
    }
    *out = r;
    if (!good)
        run_summary_free(out);
    return good;
}

void run_summary_free(run_summary *r)
{
    cJSON_Delete(r->config);
    cJSON_Delete(r->options);
    cJSON_Delete(r->results);
    cJSON_Delete(r->latest);
    run_history_free(&r->log);
    free(r->checkpoint);
    *r = (run_summary){.dir = NULL};
}

/* ---- in words and JSON ---- */

const char *run_trend(const run_summary *r)
{
    if (!isfinite(r->loss) || !isfinite(r->loss_before))
        return NULL;
    double change = r->loss - r->loss_before, least = 0.01 * fabs(r->loss_before);
    return change < -least ? "falling" : change > least ? "rising" : "level";
}

bool run_summary_put(cJSON *o, const run_summary *r)
{
    return result_text(o, "state", r->state) && result_number(o, "step", (double)r->step) &&
           (r->steps == 0 || result_number(o, "steps", (double)r->steps)) &&
           result_number(o, "loss", r->loss) && result_text(o, "trend", run_trend(r)) &&
           result_number(o, "seconds", r->seconds) &&
           result_number(o, "images_per_second", r->images_per_second) &&
           result_number(o, "peak_bytes", r->peak_bytes) &&
           result_number(o, "parameters", r->parameters) &&
           result_text(o, "checkpoint", r->checkpoint) &&
           result_number(o, "grids", (double)r->grids) &&
           cJSON_AddItemToObject(o, "results", cJSON_Duplicate(r->latest, true));
}
