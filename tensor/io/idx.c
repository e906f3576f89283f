/* IDX files: 0 0, type, number of axes, big-endian sizes, elements. Read through a source that
 * either is the file or inflates it: one member of gzip after the other (RFC 1952, 2.2).
 * Invariant: memory is taken only once the header's claim is one that the file can hold. */
#include "tensor/io/idx.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/zstream.h"

#include <string.h>

enum {
    UNSIGNED_BYTE = 0x08,
    MAX_AXES = 4,
    CHUNK = 65536,
    MAX_DEFLATE_RATIO = 1032, /* a match of 258 bytes takes at least two bits */
};

typedef struct source {
    file_reader file;
    int64_t next; /* byte of the file */
    bool gzipped, ended;
    z_stream inflater;
    unsigned char *chunk; /* of compressed bytes */
} source;

static ito_status source_open(source *s, const char *path)
{
    *s = (source){0};
    ito_status status = file_open(&s->file, path);
    unsigned char magic[2] = {0};
    if (status == ITO_OK && s->file.size >= 2)
        status = file_read(&s->file, magic, 2, 0);
    s->gzipped = magic[0] == 0x1f && magic[1] == 0x8b;
    if (status != ITO_OK || !s->gzipped)
        return status;
    s->inflater = ZSTREAM_INIT;
    s->chunk = mem_alloc(CHUNK);
    const int gzip_wrapper = 16;
    if (s->chunk == NULL || inflateInit2(&s->inflater, 15 + gzip_wrapper) != Z_OK)
        return error_status(ITO_ERR_MEMORY, "idx: no memory to inflate with");
    return ITO_OK;
}

static void source_close(source *s)
{
    inflateEnd(&s->inflater);
    mem_free(s->chunk);
    file_close(&s->file);
}

/* Have compressed bytes for the inflater; *some is whether there are any. */
static ito_status source_fill(source *s, bool *some)
{
    z_stream *z = &s->inflater;
    int64_t left = s->file.size - s->next, n = left < CHUNK ? left : CHUNK;
    *some = z->avail_in > 0 || n > 0;
    if (z->avail_in > 0 || n == 0)
        return ITO_OK;
    ito_status status = file_read(&s->file, s->chunk, n, s->next);
    s->next += n;
    z->next_in = s->chunk;
    z->avail_in = (unsigned)n;
    return status;
}

/* After a member: another begins, or there are zeros, which fill a block of a tape, to the end. */
static ito_status source_next_member(source *s)
{
    z_stream *z = &s->inflater;
    bool some, zeros = true;
    ito_status status = source_fill(s, &some);
    if (status == ITO_OK && some && z->next_in[0] == 0x1f) {
        inflateReset(z); /* inflate says what else is wrong with it */
        return ITO_OK;
    }
    s->ended = true;
    while (status == ITO_OK && some && zeros) {
        for (; z->avail_in > 0 && zeros; z->avail_in--)
            zeros = *z->next_in++ == 0;
        status = source_fill(s, &some);
    }
    return zeros ? status
                 : file_error(ITO_ERR_FORMAT, s->file.path,
                              "gzip stream is followed by something else");
}

/* Inflate into out until it is full or the last member ends; *got is how much that was. */
static ito_status source_inflate(source *s, void *out, int64_t size, int64_t *got)
{
    z_stream *z = &s->inflater;
    *got = 0;
    while (*got < size && !s->ended) {
        bool some;
        ito_status status = source_fill(s, &some);
        if (status != ITO_OK)
            return status;
        if (!some)
            return file_error(ITO_ERR_FORMAT, s->file.path, "gzip stream is truncated");
        int64_t room = size - *got < INT32_MAX ? size - *got : INT32_MAX;
        z->next_out = (unsigned char *)out + *got;
        z->avail_out = (unsigned)room;
        int code = inflate(z, Z_NO_FLUSH);
        *got += room - z->avail_out;
        if (code == Z_MEM_ERROR)
            return error_status(ITO_ERR_MEMORY, "idx: no memory to inflate with");
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return file_error(ITO_ERR_FORMAT, s->file.path, "gzip stream is damaged: %s",
                              z->msg != NULL ? z->msg : "it asks for a dictionary");
        status = code == Z_STREAM_END ? source_next_member(s) : ITO_OK;
        if (status != ITO_OK)
            return status;
    }
    return ITO_OK;
}

static ito_status source_read(source *s, void *out, int64_t size)
{
    if (!s->gzipped) {
        ito_status status = file_read(&s->file, out, size, s->next);
        s->next += size;
        return status;
    }
    int64_t got;
    ito_status status = source_inflate(s, out, size, &got);
    if (status == ITO_OK && got < size)
        return file_error(ITO_ERR_FORMAT, s->file.path,
                          "gzip stream ends %" PRId64 " bytes before the IDX data it begins with",
                          size - got);
    return status;
}

/* After the last element: only here are the gzip checksum and length compared. */
static ito_status source_finish(source *s)
{
    int64_t left = s->file.size - s->next;
    if (s->gzipped) {
        unsigned char more;
        int64_t got;
        ito_status status = source_inflate(s, &more, 1, &got);
        return status == ITO_OK && got > 0
                   ? file_error(ITO_ERR_FORMAT, s->file.path,
                                "gzip stream holds more than its IDX header says")
                   : status;
    }
    if (left > 0)
        return file_error(ITO_ERR_FORMAT, s->file.path, "%" PRId64 " bytes too many at its end",
                          left);
    return ITO_OK;
}

/* Whether n bytes can follow the header at all. */
static ito_status check_claim(const source *s, ito_shape shape, int64_t n)
{
    int64_t holds =
        s->gzipped ? checked_mul(s->file.size, MAX_DEFLATE_RATIO) : s->file.size - s->next;
    if (n < 0 || n > holds)
        return file_error(ITO_ERR_FORMAT, s->file.path,
                          "claims shape %s, but cannot hold more than %" PRId64 " bytes",
                          shape_str(shape), holds);
    return ITO_OK;
}

static ito_status read_shape(source *s, ito_shape *shape)
{
    unsigned char start[4] = {0}, sizes[4 * MAX_AXES] = {0};
    if (!s->gzipped && s->file.size < 4)
        return file_error(ITO_ERR_FORMAT, s->file.path, "is not an IDX file");
    ito_status status = source_read(s, start, 4);
    if (status != ITO_OK)
        return status;
    if (start[0] != 0 || start[1] != 0)
        return file_error(ITO_ERR_FORMAT, s->file.path, "is not an IDX file");
    if (start[2] != UNSIGNED_BYTE)
        return file_error(ITO_ERR_FORMAT, s->file.path,
                          "IDX type 0x%02x is not 0x08, unsigned bytes", start[2]);
    if (start[3] < 1 || start[3] > MAX_AXES)
        return file_error(ITO_ERR_FORMAT, s->file.path, "%d axes: there can be 1 to 4", start[3]);
    status = source_read(s, sizes, 4 * start[3]);
    if (status != ITO_OK)
        return status;
    *shape = (ito_shape){.ndim = start[3]};
    for (int i = 0; i < shape->ndim; i++) {
        const unsigned char *b = sizes + 4 * i;
        shape->dim[i] = (int64_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
    }
    return ITO_OK;
}

static ito_status load(source *s, ito_tensor **out)
{
    ito_shape shape = {0};
    ito_status status = read_shape(s, &shape);
    if (status != ITO_OK)
        return status;
    int64_t n = shape_numel(shape);
    status = check_claim(s, shape, n);
    if (status != ITO_OK)
        return status;
    ito_tensor *t = tensor_empty(shape, ITO_U8);
    if (t == NULL)
        return ito_error_code();
    status = source_read(s, tensor_data(t), n);
    if (status == ITO_OK)
        status = source_finish(s);
    if (status == ITO_OK)
        *out = t;
    else
        ito_release(tensor_disown(t));
    return status;
}

ito_tensor *ito_idx_load(const char *path)
{
    source s;
    ito_tensor *t = NULL;
    if (source_open(&s, path) == ITO_OK)
        load(&s, &t);
    source_close(&s);
    return t;
}
