/* Observing a function: each operation whose result depends on an input becomes operators.
 *
 * A tensor that depends on an input carries the number of its value in its autograd record, with
 * the version of its storage then. Any other tensor is a constant, whatever it was made by:
 * operations on parameters alone are done once, here. What is computed from an input without an
 * operation looks like a constant, too; it is found out by a second run with other inputs
 * (batch.c).
 */
#include "autograd/onnx/trace.h"
#include "autograd/graph.h"
#include "autograd/observe.h"
#include "autograd/onnx/forms.h"

#include <stdlib.h>

#define ONNX_AS(op, operator) [OP_##op] = {.type = operator},
#define ONNX_FORM(op, operators) [OP_##op] = {.form = onnx_form_##op},
#define ONNX_MADE(op, operators) [OP_##op] = {.composed = onnx_made_##op},
#define ONNX_COMPOSITE(op, operators) [OP_##op] = {.composed = op_##op##_composite},
#define ONNX_NONE(op, why) [OP_##op] = {.refusal = why},
const onnx_form onnx_forms[OP_COUNT] = {
#include "autograd/onnx/forms.def"
};
#undef ONNX_AS
#undef ONNX_FORM
#undef ONNX_MADE
#undef ONNX_COMPOSITE
#undef ONNX_NONE

/* Each operation has one row. */
#define ONNX_AS(op, ...) row_##op,
#define ONNX_FORM ONNX_AS
#define ONNX_MADE ONNX_AS
#define ONNX_COMPOSITE ONNX_AS
#define ONNX_NONE ONNX_AS
enum {
#include "autograd/onnx/forms.def"
    FORMS
};
_Static_assert((int)FORMS == (int)OP_COUNT, "forms.def has a row for each row of ops.def");

typedef struct trace {
    op_observer base;
    onnx_graph *g;
    uint64_t number; /* of this run: values of others do not count */
} trace;

/* ---- what a tensor is in the graph -------------------------------------------------------------
 */

/* 0 if it depends on no input. */
static onnx_value traced(const trace *t, const ito_tensor *x)
{
    const autograd_meta *m = tensor_meta(x);
    return m != NULL && m->traced.by == t->number ? m->traced.value : 0;
}

static void follow(trace *t, ito_tensor *x, onnx_value v)
{
    autograd_meta *m = tensor_meta_make(x);
    if (m == NULL) {
        t->g->failed = true;
        return;
    }
    m->traced.by = v != 0 ? t->number : 0;
    m->traced.value = v;
    m->traced.fingerprint = v != 0 ? onnx_fingerprint(t->g, x) : 0;
}

static const char changed[] = "an input of it was changed in place through another view or by its "
                              "elements";

/* Whether x still has the elements that it had when it got its value. */
static bool is_unchanged(trace *t, const ito_tensor *x)
{
    return tensor_meta(x)->traced.fingerprint == onnx_fingerprint(t->g, x);
}

static onnx_value value_of(trace *t, ito_tensor *x)
{
    onnx_value v = x == NULL ? 0 : traced(t, x);
    if (x == NULL || v == 0)
        return x == NULL ? 0 : onnx_tensor(t->g, x);
    return is_unchanged(t, x) ? v : onnx_refuse(t->g, changed);
}

/* ---- an operation ------------------------------------------------------------------------------
 */

static onnx_value composed(trace *t, const op_call *c, op_composite_fn *f)
{
    ito_scope_begin();
    ito_tensor *y = f(c->in, c->n, c->params);
    onnx_value v = y == NULL ? 0 : value_of(t, y);
    t->g->failed = t->g->failed || y == NULL;
    ito_scope_end();
    return v;
}

/* The call with bf16 seen as f32, which is what operations compute in; the result is rounded. */
static onnx_value by_form(trace *t, const op_call *c, const onnx_form *form, const ito_tensor *out)
{
    onnx_graph *g = t->g;
    onnx_value *in = struct_alloc((size_t)c->n * sizeof *in), y = 0;
    ito_dtype *dtype = struct_alloc((size_t)c->n * sizeof *dtype);
    bool keeps = c->info == &op_table[OP_cast];
    if (in != NULL && dtype != NULL) {
        op_call wide = *c;
        wide.dtype = dtype;
        for (int64_t i = 0; i < c->n; i++) {
            in[i] = value_of(t, c->in[i]);
            dtype[i] = c->dtype[i] == ITO_BF16 && !keeps ? ITO_F32 : c->dtype[i];
            if (in[i] != 0 && dtype[i] != c->dtype[i])
                in[i] = onnx_cast(g, in[i], dtype[i]);
        }
        y = form->type != NULL ? onnx_put(g, form->type, in, c->n, 1, NULL, 0)
                               : form->form(g, &wide, in, out);
        if (out->dtype == ITO_BF16 && !keeps)
            y = onnx_cast(g, y, ITO_BF16);
    } else {
        g->failed = true;
    }
    free(in);
    free(dtype);
    return y;
}

/* What a user's operation did with operations has been seen; its result is theirs. */
static onnx_value of_custom(trace *t, const ito_tensor *out)
{
    onnx_value v = traced(t, out);
    if (v != 0 && is_unchanged(t, out))
        return v;
    return onnx_refuse(t->g,
                       "it is an operation of the program's own that is not made of operations "
                       "of the library (see ito_custom_op.composed)");
}

static void see(op_observer *base, const op_call *c, ito_tensor *out)
{
    trace *t = (trace *)base;
    bool depends = false;
    for (int64_t i = 0; i < c->n; i++)
        depends = depends || (c->in[i] != NULL && traced(t, c->in[i]) != 0);
    if (!depends || t->g->failed)
        return;
    const char *outer = t->g->op;
    t->g->op = outer != NULL ? outer : c->info->name;
    onnx_value v;
    if (c->info < op_table || c->info >= op_table + OP_COUNT) {
        v = of_custom(t, out);
    } else {
        const onnx_form *form = &onnx_forms[c->info - op_table];
        v = form->refusal != NULL    ? onnx_refuse(t->g, form->refusal)
            : form->composed != NULL ? composed(t, c, form->composed)
                                     : by_form(t, c, form, out);
    }
    t->g->op = outer;
    follow(t, out, v);
}

/* of: NULL where x has become a constant. */
static void same(op_observer *base, ito_tensor *x, const ito_tensor *of)
{
    trace *t = (trace *)base;
    onnx_value v = of == NULL ? 0 : traced(t, of);
    const char *outer = t->g->op;
    t->g->op = outer != NULL ? outer : "detach";
    if (v != 0 && !is_unchanged(t, of))
        v = onnx_refuse(t->g, changed);
    t->g->op = outer;
    follow(t, x, v);
}

/* ---- a run -------------------------------------------------------------------------------------
 */

static bool run(trace *t, ito_function *f, void *context, ito_tensor *const *inputs, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        follow(t, inputs[i], onnx_input(t->g, inputs[i]->dtype));
    if (t->g->failed)
        return false;
    op_observer *before = op_observe(&t->base);
    ito_tensor *y = f(inputs, n, context);
    op_observe(before);
    if (y == NULL)
        return error_false(ITO_ERR_ARGUMENT, "onnx_save: the function gave no result");
    if (t->g->failed)
        return false;
    t->g->op = "the result";
    t->g->output = value_of(t, y);
    t->g->output_shape = y->sizes;
    t->g->output_dtype = y->dtype;
    return !t->g->failed;
}

ito_status onnx_trace(onnx_graph *g, ito_function *f, void *context, ito_tensor *const *inputs,
                      int64_t n)
{
    static _Atomic uint64_t runs;
    trace t = {.base = {see, same}, .g = g, .number = atomic_fetch_add(&runs, 1) + 1};
    ito_tensor **own = struct_alloc((size_t)(n + 1) * sizeof *own);
    bool done = own != NULL && onnx_graph_init(g, n);
    ito_scope_begin();
    ito_no_grad_begin();
    for (int64_t i = 0; i < n && done; i++) /* whose records are the trace's */
        done = (own[i] = ito_detach(inputs[i])) != NULL;
    done = done && run(&t, f, context, own, n);
    ito_no_grad_end();
    ito_scope_end();
    free(own);
    return done ? ITO_OK : ito_error_code();
}
