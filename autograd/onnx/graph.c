/* The graph as lists that grow. */
#include "autograd/onnx/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more of `size` bytes behind n. */
static bool grow(onnx_graph *g, void **list, int64_t n, int64_t *room, size_t size)
{
    if (g->failed)
        return false;
    if (n < *room)
        return true;
    int64_t more = 2 * *room + 64;
    void *larger = struct_alloc((size_t)more * size);
    if (larger == NULL)
        return !(g->failed = true);
    if (n > 0)
        memcpy(larger, *list, (size_t)n * size);
    free(*list);
    *list = larger;
    *room = more;
    return true;
}

bool onnx_graph_init(onnx_graph *g, int64_t inputs)
{
    *g = (onnx_graph){.slots = 1};
    void *slots = NULL;
    if (!grow(g, &slots, 0, &g->slot_room, sizeof *g->slot))
        return false;
    g->slot = slots;
    g->input = struct_alloc((size_t)(inputs + 1) * sizeof *g->input);
    return g->input != NULL;
}

void onnx_graph_free(onnx_graph *g)
{
    for (int64_t i = 1; i < g->slots; i++)
        ito_release(g->slot[i].tensor);
    for (int64_t i = 0; i < g->nodes; i++)
        free(g->node[i].in);
    free(g->slot);
    free(g->node);
    free(g->input);
}

/* ---- values ------------------------------------------------------------------------------------
 */

static onnx_value add(onnx_graph *g, onnx_slot slot)
{
    void *slots = g->slot;
    if (!grow(g, &slots, g->slots, &g->slot_room, sizeof *g->slot))
        return 0;
    g->slot = slots;
    g->slot[g->slots] = slot;
    return g->slots++;
}

onnx_value onnx_input(onnx_graph *g, ito_dtype dtype)
{
    onnx_value v = add(g, (onnx_slot){.kind = ONNX_INPUT, .dtype = dtype});
    if (v != 0)
        g->input[g->inputs++] = v;
    return v;
}

uint64_t onnx_fingerprint(onnx_graph *g, const ito_tensor *t)
{
    uint64_t hash = 0xcbf29ce484222325, word;
    ito_scope_begin();
    const ito_tensor *dense = tensor_is_dense(t) ? t : tensor_contiguous(t);
    g->failed = g->failed || dense == NULL;
    const char *at = dense == NULL ? NULL : tensor_data(dense);
    size_t bytes = dense == NULL ? 0 : (size_t)ito_numel(t) * ito_dtype_size(t->dtype);
    for (; bytes > 0; at += sizeof word) { /* FNV-1a of words */
        size_t n = bytes < sizeof word ? bytes : sizeof word;
        word = 0;
        memcpy(&word, at, n);
        hash = (hash ^ word) * 0x100000001b3;
        hash ^= hash >> 32;
        bytes -= n;
    }
    ito_scope_end();
    return hash;
}

static bool same_elements(const ito_tensor *a, const ito_tensor *b)
{
    return a->storage == b->storage && a->offset == b->offset && a->dtype == b->dtype &&
           tensor_same_layout(a, b);
}

onnx_value onnx_tensor(onnx_graph *g, ito_tensor *t)
{
    uint64_t version = atomic_load(&t->storage->version);
    for (onnx_value v = g->slots - 1; v > 0; v--)
        if (g->slot[v].kind == ONNX_TENSOR && g->slot[v].version == version &&
            same_elements(g->slot[v].tensor, t))
            return v;
    onnx_value v = add(g, (onnx_slot){.kind = ONNX_TENSOR,
                                      .dtype = t->dtype,
                                      .version = version,
                                      .fingerprint = onnx_fingerprint(g, t)});
    if (v != 0)
        g->slot[v].tensor = ito_retain(t);
    return v;
}

onnx_value onnx_number(onnx_graph *g, double value, ito_dtype dtype)
{
    for (onnx_value v = 1; v < g->slots; v++) {
        const onnx_slot *s = &g->slot[v];
        if (s->kind == ONNX_NUMBER && s->dtype == dtype &&
            memcmp(&s->number, &value, sizeof value) == 0)
            return v;
    }
    return add(g, (onnx_slot){.kind = ONNX_NUMBER, .dtype = dtype, .number = value});
}

onnx_value onnx_ints(onnx_graph *g, onnx_list ints)
{
    return add(g, (onnx_slot){.kind = ONNX_INTS, .dtype = ITO_I64, .ints = ints});
}

onnx_value onnx_shape_to(onnx_graph *g, ito_shape shape)
{
    onnx_value v = onnx_ints(g, onnx_list_of(shape));
    if (v != 0)
        g->slot[v].reshapes = true;
    return v;
}

onnx_list onnx_list_of(ito_shape shape)
{
    onnx_list list = {.n = shape.ndim};
    for (int i = 0; i < shape.ndim; i++)
        list.at[i] = shape.dim[i];
    return list;
}

onnx_list onnx_axes(unsigned bits)
{
    onnx_list list = {0};
    for (int i = 0; i < ITO_MAX_DIMS; i++)
        if (bits >> i & 1)
            list.at[list.n++] = i;
    return list;
}

/* ---- operators ---------------------------------------------------------------------------------
 */

static onnx_value add_node(onnx_graph *g, onnx_node node, const onnx_value *in)
{
    void *nodes = g->node;
    if (!grow(g, &nodes, g->nodes, &g->node_room, sizeof *g->node))
        return 0;
    g->node = nodes;
    node.in = struct_alloc((size_t)(node.n + 1) * sizeof *node.in);
    if (node.in == NULL) {
        g->failed = true;
        return 0;
    }
    for (int64_t i = 0; i < node.n; i++)
        node.in[i] = in[i];
    snprintf(node.op, sizeof node.op, "%s", g->op);
    error_place(&node.file, &node.line);
    for (int i = 0; i < node.outputs; i++) {
        onnx_value v = add(g, (onnx_slot){.kind = ONNX_RESULT, .node = g->nodes, .output = i});
        node.out = i == 0 ? v : node.out;
    }
    g->node[g->nodes++] = node;
    return node.out;
}

onnx_value onnx_put(onnx_graph *g, const char *type, const onnx_value *in, int64_t n, int outputs,
                    const onnx_attribute *attribute, int attributes)
{
    onnx_node node = {.type = type, .n = n, .outputs = outputs, .attributes = attributes};
    memcpy(node.attribute, attribute, (size_t)attributes * sizeof *attribute);
    return add_node(g, node, in);
}

onnx_value onnx_refuse(onnx_graph *g, const char *reason)
{
    return add_node(g, (onnx_node){.refusal = reason, .outputs = 1}, NULL);
}

int onnx_dtype(ito_dtype dtype)
{
    static const int numbers[ITO_DTYPES] = {
        [ITO_F32] = 1, [ITO_F64] = 11, [ITO_BF16] = 16, [ITO_F16] = 10,
        [ITO_I32] = 6, [ITO_I64] = 7,  [ITO_U8] = 2,    [ITO_BOOL] = 9,
    };
    return numbers[dtype];
}

onnx_value onnx_cast(onnx_graph *g, onnx_value x, ito_dtype to)
{
    return onnx_op(g, "Cast", (x), ONNX_I("to", onnx_dtype(to)));
}

onnx_value onnx_reshape(onnx_graph *g, onnx_value x, ito_shape to)
{
    bool empty = false; /* else a 0 would mean "as it was" */
    for (int i = 0; i < to.ndim; i++)
        empty = empty || to.dim[i] == 0;
    onnx_value shape = onnx_shape_to(g, to);
    return empty ? onnx_op(g, "Reshape", (x, shape), ONNX_I("allowzero", 1))
                 : onnx_op(g, "Reshape", (x, shape));
}

/* ---- the output --------------------------------------------------------------------------------
 */

void onnx_mark_live(onnx_graph *g)
{
    g->slot[g->output].live = true;
    for (int64_t i = 0; i < g->inputs; i++)
        g->slot[g->input[i]].live = true;
    for (int64_t i = g->nodes - 1; i >= 0; i--) {
        onnx_node *node = &g->node[i];
        for (int k = 0; k < node->outputs; k++)
            node->live = node->live || g->slot[node->out + k].live;
        for (int64_t k = 0; node->live && k < node->n; k++)
            g->slot[node->in[k]].live = true;
    }
}
