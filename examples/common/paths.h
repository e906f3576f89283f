/* Paths of files and directories. Functions that can fail give false or NULL with an error
 * recorded. */
#ifndef ITO_EXAMPLES_PATHS_H
#define ITO_EXAMPLES_PATHS_H

#include <stdbool.h>
#include <stdint.h>

/* "DIR/NAME", freed with free(). */
char *path_join(const char *dir, const char *name);
bool path_exists(const char *path);
/* Whether there is DIR/NAME. */
bool path_has(const char *dir, const char *name);
bool path_is_directory(const char *path);
/* Whether text ends with these letters: ".npy". */
bool path_ends_with(const char *text, const char *end);
/* Make the directory, with its parents if `parents`. It may exist already. */
bool path_make_directory(const char *dir, bool parents);
/* Whether a file can be made at path, or path is NULL. Called before hours of work, not after. */
bool path_can_write(const char *path);
/* Whether they are not the same file, which one would replace; also if one is NULL. */
bool paths_differ(const char *a, const char *b);
/* Whether files can be made in the directory; it may be missing. */
bool path_can_write_in(const char *dir);
/* Bytes that are free where path is or will be, for this user; the largest number if that is not
 * known. */
int64_t path_room(const char *path);
/* Record "PATH: cannot ACTION: " and the message of errno. Always false. */
bool path_failed(const char *path, const char *action);

#endif
