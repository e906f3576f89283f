/* Directories of checkpoints.
 * Invariant: a name without ".tmp-" appears and disappears only by a rename of a complete
 * directory, so it never names half a checkpoint. */
#include "nn/checkpoint_dir.h"
#include "nn/checkpoint.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *checkpoint_path(const char *dir, const char *name)
{
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = struct_alloc(size);
    if (path != NULL)
        snprintf(path, size, "%s/%s", dir, name);
    return path;
}

/* ---- names -------------------------------------------------------------------------------------
 */

/* The decimal number at the start of text; *end is the address after it. -1 if there is none. */
static int64_t number_at(const char *text, const char **end)
{
    int64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *at - '0', &value))
            return -1;
    *end = at;
    return at == text ? -1 : value;
}

/* N of "step-N...", with *rest the address after it; -1 for another name. */
static int64_t step_of(const char *name, const char **rest)
{
    return strncmp(name, "step-", 5) == 0 ? number_at(name + 5, rest) : -1;
}

static bool is_checkpoint(const char *name, int64_t *step)
{
    const char *rest = NULL;
    *step = step_of(name, &rest);
    return *step >= 0 && *rest == '\0';
}

/* Whether it is a temporary directory of a process that no longer runs, or of this one. */
static bool is_stale(const char *name)
{
    const char *rest = NULL, *end = NULL;
    if (step_of(name, &rest) < 0 || strncmp(rest, ".tmp-", 5) != 0)
        return false;
    int64_t pid = number_at(rest + 5, &end);
    if (pid < 1 || pid > INT32_MAX || *end != '\0')
        return false;
    return pid == getpid() || (kill((pid_t)pid, 0) != 0 && errno == ESRCH);
}

/* ---- removing ----------------------------------------------------------------------------------
 */

/* Remove a directory and the files in it, as far as that is possible. */
static void remove_directory(const char *path)
{
    DIR *d = opendir(path);
    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(path);
}

static void remove_stale(const char *dir)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char *path = is_stale(e->d_name) ? checkpoint_path(dir, e->d_name) : NULL;
        if (path != NULL)
            remove_directory(path);
        free(path);
    }
    closedir(d);
}

/* "DIR/step-N", or "DIR/step-N.tmp-PID". */
static char *step_path(const char *dir, int64_t step, bool temporary)
{
    char name[64];
    if (temporary)
        snprintf(name, sizeof name, "step-%" PRId64 ".tmp-%ld", step, (long)getpid());
    else
        snprintf(name, sizeof name, "step-%" PRId64, step);
    return checkpoint_path(dir, name);
}

/* The rename comes first, so that a process that dies here leaves a temporary, not half a
 * checkpoint. */
static void remove_checkpoint(const char *dir, int64_t step)
{
    char *path = step_path(dir, step, false), *temporary = step_path(dir, step, true);
    if (path != NULL && temporary != NULL && rename(path, temporary) == 0)
        remove_directory(temporary);
    free(path);
    free(temporary);
}

/* ---- scanning ----------------------------------------------------------------------------------
 */

/* The highest step below `below`, or -1. */
static int64_t highest_step(DIR *d, int64_t below)
{
    int64_t highest = -1, step;
    rewinddir(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (is_checkpoint(e->d_name, &step) && step < below && step > highest)
            highest = step;
    return highest;
}

char *ito_checkpoint_latest(const char *dir)
{
    if (dir == NULL) {
        error_missing("checkpoint_latest", "the directory");
        return NULL;
    }
    DIR *d = opendir(dir);
    if (d == NULL) {
        file_system_error(dir, "look for checkpoints in it");
        return NULL;
    }
    int64_t step = highest_step(d, INT64_MAX);
    closedir(d);
    return step < 0 ? NULL : step_path(dir, step, false);
}

void checkpoint_prune(const char *dir, int64_t keep, int64_t step)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return;
    int64_t kept = 0;
    for (int64_t at = highest_step(d, INT64_MAX); at >= 0; at = highest_step(d, at))
        if (++kept > keep && at != step)
            remove_checkpoint(dir, at);
    closedir(d);
}

/* ---- writing -----------------------------------------------------------------------------------
 */

static void writing_free(checkpoint_writing *w)
{
    free(w->parent);
    free(w->final);
    free(w->temporary);
    *w = (checkpoint_writing){0};
}

void checkpoint_abandon(checkpoint_writing *w)
{
    if (w->temporary != NULL)
        remove_directory(w->temporary);
    writing_free(w);
}

static ito_status sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ito_status status = ITO_OK;
    if (fd < 0 || fsync(fd) != 0)
        status = file_system_error(path, "sync the directory");
    if (fd >= 0)
        close(fd);
    return status;
}

/* Make DIR and sync its parent, unless it exists. */
static ito_status make_directory(const char *dir)
{
    if (mkdir(dir, 0777) != 0)
        return errno == EEXIST ? ITO_OK : file_system_error(dir, "make the directory");
    char *around = checkpoint_path(dir, "..");
    ito_status status = around == NULL ? ITO_ERR_MEMORY : sync_directory(around);
    free(around);
    return status;
}

ito_status checkpoint_begin(checkpoint_writing *w, const char *dir, int64_t step)
{
    *w = (checkpoint_writing){.parent = checkpoint_path(dir, "."),
                              .final = step_path(dir, step, false),
                              .temporary = step_path(dir, step, true)};
    ito_status status = ITO_ERR_MEMORY;
    if (w->parent == NULL || w->final == NULL || w->temporary == NULL)
        goto fail;
    status = make_directory(dir);
    if (status == ITO_OK)
        remove_stale(dir);
    if (status == ITO_OK && mkdir(w->temporary, 0777) != 0)
        status = file_system_error(w->temporary, "make the directory");
    if (status != ITO_OK)
        goto fail;
    return ITO_OK;
fail:
    writing_free(w);
    return status;
}

/* An existing checkpoint of this step is exchanged with the new one and then removed under the
 * temporary's name. If the file system cannot exchange, it is removed first. */
static ito_status put_in_place(const checkpoint_writing *w)
{
    if (rename(w->temporary, w->final) == 0)
        return ITO_OK;
    if (errno == EEXIST || errno == ENOTEMPTY) {
        if (system_exchange(w->temporary, w->final)) {
            remove_directory(w->temporary);
            return ITO_OK;
        }
        if (errno == EINVAL || errno == ENOSYS) {
            remove_directory(w->final);
            if (rename(w->temporary, w->final) == 0)
                return ITO_OK;
        }
    }
    return file_system_error(w->final, "put the checkpoint in its place");
}

ito_status checkpoint_commit(checkpoint_writing *w)
{
    ito_status status = sync_directory(w->temporary);
    if (status == ITO_OK)
        status = put_in_place(w);
    if (status != ITO_OK) {
        checkpoint_abandon(w);
        return status;
    }
    status = sync_directory(w->parent);
    writing_free(w);
    return status;
}
