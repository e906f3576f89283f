/* softmax and log_softmax over any axis. The kernels take dense rows: another axis than the last is
 * brought there first, and the result is a view of what they wrote, in that order of memory.
 */
#include "autograd/op.h"
#include "autograd/ops/params.h"
#include "tensor/kernels/kernels.h"

/* t with `axis` exchanged with the last one: a view. */
static ito_tensor *axis_last(const ito_tensor *t, int axis)
{
    if (t->ndim == 0)
        return tensor_view(t, ITO_SHAPE(1), ITO_DIMS(1).dim, t->offset);
    ito_shape shape = ito_shape_of(t), stride = {.ndim = t->ndim};
    for (int i = 0; i < t->ndim; i++)
        stride.dim[i] = t->stride[i];
    int last = t->ndim - 1;
    shape.dim[axis] = t->shape[last];
    shape.dim[last] = t->shape[axis];
    stride.dim[axis] = t->stride[last];
    stride.dim[last] = t->stride[axis];
    return tensor_view(t, shape, stride.dim, t->offset);
}

/* The same, dense. */
static ito_tensor *as_rows(const ito_tensor *t, int axis)
{
    ito_tensor *view = t == NULL ? NULL : axis_last(t, axis);
    return view == NULL ? NULL : tensor_contiguous(view);
}

/* Rows written for as_rows(t) seen as t again. */
static ito_tensor *from_rows(ito_tensor *rows, int axis, ito_shape shape)
{
    if (shape.ndim == 0)
        return tensor_view(rows, shape, rows->stride, rows->offset);
    return axis_last(rows, axis);
}

/* How rows are shared out: a chunk is worth a thread's while and keeps its rows in cache. */
static int64_t rows_in_chunk(int64_t n)
{
    enum { ELEMENTS = 1 << 13 };
    return n >= ELEMENTS ? 1 : ELEMENTS / (n > 0 ? n : 1);
}

typedef struct row_work {
    const kernel_table *kernels;
    char *out;
    const char *y, *x;           /* x: the input, or dy in backward */
    int64_t rows, n, size, step; /* step: rows in a chunk */
    bool log;
} row_work;

static void run_chunk(const row_work *w, int64_t chunk)
{
    int64_t first = chunk * w->step, at = first * w->n * w->size;
    int64_t rows = w->rows - first < w->step ? w->rows - first : w->step;
    if (w->y == NULL && w->log)
        w->kernels->log_softmax(w->out + at, w->x + at, rows, w->n);
    else if (w->y == NULL)
        w->kernels->softmax(w->out + at, w->x + at, rows, w->n, 1.0, NULL, NULL);
    else if (w->log)
        w->kernels->log_softmax_backward(w->out + at, w->y + at, w->x + at, rows, w->n);
    else
        w->kernels->softmax_backward(w->out + at, w->y + at, w->x + at, rows, w->n, 1.0);
}

/* Forward of x, or, given the result y too, backward of x = dy. */
static ito_tensor *run(const ito_tensor *y, const ito_tensor *x, int axis, bool log)
{
    ito_shape shape = ito_shape_of(x);
    ito_tensor *x_rows = as_rows(x, axis), *y_rows = as_rows(y, axis);
    ito_tensor *out = x_rows == NULL ? NULL : tensor_empty(ito_shape_of(x_rows), x->dtype);
    if (out == NULL || (y != NULL && y_rows == NULL))
        return NULL;
    int64_t n = out->shape[out->ndim - 1];
    row_work w = {.kernels = kernels(x->dtype),
                  .out = tensor_data(out),
                  .y = y == NULL ? NULL : tensor_data(y_rows),
                  .x = tensor_data(x_rows),
                  .rows = n == 0 ? 0 : ito_numel(out) / n,
                  .n = n,
                  .size = (int64_t)ito_dtype_size(x->dtype),
                  .step = rows_in_chunk(n),
                  .log = log};
    PARALLEL_FOR(chunk, (w.rows + w.step - 1) / w.step, 2 * w.rows * n, run_chunk(&w, chunk));
    return from_rows(out, axis, shape);
}

/* ---- softmax ---- */

ito_tensor *op_softmax_forward(op_call *c)
{
    const softmax_params *p = c->params;
    return run(NULL, c->in[0], p->axis, false);
}

/* dx = y (dy - sum(y dy)) */
bool op_softmax_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    int axis = ((const softmax_params *)c->params)->axis;
    if (!op_differentiated()) {
        dx[0] = run(c->out, dy, axis, false);
        return dx[0] != NULL;
    }
    ito_tensor *weighted = ito_mul(c->out, dy);
    if (c->shape[0].ndim > 0) /* else there is one element, and its weight is 1 */
        weighted = ito_sum(weighted, .dims = ITO_DIMS(axis), .keepdim = true);
    dx[0] = ito_mul(c->out, ito_sub(dy, weighted));
    return dx[0] != NULL;
}

/* ---- log_softmax ---- */

ito_tensor *op_log_softmax_forward(op_call *c)
{
    const softmax_params *p = c->params;
    return run(NULL, c->in[0], p->axis, true);
}

/* dx = dy - exp(y) sum(dy) */
bool op_log_softmax_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    int axis = ((const softmax_params *)c->params)->axis;
    if (!op_differentiated()) {
        dx[0] = run(c->out, dy, axis, true);
        return dx[0] != NULL;
    }
    ito_tensor *total = dy;
    if (c->shape[0].ndim > 0)
        total = ito_sum(dy, .dims = ITO_DIMS(axis), .keepdim = true);
    dx[0] = ito_sub(dy, ito_mul(ito_exp(c->out), total));
    return dx[0] != NULL;
}

/* dt - sum(softmax(x) dt) */
bool tangent_log_softmax(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    int axis = ((const softmax_params *)c->params)->axis;
    ito_tensor *mean = ito_mul(ito_exp(c->out), t[0]);
    if (c->shape[0].ndim > 0)
        mean = ito_sum(mean, .dims = ITO_DIMS(axis), .keepdim = true);
    *dt = ito_sub(t[0], mean);
    return *dt != NULL;
}

/* A number without axes has axis 0 here, as in PyTorch. */
static ito_tensor *apply(op_id id, ito_tensor *x, int axis)
{
    if (x == NULL)
        return NULL;
    softmax_params p = {axis_normalize(op_table[id].name, axis, x->ndim == 0 ? 1 : x->ndim)};
    return p.axis < 0 ? NULL : op_apply(id, &x, 1, &p, sizeof p);
}

ito_tensor *ito_softmax(ito_tensor *x, int axis)
{
    return apply(OP_softmax, x, axis);
}

ito_tensor *ito_log_softmax(ito_tensor *x, int axis)
{
    return apply(OP_log_softmax, x, axis);
}
