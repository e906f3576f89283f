/* Reading safetensors: a file stays open beside its checked header, and a tensor's bytes are read
 * when it is asked for. Invariant: an open ito_safetensors is never changed. */
#include "tensor/io/safetensors.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/safetensors_header.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian, and so are we");

enum { LENGTH_BYTES = 8 }; /* of the header's length, which the file begins with */

struct ito_safetensors {
    file_reader file;
    safetensors_header header;
    int64_t buffer; /* where the tensors' bytes begin */
    char path[];
};

static ito_status load_header(ito_safetensors *f)
{
    const char *path = f->file.path;
    int64_t room = f->file.size - LENGTH_BYTES;
    if (room < 0)
        return file_error(ITO_ERR_FORMAT, path,
                          "is too short for a safetensors file: %" PRId64 " bytes", f->file.size);
    uint64_t length;
    ito_status status = file_read(&f->file, &length, LENGTH_BYTES, 0);
    if (status != ITO_OK)
        return status;
    if (length > SAFETENSORS_MAX_HEADER || length > (uint64_t)room)
        return file_error(
            ITO_ERR_FORMAT, path,
            "safetensors header of %" PRIu64 " bytes: at most %" PRId64 " are possible", length,
            room < SAFETENSORS_MAX_HEADER ? room : (int64_t)SAFETENSORS_MAX_HEADER);
    char *text = mem_alloc((size_t)length);
    if (text == NULL)
        return ITO_ERR_MEMORY;
    status = file_read(&f->file, text, (int64_t)length, LENGTH_BYTES);
    if (status != ITO_OK) {
        mem_free(text);
        return status;
    }
    f->buffer = LENGTH_BYTES + (int64_t)length;
    return safetensors_header_parse(&f->header, path, text, (int64_t)length,
                                    f->file.size - f->buffer);
}

/* Takes the file over. */
static ito_safetensors *open_reader(file_reader *file)
{
    size_t length = strlen(file->path) + 1;
    ito_safetensors *f = struct_alloc(sizeof *f + length);
    if (f == NULL) {
        file_close(file);
        return NULL;
    }
    memcpy(f->path, file->path, length);
    f->file = *file;
    f->file.path = f->path;
    if (load_header(f) == ITO_OK)
        return f;
    ito_safetensors_close(f);
    return NULL;
}

ito_safetensors *ito_safetensors_open(const char *path)
{
    file_reader file;
    return file_open(&file, path) == ITO_OK ? open_reader(&file) : NULL;
}

ito_safetensors *ito_safetensors_open_memory(const void *bytes, size_t size, const char *name)
{
    file_reader file;
    return file_open_memory(&file, bytes, size, name) == ITO_OK ? open_reader(&file) : NULL;
}

void ito_safetensors_close(ito_safetensors *f)
{
    if (f == NULL)
        return;
    safetensors_header_free(&f->header);
    file_close(&f->file);
    free(f);
}

const char *ito_safetensors_path(const ito_safetensors *f)
{
    return f == NULL ? NULL : f->path;
}

int64_t ito_safetensors_count(const ito_safetensors *f)
{
    return f == NULL ? 0 : f->header.count;
}

/* Tensor i, or NULL. */
static const safetensors_entry *entry(const ito_safetensors *f, int64_t i)
{
    if (f == NULL)
        return error_null(ITO_ERR_ARGUMENT, "safetensors: there is no file");
    if (i < 0 || i >= f->header.count) {
        file_error(ITO_ERR_RANGE, f->path, "tensor %" PRId64 " of %" PRId64, i, f->header.count);
        return NULL;
    }
    return &f->header.entries[i];
}

const char *ito_safetensors_name(const ito_safetensors *f, int64_t i)
{
    const safetensors_entry *e = entry(f, i);
    return e == NULL ? NULL : e->name;
}

ito_dtype ito_safetensors_dtype(const ito_safetensors *f, int64_t i)
{
    const safetensors_entry *e = entry(f, i);
    return e == NULL ? ITO_DTYPES : e->dtype->dtype;
}

const char *ito_safetensors_dtype_name(const ito_safetensors *f, int64_t i)
{
    const safetensors_entry *e = entry(f, i);
    return e == NULL ? NULL : e->dtype->name;
}

ito_shape ito_safetensors_shape(const ito_safetensors *f, int64_t i)
{
    const safetensors_entry *e = entry(f, i);
    return e == NULL ? ITO_SHAPE() : e->shape;
}

int64_t ito_safetensors_find(const ito_safetensors *f, const char *name)
{
    return f == NULL || name == NULL ? -1 : safetensors_header_find(&f->header, name);
}

const char *ito_safetensors_metadata(const ito_safetensors *f, const char *key)
{
    return f == NULL || key == NULL ? NULL : safetensors_header_metadata(&f->header, key);
}

int64_t ito_safetensors_metadata_count(const ito_safetensors *f)
{
    return f == NULL ? 0 : f->header.metadata_count;
}

const char *ito_safetensors_metadata_key(const ito_safetensors *f, int64_t i)
{
    if (f == NULL)
        return error_null(ITO_ERR_ARGUMENT, "safetensors: there is no file");
    if (i >= 0 && i < f->header.metadata_count)
        return f->header.metadata[i].key;
    file_error(ITO_ERR_RANGE, f->path, "metadata entry %" PRId64 " of %" PRId64, i,
               f->header.metadata_count);
    return NULL;
}

/* The entry of that name, or NULL with an error. */
static const safetensors_entry *entry_named(const ito_safetensors *f, const char *name)
{
    if (f == NULL || name == NULL)
        return error_null(ITO_ERR_ARGUMENT, "safetensors: there is no %s",
                          f == NULL ? "file" : "name");
    int64_t i = safetensors_header_find(&f->header, name);
    if (i >= 0)
        return &f->header.entries[i];
    file_error(ITO_ERR_ARGUMENT, f->path, "holds no tensor %.100s", name);
    return NULL;
}

static ito_status check_sum(const ito_safetensors *f, const safetensors_entry *e, uint32_t found)
{
    if (e->checksum != NULL && strtoul(e->checksum, NULL, 16) != found)
        return file_error(ITO_ERR_FORMAT, f->path,
                          "tensor %.100s: checksum does not match (stored %s, found %08" PRIx32
                          "): its bytes are damaged, or " SAFETENSORS_STALE,
                          e->name, e->checksum, found);
    return ITO_OK;
}

ito_status ito_safetensors_verify(const ito_safetensors *f, const char *name)
{
    enum { PART = 1 << 20 };
    const safetensors_entry *e = entry_named(f, name);
    if (e == NULL)
        return ito_error_code();
    char *part = mem_alloc(PART);
    if (part == NULL)
        return ITO_ERR_MEMORY;
    uint32_t sum = 0;
    ito_status status = ITO_OK;
    for (int64_t at = e->begin; at < e->end && status == ITO_OK; at += PART) {
        int64_t n = e->end - at < PART ? e->end - at : PART;
        status = file_read(&f->file, part, n, f->buffer + at);
        if (status == ITO_OK)
            sum = (uint32_t)crc32_z(sum, (const Bytef *)part, (size_t)n);
    }
    mem_free(part);
    return status == ITO_OK ? check_sum(f, e, sum) : status;
}

typedef struct entry_source {
    stored_source base;
    const ito_safetensors *file;
    const safetensors_entry *entry;
} entry_source;

static ito_status read_bytes(stored_source *base, void *out, int64_t bytes)
{
    const entry_source *s = (entry_source *)base;
    ito_status status = file_read(&s->file->file, out, bytes, s->file->buffer + s->entry->begin);
    return status == ITO_OK ? check_sum(s->file, s->entry, (uint32_t)crc32_z(0, out, (size_t)bytes))
                            : status;
}

static ito_tensor *read_entry(const ito_safetensors *f, const safetensors_entry *e)
{
    entry_source s = {{read_bytes}, f, e};
    return stored_read(e->dtype, f->path, e->name, e->shape, &s.base);
}

ito_tensor *ito_safetensors_read(const ito_safetensors *f, const char *name)
{
    const safetensors_entry *e = entry_named(f, name);
    return e == NULL ? NULL : read_entry(f, e);
}

/* Whether a tensor can be used where it lies. */
static ito_status check_mappable(const ito_safetensors *f, const safetensors_entry *e)
{
    if (f->file.fd < 0)
        return file_error(ITO_ERR_ARGUMENT, f->path, "is in memory; only a file can be mapped");
    if (e->dtype->dtype == ITO_DTYPES || e->dtype->widen != NULL)
        return file_error(ITO_ERR_DTYPE, f->path,
                          "tensor %.100s: no tensor has its dtype %s, so that it cannot be mapped",
                          e->name, e->dtype->name);
    int64_t offset = f->buffer + e->begin, size = e->dtype->bits / 8;
    if (offset % size != 0)
        return file_error(ITO_ERR_FORMAT, f->path,
                          "tensor %.100s: begins at byte %" PRId64
                          ", which is not a multiple of its elements' %" PRId64
                          ", so that it cannot be mapped",
                          e->name, offset, size);
    return ITO_OK;
}

ito_tensor *ito_safetensors_map(const ito_safetensors *f, const char *name)
{
    const safetensors_entry *e = entry_named(f, name);
    if (e == NULL || check_mappable(f, e) != ITO_OK)
        return NULL;
    ito_tensor *t = file_map(&f->file, f->buffer + e->begin, e->shape, e->dtype->dtype);
    if (t == NULL ||
        stored_check_bools(e->dtype, f->path, e->name, tensor_data(t), ito_numel(t)) == ITO_OK)
        return t;
    ito_release(tensor_disown(t));
    return NULL;
}

ito_status ito_safetensors_read_into(const ito_safetensors *f, const char *name, ito_tensor *dst)
{
    const safetensors_entry *e = entry_named(f, name);
    if (e == NULL)
        return ito_error_code();
    if (dst == NULL)
        return error_status(ITO_ERR_ARGUMENT, "safetensors_read_into: there is no tensor");
    if (!shape_equal(e->shape, ito_shape_of(dst)))
        return file_error(ITO_ERR_SHAPE, f->path, "tensor %.100s: its shape is %s, not %s", e->name,
                          shape_str(e->shape), tensor_shape_str(dst));
    ito_tensor *t = read_entry(f, e);
    if (t == NULL)
        return ito_error_code();
    tensor_copy(dst, t);
    ito_touch(dst);
    ito_release(tensor_disown(t));
    return ITO_OK;
}
