/* IDX files, plain and gzipped, against hand-made bytes and damage. */
#include "files.h"
#include "tensor/io/idx.h"

#include <zlib.h>

TestSuite(idx, .init = make_directory, .fini = remove_directory);

/* gzip of n bytes; returns its size. */
static size_t gzip(const void *bytes, size_t n, unsigned char *out, size_t room)
{
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)bytes;
    z.avail_in = (unsigned)n;
    z.next_out = out;
    z.avail_out = (unsigned)room;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static const char *write_gzip(const void *bytes, size_t n)
{
    static unsigned char out[65536];
    return write_file("a.gz", out, gzip(bytes, n, out, sizeof out));
}

static void expect_refused(const char *path, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    cr_assert_null(ito_idx_load(path), "not refused: %s", fault);
    expect_error(ITO_ERR_FORMAT, "%s: %s", path, fault);
    expect_nothing_left(open_files);
}

/* Two images of 2 x 3. */
static const char images[] = "\0\0\10\3\0\0\0\2\0\0\0\2\0\0\0\3abcdefghijkl";
enum { HEADER = 16, SIZE = HEADER + 12 };

Test(idx, plain_and_gzipped_files_are_read)
{
    expect_tensor(ito_idx_load(write_file("a", images, SIZE)), "abcdefghijkl", ITO_SHAPE(2, 2, 3),
                  ITO_U8);
    expect_tensor(ito_idx_load(write_gzip(images, SIZE)), "abcdefghijkl", ITO_SHAPE(2, 2, 3),
                  ITO_U8);
}

Test(idx, one_to_four_axes_are_read)
{
    static const char four[] = "\0\0\10\4\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\2wxyz";
    expect_tensor(ito_idx_load(write_file("a", "\0\0\10\1\0\0\0\3\7\10\11", 11)), "\7\10\11",
                  ITO_SHAPE(3), ITO_U8);
    expect_tensor(ito_idx_load(write_file("a", "\0\0\10\2\0\0\0\1\0\0\0\2xy", 14)), "xy",
                  ITO_SHAPE(1, 2), ITO_U8);
    expect_tensor(ito_idx_load(write_gzip(four, 24)), "wxyz", ITO_SHAPE(1, 2, 1, 2), ITO_U8);
    expect_tensor(ito_idx_load(write_file("a", "\0\0\10\1\0\0\0\0", 8)), "", ITO_SHAPE(0), ITO_U8);
    expect_tensor(ito_idx_load(write_gzip("\0\0\10\1\0\0\0\0", 8)), "", ITO_SHAPE(0), ITO_U8);
}

/* More than one chunk of the file, more than one window of the stream. */
Test(idx, a_file_of_many_chunks_is_read)
{
    enum { N = 300000 };
    unsigned char *bytes = malloc(8 + N), *packed = malloc(2 * N);
    const unsigned char header[8] = {0, 0, 8, 1, 0, N >> 16, N >> 8 & 255, N & 255};
    memcpy(bytes, header, 8);
    uint32_t state = 1;
    for (int i = 0; i < N; i++)
        bytes[8 + i] = (unsigned char)((state = state * 1664525 + 1013904223) >> 24);
    size_t n = gzip(bytes, 8 + N, packed, 2 * N);
    expect_tensor(ito_idx_load(write_file("a", packed, n)), bytes + 8, ITO_SHAPE(N), ITO_U8);
    expect_tensor(ito_idx_load(write_file("a", bytes, 8 + N)), bytes + 8, ITO_SHAPE(N), ITO_U8);
    free(bytes);
    free(packed);
}

Test(idx, bad_headers_are_refused)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *fault;
    } cases[] = {
        {"\0\0\10", 3, "is not an IDX file"},
        {"x", 1, "is not an IDX file"},
        {"\1\0\10\1\0\0\0\1x", 9, "is not an IDX file"},
        {"\0\1\10\1\0\0\0\1x", 9, "is not an IDX file"},
        {"\0\0\15\1\0\0\0\1xxxx", 12, "IDX type 0x0d is not 0x08, unsigned bytes"},
        {"\0\0\10\0x", 5, "0 axes: there can be 1 to 4"},
        {"\0\0\10\5\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1x", 25, "5 axes: there can be 1 to 4"},
        {"\0\0\10\1\0\0\0\3xx", 10, "claims shape [3], but cannot hold more than 2 bytes"},
        {"\0\0\10\1\0\0\0\1xx", 10, "1 bytes too many at its end"},
        {"\0\0\10\3\377\377\377\377\377\377\377\377\377\377\377\377x", 17,
         "claims shape [4294967295, 4294967295, 4294967295], but cannot hold more than 1 bytes"},
        {"\0\0\10\2\0\0\0\1\0\0", 10, "ends at byte 10, 2 bytes too soon"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refused(write_file("a", cases[i].bytes, cases[i].n), cases[i].fault);
    expect_refused(write_file("a", "", 0), "is empty");
    cr_assert_null(ito_idx_load(directory));
    expect_error(ITO_ERR_IO, "%s: is a directory, not a file", directory);
}

Test(idx, every_truncation_is_refused)
{
    unsigned char packed[256];
    size_t n = gzip(images, SIZE, packed, sizeof packed);
    for (size_t k = 1; k < n; k++) {
        const char *path = write_file("a", packed, k);
        cr_assert_null(ito_idx_load(path), "%zu bytes", k);
        cr_assert_eq(ito_error_code(), ITO_ERR_FORMAT);
        if (k > 2)
            expect_error(ITO_ERR_FORMAT, "%s: gzip stream is truncated", path);
        ito_error_clear();
    }
    for (size_t k = 1; k < SIZE; k++) {
        cr_assert_null(ito_idx_load(write_file("a", images, k)), "%zu bytes", k);
        cr_assert_eq(ito_error_code(), ITO_ERR_FORMAT);
        ito_error_clear();
    }
}

/* The pixels are complete in each case. */
Test(idx, the_gzip_checksum_and_length_are_compared)
{
    unsigned char packed[256];
    size_t n = gzip(images, SIZE, packed, sizeof packed);
    packed[n - 8] ^= 1;
    expect_refused(write_file("a", packed, n), "gzip stream is damaged: incorrect data check");
    packed[n - 8] ^= 1;
    packed[n - 4] ^= 1;
    expect_refused(write_file("a", packed, n), "gzip stream is damaged: incorrect length check");
    packed[n - 4] ^= 1;
    packed[3] |= 0x80;
    expect_refused(write_file("a", packed, n), "gzip stream is damaged: unknown header flags set");
}

/* The pixels begin in the first member or not, a member is empty, and zeros fill the end, in one
 * chunk of the file or several. */
Test(idx, the_members_of_a_gzip_file_are_read_one_after_the_other)
{
    static unsigned char packed[200000];
    static const int cuts[][3] = {{SIZE, SIZE, SIZE}, {20, SIZE, SIZE}, {16, 17, 18}, {1, 1, 27}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        size_t n = 0;
        int from = 0;
        for (int k = 0; k < 4; k++) {
            int to = k < 3 ? cuts[i][k] : SIZE;
            n += gzip(images + from, (size_t)(to - from), packed + n, sizeof packed - n);
            from = to;
        }
        static const size_t zeros[] = {0, 1, 65536, 150000};
        for (int k = 0; k < 4; k++) {
            memset(packed + n, 0, zeros[k]);
            expect_tensor(ito_idx_load(write_file("a", packed, n + zeros[k])), "abcdefghijkl",
                          ITO_SHAPE(2, 2, 3), ITO_U8);
            ito_scope_clear();
        }
    }
}

/* A member may begin in one chunk of the file and end in another. */
Test(idx, members_longer_than_a_chunk_are_read)
{
    enum { N = 300000, CUT = 170001 };
    unsigned char *bytes = malloc(8 + N), *packed = malloc(2 * N);
    const unsigned char header[8] = {0, 0, 8, 1, 0, N >> 16, N >> 8 & 255, N & 255};
    memcpy(bytes, header, 8);
    uint32_t state = 1;
    for (int i = 0; i < N; i++)
        bytes[8 + i] = (unsigned char)((state = state * 1664525 + 1013904223) >> 24);
    size_t n = gzip(bytes, CUT, packed, 2 * N);
    n += gzip(bytes + CUT, 8 + N - CUT, packed + n, 2 * N - n);
    expect_tensor(ito_idx_load(write_file("a", packed, n)), bytes + 8, ITO_SHAPE(N), ITO_U8);
    free(bytes);
    free(packed);
}

Test(idx, what_is_neither_a_member_nor_zero_behind_gzip_is_refused)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *fault;
    } cases[] = {
        {"x", 1, "gzip stream is followed by something else"},
        {"\0\0x", 3, "gzip stream is followed by something else"},
        {"\0\x1f\x8b", 3, "gzip stream is followed by something else"},
        {"\x1f", 1, "gzip stream is truncated"},
        {"\x1f\x8b\x8", 3, "gzip stream is truncated"},
        {"\x1fx", 2, "gzip stream is damaged: incorrect header check"},
        {"\x1f\x8b\x8\xff", 4, "gzip stream is damaged: unknown header flags set"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char packed[256];
        size_t n = gzip(images, SIZE, packed, sizeof packed);
        memcpy(packed + n, cases[i].bytes, cases[i].n);
        expect_refused(write_file("a", packed, n + cases[i].n), cases[i].fault);
    }
    unsigned char
        packed[512]; /* pixels in a second file, which the header of the first does not count */
    size_t n = gzip(images, SIZE, packed, sizeof packed);
    n += gzip(images, SIZE, packed + n, sizeof packed - n);
    expect_refused(write_file("a", packed, n), "gzip stream holds more than its IDX header says");
}

Test(idx, gzip_streams_of_another_length_than_claimed_are_refused)
{
    expect_refused(write_gzip(images, SIZE - 1),
                   "gzip stream ends 1 bytes before the IDX data it begins with");
    expect_refused(write_gzip(images, 2),
                   "gzip stream ends 2 bytes before the IDX data it begins with");
    expect_refused(write_gzip(images, SIZE + 1), "gzip stream holds more than its IDX header says");
}

/* 60 MB of zeros behind a header for one byte; the memory limit would stop anything that grew. */
Test(idx, a_bomb_stops_early)
{
    enum { N = 60000000 };
    unsigned char *bytes = calloc(1, N), *packed = malloc(N / 100);
    memcpy(bytes, "\0\0\10\1\0\0\0\1", 8);
    size_t n = gzip(bytes, N, packed, N / 100);
    ito_memory_limit(1 << 20);
    expect_refused(write_file("a", packed, n), "gzip stream holds more than its IDX header says");
    free(bytes);
    free(packed);
}

Test(idx, a_claim_beyond_what_deflate_can_hold_is_refused_before_memory_is_taken)
{
    unsigned char packed[256];
    size_t n = gzip("\0\0\10\1\377\377\377\377", 8, packed, sizeof packed);
    char fault[128];
    snprintf(fault, sizeof fault, "claims shape [4294967295], but cannot hold more than %zu bytes",
             n * 1032);
    ito_memory_limit(1 << 20);
    expect_refused(write_file("a", packed, n), fault);
}

static bool load(void *path)
{
    return ito_idx_load(path) != NULL;
}

Test(idx, every_failing_allocation_is_an_error)
{
    char path[PATH_MAX + 512];
    snprintf(path, sizeof path, "%s", write_gzip(images, SIZE));
    expect_clean_failures(load, path);
}
