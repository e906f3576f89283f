/* Nodes: made when an operation is recorded, released with an explicit stack. Leaves, hooks, modes.
 * What nodes keep is in saved.c. */
#include "autograd/graph.h"
#include "autograd/observe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local int no_grad_depth;
static _Thread_local bool anomaly;
static _Atomic uint64_t last_sequence, last_mark;

uint64_t graph_new_mark(void)
{
    return atomic_fetch_add(&last_mark, 1) + 1;
}

void ito_no_grad_begin(void)
{
    no_grad_depth++;
}

void ito_no_grad_end(void)
{
    no_grad_depth -= no_grad_depth > 0;
}

bool ito_grad_enabled(void)
{
    return no_grad_depth == 0;
}

int ito_enable_grad_begin(void)
{
    int saved = no_grad_depth;
    no_grad_depth = 0;
    return saved;
}

void ito_enable_grad_end(int saved)
{
    no_grad_depth = saved;
}

/* ---- what is used without being recorded ---- */

static _Thread_local grad_watch *watch;

grad_watch *grad_watch_begin(grad_watch *w)
{
    grad_watch *before = watch;
    w->depth = no_grad_depth;
    watch = w;
    return before;
}

void grad_watch_end(grad_watch *before)
{
    watch = before;
}

static bool watch_has(const ito_tensor *leaf)
{
    for (int64_t i = 0; i < watch->n; i++)
        if (watch->leaf[i] == leaf)
            return true;
    return false;
}

static void watch_leaf(ito_tensor *leaf)
{
    if (watch_has(leaf))
        return;
    if (watch->n == watch->capacity) {
        int64_t capacity = watch->capacity > 0 ? 2 * watch->capacity : 16;
        ito_tensor **grown = struct_alloc((size_t)capacity * sizeof *grown);
        watch->failed = watch->failed || grown == NULL;
        if (grown == NULL)
            return;
        if (watch->n > 0)
            memcpy(grown, watch->leaf, (size_t)watch->n * sizeof *grown);
        free(watch->leaf);
        watch->leaf = grown;
        watch->capacity = capacity;
    }
    watch->leaf[watch->n++] = leaf;
}

void grad_watch_see(ito_tensor *const *in, int64_t n)
{
    if (watch == NULL || no_grad_depth != watch->depth)
        return;
    for (int64_t i = 0; i < n; i++)
        if (in[i] == NULL || !tensor_needs_grad(in[i]))
            continue;
        else if (tensor_node(in[i]) == NULL)
            watch_leaf(in[i]);
        else if (watch->result == NULL)
            watch->result = in[i];
}

void ito_set_anomaly_mode(bool on)
{
    anomaly = on;
}

bool anomaly_mode(void)
{
    return anomaly;
}

/* False, too, if there is no memory to look, with that error. */
static bool is_free_of_nan(const ito_tensor *t)
{
    double *value = mem_alloc((size_t)ito_numel(t) * sizeof *value);
    bool free_of_it = value != NULL && ito_to_data(t, value, ITO_F64) == ITO_OK;
    for (int64_t i = 0; free_of_it && i < ito_numel(t); i++)
        free_of_it = !isnan(value[i]);
    mem_free(value);
    return free_of_it;
}

bool anomaly_check(const ito_tensor *t, const char *op, const char *what, const char *file,
                   int line)
{
    if (!ito_dtype_is_float(t->dtype) || is_free_of_nan(t))
        return true;
    if (file != NULL)
        return error_false(ITO_ERR_NUMERIC, "%s: its %s has a NaN; it was called at %s:%d", op,
                           what, file, line);
    return error_false(ITO_ERR_NUMERIC, "%s: its %s has a NaN", op, what);
}

/* ---- nodes -------------------------------------------------------------------------------------
 */

/* Nodes to process: those whose last reference has gone, and those (they hold one) whose last user
 * has. */
static _Thread_local node *pending;
static _Thread_local bool processing;

static void node_destroy(node *n)
{
    atomic_init(&n->handle_uses, false); /* still true, if it never got behind its result */
    atomic_init(&n->remat_users, 0);
    node_free_saved(n);
    for (int64_t i = 0; i < n->n; i++) {
        node_release(n->edge[i].node);
        ito_release(n->edge[i].leaf);
    }
    free(n->hooks.item);
    record_free(n, n->bytes);
}

/* Saved tensors hold nodes in turn, so releasing them may come back here: the list is worked off by
 * the outermost call alone. */
static void process_pending(node *n)
{
    n->next_pending = pending;
    pending = n;
    if (processing)
        return;
    processing = true;
    while (pending != NULL) {
        node *p = pending;
        pending = p->next_pending;
        if (p->refs == 0) {
            node_destroy(p);
        } else {
            node_trim(p);
            node_release(p);
        }
    }
    processing = false;
}

void node_release(node *n)
{
    if (n != NULL && reference_drop(&n->refs)) {
        atomic_store_explicit(&n->refs, 0, memory_order_relaxed);
        process_pending(n);
    }
}

void node_remat_release(node *n)
{
    if (atomic_fetch_sub(&n->remat_users, 1) != 1)
        return;
    atomic_fetch_add(&n->refs, 1);
    process_pending(n);
}

static void meta_release(tensor_hook *self)
{
    autograd_meta *m = (autograd_meta *)self;
    ito_release(m->grad);
    for (int i = 0; i < FORWARD_LEVELS; i++)
        ito_release(m->tangent[i]);
    if (m->fresh)
        node_handle_gone(m->node);
    node_release(m->node);
    free(m->hooks.item);
    record_free(m, sizeof *m);
}

autograd_meta *tensor_meta_make(ito_tensor *t)
{
    if (t->autograd == NULL) {
        autograd_meta *m = record_alloc(sizeof *m);
        if (m == NULL)
            return NULL;
        m->base.release = meta_release;
        t->autograd = &m->base;
    }
    return tensor_meta(t);
}

static size_t aligned(size_t bytes) /* for any type */
{
    return (bytes + 15) / 16 * 16;
}

/* One record holds the node, its params and all the per-input arrays. */
static node *node_create(const op_call *c)
{
    size_t count = (size_t)c->n,
           arrays = count * (sizeof(edge) + sizeof(ito_shape) + sizeof(ito_tensor *) +
                             sizeof(uint64_t) + sizeof(ito_dtype) + sizeof(bool));
    size_t head = aligned(sizeof(node)) + aligned(c->params_size);
    node *n = record_alloc(head + arrays);
    if (n == NULL)
        return NULL;
    n->bytes = head + arrays;
    atomic_init(&n->refs, 1);
    n->info = c->info;
    n->n = c->n;
    n->params = (char *)n + aligned(sizeof(node));
    n->params_size = c->params_size;
    n->edge = (edge *)((char *)n + head);
    n->shape = (ito_shape *)(n->edge + count);
    n->in = (ito_tensor **)(n->shape + count);
    n->in_version = (uint64_t *)(n->in + count);
    n->dtype = (ito_dtype *)(n->in_version + count);
    n->rematerialise = (bool *)(n->dtype + count);
    return n;
}

bool node_attach(const op_call *c, ito_tensor *out)
{
    autograd_meta *meta = tensor_meta_make(out);
    node *n = meta == NULL ? NULL : node_create(c);
    if (n == NULL)
        return false;
    n->sequence = atomic_fetch_add(&last_sequence, 1) + 1;
    for (int64_t i = 0; i < c->n; i++) {
        ito_tensor *in = c->in[i];
        n->shape[i] = c->shape[i];
        n->dtype[i] = c->dtype[i];
        if (in == NULL)
            continue;
        if (tensor_node(in) != NULL) {
            n->edge[i].node = tensor_node(in);
            atomic_fetch_add(&n->edge[i].node->refs, 1);
        } else if (tensor_needs_grad(in)) {
            n->edge[i].leaf = ito_retain(in);
        }
    }
    if (c->params_size > 0)
        memcpy(n->params, c->params, c->params_size);
    if ((const void *)c->info == c->params)
        n->info = n->params;
    n->out_shape = out->sizes;
    n->out_dtype = out->dtype;
    error_place(&n->file, &n->line);
    if (!node_save(n, c, out)) {
        node_release(n);
        return false;
    }
    meta->node = n;
    meta->fresh = true;
    meta->version = out->storage->version;
    return true;
}

/* ---- leaves
 * -------------------------------------------------------------------------------------- */

ito_tensor *ito_requires_grad(ito_tensor *t, bool wanted)
{
    if (t == NULL)
        return NULL;
    if (tensor_node(t) != NULL)
        return wanted ? t
                      : error_null(ITO_ERR_GRAD,
                                   "requires_grad: the tensor %s is a result; "
                                   "ito_detach gives one without history",
                                   tensor_shape_str(t));
    if (wanted && t->dtype != ITO_F32 && t->dtype != ITO_F64 && t->dtype != ITO_BF16)
        return error_null(ITO_ERR_DTYPE, "requires_grad: gradients are f32, f64 or bf16, not %s",
                          ito_dtype_name(t->dtype));
    if (!wanted && t->autograd == NULL)
        return t;
    autograd_meta *m = tensor_meta_make(t);
    if (m == NULL)
        return NULL;
    m->requires_grad = wanted;
    return t;
}

bool ito_has_grad_path(const ito_tensor *t)
{
    return tensor_needs_grad(t);
}

ito_tensor *ito_grad_of(const ito_tensor *t)
{
    if (t == NULL || t->autograd == NULL)
        return NULL;
    autograd_meta *m = tensor_meta(t);
    if (m->grad != NULL && m->grad_stale) {
        tensor_fill(m->grad, 0);
        m->grad_stale = false;
    }
    return m->grad;
}

void ito_zero_grad(ito_tensor *t)
{
    if (t != NULL && t->autograd != NULL)
        tensor_meta(t)->grad_stale = true;
}

bool tensor_set_grad_buffer(ito_tensor *leaf, ito_tensor *grad)
{
    autograd_meta *m = tensor_meta_make(leaf);
    if (m == NULL)
        return false;
    ito_retain(grad);
    ito_release(m->grad);
    m->grad = grad;
    m->grad_stale = true;
    return true;
}

ito_tensor *ito_detach(ito_tensor *t)
{
    ito_tensor *same = t == NULL ? NULL : tensor_view(t, ito_shape_of(t), t->stride, t->offset);
    op_tell_same(same, t);
    return same;
}

ito_status ito_add_grad_hook(ito_tensor *t, ito_grad_hook *hook, void *context)
{
    if (t == NULL || hook == NULL)
        return error_missing("add_grad_hook", t == NULL ? "the tensor" : "the hook");
    if (!tensor_needs_grad(t))
        return ito_error_set(ITO_ERR_GRAD, "add_grad_hook: the tensor %s requires no gradient",
                             tensor_shape_str(t));
    grad_hooks *hooks = tensor_node(t) != NULL ? &tensor_node(t)->hooks : &tensor_meta(t)->hooks;
    void *grown = struct_alloc((size_t)(hooks->count + 1) * sizeof *hooks->item);
    if (grown == NULL)
        return ITO_ERR_MEMORY;
    if (hooks->count > 0)
        memcpy(grown, hooks->item, (size_t)hooks->count * sizeof *hooks->item);
    free(hooks->item);
    hooks->item = grown;
    hooks->item[hooks->count].fn = hook;
    hooks->item[hooks->count++].context = context;
    return ITO_OK;
}
