/* safetensors files written piece by piece, and tensors on the pages of a file. */
#include "safetensors_files.h"

TestSuite(safetensors_writer, .init = make_directory, .fini = remove_directory);
TestSuite(safetensors_map, .init = make_directory, .fini = remove_directory);

static const char *const names[] = {"a", "b"};
static const char *const keys[] = {"format"}, *const texts[] = {"pt"};
static const ito_dtype dtypes[] = {ITO_F32, ITO_U8};

/* A file that will hold a [rows, 3] f32 and b [rows, 2] u8. */
static ito_safetensors_writer *begin(const char *path, int64_t rows)
{
    const ito_shape shapes[] = {ITO_SHAPE(rows, 3), ITO_SHAPE(rows, 2)};
    return ito_safetensors_writer_create(path, 2, names, dtypes, shapes, 1, keys, texts);
}

/* Numbers that differ; NULL without memory. */
static ito_tensor *some(int64_t rows, int64_t columns, ito_dtype dtype)
{
    ito_tensor *t = tensor_empty(ITO_SHAPE(rows, columns), dtype);
    unsigned char *bytes = t != NULL ? tensor_data(t) : NULL;
    for (size_t i = 0; t != NULL && i < t->storage->bytes; i++)
        bytes[i] = (unsigned char)(i % 4 == 3 ? 0x3f : 7 * i + i / 256);
    return t;
}

static ito_tensor *rows_of(const ito_tensor *t, int64_t first, int64_t n)
{
    return tensor_view(t, ITO_SHAPE(n, t->shape[1]), t->stride, first * t->stride[0]);
}

Test(safetensors_writer, a_file_in_pieces_is_the_file_in_one)
{
    ito_tensor *all[] = {some(7, 3, ITO_F32), some(7, 2, ITO_U8)};
    const char *whole = in_directory("whole"), *pieces = in_directory("pieces");
    cr_assert_eq(ito_safetensors_save(whole, 2, names, all, 1, keys, texts), ITO_OK);
    ito_safetensors_writer *w = NULL;
    ito_shape shapes[] = {ITO_SHAPE(7, 3), ITO_SHAPE(7, 2)};
    w = ito_safetensors_writer_create(pieces, 2, names, dtypes, shapes, 1, keys, texts);
    cr_assert_not_null(w, "%s", ito_error_message());
    for (int t = 0; t < 2; t++)
        for (int64_t first = 0; first < 7; first += 3) {
            int64_t n = first + 3 > 7 ? 7 - first : 3;
            ito_tensor *rows = rows_of(all[t], first, n);
            cr_assert_eq(ito_safetensors_writer_append(w, names[t], rows), ITO_OK, "%s",
                         ito_error_message());
        }
    cr_assert_neq(access(pieces, F_OK), 0, "it is there before its end");
    cr_assert_eq(ito_safetensors_writer_finish(w), ITO_OK, "%s", ito_error_message());
    size_t n, m;
    unsigned char *x = read_file(whole, &n), *y = read_file(pieces, &m);
    cr_assert(n == m && memcmp(x, y, n) == 0);
    free(x);
    free(y);
}

Test(safetensors_writer, fewer_rows_than_planned_are_a_sound_file)
{
    ito_tensor *a = some(5, 3, ITO_F32), *b = some(11, 2, ITO_U8);
    ito_safetensors_writer *w = begin(in_directory("a"), 1000000);
    cr_assert_eq(ito_safetensors_writer_append(w, "a", a), ITO_OK);
    cr_assert_eq(ito_safetensors_writer_append(w, "b", b), ITO_OK);
    cr_assert_eq(ito_safetensors_writer_finish(w), ITO_OK, "%s", ito_error_message());
    ito_safetensors *f = ito_safetensors_open(in_directory("a"));
    cr_assert_not_null(f, "%s", ito_error_message());
    expect_tensor(ito_safetensors_read(f, "a"), tensor_data(a), ITO_SHAPE(5, 3), ITO_F32);
    expect_tensor(ito_safetensors_read(f, "b"), tensor_data(b), ITO_SHAPE(11, 2), ITO_U8);
    cr_assert_not_null(ito_safetensors_metadata(f, "crc32:a"));
    cr_assert_str_eq(ito_safetensors_metadata(f, "format"), "pt");
    ito_safetensors_close(f);
}

Test(safetensors_writer, what_does_not_follow_is_refused)
{
    const char *path = write_file("a", "old", 3);
    int open_files = count_entries("/proc/self/fd");
    ito_safetensors_writer *w = begin(path, 4);
    cr_assert_eq(ito_safetensors_writer_append(w, "c", some(1, 3, ITO_F32)), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "safetensors_writer: there is no c to come; tensors are written "
                                   "in the order of their names");
    cr_assert_eq(ito_safetensors_writer_append(w, "a", some(3, 3, ITO_F32)), ITO_OK);
    cr_assert_eq(ito_safetensors_writer_append(w, "a", some(2, 3, ITO_F32)), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "safetensors_writer: a is [4, 3] of f32 and has 3 rows; [2, 3] of "
                                "f32 does not fit behind them");
    cr_assert_eq(ito_safetensors_writer_append(w, "a", some(1, 2, ITO_F32)), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "safetensors_writer: a is [4, 3] of f32 and has 3 rows; [1, 2] of "
                                "f32 does not fit behind them");
    cr_assert_eq(ito_safetensors_writer_append(w, "a", some(1, 3, ITO_I32)), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "safetensors_writer: a is [4, 3] of f32 and has 3 rows; [1, 3] of "
                                "i32 does not fit behind them");
    cr_assert_eq(ito_safetensors_writer_append(w, "a", tensor_empty(ITO_SHAPE(), ITO_F32)),
                 ITO_ERR_SHAPE);
    ito_error_clear();
    cr_assert_eq(ito_safetensors_writer_append(w, "b", some(1, 2, ITO_U8)), ITO_OK);
    cr_assert_eq(ito_safetensors_writer_append(w, "a", some(1, 3, ITO_F32)), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "safetensors_writer: there is no a to come; tensors are written "
                                   "in the order of their names");
    cr_assert_neq(ito_safetensors_writer_append(w, "b", NULL), ITO_OK);
    expect_error(ITO_ERR_ARGUMENT, "safetensors_writer: the tensor is NULL");
    cr_assert_neq(ito_safetensors_writer_append(NULL, "b", some(1, 2, ITO_U8)), ITO_OK);
    expect_error(ITO_ERR_ARGUMENT, "safetensors_writer: the writer is NULL");
    cr_assert_neq(ito_safetensors_writer_finish(NULL), ITO_OK);
    expect_error(ITO_ERR_ARGUMENT, "safetensors_writer: the writer is NULL");
    ito_safetensors_writer_free(w);
    ito_safetensors_writer_free(NULL);
    size_t n;
    unsigned char *old = read_file(path, &n);
    cr_assert(n == 3 && memcmp(old, "old", 3) == 0);
    free(old);
    ito_scope_clear();
    expect_nothing_left(open_files);
    cr_assert_eq(count_entries(directory), 3);
}

Test(safetensors_writer, bad_plans_are_refused)
{
    const char *path = in_directory("a");
    const ito_shape shapes[] = {ITO_SHAPE(2, 3), ITO_SHAPE()};
    const ito_dtype wrong[] = {ITO_F32, ITO_DTYPES};
    cr_assert_null(ito_safetensors_writer_create(path, 2, names, dtypes, shapes, 0, NULL, NULL));
    expect_error(ITO_ERR_SHAPE, "safetensors_writer: b is []; it needs an axis to grow along");
    cr_assert_null(ito_safetensors_writer_create(path, 2, names, wrong, shapes, 0, NULL, NULL));
    expect_error(ITO_ERR_DTYPE, "safetensors_writer: %d is no dtype", (int)ITO_DTYPES);
    cr_assert_null(ito_safetensors_writer_create(path, -1, names, dtypes, shapes, 0, NULL, NULL));
    expect_error(ITO_ERR_ARGUMENT, "safetensors_writer: a negative count");
    cr_assert_null(ito_safetensors_writer_create(path, 1, names, NULL, shapes, 0, NULL, NULL));
    expect_error(ITO_ERR_ARGUMENT, "safetensors_writer: a list is missing");
    cr_assert_null(ito_safetensors_writer_create(path, 2, (const char *[]){"x", "x"}, dtypes,
                                                 shapes, 0, NULL, NULL));
    expect_error(ITO_ERR_ARGUMENT, "safetensors_save: name x occurs twice");
    const char *nowhere = in_directory("no/a");
    cr_assert_null(begin(nowhere, 2));
    expect_error(ITO_ERR_IO, "%s: cannot create: No such file or directory", nowhere);
    expect_nothing_left(count_entries("/proc/self/fd"));
}

static bool write_pieces(void *context)
{
    ito_tensor *row = some(1, 3, ITO_F32);
    ito_safetensors_writer *w = row == NULL ? NULL : begin(context, 2);
    if (w == NULL)
        return false;
    if (ito_safetensors_writer_append(w, "a", row) == ITO_OK)
        return ito_safetensors_writer_finish(w) == ITO_OK;
    ito_safetensors_writer_free(w);
    return false;
}

Test(safetensors_writer, every_failing_allocation_is_an_error)
{
    char path[PATH_MAX + 512];
    snprintf(path, sizeof path, "%s", in_directory("a"));
    expect_clean_failures(write_pieces, path);
}

/* ---- verifying ---- */

Test(safetensors_writer, verifying_compares_the_checksum_part_by_part)
{
    enum { N = 3000000 };
    const char *path = in_directory("a");
    ito_tensor *all[] = {some(N / 4, 1, ITO_F32), tensor_empty(ITO_SHAPE(N), ITO_BOOL)};
    unsigned char *bools = tensor_data(all[1]);
    memset(bools, 1, N);
    bools[N - 1] = 2;
    cr_assert_eq(ito_safetensors_save(path, 2, names, all, 0, NULL, NULL), ITO_OK);
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_eq(ito_safetensors_verify(f, "a"), ITO_OK, "%s", ito_error_message());
    cr_assert_eq(ito_safetensors_verify(f, "b"), ITO_OK); /* its bytes are what was written */
    cr_assert_null(ito_safetensors_read(f, "b"));
    expect_error(ITO_ERR_FORMAT, "%s: tensor b: element 2999999 is a bool that is neither 0 nor 1",
                 path);
    cr_assert_eq(ito_safetensors_verify(f, "c"), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "%s: holds no tensor c", path);
    const char *stored = ito_safetensors_metadata(f, "crc32:a");
    FILE *out = fopen(path, "r+b");
    fseek(out, -2 * N + 1500000, SEEK_END);
    fputc(~((unsigned char *)tensor_data(all[0]))[1500000], out);
    fclose(out);
    cr_assert_eq(ito_safetensors_verify(f, "a"), ITO_ERR_FORMAT);
    char sentence[PATH_MAX + 600];
    snprintf(sentence, sizeof sentence, "%s: tensor a: checksum does not match (stored %s, found ",
             path, stored);
    cr_assert_eq(strncmp(ito_error_message(), sentence, strlen(sentence)), 0, "%s",
                 ito_error_message());
    ito_error_clear();
    ito_safetensors_close(f);
}

/* ---- maps ---- */

enum { ROWS = 5000, COLUMNS = 100 }; /* two megabytes, many pages */

static const char *write_large(ito_tensor **t)
{
    *t = some(ROWS, COLUMNS, ITO_F32);
    const char *path = in_directory("large");
    ito_tensor *all[] = {*t, some(3, 1, ITO_U8)};
    cr_assert_eq(ito_safetensors_save(path, 2, names, all, 0, NULL, NULL), ITO_OK, "%s",
                 ito_error_message());
    return path;
}

Test(safetensors_map, a_map_has_the_values_and_takes_no_memory)
{
    ito_tensor *t;
    ito_safetensors *f = ito_safetensors_open(write_large(&t));
    int64_t before = ito_memory_current(), blocks = ito_memory_blocks();
    ito_tensor *map = ito_safetensors_map(f, "a"), *small = ito_safetensors_map(f, "b");
    cr_assert(map != NULL && small != NULL, "%s", ito_error_message());
    cr_assert_eq(ito_memory_blocks(), blocks);
    cr_assert_eq(ito_memory_current(), before);
    expect_tensor(map, tensor_data(t), ITO_SHAPE(ROWS, COLUMNS), ITO_F32);
    expect_tensor(rows_of(map, ROWS - 1, 1), (float *)tensor_data(t) + (ROWS - 1) * COLUMNS,
                  ITO_SHAPE(1, COLUMNS), ITO_F32);
    ito_safetensors_close(f);
}

static bool is_mapped(const char *path)
{
    char line[PATH_MAX + 256];
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "r");
    cr_assert_not_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        found = found || strstr(line, path) != NULL;
    fclose(f);
    return found;
}

Test(safetensors_map, it_lives_as_long_as_a_tensor_on_it)
{
    ito_tensor *t;
    const char *path = write_large(&t);
    ito_scope_begin();
    ito_safetensors *f = ito_safetensors_open(path);
    ito_tensor *map = ito_safetensors_map(f, "a"), *row = rows_of(map, 77, 1);
    ito_safetensors_close(f);
    ito_retain(row);
    ito_scope_end();
    cr_assert(is_mapped(path));
    cr_assert_eq(unlink(path), 0);
    expect_tensor(row, (float *)tensor_data(t) + 77 * COLUMNS, ITO_SHAPE(1, COLUMNS), ITO_F32);
    ito_release(row);
    cr_assert(!is_mapped(path));
}

Test(safetensors_map, changes_stay_in_memory)
{
    ito_tensor *t;
    const char *path = write_large(&t);
    ito_safetensors *f = ito_safetensors_open(path);
    ito_tensor *map = ito_safetensors_map(f, "a"), *other = ito_safetensors_map(f, "a");
    tensor_fill(map, 7);
    cr_assert_eq(((float *)tensor_data(map))[ROWS], 7);
    expect_tensor(other, tensor_data(t), ITO_SHAPE(ROWS, COLUMNS), ITO_F32);
    expect_tensor(ito_safetensors_read(f, "a"), tensor_data(t), ITO_SHAPE(ROWS, COLUMNS), ITO_F32);
    ito_safetensors_close(f);
}

Test(safetensors_map, what_cannot_be_mapped_is_refused)
{
    int open_files = count_entries("/proc/self/fd");
    static const char odd[] = "{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                              "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[3,7]},"
                              "\"c\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[7,9]},"
                              "\"d\":{\"dtype\":\"F32\",\"shape\":[0,2],\"data_offsets\":[9,9]}}";
    int64_t place = 8 + (int64_t)strlen(odd) + 3;
    const char *path = write_text(odd, "abc\0\0\x80\x3f\1\2", 9);
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_assert_neq(place % 4, 0, "the test's own file is aligned");
    cr_assert_null(ito_safetensors_map(f, "a"));
    expect_error(ITO_ERR_FORMAT,
                 "%s: tensor a: begins at byte %" PRId64
                 ", which is not a multiple of its elements' 4, so that it cannot be mapped",
                 path, place);
    cr_assert_null(ito_safetensors_map(f, "c"));
    expect_error(ITO_ERR_FORMAT, "%s: tensor c: element 1 is a bool that is neither 0 nor 1", path);
    cr_assert_null(ito_safetensors_map(f, "e"));
    expect_error(ITO_ERR_ARGUMENT, "%s: holds no tensor e", path);
    expect_tensor(ito_safetensors_map(f, "b"), "abc", ITO_SHAPE(3), ITO_U8);
    cr_assert_eq(truncate(path, place), 0);
    expect_tensor(ito_safetensors_map(f, "b"), "abc", ITO_SHAPE(3), ITO_U8);
    cr_assert_null(ito_safetensors_map(f, "c"));
    expect_error(ITO_ERR_FORMAT, "%s: has become shorter: %" PRId64 " bytes", path, place);
    ito_safetensors_close(f);

    size_t n;
    ito_tensor *t;
    path = write_large(&t);
    unsigned char *bytes = read_file(path, &n);
    f = ito_safetensors_open_memory(bytes, n, "weights");
    cr_assert_null(ito_safetensors_map(f, "a"));
    expect_error(ITO_ERR_ARGUMENT, "weights: is in memory; only a file can be mapped");
    ito_safetensors_close(f);
    free(bytes);
    ito_scope_clear();
    expect_nothing_left(open_files);
}

Test(safetensors_map, a_tensor_without_elements_is_mapped)
{
    const char *path = in_directory("a");
    ito_tensor *empty = tensor_empty(ITO_SHAPE(0, 2), ITO_F32);
    cr_assert_eq(ito_safetensors_save(path, 1, names, &empty, 0, NULL, NULL), ITO_OK);
    ito_safetensors *f = ito_safetensors_open(path);
    expect_tensor(ito_safetensors_map(f, "a"), "", ITO_SHAPE(0, 2), ITO_F32);
    ito_safetensors_close(f);
}

static bool map_only(void *context)
{
    ito_safetensors *f = ito_safetensors_open(context);
    bool good = f != NULL && ito_safetensors_map(f, "a") != NULL;
    ito_safetensors_close(f);
    return good;
}

Test(safetensors_map, every_failing_allocation_is_an_error)
{
    char path[PATH_MAX + 512];
    ito_tensor *t;
    snprintf(path, sizeof path, "%s", write_large(&t));
    ito_scope_clear();
    expect_clean_failures(map_only, path);
    cr_assert(!is_mapped(path));
}
