/* Operations defined outside the library. They are in no table: each call carries an op_info of its
 * own at the head of its parameters.
 */
#include "autograd/graph.h"
#include "autograd/observe.h"

#include <stdlib.h>
#include <string.h>

typedef struct custom_params {
    op_info info;
    const ito_custom_op *op;
    _Alignas(16) char user[]; /* op->params_size bytes */
} custom_params;

static ito_tensor *custom_forward(op_call *c)
{
    const custom_params *p = c->params;
    bool composed = op_traced() && p->op->composed != NULL;
    const char *file;
    int line;
    error_place(&file, &line);
    ito_no_grad_begin();
    ito_tensor *y = (composed ? p->op->composed : p->op->forward)(c->in, c->n, p->user);
    ito_no_grad_end();
    ito_at(file, line); /* of the call again, not of one within */
    for (int64_t i = 0; i < c->n && y != NULL; i++)
        if (y == c->in[i])
            y = ito_detach(y);
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
            if (dx[i] == NULL)
                return error_false(ITO_ERR_GRAD,
                                   "%s: its backward gave no gradient for input %" PRId64,
                                   p->op->name, i);
        }
    return true;
}

static bool custom_tangent(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    const custom_params *p = c->params;
    if (p->op->jvp == NULL)
        return tangent_transpose(c, t, dt);
    *dt = p->op->jvp(t, c->in, c->n, c->out, p->user);
    return *dt != NULL || error_false(ITO_ERR_GRAD, "%s: its jvp gave no tangent", p->op->name);
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
                        .saves = SAVE_INPUTS | SAVE_OUTPUT,
                        .forward = custom_forward,
                        .backward = op->backward != NULL ? custom_backward : NULL,
                        .tangent = custom_tangent};
    p->op = op;
    if (op->params_size > 0)
        memcpy(p->user, params, op->params_size);
    ito_tensor *y = op_apply_info(&p->info, inputs, n, 0, p, size);
    free(p);
    return y;
}
