/* Lists of the contents of a module tree, under full names. */
#include "nn/registry.h"
#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

/* ---- names -------------------------------------------------------------------------------------
 */

size_t registry_name_size(const ito_module *root, const ito_module *m, const ito_module_entry *e)
{
    size_t size = strlen(e->name) + 1;
    for (; m != root; m = m->parent)
        size += strlen(m->name) + 1;
    return size;
}

char *registry_copy_name(const char *name)
{
    size_t size = strlen(name) + 1;
    char *copy = struct_alloc(size);
    if (copy != NULL)
        memcpy(copy, name, size);
    return copy;
}

/* Written from its end: modules know their parents, not their paths. */
char *registry_name_write(const ito_module *root, const ito_module *m, const ito_module_entry *e,
                          char *out)
{
    char *behind = out + registry_name_size(root, m, e), *at = behind;
    size_t length = strlen(e->name);
    at -= length + 1;
    memcpy(at, e->name, length + 1);
    for (; m != root; m = m->parent) {
        *--at = '.';
        length = strlen(m->name);
        at -= length;
        memcpy(at, m->name, length);
    }
    return behind;
}

/* ---- lists of tensors --------------------------------------------------------------------------
 */

ito_named_tensors *named_tensors_create(int64_t n, size_t name_bytes)
{
    size_t pointers = (size_t)n * (sizeof(char *) + sizeof(ito_tensor *));
    ito_named_tensors *list = struct_alloc(sizeof *list + pointers + name_bytes + 1);
    if (list == NULL)
        return NULL;
    list->tensors = (ito_tensor **)(list + 1);
    list->names = (const char **)(list->tensors + n);
    if (n > 0)
        list->names[0] = (char *)(list->names + n); /* where the first name will be written */
    return list;
}

/* The place of the next name: after the last one. */
static char *next_name(const ito_named_tensors *list)
{
    if (list->n == 0)
        return (char *)(uintptr_t)list->names[0];
    const char *last = list->names[list->n - 1];
    return (char *)(uintptr_t)(last + strlen(last) + 1);
}

bool named_tensors_add(ito_named_tensors *list, const char *prefix, const char *name, ito_tensor *t)
{
    if (t == NULL)
        return false;
    char *at = next_name(list);
    size_t length = strlen(prefix);
    memcpy(at, prefix, length);
    memcpy(at + length, name, strlen(name) + 1);
    list->names[list->n] = at;
    list->tensors[list->n++] = t;
    return true;
}

size_t named_tensors_bytes(const ito_named_tensors *list)
{
    size_t bytes = 0;
    for (int64_t i = 0; i < list->n; i++)
        bytes += strlen(list->names[i]) + 1;
    return bytes;
}

void ito_named_tensors_free(ito_named_tensors *list)
{
    if (list == NULL)
        return;
    for (int64_t i = 0; i < list->n; i++)
        ito_release(list->tensors[i]);
    free(list);
}

/* ---- from the registry -------------------------------------------------------------------------
 */

typedef struct listing {
    const ito_module *root;
    bool once; /* a shared tensor under its first name only */
    int64_t count;
    size_t bytes;
    ito_named_tensors *list;
} listing;

static bool measure_entry(const ito_module *m, ito_module_entry *e, void *context)
{
    listing *l = context;
    l->count++;
    l->bytes += registry_name_size(l->root, m, e);
    return true;
}

static bool is_listed(const ito_named_tensors *list, const ito_tensor *t)
{
    for (int64_t i = 0; i < list->n; i++)
        if (list->tensors[i] == t)
            return true;
    return false;
}

static bool list_entry(const ito_module *m, ito_module_entry *e, void *context)
{
    listing *l = context;
    if (l->once && is_listed(l->list, e->tensor))
        return true;
    char *at = next_name(l->list);
    registry_name_write(l->root, m, e, at);
    l->list->names[l->list->n] = at;
    l->list->tensors[l->list->n++] = ito_retain(e->tensor);
    return true;
}

static ito_named_tensors *list_tensors(const ito_module *m, int kinds, bool once)
{
    if (m == NULL)
        return NULL;
    listing l = {.root = m, .once = once};
    registry_walk(m, kinds, measure_entry, &l);
    l.list = named_tensors_create(l.count, l.bytes);
    if (l.list != NULL)
        registry_walk(m, kinds, list_entry, &l);
    return l.list;
}

ito_named_tensors *ito_module_parameters(const ito_module *m)
{
    return list_tensors(m, ENTRY_PARAMETER, true);
}

ito_named_tensors *ito_module_state(const ito_module *m)
{
    return list_tensors(m, ENTRY_PARAMETER | ENTRY_BUFFER, false);
}

typedef struct generator_listing {
    const ito_module *root;
    ito_named_generators *list;
    char *at;
} generator_listing;

static bool list_generator(const ito_module *m, ito_module_entry *e, void *context)
{
    generator_listing *l = context;
    l->list->names[l->list->n] = l->at;
    l->at = registry_name_write(l->root, m, e, l->at);
    l->list->generators[l->list->n++] = e->generator;
    return true;
}

ito_named_generators *ito_module_generators(const ito_module *m)
{
    if (m == NULL)
        return NULL;
    listing size = {.root = m};
    registry_walk(m, ENTRY_GENERATOR, measure_entry, &size);
    size_t pointers = (size_t)size.count * (sizeof(char *) + sizeof(ito_generator *));
    ito_named_generators *list = struct_alloc(sizeof *list + pointers + size.bytes);
    if (list == NULL)
        return NULL;
    list->generators = (ito_generator **)(list + 1);
    list->names = (const char **)(list->generators + size.count);
    generator_listing l = {m, list, (char *)(list->names + size.count)};
    registry_walk(m, ENTRY_GENERATOR, list_generator, &l);
    return list;
}

void ito_named_generators_free(ito_named_generators *list)
{
    free(list);
}

/* ---- queries -----------------------------------------------------------------------------------
 */

ito_tensor *ito_module_find(const ito_module *m, const char *name)
{
    ito_named_tensors *list = ito_module_state(m);
    if (list == NULL)
        return NULL;
    ito_tensor *found = NULL;
    for (int64_t i = 0; i < list->n && found == NULL; i++)
        if (strcmp(list->names[i], name) == 0)
            found = list->tensors[i];
    ito_named_tensors_free(list);
    if (found == NULL)
        ito_error_set(ITO_ERR_ARGUMENT, "module: nothing in it is called \"%s\"", name);
    return found;
}

int64_t ito_module_parameter_count(const ito_module *m)
{
    ito_named_tensors *list = ito_module_parameters(m);
    if (list == NULL)
        return -1;
    int64_t count = 0;
    for (int64_t i = 0; i < list->n; i++)
        count += ito_numel(list->tensors[i]);
    ito_named_tensors_free(list);
    return count;
}

/* t itself if its f32 or f64 elements fill a block of memory, else such a copy. */
static const ito_tensor *as_block(const ito_tensor *t)
{
    bool native = t->dtype == ITO_F32 || t->dtype == ITO_F64;
    if (native && tensor_is_dense(t))
        return t;
    ito_tensor *copy = tensor_empty(ito_shape_of(t), native ? t->dtype : ITO_F32);
    if (copy != NULL)
        tensor_copy(copy, t);
    return copy;
}

static ito_status check_finite(const ito_tensor *t, const char *op, const char *what,
                               const char *name)
{
    if (!ito_dtype_is_float(t->dtype))
        return ITO_OK;
    ito_scope_begin();
    const ito_tensor *block = as_block(t);
    ito_status status = ITO_ERR_MEMORY;
    if (block != NULL)
        status = kernels(block->dtype)->all_finite(tensor_data(block), ito_numel(block))
                     ? ITO_OK
                     : ito_error_set(ITO_ERR_NUMERIC, "%s: %s%s is not finite", op, what, name);
    ito_scope_end();
    return status;
}

ito_status named_tensors_check_finite(const ito_named_tensors *list, const char *op,
                                      const char *what)
{
    ito_status status = ITO_OK;
    for (int64_t i = 0; i < list->n && status == ITO_OK; i++)
        status = check_finite(list->tensors[i], op, what, list->names[i]);
    return status;
}

ito_status ito_module_check_finite(const ito_module *m)
{
    ito_named_tensors *list = ito_module_state(m);
    if (list == NULL)
        return ITO_ERR_MEMORY;
    ito_status status = named_tensors_check_finite(list, "module", "");
    ito_named_tensors_free(list);
    return status;
}
