/* Views, joining, padding, and indexing. Sizes are written as they are; batch.c finds those that
 * grow with the batch. */
#include "autograd/onnx/forms.h"
#include "autograd/ops/pad.h"
#include "autograd/ops/params.h"

#include <string.h>

/* ---- shapes ------------------------------------------------------------------------------------
 */

onnx_value onnx_form_cast(onnx_graph *g, const op_call *c, const onnx_value *in,
                          const ito_tensor *out)
{
    return out->dtype == c->dtype[0] ? in[0] : onnx_cast(g, in[0], out->dtype);
}

onnx_value onnx_form_contiguous(onnx_graph *g, const op_call *c, const onnx_value *in,
                                const ito_tensor *out)
{
    (void)g, (void)c, (void)out;
    return in[0];
}

onnx_value onnx_form_cat(onnx_graph *g, const op_call *c, const onnx_value *in,
                         const ito_tensor *out)
{
    (void)out;
    const onnx_attribute axis = ONNX_I("axis", *(const int *)c->params);
    return onnx_put(g, "Concat", in, c->n, 1, &axis, 1);
}

onnx_value onnx_form_reshape(onnx_graph *g, const op_call *c, const onnx_value *in,
                             const ito_tensor *out)
{
    (void)c;
    return onnx_reshape(g, in[0], out->sizes);
}

onnx_value onnx_form_permute(onnx_graph *g, const op_call *c, const onnx_value *in,
                             const ito_tensor *out)
{
    (void)out;
    const ito_shape *axes = c->params;
    return onnx_op(g, "Transpose", (in[0]), ONNX_L("perm", onnx_list_of(*axes)));
}

onnx_value onnx_form_expand(onnx_graph *g, const op_call *c, const onnx_value *in,
                            const ito_tensor *out)
{
    onnx_value shape = onnx_ints(g, onnx_list_of(out->sizes));
    if (ito_numel(out) == 0) /* to which runtimes do not expand a 1 */
        return onnx_cast(g, onnx_op(g, "ConstantOfShape", (shape)), c->dtype[0]);
    return onnx_op(g, "Expand", (in[0], shape));
}

/* Up to the end it is INT64_MAX, so that it holds for an axis that grows. */
onnx_value onnx_form_slice(onnx_graph *g, const op_call *c, const onnx_value *in,
                           const ito_tensor *out)
{
    (void)out;
    const slice_params *p = c->params;
    int64_t size = c->shape[0].dim[p->axis];
    bool to_end = p->count > 0 && p->step > size - 1 - p->start - (p->count - 1) * p->step;
    int64_t end = p->count == 0 ? p->start : p->start + (p->count - 1) * p->step + 1;
    return onnx_op(g, "Slice",
                   (in[0], onnx_ints(g, ONNX_INTS_OF(p->start)),
                    onnx_ints(g, ONNX_INTS_OF(to_end ? INT64_MAX : end)),
                    onnx_ints(g, ONNX_INTS_OF(p->axis)), onnx_ints(g, ONNX_INTS_OF(p->step))));
}

onnx_value onnx_form_flip(onnx_graph *g, const op_call *c, const onnx_value *in,
                          const ito_tensor *out)
{
    (void)out;
    onnx_list axes = onnx_axes(*(const unsigned *)c->params), last = {.n = axes.n}, ends = last;
    for (int i = 0; i < axes.n; i++) {
        last.at[i] = -1;
        ends.at[i] = -INT64_MAX;
    }
    if (axes.n == 0)
        return in[0];
    return onnx_op(
        g, "Slice",
        (in[0], onnx_ints(g, last), onnx_ints(g, ends), onnx_ints(g, axes), onnx_ints(g, last)));
}

onnx_value onnx_form_pad(onnx_graph *g, const op_call *c, const onnx_value *in,
                         const ito_tensor *out)
{
    const pad_params *p = c->params;
    int n = out->ndim;
    onnx_list pads = {.n = 2 * n};
    for (int i = 0; i < n; i++) {
        pads.at[i] = p->before[i];
        pads.at[n + i] = p->after[i];
    }
    return onnx_op(g, "Pad", (in[0], onnx_ints(g, pads), onnx_number(g, p->value, c->dtype[0])));
}

/* ---- indexing ----------------------------------------------------------------------------------
 */

onnx_value onnx_form_gather(onnx_graph *g, const op_call *c, const onnx_value *in,
                            const ito_tensor *out)
{
    (void)out;
    return onnx_op(g, "GatherElements", (in[0], in[1]), ONNX_I("axis", *(const int *)c->params));
}

onnx_value onnx_form_index_select(onnx_graph *g, const op_call *c, const onnx_value *in,
                                  const ito_tensor *out)
{
    (void)out;
    return onnx_op(g, "Gather", (in[0], in[1]), ONNX_I("axis", *(const int *)c->params));
}

onnx_value onnx_form_one_hot(onnx_graph *g, const op_call *c, const onnx_value *in,
                             const ito_tensor *out)
{
    const one_hot_params *p = c->params;
    ito_scope_begin();
    ito_tensor *classes = ito_arange(0, (double)p->classes, 1, ITO_I64);
    g->failed = g->failed || classes == NULL;
    onnx_value all = classes == NULL ? 0 : onnx_tensor(g, classes);
    ito_scope_end();
    onnx_value each = onnx_op(g, "Unsqueeze", (in[0], onnx_ints(g, ONNX_INTS_OF(-1))));
    return onnx_cast(g, onnx_op(g, "Equal", (each, all)), out->dtype);
}

static onnx_value zeros(onnx_graph *g, const ito_tensor *like, ito_dtype dtype)
{
    return onnx_op(g, "Expand",
                   (onnx_number(g, 0, dtype), onnx_ints(g, onnx_list_of(like->sizes))));
}

static onnx_value scattered(onnx_graph *g, onnx_value to, onnx_value index, onnx_value src,
                            int axis, bool add)
{
    return add ? onnx_op(g, "ScatterElements", (to, index, src), ONNX_I("axis", axis),
                         ONNX_S("reduction", "add"))
               : onnx_op(g, "ScatterElements", (to, index, src), ONNX_I("axis", axis));
}

onnx_value onnx_form_scatter(onnx_graph *g, const op_call *c, const onnx_value *in,
                             const ito_tensor *out)
{
    (void)out;
    return scattered(g, in[0], in[1], in[2], *(const int *)c->params, false);
}

onnx_value onnx_form_scatter_add(onnx_graph *g, const op_call *c, const onnx_value *in,
                                 const ito_tensor *out)
{
    const scatter_add_params *p = c->params;
    return scattered(g, zeros(g, out, c->dtype[0]), in[1], in[0], p->axis, true);
}

/* The index [K] goes along the axis, the same for all of the others. */
onnx_value onnx_form_index_add(onnx_graph *g, const op_call *c, const onnx_value *in,
                               const ito_tensor *out)
{
    const index_add_params *p = c->params;
    ito_shape along = c->shape[0];
    for (int i = 0; i < along.ndim; i++)
        along.dim[i] = i == p->axis ? along.dim[i] : 1;
    onnx_value index = onnx_reshape(g, in[1], along);
    index = onnx_op(g, "Expand", (index, onnx_ints(g, onnx_list_of(c->shape[0]))));
    return scattered(g, zeros(g, out, c->dtype[0]), index, in[0], p->axis, true);
}

/* ---- places of a pool --------------------------------------------------------------------------
 */

/* [N, C, the number of pixels]. */
static ito_shape in_lines(const ito_shape *shape)
{
    int64_t pixels = 1;
    for (int i = 2; i < shape->ndim; i++)
        pixels *= shape->dim[i];
    return ITO_SHAPE(shape->dim[0], shape->dim[1], pixels);
}

/* Where the places are those of a MaxPool of the same x, its first output has the elements. */
static onnx_value of_pool(const onnx_graph *g, onnx_value x, onnx_value places)
{
    for (onnx_value v = places; v != 0 && g->slot[v].kind == ONNX_RESULT;) {
        const onnx_node *node = &g->node[g->slot[v].node];
        if (node->type == NULL || node->n < 1)
            return 0;
        if (strcmp(node->type, "MaxPool") == 0)
            return node->in[0] == x ? node->out : 0;
        v = strcmp(node->type, "Mod") == 0 ? node->in[0] : 0;
    }
    return 0;
}

onnx_value onnx_form_gather_places(onnx_graph *g, const op_call *c, const onnx_value *in,
                                   const ito_tensor *out)
{
    onnx_value pooled = g->failed ? 0 : of_pool(g, in[0], in[1]);
    if (pooled != 0)
        return pooled;
    onnx_value x = onnx_reshape(g, in[0], in_lines(&c->shape[0]));
    onnx_value index = onnx_reshape(g, in[1], in_lines(&c->shape[1]));
    onnx_value y = onnx_op(g, "GatherElements", (x, index), ONNX_I("axis", 2));
    return onnx_reshape(g, y, out->sizes);
}

onnx_value onnx_form_scatter_places(onnx_graph *g, const op_call *c, const onnx_value *in,
                                    const ito_tensor *out)
{
    const scatter_places_params *p = c->params;
    onnx_value x = onnx_reshape(g, in[0], in_lines(&c->shape[0]));
    onnx_value index = onnx_reshape(g, in[1], in_lines(&c->shape[1]));
    const onnx_list lines = onnx_list_of(in_lines(&out->sizes));
    onnx_value to = onnx_op(g, "Expand", (onnx_number(g, 0, c->dtype[0]), onnx_ints(g, lines)));
    return onnx_reshape(g, scattered(g, to, index, x, 2, p->add), out->sizes);
}
