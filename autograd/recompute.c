/* Recomputation: a function keeps its inputs alone, and runs again in backward.
 *
 * Like a custom operation, each call carries an op_info of its own at the head of its parameters.
 * Invariant: f sees the same inputs and the same states of the generators both times, and leaves
 * the generators as if it had run once.
 */
#include "autograd/graph.h"

#include <stdlib.h>
#include <string.h>

/* A generator that f draws from, and its state before f ran. */
typedef struct generator_state {
    ito_generator *generator;
    ito_generator state;
} generator_state;

/* The node's inputs are those of f and, behind them, the leaves that f used besides: so sweeps see
 * that the result depends on them, also where no input of f wants a gradient. */
typedef struct recompute_params {
    op_info info;
    ito_function *f;
    void *context;
    int64_t given;      /* how many inputs f has */
    ito_tensor *result; /* of f, for recompute_forward alone */
    int64_t n_generators;
    generator_state generators[];
} recompute_params;

static ito_tensor *recompute_forward(op_call *c)
{
    return ((const recompute_params *)c->params)->result;
}

/* f of inputs cut off from their history, unrecorded. What wants a gradient and still gets into an
 * operation has come from elsewhere and is seen by w, as is a result that f did not make. */
static ito_tensor *run_unrecorded(const recompute_params *p, ito_tensor *const *inputs,
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
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

/* f again, recorded this time, and a sweep through it: from stand-ins for its inputs, cut off from
 * their history unless the sweep around this one is itself recorded. room: 3 c->n tensors. Where
 * gradients gather in the leaves, that sweep brings them there itself. */
static bool recompute_sweep(const op_call *c, ito_tensor *dy, ito_tensor **dx, bool recorded,
                            ito_tensor **room)
{
    const recompute_params *p = c->params;
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

/* Exchange the state in the list with that of the generator. Exchanging all of a list again, from
 * its end, undoes it. */
static void swap_state(generator_state *g)
{
    ito_generator now = *g->generator;
    *g->generator = g->state;
    g->state = now;
}

static bool recompute_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const recompute_params *p = c->params;
    int64_t n = p->n_generators;
    bool recorded = ito_grad_enabled();
    int saved = grad_mode_enable();
    ito_tensor **room = struct_alloc((size_t)c->n * 3 * sizeof *room);
    generator_state *generators = struct_alloc((size_t)(n + 1) * sizeof *generators);
    bool done = room != NULL && generators != NULL;
    if (done) {
        memcpy(generators, p->generators, (size_t)n * sizeof *generators);
        for (int64_t i = 0; i < n; i++)
            swap_state(&generators[i]);
        done = recompute_sweep(c, dy, dx, recorded, room);
        for (int64_t i = n - 1; i >= 0; i--)
            swap_state(&generators[i]);
    }
    free(generators);
    free(room);
    grad_mode_restore(saved);
    return done;
}

/* The node behind p->result: of f's inputs and the leaves that w has seen. */
static ito_tensor *record(const recompute_params *p, ito_tensor *const *inputs, const grad_watch *w)
{
    if (w->result != NULL)
        return error_null(ITO_ERR_GRAD,
                          "recompute: its function uses %s, a result from outside that requires a "
                          "gradient: make it an input",
                          tensor_shape_str(w->result));
    int64_t n = p->given + w->n;
    ito_tensor **all = w->failed ? NULL : struct_alloc((size_t)n * sizeof *all);
    if (all == NULL)
        return NULL;
    memcpy(all, inputs, (size_t)p->given * sizeof *all);
    if (w->n > 0)
        memcpy(all + p->given, w->leaf, (size_t)w->n * sizeof *all);
    size_t size = sizeof *p + (size_t)p->n_generators * sizeof *p->generators;
    ito_tensor *y = op_apply_info(&p->info, all, n, 0, p, size);
    free(all);
    return y;
}

/* false with an error. */
static bool check_call(ito_function *f, ito_tensor *const *inputs, int64_t n,
                       ito_recompute_options options)
{
    if (f == NULL)
        return error_false(ITO_ERR_ARGUMENT, "recompute: no function");
    if (n < 1 || n > 32)
        return error_false(ITO_ERR_ARGUMENT, "recompute: takes 1 to 32 inputs, not %" PRId64, n);
    for (int64_t i = 0; i < n; i++)
        if (inputs[i] == NULL)
            return error_false(ITO_ERR_ARGUMENT, "recompute: input %" PRId64 " is NULL", i);
    if (options.n_generators < 0 || (options.n_generators > 0 && options.generators == NULL))
        return error_false(ITO_ERR_ARGUMENT, "recompute: a list of %" PRId64 " generators%s",
                           options.n_generators, options.n_generators < 0 ? "" : " is NULL");
    for (int64_t i = 0; i < options.n_generators; i++)
        if (options.generators[i] == NULL)
            return error_false(ITO_ERR_ARGUMENT, "recompute: generator %" PRId64 " is NULL", i);
    return true;
}

static recompute_params *params_create(ito_function *f, void *context, int64_t n,
                                       ito_recompute_options options)
{
    recompute_params *p =
        struct_alloc(sizeof *p + (size_t)options.n_generators * sizeof *p->generators);
    if (p == NULL)
        return NULL;
    p->info = (op_info){.name = "recompute",
                        .arity = -1,
                        .kind = KIND_PRIMITIVE,
                        .dtypes = ANY,
                        .saves = SAVE_INPUTS,
                        .forward = recompute_forward,
                        .backward = recompute_backward};
    p->f = f;
    p->context = context;
    p->given = n;
    p->n_generators = options.n_generators;
    for (int64_t i = 0; i < options.n_generators; i++)
        p->generators[i] = (generator_state){options.generators[i], *options.generators[i]};
    return p;
}

ito_tensor *ito_recompute_with(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                               ito_recompute_options options)
{
    if (!check_call(f, inputs, n, options))
        return NULL;
    if (!ito_grad_enabled() || forward_active()) {
        ito_scope_begin();
        ito_tensor *y = ito_keep(f(inputs, n, context));
        ito_scope_end();
        return y;
    }
    recompute_params *p = params_create(f, context, n, options);
    if (p == NULL)
        return NULL;
    grad_watch w = {0};
    p->result = run_unrecorded(p, inputs, &w);
    ito_tensor *y = p->result == NULL ? NULL : record(p, inputs, &w);
    free(w.leaf);
    free(p);
    return y;
}
