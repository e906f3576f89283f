/* The work of operations, for summaries. */
#include "autograd/observe.h"

static double elements(const ito_tensor *t)
{
    return (double)ito_numel(t);
}

/* Of a weight [out, in, ...] applied at each of the elements that have `out` as an axis. */
static double by_weight(const ito_tensor *with_out, const ito_tensor *w)
{
    return w->shape[0] == 0 ? 0 : 2 * elements(with_out) * elements(w) / (double)w->shape[0];
}

static double of_result(const op_call *c, const ito_tensor *out)
{
    double rest = 0; /* bias, addend */
    for (int64_t i = 2; i < c->n; i++)
        rest += c->in[i] != NULL ? elements(out) : 0;
    return by_weight(out, c->in[1]) + rest;
}

/* A recurrent layer, too: x times its weights is an operation of its own. */
static double of_first(const op_call *c, const ito_tensor *out)
{
    (void)out;
    return by_weight(c->in[0], c->in[1]);
}

static double of_matrices(const op_call *c, const ito_tensor *out)
{
    return 2 * elements(out) * (double)c->in[0]->shape[2];
}

/* q [.., T, D], k [.., S, D], v [.., S, E]: two products, and softmax as one an element. */
static double of_attention(const op_call *c, const ito_tensor *out)
{
    const ito_tensor *q = c->in[0], *k = c->in[1];
    double d = (double)q->shape[q->ndim - 1], e = (double)out->shape[out->ndim - 1];
    if (elements(q) == 0)
        return 0;
    return elements(q) / d * (double)k->shape[k->ndim - 2] * (2 * d + 2 * e + 1);
}

static double (*const products[OP_COUNT])(const op_call *c, const ito_tensor *out) = {
    [OP_bmm] = of_matrices,
    [OP_conv2d] = of_result,
    [OP_conv2d_data] = of_first,
    [OP_linear] = of_result,
    [OP_linear_data] = of_first,
    [OP_recurrent] = of_first,
    [OP_scaled_dot_product_attention] = of_attention,
};

int64_t op_new_bytes(const op_call *c, const ito_tensor *out)
{
    for (int64_t i = 0; i < c->n; i++)
        if (c->in[i] != NULL && c->in[i]->storage == out->storage)
            return 0;
    return ito_numel(out) * (int64_t)ito_dtype_size(out->dtype);
}

double op_flops(const op_call *c, const ito_tensor *out)
{
    for (int i = 0; i < OP_COUNT; i++)
        if (c->info == &op_table[i] && products[i] != NULL)
            return products[i](c, out);
    return op_new_bytes(c, out) > 0 ? elements(out) : 0;
}
