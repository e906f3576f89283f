/* Files of any content, read and written as a whole.
 *
 * A file is written under a temporary name beside its place, brought to the disk and renamed.
 * Whoever opens the path finds the old content or the new, never a part, even if the process dies.
 */
#ifndef ITO_IO_WHOLE_FILE_H
#define ITO_IO_WHOLE_FILE_H

#include "../base.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Replace the file at path by these bytes, or create it. The directory must exist.
 *
 * @param bytes  [size] borrowed; may be NULL if size is 0.
 * @return       ITO_ERR_ARGUMENT without a path, or without bytes where size is not 0; ITO_ERR_IO,
 *               "PATH: cannot replace: ...", if the system refuses or something other than a
 *               regular file is there; ITO_ERR_MEMORY. On failure an older file is untouched.
 */
ITO_API ito_status ito_file_write(const char *path, const void *bytes, size_t size);

/**
 * Read a regular file of 1 to max_size bytes. A pipe, a device or a directory is refused.
 *
 * @param size  receives the number of bytes on success; may be NULL.
 * @return      the bytes and a 0 behind them, so that a text is a string. Owned by the caller, who
 *              frees them with free(). NULL on error: ITO_ERR_ARGUMENT without a path, ITO_ERR_IO,
 *              ITO_ERR_FORMAT for a file that is empty or too large, ITO_ERR_MEMORY.
 */
ITO_API char *ito_file_read(const char *path, int64_t max_size, int64_t *size);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_file_write(...) ITO_AT(ito_file_write(__VA_ARGS__))
#define ito_file_read(...) ITO_AT(ito_file_read(__VA_ARGS__))
#endif

#endif
