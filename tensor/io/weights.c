/* Files of weights of any maker: what is the same for all kinds.
 * Invariant: names are sorted once, when a file is opened, and none occurs twice. */
#include "tensor/io/weights.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/weights_kinds.h"
#include "tensor/system.h"

#include <stdlib.h>
#include <string.h>

/* ---- open and close ---- */

ito_status weights_allocate(ito_weights *w, int64_t n)
{
    int64_t bytes = checked_mul(n, sizeof *w->entries);
    w->entries = bytes < 0 ? NULL : mem_alloc((size_t)bytes);
    w->by_name = w->entries == NULL ? NULL : mem_alloc((size_t)n * sizeof *w->by_name);
    if (w->by_name == NULL)
        return ITO_ERR_MEMORY;
    memset(w->entries, 0, (size_t)bytes);
    w->count = n;
    return ITO_OK;
}

static int compare_name(const void *a, const void *b, void *entries)
{
    const weights_entry *e = entries;
    return strcmp(e[*(const int64_t *)a].name, e[*(const int64_t *)b].name);
}

ito_status weights_sort(ito_weights *w)
{
    for (int64_t i = 0; i < w->count; i++)
        w->by_name[i] = i;
    system_sort(w->by_name, (size_t)w->count, sizeof *w->by_name, compare_name, w->entries);
    for (int64_t i = 1; i < w->count; i++) {
        const char *name = w->entries[w->by_name[i]].name;
        if (strcmp(name, w->entries[w->by_name[i - 1]].name) == 0)
            return file_error(ITO_ERR_FORMAT, w->path, "tensor %.100s: occurs twice", name);
    }
    return ITO_OK;
}

ito_weights *weights_create(const char *path)
{
    size_t length = strlen(path) + 1;
    ito_weights *w = struct_alloc(sizeof *w + length);
    if (w != NULL)
        memcpy(w->path, path, length);
    return w;
}

/* What a file begins with, by which its kind is known. */
enum { HEAD = 16 };
static const char legacy[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

static ito_status open_kind(ito_weights *w, const char head[HEAD])
{
    if (memcmp(head, "PK\3\4", 4) == 0)
#ifdef ITO_NO_ZLIB
        return file_error(ITO_ERR_FORMAT, w->path,
                          "is a zip archive, which this build, without zlib, does not read");
#else
        return weights_open_zip(w);
#endif
    if (memcmp(head, legacy, sizeof legacy - 1) == 0)
        return file_error(ITO_ERR_FORMAT, w->path,
                          "is in the format of PyTorch before 1.6, which is not read: load it with "
                          "PyTorch and save it again");
    if (memcmp(head, "\x89HDF", 4) == 0)
        return file_error(ITO_ERR_FORMAT, w->path,
                          "is an HDF5 file, which is not read: save it as safetensors or npz");
    size_t length = strlen(w->path);
    if (length > 5 && strcmp(w->path + length - 5, ".json") == 0)
        return weights_open_shards(w);
    return weights_open_safetensors(w);
}

static ito_status read_head(const char *path, char head[HEAD])
{
    file_reader f;
    ito_status status = file_open(&f, path);
    if (status != ITO_OK)
        return status;
    memset(head, 0, HEAD);
    status = file_read(&f, head, f.size < HEAD ? f.size : HEAD, 0);
    file_close(&f);
    return status;
}

ito_weights *ito_weights_open(const char *path)
{
    char head[HEAD];
    if (read_head(path, head) != ITO_OK)
        return NULL;
    ito_weights *w = weights_create(path);
    if (w != NULL && open_kind(w, head) == ITO_OK)
        return w;
    ito_weights_close(w);
    return NULL;
}

void ito_weights_close(ito_weights *w)
{
    if (w == NULL)
        return;
    if (w->kind != NULL && w->state != NULL)
        w->kind->close(w->state);
    mem_free(w->entries);
    mem_free(w->by_name);
    free(w);
}

/* ---- what it holds ---- */

const char *ito_weights_path(const ito_weights *w)
{
    return w == NULL ? NULL : w->path;
}

const char *ito_weights_kind(const ito_weights *w)
{
    return w == NULL ? NULL : w->kind_name;
}

int64_t ito_weights_count(const ito_weights *w)
{
    return w == NULL ? 0 : w->count;
}

/* Tensor i, or NULL. */
static const weights_entry *entry(const ito_weights *w, int64_t i)
{
    if (w == NULL)
        return error_null(ITO_ERR_ARGUMENT, "weights: there is no file");
    if (i >= 0 && i < w->count)
        return &w->entries[i];
    file_error(ITO_ERR_RANGE, w->path, "tensor %" PRId64 " of %" PRId64, i, w->count);
    return NULL;
}

const char *ito_weights_name(const ito_weights *w, int64_t i)
{
    const weights_entry *e = entry(w, i);
    return e == NULL ? NULL : e->name;
}

ito_dtype ito_weights_dtype(const ito_weights *w, int64_t i)
{
    const weights_entry *e = entry(w, i);
    return e == NULL ? ITO_DTYPES : e->dtype->dtype;
}

const char *ito_weights_dtype_name(const ito_weights *w, int64_t i)
{
    const weights_entry *e = entry(w, i);
    return e == NULL ? NULL : e->dtype->name;
}

ito_shape ito_weights_shape(const ito_weights *w, int64_t i)
{
    const weights_entry *e = entry(w, i);
    return e == NULL ? ITO_SHAPE() : e->shape;
}

int64_t ito_weights_find(const ito_weights *w, const char *name)
{
    int64_t low = 0, high = w == NULL || name == NULL ? 0 : w->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, w->entries[w->by_name[middle]].name);
        if (order == 0)
            return w->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

const char *ito_weights_metadata(const ito_weights *w, const char *key)
{
    return w == NULL || key == NULL || w->kind->metadata == NULL ? NULL : w->kind->metadata(w, key);
}

/* ---- reading ---- */

/* The tensor of that name, or -1 with an error. */
static int64_t index_named(const ito_weights *w, const char *name)
{
    if (w == NULL || name == NULL) {
        error_status(ITO_ERR_ARGUMENT, "weights: there is no %s", w == NULL ? "file" : "name");
        return -1;
    }
    int64_t i = ito_weights_find(w, name);
    if (i < 0)
        file_error(ITO_ERR_ARGUMENT, w->path, "holds no tensor %.100s", name);
    return i;
}

ito_tensor *ito_weights_read(const ito_weights *w, const char *name)
{
    int64_t i = index_named(w, name);
    return i < 0 ? NULL : w->kind->read(w, i);
}

ito_status ito_weights_read_into(const ito_weights *w, const char *name, ito_tensor *dst)
{
    int64_t i = index_named(w, name);
    if (i < 0)
        return ito_error_code();
    if (dst == NULL)
        return error_status(ITO_ERR_ARGUMENT, "weights_read_into: there is no tensor");
    if (!shape_equal(w->entries[i].shape, ito_shape_of(dst)))
        return file_error(ITO_ERR_SHAPE, w->path, "tensor %.100s: its shape is %s, not %s", name,
                          shape_str(w->entries[i].shape), tensor_shape_str(dst));
    ito_tensor *t = w->kind->read(w, i);
    if (t == NULL)
        return ito_error_code();
    tensor_copy(dst, t);
    ito_touch(dst);
    ito_release(tensor_disown(t));
    return ITO_OK;
}

/* ---- one safetensors file ---- */

static ito_tensor *read_safetensors(const ito_weights *w, int64_t i)
{
    return ito_safetensors_read(w->state, w->entries[i].name);
}

static const char *safetensors_metadata(const ito_weights *w, const char *key)
{
    return ito_safetensors_metadata(w->state, key);
}

static void close_safetensors(void *state)
{
    ito_safetensors_close(state);
}

static void leave_open(void *state)
{
    (void)state;
}

static ito_status list_safetensors(ito_weights *w, const ito_safetensors *f)
{
    strcpy(w->kind_name, "safetensors");
    ito_status status = weights_allocate(w, ito_safetensors_count(f));
    for (int64_t i = 0; i < w->count && status == ITO_OK; i++)
        w->entries[i] = (weights_entry){ito_safetensors_name(f, i),
                                        stored_dtype_find(ito_safetensors_dtype_name(f, i)),
                                        ito_safetensors_shape(f, i)};
    return status == ITO_OK ? weights_sort(w) : status;
}

ito_status weights_open_safetensors(ito_weights *w)
{
    static const weights_kind kind = {read_safetensors, safetensors_metadata, close_safetensors};
    w->kind = &kind;
    w->state = ito_safetensors_open(w->path);
    return w->state == NULL ? ito_error_code() : list_safetensors(w, w->state);
}

ito_weights *weights_borrow(const ito_safetensors *file)
{
    static const weights_kind kind = {read_safetensors, safetensors_metadata, leave_open};
    ito_weights *w = weights_create(ito_safetensors_path(file));
    if (w == NULL)
        return NULL;
    w->kind = &kind;
    w->state = (void *)(uintptr_t)file; /* which is only read */
    if (list_safetensors(w, file) == ITO_OK)
        return w;
    ito_weights_close(w);
    return NULL;
}
