/* Matrix products. bmm multiplies two stacks of matrices and takes transposes, slices and
 * broadcasts as strides, so its gradients are products of transposed views; matmul is bmm under
 * PyTorch's rules for vectors and batches; linear is one product with the bias in its last step.
 */
#include "autograd/op.h"
#include "tensor/gemm.h"

/* ---- bmm: [B, M, K] [B, K, N] -> [B, M, N] ---- */

ito_tensor *op_bmm_forward(op_call *c)
{
    const ito_tensor *a = c->in[0], *b = c->in[1];
    int64_t m = a->shape[1], n = b->shape[2], k = a->shape[2];
    ito_tensor *y = tensor_empty(ITO_SHAPE(a->shape[0], m, n), a->dtype);
    if (y == NULL)
        return NULL;
    if (a->shape[0] == 0)
        return y;
    gemm_problem p = {.a_dtype = a->dtype,
                      .b_dtype = b->dtype,
                      .c_dtype = y->dtype,
                      .m = m,
                      .n = n,
                      .k = k,
                      .a = tensor_data(a),
                      .a_row = a->stride[1],
                      .a_col = a->stride[2],
                      .b = tensor_data(b),
                      .b_row = b->stride[1],
                      .b_col = b->stride[2],
                      .c = tensor_data(y),
                      .c_row = n,
                      .batch = a->shape[0],
                      .a_batch = a->stride[0],
                      .b_batch = b->stride[0],
                      .c_batch = m * n};
    return gemm(&p) == ITO_OK ? y : NULL;
}

/* da = dy b^T, db = a^T dy. */
bool op_bmm_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    if (c->needs[0])
        dx[0] = OP2(bmm, dy, ito_transpose(c->in[1], 1, 2));
    if (c->needs[1])
        dx[1] = OP2(bmm, ito_transpose(c->in[0], 1, 2), dy);
    return (!c->needs[0] || dx[0] != NULL) && (!c->needs[1] || dx[1] != NULL);
}

/* ---- matmul ---- */

/* The batch axes of both and then rows x columns; an axis that a vector lacked is left out. */
static ito_shape product_shape(ito_shape batch, int64_t rows, bool has_rows, int64_t columns,
                               bool has_columns)
{
    if (has_rows)
        batch.dim[batch.ndim++] = rows;
    if (has_columns)
        batch.dim[batch.ndim++] = columns;
    return batch;
}

/* [.., R, C] broadcast to the batch and flattened to [B, R, C]. */
static ito_tensor *stack(ito_tensor *t, ito_shape batch)
{
    int64_t rows = t->shape[t->ndim - 2], columns = t->shape[t->ndim - 1];
    int64_t count = shape_numel(batch);
    ito_tensor *wide = ito_expand_to(t, product_shape(batch, rows, true, columns, true));
    return ito_reshape_to(wide, ITO_SHAPE(count, rows, columns));
}

static ito_shape batch_of(const ito_tensor *t)
{
    ito_shape s = ito_shape_of(t);
    s.ndim -= 2;
    return s;
}

/* Both are matrices or stacks of them by now. */
static ito_tensor *multiply(ito_tensor *a, ito_tensor *b, ito_shape batch)
{
    if (b->ndim > 2)
        return OP2(bmm, stack(a, batch), stack(b, batch));
    /* one b for the whole stack: one tall product, and no sum over the batch in b's gradient */
    int64_t rows = shape_numel(batch) * a->shape[a->ndim - 2], k = b->shape[0];
    return OP2(bmm, ito_reshape_to(a, ITO_SHAPE(1, rows, k)),
               ito_reshape_to(b, ITO_SHAPE(1, k, b->shape[1])));
}

ito_tensor *ito_matmul(ito_tensor *a, ito_tensor *b)
{
    if (a == NULL || b == NULL)
        return NULL;
    if (a->ndim == 0 || b->ndim == 0)
        return error_null(ITO_ERR_SHAPE, "matmul: shapes %s and %s must have an axis each",
                          tensor_shape_str(a), tensor_shape_str(b));
    bool has_rows = a->ndim > 1, has_columns = b->ndim > 1;
    int64_t k = a->shape[a->ndim - 1], b_rows = b->shape[has_columns ? b->ndim - 2 : 0];
    if (k != b_rows)
        return error_null(ITO_ERR_SHAPE,
                          "matmul: shapes %s and %s do not multiply: %" PRId64
                          " columns meet %" PRId64 " rows",
                          tensor_shape_str(a), tensor_shape_str(b), k, b_rows);
    ito_tensor *left = has_rows ? a : ito_unsqueeze(a, 0);
    ito_tensor *right = has_columns ? b : ito_unsqueeze(b, 1);
    if (left == NULL || right == NULL)
        return NULL;
    ito_shape batch;
    if (!shape_broadcast(batch_of(left), batch_of(right), &batch))
        return error_null(ITO_ERR_SHAPE, "matmul: the batches of %s and %s do not broadcast",
                          tensor_shape_str(a), tensor_shape_str(b));
    ito_shape shape = product_shape(batch, left->shape[left->ndim - 2], has_rows,
                                    right->shape[right->ndim - 1], has_columns);
    return ito_reshape_to(multiply(left, right, batch), shape);
}

/* ---- linear: x [.., in], weight [out, in], bias [out] or NULL ---- */

/* How many rows of the last axis a shape has. */
static int64_t rows_of(ito_shape s)
{
    s.ndim--;
    return shape_numel(s);
}

static bool linear_fits(const op_call *c)
{
    const ito_shape *x = &c->shape[0], *w = &c->shape[1], *b = &c->shape[2];
    if (w->ndim != 2 || x->ndim < 1 || x->dim[x->ndim - 1] != w->dim[1]) {
        ito_error_set(ITO_ERR_SHAPE,
                      "linear: x %s and weight %s do not fit: [.., in] and [out, in]",
                      shape_str(*x), shape_str(*w));
        return false;
    }
    if (c->in[2] != NULL && (b->ndim != 1 || b->dim[0] != w->dim[0])) {
        ito_error_set(ITO_ERR_SHAPE, "linear: bias %s does not fit weight %s", shape_str(*b),
                      shape_str(*w));
        return false;
    }
    return true;
}

ito_tensor *op_linear_forward(op_call *c)
{
    if (!linear_fits(c))
        return NULL;
    ito_shape shape = c->shape[0];
    int64_t k = shape.dim[shape.ndim - 1], n = c->shape[1].dim[0], m = rows_of(shape);
    shape.dim[shape.ndim - 1] = n;
    const ito_tensor *w = c->in[1];
    const ito_tensor *x = shape.ndim == 2 ? c->in[0] : tensor_contiguous(c->in[0]);
    const ito_tensor *bias = c->in[2] == NULL ? NULL : tensor_contiguous(c->in[2]);
    ito_tensor *y = tensor_empty(shape, w->dtype);
    if (x == NULL || y == NULL || (c->in[2] != NULL && bias == NULL))
        return NULL;
    gemm_problem p = {.a_dtype = x->dtype,
                      .b_dtype = w->dtype,
                      .c_dtype = y->dtype,
                      .m = m,
                      .n = n,
                      .k = k,
                      .a = tensor_data(x),
                      .a_row = shape.ndim == 2 ? x->stride[0] : k,
                      .a_col = shape.ndim == 2 ? x->stride[1] : 1,
                      .b = tensor_data(w),
                      .b_row = w->stride[1],
                      .b_col = w->stride[0],
                      .c = tensor_data(y),
                      .c_row = n,
                      .bias = bias == NULL ? NULL : tensor_data(bias)};
    return gemm(&p) == ITO_OK ? y : NULL;
}

/* With rows flattened: dx = dy w, dw = dy^T x, db = the sum of dy's rows. */
bool op_linear_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    int64_t m = rows_of(c->shape[0]), k = c->shape[1].dim[1], n = c->shape[1].dim[0];
    ito_tensor *g = ito_reshape_to(dy, ITO_SHAPE(1, m, n));
    if (c->needs[0]) {
        ito_tensor *w = ito_reshape_to(c->in[1], ITO_SHAPE(1, n, k));
        dx[0] = ito_reshape_to(OP2(bmm, g, w), c->shape[0]);
        if (dx[0] == NULL)
            return false;
    }
    if (c->needs[1]) {
        ito_tensor *x = ito_reshape_to(c->in[0], ITO_SHAPE(1, m, k));
        dx[1] = ito_reshape_to(OP2(bmm, ito_transpose(g, 1, 2), x), c->shape[1]);
        if (dx[1] == NULL)
            return false;
    }
    if (c->needs[2]) {
        dx[2] = ito_sum(g, .dims = ITO_DIMS(0, 1));
        if (dx[2] == NULL)
            return false;
    }
    return true;
}

ito_tensor *ito_linear(ito_tensor *x, ito_tensor *weight, ito_tensor *bias)
{
    enum { BIAS_MAY_BE_NULL = 4 };
    return op_apply_optional(OP_linear, (ito_tensor *[]){x, weight, bias}, 3, BIAS_MAY_BE_NULL,
                             NULL, 0);
}
