/* PyTorch's files since 1.6: a zip archive of a pickle, which says what tensors there are, and of
 * their storages.
 * Invariant: what is in memory of a file is its pickle, and one tensor that is being read. */
#include "tensor/io/weights_pytorch.h"
#include "tensor/internal.h"
#include "tensor/io/pytorch_names.h"

#include <stdlib.h>
#include <string.h>

typedef struct pytorch_file {
    zip_archive zip;
    pytorch_list list;
    atomic_bool *checked; /* [members] whether a checksum has been compared */
} pytorch_file;

static void close_pytorch(void *state)
{
    pytorch_file *f = state;
    zip_close(&f->zip);
    pytorch_list_free(&f->list);
    free(f->checked);
    free(f);
}

/* ---- opening ---- */

/* The whole of a member, with a 0 behind it, to be released with mem_free; NULL on failure. */
static char *read_whole(const zip_archive *zip, const zip_member *m, int64_t most)
{
    zip_reader r;
    if (m->size > most) {
        file_error(ITO_ERR_FORMAT, zip->file.path,
                   "%.100s in it has %" PRId64 " bytes, more than the %" PRId64 " allowed", m->name,
                   m->size, most);
        return NULL;
    }
    if (zip_read_begin(&r, zip, m, zip->file.path) != ITO_OK)
        return NULL;
    char *bytes = mem_alloc((size_t)m->size + 1);
    bool good =
        bytes != NULL && zip_read(&r, bytes, m->size) == ITO_OK && zip_read_check(&r) == ITO_OK;
    zip_read_end(&r);
    if (good)
        bytes[m->size] = '\0';
    else
        mem_free(bytes);
    return good ? bytes : NULL;
}

/* The member "PREFIXname"; NULL without one. */
static const zip_member *find_record(const zip_archive *zip, const char *prefix, const char *name)
{
    size_t length = strlen(prefix);
    for (int64_t i = 0; i < zip->count; i++)
        if (strncmp(zip->members[i].name, prefix, length) == 0 &&
            strcmp(zip->members[i].name + length, name) == 0)
            return &zip->members[i];
    return NULL;
}

static ito_status check_byte_order(const zip_archive *zip, const char *prefix)
{
    const zip_member *m = find_record(zip, prefix, "byteorder");
    char *text = m == NULL ? NULL : read_whole(zip, m, 64);
    if (text == NULL)
        return m == NULL ? ITO_OK : ito_error_code();
    bool little = strcmp(text, "little") == 0;
    mem_free(text);
    if (little)
        return ITO_OK;
    return file_error(ITO_ERR_FORMAT, zip->file.path,
                      "was written by a big-endian machine, which is not read: load it with "
                      "PyTorch and save it as safetensors");
}

/* Read the pickle and list its tensors; prefix is "archive/". */
static ito_status list_tensors(pytorch_file *f, const zip_member *pickled, const char *prefix)
{
    pickle p;
    ito_status status = check_byte_order(&f->zip, prefix);
    char *bytes = status == ITO_OK ? read_whole(&f->zip, pickled, PICKLE_MOST_BYTES) : NULL;
    if (bytes == NULL)
        return ito_error_code();
    status = pickle_read(&p, f->zip.file.path, bytes, pickled->size, pytorch_find_global);
    if (status == ITO_OK) {
        status = pytorch_list_tensors(&f->list, &p, &f->zip, prefix);
        pickle_free(&p);
    }
    mem_free(bytes);
    return status;
}

/* "archive/data.pkl", which only PyTorch's files have; or NULL. */
static const zip_member *find_pickle(const zip_archive *zip)
{
    static const char name[] = "data.pkl";
    const size_t ending = sizeof name - 1;
    for (int64_t i = 0; i < zip->count; i++) {
        const char *at = zip->members[i].name;
        size_t length = strlen(at);
        if (length >= ending && strcmp(at + length - ending, name) == 0 &&
            (length == ending || strchr(at, '/') == at + length - ending - 1))
            return &zip->members[i];
    }
    return NULL;
}

static ito_status open_archive(ito_weights *w, pytorch_file *f, const zip_member *pickled)
{
    size_t length = strlen(pickled->name) - strlen("data.pkl");
    char *prefix = struct_alloc(length + 1);
    if (prefix == NULL)
        return ITO_ERR_MEMORY;
    memcpy(prefix, pickled->name, length);
    ito_status status =
        find_record(&f->zip, prefix, "constants.pkl") == NULL
            ? list_tensors(f, pickled, prefix)
            : file_error(ITO_ERR_FORMAT, w->path,
                         "is a TorchScript program, which is not executed: save the state_dict() "
                         "of its module by torch.save");
    free(prefix);
    return status;
}

static ito_status fill_entries(ito_weights *w, pytorch_file *f)
{
    f->checked = struct_alloc((size_t)f->zip.count * sizeof *f->checked + 1);
    ito_status status = f->checked == NULL ? ITO_ERR_MEMORY : weights_allocate(w, f->list.n);
    for (int64_t i = 0; i < w->count && status == ITO_OK; i++) {
        const pytorch_tensor *t = &f->list.tensors[i];
        w->entries[i] = (weights_entry){f->list.names + t->name, t->dtype, t->shape};
    }
    return status == ITO_OK ? weights_sort(w) : status;
}

/* ---- reading ---- */

typedef struct range_source {
    stored_source base;
    pytorch_file *file;
    const zip_member *member;
    zip_reader *zip;
    int64_t begin; /* of the range in the member */
} range_source;

/* All of the member is read, so that its checksum is compared; the range is kept. */
static ito_status read_checked(const range_source *s, void *out, int64_t bytes)
{
    enum { PART = 1 << 16 };
    char *part = mem_alloc(PART);
    if (part == NULL)
        return ITO_ERR_MEMORY;
    ito_status status = ITO_OK;
    int64_t at = 0, size = s->member->size, end = s->begin + bytes;
    while (at < size && status == ITO_OK) {
        bool inside = at >= s->begin && at < end;
        int64_t until = at < s->begin ? s->begin : inside ? end : size;
        int64_t n = inside || until - at < PART ? until - at : PART;
        status = zip_read(s->zip, inside ? (char *)out + (at - s->begin) : part, n);
        at += n;
    }
    mem_free(part);
    return status == ITO_OK ? zip_read_check(s->zip) : status;
}

static ito_status read_range(stored_source *base, void *out, int64_t bytes)
{
    const range_source *s = (range_source *)base;
    atomic_bool *checked = &s->file->checked[s->member - s->file->zip.members];
    if (atomic_load(checked) && !s->zip->deflated)
        return file_read(&s->file->zip.file, out, bytes, s->zip->begin + s->begin);
    ito_status status = read_checked(s, out, bytes);
    if (status == ITO_OK)
        atomic_store(checked, true);
    return status;
}

static bool is_row_major(const pytorch_tensor *t)
{
    int64_t stride = 1;
    for (int i = t->shape.ndim - 1; i >= 0; i--) {
        if (t->shape.dim[i] != 1 && t->stride[i] != stride)
            return false;
        stride *= t->shape.dim[i];
    }
    return true;
}

/* A tensor of these strides over elements that were read in a row, which are taken over. */
static ito_tensor *in_rows(const pytorch_tensor *t, ito_tensor *elements)
{
    ito_tensor *view = tensor_view(elements, t->shape, t->stride, 0);
    ito_release(tensor_disown(elements));
    ito_tensor *rows = view == NULL ? NULL : tensor_contiguous(view);
    if (rows != view)
        ito_release(tensor_disown(view));
    return rows;
}

static ito_tensor *read_pytorch(const ito_weights *w, int64_t i)
{
    pytorch_file *f = w->state;
    const pytorch_tensor *t = &f->list.tensors[i];
    const char *name = w->entries[i].name;
    if (shape_numel(t->shape) > t->extent) {
        file_error(ITO_ERR_FORMAT, w->path,
                   "tensor %.100s: repeats %" PRId64 " stored elements to be %s: save it after "
                   ".contiguous()",
                   name, t->extent, shape_str(t->shape));
        return NULL;
    }
    zip_reader zip;
    if (zip_read_begin(&zip, &f->zip, t->storage, w->path) != ITO_OK)
        return NULL;
    range_source source = {{read_range}, f, t->storage, &zip, stored_bytes(t->dtype, t->offset)};
    bool rows = t->extent == 0 || is_row_major(t);
    ito_tensor *read =
        stored_read(t->dtype, w->path, name, rows ? t->shape : ITO_SHAPE(t->extent), &source.base);
    zip_read_end(&zip);
    return rows || read == NULL ? read : in_rows(t, read);
}

ito_status weights_open_zip(ito_weights *w)
{
    static const weights_kind kind = {read_pytorch, NULL, close_pytorch};
    pytorch_file *f = struct_alloc(sizeof *f);
    ito_status status = f == NULL ? ITO_ERR_MEMORY : zip_open(&f->zip, w->path, "a zip archive");
    if (status != ITO_OK) {
        free(f);
        return status;
    }
    const zip_member *pickled = find_pickle(&f->zip);
    if (pickled == NULL) {
        close_pytorch(f);
        return weights_open_npz(w);
    }
    w->kind = &kind;
    w->state = f;
    strcpy(w->kind_name, "PyTorch");
    status = open_archive(w, f, pickled);
    return status == ITO_OK ? fill_entries(w, f) : status;
}
