/* Linux, and beside it what any system with POSIX does instead. See system.h. */
#include "tensor/system.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef ITO_POSIX /* ---- Linux ------------------------------------------------------------------ \
                   */

#include <sys/auxv.h>
#include <sys/syscall.h>

bool system_has_bf16(void)
{
#if defined(__aarch64__)
    enum { HAS_BF16 = 1 << 14 };
    return (getauxval(AT_HWCAP2) & HAS_BF16) != 0;
#else
    return false;
#endif
}

bool system_permits_tiles(void)
{
#if defined(SYS_arch_prctl)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}

int64_t system_cache_bytes(void)
{
#if defined(_SC_LEVEL2_CACHE_SIZE)
    int64_t said = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return said > 0 ? said : 0;
#else
    return 0;
#endif
}

char *system_find_room(size_t size)
{
    char *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    munmap(p, size);
    return p;
}

char *system_map(char *where, size_t size)
{
    char *p = mmap(where, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void system_want_huge_pages(void *p, size_t size)
{
    madvise(p, size, MADV_HUGEPAGE);
}

char *system_map_file(int fd, int64_t offset, size_t size)
{
    char *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, (off_t)offset);
    return p == MAP_FAILED ? NULL : p;
}

/* By its number: some C libraries have no function of it. */
bool system_exchange(const char *a, const char *b)
{
    enum { EXCHANGE = 2 };
    return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, EXCHANGE) == 0;
}

/* It need not be permitted to list them. */
int system_open_directory(const char *path)
{
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int system_thread_number(void)
{
    return (int)syscall(SYS_gettid);
}

/* The GNU C library's returns the text, POSIX's a number. */
const char *system_error_text(int error, char *buffer, size_t size)
{
#if defined(__GLIBC__)
    return strerror_r(error, buffer, size);
#else
    strerror_r(error, buffer, size);
    return buffer;
#endif
}

double system_lgamma(double x)
{
    int sign;
    return lgamma_r(x, &sign);
}

void system_sort(void *base, size_t count, size_t size,
                 int (*compare)(const void *a, const void *b, void *context), void *context)
{
    qsort_r(base, count, size, compare, context);
}

#else /* ---- POSIX ------------------------------------------------------------------------------ \
       */

bool system_has_bf16(void)
{
    return false;
}

bool system_permits_tiles(void)
{
    return false;
}

int64_t system_cache_bytes(void)
{
    return 0;
}

char *system_map_file(int fd, int64_t offset, size_t size)
{
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, (off_t)offset);
    return p == MAP_FAILED ? NULL : p;
}

bool system_exchange(const char *a, const char *b)
{
    (void)a, (void)b;
    errno = ENOSYS;
    return false;
}

int system_open_directory(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Made of the process's number and a count of the threads that asked. */
int system_thread_number(void)
{
    static _Atomic int threads;
    static _Thread_local int number;
    if (number == 0)
        number = (int)(((unsigned)getpid() << 8 | ((unsigned)++threads & 255)) & INT32_MAX);
    return number;
}

const char *system_error_text(int error, char *buffer, size_t size)
{
    if (strerror_r(error, buffer, size) != 0)
        snprintf(buffer, size, "error %d", error);
    return buffer;
}

double system_lgamma(double x)
{
    return lgamma(x);
}

static _Thread_local struct {
    int (*compare)(const void *a, const void *b, void *context);
    void *context;
} sorting;

static int compare_sorted(const void *a, const void *b)
{
    return sorting.compare(a, b, sorting.context);
}

void system_sort(void *base, size_t count, size_t size,
                 int (*compare)(const void *a, const void *b, void *context), void *context)
{
    sorting.compare = compare;
    sorting.context = context;
    qsort(base, count, size, compare_sorted);
}

#endif
