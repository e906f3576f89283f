/* Every dtype of safetensors, against what PyTorch makes of the same bits. */
#include "safetensors_files.h"
#include "weights_files.h"

#include <math.h>

TestSuite(stored_dtypes, .init = make_directory, .fini = remove_directory);

static ito_safetensors *open_dtypes(void)
{
    ito_safetensors *f = ito_safetensors_open(fixture("dtypes.safetensors"));
    cr_assert_not_null(f, "%s", ito_error_message());
    return f;
}

Test(stored_dtypes, those_without_a_tensor_are_widened_to_the_values_of_pytorch)
{
    static const struct {
        const char *name, *stored;
        ito_dtype dtype;
    } cases[] = {
        {"float8_e4m3fn", "F8_E4M3", ITO_F32},
        {"float8_e5m2", "F8_E5M2", ITO_F32},
        {"float8_e4m3fnuz", "F8_E4M3FNUZ", ITO_F32},
        {"float8_e5m2fnuz", "F8_E5M2FNUZ", ITO_F32},
        {"float8_e8m0fnu", "F8_E8M0", ITO_F32},
        {"int8", "I8", ITO_I32},
        {"int16", "I16", ITO_I32},
        {"uint16", "U16", ITO_I32},
        {"uint32", "U32", ITO_I64},
        {"uint64", "U64", ITO_I64},
    };
    ito_safetensors *f = open_dtypes();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char expected_name[64];
        snprintf(expected_name, sizeof expected_name, "%s.values", cases[c].name);
        int64_t i = ito_safetensors_find(f, cases[c].name);
        cr_expect_eq(ito_safetensors_dtype(f, i), cases[c].dtype);
        cr_expect_str_eq(ito_safetensors_dtype_name(f, i), cases[c].stored);
        ito_tensor *t = ito_safetensors_read(f, cases[c].name);
        ito_tensor *expected = ito_safetensors_read(f, expected_name);
        cr_assert(t != NULL && expected != NULL, "%s", ito_error_message());
        cr_assert(t->dtype == expected->dtype && ito_numel(t) == ito_numel(expected));
        bool is_float = t->dtype == ITO_F32;
        cr_assert_eq(ito_numel(t), is_float ? 256 : 4);
        for (int64_t k = 0; k < ito_numel(t); k++) {
            size_t size = ito_dtype_size(t->dtype);
            const char *a = (char *)tensor_data(t) + (size_t)k * size,
                       *b = (char *)tensor_data(expected) + (size_t)k * size;
            bool both_nan = is_float && isnan(*(const float *)a) && isnan(*(const float *)b);
            cr_expect(both_nan || memcmp(a, b, size) == 0, "%s: element %d", cases[c].name, (int)k);
        }
    }
    ito_safetensors_close(f);
}

Test(stored_dtypes, reading_into_a_tensor_converts_them)
{
    ito_safetensors *f = open_dtypes();
    ito_tensor *t = tensor_of((double[]){0, 0, 0, 0}, ITO_SHAPE(4), ITO_F64);
    cr_assert_eq(ito_safetensors_read_into(f, "int16", t), ITO_OK, "%s", ito_error_message());
    expect_tensor(t, (double[]){-32768, -1, 0, 32767}, ITO_SHAPE(4), ITO_F64);
    cr_assert_eq(ito_safetensors_read_into(f, "uint32", t), ITO_OK, "%s", ito_error_message());
    expect_tensor(t, (double[]){0, 1, 2147483648.0, 4294967295.0}, ITO_SHAPE(4), ITO_F64);
    ito_safetensors_close(f);
}

Test(stored_dtypes, those_that_are_not_read_are_listed_and_refused_by_name)
{
    const char *path = fixture("dtypes.safetensors");
    ito_safetensors *f = open_dtypes();
    static const char *const names[] = {"complex64", "float4"}, *const stored[] = {"C64", "F4"};
    for (int k = 0; k < 2; k++) {
        int64_t i = ito_safetensors_find(f, names[k]);
        cr_expect_eq(ito_safetensors_dtype(f, i), ITO_DTYPES);
        cr_expect_eq(ito_error_code(), ITO_OK);
        cr_expect_str_eq(ito_safetensors_dtype_name(f, i), stored[k]);
        cr_expect_eq(ito_safetensors_verify(f, names[k]), ITO_OK);
        cr_expect_null(ito_safetensors_read(f, names[k]));
        expect_error(ITO_ERR_DTYPE,
                     "%s: tensor %s: its dtype %s is not read; convert it to F32 first", path,
                     names[k], stored[k]);
    }
    cr_expect(
        shape_equal(ito_safetensors_shape(f, ito_safetensors_find(f, "float4")), ITO_SHAPE(2, 6)));
    cr_expect_null(ito_safetensors_dtype_name(f, -1));
    expect_error(ITO_ERR_RANGE, "%s: tensor -1 of %d", path, (int)ito_safetensors_count(f));
    ito_safetensors_close(f);
}

Test(stored_dtypes, a_number_beyond_i64_is_refused)
{
    const char *path = fixture("dtypes.safetensors");
    ito_safetensors *f = open_dtypes();
    cr_expect_null(ito_safetensors_read(f, "too_large"));
    expect_error(ITO_ERR_RANGE,
                 "%s: tensor too_large: element 1 is 9223372036854775808, more than the "
                 "9223372036854775807 that an i64 holds",
                 path);
    cr_expect_eq(ito_memory_blocks() > 0, true); /* the file's header alone */
    ito_safetensors_close(f);
    cr_expect_eq(ito_memory_blocks(), 0);
}

Test(stored_dtypes, widened_ones_are_not_mapped)
{
    const char *path = fixture("dtypes.safetensors");
    ito_safetensors *f = open_dtypes();
    cr_expect_null(ito_safetensors_map(f, "int8"));
    expect_error(ITO_ERR_DTYPE,
                 "%s: tensor int8: no tensor has its dtype I8, so that it cannot be mapped", path);
    cr_expect_null(ito_safetensors_map(f, "float4"));
    expect_error(ITO_ERR_DTYPE,
                 "%s: tensor float4: no tensor has its dtype F4, so that it cannot be mapped",
                 path);
    ito_safetensors_close(f);
}

static bool read_widened(void *context)
{
    ito_safetensors *f = ito_safetensors_open(context);
    bool good = f != NULL && ito_safetensors_read(f, "int8") != NULL;
    ito_safetensors_close(f);
    return good;
}

Test(stored_dtypes, every_failing_allocation_is_an_error)
{
    expect_clean_failures(read_widened, (void *)(uintptr_t)fixture("dtypes.safetensors"));
}

/* Python's save_file(tensors, path, metadata=old) after a tensor was changed. */
Test(stored_dtypes, checksums_that_another_program_kept_are_named_as_such)
{
    const char *path = write_text("{\"__metadata__\":{\"crc32:a\":\"00000001\"},\"a\":{\"dtype\":"
                                  "\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
                                  "abcd", 4);
    ito_safetensors *f = ito_safetensors_open(path);
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_expect_eq(ito_safetensors_verify(f, "a"), ITO_ERR_FORMAT);
    expect_error(ITO_ERR_FORMAT,
                 "%s: tensor a: checksum does not match (stored 00000001, found ed82cd11): its "
                 "bytes are damaged, or another program kept the checksums of an older file; then "
                 "save it again without the metadata keys that begin with crc32:",
                 path);
    ito_safetensors_close(f);
}
