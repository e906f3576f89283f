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

typedef struct checkpoint_params {
    op_info info;
    ito_function *f;
    void *context;
} checkpoint_params;

static ito_tensor *checkpoint_forward(op_call *c)
{
    const checkpoint_params *p = c->params;
    ito_no_grad_begin();
    ito_tensor *y = p->f(c->in, c->n, p->context);
    ito_no_grad_end();
    for (int64_t i = 0; i < c->n && y != NULL; i++)
        if (y == c->in[i])
            y = tensor_view(y, ito_shape_of(y), y->stride, y->offset);
    return y;
}

/* f again, recorded this time, and a sweep through it: from stand-ins for its inputs, cut off from
 * their history unless the sweep around this one is itself recorded. */
static bool checkpoint_sweep(const op_call *c, ito_tensor *dy, ito_tensor **dx, bool recorded)
{
    const checkpoint_params *p = c->params;
    enum { MOST = 32 };
    ito_tensor *stand_in[MOST], *wanted[MOST], *result[MOST];
    int64_t n_wanted = 0;
    for (int64_t i = 0; i < c->n; i++) {
        stand_in[i] = recorded ? ito_view_to(c->in[i], c->shape[i]) : ito_detach(c->in[i]);
        if (c->needs[i] && !recorded)
            stand_in[i] = ito_requires_grad(stand_in[i], true);
        if (stand_in[i] == NULL)
            return false;
        if (c->needs[i])
            wanted[n_wanted++] = stand_in[i];
    }
    ito_tensor *y = p->f(stand_in, c->n, p->context);
    ito_backward_options options = {.cotangent = dy, .create_graph = recorded};
    if (y == NULL)
        return false;
    if (sweep_accumulates() && !recorded) {
        if (ito_backward_with(y, options) != ITO_OK)
            return false;
        for (int64_t w = 0; w < n_wanted; w++)
            result[w] = ito_grad_of(wanted[w]);
    } else if (ito_grads(y, wanted, n_wanted, result, options) != ITO_OK) {
        return false;
    }
    for (int64_t i = 0, w = 0; i < c->n; i++)
        if (c->needs[i])
            dx[i] = result[w++];
    return true;
}

static bool checkpoint_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    bool recorded = ito_grad_enabled();
    int saved = grad_mode_enable();
    bool done = checkpoint_sweep(c, dy, dx, recorded);
    grad_mode_restore(saved);
    return done;
}

ito_tensor *ito_checkpoint(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n)
{
    if (f == NULL)
        return error_null(ITO_ERR_ARGUMENT, "checkpoint: no function");
    if (n < 1 || n > 32)
        return error_null(ITO_ERR_ARGUMENT, "checkpoint: takes 1 to 32 inputs, not %" PRId64, n);
    checkpoint_params p = {.info = {.name = "checkpoint",
                                    .arity = -1,
                                    .kind = KIND_PRIMITIVE,
                                    .dtypes = ANY,
                                    .saves = SAVE_ALL_INPUTS,
                                    .forward = checkpoint_forward,
                                    .backward = checkpoint_backward},
                           .f = f,
                           .context = context};
    return op_apply_info(&p.info, inputs, n, 0, &p, sizeof p);
}
