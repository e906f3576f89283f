/* Files, read with bounds and written whole or not at all. Not installed.
 *
 * Every error is one line, "PATH: fault". A file is written under a temporary name beside its place
 * and renamed there once it is complete and on the disk: whoever opens the path finds the old
 * content or the new, never a part. */
#ifndef ITO_IO_FILE_H
#define ITO_IO_FILE_H

#include "tensor/io/whole_file.h"
#include "tensor/tensor.h"

/* ---- errors ------------------------------------------------------------------------------------
 */

/* Record "PATH: fault" and give code. Control characters, which names in hostile files may hold,
 * are shown as '?', and a long path by its end, so that the fault is always seen. */
ito_status file_error(ito_status code, const char *path, const char *format, ...) ITO_PRINTF(3, 4);
/* What the recorded error of file_error says of this path, behind "PATH: "; until the next one. */
const char *file_error_fault(const char *path);
/* Record ITO_ERR_IO as "PATH: cannot <action>: <what errno says>" and give it. */
ito_status file_system_error(const char *path, const char *action);

/* ---- reading -----------------------------------------------------------------------------------
 */

typedef struct file_reader {
    const char *path;  /* the caller's, who keeps it alive */
    int fd;            /* -1 where nothing is open, and for memory */
    int64_t size;      /* when it was opened: at least 1 */
    const char *bytes; /* [size] a file that is in memory; or NULL */
} file_reader;

/* Open a regular file that is not empty; anything else is refused. A pipe is not waited for. */
ito_status file_open(file_reader *f, const char *path);
/* Bytes in memory, which stay the caller's, as if they were a file; path is for messages. */
ito_status file_open_memory(file_reader *f, const void *bytes, size_t size, const char *path);
/* Read exactly size bytes from offset on; ITO_ERR_FORMAT if the file ends before. Thread-safe. */
ito_status file_read(const file_reader *f, void *out, int64_t size, int64_t offset);
/* A row-major tensor on the pages of the file from offset on, which is aligned to its elements.
 * Changes in place stay in memory. The pages outlive f. */
ito_tensor *file_map(const file_reader *f, int64_t offset, ito_shape shape, ito_dtype dtype);
void file_close(file_reader *f);
/* A whole file of at most max_size bytes, and a 0 behind it, to be released with mem_free. */
ito_status file_read_all(const char *path, int64_t max_size, void **data, int64_t *size);
/* Elements of bool in a file must be 0 or 1: the index of the first that is not, or -1. */
int64_t file_bool_fault(const void *elements, int64_t n);

/* ---- writing -----------------------------------------------------------------------------------
 */

/* A file on its way. The zero value is one that is not under way. */
typedef struct file_writer {
    char *path; /* NULL unless under way */
    char *temporary;
    int fd;
} file_writer;

/* Create PATH.tmp-<thread id> (in the main thread the process id) in place of a stale one. */
ito_status file_write_begin(file_writer *w, const char *path);
/* Write at offset. After a failure the caller abandons. */
ito_status file_write(file_writer *w, const void *data, size_t size, int64_t offset);
/* Bring the file to the disk and to its place. On failure it is abandoned. */
ito_status file_write_commit(file_writer *w);
/* Remove the temporary. Does nothing to a writer that is not under way. */
void file_write_abandon(file_writer *w);
/* All of it in one call. */
#define file_write_atomic ito_file_write

#endif
