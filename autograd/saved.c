/* What nodes keep for backward: inputs, results and statistics, or the means to compute them again.
 *
 * Rematerialisation. A result whose row says REMATERIALISE is cheaper to compute again than to
 * keep. Nodes that need it in backward do not save it: they become users of the node behind it,
 * which saves the inputs of its own forward, by the same rule, and runs it again when backward
 * asks, once for all users.
 *
 * Invariant: a node that has users holds everything that its forward takes. The handle of a fresh
 * result counts as a user, since whoever has it may still need the result; each node that would
 * otherwise have saved the result is another. */
#include "autograd/graph.h"
#include "autograd/profile.h"

#include <stdlib.h>
#include <string.h>

/* The longest chain of results that are computed again from one another: it bounds recursion. */
enum { REMAT_DEPTH_LIMIT = 8 };

static bool row_saves(const op_info *info, int64_t i)
{
    return (i < 3 && (info->saves >> i & 1) != 0) || (info->saves & SAVE_INPUTS) != 0;
}

/* ---- saving ---- */

/* Whether the node behind `in` can compute it again: the handle's values are still those. */
static bool rematerialisable(const node *from, const ito_tensor *in)
{
    return from != NULL && from->handle_uses && from->remat_depth < REMAT_DEPTH_LIMIT &&
           in->storage->version == tensor_meta(in)->version;
}

static void save_input(node *n, int64_t i, ito_tensor *in)
{
    node *from = n->edge[i].node;
    if (rematerialisable(from, in)) {
        atomic_fetch_add(&from->remat_users, 1);
        n->rematerialise[i] = true;
        n->remat_depth =
            from->remat_depth >= n->remat_depth ? from->remat_depth + 1 : n->remat_depth;
        return;
    }
    n->in[i] = ito_retain(in);
    n->in_version[i] = in->storage->version;
}

static void drop_input(node *n, int64_t i)
{
    if (n->rematerialise[i])
        node_remat_release(n->edge[i].node);
    n->rematerialise[i] = false;
    ito_release(n->in[i]);
    n->in[i] = NULL;
}

/* A view keeps all of the memory that it is a part of. */
static int64_t bytes_behind(const ito_tensor *t)
{
    return (int64_t)t->storage->bytes;
}

/* What is kept for users of n's result alone: by n, and by the nodes that n uses. What its own
 * backward needs and leaves are there anyway. */
static int64_t remat_bytes(const node *n)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n->n; i++)
        if (row_saves(n->info, i))
            continue;
        else if (n->rematerialise[i])
            kept += n->edge[i].node->remat_bytes;
        else if (n->in[i] != NULL && n->edge[i].leaf == NULL)
            kept += bytes_behind(n->in[i]);
    return kept;
}

/* Whether to compute out again rather than keep it. A view of memory that is kept is no gain. */
static bool worth_rematerialising(const node *n, const ito_tensor *out)
{
    for (int64_t i = 0; i < n->n; i++)
        if (n->in[i] != NULL && n->in[i]->storage == out->storage)
            return false;
    return n->remat_bytes <= bytes_behind(out);
}

bool node_save(node *n, const op_call *c, const ito_tensor *out)
{
    /* What is computed again has no tangents. */
    bool remat = (c->info->saves & REMATERIALISE) != 0 && !forward_active();
    for (int64_t i = 0; i < c->n; i++)
        if (c->in[i] != NULL && (remat || row_saves(c->info, i)))
            save_input(n, i, c->in[i]);
    n->remat_bytes = remat ? remat_bytes(n) : 0;
    if (remat && worth_rematerialising(n, out)) {
        atomic_init(&n->handle_uses, true);
        atomic_init(&n->remat_users, 1);
    } else if (remat) {
        node_trim(n);
    }
    for (int i = 0; i < OP_MAX_EXTRAS; i++)
        n->extra[i] = ito_retain(c->extra[i]);
    if ((c->info->saves & SAVE_OUTPUT) == 0)
        return true;
    n->out = tensor_disown(tensor_view(out, n->out_shape, out->stride, out->offset));
    n->out_version = out->storage->version;
    return n->out != NULL;
}

bool node_follow(const ito_tensor *t)
{
    const node *n = tensor_node(t);
    return n == NULL || n->out == NULL || forward_share_for_now(n->out, t);
}

/* ---- letting go ---- */

void node_trim(node *n)
{
    if (n->remat_users > 0)
        return;
    ito_release(n->recomputed);
    n->recomputed = NULL;
    for (int64_t i = 0; i < n->n; i++)
        if (n->freed || !row_saves(n->info, i))
            drop_input(n, i);
    for (int i = 0; i < OP_MAX_EXTRAS && n->freed; i++) {
        ito_release(n->extra[i]);
        n->extra[i] = NULL;
    }
}

void node_handle_gone(node *n)
{
    if (n->handle_uses && atomic_exchange(&n->handle_uses, false))
        node_remat_release(n);
}

void node_free_saved(node *n)
{
    n->freed = true;
    ito_release(n->out);
    n->out = NULL;
    node_handle_gone(n);
    node_trim(n);
}

void node_drop_recomputed(node *n)
{
    ito_release(n->recomputed);
    n->recomputed = NULL;
}

/* ---- getting it back ---- */

bool node_check_versions(const node *n)
{
    for (int64_t i = 0; i < n->n; i++)
        if (n->in[i] != NULL && n->in[i]->storage->version != n->in_version[i])
            return error_false(ITO_ERR_GRAD,
                               "backward: input %" PRId64
                               " of %s, %s, was changed in place after it ran",
                               i, n->info->name, shape_str(n->shape[i]));
    if (n->out != NULL && n->out->storage->version != n->out_version)
        return error_false(ITO_ERR_GRAD, "backward: the result of %s, %s, was changed in place",
                           n->info->name, shape_str(n->out_shape));
    return true;
}

static ito_tensor *recompute_result(node *n);

/* Input i of n as it was when n ran; of the node or of the current scope. NULL with an error. */
static ito_tensor *input_value(const node *n, int64_t i)
{
    return n->rematerialise[i] ? recompute_result(n->edge[i].node) : n->in[i];
}

static ito_tensor *run_forward(node *n, ito_tensor **in)
{
    op_call c = {.info = n->info,
                 .n = n->n,
                 .in = in,
                 .shape = n->shape,
                 .dtype = n->dtype,
                 .params = n->params,
                 .params_size = n->params_size};
    memcpy(c.extra, n->extra, sizeof c.extra);
    profile_frame frame;
    profile_begin(&frame);
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *out = tensor_disown(n->info->forward(&c));
    ito_no_grad_end();
    ito_scope_end();
    profile_end_forward(&frame, &c, out);
    return out;
}

/* n's result, the same to the bit, kept until nobody needs it any more or the sweep has passed n.
 * Forward finds the statistics that it computed the first time. */
static ito_tensor *recompute_result(node *n)
{
    if (n->recomputed != NULL)
        return n->recomputed;
    if (!node_check_versions(n))
        return NULL;
    ito_tensor **in = struct_alloc((size_t)n->n * sizeof *in);
    bool good = in != NULL;
    for (int64_t i = 0; i < n->n && good; i++) {
        in[i] = input_value(n, i);
        good = in[i] != NULL || !n->rematerialise[i];
    }
    if (good)
        n->recomputed = run_forward(n, in);
    free(in);
    return n->recomputed;
}

ito_tensor *node_with_history(ito_tensor *t, node *n)
{
    ito_tensor *view = ito_detach(t);
    autograd_meta *m = view == NULL ? NULL : tensor_meta_make(view);
    if (m == NULL)
        return NULL;
    atomic_fetch_add(&n->refs, 1);
    m->node = n;
    m->version = view->storage->version;
    return forward_share(view, t) ? view : NULL;
}

bool node_saved_inputs(node *n, ito_tensor **in, bool history)
{
    for (int64_t i = 0; i < n->n; i++) {
        in[i] = NULL;
        if (!row_saves(n->info, i))
            continue;
        in[i] = input_value(n, i);
        if (!n->rematerialise[i])
            continue;
        in[i] = history ? node_with_history(in[i], n->edge[i].node) : ito_detach(in[i]);
        if (in[i] == NULL)
            return false;
    }
    return true;
}
