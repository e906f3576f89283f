/* What Linux has beyond POSIX: all of it is asked for here, and system.c has a second way for each,
 * with POSIX alone (ITO_POSIX, the option posix_only of the build). A port to another system
 * changes that file: see docs/porting.md. Internal. */
#ifndef ITO_SYSTEM_H
#define ITO_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__linux__) && !defined(ITO_POSIX)
#define ITO_POSIX
#endif

/* ---- the processor ---- */

/* Whether it has the BF16 instructions of AArch64. */
bool system_has_bf16(void);
/* Ask for the state of AMX's tiles, for all threads of the process; false where that is refused. */
bool system_permits_tiles(void);
/* Bytes of the second-level cache of a core, or 0 if the system does not say. */
int64_t system_cache_bytes(void);

/* ---- memory ---- */

#ifndef ITO_POSIX /* where each block is one of aligned_alloc: see ranges.c */
/* Addresses with so much room above them that nobody uses yet, or NULL. */
char *system_find_room(size_t size);
/* Zeros, at these addresses if they are free, anywhere else if not; NULL if there are none. */
char *system_map(char *where, size_t size);
/* A wish: few, large pages for these. */
void system_want_huge_pages(void *p, size_t size);
#endif
/* The pages of a file from `offset` on, a multiple of their size. What is written to them goes to
 * copies, for which no memory is set aside where that can be had, or a file larger than memory
 * would be refused. NULL and errno. */
char *system_map_file(int fd, int64_t offset, size_t size);

/* ---- files and threads ---- */

/* The two paths exchange what they name, at once; false, with errno, if that cannot be done:
 * ENOSYS or EINVAL if the system or the file system never does it. */
bool system_exchange(const char *a, const char *b);
/* A descriptor of a directory from which files in it are looked up; -1 and errno. */
int system_open_directory(const char *path);
/* A number that no other thread of any running process has: at most INT32_MAX. */
int system_thread_number(void);
/* The system's words for an errno: in the buffer or elsewhere. */
const char *system_error_text(int error, char *buffer, size_t size);

/* ---- functions ---- */

/* lgamma, which writes a global variable where there is no better one. */
double system_lgamma(double x);

/* qsort, with a context handed to each comparison. */
void system_sort(void *base, size_t count, size_t size,
                 int (*compare)(const void *a, const void *b, void *context), void *context);

#endif
