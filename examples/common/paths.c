/* Paths of files and directories. */
#include "examples/common/paths.h"

#include <errno.h>
#include <ito/tensor/base.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool path_failed(const char *path, const char *action)
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

bool path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool path_has(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    bool there = path != NULL && path_exists(path);
    free(path);
    return there;
}

bool path_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool path_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool make_one(const char *dir)
{
    return mkdir(dir, 0777) == 0 || (errno == EEXIST && path_is_directory(dir));
}

bool path_make_directory(const char *dir, bool parents)
{
    char *path = strdup(dir);
    bool made = path != NULL;
    for (char *p = path + 1; made && parents && *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        made = make_one(path);
        *p = '/';
    }
    made = made && make_one(path);
    free(path);
    return made || path_failed(dir, "make the directory");
}

bool path_can_write(const char *path)
{
    if (path == NULL)
        return true;
    const char *slash = strrchr(path, '/');
    char *dir = NULL; /* "DIR/.", which does not exist if DIR is a file */
    bool good = asprintf(&dir, "%.*s.", slash != NULL ? (int)(slash + 1 - path) : 0, path) >= 0 &&
                access(dir, W_OK | X_OK) == 0;
    if (!good)
        path_failed(path, "write it");
    if (good && path_is_directory(path)) {
        ito_error_set(ITO_ERR_IO, "%s: cannot write it: it is a directory", path);
        good = false;
    }
    free(dir);
    return good;
}

bool paths_differ(const char *a, const char *b)
{
    if (a == NULL || b == NULL || strcmp(a, b) != 0)
        return true;
    ito_error_set(ITO_ERR_ARGUMENT, "%s: it cannot be two files at once; name another one", a);
    return false;
}

bool path_can_write_in(const char *dir)
{
    if (!path_exists(dir))
        return true;
    if (path_is_directory(dir) && access(dir, W_OK | X_OK) == 0)
        return true;
    errno = path_is_directory(dir) ? errno : ENOTDIR;
    return path_failed(dir, "write into it");
}

int64_t path_room(const char *path)
{
    struct statvfs disk;
    char *place = strdup(path);
    bool known = place != NULL && statvfs(place, &disk) == 0;
    while (place != NULL && !known) {
        char *slash = strrchr(place, '/');
        if (slash != NULL)
            *slash = '\0';
        known = statvfs(slash == NULL ? "." : slash == place ? "/" : place, &disk) == 0;
        if (slash == NULL || slash == place)
            break;
    }
    free(place);
    int64_t room = INT64_MAX;
    if (known && disk.f_blocks > 0 && __builtin_mul_overflow(disk.f_bavail, disk.f_frsize, &room))
        room = INT64_MAX;
    return room;
}
