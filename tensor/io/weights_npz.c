/* Weights in NumPy's .npz files. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/npy_header.h"
#include "tensor/io/weights_kinds.h"

#include <string.h>

static ito_tensor *read_npz(const ito_weights *w, int64_t i)
{
    ito_tensor *t = ito_npz_read(w->state, w->entries[i].name);
    ito_tensor *rows = t == NULL ? NULL : tensor_contiguous(t); /* one in Fortran order is not */
    if (rows != t)
        ito_release(tensor_disown(t));
    return rows;
}

static void close_npz(void *state)
{
    ito_npz_close(state);
}

/* What a file has under NumPy's name. */
static const stored_dtype *find_dtype(const char *name)
{
    static const struct {
        const char *numpy, *stored;
    } names[] = {{"f2", "F16"}, {"f4", "F32"}, {"f8", "F64"}, {"i1", "I8"},
                 {"i2", "I16"}, {"i4", "I32"}, {"i8", "I64"}, {"u1", "U8"},
                 {"u2", "U16"}, {"u4", "U32"}, {"u8", "U64"}, {"b1", "BOOL"}};
    size_t i = 0;
    while (strcmp(names[i].numpy, name) != 0) /* the header has no others */
        i++;
    return stored_dtype_find(names[i].stored);
}

ito_status weights_open_npz(ito_weights *w)
{
    static const weights_kind kind = {read_npz, NULL, close_npz};
    ito_npz *f = ito_npz_open(w->path);
    if (f == NULL)
        return ito_error_code();
    w->kind = &kind;
    w->state = f;
    strcpy(w->kind_name, "npz");
    if (ito_npz_count(f) == 0)
        return file_error(ITO_ERR_FORMAT, w->path,
                          "is a zip archive, but neither of PyTorch nor of NumPy");
    ito_status status = weights_allocate(w, ito_npz_count(f));
    for (int64_t i = 0; i < w->count && status == ITO_OK; i++) {
        npy_header h = {0};
        status = npz_describe(f, i, &h);
        if (status == ITO_OK)
            w->entries[i] =
                (weights_entry){ito_npz_name(f, i), find_dtype(h.elements.name), h.shape};
    }
    return status == ITO_OK ? weights_sort(w) : status;
}
