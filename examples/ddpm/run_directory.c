/* The directory of a training run.
 * Invariant: only the process that holds the lock writes into it; the system releases the lock when
 * a process dies. */
#include "examples/ddpm/run_directory.h"

#include "examples/common/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define MAX_CONFIG (1 << 20)

bool run_check_new(const char *dir)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return errno == ENOENT || path_failed(dir, "open it as a directory");
    bool empty = true;
    for (const struct dirent *e; empty && (e = readdir(d)) != NULL;)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(d);
    if (!empty)
        ito_error_set(ITO_ERR_ARGUMENT,
                      "%s: it is not empty; go on with the run in it by --resume, or name another "
                      "directory",
                      dir);
    return empty;
}

static bool take_lock(training_run *r)
{
    char *path = path_join(r->dir, "lock");
    if (path == NULL)
        return false;
    r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (r->lock < 0)
        path_failed(path, "open");
    else if (flock(r->lock, LOCK_EX | LOCK_NB) != 0) {
        ito_error_set(ITO_ERR_IO, "%s: another process is training in this directory", r->dir);
        close(r->lock);
        r->lock = -1;
    }
    free(path);
    return r->lock >= 0;
}

static bool run_begin(training_run *r, const char *dir)
{
    *r = (training_run){.lock = -1};
    r->dir = strdup(dir);
    r->checkpoints = path_join(dir, "checkpoints");
    return r->dir != NULL && r->checkpoints != NULL;
}

bool run_set_config(training_run *r, const char *config)
{
    char *path = path_join(r->dir, "config.json");
    bool good = path != NULL && ito_file_write(path, config, strlen(config)) == ITO_OK;
    free(path);
    return good;
}

/* samples/ made, if it is missing, and whether it and checkpoints/ can be written into. */
static bool make_places(const training_run *r)
{
    char *samples = path_join(r->dir, "samples");
    bool good = samples != NULL && path_make_directory(samples, true) &&
                path_can_write_in(r->dir) && path_can_write_in(samples) &&
                path_can_write_in(r->checkpoints);
    free(samples);
    return good;
}

bool run_create(training_run *r, const char *dir, const char *config)
{
    if (!run_begin(r, dir) || !path_make_directory(dir, true) || !take_lock(r))
        return false;
    char *path = path_join(dir, "config.json");
    bool good = path != NULL;
    if (good && path_exists(path)) {
        ito_error_set(ITO_ERR_ARGUMENT, "%s: another process has just begun a run here", dir);
        good = false;
    }
    good = good && make_places(r) && run_set_config(r, config);
    free(path);
    return good;
}

cJSON *run_config_read(const char *path)
{
    int64_t size = 0;
    char *text = ito_file_read(path, MAX_CONFIG, &size);
    if (text == NULL)
        return NULL;
    cJSON *config = cJSON_ParseWithLength(text, (size_t)size);
    free(text);
    bool object = cJSON_IsObject(config);
    if (object && cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(config, "options")))
        return config;
    ito_error_set(ITO_ERR_FORMAT, "%s: %s JSON object", path,
                  object ? "its \"options\" are no" : "it is not a");
    cJSON_Delete(config);
    return NULL;
}

cJSON *run_config(const char *dir)
{
    char *path = path_join(dir, "config.json");
    cJSON *config = NULL;
    if (path != NULL && !path_exists(path))
        ito_error_set(ITO_ERR_IO, "%s: there is no run in it: it has no config.json", dir);
    else if (path != NULL)
        config = run_config_read(path);
    free(path);
    return config;
}

bool run_open(training_run *r, const char *dir)
{
    return run_begin(r, dir) && take_lock(r) && make_places(r);
}

char *run_sample_path(const char *dir, int64_t step)
{
    char name[64];
    snprintf(name, sizeof name, "samples/step-%" PRId64 ".png", step);
    return path_join(dir, name);
}

void run_close(training_run *r)
{
    run_log_close(&r->log);
    if (r->lock >= 0)
        close(r->lock);
    free(r->dir);
    free(r->checkpoints);
    *r = (training_run){.lock = -1};
}
