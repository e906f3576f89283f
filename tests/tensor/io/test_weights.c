/* Weights of any maker behind one handle, and in several files by their index. */
#include "safetensors_files.h"
#include "weights_files.h"

TestSuite(weights, .init = make_directory, .fini = remove_directory);

static const float numbers[8] = {1, 2, 3, 4, 5, 6, 7, 8};

/* A file with tensors of these names, [2] each. */
static const char *write_shard(const char *name, int n, const char *const *names)
{
    ito_tensor *tensors[4];
    for (int i = 0; i < n; i++)
        tensors[i] = tensor_of(numbers + names[i][0] - 'a', ITO_SHAPE(2), ITO_F32);
    const char *path = in_directory(name);
    cr_assert_eq(ito_safetensors_save(path, n, names, tensors, 0, NULL, NULL), ITO_OK, "%s",
                 ito_error_message());
    ito_scope_clear();
    return path;
}

static const char *write_index(const char *text)
{
    return write_file("m.safetensors.index.json", text, strlen(text));
}

#define A "m-00001-of-00002.safetensors"
#define B "m-00002-of-00002.safetensors"
#define INDEX                                                                                      \
    "{\"metadata\": {\"total_size\": 24, \"x\": [1, {\"y\": null}, -2.5e3, \"t\", []]}, "          \
    "\"weight_map\": {\"c\": \"" B "\", \"a\": \"" A "\", \"b\": \"" A "\"}}\n"

static const char *write_both(void)
{
    write_shard(A, 2, (const char *[]){"a", "b"});
    write_shard(B, 1, (const char *[]){"c"});
    return write_index(INDEX);
}

Test(weights, a_safetensors_file_is_read)
{
    const char *path = write_text(HEADER, values, 24);
    ito_weights *w = ito_weights_open(path);
    cr_assert_not_null(w, "%s", ito_error_message());
    cr_expect_str_eq(ito_weights_path(w), path);
    cr_expect_str_eq(ito_weights_kind(w), "safetensors");
    cr_expect_eq(ito_weights_count(w), 2);
    cr_expect_str_eq(ito_weights_name(w, 1), "a");
    cr_expect(ito_weights_find(w, "a") == 1 && ito_weights_find(w, "b") == 0);
    cr_expect_eq(ito_weights_find(w, "c"), -1);
    cr_expect_eq(ito_weights_dtype(w, 0), ITO_F32);
    cr_expect_str_eq(ito_weights_dtype_name(w, 0), "F32");
    cr_expect(shape_equal(ito_weights_shape(w, 0), ITO_SHAPE(2, 2)));
    cr_expect_str_eq(ito_weights_metadata(w, "format"), "pt");
    cr_expect_null(ito_weights_metadata(w, "x"));
    expect_tensor(ito_weights_read(w, "b"), values + 2, ITO_SHAPE(2, 2), ITO_F32);
    ito_tensor *t = tensor_of((double[]){0, 0}, ITO_SHAPE(2), ITO_F64);
    cr_assert_eq(ito_weights_read_into(w, "a", t), ITO_OK, "%s", ito_error_message());
    expect_tensor(t, (double[]){1, 2}, ITO_SHAPE(2), ITO_F64);
    ito_weights_close(w);
}

Test(weights, what_is_not_there_is_refused)
{
    const char *path = write_text(HEADER, values, 24);
    ito_weights *w = ito_weights_open(path);
    ito_tensor *t = tensor_of((double[]){0, 0, 0}, ITO_SHAPE(3), ITO_F64);
    cr_expect_null(ito_weights_read(w, "c"));
    expect_error(ITO_ERR_ARGUMENT, "%s: holds no tensor c", path);
    cr_expect_eq(ito_weights_read_into(w, "c", t), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "%s: holds no tensor c", path);
    cr_expect_eq(ito_weights_read_into(w, "a", NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "weights_read_into: there is no tensor");
    cr_expect_eq(ito_weights_read_into(w, "a", t), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "%s: tensor a: its shape is [2], not [3]", path);
    cr_expect_null(ito_weights_read(w, NULL));
    expect_error(ITO_ERR_ARGUMENT, "weights: there is no name");
    cr_expect_null(ito_weights_name(w, 2));
    expect_error(ITO_ERR_RANGE, "%s: tensor 2 of 2", path);
    cr_expect_eq(ito_weights_dtype(w, -1), ITO_DTYPES);
    expect_error(ITO_ERR_RANGE, "%s: tensor -1 of 2", path);
    cr_expect_null(ito_weights_dtype_name(w, 2));
    expect_error(ITO_ERR_RANGE, "%s: tensor 2 of 2", path);
    cr_expect_eq(ito_weights_shape(w, 2).ndim, 0);
    expect_error(ITO_ERR_RANGE, "%s: tensor 2 of 2", path);
    ito_weights_close(w);
}

Test(weights, without_a_file_there_is_nothing)
{
    cr_expect_null(ito_weights_open(NULL));
    expect_error(ITO_ERR_ARGUMENT, "file: no path is given");
    cr_expect_null(ito_weights_read(NULL, "a"));
    expect_error(ITO_ERR_ARGUMENT, "weights: there is no file");
    cr_expect_null(ito_weights_name(NULL, 0));
    expect_error(ITO_ERR_ARGUMENT, "weights: there is no file");
    cr_expect_eq(ito_weights_count(NULL), 0);
    cr_expect_eq(ito_weights_find(NULL, "a"), -1);
    cr_expect_null(ito_weights_path(NULL));
    cr_expect_null(ito_weights_kind(NULL));
    cr_expect_null(ito_weights_metadata(NULL, "a"));
    ito_weights_close(NULL);
}

Test(weights, files_of_other_kinds_are_named)
{
    expect_unopened(write_file("a", "", 0), ITO_ERR_FORMAT, "is empty");
    expect_unopened(write_file("a", "x", 1), ITO_ERR_FORMAT,
                    "is too short for a safetensors file: 1 bytes");
    expect_unopened(directory, ITO_ERR_IO, "is a directory, not a file");
    expect_unopened(
        write_file("a", "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15),
        ITO_ERR_FORMAT,
        "is in the format of PyTorch before 1.6, which is not read: load it with "
        "PyTorch and save it again");
    expect_unopened(write_file("a", "\x89HDF\r\n\x1a\n", 8), ITO_ERR_FORMAT,
                    "is an HDF5 file, which is not read: save it as safetensors or npz");
}

Test(weights, arrays_of_numpy_are_read)
{
    ito_weights *w = ito_weights_open(fixture("arrays.npz"));
    cr_assert_not_null(w, "%s", ito_error_message());
    cr_expect_str_eq(ito_weights_kind(w), "npz");
    cr_expect_eq(ito_weights_count(w), 2);
    cr_expect_str_eq(ito_weights_dtype_name(w, ito_weights_find(w, "a")), "I8");
    cr_expect_eq(ito_weights_dtype(w, ito_weights_find(w, "a")), ITO_I32);
    expect_tensor(ito_weights_read(w, "a"), (int32_t[]){-1, 2}, ITO_SHAPE(2), ITO_I32);
    int64_t i = ito_weights_find(w, "sub/fortran");
    cr_assert(shape_equal(ito_weights_shape(w, i), ITO_SHAPE(2, 3)));
    expect_tensor(ito_weights_read(w, "sub/fortran"), (float[]){0, 1, 2, 3, 4, 5}, ITO_SHAPE(2, 3),
                  ITO_F32);
    ito_weights_close(w);
}

Test(weights, several_files_are_read_by_their_index)
{
    ito_weights *w = ito_weights_open(write_both());
    cr_assert_not_null(w, "%s", ito_error_message());
    cr_expect_str_eq(ito_weights_kind(w), "safetensors in 2 files");
    cr_expect_eq(ito_weights_count(w), 3);
    cr_expect_str_eq(ito_weights_name(w, 0), "c");
    cr_expect_eq(ito_weights_find(w, "b"), 2);
    cr_expect(shape_equal(ito_weights_shape(w, 1), ITO_SHAPE(2)));
    expect_tensor(ito_weights_read(w, "a"), numbers, ITO_SHAPE(2), ITO_F32);
    expect_tensor(ito_weights_read(w, "b"), numbers + 1, ITO_SHAPE(2), ITO_F32);
    expect_tensor(ito_weights_read(w, "c"), numbers + 2, ITO_SHAPE(2), ITO_F32);
    cr_expect_null(ito_weights_metadata(w, "format"));
    ito_weights_close(w);
}

Test(weights, an_index_and_its_files_have_to_agree)
{
    expect_unopened(write_index(INDEX), ITO_ERR_IO,
                    "the file " B " that it names: cannot open: No such file or directory");
    const char *path = write_both();
    write_shard(A, 1, (const char *[]){"a"});
    expect_unopened(path, ITO_ERR_FORMAT, "tensor b: is not in " A ", as the index says");
    write_shard(B, 2, (const char *[]){"b", "c"});
    expect_unopened(path, ITO_ERR_FORMAT, "tensor b: is in " B ", not in " A " as the index says");
    write_shard(A, 2, (const char *[]){"a", "b"});
    expect_unopened(path, ITO_ERR_FORMAT, "tensor b: is in " B ", which the index does not say");
    write_shard(B, 2, (const char *[]){"c", "d"});
    expect_unopened(path, ITO_ERR_FORMAT, "tensor d: is in " B ", which the index does not say");
    write_file(B, "x", 1);
    int open_files = count_entries("/proc/self/fd");
    cr_expect_null(ito_weights_open(path));
    expect_error(ITO_ERR_FORMAT, "%s: is too short for a safetensors file: 1 bytes",
                 in_directory(B));
    expect_nothing_left(open_files);
}

#define ONE_FILE(name) "{\"weight_map\": {\"a\": \"" name "\"}}"

Test(weights, an_index_that_leads_elsewhere_is_refused)
{
    static const char *const places[] = {"../" A, "/etc/passwd", "sub/" A, "..", ".", ""};
    write_both();
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char text[200], fault[200];
        snprintf(text, sizeof text, "{\"weight_map\": {\"a\": \"%s\"}}", places[i]);
        snprintf(fault, sizeof fault, "names the file \"%s\", which would not lie beside the index",
                 places[i]);
        expect_unopened(write_index(text), ITO_ERR_FORMAT, fault);
    }
    expect_unopened(write_index(ONE_FILE("m.safetensors.index.json")), ITO_ERR_FORMAT,
                    "names the file m.safetensors.index.json, which is an index again");
}

Test(weights, an_index_that_is_none_is_refused)
{
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {"[]", "index: no '{' at byte 0"},
        {"{}", "has no \"weight_map\" that names tensors and their files"},
        {"{\"weight_map\": {}}", "has no \"weight_map\" that names tensors and their files"},
        {"{\"weight_map\": 3}", "index: no '{' at byte 15"},
        {"{\"weight_map\": {\"a\": 3}}", "index: no string at byte 21"},
        {ONE_FILE(A) "x", "index: something after the last '}' at byte 53"},
        {"{\"weight_map\": {\"a\": \"" A "\"}, \"weight_map\": {}}",
         "index: a second weight_map at byte 67"},
        {"{\"weight_map\": {\"a\": \"" A "\", \"a\": \"" A "\"}}", "tensor a: occurs twice"},
        {"{\"m\": }", "index: no value at byte 6"},
        {"{\"m\": [1 2]}", "index: no ',' or ']' at byte 9"},
        {"{\"m\": [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}",
         "index: too many values within one another at byte 22"},
    };
    write_shard(A, 1, (const char *[]){"a"});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_unopened(write_index(cases[i].text), ITO_ERR_FORMAT, cases[i].fault);
}

Test(weights, files_of_an_index_are_bounded)
{
    char *text = malloc(1 << 16);
    size_t n = (size_t)sprintf(text, "{\"weight_map\": {\"0\": \"0.safetensors\"");
    for (int i = 1; i <= 1000; i++)
        n += (size_t)sprintf(text + n, ", \"%d\": \"%d.safetensors\"", i, i);
    n += (size_t)sprintf(text + n, "}}");
    expect_unopened(write_file("m.index.json", text, n), ITO_ERR_FORMAT,
                    "names more than 1000 files");
    free(text);
    const char *path = write_index(INDEX);
    cr_assert_eq(truncate(path, (1 << 24) + 1), 0); /* sparse */
    expect_unopened(path, ITO_ERR_FORMAT, "has 16777217 bytes, more than the 16777216 allowed");
}

static bool open_and_read(void *context)
{
    ito_weights *w = ito_weights_open(context);
    bool good = w != NULL && ito_weights_read(w, "a") != NULL && ito_weights_read(w, "c") != NULL;
    ito_weights_close(w);
    return good;
}

Test(weights, every_failing_allocation_is_an_error)
{
    char path[PATH_MAX + 512];
    snprintf(path, sizeof path, "%s", write_both());
    expect_clean_failures(open_and_read, path);
}

/* No byte of a sound index may be lost, or be another, and the program go astray. */
Test(weights, truncated_and_changed_indices_are_refused_or_read)
{
    char text[sizeof INDEX];
    const size_t size = sizeof INDEX - 1;
    write_both();
    for (size_t n = 0; n < size - 1; n++) { /* without the line's end it is whole */
        cr_assert_null(ito_weights_open(write_file("cut.index.json", INDEX, n)), "%zu bytes", n);
        ito_error_clear();
    }
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(text, INDEX, sizeof text);
            text[i] = (char)(text[i] ^ 1 << bit);
            ito_weights *w = ito_weights_open(write_file("m.index.json", text, size));
            cr_assert(w == NULL || ito_weights_count(w) == 3);
            cr_assert(w != NULL || ito_error_code() == ITO_ERR_FORMAT ||
                          ito_error_code() == ITO_ERR_IO,
                      "byte %zu, bit %d: %s", i, bit, ito_error_message());
            ito_weights_close(w);
            ito_error_clear();
        }
}
