/* NumPy's .npz files: zip archives whose members are .npy files, stored or deflated.
 * Invariant: what the archive claims is compared with the size of the file before memory is taken
 * for it, and the checksum of a member before its tensor is given. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/npz.h"
#include "tensor/io/npy.h"
#include "tensor/io/npy_header.h"
#include "tensor/io/zstream.h"

#include <stdio.h>
#include <stdlib.h>
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

typedef struct npz_member {
    const char *name; /* without .npy */
    uint32_t crc;
    int method, flags;
    int64_t packed, size, at; /* bytes in the archive, unpacked, and where its local header is */
} npz_member;

struct ito_npz {
    file_reader file;
    char *directory; /* of the archive; names lie in it */
    npz_member *members;
    int64_t count;
    char path[];
};

static uint64_t number(const void *at, int bytes)
{
    uint64_t value = 0;
    memcpy(&value, at, (size_t)bytes);
    return value;
}

static ito_status damaged(const ito_npz *f, const char *fault)
{
    return file_error(ITO_ERR_FORMAT, f->path, "npz archive: %s", fault);
}

/* ---- the directory -----------------------------------------------------------------------------
 */

typedef struct zip_end {
    uint64_t count, size, at; /* of the directory */
} zip_end;

/* The record of a zip64 archive, which a locator in front of the usual one at `end` names. */
static ito_status read_end_64(const ito_npz *f, int64_t end, zip_end *out)
{
    char locator[LOCATOR], record[END_RECORD_64];
    if (end < LOCATOR)
        return damaged(f, "its sizes are those of zip64, which it does not have");
    ito_status status = file_read(&f->file, locator, LOCATOR, end - LOCATOR);
    if (status != ITO_OK)
        return status;
    uint64_t at = number(locator + 8, 8);
    if (memcmp(locator, "PK\6\7", 4) != 0 || at > (uint64_t)(end - LOCATOR) ||
        (uint64_t)(end - LOCATOR) - at < END_RECORD_64)
        return damaged(f, "its sizes are those of zip64, which it does not have");
    status = file_read(&f->file, record, END_RECORD_64, (int64_t)at);
    if (status == ITO_OK && memcmp(record, "PK\6\6", 4) != 0)
        return damaged(f, "its sizes are those of zip64, which it does not have");
    *out = (zip_end){number(record + 32, 8), number(record + 40, 8), number(record + 48, 8)};
    return status;
}

/* The record at the end, behind which there may be a comment. */
static ito_status read_end(const ito_npz *f, zip_end *out)
{
    const int64_t most = END_RECORD + LONGEST_COMMENT;
    int64_t n = f->file.size < most ? f->file.size : most, begin = f->file.size - n;
    char *tail = mem_alloc((size_t)n);
    if (tail == NULL)
        return ITO_ERR_MEMORY;
    ito_status status = file_read(&f->file, tail, n, begin);
    int64_t i = n - END_RECORD;
    while (i >= 0 && (memcmp(tail + i, "PK\5\6", 4) != 0 ||
                      number(tail + i + 20, 2) != (uint64_t)(n - i - END_RECORD)))
        i--;
    if (status == ITO_OK && i < 0)
        status =
            file_error(ITO_ERR_FORMAT, f->path, "is not an npz archive, or its end is missing");
    if (status == ITO_OK) {
        *out =
            (zip_end){number(tail + i + 10, 2), number(tail + i + 12, 4), number(tail + i + 16, 4)};
        if (out->count == UINT16_MAX || out->size == UINT32_MAX || out->at == UINT32_MAX)
            status = read_end_64(f, begin + i, out);
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

/* One entry of the directory at *next, of which `left` bytes are left; a member that is no .npy
 * file is passed over. The name is ended with a 0 where its ending began. */
static ito_status read_member(ito_npz *f, char **next, size_t *left)
{
    char *entry = *next;
    if (*left < MEMBER || memcmp(entry, "PK\1\2", 4) != 0)
        return damaged(f, "its directory is damaged");
    size_t name = number(entry + 28, 2), extra = number(entry + 30, 2);
    size_t length = MEMBER + name + extra + number(entry + 32, 2);
    uint64_t packed = number(entry + 20, 4), size = number(entry + 24, 4),
             at = number(entry + 42, 4);
    if (length > *left)
        return damaged(f, "its directory is damaged");
    if ((packed == UINT32_MAX || size == UINT32_MAX || at == UINT32_MAX) &&
        !read_extra_64(entry + MEMBER + name, extra, (uint64_t *[]){&size, &packed, &at}, 3))
        return damaged(f, "its sizes are those of zip64, which it does not have");
    *next += length;
    *left -= length;
    char *text = entry + MEMBER;
    if (name < 4 || memcmp(text + name - 4, ".npy", 4) != 0)
        return ITO_OK;
    text[name - 4] = '\0';
    if (strlen(text) != name - 4)
        return damaged(f, "a name in it has a 0");
    if (at > (uint64_t)f->file.size || packed > (uint64_t)f->file.size || size > INT64_MAX)
        return damaged(f, "its directory is damaged");
    f->members[f->count++] = (npz_member){.name = text,
                                          .crc = (uint32_t)number(entry + 16, 4),
                                          .method = (int)number(entry + 10, 2),
                                          .flags = (int)number(entry + 8, 2),
                                          .packed = (int64_t)packed,
                                          .size = (int64_t)size,
                                          .at = (int64_t)at};
    return ITO_OK;
}

static ito_status read_directory(ito_npz *f)
{
    zip_end end;
    ito_status status = read_end(f, &end);
    if (status != ITO_OK)
        return status;
    uint64_t room = (uint64_t)f->file.size;
    if (end.at > room || end.size > room - end.at || end.size > MOST_DIRECTORY ||
        end.count > end.size / MEMBER)
        return damaged(f, "its directory is damaged");
    f->directory = mem_alloc(end.size);
    if (f->directory == NULL)
        return ITO_ERR_MEMORY;
    f->members = mem_alloc(end.count * sizeof *f->members);
    if (f->members == NULL)
        return ITO_ERR_MEMORY;
    status = file_read(&f->file, f->directory, (int64_t)end.size, (int64_t)end.at);
    char *next = f->directory;
    size_t left = end.size;
    for (uint64_t i = 0; i < end.count && status == ITO_OK; i++)
        status = read_member(f, &next, &left);
    return status;
}

ito_npz *ito_npz_open(const char *path)
{
    file_reader file;
    if (file_open(&file, path) != ITO_OK)
        return NULL;
    size_t length = strlen(path) + 1;
    ito_npz *f = struct_alloc(sizeof *f + length);
    if (f == NULL) {
        file_close(&file);
        return NULL;
    }
    memcpy(f->path, path, length);
    f->file = file;
    f->file.path = f->path;
    if (read_directory(f) == ITO_OK)
        return f;
    ito_npz_close(f);
    return NULL;
}

void ito_npz_close(ito_npz *f)
{
    if (f == NULL)
        return;
    mem_free(f->directory);
    mem_free(f->members);
    file_close(&f->file);
    free(f);
}

int64_t ito_npz_count(const ito_npz *f)
{
    return f == NULL ? 0 : f->count;
}

const char *ito_npz_name(const ito_npz *f, int64_t i)
{
    if (f == NULL)
        return error_null(ITO_ERR_ARGUMENT, "npz: there is no file");
    if (i >= 0 && i < f->count)
        return f->members[i].name;
    file_error(ITO_ERR_RANGE, f->path, "array %" PRId64 " of %" PRId64, i, f->count);
    return NULL;
}

int64_t ito_npz_find(const ito_npz *f, const char *name)
{
    for (int64_t i = 0; f != NULL && name != NULL && i < f->count; i++)
        if (strcmp(f->members[i].name, name) == 0)
            return i;
    return -1;
}

/* ---- an array ----------------------------------------------------------------------------------
 */

typedef struct member_source {
    npy_source base;
    const file_reader *file;
    int64_t next, packed_left; /* in the archive, of what is still packed */
    bool deflated, ended;
    z_stream inflater;
    char *input; /* [INPUT] of a deflated member */
    uint32_t crc;
} member_source;

static ito_status inflate_more(member_source *s, void *out, int64_t n)
{
    z_stream *z = &s->inflater;
    char *to = out;
    while (n > 0 && !s->ended) {
        if (z->avail_in == 0) {
            int64_t take = s->packed_left < INPUT ? s->packed_left : INPUT;
            if (take == 0)
                break;
            ito_status status = file_read(s->file, s->input, take, s->next);
            if (status != ITO_OK)
                return status;
            s->next += take;
            s->packed_left -= take;
            z->next_in = (Bytef *)s->input;
            z->avail_in = (uInt)take;
        }
        uInt room = n < INPUT ? (uInt)n : INPUT;
        z->next_out = (Bytef *)to;
        z->avail_out = room;
        int result = inflate(z, Z_NO_FLUSH);
        if (result == Z_MEM_ERROR)
            return error_status(ITO_ERR_MEMORY, "npz: no memory to inflate with");
        if (result != Z_OK && result != Z_STREAM_END)
            return file_error(ITO_ERR_FORMAT, s->base.path, "its deflated bytes are damaged");
        to += room - z->avail_out;
        n -= room - z->avail_out;
        s->ended = result == Z_STREAM_END;
    }
    if (n > 0)
        return file_error(ITO_ERR_FORMAT, s->base.path, "its deflated bytes end too soon");
    return ITO_OK;
}

static ito_status read_member_bytes(npy_source *base, void *out, int64_t n)
{
    member_source *s = (member_source *)base;
    ito_status status;
    if (s->deflated) {
        status = inflate_more(s, out, n);
    } else {
        status = file_read(s->file, out, n, s->next);
        s->next += n;
    }
    if (status == ITO_OK)
        s->crc = (uint32_t)crc32_z(s->crc, out, (size_t)n);
    return status;
}

/* Where the bytes of a member begin, which its local header says. */
static ito_status find_bytes(const ito_npz *f, const npz_member *m, const char *path,
                             int64_t *begin)
{
    char header[LOCAL_HEADER];
    ito_status status = file_read(&f->file, header, LOCAL_HEADER, m->at);
    if (status != ITO_OK)
        return status;
    *begin =
        m->at + LOCAL_HEADER + (int64_t)number(header + 26, 2) + (int64_t)number(header + 28, 2);
    if (memcmp(header, "PK\3\4", 4) != 0 || m->packed > f->file.size - *begin)
        return file_error(ITO_ERR_FORMAT, path, "its place in the archive is damaged");
    if (m->flags & ENCRYPTED)
        return file_error(ITO_ERR_FORMAT, path, "it is encrypted");
    if (m->method != STORED && m->method != DEFLATED)
        return file_error(ITO_ERR_FORMAT, path,
                          "it is compressed by method %d; stored and deflated arrays are read",
                          m->method);
    if (m->method == STORED ? m->size != m->packed : m->size / MOST_RATIO > m->packed)
        return file_error(ITO_ERR_FORMAT, path,
                          "it cannot have %" PRId64 " bytes: it takes %" PRId64 " in the archive",
                          m->size, m->packed);
    return ITO_OK;
}

static ito_tensor *read_array(const ito_npz *f, const npz_member *m, const char *path)
{
    member_source s = {.base = {.path = path, .left = m->size, .read = read_member_bytes},
                       .file = &f->file,
                       .packed_left = m->packed,
                       .deflated = m->method == DEFLATED,
                       .inflater = ZSTREAM_INIT};
    if (find_bytes(f, m, path, &s.next) != ITO_OK)
        return NULL;
    if (s.deflated) {
        s.input = mem_alloc(INPUT);
        if (s.input == NULL)
            return NULL;
        if (inflateInit2(&s.inflater, -15) != Z_OK) {
            mem_free(s.input);
            return error_null(ITO_ERR_MEMORY, "npz: no memory to inflate with");
        }
    }
    ito_tensor *t = npy_read(&s.base);
    if (t != NULL && s.crc != m->crc) {
        file_error(ITO_ERR_FORMAT, path,
                   "checksum does not match (stored %08" PRIx32 ", found %08" PRIx32 ")", m->crc,
                   s.crc);
        ito_release(tensor_disown(t));
        t = NULL;
    }
    if (s.deflated)
        inflateEnd(&s.inflater);
    mem_free(s.input);
    return t;
}

ito_tensor *ito_npz_read(const ito_npz *f, const char *name)
{
    if (f == NULL || name == NULL)
        return error_null(ITO_ERR_ARGUMENT, "npz: there is no %s", f == NULL ? "file" : "name");
    int64_t i = ito_npz_find(f, name);
    if (i < 0) {
        file_error(ITO_ERR_ARGUMENT, f->path, "holds no array %.100s", name);
        return NULL;
    }
    size_t room = strlen(f->path) + strlen(name) + 2;
    char *path = struct_alloc(room);
    if (path == NULL)
        return NULL;
    snprintf(path, room, "%s#%s", f->path, name);
    ito_tensor *t = read_array(f, &f->members[i], path);
    free(path);
    return t;
}
