/* Reading safetensors files, against hand-made bytes. The suite goes on in
 * test_safetensors_refused.c and test_safetensors_save.c. */
#include "safetensors_files.h"

TestSuite(safetensors, .init = make_directory, .fini = remove_directory);

Test(safetensors, bytes_in_memory_are_a_file_too)
{
    char bytes[8 + sizeof HEADER - 1 + sizeof values] = {sizeof HEADER - 1};
    memcpy(bytes + 8, HEADER, sizeof HEADER - 1);
    memcpy(bytes + 8 + sizeof HEADER - 1, values, sizeof values);
    ito_safetensors *f = ito_safetensors_open_memory(bytes, sizeof bytes, "built in");
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_expect_str_eq(ito_safetensors_path(f), "built in");
    const float *b = ito_const_data(ito_safetensors_read(f, "b"));
    cr_expect(b[0] == 3 && b[1] == -4 && b[2] == 5.5f && b[3] == 6);
    cr_expect_null(ito_safetensors_read(f, "c"));
    expect_error(ITO_ERR_ARGUMENT, "built in: holds no tensor c");
    ito_safetensors_close(f);
    cr_expect_null(ito_safetensors_path(NULL));
}

Test(safetensors, memory_that_is_no_file_is_refused)
{
    const char bytes[20] = {100};
    cr_expect_null(ito_safetensors_open_memory(bytes, 20, "built in"));
    expect_error(ITO_ERR_FORMAT,
                 "built in: safetensors header of 100 bytes: at most 12 are possible");
    cr_expect_null(ito_safetensors_open_memory(bytes, 7, "built in"));
    expect_error(ITO_ERR_FORMAT, "built in: is too short for a safetensors file: 7 bytes");
    cr_expect_null(ito_safetensors_open_memory(bytes, 0, "built in"));
    expect_error(ITO_ERR_FORMAT, "built in: is empty");
    cr_expect_null(ito_safetensors_open_memory(bytes, SIZE_MAX, "built in"));
    expect_error(ITO_ERR_FORMAT, "built in: is too large");
    cr_expect_null(ito_safetensors_open_memory(NULL, 20, "built in"));
    expect_error(ITO_ERR_ARGUMENT, "file: no bytes are given");
    cr_expect_null(ito_safetensors_open_memory(bytes, 20, NULL));
    expect_error(ITO_ERR_ARGUMENT, "file: no path is given");
}

Test(safetensors, a_hand_made_file_is_read)
{
    const char *path = write_text(HEADER, values, 24);
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_assert_eq(ito_safetensors_count(f), 2);
    cr_assert_str_eq(ito_safetensors_name(f, 0), "b");
    cr_assert_str_eq(ito_safetensors_name(f, 1), "a");
    cr_assert_eq(ito_safetensors_find(f, "a"), 1);
    cr_assert_eq(ito_safetensors_find(f, "c"), -1);
    cr_assert_eq(ito_safetensors_find(f, "__metadata__"), -1);
    cr_assert_eq(ito_safetensors_dtype(f, 1), ITO_F32);
    cr_assert(shape_equal(ito_safetensors_shape(f, 0), ITO_SHAPE(2, 2)));
    cr_assert_str_eq(ito_safetensors_metadata(f, "format"), "pt");
    cr_assert_null(ito_safetensors_metadata(f, "x"));
    cr_assert_eq(ito_safetensors_metadata_count(f), 1);
    cr_assert_str_eq(ito_safetensors_metadata_key(f, 0), "format");
    expect_tensor(ito_safetensors_read(f, "a"), values, ITO_SHAPE(2), ITO_F32);
    expect_tensor(ito_safetensors_read(f, "b"), values + 2, ITO_SHAPE(2, 2), ITO_F32);
    ito_safetensors_close(f);
}

Test(safetensors, the_smallest_files_are_read)
{
    ito_safetensors *f = ito_safetensors_open(write_text("{}", "", 0));
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_assert_eq(ito_safetensors_count(f), 0);
    ito_safetensors_close(f);
    const char *path = write_text(
        "{\"e\":{\"dtype\":\"F64\",\"shape\":[0,9223372036854775807],\"data_offsets\":[1,1]},\n"
        "\t\"s\" : { \"shape\" : [ ] , \"data_offsets\" : [ 0 , 1 ] , \"dtype\" : \"U8\" } }\r\n",
        "\7", 1);
    f = ito_safetensors_open(path);
    cr_assert_not_null(f, "%s", ito_error_message());
    expect_tensor(ito_safetensors_read(f, "s"), "\7", ITO_SHAPE(), ITO_U8);
    expect_tensor(ito_safetensors_read(f, "e"), "", ITO_SHAPE(0, INT64_MAX), ITO_F64);
    ito_safetensors_close(f);
}

Test(safetensors, names_are_unescaped)
{
    const char *path =
        write_text("{\"\\u00e9\\ud83d\\ude00\\u20AC\\n\\t\\\"\\\\\\/\\b\\f\\r \xc3\xa9\":"
                   "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                   "x", 1);
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_assert_str_eq(ito_safetensors_name(f, 0),
                     "\xc3\xa9\xf0\x9f\x98\x80\xe2\x82\xac\n\t\"\\/\b\f\r \xc3\xa9");
    ito_safetensors_close(f);
}

Test(safetensors, indices_and_names_out_of_range_are_errors)
{
    const char *path = write_text(HEADER, values, 24);
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_null(ito_safetensors_name(f, 2));
    expect_error(ITO_ERR_RANGE, "%s: tensor 2 of 2", path);
    cr_assert_eq(ito_safetensors_dtype(f, -1), ITO_DTYPES);
    expect_error(ITO_ERR_RANGE, "%s: tensor -1 of 2", path);
    cr_assert_eq(ito_safetensors_shape(f, 9).ndim, 0);
    expect_error(ITO_ERR_RANGE, "%s: tensor 9 of 2", path);
    cr_assert_null(ito_safetensors_metadata_key(f, 1));
    expect_error(ITO_ERR_RANGE, "%s: metadata entry 1 of 1", path);
    cr_assert_null(ito_safetensors_read(f, "c"));
    expect_error(ITO_ERR_ARGUMENT, "%s: holds no tensor c", path);
    cr_assert_null(ito_safetensors_read(f, NULL));
    expect_error(ITO_ERR_ARGUMENT, "safetensors: there is no name");
    ito_safetensors_close(f);
}

Test(safetensors, without_a_file_there_is_nothing)
{
    cr_assert_null(ito_safetensors_name(NULL, 0));
    expect_error(ITO_ERR_ARGUMENT, "safetensors: there is no file");
    cr_assert_null(ito_safetensors_metadata_key(NULL, 0));
    expect_error(ITO_ERR_ARGUMENT, "safetensors: there is no file");
    cr_assert_null(ito_safetensors_read(NULL, "a"));
    expect_error(ITO_ERR_ARGUMENT, "safetensors: there is no file");
    cr_assert_eq(ito_safetensors_count(NULL), 0);
    cr_assert_eq(ito_safetensors_metadata_count(NULL), 0);
    cr_assert_eq(ito_safetensors_find(NULL, "a"), -1);
    cr_assert_null(ito_safetensors_metadata(NULL, "a"));
    ito_safetensors_close(NULL);
}

Test(safetensors, reading_into_a_tensor_converts_and_keeps_its_strides)
{
    const char *path = write_text(HEADER, values, 24);
    ito_safetensors *f = ito_safetensors_open(path);
    ito_tensor *t = tensor_of((double[]){0, 0, 0, 0}, ITO_SHAPE(2, 2), ITO_F64);
    ito_tensor *view = transposed_view(t);
    uint64_t version = t->storage->version;
    cr_assert_eq(ito_safetensors_read_into(f, "b", view), ITO_OK, "%s", ito_error_message());
    expect_tensor(t, (double[]){3, 5.5, -4, 6}, ITO_SHAPE(2, 2), ITO_F64);
    cr_assert_neq(t->storage->version, version, "the change is not noted");
    cr_assert_eq(ito_safetensors_read_into(f, "a", t), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "%s: tensor a: its shape is [2], not [2, 2]", path);
    cr_assert_eq(ito_safetensors_read_into(f, "a", NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "safetensors_read_into: there is no tensor");
    cr_assert_eq(ito_safetensors_read_into(f, "c", t), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "%s: holds no tensor c", path);
    expect_tensor(t, (double[]){3, 5.5, -4, 6}, ITO_SHAPE(2, 2), ITO_F64);
    ito_safetensors_close(f);
}

Test(safetensors, a_file_cut_while_open_is_noticed)
{
    const char *path = write_text(HEADER, values, 24);
    ito_safetensors *f = ito_safetensors_open(path);
    struct stat info;
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(truncate(path, info.st_size - 4), 0);
    cr_assert_null(ito_safetensors_read(f, "b"));
    expect_error(ITO_ERR_FORMAT, "%s: ends at byte %lld, 4 bytes too soon", path,
                 (long long)info.st_size - 4);
    ito_safetensors_close(f);
}

Test(safetensors, bools_are_zero_or_one)
{
    const char *path = write_text(
        "{\"a\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]}}", "\0\1\2", 3);
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_null(ito_safetensors_read(f, "a"));
    expect_error(ITO_ERR_FORMAT, "%s: tensor a: element 2 is a bool that is neither 0 nor 1", path);
    ito_safetensors_close(f);
}
