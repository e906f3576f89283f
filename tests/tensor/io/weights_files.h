/* The files of weights that other programs wrote (tests/reference/make_weights_fixture.py). */
#ifndef ITO_TESTS_IO_WEIGHTS_FILES_H
#define ITO_TESTS_IO_WEIGHTS_FILES_H

#include "files.h"
#include "tensor/io/weights.h"

/* The path of a fixture, in one of a few rotating buffers. */
static inline const char *fixture(const char *name)
{
    static char paths[4][PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof paths[0], "%.2000s/tests/reference/weights/%.1000s",
             source != NULL ? source : ".", name);
    return path;
}

/* Opening gives nothing, and exactly this sentence behind the path. */
static inline void expect_unopened(const char *path, ito_status code, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    cr_assert_null(ito_weights_open(path), "not refused: %s", fault);
    expect_error(code, "%s: %s", path, fault);
    expect_nothing_left(open_files);
}

#endif
