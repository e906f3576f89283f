/* Zip archives made by hand, with every field to be set wrong. */
#ifndef ITO_TESTS_IO_ARCHIVES_H
#define ITO_TESTS_IO_ARCHIVES_H

#include "files.h"

#include <zlib.h>

enum { STORED = 0, DEFLATED = 8, MEMBER = 46, END = 22 };

typedef struct archive {
    unsigned char bytes[1 << 16], directory[4096];
    size_t size, directory_size;
    int members;
} archive;

static inline void put(unsigned char *to, size_t *size, uint64_t value, int bytes)
{
    memcpy(to + *size, &value, (size_t)bytes);
    *size += (size_t)bytes;
}

static inline size_t deflate_raw(unsigned char *out, size_t room, const void *in, size_t n)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)n};
    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = out;
    z.avail_out = (uInt)room;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

/* Add a member of n bytes. */
static inline void add(archive *a, const char *name, const void *bytes, size_t n, int method)
{
    unsigned char packed[1 << 15];
    size_t m = n, at = a->size, length = strlen(name);
    if (method == DEFLATED)
        m = deflate_raw(packed, sizeof packed, bytes, n);
    else
        memcpy(packed, bytes, n);
    uint64_t crc = crc32(0, bytes, (uInt)n);
    for (int local = 1; local >= 0; local--) {
        unsigned char *to = local ? a->bytes : a->directory;
        size_t *size = local ? &a->size : &a->directory_size;
        put(to, size, local ? 0x04034b50 : 0x02014b50, 4);
        put(to, size, 20, local ? 2 : 4);
        put(to, size, 0, 2);
        put(to, size, (uint64_t)method, 2);
        put(to, size, 0, 4);
        put(to, size, crc, 4);
        put(to, size, m, 4);
        put(to, size, n, 4);
        put(to, size, length, 2);
        put(to, size, local ? 3 : 0, 2); /* an extra field */
        if (!local) {
            put(to, size, 0, 8);
            put(to, size, 0, 2);
            put(to, size, at, 4);
        }
        memcpy(to + *size, name, length);
        *size += length;
        if (local)
            put(to, size, 0, 3);
    }
    memcpy(a->bytes + a->size, packed, m);
    a->size += m;
    a->members++;
}

/* Where the directory's first entry will be. */
static inline size_t entry(const archive *a)
{
    return a->size;
}

static inline const char *finish(archive *a, const char *comment)
{
    size_t at = a->size;
    memcpy(a->bytes + at, a->directory, a->directory_size);
    a->size += a->directory_size;
    put(a->bytes, &a->size, 0x06054b50, 4);
    put(a->bytes, &a->size, 0, 4);
    put(a->bytes, &a->size, (uint64_t)a->members, 2);
    put(a->bytes, &a->size, (uint64_t)a->members, 2);
    put(a->bytes, &a->size, a->directory_size, 4);
    put(a->bytes, &a->size, at, 4);
    put(a->bytes, &a->size, strlen(comment), 2);
    memcpy(a->bytes + a->size, comment, strlen(comment));
    a->size += strlen(comment);
    return write_file("a.npz", a->bytes, a->size);
}

/* The archive once more, with so many bytes at a place set to a value. */
static inline const char *patched(archive *a, size_t at, uint64_t value, int bytes)
{
    unsigned char kept[8];
    memcpy(kept, a->bytes + at, (size_t)bytes);
    memcpy(a->bytes + at, &value, (size_t)bytes);
    const char *path = write_file("p.npz", a->bytes, a->size);
    memcpy(a->bytes + at, kept, (size_t)bytes);
    return path;
}

#endif
