/* State dicts in files. */
#include "nn/state.h"
#include "autograd/ops.h"
#include "nn/registry.h"
#include "nn/state_names.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/weights_kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- matching ----------------------------------------------------------------------------------
 */

typedef struct named_index {
    const char *name;
    int64_t index; /* in the target */
} named_index;

typedef struct match {
    const char *path, *whose;
    const ito_load_options *options;
    state_names names;
    const ito_weights *file;
    const ito_named_tensors *target;
    named_index *order; /* [target->n] by name */
    int64_t *source;    /* [target->n] the tensor of the file that has the value, or -1 */
    char *name;         /* room for the longest state_name */
    int64_t unexpected; /* the first tensor of the file that the target does not have, or -1 */
} match;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const named_index *)a)->name, ((const named_index *)b)->name);
}

static bool match_allocate(match *m)
{
    size_t n = (size_t)m->target->n;
    m->name = struct_alloc(state_longest_name(&m->names, m->file));
    m->order = struct_alloc(n * sizeof *m->order + 1);
    m->source = struct_alloc(n * sizeof *m->source + 1);
    if (m->name == NULL || m->order == NULL || m->source == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        m->order[i] = (named_index){m->target->names[i], (int64_t)i};
        m->source[i] = -1;
    }
    qsort(m->order, n, sizeof *m->order, by_name);
    return true;
}

static void match_free(match *m)
{
    free(m->name);
    free(m->order);
    free(m->source);
}

/* The target of that name, or NULL. */
static const named_index *find_target(const match *m, const char *name)
{
    named_index key = {name, 0};
    return bsearch(&key, m->order, (size_t)m->target->n, sizeof key, by_name);
}

static bool has_target(const void *m, const char *name)
{
    return find_target(m, name) != NULL;
}

/* Tensor i of the file goes to the target of its name. */
static ito_status match_one(match *m, int64_t i)
{
    const char *in_file = ito_weights_name(m->file, i);
    if (state_name(&m->names, in_file, m->name) == 0)
        return ITO_OK;
    const named_index *found = find_target(m, m->name);
    if (found == NULL) {
        m->unexpected = m->unexpected < 0 ? i : m->unexpected;
        return ITO_OK;
    }
    int64_t *source = &m->source[found->index];
    if (*source >= 0)
        return file_error(ITO_ERR_FORMAT, m->path, "%s and %s are both %s of the %s",
                          ito_weights_name(m->file, *source), in_file, m->name, m->whose);
    *source = i;
    return ITO_OK;
}

static bool dtypes_agree(ito_dtype a, ito_dtype b)
{
    return a == b || (a != ITO_DTYPES && ito_dtype_is_float(a) && ito_dtype_is_float(b));
}

/* Check that the file has target j, with its shape and a dtype that can be converted. */
static ito_status match_check(const match *m, int64_t j)
{
    const char *name = m->target->names[j];
    const ito_tensor *t = m->target->tensors[j];
    int64_t i = m->source[j];
    if (i < 0)
        return m->options->partial
                   ? ITO_OK
                   : file_error(ITO_ERR_FORMAT, m->path, "lacks %s of the %s", name, m->whose);
    ito_shape shape = ito_weights_shape(m->file, i);
    if (!shape_equal(shape, ito_shape_of(t)))
        return file_error(ITO_ERR_SHAPE, m->path, "%s is %s in the file and %s in the %s", name,
                          shape_str(shape), tensor_shape_str(t), m->whose);
    ito_dtype dtype = ito_weights_dtype(m->file, i);
    if (!dtypes_agree(dtype, t->dtype))
        return file_error(ITO_ERR_DTYPE, m->path, "%s is %s in the file and %s in the %s", name,
                          dtype == ITO_DTYPES ? ito_weights_dtype_name(m->file, i)
                                              : ito_dtype_name(dtype),
                          ito_dtype_name(t->dtype), m->whose);
    return ITO_OK;
}

/* "a, b, c, ..." of n names, or "none". */
static void first_names(char *out, size_t size, int64_t n,
                        const char *(*name)(const void *of, int64_t i), const void *of)
{
    enum { SHOWN = 3 };
    size_t used = 0;
    snprintf(out, size, "none");
    for (int64_t i = 0; i < n && i < SHOWN && used < size; i++)
        used +=
            (size_t)snprintf(out + used, size - used, "%s%.40s", i > 0 ? ", " : "", name(of, i));
    if (n > SHOWN && used < size)
        snprintf(out + used, size - used, ", ...");
}

static const char *name_in_file(const void *file, int64_t i)
{
    return ito_weights_name(file, i);
}

static const char *name_in_target(const void *target, int64_t i)
{
    return ((const ito_named_tensors *)target)->names[i];
}

/* Partial loading that would load nothing is a mistake in names or prefix. */
static ito_status match_check_any(const match *m)
{
    for (int64_t j = 0; j < m->target->n; j++)
        if (m->source[j] >= 0)
            return ITO_OK;
    if (m->target->n == 0)
        return ITO_OK;
    char in_file[140], in_target[140];
    first_names(in_file, sizeof in_file, ito_weights_count(m->file), name_in_file, m->file);
    first_names(in_target, sizeof in_target, m->target->n, name_in_target, m->target);
    const char *prefix = m->options->prefix == NULL ? "" : m->options->prefix;
    return file_error(ITO_ERR_FORMAT, m->path,
                      "no name agrees: the file has %s; the %s has %s%s%.40s", in_file, m->whose,
                      in_target, prefix[0] != '\0' ? "; the prefix is " : "", prefix);
}

/* A wrong tensor is reported before the unexpected names that follow from it, so target is checked
 * first. */
static ito_status match_all(match *m)
{
    ito_status status = m->target->n > 0 ? state_check_prefix(&m->names, m->file) : ITO_OK;
    if (status == ITO_OK)
        status = state_find_prefix(&m->names, m->file, has_target, m, m->name);
    for (int64_t i = 0; i < ito_weights_count(m->file) && status == ITO_OK; i++)
        status = match_one(m, i);
    for (int64_t j = 0; j < m->target->n && status == ITO_OK; j++)
        status = match_check(m, j);
    if (status == ITO_OK && m->options->partial)
        status = match_check_any(m);
    else if (status == ITO_OK && m->unexpected >= 0)
        status = file_error(ITO_ERR_FORMAT, m->path, "holds %s, which the %s does not have",
                            ito_weights_name(m->file, m->unexpected), m->whose);
    return status;
}

/* ---- staging -----------------------------------------------------------------------------------
 */

static ito_status read_values(state_stage *s, const match *m)
{
    for (int64_t j = 0; j < s->target->n; j++) {
        if (m->source[j] < 0)
            continue;
        const char *name = ito_weights_name(m->file, m->source[j]);
        s->value[j] = tensor_disown(ito_weights_read(m->file, name));
        if (s->value[j] == NULL)
            return ito_error_code();
    }
    return ITO_OK;
}

/* What was found out about names and numbers, for the caller to tell. */
static void put_report(const match *m)
{
    ito_load_report *r = m->options->report;
    if (r == NULL)
        return;
    *r = (ito_load_report){0};
    for (int64_t j = 0; j < m->target->n; j++)
        r->loaded += m->source[j] >= 0;
    r->missing = m->target->n - r->loaded;
    r->unused = ito_weights_count(m->file) - r->loaded;
    snprintf(r->prefix, sizeof r->prefix, "%s", state_prefix(&m->names));
}

ito_status state_stage_read(state_stage *s, ito_named_tensors *target, const char *whose,
                            const ito_weights *file, const ito_load_options *options)
{
    *s = (state_stage){.target = target};
    if (target == NULL)
        return ito_error_code();
    s->value = struct_alloc((size_t)target->n * sizeof *s->value + 1);
    match m = {.path = ito_weights_path(file),
               .whose = whose,
               .options = options,
               .names = {.options = options},
               .file = file,
               .target = target,
               .unexpected = -1};
    ito_status status = s->value != NULL && match_allocate(&m) ? match_all(&m) : ITO_ERR_MEMORY;
    if (status == ITO_OK)
        status = read_values(s, &m);
    if (status == ITO_OK)
        put_report(&m);
    match_free(&m);
    if (status != ITO_OK)
        state_stage_free(s);
    return status;
}

void state_stage_commit(state_stage *s)
{
    for (int64_t i = 0; s->target != NULL && i < s->target->n; i++)
        if (s->value[i] != NULL) {
            tensor_copy(s->target->tensors[i], s->value[i]);
            ito_touch(s->target->tensors[i]);
        }
}

void state_stage_free(state_stage *s)
{
    for (int64_t i = 0; s->value != NULL && i < s->target->n; i++)
        ito_release(s->value[i]);
    free(s->value);
    ito_named_tensors_free(s->target);
    *s = (state_stage){0};
}

/* ---- state dicts of modules --------------------------------------------------------------------
 */

/* Replace a reference to a tensor by one to a copy in bf16. */
static ito_status round_to_bf16(ito_tensor **t)
{
    ito_scope_begin();
    ito_tensor *small = tensor_disown(ito_cast(ito_detach(*t), ITO_BF16));
    ito_scope_end();
    if (small == NULL)
        return ito_error_code();
    ito_release(*t);
    *t = small;
    return ITO_OK;
}

ito_status state_save(const char *path, ito_named_tensors *list, const ito_save_options *o)
{
    if (list == NULL)
        return ito_error_code();
    ito_status status = ITO_OK;
    for (int64_t i = 0; o->bf16 && i < list->n && status == ITO_OK; i++)
        if (ito_dtype_is_float(list->tensors[i]->dtype))
            status = round_to_bf16(&list->tensors[i]);
    if (status == ITO_OK)
        status = ito_safetensors_save(path, list->n, list->names, list->tensors, o->n_metadata,
                                      o->metadata_keys, o->metadata_values);
    ito_named_tensors_free(list);
    return status;
}

ito_status ito_module_save_with(const ito_module *m, const char *path, ito_save_options options)
{
    if (m == NULL)
        return error_missing("module_save", "the module");
    return state_save(path, ito_module_state(m), &options);
}

static bool check_renames(const ito_load_options *o)
{
    if (o->n_renames < 0 || (o->n_renames > 0 && o->renames == NULL)) {
        ito_error_set(ITO_ERR_ARGUMENT, "module_load: %" PRId64 " renames without their list",
                      o->n_renames);
        return false;
    }
    for (int64_t i = 0; i < o->n_renames; i++)
        if (o->renames[i].in_file == NULL || o->renames[i].in_model == NULL) {
            ito_error_set(ITO_ERR_ARGUMENT, "module_load: rename %" PRId64 " lacks a name", i);
            return false;
        }
    return true;
}

ito_status ito_module_load_weights_with(ito_module *m, const ito_weights *weights,
                                        ito_load_options options)
{
    if (m == NULL || weights == NULL)
        return error_missing("module_load", m == NULL ? "the module" : "the file");
    if (!check_renames(&options))
        return ITO_ERR_ARGUMENT;
    state_stage stage;
    ito_status status = state_stage_read(&stage, ito_module_state(m), "model", weights, &options);
    if (status != ITO_OK)
        return status;
    state_stage_commit(&stage);
    state_stage_free(&stage);
    return ITO_OK;
}

ito_status ito_module_load_file_with(ito_module *m, const ito_safetensors *file,
                                     ito_load_options options)
{
    if (m == NULL || file == NULL)
        return error_missing("module_load", m == NULL ? "the module" : "the file");
    ito_weights *weights = weights_borrow(file);
    ito_status status =
        weights == NULL ? ito_error_code() : ito_module_load_weights_with(m, weights, options);
    ito_weights_close(weights);
    return status;
}

ito_status ito_module_load_with(ito_module *m, const char *path, ito_load_options options)
{
    if (m == NULL)
        return error_missing("module_load", "the module");
    ito_weights *weights = ito_weights_open(path);
    ito_status status =
        weights == NULL ? ito_error_code() : ito_module_load_weights_with(m, weights, options);
    ito_weights_close(weights);
    return status;
}
