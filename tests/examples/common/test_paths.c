/* Paths, and texts that become files as a whole. */
#include "examples/common/paths.h"
#include "examples/common/text_file.h"
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

TestSuite(paths, .init = cli_enter, .fini = cli_leave);

static void refused(bool good, const char *words)
{
    cr_assert(!good);
    cr_expect_not_null(strstr(ito_error_message(), words), "\"%s\" is not in: %s", words,
                       ito_error_message());
    ito_error_clear();
}

Test(paths, names_are_joined_and_looked_up)
{
    char *path = path_join("a/b", "c.npy");
    cr_expect_str_eq(path, "a/b/c.npy");
    cr_expect(path_ends_with(path, ".npy") && !path_ends_with(path, ".np"));
    cr_expect(!path_ends_with("npy", ".npy") && path_ends_with(".npy", ".npy"));
    free(path);
    cr_expect(path_exists("data.npy") && !path_exists("none"));
    cr_expect(path_has(".", "data.npy") && !path_has(".", "none") && !path_has("data.npy", "x"));
    cr_expect(path_is_directory(".") && !path_is_directory("data.npy"));
}

Test(paths, directories_are_made_with_or_without_their_parents)
{
    cr_expect(path_make_directory("one", false));
    cr_expect(path_make_directory("one", false), "it is there already");
    refused(path_make_directory("two/three", false),
            "two/three: cannot make the directory: No such");
    cr_expect(path_make_directory("two/three/", true));
    cr_expect(path_is_directory("two/three"));
    refused(path_make_directory("data.npy/x", true), "data.npy/x: cannot make the directory: ");
}

Test(paths, what_cannot_be_written_is_known_before)
{
    cr_expect(path_can_write(NULL) && path_can_write("new") && path_can_write("data.npy"));
    cr_expect(!path_exists("new"));
    refused(path_can_write("none/new"), "none/new: cannot write it: No such file");
    refused(path_can_write("data.npy/new"), "data.npy/new: cannot write it: ");
    refused(path_can_write("."), ".: cannot write it: it is a directory");
    cr_expect(paths_differ("a", NULL) && paths_differ(NULL, "a") && paths_differ("a", "b"));
    refused(paths_differ("a", "a"), "a: it cannot be two files at once; name another one");
}

Test(paths, a_directory_that_takes_no_files_is_known_before)
{
    cr_expect(path_can_write_in(".") && path_can_write_in("none"));
    refused(path_can_write_in("data.npy"), "data.npy: cannot write into it: Not a directory");
    if (geteuid() == 0)
        return; /* who may write everywhere */
    cr_assert_eq(mkdir("closed", 0555), 0);
    refused(path_can_write_in("closed"), "closed: cannot write into it: Permission denied");
}

/* Of the disk that a path will be on: that of the nearest directory that is there. */
Test(paths, the_room_of_a_disk_is_known_for_what_is_not_there_yet)
{
    struct statvfs disk;
    cr_assert_eq(statvfs(".", &disk), 0);
    double want = (double)disk.f_bavail * (double)disk.f_frsize;
    static const char *const places[] = {".", "none", "none/of/these", "data.npy"};
    for (int i = 0; i < 4; i++) /* others write at the same time */
        cr_expect_float_eq((double)path_room(places[i]), want, 0.05 * want + 1e9, "%s", places[i]);
    cr_assert_eq(statvfs("/dev/shm", &disk), 0);
    want = (double)disk.f_bavail * (double)disk.f_frsize;
    cr_expect_float_eq((double)path_room("/dev/shm/none/of"), want, 0.05 * want + 1e9);
}

Test(paths, a_text_replaces_a_file_as_a_whole_or_not_at_all)
{
    char text[64];
    text_file f;
    put_file("file", "before");
    cr_assert(text_begin(&f, "file"));
    fputs("after", f.out);
    cr_expect(!text_end(&f, false));
    slurp("file", text, sizeof text);
    cr_expect_str_eq(text, "before");
    cr_assert(text_begin(&f, "file"));
    fprintf(f.out, "after %d", 1);
    slurp("file", text, sizeof text);
    cr_expect_str_eq(text, "before");
    cr_expect(text_end(&f, true));
    slurp("file", text, sizeof text);
    cr_expect_str_eq(text, "after 1");
    cr_assert(text_begin(&f, "none/file"));
    refused(text_end(&f, true), "none/file: cannot ");
}
