/* Flattening: parameters and gradients of a tree moved into two blocks of memory. */
#include "nn/flat.h"
#include "autograd/graph.h"
#include "nn/registry.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16 }; /* elements: a cache line of f32 */

void flat_free(module_flat *f)
{
    if (f == NULL)
        return;
    for (int64_t i = 0; f->grad_view != NULL && i < f->list->n; i++)
        ito_release(f->grad_view[i]);
    ito_named_tensors_free(f->list);
    ito_release(f->data);
    ito_release(f->grad);
    free(f->grad_view);
    free(f->offset);
    free(f->piece);
    free(f->partial);
    free(f);
}

/* ---- creation ----------------------------------------------------------------------------------
 */

static bool one_dtype(const ito_named_tensors *list)
{
    for (int64_t i = 1; i < list->n; i++)
        if (list->tensors[i]->dtype != list->tensors[0]->dtype) {
            ito_error_set(ITO_ERR_DTYPE, "flatten: %s is %s, but %s is %s", list->names[0],
                          ito_dtype_name(list->tensors[0]->dtype), list->names[i],
                          ito_dtype_name(list->tensors[i]->dtype));
            return false;
        }
    return true;
}

/* Offsets, and from them the size of the blocks. */
static bool lay_out(module_flat *f)
{
    f->offset = struct_alloc((size_t)f->list->n * sizeof *f->offset + 1);
    if (f->offset == NULL)
        return false;
    for (int64_t i = 0; i < f->list->n; i++) {
        f->offset[i] = f->n;
        f->n += (ito_numel(f->list->tensors[i]) + ALIGN - 1) / ALIGN * ALIGN;
    }
    return true;
}

ito_tensor *flat_zeros_of(const module_flat *f, int64_t n)
{
    ito_tensor *t = tensor_disown(tensor_empty(ITO_SHAPE(n), f->dtype));
    if (t != NULL)
        memset(tensor_data(t), 0, (size_t)n * ito_dtype_size(f->dtype));
    return t;
}

ito_tensor *flat_zeros(const module_flat *f)
{
    return flat_zeros_of(f, f->n);
}

ito_tensor *flat_view(const module_flat *f, int64_t i, const ito_tensor *t)
{
    const ito_tensor *p = f->list->tensors[i];
    return tensor_disown(tensor_view(t, ito_shape_of(p), p->stride, f->offset[i]));
}

static bool allocate(module_flat *f)
{
    int64_t pieces = f->n / FLAT_PIECE + f->list->n + 1;
    f->piece = struct_alloc((size_t)pieces * sizeof *f->piece);
    f->partial = struct_alloc((size_t)pieces * sizeof *f->partial);
    f->grad_view = struct_alloc((size_t)f->list->n * sizeof *f->grad_view + 1);
    f->data = flat_zeros(f);
    f->grad = flat_zeros(f);
    if (f->piece == NULL || f->partial == NULL || f->grad_view == NULL || f->data == NULL ||
        f->grad == NULL)
        return false;
    for (int64_t i = 0; i < f->list->n; i++) {
        f->grad_view[i] = flat_view(f, i, f->grad);
        if (f->grad_view[i] == NULL || tensor_meta_make(f->list->tensors[i]) == NULL)
            return false;
    }
    return true;
}

/* Copy p's values to the place that `to` views, then exchange the storages of the two handles. */
static void move_values(ito_tensor *p, ito_tensor *to)
{
    if (ito_numel(p) > 0)
        memcpy(tensor_data(to), tensor_data(p), (size_t)ito_numel(p) * ito_dtype_size(p->dtype));
    storage *old = p->storage;
    int64_t old_offset = p->offset;
    p->storage = to->storage;
    p->offset = to->offset;
    to->storage = old;
    to->offset = old_offset;
}

static void move_gradient(ito_tensor *p, ito_tensor *view)
{
    ito_tensor *old = ito_grad_of(p);
    bool had = old != NULL;
    if (had)
        tensor_copy(view, old);
    tensor_set_grad_buffer(p, view); /* cannot fail: the leaf has its record */
    tensor_meta(p)->grad_stale = !had;
}

static bool move_all(module_flat *f)
{
    ito_named_tensors *to = named_tensors_create(f->list->n, (size_t)f->list->n);
    bool done = to != NULL;
    for (int64_t i = 0; done && i < f->list->n; i++)
        done = named_tensors_add(to, "", "", flat_view(f, i, f->data));
    for (int64_t i = 0; done && i < f->list->n; i++) {
        move_values(f->list->tensors[i], to->tensors[i]);
        move_gradient(f->list->tensors[i], f->grad_view[i]);
    }
    ito_named_tensors_free(to);
    return done;
}

module_flat *flat_of(ito_module *root)
{
    if (root == NULL) {
        error_missing("flatten", "the model");
        return NULL;
    }
    if (root->flat != NULL)
        return root->flat;
    if (root->parent != NULL)
        return error_null(ITO_ERR_ARGUMENT,
                          "flatten: \"%s\" is part of another module; flatten the whole",
                          root->name);
    module_flat *f = struct_alloc(sizeof *f);
    if (f == NULL)
        return NULL;
    f->list = ito_module_parameters(root);
    if (f->list == NULL || !one_dtype(f->list))
        goto fail;
    f->dtype = f->list->n > 0 ? f->list->tensors[0]->dtype : ITO_F32;
    if (!lay_out(f) || !allocate(f) || !move_all(f))
        goto fail;
    root->flat = f;
    return f;
fail:
    flat_free(f);
    return NULL;
}

ito_status ito_module_flatten(ito_module *m)
{
    if (m == NULL)
        return error_missing("flatten", "the module");
    return flat_of(m) != NULL ? ITO_OK : ito_error_code();
}

/* ---- use ---------------------------------------------------------------------------------------
 */

bool flat_check(const module_flat *f, const char *op)
{
    for (int64_t i = 0; i < f->list->n; i++)
        if (f->list->tensors[i]->storage != f->data->storage) {
            ito_error_set(ITO_ERR_ARGUMENT,
                          "%s: parameter %s was moved: it is in another model that was flattened "
                          "later",
                          op, f->list->names[i]);
            return false;
        }
    return true;
}

void flat_gather_gradient(module_flat *f, int64_t i)
{
    ito_tensor *p = f->list->tensors[i];
    ito_tensor *g = ito_has_grad_path(p) ? ito_grad_of(p) : f->grad_view[i];
    if (g == f->grad_view[i])
        return;
    /* A backward sweep with create_graph has replaced the view by a tensor with history. */
    if (g != NULL)
        tensor_copy(f->grad_view[i], g);
    else
        tensor_fill(f->grad_view[i], 0);
    tensor_set_grad_buffer(p, f->grad_view[i]);
    tensor_meta(p)->grad_stale = false;
}

void flat_gather_gradients(module_flat *f)
{
    for (int64_t i = 0; i < f->list->n; i++)
        flat_gather_gradient(f, i);
}

/* Append pieces of [begin, end) like `like`, divided at multiples of FLAT_PIECE of the block;
 * returns the new count. */
static int64_t add_pieces(flat_piece *piece, int64_t count, int64_t end, flat_piece like)
{
    while (like.begin < end) {
        int64_t next = (like.begin / FLAT_PIECE + 1) * FLAT_PIECE;
        like.end = next < end ? next : end;
        piece[count++] = like;
        like.begin = next;
    }
    return count;
}

int64_t flat_pieces(module_flat *f, const int64_t *run)
{
    /* now: the current run of parameters that are all frozen or all not. */
    int64_t count = 0;
    flat_piece now = {.run = run == NULL || f->list->n == 0 ? 0 : run[0]};
    for (int64_t i = 0; i < f->list->n; i++) {
        flat_piece here = {.begin = f->offset[i],
                           .frozen = !ito_has_grad_path(f->list->tensors[i]),
                           .run = run == NULL ? 0 : run[i]};
        if (here.frozen != now.frozen || here.run != now.run) {
            count = add_pieces(f->piece, count, here.begin, now);
            now = here;
        }
    }
    return add_pieces(f->piece, count, f->n, now);
}

bool flat_append_views(const module_flat *f, ito_named_tensors *list, const char *prefix,
                       ito_tensor *t)
{
    for (int64_t i = 0; i < f->list->n; i++)
        if (!named_tensors_add(list, prefix, f->list->names[i], flat_view(f, i, t)))
            return false;
    return true;
}
