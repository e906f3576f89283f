/* The tensors in the pickle of one of PyTorch's files, with names of dots.
 * Invariant: a tensor that is listed lies within its storage, which has the size that is claimed.
 */
#include "tensor/internal.h"
#include "tensor/io/json_cursor.h"
#include "tensor/io/pytorch_names.h"
#include "tensor/io/weights_pytorch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct walk {
    pytorch_list *list;
    const pickle *p;
    const zip_archive *zip;
    const zip_member **members; /* of zip, by name */
    const char *prefix;
    int64_t visits;
    char name[PYTORCH_LONGEST_NAME + 1];
    bool nameless; /* a key on the way here is no name */
} walk;

static bool refuse(const walk *w, const char *fault)
{
    file_error(ITO_ERR_FORMAT, w->p->path, "its pickle %s", fault);
    return false;
}

static bool refuse_tensor(const walk *w, const char *fault)
{
    file_error(ITO_ERR_FORMAT, w->p->path, "tensor %.100s: %s", w->name, fault);
    return false;
}

/* ---- a tensor ---- */

/* The item of a value that has it, if it is of this kind; or NULL. */
static const pickle_value *item(const walk *w, const pickle_value *of, int32_t i, pickle_kind kind)
{
    if (i >= of->count)
        return NULL;
    const pickle_value *v = &w->p->values[pickle_item(w->p, of, i)];
    return v->kind == kind ? v : NULL;
}

static bool text_is(const walk *w, const pickle_value *v, const char *text)
{
    return v != NULL && (size_t)v->count == strlen(text) &&
           memcmp(w->p->bytes + v->number, text, (size_t)v->count) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const zip_member *const *)a)->name, (*(const zip_member *const *)b)->name);
}

static const zip_member *find_member(const walk *w, char *name)
{
    const zip_member named = {.name = name}, *key = &named;
    const zip_member **found =
        bsearch(&key, w->members, (size_t)w->zip->count, sizeof key, by_name);
    return found == NULL ? NULL : *found;
}

/* ("storage", class, key, device, elements): the member of the archive that has its bytes. */
static bool find_storage(const walk *w, const pickle_value *persistent, pytorch_tensor *t)
{
    const pickle_value *id = item(w, persistent, 0, PICKLE_TUPLE);
    if (id == NULL || !text_is(w, item(w, id, 0, PICKLE_TEXT), "storage"))
        return refuse_tensor(w, "its persistent id is no storage");
    const pickle_value *class = item(w, id, 1, PICKLE_GLOBAL), *key = item(w, id, 2, PICKLE_TEXT),
                       *elements = item(w, id, 4, PICKLE_INT);
    bool untyped = class != NULL && class->number == PYTORCH_UNTYPED;
    const stored_dtype *dtype = class == NULL ? NULL : pytorch_global_dtype(class->number);
    if ((!untyped && dtype == NULL) || key == NULL || key->count > 40 || elements == NULL)
        return refuse_tensor(w, "its persistent id is no storage");
    char member[400];
    snprintf(member, sizeof member, "%.300sdata/%.*s", w->prefix, (int)key->count,
             w->p->bytes + key->number);
    t->storage = find_member(w, member);
    if (t->storage == NULL) {
        file_error(ITO_ERR_FORMAT, w->p->path, "tensor %.100s: its bytes, %.100s, are missing",
                   w->name, member);
        return false;
    }
    if (t->dtype == NULL)
        t->dtype = dtype;
    int64_t bytes = untyped ? elements->number : stored_bytes(dtype, elements->number);
    if (bytes == t->storage->size)
        return true;
    file_error(ITO_ERR_FORMAT, w->p->path,
               "tensor %.100s: its storage of %" PRId64 " elements does not take %" PRId64
               " bytes, which it has",
               w->name, elements->number, t->storage->size);
    return false;
}

/* Whole numbers from 0 on, at most eight. */
static bool read_sizes(const walk *w, const pickle_value *tuple, int64_t *out, int *n)
{
    if (tuple == NULL)
        return refuse_tensor(w, "its shape or strides are no tuple");
    if (tuple->count > ITO_MAX_DIMS)
        return refuse_tensor(w, "has more than 8 axes");
    for (*n = 0; *n < tuple->count; (*n)++) {
        const pickle_value *v = item(w, tuple, *n, PICKLE_INT);
        if (v == NULL || v->number < 0)
            return refuse_tensor(w, "its shape or strides are no whole numbers from 0 on");
        out[*n] = v->number;
    }
    return true;
}

/* The elements from the first to the last; -1 if that is too many to count. */
static int64_t extent_of(const pytorch_tensor *t)
{
    int64_t last = 0, step;
    if (shape_numel(t->shape) == 0)
        return 0;
    for (int i = 0; i < t->shape.ndim; i++)
        if (__builtin_mul_overflow(t->shape.dim[i] - 1, t->stride[i], &step) ||
            __builtin_add_overflow(last, step, &last))
            return -1;
    return last < INT64_MAX ? last + 1 : -1;
}

static bool check_extent(const walk *w, pytorch_tensor *t)
{
    int64_t end, bytes;
    t->extent = extent_of(t);
    if (shape_numel(t->shape) >= 0 && t->extent >= 0 &&
        !__builtin_add_overflow(t->offset, t->extent, &end) &&
        (bytes = stored_bytes(t->dtype, end)) >= 0 && bytes <= t->storage->size)
        return true;
    file_error(ITO_ERR_FORMAT, w->p->path,
               "tensor %.100s: shape %s from element %" PRId64
               " on is not within its storage of %" PRId64 " bytes",
               w->name, shape_str(t->shape), t->offset, t->storage->size);
    return false;
}

/* The tensor of a call, which may be that of a parameter. */
static bool read_tensor(const walk *w, const pickle_value *call, pytorch_tensor *t)
{
    if (call->number == PYTORCH_PARAMETER)
        call = item(w, call, 0, PICKLE_CALL);
    if (call == NULL || call->number == PYTORCH_PARAMETER)
        return refuse_tensor(w, "its parameter has no tensor");
    if (call->number == PYTORCH_TENSOR_V3) {
        const pickle_value *dtype = item(w, call, 6, PICKLE_GLOBAL);
        t->dtype = dtype == NULL ? NULL : pytorch_global_dtype(dtype->number);
    }
    const pickle_value *persistent = item(w, call, 0, PICKLE_PERSISTENT),
                       *offset = item(w, call, 1, PICKLE_INT);
    if (persistent == NULL || offset == NULL || offset->number < 0)
        return refuse_tensor(w, "its storage or offset is none");
    t->offset = offset->number;
    int strides;
    if (!find_storage(w, persistent, t) ||
        !read_sizes(w, item(w, call, 2, PICKLE_TUPLE), t->shape.dim, &t->shape.ndim) ||
        !read_sizes(w, item(w, call, 3, PICKLE_TUPLE), t->stride, &strides))
        return false;
    if (strides != t->shape.ndim || t->dtype == NULL)
        return refuse_tensor(w, "has not as many strides as axes, or no dtype");
    return check_extent(w, t);
}

/* ---- the list ---- */

/* Twice the room of a list; false with an error. */
static bool grow(void **list, int64_t used, int64_t *room, size_t size)
{
    int64_t larger = *room > 0 ? 2 * *room : 4096;
    void *grown = mem_alloc((size_t)larger * size);
    if (grown == NULL)
        return false;
    if (used > 0)
        memcpy(grown, *list, (size_t)used * size);
    mem_free(*list);
    *list = grown;
    *room = larger;
    return true;
}

static bool add_tensor(walk *w, const pickle_value *call)
{
    pytorch_list *l = w->list;
    const int64_t length = (int64_t)strlen(w->name) + 1;
    pytorch_tensor t = {.name = l->names_used};
    if (w->nameless)
        return refuse(w, "has a tensor under a key that is neither text nor a whole number");
    if (!read_tensor(w, call, &t))
        return false;
    if (l->n == PYTORCH_MOST_TENSORS)
        return refuse(w, "has more than 262144 tensors");
    if (l->names_used + length > PYTORCH_MOST_NAMES)
        return refuse(w, "has more than 67108864 bytes of names");
    void *tensors = l->tensors, *names = l->names;
    if (l->n == l->room && !grow(&tensors, l->n, &l->room, sizeof t))
        return false;
    l->tensors = tensors;
    if (l->names_used + length > l->names_room && !grow(&names, l->names_used, &l->names_room, 1))
        return false;
    l->names = names;
    memcpy(l->names + l->names_used, w->name, (size_t)length);
    l->names_used += length;
    l->tensors[l->n++] = t;
    return true;
}

/* ---- dicts and lists ---- */

/* Whether a text can be part of a name: UTF-8 without a 0. */
static bool is_name(const char *text, int64_t n)
{
    for (int length; n > 0; text += length, n -= length) {
        length = json_utf8((const unsigned char *)text, n);
        if (length == 0 || *text == '\0')
            return false;
    }
    return true;
}

/* Put a key behind the name of `used` bytes. */
static bool extend_name(walk *w, size_t used, const pickle_value *key, int32_t index)
{
    char number[24];
    const char *text = number;
    size_t length;
    if (key != NULL && key->kind == PICKLE_TEXT) {
        text = w->p->bytes + key->number;
        length = (size_t)key->count;
        if (!is_name(text, key->count))
            return refuse(w, "has a key that is no UTF-8 text");
    } else {
        w->nameless = w->nameless || (key != NULL && key->kind != PICKLE_INT);
        length = (size_t)snprintf(number, sizeof number, "%" PRId64,
                                  key != NULL ? key->number : (int64_t)index);
    }
    if (used + 1 + length > PYTORCH_LONGEST_NAME)
        return refuse(w, "has a name of more than 1023 bytes");
    if (used > 0)
        w->name[used++] = '.';
    memcpy(w->name + used, text, length);
    w->name[used + length] = '\0';
    return true;
}

static bool visit(walk *w, const pickle_value *v, int depth);

static bool visit_items(walk *w, const pickle_value *v, int depth)
{
    const size_t used = strlen(w->name);
    const bool nameless = w->nameless, dict = v->kind == PICKLE_DICT;
    int32_t cell = v->first, index = 0;
    for (; cell >= 0; cell = w->p->cells[cell].next, index++) {
        const pickle_value *key = NULL;
        if (dict) {
            key = &w->p->values[w->p->cells[cell].value];
            cell = w->p->cells[cell].next;
        }
        if (!extend_name(w, used, key, index) ||
            !visit(w, &w->p->values[w->p->cells[cell].value], depth + 1))
            return false;
        w->name[used] = '\0';
        w->nameless = nameless;
    }
    return true;
}

static bool visit(walk *w, const pickle_value *v, int depth)
{
    if (++w->visits > PICKLE_MOST_VALUES)
        return refuse(w, "has more than 4194304 values, counted as often as it repeats them");
    if (v->kind == PICKLE_CALL)
        return add_tensor(w, v);
    if (v->kind != PICKLE_DICT && v->kind != PICKLE_LIST && v->kind != PICKLE_TUPLE)
        return true;
    if (depth == PYTORCH_DEEPEST)
        return refuse(w, "has more than 64 dicts and lists within one another");
    return visit_items(w, v, depth);
}

ito_status pytorch_list_tensors(pytorch_list *list, const pickle *p, const zip_archive *zip,
                                const char *prefix)
{
    const size_t n = (size_t)zip->count;
    walk w = {.list = list, .p = p, .zip = zip, .prefix = prefix};
    w.members = mem_alloc(n * sizeof *w.members);
    if (w.members == NULL)
        return ITO_ERR_MEMORY;
    for (size_t i = 0; i < n; i++)
        w.members[i] = &zip->members[i];
    qsort(w.members, n, sizeof *w.members, by_name);
    const pickle_value *root = &p->values[p->root];
    if (root->kind == PICKLE_CALL) /* one tensor that was saved alone */
        strcpy(w.name, "tensor");
    bool good = visit(&w, root, 0);
    mem_free(w.members);
    return good ? ITO_OK : ito_error_code();
}

void pytorch_list_free(pytorch_list *list)
{
    mem_free(list->tensors);
    mem_free(list->names);
    *list = (pytorch_list){0};
}
