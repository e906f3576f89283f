/* .npz files against bytes that NumPy 2.4.6 wrote, and archives made here with every field to be
 * set wrong. */
#include "archives.h"
#include "tensor/io/npz.h"

TestSuite(npz, .init = make_directory, .fini = remove_directory);

/* np.savez_compressed of x=np.array([1, 2, 3], np.uint8), y=np.array([[7], [8]], '>i2'): local
 * headers with the sizes of zip64. */
static const unsigned char numpy_file[379] = {
    80,  75,  3,   4,   45,  0,   0,   0,   8,   0,   0,   0,   33,  0,   42,  227, 142, 177, 255,
    255, 255, 255, 255, 255, 255, 255, 5,   0,   20,  0,   120, 46,  110, 112, 121, 1,   0,   16,
    0,   131, 0,   0,   0,   0,   0,   0,   0,   71,  0,   0,   0,   0,   0,   0,   0,   155, 236,
    23,  234, 27,  16,  201, 200, 80,  198, 80,  173, 158, 146, 90,  156, 92,  164, 110, 165, 160,
    94,  83,  106, 168, 174, 163, 160, 158, 150, 95,  84,  82,  148, 152, 23,  159, 95,  148, 146,
    10,  18,  119, 75,  204, 41,  78,  5,   138, 23,  103, 36,  22,  164, 2,   249, 26,  198, 58,
    154, 58,  10,  181, 10,  20,  0,   46,  70,  38,  102, 0,   80,  75,  3,   4,   45,  0,   0,
    0,   8,   0,   0,   0,   33,  0,   125, 75,  213, 221, 255, 255, 255, 255, 255, 255, 255, 255,
    5,   0,   20,  0,   121, 46,  110, 112, 121, 1,   0,   16,  0,   132, 0,   0,   0,   0,   0,
    0,   0,   74,  0,   0,   0,   0,   0,   0,   0,   155, 236, 23,  234, 27,  16,  201, 200, 80,
    198, 80,  173, 158, 146, 90,  156, 92,  164, 110, 165, 160, 110, 151, 105, 164, 174, 163, 160,
    158, 150, 95,  84,  82,  148, 152, 23,  159, 95,  148, 146, 10,  18,  119, 75,  204, 41,  78,
    5,   138, 23,  103, 36,  22,  164, 2,   249, 26,  70,  58,  10,  134, 154, 58,  10,  181, 10,
    100, 3,   46,  6,   118, 6,   14,  0,   80,  75,  1,   2,   45,  3,   45,  0,   0,   0,   8,
    0,   0,   0,   33,  0,   42,  227, 142, 177, 71,  0,   0,   0,   131, 0,   0,   0,   5,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   128, 1,   0,   0,   0,   0,   120, 46,  110,
    112, 121, 80,  75,  1,   2,   45,  3,   45,  0,   0,   0,   8,   0,   0,   0,   33,  0,   125,
    75,  213, 221, 74,  0,   0,   0,   132, 0,   0,   0,   5,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   128, 1,   126, 0,   0,   0,   121, 46,  110, 112, 121, 80,  75,  5,   6,
    0,   0,   0,   0,   2,   0,   2,   0,   102, 0,   0,   0,   255, 0,   0,   0,   0,   0,
};

Test(npz, what_numpy_wrote_is_read)
{
    ito_npz *f = ito_npz_open(write_file("a.npz", numpy_file, sizeof numpy_file));
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_assert_eq(ito_npz_count(f), 2);
    cr_assert_str_eq(ito_npz_name(f, 0), "x");
    cr_assert_str_eq(ito_npz_name(f, 1), "y");
    cr_assert(ito_npz_find(f, "y") == 1 && ito_npz_find(f, "y.npy") == -1);
    expect_tensor(ito_npz_read(f, "x"), "\1\2\3", ITO_SHAPE(3), ITO_U8);
    expect_tensor(ito_npz_read(f, "y"), (int32_t[]){7, 8}, ITO_SHAPE(2, 1), ITO_I32);
    ito_npz_close(f);
}

/* ---- archives made here ---- */

static const char three[] = "\x93NUMPY\1\0\x3a\0{'descr': '|u1', 'fortran_order': False, 'shape': "
                            "(3,), }\n\1\2\3";
enum { THREE = sizeof three - 1 };

/* An array of n bytes, all 5. */
static size_t fives(unsigned char *out, int n)
{
    memcpy(out, "\x93NUMPY\1", 8);
    snprintf((char *)out + 10, 100, "{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }",
             n);
    size_t length = strlen((char *)out + 10);
    out[8] = (unsigned char)length;
    out[9] = 0;
    memset(out + 10 + length, 5, (size_t)n);
    return 10 + length + (size_t)n;
}

static archive made;

static void make(int method)
{
    made = (archive){.size = 0};
    add(&made, "readme.txt", "hello", 5, STORED);
    add(&made, "dir/x.npy", three, THREE, method);
}

static void opens_to_refuse(const char *path, ito_status code, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    ito_npz *f = ito_npz_open(path);
    cr_assert_not_null(f, "%s", ito_error_message());
    cr_assert_null(ito_npz_read(f, "dir/x"));
    expect_error(code, "%s#dir/x: %s", path, fault);
    ito_npz_close(f);
    expect_nothing_left(open_files);
}

static void refused(const char *path, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    cr_assert_null(ito_npz_open(path), "not refused: %s", fault);
    expect_error(ITO_ERR_FORMAT, "%s: %s", path, fault);
    expect_nothing_left(open_files);
}

Test(npz, stored_and_deflated_arrays_are_read_and_other_files_passed_over)
{
    for (int i = 0; i < 4; i++) {
        make(i % 2 == 0 ? STORED : DEFLATED);
        ito_npz *f = ito_npz_open(finish(&made, i < 2 ? "" : "a comment PK\5\6 at the end"));
        cr_assert_not_null(f, "%s", ito_error_message());
        cr_assert_eq(ito_npz_count(f), 1);
        expect_tensor(ito_npz_read(f, "dir/x"), "\1\2\3", ITO_SHAPE(3), ITO_U8);
        ito_npz_close(f);
    }
}

Test(npz, an_array_larger_than_the_buffers_is_read_whole)
{
    static unsigned char bytes[200100];
    made = (archive){.size = 0};
    add(&made, "x.npy", bytes, fives(bytes, 200000), DEFLATED);
    ito_npz *f = ito_npz_open(finish(&made, ""));
    cr_assert_not_null(f, "%s", ito_error_message());
    ito_tensor *t = ito_npz_read(f, "x");
    cr_assert_not_null(t, "%s", ito_error_message());
    cr_assert_eq(ito_numel(t), 200000);
    for (int i = 0; i < 200000; i++)
        cr_assert_eq(((const uint8_t *)tensor_data(t))[i], 5);
    ito_npz_close(f);
}

Test(npz, sizes_of_64_bits_are_read_from_their_fields)
{
    made = (archive){.size = 0};
    add(&made, "x.npy", three, THREE, STORED);
    memset(made.directory + 20, 0xff, 8);
    memset(made.directory + 42, 0xff, 4);
    made.directory[30] = 4 + 2 + 4 + 24; /* another field, and this one */
    put(made.directory, &made.directory_size, 0x00020007, 4);
    put(made.directory, &made.directory_size, 0, 2);
    put(made.directory, &made.directory_size, 0x00180001, 4);
    put(made.directory, &made.directory_size, THREE, 8);
    put(made.directory, &made.directory_size, THREE, 8);
    put(made.directory, &made.directory_size, 0, 8);
    size_t at = made.size, end = at + made.directory_size;
    memcpy(made.bytes + at, made.directory, made.directory_size);
    made.size = end;
    put(made.bytes, &made.size, 0x06064b50, 4); /* the record of zip64 */
    put(made.bytes, &made.size, 44, 8);
    put(made.bytes, &made.size, 0, 8);
    put(made.bytes, &made.size, 0, 4);
    put(made.bytes, &made.size, 1, 8);
    put(made.bytes, &made.size, 1, 8);
    put(made.bytes, &made.size, made.directory_size, 8);
    put(made.bytes, &made.size, at, 8);
    put(made.bytes, &made.size, 0x07064b50, 4); /* its locator */
    put(made.bytes, &made.size, 0, 4);
    put(made.bytes, &made.size, end, 8);
    put(made.bytes, &made.size, 1, 4);
    put(made.bytes, &made.size, 0x06054b50, 4);
    put(made.bytes, &made.size, 0, 4);
    memset(made.bytes + made.size, 0xff, 12);
    made.size += 12;
    put(made.bytes, &made.size, 0, 2);
    ito_npz *f = ito_npz_open(write_file("a.npz", made.bytes, made.size));
    cr_assert_not_null(f, "%s", ito_error_message());
    expect_tensor(ito_npz_read(f, "x"), "\1\2\3", ITO_SHAPE(3), ITO_U8);
    ito_npz_close(f);
    ito_scope_clear();

    static const char no[] = "npz archive: its sizes are those of zip64, which it does not have";
    refused(patched(&made, at + MEMBER + 5 + 6, 2, 2), no);   /* no field of that number */
    refused(patched(&made, at + MEMBER + 5 + 8, 16, 2), no);  /* too short */
    refused(patched(&made, at + MEMBER + 5 + 8, 400, 2), no); /* too long */
    refused(patched(&made, end + 56, 0, 4), no);              /* no locator */
    refused(patched(&made, end + 56 + 8, UINT64_MAX, 8), no);
    refused(patched(&made, end, 0, 4), no);
}

Test(npz, damaged_archives_are_refused)
{
    static const char directory_fault[] = "npz archive: its directory is damaged";
    make(STORED);
    size_t at = entry(&made), end = at + made.directory_size;
    size_t second = at + MEMBER + strlen("readme.txt");
    finish(&made, "");
    refused(write_file("x", "x", 1), "is not an npz archive, or its end is missing");
    refused(write_file("x", "", 0), "is empty");
    refused(patched(&made, end, 0, 4), "is not an npz archive, or its end is missing");
    refused(patched(&made, end + 20, 1, 2), "is not an npz archive, or its end is missing");
    refused(patched(&made, end + 10, 60000, 2), directory_fault);
    refused(patched(&made, end + 10, 3, 2), directory_fault);
    refused(patched(&made, end + 12, 1 << 30, 4), directory_fault);
    refused(patched(&made, end + 16, 1 << 30, 4), directory_fault);
    refused(patched(&made, at, 0, 4), directory_fault);
    refused(patched(&made, second + 28, 60000, 2), directory_fault);
    refused(patched(&made, second + 20, 1 << 30, 4), directory_fault);
    refused(patched(&made, second + 42, 1 << 30, 4), directory_fault);
    refused(patched(&made, second + 46, 0, 1), "npz archive: a name in it has a 0");
}

Test(npz, damaged_members_are_refused)
{
    static const char place[] = "its place in the archive is damaged";
    for (int method = STORED; method <= DEFLATED; method += DEFLATED) {
        make(method);
        size_t e = entry(&made) + MEMBER + strlen("readme.txt"), local;
        finish(&made, "");
        memcpy(&local, made.bytes + e + 42, 4);
        local &= UINT32_MAX;
        opens_to_refuse(patched(&made, e + 42, 1, 4), ITO_ERR_FORMAT, place);
        opens_to_refuse(patched(&made, local + 26, 60000, 2), ITO_ERR_FORMAT, place);
        opens_to_refuse(patched(&made, e + 8, 1, 2), ITO_ERR_FORMAT, "it is encrypted");
        opens_to_refuse(patched(&made, e + 10, 14, 2), ITO_ERR_FORMAT,
                        "it is compressed by method 14; stored and deflated members are read");
        uint32_t crc = (uint32_t)crc32(0, (const Bytef *)three, THREE);
        char fault[128];
        snprintf(fault, sizeof fault,
                 "checksum does not match (stored 00000000, found %08" PRIx32 ")", crc);
        opens_to_refuse(patched(&made, e + 16, 0, 4), ITO_ERR_FORMAT, fault);
    }
    make(STORED);
    size_t e = entry(&made) + MEMBER + strlen("readme.txt");
    finish(&made, "");
    opens_to_refuse(patched(&made, e + 24, THREE - 1, 4), ITO_ERR_FORMAT,
                    "it cannot have 70 bytes: it takes 71 in the archive");
}

Test(npz, deflated_bytes_are_not_trusted)
{
    make(DEFLATED);
    size_t e = entry(&made) + MEMBER + strlen("readme.txt"), begin;
    finish(&made, "");
    uint32_t packed, local;
    memcpy(&local, made.bytes + e + 42, 4);
    memcpy(&packed, made.bytes + e + 20, 4);
    begin = local + 30 + strlen("dir/x.npy") + 3;
    opens_to_refuse(patched(&made, begin, 0xff, 1), ITO_ERR_FORMAT,
                    "its deflated bytes are damaged");
    opens_to_refuse(patched(&made, e + 20, packed - 8, 4), ITO_ERR_FORMAT,
                    "its deflated bytes end too soon");
    char fault[128];
    snprintf(fault, sizeof fault, "it cannot have 2000000000 bytes: it takes %u in the archive",
             packed);
    opens_to_refuse(patched(&made, e + 24, 2000000000, 4), ITO_ERR_FORMAT, fault);
    opens_to_refuse(patched(&made, e + 24, THREE + 1, 4), ITO_ERR_FORMAT,
                    "holds 4 bytes of elements, which is not what shape [3] of u1 takes");
}

Test(npz, arrays_that_are_not_there_are_refused)
{
    make(STORED);
    const char *path = finish(&made, "");
    ito_npz *f = ito_npz_open(path);
    cr_assert_null(ito_npz_read(f, "y"));
    expect_error(ITO_ERR_ARGUMENT, "%s: holds no array y", path);
    cr_assert_null(ito_npz_read(f, NULL));
    expect_error(ITO_ERR_ARGUMENT, "npz: there is no name");
    cr_assert_null(ito_npz_read(NULL, "y"));
    expect_error(ITO_ERR_ARGUMENT, "npz: there is no file");
    cr_assert_null(ito_npz_name(NULL, 0));
    expect_error(ITO_ERR_ARGUMENT, "npz: there is no file");
    cr_assert_null(ito_npz_name(f, 1));
    expect_error(ITO_ERR_RANGE, "%s: array 1 of 1", path);
    cr_assert_eq(ito_npz_find(f, NULL), -1);
    cr_assert_eq(ito_npz_count(NULL), 0);
    ito_npz_close(f);
    ito_npz_close(NULL);
}

/* No byte of a sound archive may be lost, or be another, and the program go astray. */
Test(npz, truncated_and_changed_archives_are_refused_or_read)
{
    static unsigned char copy[sizeof numpy_file];
    for (size_t n = 0; n < sizeof numpy_file; n++) {
        cr_assert_null(ito_npz_open(write_file("a", numpy_file, n)), "%zu bytes", n);
        ito_error_clear();
    }
    for (size_t i = 0; i < sizeof numpy_file; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, numpy_file, sizeof copy);
            copy[i] ^= (unsigned char)(1 << bit);
            ito_npz *f = ito_npz_open(write_file("a", copy, sizeof copy));
            for (int64_t k = 0; k < ito_npz_count(f); k++) {
                ito_tensor *t = ito_npz_read(f, ito_npz_name(f, k));
                cr_assert(t != NULL || ito_error_code() == ITO_ERR_FORMAT, "byte %zu, bit %d: %s",
                          i, bit, ito_error_message());
            }
            ito_npz_close(f);
            ito_error_clear();
            ito_scope_clear();
        }
}

static bool open_and_read(void *context)
{
    ito_npz *f = ito_npz_open(context);
    bool good = f != NULL && ito_npz_read(f, "x") != NULL && ito_npz_read(f, "y") != NULL;
    ito_npz_close(f);
    return good;
}

Test(npz, every_failing_allocation_is_an_error)
{
    char path[PATH_MAX + 512];
    snprintf(path, sizeof path, "%s", write_file("a.npz", numpy_file, sizeof numpy_file));
    expect_clean_failures(open_and_read, path);
}
