/* Files, read with bounds and written whole or not at all.
 * Invariant: until the rename the path is untouched; after it the new content is on the disk. */
#include "tensor/io/file.h"
#include "tensor/internal.h"
#include "tensor/io/whole_file.h"
#include "tensor/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHOWN_PATH = 300 }; /* bytes of a path in a message, which holds 768 */

ito_status file_error(ito_status code, const char *path, const char *format, ...)
{
    char fault[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault, sizeof fault, format, arguments);
    va_end(arguments);
    size_t length = strlen(path);
    bool cut = length > SHOWN_PATH;
    char line[SHOWN_PATH + sizeof fault + 8];
    snprintf(line, sizeof line, "%s%s: %s", cut ? "..." : "",
             cut ? path + length - SHOWN_PATH : path, fault);
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    error_status(code, "%s", line);
    return code;
}

const char *file_error_fault(const char *path)
{
    size_t length = strlen(path), before = length > SHOWN_PATH ? SHOWN_PATH + 3 : length;
    const char *message = ito_error_message();
    return strlen(message) > before + 2 ? message + before + 2 : message;
}

ito_status file_system_error(const char *path, const char *action)
{
    char buffer[128];
    const char *reason = system_error_text(errno, buffer, sizeof buffer);
    return file_error(ITO_ERR_IO, path, "cannot %s: %s", action, reason);
}

/* Refuse what is no regular file: its content has no size and no place to be renamed to. */
static ito_status check_regular(const char *path, mode_t mode)
{
    if (S_ISDIR(mode))
        return file_error(ITO_ERR_IO, path, "is a directory, not a file");
    if (!S_ISREG(mode))
        return file_error(ITO_ERR_IO, path, "is not a regular file");
    return ITO_OK;
}

ito_status file_open(file_reader *f, const char *path)
{
    *f = (file_reader){.path = path, .fd = -1};
    if (path == NULL)
        return error_status(ITO_ERR_ARGUMENT, "file: no path is given");
    /* O_NONBLOCK: or else opening a pipe without a writer would wait for one. */
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0)
        return file_system_error(path, "open");
    struct stat info;
    ito_status status = fstat(f->fd, &info) != 0 ? file_system_error(path, "examine")
                                                 : check_regular(path, info.st_mode);
    if (status == ITO_OK && info.st_size == 0)
        status = file_error(ITO_ERR_FORMAT, path, "is empty");
    if (status != ITO_OK)
        file_close(f);
    else
        f->size = info.st_size;
    return status;
}

ito_status file_open_memory(file_reader *f, const void *bytes, size_t size, const char *path)
{
    *f = (file_reader){.path = path, .fd = -1, .bytes = bytes};
    if (path == NULL || bytes == NULL)
        return error_status(ITO_ERR_ARGUMENT, "file: no %s given",
                            path == NULL ? "path is" : "bytes are");
    if (size == 0 || size > INT64_MAX)
        return file_error(ITO_ERR_FORMAT, path, size == 0 ? "is empty" : "is too large");
    f->size = (int64_t)size;
    return ITO_OK;
}

/* As pread, of memory. */
static ssize_t read_memory(const file_reader *f, void *out, int64_t size, int64_t offset)
{
    int64_t left = f->size - offset, n = left < 0 ? 0 : left < size ? left : size;
    memcpy(out, f->bytes + (n > 0 ? offset : 0), (size_t)n);
    return n;
}

ito_status file_read(const file_reader *f, void *out, int64_t size, int64_t offset)
{
    char *next = out;
    while (size > 0) {
        ssize_t got = f->bytes != NULL ? read_memory(f, next, size, offset)
                                       : pread(f->fd, next, (size_t)size, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return file_system_error(f->path, "read");
        if (got == 0)
            return file_error(ITO_ERR_FORMAT, f->path,
                              "ends at byte %" PRId64 ", %" PRId64 " bytes too soon", offset, size);
        next += got;
        size -= got;
        offset += got;
    }
    return ITO_OK;
}

void file_close(file_reader *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* The file and a 0 behind it, in memory of this allocator. */
static ito_status read_whole(const char *path, int64_t max_size, void *(*allocate)(size_t bytes),
                             void (*release)(void *p), void **data, int64_t *size)
{
    file_reader f;
    ito_status status = file_open(&f, path);
    if (status != ITO_OK)
        return status;
    char *bytes = NULL;
    if (f.size > max_size)
        status = file_error(ITO_ERR_FORMAT, path,
                            "has %" PRId64 " bytes, more than the %" PRId64 " allowed", f.size,
                            max_size);
    else if ((bytes = allocate((size_t)f.size + 1)) == NULL)
        status = ITO_ERR_MEMORY;
    else
        status = file_read(&f, bytes, f.size, 0);
    file_close(&f);
    if (bytes == NULL || status != ITO_OK) {
        release(bytes);
        return status;
    }
    bytes[f.size] = '\0';
    *data = bytes;
    *size = f.size;
    return ITO_OK;
}

ito_status file_read_all(const char *path, int64_t max_size, void **data, int64_t *size)
{
    return read_whole(path, max_size, mem_alloc, mem_free, data, size);
}

char *ito_file_read(const char *path, int64_t max_size, int64_t *size)
{
    void *data = NULL;
    int64_t bytes = 0;
    if (read_whole(path, max_size, struct_alloc, free, &data, &bytes) != ITO_OK)
        return NULL;
    if (size != NULL)
        *size = bytes;
    return data;
}

int64_t file_bool_fault(const void *elements, int64_t n)
{
    const unsigned char *byte = elements;
    for (int64_t i = 0; i < n; i++)
        if (byte[i] > 1)
            return i;
    return -1;
}

ito_status file_write_begin(file_writer *w, const char *path)
{
    *w = (file_writer){.fd = -1};
    if (path == NULL) {
        error_status(ITO_ERR_ARGUMENT, "file: no path is given");
        return ITO_ERR_ARGUMENT;
    }
    struct stat info;
    if (stat(path, &info) == 0 && check_regular(path, info.st_mode) != ITO_OK)
        return ITO_ERR_IO;
    size_t length = strlen(path), room = length + sizeof ".tmp-2147483647";
    w->path = struct_alloc(length + 1 + room);
    if (w->path == NULL)
        return ITO_ERR_MEMORY;
    memcpy(w->path, path, length + 1);
    w->temporary = w->path + length + 1;
    snprintf(w->temporary, room, "%s.tmp-%d", path, system_thread_number());
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    w->fd = open(w->temporary, flags, 0666);
    if (w->fd < 0 && errno == EEXIST && unlink(w->temporary) == 0) /* left by a process killed */
        w->fd = open(w->temporary, flags, 0666);
    if (w->fd >= 0)
        return ITO_OK;
    file_system_error(path, "create");
    free(w->path);
    *w = (file_writer){.fd = -1};
    return ITO_ERR_IO;
}

ito_status file_write(file_writer *w, const void *data, size_t size, int64_t offset)
{
    const char *next = data;
    while (size > 0) {
        ssize_t put = pwrite(w->fd, next, size, offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return file_system_error(w->path, "write");
        next += put;
        size -= (size_t)put;
        offset += put;
    }
    return ITO_OK;
}

static int sync_retrying(int fd)
{
    int result;
    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    return result;
}

/* The rename itself must reach the disk. Some file systems cannot sync a directory, and one that
 * may be written but not listed cannot be opened: then nothing more can be done. */
static ito_status sync_directory_of(file_writer *w)
{
    char *slash = strrchr(w->path, '/');
    const char *directory = slash == NULL ? "." : slash == w->path ? "/" : w->path;
    if (slash != NULL)
        *slash = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool failed =
        fd < 0 ? errno != EACCES : sync_retrying(fd) != 0 && errno != EINVAL && errno != EROFS;
    if (slash != NULL)
        *slash = '/';
    ito_status status = failed ? file_system_error(w->path, "sync the directory of") : ITO_OK;
    if (fd >= 0)
        close(fd);
    return status;
}

ito_status file_write_commit(file_writer *w)
{
    ito_status status = sync_retrying(w->fd) == 0 ? ITO_OK : file_system_error(w->path, "sync");
    /* After EINTR the descriptor is closed, and the sync has already told of lost data. */
    if (close(w->fd) != 0 && errno != EINTR && status == ITO_OK)
        status = file_system_error(w->path, "close");
    w->fd = -1;
    if (status == ITO_OK && rename(w->temporary, w->path) != 0)
        status = file_system_error(w->path, "replace");
    if (status != ITO_OK) {
        file_write_abandon(w);
        return status;
    }
    status = sync_directory_of(w);
    free(w->path);
    *w = (file_writer){.fd = -1};
    return status;
}

void file_write_abandon(file_writer *w)
{
    if (w->path == NULL)
        return;
    if (w->fd >= 0)
        close(w->fd);
    unlink(w->temporary);
    free(w->path);
    *w = (file_writer){.fd = -1};
}

ito_status ito_file_write(const char *path, const void *bytes, size_t size)
{
    if (bytes == NULL && size > 0)
        return error_status(ITO_ERR_ARGUMENT, "file: no bytes are given");
    file_writer w;
    ito_status status = file_write_begin(&w, path);
    if (status != ITO_OK)
        return status;
    status = file_write(&w, bytes, size, 0);
    if (status == ITO_OK)
        return file_write_commit(&w);
    file_write_abandon(&w);
    return status;
}
