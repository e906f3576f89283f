/* Operations defined outside the library, and functions whose middle is computed again in backward.
 *
 * Neither is in the table: each call carries an op_info of its own at the head of its parameters.
 */
#include "autograd/graph.h"

#include <stdlib.h>
#include <string.h>

/* ---- a user's operation
 * ---------------------------------------------------------------------------- */

typedef struct custom_params {
    op_info info;
    const ito_custom_op *op;
    _Alignas(16) char user[]; /* op->params_size bytes */
} custom_params;

static ito_tensor *custom_forward(op_call *c)
{
    const custom_params *p = c->params;
    ito_no_grad_begin();
    ito_tensor *y = p->op->forward(c->in, c->n, p->user);
    ito_no_grad_end();
    for (int64_t i = 0; i < c->n && y != NULL; i++)
        if (y == c->in[i])
            y = tensor_view(y, ito_shape_of(y), y->stride, y->offset);
    if (y == NULL && ito_error_code() == ITO_OK)
        ito_error_set(ITO_ERR_ARGUMENT, "%s: its forward gave no result", p->op->name);
    return y;
}

static bool custom_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const custom_params *p = c->params;
    for (int64_t i = 0; i < c->n; i++)
        if (c->needs[i]) {
            dx[i] = p->op->backward(i, c->in, c->n, c->out, dy, p->user);
            if (dx[i] == NULL) {
                ito_error_set(ITO_ERR_GRAD, "%s: its backward gave no gradient for input %" PRId64,
                              p->op->name, i);
                return false;
            }
        }
    return true;
}

ito_tensor *ito_custom(const ito_custom_op *op, ito_tensor *const *inputs, int64_t n,
                       const void *params)
{
    if (op == NULL || op->name == NULL || op->forward == NULL || n < 1 ||
        (op->params_size > 0 && params == NULL))
        return error_null(ITO_ERR_ARGUMENT,
                          "custom: an operation needs a name, a forward, an input and its params");
    size_t size = sizeof(custom_params) + op->params_size;
    custom_params *p = struct_alloc(size);
    if (p == NULL)
        return NULL;
    p->info = (op_info){.name = op->name,
                        .arity = -1,
                        .kind = KIND_PRIMITIVE,
                        .dtypes = ANY,
                        .saves = SAVE_ALL_INPUTS | SAVE_OUTPUT,
                        .forward = custom_forward,
                        .backward = op->backward != NULL ? custom_backward : NULL};
    p->op = op;
    if (op->params_size > 0)
        memcpy(p->user, params, op->params_size);
    ito_tensor *y = op_apply_info(&p->info, inputs, n, 0, p, size);
    free(p);
    return y;
}

/* ---- checkpointing
 * ------------------------------------------------------------------------------------ */

/* The node's inputs are those of f and, behind them, the leaves that f used besides: so sweeps see
 * that the result depends on them, also where no input of f wants a gradient. */
typedef struct checkpoint_params {
    op_info info;
    ito_function *f;
    void *context;
    int64_t given;      /* how many inputs f has */
    ito_tensor *result; /* of f, for checkpoint_forward alone */
} checkpoint_params;

static ito_tensor *checkpoint_forward(op_call *c)
{
    return ((const checkpoint_params *)c->params)->result;
}

/* f of inputs cut off from their history, unrecorded. What wants a gradient and still gets into an
 * operation has come from elsewhere and is seen by w, as is a result that f did not make. */
static ito_tensor *run_unrecorded(const checkpoint_params *p, ito_tensor *const *inputs,
                                  grad_watch *w)
{
    enum { MOST = 32 };
    ito_tensor *plain[MOST];
    ito_scope_begin();
    ito_no_grad_begin();
    bool fine = true;
    for (int64_t i = 0; i < p->given && fine; i++)
        fine = (plain[i] = ito_detach(inputs[i])) != NULL;
    grad_watch *outer = grad_watch_begin(w);
    ito_tensor *y = fine ? p->f(plain, p->given, p->context) : NULL;
    if (tensor_needs_grad(y)) {
        grad_watch_see(&y, 1);
        y = ito_detach(y);
    }
    grad_watch_end(outer);
    ito_no_grad_end();
    ito_keep(y);
    ito_scope_end();
    return y;
}

/* f again, recorded this time, and a sweep through it: from stand-ins for its inputs, cut off from
 * their history unless the sweep around this one is itself recorded. room: 3 c->n tensors. Where
 * gradients gather in the leaves, that sweep brings them there itself. */
static bool checkpoint_sweep(const op_call *c, ito_tensor *dy, ito_tensor **dx, bool recorded,
                             ito_tensor **room)
{
    const checkpoint_params *p = c->params;
    ito_tensor **stand_in = room, **wanted = room + c->n, **result = room + 2 * c->n;
    int64_t n_wanted = 0;
    for (int64_t i = 0; i < c->n; i++) {
        stand_in[i] = c->in[i];
        if (i < p->given) {
            stand_in[i] = recorded ? ito_view_to(c->in[i], c->shape[i]) : ito_detach(c->in[i]);
            if (c->needs[i] && !recorded)
                stand_in[i] = ito_requires_grad(stand_in[i], true);
        }
        if (stand_in[i] == NULL)
            return false;
        if (c->needs[i])
            wanted[n_wanted++] = stand_in[i];
    }
    ito_tensor *y = p->f(stand_in, p->given, p->context);
    ito_backward_options options =
        ITO_OPTIONS(ito_backward_options, .cotangent = dy, .create_graph = recorded);
    if (y == NULL || !tensor_needs_grad(y))
        return y != NULL;
    bool to_leaves = sweep_accumulates() && !recorded;
    if ((to_leaves ? ito_backward_with(y, options)
                   : ito_grads(y, wanted, n_wanted, result, options)) != ITO_OK)
        return false;
    for (int64_t i = 0, k = 0; i < c->n; i++) {
        if (!c->needs[i])
            continue;
        if (i < p->given)
            dx[i] = to_leaves ? ito_grad_of(wanted[k]) : result[k];
        else if (!to_leaves && !sweep_deliver(wanted[k], result[k]))
            return false;
        k++;
    }
    return true;
}

static bool checkpoint_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    bool recorded = ito_grad_enabled();
    int saved = grad_mode_enable();
    ito_tensor **room = struct_alloc((size_t)c->n * 3 * sizeof *room);
    bool done = room != NULL && checkpoint_sweep(c, dy, dx, recorded, room);
    free(room);
    grad_mode_restore(saved);
    return done;
}

/* The node behind p->result: of f's inputs and the leaves that w has seen. */
static ito_tensor *record(const checkpoint_params *p, ito_tensor *const *inputs,
                          const grad_watch *w)
{
    if (w->result != NULL)
        return error_null(ITO_ERR_GRAD,
                          "checkpoint: its function uses %s, a result from outside that requires a "
                          "gradient: make it an input",
                          tensor_shape_str(w->result));
    int64_t n = p->given + w->n;
    ito_tensor **all = w->failed ? NULL : struct_alloc((size_t)n * sizeof *all);
    if (all == NULL)
        return NULL;
    memcpy(all, inputs, (size_t)p->given * sizeof *all);
    if (w->n > 0)
        memcpy(all + p->given, w->leaf, (size_t)w->n * sizeof *all);
    ito_tensor *y = op_apply_info(&p->info, all, n, 0, p, sizeof *p);
    free(all);
    return y;
}

ito_tensor *ito_checkpoint(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n)
{
    if (f == NULL)
        return error_null(ITO_ERR_ARGUMENT, "checkpoint: no function");
    if (n < 1 || n > 32)
        return error_null(ITO_ERR_ARGUMENT, "checkpoint: takes 1 to 32 inputs, not %" PRId64, n);
    for (int64_t i = 0; i < n; i++)
        if (inputs[i] == NULL)
            return error_null(ITO_ERR_ARGUMENT, "checkpoint: input %" PRId64 " is NULL", i);
    checkpoint_params p = {.info = {.name = "checkpoint",
                                    .arity = -1,
                                    .kind = KIND_PRIMITIVE,
                                    .dtypes = ANY,
                                    .saves = SAVE_ALL_INPUTS,
                                    .forward = checkpoint_forward,
                                    .backward = checkpoint_backward},
                           .f = f,
                           .context = context,
                           .given = n};
    if (!ito_grad_enabled()) {
        ito_scope_begin();
        ito_tensor *y = ito_keep(f(inputs, n, context));
        ito_scope_end();
        return y;
    }
    grad_watch w = {0};
    p.result = run_unrecorded(&p, inputs, &w);
    ito_tensor *y = p.result == NULL ? NULL : record(&p, inputs, &w);
    free(w.leaf);
    return y;
}
