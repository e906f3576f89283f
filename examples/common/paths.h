/* Paths of files and directories. Functions that can fail give false or NULL with an error
 * recorded. */
#ifndef ITO_EXAMPLES_PATHS_H
#define ITO_EXAMPLES_PATHS_H

#include <stdbool.h>

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
/* The same for up to three paths, which must differ: one file would replace the other. */
bool paths_can_write(const char *a, const char *b, const char *c);
/* Record "PATH: cannot ACTION: " and the message of errno. Always false. */
bool path_failed(const char *path, const char *action);

#endif
