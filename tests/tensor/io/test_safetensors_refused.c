/* Files that are no safetensors, by the rules of the format: each is refused, with the reason. */
#include "safetensors_files.h"

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
        {ONE("I4", "[8]", "[0,4]"), "tensor a: its dtype I4 is none of the format's"},
        {ONE("f32", "[1]", "[0,4]"), "tensor a: its dtype f32 is none of the format's"},
        {ONE("F4", "[9]", "[0,4]"),
         "tensor a: has 4 bytes, which is not what shape [9] of F4 takes"},
        {ONE("F6_E2M3", "[5]", "[0,4]"),
         "tensor a: has 4 bytes, which is not what shape [5] of F6_E2M3 takes"},
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
         "metadata: a checksum for tensor b, which the file does not hold: it is damaged, "
         "or " STALE},
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
