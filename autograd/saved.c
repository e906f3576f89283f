/* What nodes keep for backward: inputs, results and statistics, or the means to make them again.
 *
 * A result that is cheaper to make again than to keep (its row says CHEAP) is not kept by the nodes
 * that need it: they claim it from the node behind it, which keeps what its forward takes, by the
 * same rule, and makes the result again when backward asks, once for all of them.
 *
 * Invariant: a node with a claim on it holds everything that its forward takes. The handle of a
 * fresh result is a claim, since whoever has it may still need the result; each node that has put
 * its claim where else it would have saved a tensor is another. */
#include "autograd/graph.h"
#include "autograd/profile.h"

#include <stdlib.h>
#include <string.h>

/* Results that are made again from results made again ...: no further, for the recursion's sake. */
enum { DEPTH_LIMIT = 8 };

static bool row_saves(const op_info *info, int64_t i)
{
    return (i < 3 && (info->saves >> i & 1) != 0) || (info->saves & SAVE_ALL_INPUTS) != 0;
}

/* ---- saving ---- */

/* Whether the node behind `in` can make it again: the handle's values are still those. */
static bool claimable(const node *from, const ito_tensor *in)
{
    return from != NULL && from->open && from->depth < DEPTH_LIMIT &&
           in->storage->version == tensor_meta(in)->version;
}

static void save_input(node *n, int64_t i, ito_tensor *in)
{
    node *from = n->edge[i].node;
    if (claimable(from, in)) {
        atomic_fetch_add(&from->claims, 1);
        n->claimed[i] = true;
        n->depth = from->depth >= n->depth ? from->depth + 1 : n->depth;
        return;
    }
    n->in[i] = ito_retain(in);
    n->in_version[i] = in->storage->version;
}

static void drop_input(node *n, int64_t i)
{
    if (n->claimed[i])
        node_unclaim(n->edge[i].node);
    n->claimed[i] = false;
    ito_release(n->in[i]);
    n->in[i] = NULL;
}

/* A view keeps all of the memory that it is a part of. */
static int64_t bytes_behind(const ito_tensor *t)
{
    return (int64_t)t->storage->bytes;
}

/* What is kept for claims on n alone: by itself, and by the nodes that it claims. What its own
 * backward needs and leaves are there anyway. */
static int64_t bytes_for_claims(const node *n)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n->n; i++)
        if (row_saves(n->info, i))
            continue;
        else if (n->claimed[i])
            kept += n->edge[i].node->bytes_for_claims;
        else if (n->in[i] != NULL && n->edge[i].leaf == NULL)
            kept += bytes_behind(n->in[i]);
    return kept;
}

/* Whether to make out again rather than keep it. A view of memory that is kept is no gain. */
static bool worth_making_again(const node *n, const ito_tensor *out)
{
    for (int64_t i = 0; i < n->n; i++)
        if (n->in[i] != NULL && n->in[i]->storage == out->storage)
            return false;
    return n->bytes_for_claims <= bytes_behind(out);
}

bool node_save(node *n, const op_call *c, const ito_tensor *out)
{
    bool cheap = (c->info->saves & CHEAP) != 0;
    for (int64_t i = 0; i < c->n; i++)
        if (c->in[i] != NULL && (cheap || row_saves(c->info, i)))
            save_input(n, i, c->in[i]);
    n->bytes_for_claims = cheap ? bytes_for_claims(n) : 0;
    if (cheap && worth_making_again(n, out)) {
        n->open = true;
        n->claims = 1;
    } else if (cheap) {
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

/* ---- letting go ---- */

void node_trim(node *n)
{
    if (n->claims > 0)
        return;
    ito_release(n->remade);
    n->remade = NULL;
    for (int64_t i = 0; i < n->n; i++)
        if (n->freed || !row_saves(n->info, i))
            drop_input(n, i);
    for (int i = 0; i < OP_MAX_EXTRAS && n->freed; i++) {
        ito_release(n->extra[i]);
        n->extra[i] = NULL;
    }
}

void node_close(node *n)
{
    if (atomic_exchange(&n->open, false))
        node_unclaim(n);
}

void node_free_saved(node *n)
{
    n->freed = true;
    ito_release(n->out);
    n->out = NULL;
    node_close(n);
    node_trim(n);
}

void node_drop_remade(node *n)
{
    ito_release(n->remade);
    n->remade = NULL;
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

static ito_tensor *make_again(node *n);

/* Input i of n as it was when n ran; of the node or of the current scope. NULL with an error. */
static ito_tensor *input_again(const node *n, int64_t i)
{
    return n->claimed[i] ? make_again(n->edge[i].node) : n->in[i];
}

static ito_tensor *forward_again(node *n, ito_tensor **in)
{
    op_call c = {.info = n->info,
                 .n = n->n,
                 .in = in,
                 .shape = n->shape,
                 .dtype = n->dtype,
                 .params = n->params};
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
static ito_tensor *make_again(node *n)
{
    if (n->remade != NULL)
        return n->remade;
    if (!node_check_versions(n))
        return NULL;
    ito_tensor **in = struct_alloc((size_t)n->n * sizeof *in);
    bool good = in != NULL;
    for (int64_t i = 0; i < n->n && good; i++) {
        in[i] = input_again(n, i);
        good = in[i] != NULL || !n->claimed[i];
    }
    if (good)
        n->remade = forward_again(n, in);
    free(in);
    return n->remade;
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
    return view;
}

bool node_saved_inputs(node *n, ito_tensor **in, bool history)
{
    for (int64_t i = 0; i < n->n; i++) {
        in[i] = NULL;
        if (!row_saves(n->info, i))
            continue;
        in[i] = input_again(n, i);
        if (!n->claimed[i])
            continue;
        in[i] = history ? node_with_history(in[i], n->edge[i].node) : ito_detach(in[i]);
        if (in[i] == NULL)
            return false;
    }
    return true;
}
