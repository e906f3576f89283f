/* safetensors files made by hand, with every field to be set wrong. */
#ifndef ITO_TESTS_IO_SAFETENSORS_FILES_H
#define ITO_TESTS_IO_SAFETENSORS_FILES_H

#include "files.h"
#include "tensor/io/safetensors.h"

/* The length of the header, the header, the buffer. */
static inline const char *write_parts(const char *name, const void *header, size_t length,
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

static inline const char *write_text(const char *header, const void *buffer, size_t size)
{
    return write_parts("a.safetensors", header, strlen(header), buffer, size);
}

static inline void expect_refused(const char *path, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    cr_assert_null(ito_safetensors_open(path), "not refused: %s", fault);
    expect_error(ITO_ERR_FORMAT, "%s: %s", path, fault);
    expect_nothing_left(open_files);
}

/* What is said of checksums that do not fit. */
#define STALE                                                                                      \
    "another program kept the checksums of an older file; then save it again without the "         \
    "metadata keys that begin with crc32:"

static const float values[6] = {1, 2, 3, -4, 5.5f, 6};

#define HEADER                                                                                     \
    "{\"__metadata__\":{\"format\":\"pt\"},"                                                       \
    "\"b\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[8,24]},"                           \
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}   "

#endif
