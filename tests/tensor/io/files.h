/* Files for the tests of readers and writers: a fresh directory for each test, content in and out,
 * and the checks that every reader is put to. Each test program defines its suite with it. */
#ifndef ITO_TESTS_IO_FILES_H
#define ITO_TESTS_IO_FILES_H

#include "tensor/internal.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

extern char directory[PATH_MAX]; /* of the test that runs */

/* The path of a file in the test's directory, in one of a few rotating buffers. */
static inline const char *in_directory(const char *name)
{
    static char paths[8][PATH_MAX + 512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

/* Before and after each test. */
void make_directory(void);
void remove_directory(void);

static inline const char *write_file(const char *name, const void *bytes, size_t n)
{
    const char *path = in_directory(name);
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, n, f), n);
    cr_assert_eq(fclose(f), 0);
    return path;
}

/* The whole file, to be freed by the caller. */
static inline unsigned char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*n + 1);
    cr_assert_eq(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

static inline int count_entries(const char *path)
{
    DIR *d = opendir(path);
    cr_assert_not_null(d);
    int n = 0;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* Exactly this error is recorded; forgets it. "%s" in the sentence is the path. */
__attribute__((format(printf, 2, 3))) static inline void expect_error(ito_status code,
                                                                      const char *format, ...)
{
    char sentence[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    cr_assert_str_eq(ito_error_message(), sentence);
    cr_assert_eq(ito_error_code(), code, "code %d for: %s", ito_error_code(), sentence);
    ito_error_clear();
}

/* Nothing is left of what failed: no memory, no open file. */
static inline void expect_nothing_left(int open_files)
{
    cr_assert_eq(ito_memory_blocks(), 0, "%" PRId64 " blocks are left", ito_memory_blocks());
    cr_assert_eq(count_entries("/proc/self/fd"), open_files, "a file is left open");
}

/* Fail the first, second, ... request for memory until the attempt succeeds. */
static inline void expect_clean_failures(bool (*attempt)(void *context), void *context)
{
    int open_files = count_entries("/proc/self/fd");
    for (int64_t n = 1;; n++) {
        ito_error_clear();
        ito_memory_fail_nth(n);
        bool done = attempt(context);
        ito_memory_fail_nth(0);
        ito_scope_clear();
        expect_nothing_left(open_files);
        if (done)
            break;
        cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY, "request %" PRId64 ": %s", n,
                     ito_error_message());
        cr_assert_lt(n, 10000);
    }
    cr_assert_eq(ito_error_code(), ITO_OK, "%s", ito_error_message());
}

/* A row-major tensor of these bytes. */
static inline ito_tensor *tensor_of(const void *bytes, ito_shape shape, ito_dtype dtype)
{
    ito_tensor *t = tensor_empty(shape, dtype);
    cr_assert_not_null(t, "%s", ito_error_message());
    memcpy(tensor_data(t), bytes, (size_t)ito_numel(t) * ito_dtype_size(dtype));
    return t;
}

/* The last two axes exchanged, without a copy. */
static inline ito_tensor *transposed_view(const ito_tensor *t)
{
    ito_shape shape = ito_shape_of(t);
    int64_t stride[ITO_MAX_DIMS];
    memcpy(stride, t->stride, sizeof stride);
    int a = t->ndim - 2, b = t->ndim - 1;
    shape.dim[a] = t->shape[b];
    shape.dim[b] = t->shape[a];
    stride[a] = t->stride[b];
    stride[b] = t->stride[a];
    return tensor_view(t, shape, stride, t->offset);
}

static inline void expect_tensor(const ito_tensor *t, const void *bytes, ito_shape shape,
                                 ito_dtype dtype)
{
    cr_assert_not_null(t, "%s", ito_error_message());
    cr_assert_eq(t->dtype, dtype);
    cr_assert(shape_equal(ito_shape_of(t), shape), "shape %s", tensor_shape_str(t));
    cr_assert(ito_is_contiguous(t));
    cr_assert_eq(memcmp(tensor_data(t), bytes, (size_t)ito_numel(t) * ito_dtype_size(dtype)), 0);
}

/* Files of this process cannot grow beyond n bytes: a full disk. RLIM_INFINITY lifts it. */
static inline void limit_file_size(rlim_t n)
{
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){n, RLIM_INFINITY}), 0);
}

#endif
