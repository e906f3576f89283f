/* What values are called in the file: parameters as in the module, inputs and the output as they
 * were asked for, and all else by a slash and a number. */
#include "autograd/onnx/names.h"

#include <stdio.h>
#include <string.h>

/* Whether a and b are the same elements in the same order, but for axes of size 1. */
static bool same_elements(const ito_tensor *a, const ito_tensor *b)
{
    int i = 0, k = 0;
    if (a->storage != b->storage || a->offset != b->offset || a->dtype != b->dtype)
        return false;
    for (;; i++, k++) {
        while (i < a->ndim && a->shape[i] == 1)
            i++;
        while (k < b->ndim && b->shape[k] == 1)
            k++;
        if (i == a->ndim || k == b->ndim)
            return i == a->ndim && k == b->ndim;
        if (a->shape[i] != b->shape[k] || a->stride[i] != b->stride[k])
            return false;
    }
}

/* The name of the parameter that t is, if any. */
static const char *parameter_name(const onnx_request *r, const ito_tensor *t)
{
    for (int64_t i = 0; i < r->n_named; i++)
        if (same_elements(r->named[i], t))
            return r->names[i];
    return NULL;
}

/* Whether an earlier constant has the parameter's name: the same elements in another shape. */
static bool name_taken(const onnx_graph *g, const onnx_request *r, onnx_value v, const char *name)
{
    for (onnx_value u = 1; u < v; u++)
        if (g->slot[u].kind == ONNX_TENSOR && g->slot[u].live &&
            parameter_name(r, g->slot[u].tensor) == name)
            return true;
    return false;
}

static bool same_list(const onnx_list *a, const onnx_list *b)
{
    return a->n == b->n && memcmp(a->at, b->at, (size_t)a->n * sizeof *a->at) == 0;
}

onnx_value onnx_first_of(const onnx_graph *g, onnx_value v)
{
    const onnx_slot *s = &g->slot[v], *t;
    for (onnx_value u = 1; u < v && s->kind == ONNX_INTS; u++) {
        t = &g->slot[u];
        if (t->kind == ONNX_INTS && t->live && t->reshapes == s->reshapes &&
            same_list(&t->ints, &s->ints) && same_list(&t->times, &s->times))
            return u;
    }
    return v;
}

bool onnx_is_repeated(const onnx_slot *s)
{
    for (int i = 0; i < s->times.n; i++)
        if (s->times.at[i] != 0)
            return true;
    return false;
}

const char *onnx_name(const onnx_graph *g, const onnx_request *r, onnx_value v,
                      char room[ONNX_NAME])
{
    const onnx_slot *s = &g->slot[v];
    if (v == 0)
        return "";
    if (s->kind == ONNX_INPUT)
        return onnx_input_name(r, s->order, room);
    if (v == g->output && s->kind == ONNX_RESULT)
        return r->output_name;
    if (s->kind == ONNX_RESULT) {
        snprintf(room, ONNX_NAME, "/%s_%" PRId64 "%s", g->node[s->node].op, s->order,
                 s->output > 0 ? "_second" : "");
        return room;
    }
    const char *parameter = s->kind == ONNX_TENSOR ? parameter_name(r, s->tensor) : NULL;
    if (parameter != NULL && !onnx_is_repeated(s) && !name_taken(g, r, v, parameter))
        return parameter;
    snprintf(room, ONNX_NAME, "/constant.%" PRId64, onnx_first_of(g, v));
    return room;
}
