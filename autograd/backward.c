/* The sweep: gradients flow from one output back through the nodes behind it, latest first.
 *
 * Nodes are numbered as they are made, so descending numbers are an order in which every node comes
 * after all that used its result. Only nodes that lead to something wanted are worked on. What a
 * node saved is freed as soon as it has been used, unless the graph is retained, and so is every
 * gradient. A gradient is overwritten or added to in place where the sweep holds the only
 * reference. */
#include "autograd/autocast.h"
#include "autograd/graph.h"
#include "autograd/profile.h"
#include "tensor/scope_internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct visit {
    node *node;
    ito_tensor *grad; /* reference; NULL until something arrives */
    bool needed;      /* leads to a wanted leaf or input */
} visit;

typedef struct sweep {
    visit *visit; /* latest first */
    int64_t count, capacity;
    ito_tensor *const *inputs; /* gradients wanted for these; NULL: accumulate in leaves */
    int64_t n;
    ito_tensor **result; /* references; of the inputs */
    ito_backward_options options;
    bool anomaly; /* look at what each backward gives, rather than at what it is made of */
} sweep;

/* ---- the nodes behind the output
 * ------------------------------------------------------------------ */

static bool sweep_add(sweep *s, node *n)
{
    if (s->count == s->capacity) {
        int64_t capacity = s->capacity > 0 ? 2 * s->capacity : 64;
        visit *grown = struct_alloc((size_t)capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        if (s->count > 0)
            memcpy(grown, s->visit, (size_t)s->count * sizeof *grown);
        free(s->visit);
        s->visit = grown;
        s->capacity = capacity;
    }
    s->visit[s->count++] = (visit){.node = n};
    return true;
}

static int latest_first(const void *a, const void *b)
{
    uint64_t x = ((const visit *)a)->node->sequence, y = ((const visit *)b)->node->sequence;
    return x > y ? -1 : x < y;
}

/* Nodes in a chain are found in order. */
static void sweep_sort(sweep *s)
{
    int64_t v = 1;
    while (v < s->count && latest_first(&s->visit[v - 1], &s->visit[v]) < 0)
        v++;
    if (v < s->count)
        qsort(s->visit, (size_t)s->count, sizeof *s->visit, latest_first);
    for (v = 0; v < s->count; v++)
        s->visit[v].node->place = v;
}

/* All nodes behind root. The list itself is the stack of the search. */
static bool sweep_collect(sweep *s, node *root)
{
    uint64_t mark = graph_new_mark();
    root->mark = mark;
    if (!sweep_add(s, root))
        return false;
    for (int64_t next = 0; next < s->count; next++) {
        node *n = s->visit[next].node;
        for (int64_t i = 0; i < n->n; i++) {
            node *from = n->edge[i].node;
            if (from != NULL && from->mark != mark) {
                from->mark = mark;
                if (!sweep_add(s, from))
                    return false;
            }
        }
    }
    sweep_sort(s);
    return true;
}

/* n's place is another sweep's if one has gone within this one. */
static visit *sweep_find(sweep *s, const node *n)
{
    if (n->place < s->count && s->visit[n->place].node == n)
        return &s->visit[n->place];
    int64_t low = 0, high = s->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (s->visit[middle].node->sequence > n->sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return &s->visit[low];
}

static bool leaf_wanted(const sweep *s, const ito_tensor *leaf)
{
    if (leaf == NULL)
        return false;
    for (int64_t i = 0; i < s->n; i++)
        if (s->inputs[i] == leaf)
            return true;
    return s->inputs == NULL && tensor_meta(leaf)->requires_grad;
}

static bool node_wanted(const sweep *s, const node *n)
{
    for (int64_t i = 0; i < s->n; i++)
        if (tensor_node(s->inputs[i]) == n)
            return true;
    return false;
}

/* Whether input i of n leads to something wanted; the nodes behind it have been marked. */
static bool edge_needed(sweep *s, const node *n, int64_t i)
{
    return leaf_wanted(s, n->edge[i].leaf) ||
           (n->edge[i].node != NULL && sweep_find(s, n->edge[i].node)->needed);
}

/* Which nodes lead to something wanted. */
static void sweep_mark_needed(sweep *s)
{
    for (int64_t v = s->count - 1; v >= 0; v--) {
        node *n = s->visit[v].node;
        s->visit[v].needed = node_wanted(s, n);
        for (int64_t i = 0; i < n->n && !s->visit[v].needed; i++)
            s->visit[v].needed = edge_needed(s, n, i);
    }
}

/* ---- adding up
 * -------------------------------------------------------------------------------------- */

/* Whether g's memory belongs to one reference of the caller's and to the innermost scope, if to
 * any: scopes further out are the user's. What mem_alloc has not made may have other owners. */
static bool is_sole(const ito_tensor *g)
{
    return g->refs == 1 + scope_is_innermost(g->scope) && g->storage->refs == 1 &&
           g->storage->release == NULL && tensor_is_dense(g);
}

/* *sum += g, a reference that is swapped as needed. */
static bool add_up(const sweep *s, ito_tensor **sum, ito_tensor *g)
{
    if (*sum == NULL) {
        *sum = ito_retain(g);
        return true;
    }
    if (!s->options.create_graph && (*sum)->scope == NULL && is_sole(*sum))
        return ito_add_(*sum, g, 1) != NULL;
    ito_tensor *total = ito_retain(ito_add(*sum, g));
    if (total == NULL)
        return false;
    ito_release(*sum);
    *sum = total;
    return true;
}

/* own: the sweep holds a reference to g, and the leaf may take it over if nobody else does. */
static bool accumulate_leaf(const sweep *s, ito_tensor *leaf, ito_tensor *g, bool own)
{
    autograd_meta *m = tensor_meta(leaf);
    if (m->grad == NULL) {
        m->grad = ito_retain(own && is_sole(g) ? g : ito_clone(g));
        m->grad_stale = false;
        return m->grad != NULL;
    }
    if (m->grad_stale) {
        m->grad_stale = false;
        tensor_copy(m->grad, g);
        ito_touch(m->grad);
        return true;
    }
    if (!s->options.create_graph)
        return ito_add_(m->grad, g, 1) != NULL;
    ito_tensor *total = ito_retain(ito_add(m->grad, g));
    if (total == NULL)
        return false;
    ito_release(m->grad);
    m->grad = total;
    return true;
}

static ito_tensor *run_hooks(const grad_hooks *hooks, ito_tensor *g)
{
    for (int64_t i = 0; i < hooks->count && g != NULL; i++)
        g = hooks->item[i].fn(g, hooks->item[i].context);
    return g;
}

/* own: as above. */
static bool deliver(const sweep *s, ito_tensor *leaf, ito_tensor *g, bool own)
{
    if (s->inputs == NULL)
        return !tensor_meta(leaf)->requires_grad || accumulate_leaf(s, leaf, g, own);
    for (int64_t i = 0; i < s->n; i++)
        if (s->inputs[i] == leaf) {
            if (!add_up(s, &s->result[i], g))
                return false;
        }
    return true;
}

/* The sweep holds a reference to `arriving`, but not to what hooks put in its place. */
static bool reach_leaf(const sweep *s, ito_tensor *leaf, ito_tensor *arriving)
{
    ito_tensor *g = run_hooks(&tensor_meta(leaf)->hooks, arriving);
    return g != NULL && deliver(s, leaf, g, g == arriving);
}

/* ---- one node
 * ------------------------------------------------------------------------------------------ */

/* A fused operation's gradient as something differentiable: that of its composite form, between
 * stand-ins for its inputs, so that inputs which depend on each other are kept apart. */
static bool composite_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *stand_in[8] = {NULL}, *wanted[8], *result[8];
    int64_t n_wanted = 0;
    for (int64_t i = 0; i < c->n; i++)
        if (c->in[i] != NULL) {
            stand_in[i] = ito_view_to(c->in[i], c->shape[i]);
            if (c->needs[i])
                wanted[n_wanted++] = stand_in[i];
        }
    ito_tensor *y = c->info->composite(stand_in, c->n, c->params);
    ito_backward_options options =
        ITO_OPTIONS(ito_backward_options, .cotangent = dy, .create_graph = true);
    if (y == NULL || ito_grads(y, wanted, n_wanted, result, options) != ITO_OK)
        return false;
    for (int64_t i = 0, w = 0; i < c->n; i++)
        if (c->in[i] != NULL && c->needs[i])
            dx[i] = result[w++];
    return true;
}

/* One node's backward: for each of its inputs */
typedef struct step {
    ito_tensor **dx; /* references, once backward has returned */
    ito_tensor **in;
    bool *needs; /* whether anything wanted lies behind it */
} step;

static bool run_backward(sweep *s, visit *v, ito_tensor *dy, const step *t)
{
    node *n = v->node;
    if (n->freed)
        return error_false(ITO_ERR_GRAD,
                           "backward: what %s saved is gone after one sweep; "
                           "the first one needs .retain_graph = true",
                           n->info->name);
    bool recorded = s->options.create_graph;
    if (!node_check_versions(n) || !node_saved_inputs(n, t->in, recorded))
        return false;
    op_call c = {.info = n->info,
                 .n = n->n,
                 .in = t->in,
                 .shape = n->shape,
                 .dtype = n->dtype,
                 .params = n->params,
                 .params_size = n->params_size,
                 .out = n->out,
                 .needs = t->needs,
                 .own_dy = !recorded && dy == v->grad && dy->scope == NULL && is_sole(dy)};
    memcpy(c.extra, n->extra, sizeof c.extra);
    if (recorded) {
        c.out = n->out == NULL ? NULL : node_with_history(n->out, n);
        if (n->out != NULL && c.out == NULL)
            return false;
        if (n->info->kind == KIND_FUSED)
            return composite_backward(&c, dy, t->dx);
    }
    profile_frame frame;
    profile_begin_backward(&frame);
    bool done = n->info->backward(&c, dy, t->dx);
    profile_end_backward(&frame, &c, dy, t->dx);
    return done;
}

static bool check_gradients(const sweep *s, const node *n, ito_tensor *const *dx)
{
    for (int64_t i = 0; i < n->n; i++) {
        if (dx[i] == NULL)
            continue;
        if (!tensor_has_shape(dx[i], &n->shape[i]) || dx[i]->dtype != n->dtype[i])
            return error_false(ITO_ERR_GRAD,
                               "backward: %s gave a gradient %s %s for its input %s %s",
                               n->info->name, ito_dtype_name(dx[i]->dtype), tensor_shape_str(dx[i]),
                               ito_dtype_name(n->dtype[i]), shape_str(n->shape[i]));
        if (s->anomaly && !anomaly_check(dx[i], n->info->name, "gradient", n->file, n->line))
            return false;
    }
    return true;
}

/* A result's own gradient is complete: hooks see it, and whoever asked for it gets it. */
static ito_tensor *complete(sweep *s, visit *v)
{
    ito_tensor *g = run_hooks(&v->node->hooks, v->grad);
    for (int64_t i = 0; g != NULL && i < s->n; i++)
        if (tensor_node(s->inputs[i]) == v->node)
            s->result[i] = ito_retain(g);
    return g;
}

static bool pass_on(sweep *s, const edge *to, ito_tensor *g)
{
    if (to->leaf != NULL)
        return reach_leaf(s, to->leaf, g);
    return to->node == NULL || add_up(s, &sweep_find(s, to->node)->grad, g);
}

static bool pass_all_on(sweep *s, visit *v, ito_tensor *dy, const step *t)
{
    node *n = v->node;
    bool done = run_backward(s, v, dy, t) && check_gradients(s, n, t->dx);
    for (int64_t i = 0; i < n->n && done; i++)
        ito_retain(t->dx[i]);
    if (done && !s->options.retain_graph && !s->options.create_graph)
        node_free_saved(n);
    ito_release(v->grad);
    v->grad = NULL;
    bool passed = done;
    for (int64_t i = 0; i < n->n && done; i++) {
        passed = passed && (t->dx[i] == NULL || pass_on(s, &n->edge[i], t->dx[i]));
        ito_release(t->dx[i]);
    }
    return passed;
}

static bool sweep_node(sweep *s, visit *v)
{
    node *n = v->node;
    ito_tensor *dy = complete(s, v);
    if (dy == NULL)
        return false;
    enum { FEW = 4 };
    struct {
        ito_tensor *dx[FEW], *in[FEW];
        bool needs[FEW];
    } few = {0};
    step t = {few.dx, few.in, few.needs};
    void *room = NULL;
    if (n->n > FEW) {
        size_t count = (size_t)n->n;
        room = struct_alloc(count * (2 * sizeof *t.dx + sizeof *t.needs));
        if (room == NULL)
            return false;
        t = (step){room, (ito_tensor **)room + count, (bool *)((ito_tensor **)room + 2 * count)};
    }
    bool leads_on = false; /* rather than being what is wanted itself */
    for (int64_t i = 0; i < n->n; i++)
        leads_on |= t.needs[i] = edge_needed(s, n, i);
    bool passed = !leads_on || pass_all_on(s, v, dy, &t);
    free(room);
    return passed;
}

/* Note at each leaf which node is the last to add to it. */
static void sweep_find_last(sweep *s)
{
    for (int64_t v = 0; v < s->count; v++)
        for (int64_t i = 0; i < s->visit[v].node->n; i++)
            if (leaf_wanted(s, s->visit[v].node->edge[i].leaf))
                tensor_meta(s->visit[v].node->edge[i].leaf)->last_place = v;
}

/* Tell of the leaves to which the node at v was the last to add, of each once. */
static void sweep_tell(const sweep *s, int64_t v)
{
    const node *n = s->visit[v].node;
    for (int64_t i = 0; i < n->n; i++) {
        ito_tensor *leaf = n->edge[i].leaf;
        if (!leaf_wanted(s, leaf) || tensor_meta(leaf)->last_place != v)
            continue;
        tensor_meta(leaf)->last_place = -1;
        s->options.leaf_done(leaf, s->options.leaf_context);
    }
}

static bool sweep_run(sweep *s)
{
    bool done = true, tells = s->inputs == NULL && s->options.leaf_done != NULL;
    if (tells)
        sweep_find_last(s);
    for (int64_t v = 0; v < s->count && done; v++) {
        visit *now = &s->visit[v];
        if (now->needed && now->grad != NULL) {
            ito_scope_begin();
            done = sweep_node(s, now);
            ito_scope_end();
        }
        ito_release(now->grad);
        now->grad = NULL;
        node_drop_recomputed(now->node); /* all that need it have had their turn */
        if (tells && done)
            sweep_tell(s, v);
    }
    return done;
}

/* Operations whose slope is 0 everywhere pass nothing on. A leaf that nothing else has reached has
 * the gradient 0, not none. */
static bool zero_unreached_leaves(const sweep *s)
{
    for (int64_t v = 0; v < s->count; v++) {
        const node *n = s->visit[v].node;
        for (int64_t i = 0; i < n->n; i++) {
            ito_tensor *leaf = n->edge[i].leaf;
            if (leaf == NULL || !leaf_wanted(s, leaf) || tensor_meta(leaf)->grad != NULL)
                continue;
            tensor_meta(leaf)->grad = ito_retain(ito_zeros_like(leaf));
            if (tensor_meta(leaf)->grad == NULL)
                return false;
        }
    }
    return true;
}

/* ---- the entrances
 * --------------------------------------------------------------------------------------- */

static ito_tensor *starting_gradient(const ito_tensor *output, const ito_backward_options *options)
{
    ito_tensor *dy = options->cotangent;
    if (dy == NULL && ito_numel(output) != 1)
        return error_null(ITO_ERR_SHAPE,
                          "backward: the output %s is not one number; give a cotangent",
                          tensor_shape_str(output));
    if (dy == NULL)
        return ito_ones_like(output);
    if (!shape_equal(ito_shape_of(dy), ito_shape_of(output)) || dy->dtype != output->dtype)
        return error_null(ITO_ERR_SHAPE,
                          "backward: the cotangent %s %s is not like the output %s %s",
                          ito_dtype_name(dy->dtype), tensor_shape_str(dy),
                          ito_dtype_name(output->dtype), tensor_shape_str(output));
    return dy;
}

/* An output that is a leaf itself: its gradient is the starting one. */
static bool sweep_from(sweep *s, ito_tensor *output, ito_tensor *dy)
{
    node *root = tensor_node(output);
    if (root == NULL) {
        bool done = reach_leaf(s, output, ito_retain(dy));
        ito_release(dy);
        if (done && s->inputs == NULL && s->options.leaf_done != NULL)
            s->options.leaf_done(output, s->options.leaf_context);
        return done;
    }
    if (!sweep_collect(s, root))
        return false;
    sweep_mark_needed(s);
    s->visit[0].grad = ito_retain(dy); /* root's */
    return sweep_run(s) && (s->inputs != NULL || zero_unreached_leaves(s));
}

static _Thread_local const sweep *current_sweep;

bool sweep_accumulates(void)
{
    return current_sweep != NULL && current_sweep->inputs == NULL;
}

bool sweep_deliver(ito_tensor *leaf, ito_tensor *g)
{
    return deliver(current_sweep, leaf, g, false);
}

static ito_status sweep_go(sweep *s, ito_tensor *output)
{
    if (!tensor_needs_grad(output))
        return ito_error_set(
            ITO_ERR_GRAD,
            "backward: the output %s requires no gradient: no leaf is behind it "
            "(see ito_requires_grad), or it was made without history (ITO_NO_GRAD, "
            "ito_detach, a gradient without .create_graph)",
            tensor_shape_str(output));
    static profile_row row = PROFILE_ROW("sweep");
    profile_frame frame;
    profile_begin_backward(&frame);
    const sweep *outer = current_sweep;
    ito_dtype lower = autocast_suspend(); /* gradients have their inputs' dtypes */
    current_sweep = s;
    if (forward_active()) /* tangents follow operations that are recorded, not kernels */
        s->options.create_graph = true;
    s->anomaly = anomaly_mode();
    ito_set_anomaly_mode(false);
    ito_scope_begin();
    ito_tensor *dy = starting_gradient(output, &s->options);
    if (!s->options.create_graph)
        ito_no_grad_begin();
    bool done = dy != NULL && sweep_from(s, output, dy);
    if (!s->options.create_graph)
        ito_no_grad_end();
    for (int64_t v = 0; v < s->count; v++) {
        ito_release(s->visit[v].grad);
        node_drop_recomputed(s->visit[v].node);
    }
    free(s->visit);
    ito_scope_end();
    ito_set_anomaly_mode(s->anomaly);
    current_sweep = outer;
    autocast_resume(lower);
    profile_end(&frame, &row);
    return done ? ITO_OK
           : ito_error_code() != ITO_OK
               ? ito_error_code()
               : ito_error_set(ITO_ERR_GRAD, "backward: a hook gave no gradient");
}

ito_status ito_backward_with(ito_tensor *output, ito_backward_options options)
{
    if (output == NULL)
        return error_missing("backward", "the output");
    sweep s = {.options = options};
    return sweep_go(&s, output);
}

ito_status ito_grads(ito_tensor *output, ito_tensor *const *inputs, int64_t n, ito_tensor **grads,
                     ito_backward_options options)
{
    if (output == NULL || (n > 0 && (inputs == NULL || grads == NULL)))
        return error_missing("grad", output == NULL ? "the output" : "the list of tensors");
    for (int64_t i = 0; i < n; i++) {
        if (inputs[i] == NULL)
            return error_missing("grad", "an input");
        if (!tensor_needs_grad(inputs[i]))
            return ito_error_set(ITO_ERR_GRAD, "grad: input %" PRId64 " %s requires no gradient", i,
                                 tensor_shape_str(inputs[i]));
    }
    if (n == 0)
        return ITO_OK;
    sweep s = {.inputs = inputs, .n = n, .options = options};
    s.result = struct_alloc((size_t)n * sizeof *s.result);
    if (s.result == NULL)
        return ITO_ERR_MEMORY;
    ito_status status = sweep_go(&s, output);
    for (int64_t i = 0; i < n && status == ITO_OK; i++) {
        if (s.result[i] == NULL)
            s.result[i] = ito_retain(ito_zeros_like(inputs[i]));
        status = s.result[i] == NULL ? ITO_ERR_MEMORY : ITO_OK;
    }
    for (int64_t i = 0; i < n && status == ITO_OK; i++) {
        grads[i] = tensor_adopt(s.result[i]);
        s.result[i] = NULL;
        status = grads[i] == NULL ? ITO_ERR_MEMORY : ITO_OK;
    }
    for (int64_t i = 0; i < n; i++)
        ito_release(s.result[i]);
    free(s.result);
    return status;
}

ito_tensor *ito_grad_with(ito_tensor *output, ito_tensor *input, ito_backward_options options)
{
    ito_tensor *grad = NULL;
    return ito_grads(output, &input, 1, &grad, options) == ITO_OK ? grad : NULL;
}
