/* Weights under other names and in other layouts than their file has. */
#include "tensor/io/weights_mapped.h"
#include "tensor/internal.h"
#include "tensor/io/weights_kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct mapping {
    const ito_weights *file;
    weights_part *parts; /* [count] */
    char *names;
} mapping;

static void close_mapping(void *state)
{
    mapping *m = state;
    free(m->parts);
    free(m->names);
    free(m);
}

/* ---- shapes ---- */

/* Whether two shapes are the same but for axes of size 1 at their ends. */
static bool same_but_ones(ito_shape a, ito_shape b)
{
    for (int i = 0; i < a.ndim || i < b.ndim; i++)
        if ((i < a.ndim ? a.dim[i] : 1) != (i < b.ndim ? b.dim[i] : 1))
            return false;
    return true;
}

/* The axes of a tensor in the order of PyTorch: which of the file's stands where. */
static void axes_of(const weights_part *p, int ndim, int axis[ITO_MAX_DIMS])
{
    static const int convolution[] = {3, 2, 0, 1}, matrix[] = {1, 0};
    const int *order = !p->channels_last ? NULL
                       : ndim == 4       ? convolution
                       : ndim == 2       ? matrix
                                         : NULL;
    for (int i = 0; i < ndim; i++)
        axis[i] = order != NULL ? order[i] : i;
}

/* The shape of the part before it is given the one that is wanted. */
static ito_shape part_shape(const weights_part *p, ito_shape file)
{
    int axis[ITO_MAX_DIMS];
    ito_shape s = {.ndim = file.ndim};
    axes_of(p, file.ndim, axis);
    for (int i = 0; i < s.ndim; i++)
        s.dim[i] = file.dim[axis[i]];
    if (p->parts > 1 && s.ndim > 0 && s.dim[0] % p->parts == 0)
        s.dim[0] /= p->parts;
    return s;
}

/* ---- reading ---- */

/* A row-major tensor of this shape from a view, which is taken over. */
static ito_tensor *in_rows(ito_tensor *view, ito_shape shape)
{
    ito_tensor *rows = view == NULL ? NULL : tensor_contiguous(view);
    if (rows != view)
        ito_release(tensor_disown(view));
    if (rows == NULL || shape_equal(shape, ito_shape_of(rows)))
        return rows;
    int64_t stride[ITO_MAX_DIMS], size = 1;
    for (int i = shape.ndim - 1; i >= 0; i--) {
        stride[i] = size;
        size *= shape.dim[i];
    }
    ito_tensor *shaped = tensor_view(rows, shape, stride, rows->offset);
    ito_release(tensor_disown(rows));
    return shaped;
}

/* The file's tensor with its axes in order, which is taken over. */
static ito_tensor *ordered(const weights_part *p, ito_tensor *t)
{
    int axis[ITO_MAX_DIMS];
    ito_shape shape = {.ndim = t->ndim};
    int64_t stride[ITO_MAX_DIMS];
    axes_of(p, t->ndim, axis);
    for (int i = 0; i < t->ndim; i++) {
        shape.dim[i] = t->shape[axis[i]];
        stride[i] = t->stride[axis[i]];
    }
    ito_tensor *view = tensor_view(t, shape, stride, t->offset);
    ito_release(tensor_disown(t));
    return in_rows(view, shape);
}

/* The rows of one part of t, which is row-major and taken over: of each head `width` of them,
 * behind those of the parts before it. */
static ito_tensor *take_part(const weights_part *p, ito_tensor *t, ito_shape shape)
{
    int64_t heads = p->heads > 0 ? p->heads : 1, row = t->stride[0], rows = shape.dim[0];
    ito_shape pieces = {.ndim = 2, .dim = {heads, rows / heads * row}};
    int64_t stride[ITO_MAX_DIMS] = {p->parts * pieces.dim[1], 1};
    ito_tensor *view = tensor_view(t, pieces, stride, p->part * pieces.dim[1]);
    ito_release(tensor_disown(t));
    return in_rows(view, shape);
}

static ito_tensor *read_mapped(const ito_weights *w, int64_t i)
{
    const mapping *m = w->state;
    const weights_part *p = &m->parts[i];
    ito_shape shape = part_shape(p, m->file->entries[p->source].shape);
    ito_tensor *t = m->file->kind->read(m->file, p->source);
    if (t != NULL && p->channels_last)
        t = ordered(p, t);
    if (t != NULL && p->parts > 1)
        t = take_part(p, t, shape);
    return t == NULL ? NULL : in_rows(t, w->entries[i].shape);
}

/* ---- the kind ---- */

static ito_status fill(ito_weights *w, mapping *m, const weights_map_entry *entries)
{
    size_t bytes = 1;
    for (int64_t i = 0; i < w->count; i++)
        bytes += strlen(entries[i].name) + 1;
    m->parts = struct_alloc((size_t)w->count * sizeof *m->parts + 1);
    m->names = m->parts == NULL ? NULL : struct_alloc(bytes);
    if (m->names == NULL)
        return ITO_ERR_MEMORY;
    char *name = m->names;
    for (int64_t i = 0; i < w->count; i++) {
        const weights_map_entry *e = &entries[i];
        const weights_entry *source = &m->file->entries[e->part.source];
        ito_shape shape = part_shape(&e->part, source->shape);
        m->parts[i] = e->part;
        w->entries[i] = (weights_entry){strcpy(name, e->name), source->dtype,
                                        same_but_ones(shape, e->shape) ? e->shape : shape};
        name += strlen(name) + 1;
    }
    return weights_sort(w);
}

ito_weights *weights_map(const ito_weights *file, const weights_map_entry *entries, int64_t n)
{
    static const weights_kind kind = {read_mapped, NULL, close_mapping};
    ito_weights *w = weights_create(file->path);
    mapping *m = w == NULL ? NULL : struct_alloc(sizeof *m);
    if (m != NULL) {
        m->file = file;
        w->kind = &kind;
        w->state = m;
        snprintf(w->kind_name, sizeof w->kind_name, "%s", file->kind_name);
        if (weights_allocate(w, n) == ITO_OK && fill(w, m, entries) == ITO_OK)
            return w;
    }
    ito_weights_close(w);
    return NULL;
}
