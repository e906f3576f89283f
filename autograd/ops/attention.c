/* softmax(scale q k^T) v, fused: queries go in blocks, and of the T x S scores only a block's rows
 * exist at a time. Forward keeps each row's peak and the inverse of its sum, from which backward
 * makes the same probabilities again. Invariant: a row of scores depends on its query alone, and
 * what is summed over queries (dk, dv) is summed block after block, of a size that the shapes alone
 * decide. With bf16 inputs all of that is f32: scores, probabilities and the sums of dk and dv.
 */
#include "autograd/op.h"
#include "tensor/gemm/gemm.h"
#include "tensor/kernels/kernels.h"

#include <math.h>

typedef struct attention_params {
    double scale; /* NaN: 1 / sqrt(D) */
} attention_params;

/* A stack of matrices [.., rows, columns] with any strides. */
typedef struct matrices {
    const ito_tensor *t;
    char *data;
    int64_t rows, columns, row, column; /* sizes, strides */
} matrices;

static matrices matrices_of(const ito_tensor *t)
{
    int last = t->ndim - 1;
    return (matrices){t,
                      tensor_data(t),
                      t->shape[last - 1],
                      t->shape[last],
                      t->stride[last - 1],
                      t->stride[last]};
}

/* The first element of row `row` of the i-th matrix. */
static char *matrix_row(const matrices *m, int64_t i, int64_t row)
{
    int64_t at = row * m->row;
    for (int axis = m->t->ndim - 3; axis >= 0; axis--) {
        at += i % m->t->shape[axis] * m->t->stride[axis];
        i /= m->t->shape[axis];
    }
    return m->data + at * (int64_t)ito_dtype_size(m->t->dtype);
}

static int64_t batch_of(ito_shape s)
{
    s.ndim -= 2;
    return shape_numel(s);
}

static double scale_of(const op_call *c)
{
    const attention_params *p = c->params;
    return isnan(p->scale) ? 1.0 / sqrt((double)c->shape[0].dim[c->shape[0].ndim - 1]) : p->scale;
}

static ito_dtype computed_in(const op_call *c)
{
    return c->dtype[0] == ITO_BF16 ? ITO_F32 : c->dtype[0];
}

/* Queries in a block: as many as keep the scores in the second-level cache. */
static int64_t block_queries(int64_t queries, int64_t keys, ito_dtype dtype)
{
    enum { SCORE_BYTES = 1 << 18, STEP = 16 };
    int64_t fitting = SCORE_BYTES / ((int64_t)ito_dtype_size(dtype) * (keys > 0 ? keys : 1));
    fitting = fitting < STEP ? STEP : fitting / STEP * STEP;
    return fitting < queries ? fitting : queries;
}

/* The rows of a block: rows [first, first + count) of matrix i. */
typedef struct block {
    int64_t i, first, count;
} block;

/* Softmax rows over the threads there are. */
enum { ROWS = 16 };

/* ---- forward ---- */

typedef struct attention_forward {
    ito_dtype dtype; /* of scores and what is made of them */
    double scale;
    matrices q, k, v, out;
    char *peak, *inverse; /* [batch][T] */
} attention_forward;

static void block_softmax(const attention_forward *a, const block *b, char *scores)
{
    int64_t size = (int64_t)ito_dtype_size(a->dtype), keys = a->k.rows;
    char *peak = a->peak + (b->i * a->q.rows + b->first) * size;
    char *inverse = a->inverse + (b->i * a->q.rows + b->first) * size;
    const kernel_table *t = kernels(a->dtype);
#pragma omp parallel for num_threads(threads_for(2 * b->count * keys)) schedule(static)
    for (int64_t r = 0; r < b->count; r += ROWS) {
        char *at = scores + r * keys * size;
        t->softmax(at, at, b->count - r < ROWS ? b->count - r : ROWS, keys, a->scale,
                   peak + r * size, inverse + r * size);
    }
}

static bool forward_block(const attention_forward *a, const block *b, char *scores)
{
    int64_t keys = a->k.rows;
    gemm_problem qk = {.a_dtype = a->q.t->dtype,
                       .b_dtype = a->k.t->dtype,
                       .c_dtype = a->dtype,
                       .m = b->count,
                       .n = keys,
                       .k = a->q.columns,
                       .a = matrix_row(&a->q, b->i, b->first),
                       .a_row = a->q.row,
                       .a_col = a->q.column,
                       .b = matrix_row(&a->k, b->i, 0),
                       .b_row = a->k.column,
                       .b_col = a->k.row,
                       .c = scores,
                       .c_row = keys};
    if (gemm(&qk) != ITO_OK)
        return false;
    block_softmax(a, b, scores);
    gemm_problem pv = {.a_dtype = a->dtype,
                       .b_dtype = a->v.t->dtype,
                       .c_dtype = a->out.t->dtype,
                       .m = b->count,
                       .n = a->v.columns,
                       .k = keys,
                       .a = scores,
                       .a_row = keys,
                       .a_col = 1,
                       .b = matrix_row(&a->v, b->i, 0),
                       .b_row = a->v.row,
                       .b_col = a->v.column,
                       .c = matrix_row(&a->out, b->i, b->first),
                       .c_row = a->out.row};
    return gemm(&pv) == ITO_OK;
}

/* An error in a thread of the team was recorded there: say it in the caller's. */
static bool blocks_done(bool failed)
{
    if (failed)
        error_status(ITO_ERR_MEMORY,
                     "scaled_dot_product_attention: no memory for a block of scores");
    return !failed;
}

static bool forward_blocks(const attention_forward *a, int64_t batch)
{
    int64_t step = block_queries(a->q.rows, a->k.rows, a->dtype);
    if (batch == 0 || step == 0)
        return true;
    int64_t per_matrix = (a->q.rows + step - 1) / step, tasks = batch * per_matrix;
    int threads = 2 * tasks < ito_threads() ? 1 : threads_for(batch * a->q.rows * a->k.rows);
    bool failed = false;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < tasks; task++) {
        block b = {.i = task / per_matrix, .first = task % per_matrix * step};
        b.count = a->q.rows - b.first < step ? a->q.rows - b.first : step;
        char *scores = mem_alloc((size_t)(b.count * a->k.rows) * ito_dtype_size(a->dtype));
        if (scores == NULL || !forward_block(a, &b, scores)) {
#pragma omp atomic write
            failed = true;
        }
        mem_free(scores);
    }
    return blocks_done(failed);
}

static bool attention_fits(ito_shape q, ito_shape k, ito_shape v)
{
    bool fits = q.ndim >= 2 && k.ndim == q.ndim && v.ndim == q.ndim;
    for (int i = 0; fits && i < q.ndim - 2; i++)
        fits = q.dim[i] == k.dim[i] && q.dim[i] == v.dim[i];
    fits = fits && q.dim[q.ndim - 1] == k.dim[q.ndim - 1] && k.dim[q.ndim - 2] == v.dim[q.ndim - 2];
    if (!fits)
        ito_error_set(ITO_ERR_SHAPE,
                      "scaled_dot_product_attention: q %s, k %s and v %s do not fit: [.., T, D], "
                      "[.., S, D] and [.., S, E]",
                      shape_str(q), shape_str(k), shape_str(v));
    return fits;
}

ito_tensor *op_scaled_dot_product_attention_forward(op_call *c)
{
    if (!attention_fits(c->shape[0], c->shape[1], c->shape[2]))
        return NULL;
    ito_shape shape = c->shape[0], rows = shape;
    rows.ndim--;
    shape.dim[shape.ndim - 1] = c->shape[2].dim[shape.ndim - 1];
    ito_tensor *out = tensor_empty(shape, c->dtype[0]);
    c->extra[0] = tensor_empty(rows, computed_in(c));
    c->extra[1] = tensor_empty(rows, computed_in(c));
    if (out == NULL || c->extra[0] == NULL || c->extra[1] == NULL)
        return NULL;
    attention_forward a = {.dtype = computed_in(c),
                           .scale = scale_of(c),
                           .q = matrices_of(c->in[0]),
                           .k = matrices_of(c->in[1]),
                           .v = matrices_of(c->in[2]),
                           .out = matrices_of(out),
                           .peak = tensor_data(c->extra[0]),
                           .inverse = tensor_data(c->extra[1])};
    return forward_blocks(&a, batch_of(shape)) ? out : NULL;
}

/* ---- backward ---- */

typedef struct attention_backward {
    attention_forward forward;
    matrices dy, dq, dk, dv; /* dq, dk, dv: t is NULL where not wanted */
} attention_backward;

/* scores becomes the probabilities and dp, in place, the gradient of the scores. */
static void block_gradient(const attention_backward *w, const block *b, char *scores, char *dp)
{
    const attention_forward *a = &w->forward;
    int64_t size = (int64_t)ito_dtype_size(a->dtype), keys = a->k.rows;
    const char *peak = a->peak + (b->i * a->q.rows + b->first) * size;
    const char *inverse = a->inverse + (b->i * a->q.rows + b->first) * size;
    const kernel_table *t = kernels(a->dtype);
#pragma omp parallel for num_threads(threads_for(2 * b->count * keys)) schedule(static)
    for (int64_t r = 0; r < b->count; r += ROWS) {
        int64_t rows = b->count - r < ROWS ? b->count - r : ROWS;
        char *p = scores + r * keys * size, *ds = dp + r * keys * size;
        t->softmax_recompute(p, p, rows, keys, a->scale, peak + r * size, inverse + r * size);
        t->softmax_backward(ds, p, ds, rows, keys, a->scale);
    }
}

/* c [m, n] = a b, with a a block's rows [m, k] of something, b the whole matrix i of b or, if
 * transposed, its transpose. The transpose makes scores, of type dtype, of what the inputs are;
 * without it, it is the other way round. */
static bool rows_product(ito_dtype dtype, const block *at, const void *a, int64_t a_row,
                         int64_t a_column, const matrices *b, bool transposed, void *c,
                         int64_t c_row)
{
    ito_dtype input = b->t->dtype;
    gemm_problem p = {.a_dtype = transposed ? input : dtype,
                      .b_dtype = input,
                      .c_dtype = transposed ? dtype : input,
                      .m = at->count,
                      .n = transposed ? b->rows : b->columns,
                      .k = transposed ? b->columns : b->rows,
                      .a = a,
                      .a_row = a_row,
                      .a_col = a_column,
                      .b = matrix_row(b, at->i, 0),
                      .b_row = transposed ? b->column : b->row,
                      .b_col = transposed ? b->row : b->column,
                      .c = c,
                      .c_row = c_row};
    return gemm(&p) == ITO_OK;
}

/* to += p^T from, with p [count, keys] dense and from a block's rows: what queries add to keys. */
static bool add_to_keys(ito_dtype dtype, const block *at, const void *p, const matrices *from,
                        const matrices *to)
{
    gemm_problem g = {.a_dtype = dtype,
                      .b_dtype = from->t->dtype,
                      .c_dtype = dtype,
                      .m = to->rows,
                      .n = to->columns,
                      .k = at->count,
                      .a = p,
                      .a_row = 1,
                      .a_col = to->rows,
                      .b = matrix_row(from, at->i, at->first),
                      .b_row = from->row,
                      .b_col = from->column,
                      .c = matrix_row(to, at->i, 0),
                      .c_row = to->row,
                      .accumulate = at->first > 0};
    return gemm(&g) == ITO_OK;
}

static bool backward_block(const attention_backward *w, const block *b, char *scores, char *dp)
{
    const attention_forward *a = &w->forward;
    int64_t keys = a->k.rows;
    bool done = rows_product(a->dtype, b, matrix_row(&a->q, b->i, b->first), a->q.row, a->q.column,
                             &a->k, true, scores, keys) &&
                rows_product(a->dtype, b, matrix_row(&w->dy, b->i, b->first), w->dy.row,
                             w->dy.column, &a->v, true, dp, keys);
    if (!done)
        return false;
    block_gradient(w, b, scores, dp);
    if (w->dv.t != NULL && !add_to_keys(a->dtype, b, scores, &w->dy, &w->dv))
        return false;
    if (w->dk.t != NULL && !add_to_keys(a->dtype, b, dp, &a->q, &w->dk))
        return false;
    return w->dq.t == NULL || rows_product(a->dtype, b, dp, keys, 1, &a->k, false,
                                           matrix_row(&w->dq, b->i, b->first), w->dq.row);
}

/* All the blocks of one matrix, in order. */
static bool backward_matrix(const attention_backward *w, int64_t i)
{
    const attention_forward *a = &w->forward;
    int64_t step = block_queries(a->q.rows, a->k.rows, a->dtype);
    size_t bytes = (size_t)(step * a->k.rows) * ito_dtype_size(a->dtype);
    char *scores = mem_alloc(bytes), *dp = scores == NULL ? NULL : mem_alloc(bytes);
    bool done = dp != NULL;
    for (int64_t first = 0; done && first < a->q.rows; first += step) {
        block b = {i, first, a->q.rows - first < step ? a->q.rows - first : step};
        done = backward_block(w, &b, scores, dp);
    }
    mem_free(scores);
    mem_free(dp);
    return done;
}

static bool backward_matrices(const attention_backward *w, int64_t batch)
{
    const attention_forward *a = &w->forward;
    int threads = 2 * batch < ito_threads() ? 1 : threads_for(batch * a->q.rows * a->k.rows);
    bool failed = false;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < batch; i++)
        if (!backward_matrix(w, i)) {
#pragma omp atomic write
            failed = true;
        }
    return blocks_done(failed);
}

/* A gradient to be filled; zero at once where there are no queries that could. */
static bool make_gradient(const op_call *c, int64_t i, ito_dtype dtype, ito_tensor **dx,
                          matrices *m)
{
    if (!c->needs[i])
        return true;
    dx[i] = tensor_empty(c->shape[i], dtype);
    if (dx[i] == NULL)
        return false;
    *m = matrices_of(dx[i]);
    if (c->shape[0].dim[c->shape[0].ndim - 2] == 0)
        tensor_fill(dx[i], 0);
    return true;
}

/* The sum over queries, in the type of the input it belongs to. */
static bool round_gradient(const op_call *c, int64_t i, ito_tensor **dx)
{
    if (!c->needs[i] || dx[i]->dtype == c->dtype[i])
        return true;
    ito_tensor *rounded = tensor_empty(c->shape[i], c->dtype[i]);
    if (rounded != NULL)
        tensor_copy(rounded, dx[i]);
    dx[i] = rounded;
    return rounded != NULL;
}

bool op_scaled_dot_product_attention_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    attention_backward w = {.forward = {.dtype = computed_in(c),
                                        .scale = scale_of(c),
                                        .q = matrices_of(c->in[0]),
                                        .k = matrices_of(c->in[1]),
                                        .v = matrices_of(c->in[2]),
                                        .peak = tensor_data(c->extra[0]),
                                        .inverse = tensor_data(c->extra[1])},
                            .dy = matrices_of(dy)};
    ito_dtype sums = w.forward.dtype;
    return make_gradient(c, 0, c->dtype[0], dx, &w.dq) && make_gradient(c, 1, sums, dx, &w.dk) &&
           make_gradient(c, 2, sums, dx, &w.dv) && backward_matrices(&w, batch_of(c->shape[0])) &&
           round_gradient(c, 1, dx) && round_gradient(c, 2, dx);
}

/* ---- the definition ---- */

ito_tensor *op_scaled_dot_product_attention_composite(ito_tensor *const *in, int64_t n,
                                                      const void *params)
{
    (void)n;
    ito_shape q = ito_shape_of(in[0]);
    op_call c = {.params = params, .shape = &q};
    ito_tensor *scores = ito_matmul(in[0], ito_transpose(in[1], -2, -1));
    return ito_matmul(ito_softmax(ito_mul_scalar(scores, scale_of(&c)), -1), in[2]);
}

ito_tensor *ito_scaled_dot_product_attention_with(ito_tensor *q, ito_tensor *k, ito_tensor *v,
                                                  ito_scaled_dot_product_attention_options options)
{
    attention_params p = {options.scale};
    return op_apply(OP_scaled_dot_product_attention, (ito_tensor *[]){q, k, v}, 3, &p, sizeof p);
}
