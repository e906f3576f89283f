/* What depends on the batch is found by running the function with two batches: whatever is the same
 * in both graphs is a constant, and a size that grows in proportion is a multiple of the batch. The
 * inputs have other values in the second run, so that a number which was computed from them without
 * an operation, or drawn at random, is found as well: it differs.
 *
 * Batches of 2 and 3: small, and neither a square nor a sum can be mistaken for a multiple.
 */
#include "autograd/onnx/batch.h"

#include <stdio.h>
#include <string.h>

typedef struct comparison {
    onnx_graph *a, *b;
    int64_t batch_a, batch_b; /* 0: none */
    const onnx_node *node;    /* of a, that is compared */
} comparison;

/* "conv2d at net.c:12" */
typedef struct place {
    char text[400];
} place;

static place place_of(const onnx_node *node)
{
    place p;
    if (node->file == NULL)
        snprintf(p.text, sizeof p.text, "%s", node->op);
    else
        snprintf(p.text, sizeof p.text, "%s at %.300s:%d", node->op, node->file, node->line);
    return p;
}

static bool differs(const comparison *c, const char *what)
{
    if (c->batch_a == 0)
        return error_false(ITO_ERR_ARGUMENT,
                           "onnx_save: %s: %s depends on the values of the inputs, and a graph is "
                           "the same for all of them",
                           place_of(c->node).text, what);
    return error_false(ITO_ERR_ARGUMENT,
                       "onnx_save: %s: %s is neither the same nor a multiple of the batch in runs "
                       "with batches of %" PRId64 " and %" PRId64
                       " and other values; .dynamic_batch = false writes a graph for one batch",
                       place_of(c->node).text, what, c->batch_a, c->batch_b);
}

/* How many times the batch a number is that is x in one run and y in the other; -1: it is not. */
static int64_t multiple(const comparison *c, int64_t x, int64_t y)
{
    if (c->batch_a == 0 || x <= 0 || x % c->batch_a != 0 || x / c->batch_a * c->batch_b != y)
        return -1;
    return x / c->batch_a;
}

static bool compare_ints(comparison *c, onnx_list x, const onnx_list *y, onnx_list *times)
{
    if (x.n != y->n)
        return differs(c, "the number of axes");
    times->n = x.n;
    for (int i = 0; i < x.n; i++) {
        int64_t n = x.at[i] == y->at[i] ? 0 : multiple(c, x.at[i], y->at[i]);
        if (n < 0)
            return differs(c, "a size");
        times->at[i] = n;
    }
    return true;
}

/* ---- constants ---------------------------------------------------------------------------------
 */

static bool same_place(const ito_tensor *a, const ito_tensor *b)
{
    return a->storage == b->storage && a->offset == b->offset && tensor_same_layout(a, b);
}

/* 1 if equal, 0 if not, -1 without memory. Of one shape and dtype. */
static int equal(const ito_tensor *a, const ito_tensor *b)
{
    if (same_place(a, b))
        return 1;
    ito_scope_begin();
    a = tensor_contiguous(a);
    b = tensor_contiguous(b);
    int is = a == NULL || b == NULL ? -1
                                    : memcmp(tensor_data(a), tensor_data(b),
                                             (size_t)ito_numel(a) * ito_dtype_size(a->dtype)) == 0;
    ito_scope_end();
    return is;
}

/* t's first entry along the axes in which times is not 0, repeated as shape has it. */
static ito_tensor *repeated(const ito_tensor *t, const onnx_list *times, ito_shape shape)
{
    int64_t stride[ITO_MAX_DIMS];
    for (int i = 0; i < t->ndim; i++)
        stride[i] = times->at[i] != 0 ? 0 : t->stride[i];
    return tensor_view(t, shape, stride, t->offset);
}

/* Constants as large as the batch are all the same along it, or they would not be constants. */
static int equal_but_for_batch(const ito_tensor *x, const ito_tensor *y, const onnx_list *times)
{
    bool batched = false;
    for (int i = 0; i < times->n; i++)
        batched = batched || times->at[i] != 0;
    if (!batched)
        return equal(x, y);
    ito_scope_begin();
    const ito_tensor *from_x = repeated(x, times, x->sizes), *from_y = repeated(y, times, y->sizes);
    const ito_tensor *from_other = repeated(y, times, x->sizes);
    int is = from_x == NULL || from_y == NULL || from_other == NULL ? -1 : equal(x, from_x);
    is = is == 1 ? equal(y, from_y) : is;
    is = is == 1 ? equal(from_x, from_other) : is;
    ito_scope_end();
    return is;
}

static bool compare_tensors(comparison *c, onnx_slot *x, const onnx_slot *y)
{
    const ito_tensor *a = x->tensor, *b = y->tensor;
    uint64_t fingerprint = onnx_fingerprint(c->a, a);
    if (c->a->failed)
        return false;
    if (x->fingerprint != fingerprint)
        return error_false(ITO_ERR_ARGUMENT,
                           "onnx_save: %s: a constant %s of it was changed in place later",
                           place_of(c->node).text, tensor_shape_str(a));
    const onnx_list other = onnx_list_of(b->sizes);
    if (!compare_ints(c, onnx_list_of(a->sizes), &other, &x->times))
        return false;
    int same = a->dtype == b->dtype ? equal_but_for_batch(a, b, &x->times) : 0;
    if (same == 0)
        return error_false(ITO_ERR_ARGUMENT,
                           "onnx_save: %s: a constant %s differs between two runs: it is drawn at "
                           "random, or computed from the inputs without operations of the library",
                           place_of(c->node).text, tensor_shape_str(a));
    return same == 1;
}

/* ---- the graphs --------------------------------------------------------------------------------
 */

/* Results count as equal: their operators have been compared. */
static bool compare_values(comparison *c, onnx_value v, onnx_value w)
{
    onnx_slot *x = &c->a->slot[v], *y = &c->b->slot[w];
    if ((v == 0) != (w == 0) || x->kind != y->kind ||
        (x->kind != ONNX_RESULT && x->dtype != y->dtype))
        return differs(c, "what an operator takes");
    if (v == 0)
        return true;
    switch (x->kind) {
    case ONNX_TENSOR:
        return compare_tensors(c, x, y);
    case ONNX_NUMBER:
        return memcmp(&x->number, &y->number, sizeof x->number) == 0 || differs(c, "a number");
    case ONNX_INTS:
        return compare_ints(c, x->ints, &y->ints, &x->times);
    case ONNX_INPUT:
        return x->order == y->order || differs(c, "what an operator takes");
    default:
        return (x->order == y->order && x->output == y->output) ||
               differs(c, "what an operator takes");
    }
}

static bool compare_attributes(const comparison *c, const onnx_attribute *x,
                               const onnx_attribute *y)
{
    onnx_list fixed;
    if (x->type == ONNX_INT_LIST)
        return compare_ints(&(comparison){.a = c->a, .node = c->node}, x->ints, &y->ints, &fixed);
    bool same = x->type == ONNX_INT     ? x->i == y->i
                : x->type == ONNX_FLOAT ? memcmp(&x->f, &y->f, sizeof x->f) == 0
                                        : strcmp(x->s, y->s) == 0;
    return same || differs(c, x->name);
}

static bool compare_nodes(comparison *c, const onnx_node *y)
{
    const onnx_node *x = c->node;
    if (y == NULL || strcmp(x->type, y->type) != 0 || x->n != y->n ||
        x->attributes != y->attributes)
        return differs(c, "which operations run");
    for (int i = 0; i < x->attributes; i++)
        if (!compare_attributes(c, &x->attribute[i], &y->attribute[i]))
            return false;
    for (int64_t i = 0; i < x->n; i++)
        if (!compare_values(c, x->in[i], y->in[i]))
            return false;
    return true;
}

/* Number the live values of each kind; results have the number of their operator. */
static void number(onnx_graph *g)
{
    int64_t nodes = 0;
    onnx_mark_live(g);
    for (int64_t i = 0; i < g->inputs; i++)
        g->slot[g->input[i]].order = i;
    for (int64_t i = 0; i < g->nodes; i++) {
        onnx_node *node = &g->node[i];
        for (int k = 0; k < node->outputs && node->live; k++)
            g->slot[node->out + k].order = nodes;
        nodes += node->live;
    }
}

static bool has_forms(const onnx_graph *g)
{
    for (int64_t i = 0; i < g->nodes; i++) {
        const onnx_node *node = &g->node[i];
        if (node->live && node->type == NULL)
            return error_false(ITO_ERR_ARGUMENT, "onnx_save: %s has no form in ONNX: %s",
                               place_of(node).text, node->refusal);
    }
    return true;
}

/* The next live node from *at on, or NULL. */
static const onnx_node *next(const onnx_graph *g, int64_t *at)
{
    while (*at < g->nodes && !g->node[*at].live)
        ++*at;
    return *at < g->nodes ? &g->node[(*at)++] : NULL;
}

bool onnx_compare(onnx_graph *g, onnx_graph *other, int64_t batch, int64_t other_batch)
{
    comparison c = {.a = g, .b = other, .batch_a = batch, .batch_b = other_batch};
    onnx_node result = {.op = "the result"};
    number(g);
    number(other);
    if (!has_forms(g) || !has_forms(other))
        return false;
    for (int64_t i = 0, j = 0; (c.node = next(g, &i)) != NULL;)
        if (!compare_nodes(&c, next(other, &j)))
            return false;
    c.node = &result;
    const onnx_list shape = onnx_list_of(other->output_shape);
    return compare_values(&c, g->output, other->output) &&
           compare_ints(&c, onnx_list_of(g->output_shape), &shape, &g->output_times);
}
