/* Normalisation and attention. */
#include "autograd/onnx/forms.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/params.h"

/* A constant of this shape filled with a value. */
static onnx_value filled(onnx_graph *g, ito_shape shape, double value, ito_dtype dtype)
{
    ito_scope_begin();
    ito_tensor *t = ito_full(shape, value, dtype);
    g->failed = g->failed || t == NULL;
    onnx_value v = t == NULL ? 0 : onnx_tensor(g, t);
    ito_scope_end();
    return v;
}

/* ---- norms -------------------------------------------------------------------------------------
 */

/* y times weight [C] or plus bias, along axis 1. */
static onnx_value by_channel(onnx_graph *g, const op_call *c, const char *type, onnx_value y,
                             onnx_value v)
{
    ito_shape shape = {.ndim = c->shape[0].ndim - 1};
    for (int i = 0; i < shape.ndim; i++)
        shape.dim[i] = i == 0 ? c->shape[0].dim[1] : 1;
    if (v == 0)
        return y;
    return onnx_op(g, type, (y, shape.ndim == 1 ? v : onnx_reshape(g, v, shape)));
}

/* A group as one channel of a signal, which is normalised by itself. */
onnx_value onnx_form_group_norm(onnx_graph *g, const op_call *c, const onnx_value *in,
                                const ito_tensor *out)
{
    const group_norm_params *p = c->params;
    const ito_shape *x = &c->shape[0];
    int64_t each = x->dim[1] / p->groups;
    for (int i = 2; i < x->ndim; i++)
        each *= x->dim[i];
    const ito_shape groups = ITO_SHAPE(p->groups);
    onnx_value one = filled(g, groups, 1, c->dtype[0]), none = filled(g, groups, 0, c->dtype[0]);
    onnx_value y = onnx_reshape(g, in[0], ITO_SHAPE(x->dim[0], p->groups, each));
    y = onnx_op(g, "InstanceNormalization", (y, one, none), ONNX_F("epsilon", p->eps));
    y = onnx_reshape(g, y, out->sizes);
    y = by_channel(g, c, "Mul", y, in[1]);
    y = by_channel(g, c, "Add", y, in[2]);
    return p->silu ? onnx_op(g, "Mul", (y, onnx_op(g, "Sigmoid", (y)))) : y;
}

onnx_value onnx_form_group_norm_silu(onnx_graph *g, const op_call *c, const onnx_value *in,
                                     const ito_tensor *out)
{
    return onnx_form_group_norm(g, c, in, out);
}

onnx_value onnx_form_layer_norm(onnx_graph *g, const op_call *c, const onnx_value *in,
                                const ito_tensor *out)
{
    const layer_norm_params *p = c->params;
    onnx_value weight = in[1] != 0 ? in[1] : filled(g, p->normalized_shape, 1, c->dtype[0]);
    return onnx_op(g, "LayerNormalization", (in[0], weight, in[2]),
                   ONNX_I("axis", out->ndim - p->normalized_shape.ndim), ONNX_F("epsilon", p->eps));
}

/* ---- attention ---------------------------------------------------------------------------------
 */

/* Where query i sees key j; the same constant for all layers. */
static onnx_value causal(onnx_graph *g, onnx_value scores, int64_t queries, int64_t keys,
                         onnx_value none)
{
    ito_scope_begin();
    ito_tensor *query = ito_unsqueeze(ito_arange(0, (double)queries, 1, ITO_I64), 1);
    ito_tensor *sees = ito_ge(query, ito_arange(0, (double)keys, 1, ITO_I64));
    g->failed = g->failed || sees == NULL;
    onnx_value v = sees == NULL ? 0 : onnx_tensor(g, sees);
    ito_scope_end();
    return onnx_op(g, "Where", (v, scores, none));
}

/* 0 for rows of nothing but -infinity. */
static onnx_value softmax_or_nothing(onnx_graph *g, onnx_value scores, onnx_value none,
                                     ito_dtype dtype)
{
    onnx_value zero = onnx_number(g, 0, dtype);
    onnx_value peak = onnx_op(g, "ReduceMax", (scores), ONNX_L("axes", ONNX_INTS_OF(-1)));
    onnx_value empty = onnx_op(g, "Equal", (peak, none));
    onnx_value y =
        onnx_op(g, "Softmax", (onnx_op(g, "Where", (empty, zero, scores))), ONNX_I("axis", -1));
    return onnx_op(g, "Where", (empty, zero, y));
}

onnx_value onnx_form_scaled_dot_product_attention(onnx_graph *g, const op_call *c,
                                                  const onnx_value *in, const ito_tensor *out)
{
    const attention_params *p = c->params;
    ito_dtype dtype = c->dtype[0];
    int n = out->ndim;
    if (p->dropout_p > 0)
        return onnx_refuse(g, "it drops at random; in evaluation mode it does not (see "
                              "ito_module_train)");
    onnx_list swap = {.n = n};
    for (int i = 0; i < n; i++)
        swap.at[i] = i < n - 2 ? i : i == n - 2 ? n - 1 : n - 2;
    double scale = attention_scale(p, c->shape[0].dim[n - 1]);
    onnx_value none = onnx_number(g, -HUGE_VAL, dtype);
    onnx_value keys = onnx_op(g, "Transpose", (in[1]), ONNX_L("perm", swap));
    onnx_value scores =
        onnx_op(g, "Mul", (onnx_op(g, "MatMul", (in[0], keys)), onnx_number(g, scale, dtype)));
    if (in[3] != 0 && c->dtype[3] == ITO_BOOL)
        scores = onnx_op(g, "Where", (in[3], scores, none));
    else if (in[3] != 0)
        scores =
            onnx_op(g, "Add", (scores, c->dtype[3] == dtype ? in[3] : onnx_cast(g, in[3], dtype)));
    if (p->causal)
        scores = causal(g, scores, c->shape[0].dim[n - 2], c->shape[1].dim[n - 2], none);
    onnx_value weights = in[3] != 0 ? softmax_or_nothing(g, scores, none, dtype)
                                    : onnx_op(g, "Softmax", (scores), ONNX_I("axis", -1));
    return onnx_op(g, "MatMul", (weights, in[2]));
}
