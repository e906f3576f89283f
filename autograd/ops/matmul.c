/* Matrix products. bmm multiplies two stacks of matrices and takes transposes, slices and
 * broadcasts as strides, so its gradients are products of transposed views; matmul is bmm under
 * PyTorch's rules for vectors and batches; linear is one product with the bias in its last step.
 * In bf16 sums are made in f32 and rounded once.
 */
#include "autograd/op.h"
#include "tensor/gemm/gemm.h"

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

/* ---- linear: x [.., in], weight [out, in], bias [out] or NULL ----
 * Three operations, each other's derivatives: linear (x, w -> y), linear_data (dy, w -> dx) and
 * linear_weight (x, dy -> dw). Beside bf16 activations weights, and so their gradients, are f32. */

/* [.., columns] as rows: a matrix as it lies, anything else dense. */
typedef struct rows {
    const ito_tensor *t; /* NULL if there is no memory for it */
    int64_t count, columns, row, column;
} rows;

static rows rows_of(const ito_tensor *t)
{
    ito_shape s = ito_shape_of(t);
    int64_t columns = s.dim[--s.ndim];
    if (t->ndim == 2)
        return (rows){t, s.dim[0], columns, t->stride[0], t->stride[1]};
    return (rows){tensor_contiguous(t), shape_numel(s), columns, columns, 1};
}

static ito_tensor *product(const rows *a, const rows *b, const ito_tensor *bias, ito_shape shape,
                           ito_dtype dtype)
{
    ito_tensor *y = tensor_empty(shape, dtype);
    if (y == NULL || a->t == NULL || b->t == NULL)
        return NULL;
    gemm_problem p = {.a_dtype = a->t->dtype,
                      .b_dtype = b->t->dtype,
                      .c_dtype = dtype,
                      .m = a->count,
                      .n = b->columns,
                      .k = a->columns,
                      .a = tensor_data(a->t),
                      .a_row = a->row,
                      .a_col = a->column,
                      .b = tensor_data(b->t),
                      .b_row = b->row,
                      .b_col = b->column,
                      .c = tensor_data(y),
                      .c_row = b->columns,
                      .bias = bias == NULL ? NULL : tensor_data(bias)};
    return gemm(&p) == ITO_OK ? y : NULL;
}

static rows transposed(rows a)
{
    return (rows){a.t, a.columns, a.count, a.column, a.row};
}

static bool linear_fits(const op_call *c)
{
    const ito_shape *x = &c->shape[0], *w = &c->shape[1], *b = &c->shape[2];
    if (w->ndim != 2 || x->ndim < 1 || x->dim[x->ndim - 1] != w->dim[1])
        return error_false(ITO_ERR_SHAPE,
                           "linear: x %s and weight %s do not fit: [.., in] and [out, in]",
                           shape_str(*x), shape_str(*w));
    if (c->n > 2 && c->in[2] != NULL && (b->ndim != 1 || b->dim[0] != w->dim[0]))
        return error_false(ITO_ERR_SHAPE, "linear: bias %s does not fit weight %s", shape_str(*b),
                           shape_str(*w));
    return true;
}

ito_tensor *op_linear_forward(op_call *c)
{
    if (!linear_fits(c))
        return NULL;
    bool biased = c->n > 2 && c->in[2] != NULL;
    const ito_tensor *bias = biased ? tensor_contiguous(c->in[2]) : NULL;
    if (biased && bias == NULL)
        return NULL;
    ito_shape shape = c->shape[0];
    shape.dim[shape.ndim - 1] = c->shape[1].dim[0];
    rows x = rows_of(c->in[0]), w = transposed(rows_of(c->in[1]));
    return product(&x, &w, bias, shape, c->dtype[0]);
}

static ito_tensor *linear_data(ito_tensor *dy, ito_tensor *w)
{
    return OP2(linear_data, dy, w);
}

static ito_tensor *linear_weight(ito_tensor *x, ito_tensor *dy)
{
    return OP2(linear_weight, x, dy);
}

bool op_linear_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    if (c->needs[0] && (dx[0] = linear_data(dy, c->in[1])) == NULL)
        return false;
    if (c->needs[1] && (dx[1] = linear_weight(c->in[0], dy)) == NULL)
        return false;
    return c->n < 3 || !c->needs[2] ||
           (dx[2] = sum_to_shape(ito_cast(dy, c->dtype[2]), c->shape[2])) != NULL;
}

/* dx = dy w */
ito_tensor *op_linear_data_forward(op_call *c)
{
    ito_shape shape = c->shape[0];
    shape.dim[shape.ndim - 1] = c->shape[1].dim[1];
    rows dy = rows_of(c->in[0]), w = rows_of(c->in[1]);
    return product(&dy, &w, NULL, shape, c->dtype[0]);
}

/* For a gradient u that comes in: of dy it is linear(u, w), of w it is linear_weight(u, dy). */
bool op_linear_data_backward(const op_call *c, ito_tensor *u, ito_tensor **dx)
{
    if (c->needs[0] && (dx[0] = ito_linear(u, c->in[1], NULL)) == NULL)
        return false;
    return !c->needs[1] || (dx[1] = linear_weight(u, c->in[0])) != NULL;
}

/* dw = dy^T x, with rows flattened */
ito_tensor *op_linear_weight_forward(op_call *c)
{
    rows x = rows_of(c->in[0]), dy = transposed(rows_of(c->in[1]));
    ito_dtype dtype = c->dtype[0] == ITO_BF16 ? ITO_F32 : c->dtype[0];
    return product(&dy, &x, NULL, ITO_SHAPE(dy.count, x.columns), dtype);
}

/* For a gradient v that comes in: of x it is linear_data(dy, v), of dy it is linear(x, v). */
bool op_linear_weight_backward(const op_call *c, ito_tensor *v, ito_tensor **dx)
{
    if (c->needs[0] && (dx[0] = linear_data(c->in[1], v)) == NULL)
        return false;
    return !c->needs[1] || (dx[1] = ito_linear(c->in[0], v, NULL)) != NULL;
}

ito_tensor *ito_linear(ito_tensor *x, ito_tensor *weight, ito_tensor *bias)
{
    enum { BIAS_MAY_BE_NULL = 4 };
    return op_apply_optional(OP_linear, (ito_tensor *[]){x, weight, bias}, 3, BIAS_MAY_BE_NULL,
                             NULL, 0);
}
