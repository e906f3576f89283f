/* Functions made of functions: see transforms.h. */
#include "autograd/transforms.h"

#include "autograd/forward.h"
#include "autograd/graph.h"
#include "autograd/ops.h"

#include <string.h>

static bool check_call(const char *op, ito_function *f, ito_tensor *const *inputs, int64_t n)
{
    if (f == NULL || n < 1 || inputs == NULL)
        return error_false(ITO_ERR_ARGUMENT, "%s: %s", op, f == NULL ? "no function" : "no inputs");
    for (int64_t i = 0; i < n; i++)
        if (inputs[i] == NULL)
            return error_false(ITO_ERR_ARGUMENT, "%s: input %" PRId64 " is NULL", op, i);
    return true;
}

static bool is_real(const ito_tensor *t)
{
    return t->dtype == ITO_F32 || t->dtype == ITO_F64 || t->dtype == ITO_BF16;
}

static bool check_tangents(const char *op, ito_tensor *const *inputs, int64_t n,
                           ito_tensor *const *tangents)
{
    if (tangents == NULL)
        return error_false(ITO_ERR_ARGUMENT, "%s: the list of tangents is NULL", op);
    for (int64_t i = 0; i < n; i++) {
        const ito_tensor *t = tangents[i], *x = inputs[i];
        if (t == NULL)
            continue;
        if (!is_real(x))
            return error_false(ITO_ERR_DTYPE, "%s: input %" PRId64 " is %s, which has no tangent",
                               op, i, ito_dtype_name(x->dtype));
        if (t->dtype != x->dtype)
            return error_false(ITO_ERR_DTYPE, "%s: the tangent of input %" PRId64 " is %s, not %s",
                               op, i, ito_dtype_name(t->dtype), ito_dtype_name(x->dtype));
        if (!shape_equal(ito_shape_of(t), ito_shape_of(x)))
            return error_false(ITO_ERR_SHAPE,
                               "%s: the tangent of input %" PRId64 " is %s, not shaped as it, %s",
                               op, i, tensor_shape_str(t), tensor_shape_str(x));
    }
    return true;
}

/* f's result, or NULL with an error. */
static ito_tensor *call(const char *op, ito_function *f, void *context, ito_tensor *const *inputs,
                        int64_t n)
{
    ito_tensor *y = f(inputs, n, context);
    if (y == NULL && ito_error_code() == ITO_OK)
        ito_error_set(ITO_ERR_ARGUMENT, "%s: the function gave no result", op);
    return y;
}

/* Another handle of x, with its history. */
static ito_tensor *stand_in(ito_tensor *x)
{
    return ito_view_to(x, ito_shape_of(x));
}

/* ---- forward mode ---- */

/* f at the inputs, and its tangent, both of the current scope; dual has room for n tensors. */
static ito_tensor *jvp(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                       ito_tensor *const *tangents, ito_tensor **dual, ito_tensor **value)
{
    bool made = true;
    for (int64_t i = 0; i < n && made; i++) {
        dual[i] = stand_in(inputs[i]);
        made = dual[i] != NULL;
    }
    int level = made ? forward_begin() : 0;
    if (level == 0)
        return NULL;
    for (int64_t i = 0; i < n && made; i++)
        made = tangents[i] == NULL || forward_set(dual[i], level, tangents[i]);
    ito_tensor *y = made ? call("jvp", f, context, dual, n) : NULL;
    ito_tensor *dy = forward_tangent(y, level);
    forward_end(level);
    *value = y;
    /* The value's handle may go, and with it its tangent: hand out another of that. */
    return y == NULL ? NULL : dy == NULL ? ito_zeros_like(y) : stand_in(dy);
}

ito_tensor *ito_jvp(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                    ito_tensor *const *tangents, ito_tensor **value)
{
    if (!check_call("jvp", f, inputs, n) || !check_tangents("jvp", inputs, n, tangents))
        return NULL;
    ito_tensor **dual = mem_alloc((size_t)n * sizeof(ito_tensor *)), *y = NULL;
    if (dual == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *dy = ito_keep(jvp(f, context, inputs, n, tangents, dual, &y));
    if (value != NULL && dy != NULL)
        *value = ito_keep(stand_in(y));
    ito_scope_end();
    mem_free(dual);
    return value != NULL && dy != NULL && *value == NULL ? NULL : dy;
}

/* ---- products with the Hessian ---- */

/* Leaves or stand-ins at which to differentiate; false with an error. */
static bool differentiable_inputs(ito_tensor *const *inputs, int64_t n, bool recorded,
                                  ito_tensor **at)
{
    for (int64_t i = 0; i < n; i++) {
        at[i] = inputs[i];
        if (is_real(inputs[i]))
            at[i] = recorded && tensor_needs_grad(inputs[i])
                        ? stand_in(inputs[i])
                        : ito_requires_grad(ito_detach(inputs[i]), true);
        if (at[i] == NULL)
            return false;
    }
    return true;
}

/* The gradient of a single number at the n inputs that are real, zeros where it does not depend on
 * them. */
static bool gradients(ito_tensor *y, ito_tensor *const *at, int64_t n, bool recorded,
                      ito_tensor **result)
{
    for (int64_t i = 0; i < n; i++) {
        result[i] = NULL;
        if (y == NULL)
            return false;
        if (!is_real(at[i]))
            continue;
        result[i] = tensor_needs_grad(y)
                        ? ito_grad(y, at[i], .retain_graph = true, .create_graph = recorded)
                        : ito_zeros_like(at[i]);
        if (result[i] == NULL)
            return false;
    }
    return true;
}

static bool hvp(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                ito_tensor *const *vectors, ito_tensor **room, ito_tensor **products)
{
    ito_tensor **at = room, **dual = room + n, *y = NULL;
    bool recorded = op_differentiated();
    int saved = grad_mode_enable();
    bool done = differentiable_inputs(inputs, n, recorded, at);
    ito_tensor *slope = done ? jvp(f, context, at, n, vectors, dual, &y) : NULL;
    if (slope != NULL && ito_numel(slope) != 1)
        slope = error_null(ITO_ERR_SHAPE, "hvp: the function gives %s, not a single number",
                           tensor_shape_str(slope));
    done = slope != NULL && gradients(ito_sum(slope), at, n, recorded, products);
    grad_mode_restore(saved);
    return done;
}

ito_status ito_hvp(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                   ito_tensor *const *vectors, ito_tensor **products)
{
    if (!check_call("hvp", f, inputs, n) || !check_tangents("hvp", inputs, n, vectors))
        return ito_error_code();
    if (products == NULL)
        return error_missing("hvp", "the list of products");
    ito_tensor **room = mem_alloc((size_t)n * 3 * sizeof(ito_tensor *));
    if (room == NULL)
        return ITO_ERR_MEMORY;
    ito_scope_begin();
    ito_tensor **result = room + 2 * n;
    bool done = hvp(f, context, inputs, n, vectors, room, result);
    for (int64_t i = 0; i < n && done; i++) {
        bool real = result[i] != NULL;
        result[i] = ito_keep(result[i]);
        done = !real || result[i] != NULL;
    }
    ito_scope_end();
    if (done)
        memcpy(products, result, (size_t)n * sizeof *products);
    mem_free(room);
    return done ? ITO_OK : ito_error_code();
}

/* ---- whole matrices ---- */

/* As t, all zeros but a 1 in place j of row-major order. */
static ito_tensor *unit(const ito_tensor *t, int64_t j)
{
    ito_tensor *e = ito_zeros(ito_shape_of(t), ito_dtype_of(t));
    ito_tensor *flat = ito_view_to(e, ITO_SHAPE(-1));
    return ito_fill_(ito_select(flat, 0, j), 1) == NULL ? NULL : e;
}

/* [a's shape, b's shape]; false with an error. */
static bool joined_shape(const char *op, const ito_tensor *a, const ito_tensor *b, ito_shape *both)
{
    if (a->ndim + b->ndim > ITO_MAX_DIMS)
        return error_false(ITO_ERR_SHAPE, "%s: %s and %s have more than %d axes together", op,
                           tensor_shape_str(a), tensor_shape_str(b), ITO_MAX_DIMS);
    *both = ito_shape_of(a);
    for (int i = 0; i < b->ndim; i++)
        both->dim[both->ndim++] = b->shape[i];
    return true;
}

/* What is stacked a line at a time: the derivatives of a function. */
typedef struct matrix {
    const char *op;
    ito_function *f;
    void *context;
    ito_tensor *const *inputs;
    int64_t n, argnum;
    ito_tensor **room; /* 3 n tensors */
    bool recorded;
} matrix;

/* Column j: the tangents of f along unit j of the input. */
static ito_tensor *column(const matrix *m, int64_t j)
{
    ito_tensor **tangents = m->room, *y = NULL;
    for (int64_t i = 0; i < m->n; i++)
        tangents[i] = NULL;
    tangents[m->argnum] = unit(m->inputs[m->argnum], j);
    return tangents[m->argnum] == NULL
               ? NULL
               : jvp(m->f, m->context, m->inputs, m->n, tangents, m->room + m->n, &y);
}

/* Row j of the Hessian: its product with unit j. */
static ito_tensor *hessian_row(const matrix *m, int64_t j)
{
    ito_tensor **vectors = m->room, *y = NULL, **at = m->room + m->n, **dual = m->room + 2 * m->n;
    for (int64_t i = 0; i < m->n; i++)
        vectors[i] = NULL;
    vectors[m->argnum] = unit(m->inputs[m->argnum], j);
    if (vectors[m->argnum] == NULL || !differentiable_inputs(m->inputs, m->n, m->recorded, at))
        return NULL;
    ito_tensor *slope = jvp(m->f, m->context, at, m->n, vectors, dual, &y), *row = NULL;
    if (slope != NULL && ito_numel(slope) != 1)
        return error_null(ITO_ERR_SHAPE, "%s: the function gives %s, not a single number", m->op,
                          tensor_shape_str(slope));
    return slope != NULL && gradients(ito_sum(slope), at + m->argnum, 1, m->recorded, &row) ? row
                                                                                            : NULL;
}

/* count lines of equal shape, stacked in front. */
static ito_tensor *stacked(const matrix *m, int64_t count,
                           ito_tensor *(*line)(const matrix *m, int64_t j))
{
    ito_tensor **lines = mem_alloc((size_t)count * sizeof(ito_tensor *)), *all = NULL;
    bool made = lines != NULL;
    for (int64_t j = 0; j < count && made; j++) {
        ito_scope_begin();
        lines[j] = ito_keep(ito_unsqueeze(line(m, j), 0));
        ito_scope_end();
        made = lines[j] != NULL;
    }
    if (made)
        all = ito_cat(lines, count, 0);
    mem_free(lines);
    return all;
}

/* Rows: f once, recorded, and a sweep for each element of its result. */
static ito_tensor *jacobian_by_rows(const matrix *m)
{
    ito_tensor **at = m->room, *all = NULL;
    if (!differentiable_inputs(m->inputs, m->n, m->recorded, at))
        return NULL;
    ito_tensor *y = call(m->op, m->f, m->context, at, m->n), *x = at[m->argnum];
    ito_shape shape;
    if (y == NULL || !joined_shape(m->op, y, x, &shape))
        return NULL;
    int64_t count = ito_numel(y);
    ito_tensor **rows = mem_alloc((size_t)(count + 1) * sizeof(ito_tensor *));
    bool made = rows != NULL;
    for (int64_t j = 0; j < count && made; j++) {
        ito_tensor *row = ito_zeros_like(x);
        if (tensor_needs_grad(y))
            row = ito_grad(y, x, .cotangent = unit(y, j), .retain_graph = true,
                           .create_graph = m->recorded);
        rows[j] = ito_unsqueeze(row, 0);
        made = rows[j] != NULL;
    }
    if (made)
        all = count == 0 ? ito_zeros(shape, y->dtype)
                         : ito_reshape_to(ito_cat(rows, count, 0), shape);
    mem_free(rows);
    return all;
}

/* The columns last: [x's elements, y's shape] to [y's shape, x's shape]. */
static ito_tensor *jacobian_by_columns(const matrix *m, const ito_tensor *y)
{
    const ito_tensor *x = m->inputs[m->argnum];
    ito_shape shape, order = {.ndim = y->ndim + 1};
    if (!joined_shape(m->op, y, x, &shape))
        return NULL;
    if (ito_numel(x) == 0)
        return ito_zeros(shape, y->dtype);
    for (int i = 0; i < order.ndim; i++)
        order.dim[i] = i < y->ndim ? i + 1 : 0;
    return ito_reshape_to(ito_permute_to(stacked(m, ito_numel(x), column), order), shape);
}

static ito_tensor *jacobian(matrix *m)
{
    /* f's result tells its size: one run without history */
    ito_no_grad_begin();
    ito_scope_begin();
    ito_tensor *y = ito_keep(call(m->op, m->f, m->context, m->inputs, m->n));
    ito_scope_end();
    ito_no_grad_end();
    if (y == NULL)
        return NULL;
    if (!is_real(y))
        return error_null(ITO_ERR_DTYPE, "%s: the function gives %s, which has no derivative",
                          m->op, ito_dtype_name(y->dtype));
    if (ito_numel(m->inputs[m->argnum]) <= ito_numel(y))
        return jacobian_by_columns(m, y);
    int saved = grad_mode_enable();
    ito_tensor *all = jacobian_by_rows(m);
    grad_mode_restore(saved);
    return all;
}

static ito_tensor *hessian(matrix *m)
{
    const ito_tensor *x = m->inputs[m->argnum];
    ito_shape shape;
    if (!joined_shape(m->op, x, x, &shape))
        return NULL;
    if (ito_numel(x) == 0)
        return ito_zeros(shape, x->dtype);
    int saved = grad_mode_enable();
    ito_tensor *all = ito_reshape_to(stacked(m, ito_numel(x), hessian_row), shape);
    grad_mode_restore(saved);
    return all;
}

static ito_tensor *whole(matrix m, ito_tensor *(*make)(matrix *m))
{
    if (!check_call(m.op, m.f, m.inputs, m.n))
        return NULL;
    if (m.argnum < 0 || m.argnum >= m.n)
        return error_null(ITO_ERR_RANGE, "%s: argnum %" PRId64 " of %" PRId64 " inputs", m.op,
                          m.argnum, m.n);
    if (!is_real(m.inputs[m.argnum]))
        return error_null(ITO_ERR_DTYPE, "%s: input %" PRId64 " is %s, which has no derivative",
                          m.op, m.argnum, ito_dtype_name(m.inputs[m.argnum]->dtype));
    m.recorded = op_differentiated();
    m.room = mem_alloc((size_t)m.n * 3 * sizeof(ito_tensor *));
    if (m.room == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *all = ito_keep(make(&m));
    ito_scope_end();
    mem_free(m.room);
    return all;
}

ito_tensor *ito_jacobian(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                         int64_t argnum)
{
    return whole((matrix){"jacobian", f, context, inputs, n, argnum, NULL, false}, jacobian);
}

ito_tensor *ito_hessian(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                        int64_t argnum)
{
    return whole((matrix){"hessian", f, context, inputs, n, argnum, NULL, false}, hessian);
}

/* ---- vmap ---- */

/* The axis of input i, not negative, or -1 for none; -2 with an error. */
static int axis_of_input(ito_tensor *const *inputs, int64_t i, const int *in_axes)
{
    int axis = in_axes == NULL ? 0 : in_axes[i];
    if (axis == ITO_NO_AXIS)
        return -1;
    axis = axis_normalize("vmap", axis, inputs[i]->ndim);
    return axis < 0 ? -2 : axis;
}

/* The common size along the axes, which go to axis; -1 with an error. */
static int64_t batch_size(ito_tensor *const *inputs, int64_t n, const int *in_axes, int *axis)
{
    int64_t size = -1;
    for (int64_t i = 0; i < n; i++) {
        axis[i] = axis_of_input(inputs, i, in_axes);
        if (axis[i] == -2)
            return -1;
        if (axis[i] == -1)
            continue;
        int64_t here = inputs[i]->shape[axis[i]];
        if (here == 0 || (size >= 0 && here != size)) {
            ito_error_set(ITO_ERR_SHAPE,
                          here == 0 ? "vmap: input %" PRId64 " %s has no entry along axis %d"
                                    : "vmap: input %" PRId64 " %s has another size along axis %d "
                                      "than those before",
                          i, tensor_shape_str(inputs[i]), axis[i]);
            return -1;
        }
        size = here;
    }
    if (size < 0)
        ito_error_set(ITO_ERR_ARGUMENT, "vmap: no input has an axis to map over");
    return size;
}

static ito_tensor *vmap(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                        int64_t size, const int *axis, int out_axis)
{
    ito_tensor **result = mem_alloc((size_t)(size + n) * sizeof(ito_tensor *)), *all = NULL;
    bool made = result != NULL;
    for (int64_t k = 0; k < size && made; k++) {
        ito_tensor **entry = result + size;
        ito_scope_begin();
        for (int64_t i = 0; i < n; i++) {
            entry[i] = axis[i] < 0 ? inputs[i] : ito_select(inputs[i], axis[i], k);
            made = made && entry[i] != NULL;
        }
        result[k] =
            made ? ito_keep(ito_unsqueeze(call("vmap", f, context, entry, n), out_axis)) : NULL;
        ito_scope_end();
        made = result[k] != NULL;
    }
    if (made)
        all = ito_cat(result, size, out_axis);
    mem_free(result);
    return all;
}

ito_tensor *ito_vmap_with(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                          ito_vmap_options options)
{
    if (!check_call("vmap", f, inputs, n))
        return NULL;
    int *axis = mem_alloc((size_t)n * sizeof *axis);
    if (axis == NULL)
        return NULL;
    ito_tensor *all = NULL;
    int64_t size = batch_size(inputs, n, options.in_axes, axis);
    if (size > 0) {
        ito_scope_begin();
        all = ito_keep(vmap(f, context, inputs, n, size, axis, options.out_axis));
        ito_scope_end();
    }
    mem_free(axis);
    return all;
}

/* ---- another gradient ---- */

typedef struct custom_grad {
    ito_function *f;
    ito_custom_vjp *vjp;
    void *context;
} custom_grad;

static ito_tensor *custom_grad_forward(ito_tensor *const *inputs, int64_t n, const void *params)
{
    const custom_grad *c = params;
    return c->f(inputs, n, c->context);
}

static ito_tensor *custom_grad_backward(int64_t i, ito_tensor *const *inputs, int64_t n,
                                        ito_tensor *output, ito_tensor *dy, const void *params)
{
    const custom_grad *c = params;
    return c->vjp(i, inputs, n, output, dy, c->context);
}

ito_tensor *ito_custom_grad(ito_function *f, ito_custom_vjp *vjp, void *context,
                            ito_tensor *const *inputs, int64_t n)
{
    static const ito_custom_op op = {.name = "custom_grad",
                                     .forward = custom_grad_forward,
                                     .backward = custom_grad_backward,
                                     .params_size = sizeof(custom_grad)};
    if (vjp == NULL || !check_call("custom_grad", f, inputs, n))
        return vjp != NULL
                   ? NULL
                   : error_null(ITO_ERR_ARGUMENT, "custom_grad: no function for the gradient");
    custom_grad c = {f, vjp, context};
    return ito_custom(&op, inputs, n, &c);
}
