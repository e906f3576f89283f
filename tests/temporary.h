/* A directory for a test, under $TMPDIR or /tmp. */
#ifndef TESTS_TEMPORARY_H
#define TESTS_TEMPORARY_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A directory of its own for a test, as long as the test lasts; two at most at a time. */
static inline const char *temporary_directory(void)
{
    static char paths[2][256];
    static int next;
    char *path = paths[next++ % 2];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof paths[0], "%.200s/ito-test-XXXXXX", base != NULL ? base : "/tmp");
    cr_assert_not_null(mkdtemp(path), "%s", path);
    return path;
}

static inline void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    if (d == NULL) {
        unlink(path);
        return;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char inner[1024];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof inner, "%.600s/%.300s", path, e->d_name);
        remove_tree(inner);
    }
    closedir(d);
    rmdir(path);
}

#endif
