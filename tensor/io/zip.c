/* Zip archives: the directory at the end of the file, and members, stored or deflated.
 * Invariant: what the archive claims is compared with the size of the file before memory is taken
 * for it. */
#include "tensor/io/zip.h"
#include "tensor/internal.h"

#include <string.h>

enum {
    END_RECORD = 22, /* bytes of the record that the archive ends with, before its comment */
    LONGEST_COMMENT = 65535,
    LOCATOR = 20,       /* of the zip64 record that is to be read in its place */
    END_RECORD_64 = 56, /* the part of that record that is read */
    MEMBER = 46,        /* a member's entry in the directory, before its name */
    LOCAL_HEADER = 30,  /* in front of its bytes, before its name */
    MOST_DIRECTORY = 1 << 26,
    STORED = 0,
    DEFLATED = 8,
    ENCRYPTED = 1, /* a flag */
    INPUT = 1 << 16,
    MOST_RATIO = 1032 /* bytes that deflate makes of one */
};

static uint64_t number(const void *at, int bytes)
{
    uint64_t value = 0;
    memcpy(&value, at, (size_t)bytes);
    return value;
}

static ito_status damaged(const zip_archive *z, const char *fault)
{
    return file_error(ITO_ERR_FORMAT, z->file.path, "%s: %s", strchr(z->what, ' ') + 1, fault);
}

/* ---- the directory -----------------------------------------------------------------------------
 */

typedef struct zip_end {
    uint64_t count, size, at; /* of the directory */
} zip_end;

/* The record of a zip64 archive, which a locator in front of the usual one at `end` names. */
static ito_status read_end_64(const zip_archive *z, int64_t end, zip_end *out)
{
    char locator[LOCATOR], record[END_RECORD_64];
    if (end < LOCATOR)
        return damaged(z, "its sizes are those of zip64, which it does not have");
    ito_status status = file_read(&z->file, locator, LOCATOR, end - LOCATOR);
    if (status != ITO_OK)
        return status;
    uint64_t at = number(locator + 8, 8);
    if (memcmp(locator, "PK\6\7", 4) != 0 || at > (uint64_t)(end - LOCATOR) ||
        (uint64_t)(end - LOCATOR) - at < END_RECORD_64)
        return damaged(z, "its sizes are those of zip64, which it does not have");
    status = file_read(&z->file, record, END_RECORD_64, (int64_t)at);
    if (status == ITO_OK && memcmp(record, "PK\6\6", 4) != 0)
        return damaged(z, "its sizes are those of zip64, which it does not have");
    *out = (zip_end){number(record + 32, 8), number(record + 40, 8), number(record + 48, 8)};
    return status;
}

/* The record at the end, behind which there may be a comment. */
static ito_status read_end(const zip_archive *z, zip_end *out)
{
    const int64_t most = END_RECORD + LONGEST_COMMENT;
    int64_t n = z->file.size < most ? z->file.size : most, begin = z->file.size - n;
    char *tail = mem_alloc((size_t)n);
    if (tail == NULL)
        return ITO_ERR_MEMORY;
    ito_status status = file_read(&z->file, tail, n, begin);
    int64_t i = n - END_RECORD;
    while (i >= 0 && (memcmp(tail + i, "PK\5\6", 4) != 0 ||
                      number(tail + i + 20, 2) != (uint64_t)(n - i - END_RECORD)))
        i--;
    if (status == ITO_OK && i < 0)
        status =
            file_error(ITO_ERR_FORMAT, z->file.path, "is not %s, or its end is missing", z->what);
    if (status == ITO_OK) {
        *out =
            (zip_end){number(tail + i + 10, 2), number(tail + i + 12, 4), number(tail + i + 16, 4)};
        if (out->count == UINT16_MAX || out->size == UINT32_MAX || out->at == UINT32_MAX)
            status = read_end_64(z, begin + i, out);
    }
    mem_free(tail);
    return status;
}

/* Sizes that do not fit in 32 bits stand in an extra field, in this order. */
static bool read_extra_64(const char *extra, size_t length, uint64_t *values[], int n)
{
    while (length >= 4) {
        size_t id = number(extra, 2), size = number(extra + 2, 2);
        if (size > length - 4)
            return false;
        if (id == 1) {
            const char *next = extra + 4;
            for (int i = 0; i < n; i++) {
                if (*values[i] != UINT32_MAX)
                    continue;
                if (size < 8)
                    return false;
                *values[i] = number(next, 8);
                next += 8;
                size -= 8;
            }
            return true;
        }
        extra += 4 + size;
        length -= 4 + size;
    }
    return false;
}

/* One entry of the directory at *next, of which `left` bytes are left. Its name moves back by a
 * byte, so that there is room for a 0 behind it. */
static ito_status read_member(zip_archive *z, char **next, size_t *left)
{
    char *entry = *next;
    if (*left < MEMBER || memcmp(entry, "PK\1\2", 4) != 0)
        return damaged(z, "its directory is damaged");
    size_t name = number(entry + 28, 2), extra = number(entry + 30, 2);
    size_t length = MEMBER + name + extra + number(entry + 32, 2);
    uint64_t packed = number(entry + 20, 4), size = number(entry + 24, 4),
             at = number(entry + 42, 4);
    uint32_t crc = (uint32_t)number(entry + 16, 4);
    int method = (int)number(entry + 10, 2), flags = (int)number(entry + 8, 2);
    if (length > *left)
        return damaged(z, "its directory is damaged");
    if ((packed == UINT32_MAX || size == UINT32_MAX || at == UINT32_MAX) &&
        !read_extra_64(entry + MEMBER + name, extra, (uint64_t *[]){&size, &packed, &at}, 3))
        return damaged(z, "its sizes are those of zip64, which it does not have");
    *next += length;
    *left -= length;
    char *text = memmove(entry + MEMBER - 1, entry + MEMBER, name);
    text[name] = '\0';
    if (strlen(text) != name)
        return damaged(z, "a name in it has a 0");
    if (at > (uint64_t)z->file.size || packed > (uint64_t)z->file.size || size > INT64_MAX)
        return damaged(z, "its directory is damaged");
    z->members[z->count++] = (zip_member){.name = text,
                                          .crc = crc,
                                          .method = method,
                                          .flags = flags,
                                          .packed = (int64_t)packed,
                                          .size = (int64_t)size,
                                          .at = (int64_t)at};
    return ITO_OK;
}

static ito_status read_directory(zip_archive *z)
{
    zip_end end;
    ito_status status = read_end(z, &end);
    if (status != ITO_OK)
        return status;
    uint64_t room = (uint64_t)z->file.size;
    if (end.at > room || end.size > room - end.at || end.size > MOST_DIRECTORY ||
        end.count > end.size / MEMBER)
        return damaged(z, "its directory is damaged");
    z->directory = mem_alloc(end.size);
    if (z->directory == NULL)
        return ITO_ERR_MEMORY;
    z->members = mem_alloc(end.count * sizeof *z->members);
    if (z->members == NULL)
        return ITO_ERR_MEMORY;
    status = file_read(&z->file, z->directory, (int64_t)end.size, (int64_t)end.at);
    char *next = z->directory;
    size_t left = end.size;
    for (uint64_t i = 0; i < end.count && status == ITO_OK; i++)
        status = read_member(z, &next, &left);
    return status;
}

ito_status zip_open(zip_archive *z, const char *path, const char *what)
{
    *z = (zip_archive){.what = what};
    ito_status status = file_open(&z->file, path);
    if (status != ITO_OK)
        return status;
    status = read_directory(z);
    if (status != ITO_OK)
        zip_close(z);
    return status;
}

void zip_close(zip_archive *z)
{
    mem_free(z->directory);
    mem_free(z->members);
    file_close(&z->file);
}

/* ---- a member ---- */

static ito_status inflate_more(zip_reader *r, void *out, int64_t n)
{
    z_stream *z = &r->inflater;
    char *to = out;
    while (n > 0 && !r->ended) {
        if (z->avail_in == 0) {
            int64_t take = r->packed_left < INPUT ? r->packed_left : INPUT;
            if (take == 0)
                break;
            ito_status status = file_read(r->file, r->input, take, r->next);
            if (status != ITO_OK)
                return status;
            r->next += take;
            r->packed_left -= take;
            z->next_in = (Bytef *)r->input;
            z->avail_in = (uInt)take;
        }
        uInt room = n < INPUT ? (uInt)n : INPUT;
        z->next_out = (Bytef *)to;
        z->avail_out = room;
        int result = inflate(z, Z_NO_FLUSH);
        if (result == Z_MEM_ERROR)
            return error_status(ITO_ERR_MEMORY, "zip: no memory to inflate with");
        if (result != Z_OK && result != Z_STREAM_END)
            return file_error(ITO_ERR_FORMAT, r->path, "its deflated bytes are damaged");
        to += room - z->avail_out;
        n -= room - z->avail_out;
        r->ended = result == Z_STREAM_END;
    }
    if (n > 0)
        return file_error(ITO_ERR_FORMAT, r->path, "its deflated bytes end too soon");
    return ITO_OK;
}

/* Where the bytes of a member begin, which its local header says. */
static ito_status find_bytes(const zip_archive *z, const zip_member *m, const char *path,
                             int64_t *begin)
{
    char header[LOCAL_HEADER];
    ito_status status = file_read(&z->file, header, LOCAL_HEADER, m->at);
    if (status != ITO_OK)
        return status;
    *begin =
        m->at + LOCAL_HEADER + (int64_t)number(header + 26, 2) + (int64_t)number(header + 28, 2);
    if (memcmp(header, "PK\3\4", 4) != 0 || m->packed > z->file.size - *begin)
        return file_error(ITO_ERR_FORMAT, path, "its place in the archive is damaged");
    if (m->flags & ENCRYPTED)
        return file_error(ITO_ERR_FORMAT, path, "it is encrypted");
    if (m->method != STORED && m->method != DEFLATED)
        return file_error(ITO_ERR_FORMAT, path,
                          "it is compressed by method %d; stored and deflated members are read",
                          m->method);
    if (m->method == STORED ? m->size != m->packed : m->size / MOST_RATIO > m->packed)
        return file_error(ITO_ERR_FORMAT, path,
                          "it cannot have %" PRId64 " bytes: it takes %" PRId64 " in the archive",
                          m->size, m->packed);
    return ITO_OK;
}

ito_status zip_read_begin(zip_reader *r, const zip_archive *z, const zip_member *m,
                          const char *path)
{
    *r = (zip_reader){.path = path,
                      .file = &z->file,
                      .member = m,
                      .packed_left = m->packed,
                      .deflated = m->method == DEFLATED,
                      .inflater = ZSTREAM_INIT};
    ito_status status = find_bytes(z, m, path, &r->begin);
    r->next = r->begin;
    if (status != ITO_OK || !r->deflated)
        return status;
    r->input = mem_alloc(INPUT);
    if (r->input == NULL)
        return ITO_ERR_MEMORY;
    if (inflateInit2(&r->inflater, -15) == Z_OK)
        return ITO_OK;
    mem_free(r->input);
    return error_status(ITO_ERR_MEMORY, "zip: no memory to inflate with");
}

ito_status zip_read(zip_reader *r, void *out, int64_t n)
{
    ito_status status;
    if (r->deflated) {
        status = inflate_more(r, out, n);
    } else {
        status = file_read(r->file, out, n, r->next);
        r->next += n;
    }
    if (status == ITO_OK)
        r->crc = (uint32_t)crc32_z(r->crc, out, (size_t)n);
    return status;
}

ito_status zip_read_check(const zip_reader *r)
{
    if (r->crc == r->member->crc)
        return ITO_OK;
    return file_error(ITO_ERR_FORMAT, r->path,
                      "checksum does not match (stored %08" PRIx32 ", found %08" PRIx32 ")",
                      r->member->crc, r->crc);
}

void zip_read_end(zip_reader *r)
{
    if (r->deflated)
        inflateEnd(&r->inflater);
    mem_free(r->input);
}
