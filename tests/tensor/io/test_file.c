/* Reading with bounds, and writing whole or not at all. */
#include "files.h"
#include "tensor/io/file.h"

TestSuite(file, .init = make_directory, .fini = remove_directory);

static void expect_content(const char *path, const char *content)
{
    size_t n;
    unsigned char *bytes = read_file(path, &n);
    cr_assert_eq(n, strlen(content));
    cr_assert_eq(memcmp(bytes, content, n), 0);
    free(bytes);
}

Test(file, a_whole_file_is_read_and_ended_with_a_zero)
{
    const char *path = write_file("a", "hello", 5);
    void *data;
    int64_t size;
    cr_assert_eq(file_read_all(path, 5, &data, &size), ITO_OK);
    cr_assert_eq(size, 5);
    cr_assert_str_eq(data, "hello");
    mem_free(data);
}

Test(file, what_was_written_as_a_whole_is_read_back)
{
    const char *path = in_directory("a");
    int64_t size = -1;
    cr_assert_eq(ito_file_write(path, "one\0two", 7), ITO_OK, "%s", ito_error_message());
    char *bytes = ito_file_read(path, 7, &size);
    cr_assert_not_null(bytes, "%s", ito_error_message());
    cr_assert_eq(size, 7);
    cr_assert_eq(memcmp(bytes, "one\0two\0", 8), 0);
    free(bytes);
    bytes = ito_file_read(path, 7, NULL);
    cr_assert_str_eq(bytes, "one");
    free(bytes);
    cr_assert_eq(ito_file_write(path, NULL, 0), ITO_OK, "%s", ito_error_message());
    expect_content(path, "");
}

Test(file, a_whole_file_that_cannot_be_had_changes_nothing)
{
    int open_files = count_entries("/proc/self/fd");
    const char *path = write_file("a", "0123456789", 10);
    int64_t size = -1;
    cr_assert_null(ito_file_read(path, 9, &size));
    expect_error(ITO_ERR_FORMAT, "%s: has 10 bytes, more than the 9 allowed", path);
    cr_assert_null(ito_file_read(NULL, 9, &size));
    expect_error(ITO_ERR_ARGUMENT, "file: no path is given");
    cr_assert_eq(size, -1);
    cr_assert_eq(ito_file_write(path, NULL, 3), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "file: no bytes are given");
    expect_content(path, "0123456789");
    expect_nothing_left(open_files);
}

static bool read_a_whole_file(void *context)
{
    char *bytes = ito_file_read(context, 10, NULL);
    bool done = bytes != NULL;
    free(bytes);
    return done;
}

Test(file, a_whole_file_without_memory_is_an_error)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", write_file("a", "0123456789", 10));
    ito_memory_fail_nth(1);
    cr_assert_not(read_a_whole_file(path));
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    expect_clean_failures(read_a_whole_file, path);
}

Test(file, what_is_no_readable_file_is_refused)
{
    int open_files = count_entries("/proc/self/fd");
    void *data = NULL;
    int64_t size;
    cr_assert_eq(file_read_all(NULL, 9, &data, &size), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "file: no path is given");
    cr_assert_eq(file_read_all("", 9, &data, &size), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, ": cannot open: No such file or directory");
    const char *path = in_directory("none");
    cr_assert_eq(file_read_all(path, 9, &data, &size), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: cannot open: No such file or directory", path);
    cr_assert_eq(file_read_all(directory, 9, &data, &size), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: is a directory, not a file", directory);
    path = write_file("empty", "", 0);
    cr_assert_eq(file_read_all(path, 9, &data, &size), ITO_ERR_FORMAT);
    expect_error(ITO_ERR_FORMAT, "%s: is empty", path);
    path = write_file("long", "0123456789", 10);
    cr_assert_eq(file_read_all(path, 9, &data, &size), ITO_ERR_FORMAT);
    expect_error(ITO_ERR_FORMAT, "%s: has 10 bytes, more than the 9 allowed", path);
    path = in_directory("pipe");
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(file_read_all(path, 9, &data, &size), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: is not a regular file", path);
    cr_assert_null(data);
    expect_nothing_left(open_files);
}

Test(file, reading_past_the_end_says_how_much_is_missing)
{
    const char *path = write_file("a", "hello", 5);
    file_reader f;
    char out[16];
    cr_assert_eq(file_open(&f, path), ITO_OK);
    cr_assert_eq(file_read(&f, out, 4, 3), ITO_ERR_FORMAT);
    expect_error(ITO_ERR_FORMAT, "%s: ends at byte 5, 2 bytes too soon", path);
    file_close(&f);
    cr_assert_eq(file_read(&f, out, 4, 0), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: cannot read: Bad file descriptor", path);
}

Test(file, names_in_messages_are_one_short_line)
{
    file_error(ITO_ERR_FORMAT, "a\nb\x1b[2J", "tensor %s", "x\ry");
    expect_error(ITO_ERR_FORMAT, "a?b?[2J: tensor x?y");
    char path[5000];
    memset(path, 'p', sizeof path);
    memcpy(path + sizeof path - 5, "/end", 5);
    file_error(ITO_ERR_FORMAT, path, "is bad");
    const char *message = ito_error_message();
    cr_assert_eq(strncmp(message, "...ppp", 6), 0);
    cr_assert_str_eq(message + strlen(message) - 12, "/end: is bad");
}

Test(file, bools_are_zero_or_one)
{
    cr_assert_eq(file_bool_fault("\0\1\1\0", 4), -1);
    cr_assert_eq(file_bool_fault("\0\1\2\3", 4), 2);
    cr_assert_eq(file_bool_fault("\xff", 1), 0);
}

Test(file, a_written_file_replaces_the_old_one_and_leaves_nothing_else)
{
    int open_files = count_entries("/proc/self/fd");
    const char *path = write_file("a", "old", 3);
    cr_assert_eq(file_write_atomic(path, "new text", 8), ITO_OK, "%s", ito_error_message());
    expect_content(path, "new text");
    cr_assert_eq(count_entries(directory), 3); /* with . and .. */
    cr_assert_eq(file_write_atomic(path, "", 0), ITO_OK);
    expect_content(path, "");
    expect_nothing_left(open_files);
}

Test(file, a_path_without_a_directory_is_in_the_current_one)
{
    cr_assert_eq(chdir(directory), 0);
    cr_assert_eq(file_write_atomic("here", "x", 1), ITO_OK, "%s", ito_error_message());
    expect_content(in_directory("here"), "x");
}

Test(file, pieces_may_be_written_in_any_order)
{
    file_writer w;
    const char *path = in_directory("a");
    cr_assert_eq(file_write_begin(&w, path), ITO_OK);
    cr_assert_eq(file_write(&w, "body", 4, 4), ITO_OK);
    cr_assert_eq(file_write(&w, "head", 4, 0), ITO_OK);
    cr_assert_neq(access(path, F_OK), 0, "the path is there before the commit");
    cr_assert_eq(file_write_commit(&w), ITO_OK);
    expect_content(path, "headbody");
    file_write_abandon(&w); /* no longer under way */
    expect_content(path, "headbody");
}

Test(file, an_abandoned_file_leaves_the_old_one)
{
    int open_files = count_entries("/proc/self/fd");
    const char *path = write_file("a", "old", 3);
    file_writer w;
    cr_assert_eq(file_write_begin(&w, path), ITO_OK);
    cr_assert_eq(file_write(&w, "new", 3, 0), ITO_OK);
    file_write_abandon(&w);
    expect_content(path, "old");
    cr_assert_eq(count_entries(directory), 3);
    expect_nothing_left(open_files);
}

Test(file, a_full_disk_leaves_the_old_file)
{
    int open_files = count_entries("/proc/self/fd");
    const char *path = write_file("a", "old", 3);
    char large[5000] = {0};
    limit_file_size(4096);
    cr_assert_eq(file_write_atomic(path, large, sizeof large), ITO_ERR_IO);
    limit_file_size(RLIM_INFINITY);
    expect_error(ITO_ERR_IO, "%s: cannot write: File too large", path);
    expect_content(path, "old");
    cr_assert_eq(count_entries(directory), 3);
    expect_nothing_left(open_files);
}

Test(file, a_stale_temporary_of_the_same_name_is_replaced)
{
    char stale[64];
    snprintf(stale, sizeof stale, "a.tmp-%d", (int)getpid());
    write_file(stale, "half a file", 11);
    const char *path = in_directory("a");
    cr_assert_eq(file_write_atomic(path, "new", 3), ITO_OK, "%s", ito_error_message());
    expect_content(path, "new");
    cr_assert_eq(count_entries(directory), 3);
}

Test(file, what_cannot_be_replaced_is_refused)
{
    cr_assert_eq(file_write_atomic(NULL, "x", 1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "file: no path is given");
    const char *path = in_directory("none/a");
    cr_assert_eq(file_write_atomic(path, "x", 1), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: cannot create: No such file or directory", path);
    cr_assert_eq(file_write_atomic(directory, "x", 1), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: is a directory, not a file", directory);
    path = in_directory("pipe");
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(file_write_atomic(path, "x", 1), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: is not a regular file", path);
}

/* Something else has taken the place while the file was on its way. */
Test(file, a_failing_rename_removes_the_temporary)
{
    file_writer w;
    const char *path = in_directory("a");
    cr_assert_eq(file_write_begin(&w, path), ITO_OK);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(file_write_commit(&w), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: cannot replace: Is a directory", path);
    cr_assert_eq(count_entries(directory), 3);
}

Test(file, a_failing_sync_leaves_the_old_file)
{
    const char *path = write_file("a", "old", 3);
    file_writer w;
    cr_assert_eq(file_write_begin(&w, path), ITO_OK);
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_geq(dup2(ends[1], w.fd), 0); /* a pipe cannot be synced */
    cr_assert_eq(file_write_commit(&w), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "%s: cannot sync: Invalid argument", path);
    expect_content(path, "old");
    cr_assert_eq(count_entries(directory), 3);
}

static bool write_and_read(void *context)
{
    void *data;
    int64_t size;
    const char *path = context;
    if (file_write_atomic(path, "text", 4) != ITO_OK ||
        file_read_all(path, 100, &data, &size) != ITO_OK)
        return false;
    mem_free(data);
    return true;
}

Test(file, every_failing_allocation_is_an_error)
{
    char path[PATH_MAX + 512];
    snprintf(path, sizeof path, "%s", in_directory("a"));
    expect_clean_failures(write_and_read, path);
}
