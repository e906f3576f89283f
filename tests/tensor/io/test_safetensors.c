/* safetensors files against hand-made bytes, the rules of the format, and damage. */
#include "files.h"
#include "tensor/io/safetensors.h"

#include <zlib.h>

TestSuite(safetensors, .init = make_directory, .fini = remove_directory);

/* The length of the header, the header, the buffer. */
static const char *write_parts(const char *name, const void *header, size_t length,
                               const void *buffer, size_t size)
{
    unsigned char *bytes = malloc(8 + length + size + 1);
    uint64_t stored = length;
    memcpy(bytes, &stored, 8);
    memcpy(bytes + 8, header, length);
    memcpy(bytes + 8 + length, buffer, size);
    const char *path = write_file(name, bytes, 8 + length + size);
    free(bytes);
    return path;
}

static const char *write_text(const char *header, const void *buffer, size_t size)
{
    return write_parts("a.safetensors", header, strlen(header), buffer, size);
}

static void expect_refused(const char *path, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    cr_assert_null(ito_safetensors_open(path), "not refused: %s", fault);
    expect_error(ITO_ERR_FORMAT, "%s: %s", path, fault);
    expect_nothing_left(open_files);
}

static const float values[6] = {1, 2, 3, -4, 5.5f, 6};

#define HEADER                                                                                     \
    "{\"__metadata__\":{\"format\":\"pt\"},"                                                       \
    "\"b\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[8,24]},"                           \
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}   "

/* ---- reading -----------------------------------------------------------------------------------
 */

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

/* ---- what is refused ---------------------------------------------------------------------------
 */

Test(safetensors, lengths_must_fit_the_file)
{
    expect_refused(write_file("a", "", 0), "is empty");
    expect_refused(write_file("a", "\2\0\0\0\0\0\0", 7),
                   "is too short for a safetensors file: 7 bytes");
    expect_refused(write_file("a", "\3\0\0\0\0\0\0\0{}", 10),
                   "safetensors header of 3 bytes: at most 2 are possible");
    expect_refused(write_file("a", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10),
                   "safetensors header of 18446744073709551615 bytes: at most 2 are possible");
    cr_assert_null(ito_safetensors_open(directory));
    expect_error(ITO_ERR_IO, "%s: is a directory, not a file", directory);
    const char *path = write_text("{}", "", 0);
    const int64_t size = 8 + 100000001;
    cr_assert_eq(truncate(path, size), 0); /* sparse */
    int fd = open(path, O_WRONLY);
    const uint64_t length = 100000001;
    cr_assert_eq(pwrite(fd, &length, 8, 0), 8);
    close(fd);
    expect_refused(path, "safetensors header of 100000001 bytes: at most 100000000 are possible");
}

#define TENSOR(name, dtype, shape, offsets)                                                        \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{" TENSOR("a", dtype, shape, offsets) "}"

typedef struct bad_header {
    const char *text, *fault;
} bad_header;

/* Each with four bytes behind the header. */
static void expect_all_refused(const bad_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect_refused(write_text(headers[i].text, "abcd", 4), headers[i].fault);
}

Test(safetensors, a_header_that_is_no_object_of_objects_is_refused)
{
    static const bad_header cases[] = {
        {"", "header: no '{' at byte 0"},
        {" {}", "header: no '{' at byte 0"},
        {"[]", "header: no '{' at byte 0"},
        {"{", "header: no string at byte 1"},
        {"{1", "header: no string at byte 1"},
        {"{\"a", "header: a string that does not end at byte 3"},
        {"{\"a\nb\"", "header: a string that does not end at byte 3"},
        {"{\"a\"", "header: no ':' at byte 4"},
        {"{\"a\":", "header: no '{' at byte 5"},
        {"{\"a\":[[[[[[[[[[", "header: no '{' at byte 5"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4]") "} x",
         "header: something after the last '}' at byte 54"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4]") ",}", "header: no string at byte 53"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4]"), "header: no ',' or '}' at byte 52"},
    };
    expect_all_refused(cases, sizeof cases / sizeof *cases);
}

Test(safetensors, a_tensor_without_its_three_keys_is_refused)
{
    static const bad_header cases[] = {
        {"{\"a\":{\"b\":{\"c\":{", "tensor a: has a key other than dtype, shape and data_offsets"},
        {"{\"a\":{}}", "tensor a: lacks dtype, shape or data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}",
         "tensor a: lacks dtype, shape or data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", "tensor a: has a key twice"},
        {"{\"a\":{\"dtype\":8}}", "header: no string at byte 14"},
        {"{\"a\":{\"dtype\":\"U8\"]", "header: no ',' or '}' at byte 18"},
        {"{\"a\":{\"dtype\":\"U8\",}}", "header: no string at byte 19"},
    };
    expect_all_refused(cases, sizeof cases / sizeof *cases);
}

Test(safetensors, bad_strings_are_refused)
{
    static const bad_header cases[] = {
        {"{\"\\x\":", "header: a bad escape in a string at byte 4"},
        {"{\"\\u12g4\":", "header: a bad escape in a string at byte 7"},
        {"{\"\\u0000\":", "header: a bad escape in a string at byte 8"},
        {"{\"\\ud800\":", "header: a bad escape in a string at byte 8"},
        {"{\"\\ud800\\u0041\":", "header: a bad escape in a string at byte 14"},
        {"{\"\\udc00\":", "header: a bad escape in a string at byte 8"},
        {"{\"\xff\":", "header: a string that is not UTF-8 at byte 2"},
        {"{\"\xc0\x80\":", "header: a string that is not UTF-8 at byte 2"},
        {"{\"\xe0\x80\x80\":", "header: a string that is not UTF-8 at byte 2"},
        {"{\"\xed\xa0\x80\":", "header: a string that is not UTF-8 at byte 2"},
        {"{\"\xf0\x80\x80\x80\":", "header: a string that is not UTF-8 at byte 2"},
        {"{\"\xf4\x90\x80\x80\":", "header: a string that is not UTF-8 at byte 2"},
        {"{\"\xc3", "header: a string that is not UTF-8 at byte 2"},
        {"{\"\xc3\":", "header: a string that is not UTF-8 at byte 2"},
    };
    expect_all_refused(cases, sizeof cases / sizeof *cases);
}

Test(safetensors, bad_types_shapes_and_numbers_are_refused)
{
    static const bad_header cases[] = {
        {ONE("I8", "[4]", "[0,4]"), "tensor a: dtype I8 is not supported"},
        {ONE("f32", "[1]", "[0,4]"), "tensor a: dtype f32 is not supported"},
        {ONE("U8", "4", "[0,4]"), "header: no '[' at byte 27"},
        {ONE("U8", "[4,]", "[0,4]"), "header: no whole number at byte 30"},
        {ONE("U8", "[-4]", "[0,4]"), "header: a negative number at byte 28"},
        {ONE("U8", "[4.0]", "[0,4]"), "header: no whole number at byte 29"},
        {ONE("U8", "[4e0]", "[0,4]"), "header: no whole number at byte 29"},
        {ONE("U8", "[04]", "[0,4]"), "header: no whole number at byte 30"},
        {ONE("U8", "[\"4\"]", "[0,4]"), "header: no whole number at byte 28"},
        {ONE("U8", "[4", "[0,4]"), "header: no whole number at byte 30"},
        {ONE("U8", "[9223372036854775808]", "[0,4]"),
         "header: a number of more than 63 bits at byte 46"},
        {ONE("U8", "[1,1,1,1,1,1,1,1,4]", "[0,4]"), "tensor a: has more than 8 axes"},
        {ONE("U8", "[4]", "[0]"), "header: no ',' at byte 48"},
        {ONE("U8", "[4]", "[0,4,4]"), "header: no ']' at byte 50"},
    };
    expect_all_refused(cases, sizeof cases / sizeof *cases);
}

Test(safetensors, tensors_that_do_not_fill_the_buffer_one_after_the_other_are_refused)
{
    static const bad_header cases[] = {
        {ONE("U8", "[4]", "[0,5]"),
         "tensor a: bytes 0 to 5 are not within the 4 that follow the header"},
        {ONE("U8", "[4]", "[4,0]"),
         "tensor a: bytes 4 to 0 are not within the 4 that follow the header"},
        {ONE("U8", "[3]", "[0,4]"),
         "tensor a: has 4 bytes, which is not what shape [3] of U8 takes"},
        {ONE("F64", "[2305843009213693952]", "[0,0]"),
         "tensor a: has 0 bytes, which is not what shape [2305843009213693952] of F64 takes"},
        {ONE("U8", "[4294967296,4294967296]", "[0,0]"),
         "tensor a: has 0 bytes, which is not what shape [4294967296, 4294967296] of U8 takes"},
        {ONE("U8", "[3]", "[0,3]"), "its last 1 bytes belong to no tensor"},
        {ONE("U8", "[3]", "[1,4]"), "tensor a: begins at byte 1, after a hole at byte 0"},
        {"{" TENSOR("a", "U8", "[3]", "[0,3]") "," TENSOR("b", "U8", "[2]", "[2,4]") "}",
         "tensor b: begins at byte 2, within one that ends at byte 3"},
        {"{" TENSOR("a", "U8", "[1]", "[0,1]") "," TENSOR("b", "U8", "[1]", "[3,4]") "}",
         "tensor b: begins at byte 3, after a hole at byte 1"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4]") "," TENSOR("b", "U8", "[0]", "[2,2]") "}",
         "tensor b: begins at byte 2, within one that ends at byte 4"},
        {"{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("\\u0061", "U8", "[2]", "[2,4]") "}",
         "tensor a: occurs twice"},
    };
    expect_all_refused(cases, sizeof cases / sizeof *cases);
}

Test(safetensors, bad_metadata_and_checksums_are_refused)
{
    static const bad_header cases[] = {
        {"{\"__metadata__\":[]}", "header: no '{' at byte 16"},
        {"{\"__metadata__\":{\"a\":1}}", "header: no string at byte 21"},
        {"{\"__metadata__\":{\"a\":\"1\"]}", "header: no ',' or '}' at byte 24"},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}," TENSOR("a", "U8", "[4]", "[0,4]") "}",
         "metadata: key a occurs twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", "header: a second __metadata__ at byte 34"},
        {"{\"__metadata__\":{\"crc32:b\":\"00000000\"}," TENSOR("a", "U8", "[4]", "[0,4]") "}",
         "metadata: a checksum for tensor b, which the file does not hold"},
        {"{\"__metadata__\":{\"crc32:a\":\"0000000\"}," TENSOR("a", "U8", "[4]", "[0,4]") "}",
         "tensor a: its checksum is not eight hexadecimal digits"},
        {"{\"__metadata__\":{\"crc32:a\":\"0000000G\"}," TENSOR("a", "U8", "[4]", "[0,4]") "}",
         "tensor a: its checksum is not eight hexadecimal digits"},
        {"{\"__metadata__\":{\"crc32:a\":\"000000000\"}," TENSOR("a", "U8", "[4]", "[0,4]") "}",
         "tensor a: its checksum is not eight hexadecimal digits"},
    };
    expect_all_refused(cases, sizeof cases / sizeof *cases);
}

Test(safetensors, control_characters_of_a_name_do_not_reach_the_message)
{
    expect_refused(write_text("{\"a\\n\\u001b\":{}}", "", 0),
                   "tensor a??: lacks dtype, shape or data_offsets");
}

Test(safetensors, every_truncation_is_refused)
{
    size_t n;
    unsigned char *bytes = read_file(write_text(HEADER, values, 24), &n);
    for (size_t k = 0; k < n; k++) {
        cr_assert_null(ito_safetensors_open(write_file("cut", bytes, k)), "%zu bytes", k);
        cr_assert_eq(ito_error_code(), ITO_ERR_FORMAT);
        ito_error_clear();
    }
    free(bytes);
}

/* ---- writing -----------------------------------------------------------------------------------
 */

Test(safetensors, the_bytes_written_are_those_of_the_format)
{
    const char *path = in_directory("a.safetensors");
    ito_tensor *bytes = tensor_of("\1\2\3", ITO_SHAPE(3), ITO_U8);
    ito_tensor *floats = tensor_of(values, ITO_SHAPE(2), ITO_F32);
    const char *names[] = {"u\"8", "f"}, *keys[] = {"k\n"}, *texts[] = {"v\\"};
    cr_assert_eq(
        ito_safetensors_save(path, 2, names, (ito_tensor *[]){bytes, floats}, 1, keys, texts),
        ITO_OK, "%s", ito_error_message());
    char header[512];
    int length = snprintf(header, sizeof header,
                          "{\"__metadata__\":{\"k\\u000a\":\"v\\\\\",\"crc32:f\":\"%08lx\",\"crc32:"
                          "u\\\"8\":\"%08lx\"},"
                          "\"f\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                          "\"u\\\"8\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[8,11]}}",
                          crc32(0, (const unsigned char *)values, 8),
                          crc32(0, (const unsigned char *)"\1\2\3", 3));
    while (length % 8 != 0)
        header[length++] = ' ';
    size_t n, expected_size;
    unsigned char *written = read_file(path, &n);
    char body[11];
    memcpy(body, values, 8);
    memcpy(body + 8, "\1\2\3", 3);
    unsigned char *expected =
        read_file(write_parts("expected", header, (size_t)length, body, 11), &expected_size);
    cr_assert_eq(n, expected_size);
    cr_assert_eq(memcmp(written, expected, n), 0);
    free(written);
    free(expected);
    cr_assert_eq(count_entries(directory), 4);
}

Test(safetensors, every_dtype_comes_back_bit_by_bit)
{
    unsigned char bytes[48];
    for (int i = 0; i < 48; i++)
        bytes[i] = (unsigned char)(37 * i + 11);
    const unsigned char bools[6] = {0, 1, 1, 0, 0, 1};
    const char *path = in_directory("a"), *names[ITO_DTYPES];
    ito_tensor *tensors[ITO_DTYPES];
    for (ito_dtype d = 0; d < ITO_DTYPES; d++) {
        names[d] = ito_dtype_name(d);
        tensors[d] = tensor_of(d == ITO_BOOL ? bools : bytes, ITO_SHAPE(1, 3, 2), d);
    }
    cr_assert_eq(ito_safetensors_save(path, ITO_DTYPES, names, tensors, 0, NULL, NULL), ITO_OK,
                 "%s", ito_error_message());
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_assert_eq(ito_safetensors_metadata_count(f), ITO_DTYPES);
    for (ito_dtype d = 0; d < ITO_DTYPES; d++) {
        cr_assert_eq(ito_safetensors_dtype(f, ito_safetensors_find(f, names[d])), d);
        expect_tensor(ito_safetensors_read(f, names[d]), d == ITO_BOOL ? bools : bytes,
                      ITO_SHAPE(1, 3, 2), d);
    }
    ito_safetensors_close(f);
}

Test(safetensors, strided_empty_and_zero_dimensional_tensors_come_back)
{
    const char *path = in_directory("a"), *names[] = {"t", "e", "s"};
    ito_tensor *t = tensor_of(values, ITO_SHAPE(2, 3), ITO_F32);
    ito_tensor *tensors[] = {transposed_view(t), tensor_of("", ITO_SHAPE(0, 3), ITO_I64),
                             tensor_of(values + 4, ITO_SHAPE(), ITO_F32)};
    cr_assert_eq(ito_safetensors_save(path, 3, names, tensors, 0, NULL, NULL), ITO_OK);
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_not_null(f, "%s", ito_error_message());
    expect_tensor(ito_safetensors_read(f, "t"), (float[]){1, -4, 2, 5.5f, 3, 6}, ITO_SHAPE(3, 2),
                  ITO_F32);
    expect_tensor(ito_safetensors_read(f, "e"), "", ITO_SHAPE(0, 3), ITO_I64);
    expect_tensor(ito_safetensors_read(f, "s"), values + 4, ITO_SHAPE(), ITO_F32);
    ito_safetensors_close(f);
    cr_assert_eq(ito_safetensors_save(path, 0, NULL, NULL, 0, NULL, NULL), ITO_OK);
    f = ito_safetensors_open(path);
    cr_assert_eq(ito_safetensors_count(f), 0);
    ito_safetensors_close(f);
}

Test(safetensors, a_changed_byte_does_not_match_the_checksum)
{
    const char *path = in_directory("a"), *names[] = {"conv_in.weight", "other"};
    ito_tensor *t = tensor_of(values, ITO_SHAPE(6), ITO_F32);
    cr_assert_eq(ito_safetensors_save(path, 2, names, (ito_tensor *[]){t, t}, 0, NULL, NULL),
                 ITO_OK);
    size_t n;
    unsigned char *bytes = read_file(path, &n);
    bytes[n - 48 + 5] ^= 4; /* of the first tensor */
    write_file("a", bytes, n);
    unsigned long found = crc32(0, bytes + n - 48, 24);
    free(bytes);
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_assert_null(ito_safetensors_read(f, "conv_in.weight"));
    expect_error(ITO_ERR_FORMAT,
                 "%s: tensor conv_in.weight: checksum does not match (stored %08lx, found %08lx)",
                 path, crc32(0, (const unsigned char *)values, 24), found);
    ito_tensor *dst = tensor_of((float[6]){0}, ITO_SHAPE(6), ITO_F32);
    cr_assert_eq(ito_safetensors_read_into(f, "conv_in.weight", dst), ITO_ERR_FORMAT);
    expect_tensor(dst, (float[6]){0}, ITO_SHAPE(6), ITO_F32);
    ito_error_clear();
    expect_tensor(ito_safetensors_read(f, "other"), values, ITO_SHAPE(6), ITO_F32);
    ito_safetensors_close(f);
}

Test(safetensors, arguments_that_the_format_does_not_allow_are_refused)
{
    static const struct {
        const char *name, *key, *text, *fault;
    } cases[] = {
        {NULL, "k", "v", "name 0 is NULL"},
        {"\xff", "k", "v", "name 0 is not UTF-8"},
        {"__metadata__", "k", "v", "a tensor cannot be called __metadata__"},
        {"b", "k", "v", "name b occurs twice"},
        {"a", NULL, "v", "metadata key 0 is NULL"},
        {"a", "\xc3", "v", "metadata key 0 is not UTF-8"},
        {"a", "k", NULL, "metadata value 0 is NULL"},
        {"a", "k", "a\x80", "metadata value 0 is not UTF-8"},
        {"a", "l", "v", "metadata key l occurs twice"},
        {"a", "crc32:a", "v", "metadata key crc32:a is kept for checksums"},
    };
    const char *path = in_directory("a");
    ito_tensor *t = tensor_of(values, ITO_SHAPE(6), ITO_F32);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *names[] = {cases[i].name, "b"}, *keys[] = {cases[i].key, "l"};
        const char *texts[] = {cases[i].text, "w"};
        cr_assert_eq(ito_safetensors_save(path, 2, names, (ito_tensor *[]){t, t}, 2, keys, texts),
                     ITO_ERR_ARGUMENT);
        expect_error(ITO_ERR_ARGUMENT, "safetensors_save: %s", cases[i].fault);
    }
    const char *names[] = {"a"};
    ito_safetensors_save(path, 1, names, (ito_tensor *[]){NULL}, 0, NULL, NULL);
    expect_error(ITO_ERR_ARGUMENT, "safetensors_save: there is no tensor a");
    ito_safetensors_save(path, -1, names, &t, 0, NULL, NULL);
    expect_error(ITO_ERR_ARGUMENT, "safetensors_save: a negative count");
    ito_safetensors_save(path, 1, names, NULL, 0, NULL, NULL);
    expect_error(ITO_ERR_ARGUMENT, "safetensors_save: a list is missing");
    cr_assert_eq(count_entries(directory), 2);
}

Test(safetensors, a_header_above_the_formats_limit_is_not_written)
{
    enum { N = 100000000 };
    char *text = malloc(N + 1);
    memset(text, 'x', N);
    text[N] = '\0';
    const char *keys[] = {"k"}, *texts[] = {text};
    ito_safetensors_save(in_directory("a"), 0, NULL, NULL, 1, keys, texts);
    expect_error(
        ITO_ERR_ARGUMENT,
        "safetensors_save: names and metadata take more than the 100000000 bytes of a header");
    free(text);
    cr_assert_eq(count_entries(directory), 2);
}

Test(safetensors, a_full_disk_leaves_the_old_file)
{
    const char *path = write_text(HEADER, values, 24), *names[] = {"a"};
    ito_tensor *t = tensor_empty(ITO_SHAPE(10000), ITO_F32);
    memset(tensor_data(t), 0, 40000);
    limit_file_size(20000);
    cr_assert_eq(ito_safetensors_save(path, 1, names, &t, 0, NULL, NULL), ITO_ERR_IO);
    limit_file_size(RLIM_INFINITY);
    expect_error(ITO_ERR_IO, "%s: cannot write: File too large", path);
    ito_safetensors *f = ito_safetensors_open(path);
    expect_tensor(ito_safetensors_read(f, "a"), values, ITO_SHAPE(2), ITO_F32);
    ito_safetensors_close(f);
    cr_assert_eq(count_entries(directory), 3);
}

/* ---- size --------------------------------------------------------------------------------------
 */

/* Sparse, so that it takes no room on the disk. */
Test(safetensors, a_small_tensor_of_a_huge_file_takes_little_memory)
{
    const char *path = write_text("{\"big\":{\"dtype\":\"U8\",\"shape\":[5368709120],"
                                  "\"data_offsets\":[0,5368709120]},"
                                  "\"small\":{\"dtype\":\"F32\",\"shape\":[2],"
                                  "\"data_offsets\":[5368709120,5368709128]}}",
                                  "", 0);
    struct stat info;
    cr_assert_eq(stat(path, &info), 0);
    int fd = open(path, O_WRONLY);
    cr_assert_eq(pwrite(fd, values, 8, info.st_size + 5368709120), 8);
    close(fd);
    ito_memory_reset_peak();
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_not_null(f, "%s", ito_error_message());
    expect_tensor(ito_safetensors_read(f, "small"), values, ITO_SHAPE(2), ITO_F32);
    cr_assert_lt(ito_memory_peak(), 1 << 20);
    ito_memory_limit(1 << 20);
    cr_assert_null(ito_safetensors_read(f, "big"));
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    ito_safetensors_close(f);
}

Test(safetensors, a_hundred_thousand_tensors_come_back)
{
    enum { N = 100000 };
    static char names[N][16];
    static const char *pointers[N];
    static ito_tensor *tensors[N];
    ito_tensor *t = tensor_of("\7", ITO_SHAPE(1), ITO_U8);
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "layer.%d", (int)(i * 7919LL % N));
        pointers[i] = names[i];
        tensors[i] = t;
    }
    const char *path = in_directory("a");
    cr_assert_eq(ito_safetensors_save(path, N, pointers, tensors, 0, NULL, NULL), ITO_OK, "%s",
                 ito_error_message());
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_assert_eq(ito_safetensors_count(f), N);
    for (int i = 0; i < N; i++)
        cr_assert_eq(ito_safetensors_find(f, names[i]), i);
    expect_tensor(ito_safetensors_read(f, "layer.99999"), "\7", ITO_SHAPE(1), ITO_U8);
    ito_safetensors_close(f);
}

/* ---- memory ------------------------------------------------------------------------------------
 */

static bool save_open_and_read(void *path)
{
    const char *names[] = {"a", "b"}, *keys[] = {"k"}, *texts[] = {"v"};
    ito_tensor *t = tensor_empty(ITO_SHAPE(2, 3), ITO_F32), *view = NULL, *dst = NULL;
    if (t != NULL) {
        memset(tensor_data(t), 0, 24);
        view = transposed_view(t);
        dst = tensor_empty(ITO_SHAPE(2, 3), ITO_BF16);
    }
    if (view == NULL || dst == NULL ||
        ito_safetensors_save(path, 2, names, (ito_tensor *[]){t, view}, 1, keys, texts) != ITO_OK)
        return false;
    ito_safetensors *f = ito_safetensors_open(path);
    bool done = f != NULL && ito_safetensors_read(f, "b") != NULL &&
                ito_safetensors_read_into(f, "a", dst) == ITO_OK;
    ito_safetensors_close(f);
    return done;
}

Test(safetensors, every_failing_allocation_is_an_error)
{
    char path[PATH_MAX + 512];
    snprintf(path, sizeof path, "%s", in_directory("a"));
    expect_clean_failures(save_open_and_read, path);
}
