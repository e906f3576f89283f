/* Modules: the tree, its entries, and functions over a whole tree. */
#include "nn/module.h"
#include "autograd/graph.h"
#include "nn/flat.h"
#include "nn/registry.h"

#include <stdlib.h>
#include <string.h>

/* ---- the tree ----------------------------------------------------------------------------------
 */

static const char *name_in_messages(const ito_module *m)
{
    return m->name != NULL && m->name[0] != '\0' ? m->name : "the root";
}

static bool name_is_taken(const ito_module *m, const char *name)
{
    for (const ito_module *c = m->first_child; c != NULL; c = c->next)
        if (strcmp(c->name, name) == 0)
            return true;
    for (const ito_module_entry *e = m->entries; e != NULL; e = e->next)
        if (strcmp(e->name, name) == 0)
            return true;
    return false;
}

static bool name_is_fine(const ito_module *m, const char *name)
{
    if (name == NULL || name[0] == '\0')
        ito_error_set(ITO_ERR_ARGUMENT, "module: what belongs to %s needs a name",
                      name_in_messages(m));
    else if (name_is_taken(m, name))
        ito_error_set(ITO_ERR_ARGUMENT, "module: the name \"%s\" is taken in %s", name,
                      name_in_messages(m));
    else
        return true;
    return false;
}

void *ito_module_create(ito_module *parent, const char *name, size_t size)
{
    if (size < sizeof(ito_module))
        return error_null(ITO_ERR_ARGUMENT, "module: %zu bytes do not hold an ito_module", size);
    if (parent != NULL && !name_is_fine(parent, name))
        return NULL;
    ito_module *m = struct_alloc(size);
    if (m == NULL)
        return NULL;
    m->name = registry_copy_name(name == NULL ? "" : name);
    if (m->name == NULL) {
        free(m);
        return NULL;
    }
    m->training = parent == NULL || parent->training;
    m->parent = parent;
    if (parent != NULL) {
        if (parent->last_child != NULL)
            parent->last_child->next = m;
        else
            parent->first_child = m;
        parent->last_child = m;
    }
    return m;
}

static void unlink_from_parent(ito_module *m)
{
    ito_module *p = m->parent, *before = NULL;
    for (ito_module *c = p->first_child; c != m; c = c->next)
        before = c;
    if (before != NULL)
        before->next = m->next;
    else
        p->first_child = m->next;
    if (p->last_child == m)
        p->last_child = before;
}

static void entry_free(ito_module_entry *e)
{
    ito_release(e->tensor);
    free(e->name);
    free(e);
}

void ito_module_free(ito_module *m)
{
    if (m == NULL)
        return;
    if (m->parent != NULL)
        unlink_from_parent(m);
    while (m->first_child != NULL)
        ito_module_free(m->first_child);
    if (m->destroy != NULL)
        m->destroy(m);
    parametrisations_free(m);
    while (m->entries != NULL) {
        ito_module_entry *e = m->entries;
        m->entries = e->next;
        entry_free(e);
    }
    flat_free(m->flat);
    free(m->name);
    free(m);
}

/* ---- entries -----------------------------------------------------------------------------------
 */

static ito_module_entry *entry_add(ito_module *m, entry_kind kind, const char *name)
{
    if (!name_is_fine(m, name))
        return NULL;
    ito_module_entry *e = struct_alloc(sizeof *e);
    if (e == NULL)
        return NULL;
    e->kind = kind;
    e->name = registry_copy_name(name);
    if (e->name == NULL) {
        free(e);
        return NULL;
    }
    if (m->last_entry != NULL)
        m->last_entry->next = e;
    else
        m->entries = e;
    m->last_entry = e;
    return e;
}

void registry_remove(ito_module *m, const char *name)
{
    ito_module_entry *before = NULL, *e = m->entries;
    while (e != NULL && strcmp(e->name, name) != 0) {
        before = e;
        e = e->next;
    }
    if (e == NULL)
        return;
    if (before != NULL)
        before->next = e->next;
    else
        m->entries = e->next;
    if (m->last_entry == e)
        m->last_entry = before;
    entry_free(e);
}

/* The module takes over the scope's reference; a tensor that no scope owns is retained. */
static ito_tensor *entry_own(ito_module_entry *e, ito_tensor *t)
{
    if (e == NULL)
        return NULL;
    e->tensor = t->scope != NULL ? tensor_disown(t) : ito_retain(t);
    return t;
}

static const ito_module *root_of(const ito_module *m)
{
    while (m->parent != NULL)
        m = m->parent;
    return m;
}

static bool may_be_parameter(const ito_module *m, const char *name, const ito_tensor *t)
{
    if (root_of(m)->flat != NULL)
        ito_error_set(ITO_ERR_ARGUMENT,
                      "module: parameter \"%s\" comes after the model was flattened for an "
                      "optimizer or an average",
                      name);
    else if (t->dtype != ITO_F32 && t->dtype != ITO_F64)
        ito_error_set(ITO_ERR_DTYPE, "module: parameter \"%s\" is %s; it can be f32 or f64", name,
                      ito_dtype_name(t->dtype));
    else if (!tensor_is_dense(t))
        ito_error_set(ITO_ERR_SHAPE,
                      "module: parameter \"%s\", %s, is a view with gaps or repetitions", name,
                      tensor_shape_str(t));
    else if (tensor_node(t) != NULL)
        ito_error_set(ITO_ERR_GRAD,
                      "module: parameter \"%s\" is the result of an operation; detach it first",
                      name);
    else
        return true;
    return false;
}

ito_tensor *ito_module_parameter(ito_module *m, const char *name, ito_tensor *t)
{
    if (m == NULL || t == NULL || !name_is_fine(m, name) || !may_be_parameter(m, name, t) ||
        ito_requires_grad(t, true) == NULL)
        return NULL;
    return entry_own(entry_add(m, ENTRY_PARAMETER, name), t);
}

ito_tensor *ito_module_buffer(ito_module *m, const char *name, ito_tensor *t)
{
    if (m == NULL || t == NULL)
        return NULL;
    return entry_own(entry_add(m, ENTRY_BUFFER, name), t);
}

ito_status ito_module_generator(ito_module *m, const char *name, ito_generator *g)
{
    if (m == NULL)
        return error_missing("module_generator", "the module");
    if (g == NULL)
        return ito_error_set(ITO_ERR_ARGUMENT, "module: no generator in %s", name_in_messages(m));
    ito_module_entry *e = entry_add(m, ENTRY_GENERATOR, name);
    if (e == NULL)
        return ito_error_code();
    e->generator = g;
    return ITO_OK;
}

/* ---- whole trees -------------------------------------------------------------------------------
 */

bool registry_walk(const ito_module *m, int kinds, registry_visit *visit, void *context)
{
    for (ito_module_entry *e = m->entries; e != NULL; e = e->next)
        if ((e->kind & kinds) != 0 && !visit(m, e, context))
            return false;
    for (const ito_module *c = m->first_child; c != NULL; c = c->next)
        if (!registry_walk(c, kinds, visit, context))
            return false;
    return true;
}

ito_tensor *ito_module_forward(ito_module *m, ito_tensor *x)
{
    if (m == NULL || x == NULL) {
        error_missing("module_forward", m == NULL ? "the module" : "x");
        return NULL;
    }
    if (m->forward == NULL)
        return error_null(ITO_ERR_ARGUMENT, "module: %s has no forward function of one input",
                          name_in_messages(m));
    return m->forward(m, x);
}

void ito_module_train(ito_module *m, bool training)
{
    if (m == NULL)
        return;
    m->training = training;
    for (ito_module *c = m->first_child; c != NULL; c = c->next)
        ito_module_train(c, training);
}

static int64_t count_modules(const ito_module *m)
{
    int64_t n = 1;
    for (const ito_module *c = m->first_child; c != NULL; c = c->next)
        n += count_modules(c);
    return n;
}

/* In registry order from modes[*at] on: noted, or brought back. */
static void visit_modes(ito_module *m, bool *modes, int64_t *at, bool restore)
{
    if (restore)
        m->training = modes[*at];
    else
        modes[*at] = m->training;
    ++*at;
    for (ito_module *c = m->first_child; c != NULL; c = c->next)
        visit_modes(c, modes, at, restore);
}

bool *module_modes_evaluate(ito_module *m)
{
    bool *modes = struct_alloc((size_t)count_modules(m) * sizeof *modes);
    if (modes == NULL)
        return NULL;
    int64_t at = 0;
    visit_modes(m, modes, &at, false);
    ito_module_train(m, false);
    return modes;
}

void module_modes_restore(ito_module *m, bool *modes)
{
    int64_t at = 0;
    visit_modes(m, modes, &at, true);
    free(modes);
}

static bool freeze_entry(const ito_module *m, ito_module_entry *e, void *context)
{
    (void)m;
    const bool *frozen = context;
    return ito_requires_grad(e->tensor, !*frozen) != NULL;
}

ito_status ito_module_freeze(ito_module *m, bool frozen)
{
    if (m == NULL)
        return error_missing("module_freeze", "the module");
    return registry_walk(m, ENTRY_PARAMETER, freeze_entry, &frozen) ? ITO_OK : ito_error_code();
}

static bool zero_entry(const ito_module *m, ito_module_entry *e, void *context)
{
    (void)m, (void)context;
    ito_zero_grad(e->tensor);
    return true;
}

void ito_module_zero_grad(ito_module *m)
{
    if (m != NULL)
        registry_walk(m, ENTRY_PARAMETER, zero_entry, NULL);
}

typedef struct seeding {
    uint64_t seed, stream;
} seeding;

static bool seed_entry(const ito_module *m, ito_module_entry *e, void *context)
{
    (void)m;
    seeding *s = context;
    *e->generator = ito_generator_make(s->seed, s->stream++);
    return true;
}

void ito_module_seed(ito_module *m, uint64_t seed, uint64_t first_stream)
{
    seeding s = {seed, first_stream};
    if (m != NULL)
        registry_walk(m, ENTRY_GENERATOR, seed_entry, &s);
}
