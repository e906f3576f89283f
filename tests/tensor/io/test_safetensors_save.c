/* Writing safetensors files: the bytes, what comes back of them, huge ones, and want of memory. */
#include "safetensors_files.h"

#include <zlib.h>

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
                 "%s: tensor conv_in.weight: checksum does not match (stored %08lx, found %08lx): "
                 "its bytes are damaged, or " STALE,
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
