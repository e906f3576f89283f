/* The directory of a training run.
 * Invariant: whoever writes into it holds the lock, which the system takes back when a process
 * dies. */
#include "examples/ddpm/run_directory.h"

#include "tensor/base.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_CONFIG (1 << 20)

static bool io_failed(const char *path, const char *action)
{
    ito_error_set(ITO_ERR_IO, "%s: cannot %s: %s", path, action, strerror(errno));
    return false;
}

char *path_join(const char *dir, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", dir, name) >= 0)
        return path;
    ito_error_set(ITO_ERR_MEMORY, "%s/%s: no memory for the path", dir, name);
    return NULL;
}

bool run_check_new(const char *dir)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return errno == ENOENT || io_failed(dir, "open it as a directory");
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

/* mkdir -p */
static bool make_directory(const char *dir)
{
    char *path = strdup(dir);
    if (path == NULL)
        return io_failed(dir, "make the directory");
    bool made = true;
    for (char *p = path + 1; made && *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        made = mkdir(path, 0777) == 0 || errno == EEXIST;
        *p = '/';
    }
    made = made && (mkdir(path, 0777) == 0 || errno == EEXIST);
    free(path);
    return made || io_failed(dir, "make the directory");
}

static bool take_lock(training_run *r)
{
    char *path = path_join(r->dir, "lock");
    if (path == NULL)
        return false;
    r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (r->lock < 0)
        io_failed(path, "open");
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
    r->log = NULL;
    r->lock = -1;
    r->dir = strdup(dir);
    r->checkpoints = path_join(dir, "checkpoints");
    return r->dir != NULL && r->checkpoints != NULL;
}

bool run_set_config(training_run *r, const char *config)
{
    char *path = path_join(r->dir, "config.json");
    bool good = path != NULL && file_write_atomic(path, config, strlen(config)) == ITO_OK;
    free(path);
    return good;
}

bool run_create(training_run *r, const char *dir, const char *config)
{
    if (!run_begin(r, dir) || !make_directory(dir) || !take_lock(r))
        return false;
    char *samples = path_join(dir, "samples"), *path = path_join(dir, "config.json");
    bool good = samples != NULL && path != NULL;
    if (good && access(path, F_OK) == 0) {
        ito_error_set(ITO_ERR_ARGUMENT, "%s: another process has just begun a run here", dir);
        good = false;
    }
    good = good && make_directory(samples) && run_set_config(r, config);
    free(samples);
    free(path);
    return good;
}

cJSON *run_config(const char *dir)
{
    char *path = path_join(dir, "config.json");
    cJSON *config = NULL;
    void *data;
    int64_t size;
    if (path == NULL)
        return NULL;
    if (access(path, F_OK) != 0)
        ito_error_set(ITO_ERR_IO, "%s: there is no run in it: it has no config.json", dir);
    else if (file_read_all(path, MAX_CONFIG, &data, &size) == ITO_OK) {
        config = cJSON_ParseWithLength(data, (size_t)size);
        mem_free(data);
        bool object = cJSON_IsObject(config);
        if (!object || !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(config, "options"))) {
            ito_error_set(ITO_ERR_FORMAT, "%s: %s JSON object", path,
                          object ? "its \"options\" are no" : "it is not a");
            cJSON_Delete(config);
            config = NULL;
        }
    }
    free(path);
    return config;
}

bool run_open(training_run *r, const char *dir)
{
    return run_begin(r, dir) && take_lock(r);
}

/* ---- the log ---- */

int64_t run_log_step(const cJSON *line)
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
    int64_t value = run_log_step(root);
    if (value >= 0 && cJSON_IsNumber(took))
        *seconds = took->valuedouble;
    cJSON_Delete(root);
    return value;
}

/* How many bytes of the log belong to steps up to `step`: whole lines that can be read. */
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

bool run_log_open(training_run *r, int64_t step, double *seconds)
{
    off_t length = 0;
    *seconds = 0.0;
    char *path = path_join(r->dir, "log.jsonl");
    if (path == NULL)
        return false;
    r->log = fopen(path, "a+");
    bool good = r->log != NULL && fseek(r->log, 0, SEEK_SET) == 0 &&
                kept_length(r->log, step, &length, seconds) && fflush(r->log) == 0 &&
                ftruncate(fileno(r->log), length) == 0 && fseek(r->log, 0, SEEK_END) == 0;
    if (!good)
        io_failed(path, "open it to write");
    free(path);
    return good;
}

bool run_log(training_run *r, const char *line)
{
    if (fputs(line, r->log) >= 0 && fputc('\n', r->log) != EOF && fflush(r->log) == 0)
        return true;
    char *path = path_join(r->dir, "log.jsonl");
    if (path != NULL)
        io_failed(path, "write");
    free(path);
    return false;
}

char *run_sample_path(const training_run *r, int64_t step)
{
    char name[64];
    snprintf(name, sizeof name, "samples/step-%" PRId64 ".png", step);
    return path_join(r->dir, name);
}

void run_close(training_run *r)
{
    if (r->log != NULL)
        fclose(r->log);
    if (r->lock >= 0)
        close(r->lock);
    free(r->dir);
    free(r->checkpoints);
    *r = (training_run){.lock = -1};
}

bool text_begin(text_file *f, const char *path)
{
    *f = (text_file){.path = path};
    f->out = open_memstream(&f->text, &f->size);
    if (f->out == NULL)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its text", path);
    return f->out != NULL;
}

bool text_end(text_file *f)
{
    bool good = fclose(f->out) == 0;
    if (!good)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its text", f->path);
    good = good && file_write_atomic(f->path, f->text, f->size) == ITO_OK;
    free(f->text);
    return good;
}

bool path_can_write(const char *path)
{
    if (path == NULL)
        return true;
    const char *slash = strrchr(path, '/');
    char *dir = NULL; /* "DIR/.", which is not there if DIR is a file */
    bool good = asprintf(&dir, "%.*s.", slash != NULL ? (int)(slash + 1 - path) : 0, path) >= 0 &&
                access(dir, W_OK | X_OK) == 0;
    if (!good)
        ito_error_set(ITO_ERR_IO, "%s: cannot write it: %s", path, strerror(errno));
    struct stat info;
    if (good && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        ito_error_set(ITO_ERR_IO, "%s: cannot write it: it is a directory", path);
        good = false;
    }
    free(dir);
    return good;
}

bool paths_can_write(const char *a, const char *b, const char *c)
{
    const char *const paths[] = {a, b, c, a};
    for (int i = 0; i < 3; i++) {
        if (!path_can_write(paths[i]))
            return false;
        if (paths[i] != NULL && paths[i + 1] != NULL && strcmp(paths[i], paths[i + 1]) == 0) {
            ito_error_set(ITO_ERR_ARGUMENT, "%s: it cannot be two files at once; name another one",
                          paths[i]);
            return false;
        }
    }
    return true;
}
