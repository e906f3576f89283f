/* The directory of the test that runs, one for all files of the program. */
#include "files.h"

#include <ftw.h>

char directory[PATH_MAX];

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info, (void)type, (void)ftw;
    return remove(path);
}

void make_directory(void)
{
    const char *parent = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/ito-io-XXXXXX", parent != NULL ? parent : P_tmpdir);
    cr_assert_not_null(mkdtemp(directory));
}

void remove_directory(void)
{
    nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}
