/* The graph: nodes behind results, and what autograd hangs on a tensor. Internal.
 *
 * Invariant: a node refers to the nodes behind its inputs and never to its own result's handle, so
 * reference counts have no cycles; nodes are released with an explicit stack, so depth is no
 * matter.
 */
#ifndef ITO_GRAPH_H
#define ITO_GRAPH_H

#include "autograd/forward.h"

typedef struct grad_hooks {
    int64_t count;
    struct {
        ito_grad_hook *fn;
        void *context;
    } * item;
} grad_hooks;

/* Where an input came from: a node, a leaf that wants a gradient, or neither. Both are references.
 */
typedef struct edge {
    struct node *node;
    ito_tensor *leaf;
} edge;

typedef struct node {
    _Atomic int64_t refs;
    const op_info *info;
    uint64_t sequence; /* rises along the graph: inputs' nodes have lower ones */
    uint64_t mark;     /* of the sweep that saw it last */
    int64_t place;     /* in the list of that sweep */
    size_t bytes;      /* of its record, with params and the arrays of inputs behind it */
    int64_t n;
    edge *edge;
    ito_shape *shape;
    ito_dtype *dtype;
    ito_tensor **in; /* saved inputs, or NULL */
    uint64_t *in_version;
    bool *rematerialise;         /* input i is not saved: edge[i].node computes it again */
    _Atomic int64_t remat_users; /* of this node's result computed again: see saved.c */
    _Atomic bool handle_uses;    /* the result's handle is one of them */
    int64_t remat_bytes;         /* kept so that the result can be computed again */
    int remat_depth;             /* of rematerialised results behind this one */
    ito_tensor *recomputed;      /* the result computed again, or NULL */
    ito_tensor *out;             /* a view of the result without history, or NULL */
    uint64_t out_version;
    ito_shape out_shape;
    ito_dtype out_dtype;
    ito_tensor *extra[OP_MAX_EXTRAS];
    void *params;
    size_t params_size;
    bool freed; /* a sweep has used up what was saved: only users of the result keep the rest */
    grad_hooks hooks;
    const char *file; /* where the operation was called */
    int line;
    struct node *next_pending;
} node;

typedef struct autograd_meta {
    tensor_hook base;
    bool requires_grad; /* a leaf */
    bool grad_stale;    /* the gradient counts as zero until written */
    ito_tensor *grad;   /* of a leaf */
    node *node;         /* of a result */
    bool fresh; /* the handle that the operation returned, which counts as a user of the node */
    uint64_t version;                    /* of the result's storage when the node was attached */
    grad_hooks hooks;                    /* of a leaf */
    int64_t last_place;                  /* in a sweep's list, of the last node that adds to it */
    ito_tensor *tangent[FORWARD_LEVELS]; /* see forward.h; references */
    uint64_t tangent_level[FORWARD_LEVELS]; /* the numbers of the levels that they belong to */
    struct {
        uint64_t by; /* the number of the observation */
        int64_t value;
        uint64_t fingerprint; /* of the elements then */
    } traced;                 /* what onnx/trace.c notes of a tensor */
} autograd_meta;

static inline autograd_meta *tensor_meta(const ito_tensor *t)
{
    return (autograd_meta *)t->autograd;
}

/* The node behind t, or NULL. */
static inline node *tensor_node(const ito_tensor *t)
{
    return t->autograd == NULL ? NULL : tensor_meta(t)->node;
}

/* Whether a gradient with respect to t can be wanted. */
static inline bool tensor_needs_grad(const ito_tensor *t)
{
    return t != NULL && t->autograd != NULL &&
           (tensor_meta(t)->requires_grad || tensor_meta(t)->node);
}

/* t's meta record, made if it has none; NULL with an error. */
autograd_meta *tensor_meta_make(ito_tensor *t);
/* A node for this call behind out; false with an error. */
bool node_attach(const op_call *c, ito_tensor *out);
void node_release(node *n);
/* One user of the result less, of those that have it computed again. */
void node_remat_release(node *n);

/* Save what backward needs of this call, or note what is to be rematerialised; false with an error.
 */
bool node_save(node *n, const op_call *c, const ito_tensor *out);
/* What t's node keeps of it has t's tangents; false with an error. */
bool node_follow(const ito_tensor *t);
/* Fail if a saved tensor has been changed since. */
bool node_check_versions(const node *n);
/* The saved inputs as backward takes them, of the node or of the current scope; with_history: those
 * that were computed again have their history, as the saved ones have. */
bool node_saved_inputs(node *n, ito_tensor **in, bool with_history);
/* A view of n's result with its history again. */
ito_tensor *node_with_history(ito_tensor *t, node *n);
/* The node has done its backward: let go of what it saved, except for what users of
 * its result need. */
void node_free_saved(node *n);
/* Let go of the result that was computed again; it can be computed once more. */
void node_drop_recomputed(node *n);
/* The result's handle is gone: there will be no new users. */
void node_handle_gone(node *n);
/* Without users: let go of what only they needed, or of everything if the node is freed. */
void node_trim(node *n);
/* A number that no earlier search used, for node.mark. */
uint64_t graph_new_mark(void);
/* Record history from here on, whatever no-grad blocks are open; the value undoes it. */
#define grad_mode_enable ito_enable_grad_begin
#define grad_mode_restore ito_enable_grad_end
/* Whether the sweep under way in this thread adds to leaves (ito_backward) or not (ito_grad). */
bool sweep_accumulates(void);
/* A gradient that a sweep within it has found for a leaf, past the leaf's hooks. */
bool sweep_deliver(ito_tensor *leaf, ito_tensor *g);

/* What requires a gradient and goes into operations that are not recorded: at the depth of no-grad
 * blocks at which the watch begins, not within further ones. */
typedef struct grad_watch {
    ito_tensor **leaf; /* [n] each once, borrowed; freed by whoever began the watch */
    int64_t n, capacity;
    ito_tensor *result; /* the first that is no leaf, borrowed; or NULL */
    int depth;
    bool failed; /* no memory for leaf, and an error */
} grad_watch;
/* The watch in this thread from now on. The value, which may be NULL, is that before, for end. */
grad_watch *grad_watch_begin(grad_watch *w);
void grad_watch_end(grad_watch *before);
/* Called with the inputs of each operation that is not recorded. */
void grad_watch_see(ito_tensor *const *in, int64_t n);
/* Whether operations of this thread look for NaN. */
bool anomaly_mode(void);
/* Fail if an element of t is NaN. `what` and the place go into the message. */
bool anomaly_check(const ito_tensor *t, const char *op, const char *what, const char *file,
                   int line);

/* Make grad (of the leaf's shape and strides) the place where the leaf's gradients accumulate; the
 * leaf takes a reference. It counts as zero until written. */
bool tensor_set_grad_buffer(ito_tensor *leaf, ito_tensor *grad);

#endif
