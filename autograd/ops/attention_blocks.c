/* softmax(scale q k^T + mask) v, forward, backward and forward mode: queries go in blocks, and of
 * the T x S scores only a block's rows exist at a time. Forward keeps each row's peak and the
 * inverse of its sum, from which backward makes the same probabilities again. Invariant: a row of
 * scores depends on its query alone, and what is summed over queries (dk, dv) is summed block after
 * block, of a size that the shapes alone decide. With bf16 inputs all of that is f32: scores,
 * probabilities and the sums of dk and dv.
 *
 * A causal block has no columns for keys that none of its queries sees. A row without any key has
 * probabilities of 0, by statistics of 0; so backward needs no case for it.
 */
#include "autograd/ops/attention.h"
#include "autograd/ops/dropout.h"
#include "tensor/convert.h"
#include "tensor/gemm/gemm.h"
#include "tensor/kernels/kernels.h"

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

static ito_dtype computed_in(const op_call *c)
{
    return c->dtype[0] == ITO_BF16 ? ITO_F32 : c->dtype[0];
}

/* t seen in a shape that it broadcasts to. */
static ito_tensor *broadcast_view(const ito_tensor *t, ito_shape shape)
{
    int front = shape.ndim - t->ndim;
    int64_t stride[ITO_MAX_DIMS] = {0};
    for (int i = front; i < shape.ndim; i++)
        stride[i] = t->shape[i - front] == 1 ? 0 : t->stride[i - front];
    return tensor_view(t, shape, stride, t->offset);
}

/* What forward and backward both work on. */
typedef struct attention {
    ito_dtype dtype; /* of scores and what is made of them */
    const attention_params *params;
    double scale;
    matrices q, k, v;
    matrices mask;        /* broadcast to the scores; t is NULL without one */
    char *peak, *inverse; /* [batch][T] */
    bool rows_differ;     /* each row of scores is a case of its own */
} attention;

static bool attention_of(const op_call *c, attention *a)
{
    const attention_params *p = c->params;
    *a = (attention){.dtype = computed_in(c),
                     .params = p,
                     .scale = attention_scale(p, c->shape[0].dim[c->shape[0].ndim - 1]),
                     .q = matrices_of(c->in[0]),
                     .k = matrices_of(c->in[1]),
                     .v = matrices_of(c->in[2]),
                     .peak = tensor_data(c->extra[0]),
                     .inverse = tensor_data(c->extra[1]),
                     .rows_differ = p->causal || p->dropout_p > 0 || c->in[3] != NULL};
    if (c->in[3] == NULL)
        return true;
    ito_tensor *mask = broadcast_view(c->in[3], attention_scores_shape(&c->shape[0], &c->shape[1]));
    if (mask != NULL)
        a->mask = matrices_of(mask);
    return mask != NULL;
}

/* Queries in a block: as many as keep the scores in the second-level cache; few if causal, since
 * keys are skipped by the block. */
static int64_t block_queries(const attention *a)
{
    enum { SCORE_BYTES = 1 << 18, STEP = 16, CAUSAL = 64 };
    int64_t queries = a->q.rows, keys = a->k.rows;
    int64_t fitting = SCORE_BYTES / ((int64_t)ito_dtype_size(a->dtype) * (keys > 0 ? keys : 1));
    fitting = fitting < STEP ? STEP : fitting / STEP * STEP;
    fitting = a->params->causal && fitting > CAUSAL ? CAUSAL : fitting;
    return fitting < queries ? fitting : queries;
}

/* How many keys a query sees: the first ones. */
static int64_t keys_seen(const attention *a, int64_t query)
{
    return a->params->causal && query < a->k.rows ? query + 1 : a->k.rows;
}

/* The rows of a block: rows [first, first + count) of matrix i, and the columns they have. */
typedef struct block {
    int64_t i, first, count, keys;
} block;

static block block_at(const attention *a, int64_t i, int64_t first, int64_t step)
{
    int64_t left = a->q.rows - first, count = left < step ? left : step;
    return (block){i, first, count, keys_seen(a, first + count - 1)};
}

/* Softmax rows over the threads there are. */
enum { ROWS = 16 };

/* ---- products ---- */

/* scores [count, keys] (+)= the block's rows of `rows` times keys transposed. */
static bool add_scores(const attention *a, const block *b, const matrices *rows,
                       const matrices *keys, void *scores, bool accumulate)
{
    gemm_problem p = {.a_dtype = rows->t->dtype,
                      .b_dtype = keys->t->dtype,
                      .c_dtype = a->dtype,
                      .m = b->count,
                      .n = b->keys,
                      .k = rows->columns,
                      .a = matrix_row(rows, b->i, b->first),
                      .a_row = rows->row,
                      .a_col = rows->column,
                      .b = matrix_row(keys, b->i, 0),
                      .b_row = keys->column,
                      .b_col = keys->row,
                      .c = scores,
                      .c_row = b->keys,
                      .accumulate = accumulate};
    return gemm(&p) == ITO_OK;
}

/* The block's rows of `to` (+)= p [count, keys] times values. */
static bool add_values(const attention *a, const block *b, const void *p, const matrices *values,
                       const matrices *to, bool accumulate)
{
    gemm_problem g = {.a_dtype = a->dtype,
                      .b_dtype = values->t->dtype,
                      .c_dtype = to->t->dtype,
                      .m = b->count,
                      .n = values->columns,
                      .k = b->keys,
                      .a = p,
                      .a_row = b->keys,
                      .a_col = 1,
                      .b = matrix_row(values, b->i, 0),
                      .b_row = values->row,
                      .b_col = values->column,
                      .c = matrix_row(to, b->i, b->first),
                      .c_row = to->row,
                      .accumulate = accumulate};
    return gemm(&g) == ITO_OK;
}

/* to += p^T from, with p [count, keys] dense and from a block's rows: what queries add to keys. */
static bool add_to_keys(const attention *a, const block *at, const void *p, const matrices *from,
                        const matrices *to)
{
    gemm_problem g = {.a_dtype = a->dtype,
                      .b_dtype = from->t->dtype,
                      .c_dtype = a->dtype,
                      .m = at->keys,
                      .n = to->columns,
                      .k = at->count,
                      .a = p,
                      .a_row = 1,
                      .a_col = at->keys,
                      .b = matrix_row(from, at->i, at->first),
                      .b_row = from->row,
                      .b_col = from->column,
                      .c = matrix_row(to, at->i, 0),
                      .c_row = to->row,
                      .accumulate = at->first > 0 || a->params->causal};
    return gemm(&g) == ITO_OK;
}

/* ---- masks and dropout, row by row ---- */

/* x where seen is not 0, else -infinity; by bits, since masks are as good as random and a branch
 * costs more than all the rest. */
static inline float seen_f32(float x, uint8_t seen)
{
    uint32_t kept = 0u - (uint32_t)(seen != 0);
    return bits_float((float_bits(x) & kept) | (0xff800000u & ~kept));
}

static inline double seen_f64(double x, uint8_t seen)
{
    uint64_t bits, kept = 0u - (uint64_t)(seen != 0);
    memcpy(&bits, &x, sizeof bits);
    bits = (bits & kept) | (0xfff0000000000000u & ~kept);
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* In two loops, neither of which branches. `flag` is as wide as real. */
#define MASK_ROW(name, real, flag, type, masked)                                                   \
    static inline bool name##_by(real *restrict score, const type *restrict mask, int64_t step,    \
                                 int64_t n, real scale)                                            \
    {                                                                                              \
        const real none = -(real)INFINITY;                                                         \
        for (int64_t j = 0; j < n; j++) {                                                          \
            const real x = score[j] * scale;                                                       \
            const type m = mask[j * step];                                                         \
            score[j] = masked;                                                                     \
        }                                                                                          \
        flag any = 0;                                                                              \
        for (int64_t j = 0; j < n; j++)                                                            \
            any |= score[j] != none;                                                               \
        return any != 0;                                                                           \
    }                                                                                              \
    static bool name(real *score, const type *mask, int64_t step, int64_t n, real scale)           \
    {                                                                                              \
        return step == 1 ? name##_by(score, mask, 1, n, scale)                                     \
                         : name##_by(score, mask, step, n, scale);                                 \
    }
MASK_ROW(mask_f32_by_bool, float, int32_t, uint8_t, seen_f32(x, m))
MASK_ROW(mask_f32_by_f32, float, int32_t, float, x + m)
MASK_ROW(mask_f32_by_bf16, float, int32_t, uint16_t, x + bf16_to_f32(m))
MASK_ROW(mask_f64_by_bool, double, int64_t, uint8_t, seen_f64(x, m))
MASK_ROW(mask_f64_by_f64, double, int64_t, double, x + m)

/* The first n scores of a row become scale score + mask; whether one of them is above -infinity. */
static bool mask_row(const attention *a, const matrices *m, const block *b, int64_t r, void *row,
                     int64_t n)
{
    const void *mask = matrix_row(m, b->i, b->first + r);
    const ito_dtype type = m->t->dtype;
    const int64_t step = m->column;
    if (a->dtype == ITO_F64)
        return type == ITO_BOOL ? mask_f64_by_bool(row, mask, step, n, a->scale)
                                : mask_f64_by_f64(row, mask, step, n, a->scale);
    const float scale = (float)a->scale;
    return type == ITO_BOOL  ? mask_f32_by_bool(row, mask, step, n, scale)
           : type == ITO_F32 ? mask_f32_by_f32(row, mask, step, n, scale)
                             : mask_f32_by_bf16(row, mask, step, n, scale);
}

/* Element number s of row t of matrix i is number (i T + t) S + s of all. */
static void drop_row(const attention *a, const block *b, int64_t r, void *row, int64_t n)
{
    const attention_params *p = a->params;
    if (p->dropout_p > 0)
        dropout_row(a->dtype, row, &p->generator, p->dropout_p,
                    (b->i * a->q.rows + b->first + r) * a->k.rows, n);
}

/* What lies behind the keys that a query sees. */
static void clear_rest(const attention *a, const block *b, char *row, int64_t seen)
{
    size_t size = ito_dtype_size(a->dtype);
    memset(row + (size_t)seen * size, 0, (size_t)(b->keys - seen) * size);
}

/* ---- forward ---- */

static char *statistic(const attention *a, char *list, const block *b, int64_t r)
{
    return list + (b->i * a->q.rows + b->first + r) * (int64_t)ito_dtype_size(a->dtype);
}

static void softmax_one_row(const attention *a, const block *b, int64_t r, char *row)
{
    size_t size = ito_dtype_size(a->dtype);
    int64_t n = keys_seen(a, b->first + r);
    char *peak = statistic(a, a->peak, b, r), *inverse = statistic(a, a->inverse, b, r);
    bool masked = a->mask.t != NULL;
    if (masked && !mask_row(a, &a->mask, b, r, row, n)) {
        memset(peak, 0, size);
        memset(inverse, 0, size);
        clear_rest(a, b, row, 0);
        return;
    }
    kernels(a->dtype)->softmax(row, row, 1, n, masked ? 1 : a->scale, peak, inverse);
    drop_row(a, b, r, row, n);
    clear_rest(a, b, row, n);
}

static void block_softmax(const attention *a, const block *b, char *scores)
{
    int64_t size = (int64_t)ito_dtype_size(a->dtype);
#pragma omp parallel for num_threads(threads_for(2 * b->count * b->keys)) schedule(static)
    for (int64_t first = 0; first < b->count; first += ROWS) {
        int64_t rows = b->count - first < ROWS ? b->count - first : ROWS;
        char *at = scores + first * b->keys * size;
        for (int64_t r = first; a->rows_differ && r < first + rows; r++)
            softmax_one_row(a, b, r, scores + r * b->keys * size);
        if (!a->rows_differ)
            kernels(a->dtype)->softmax(at, at, rows, b->keys, a->scale,
                                       statistic(a, a->peak, b, first),
                                       statistic(a, a->inverse, b, first));
    }
}

/* One block, with room for as many matrices of its scores as it was asked for. */
typedef bool block_function(const attention *a, const block *b, char *const *scores,
                            const void *context);

static bool forward_block(const attention *a, const block *b, char *const *scores,
                          const void *context)
{
    const matrices *out = context;
    if (!add_scores(a, b, &a->q, &a->k, scores[0], false))
        return false;
    block_softmax(a, b, scores[0]);
    return add_values(a, b, scores[0], &a->v, out, false);
}

/* An error in a thread of the team was recorded there: say it in the caller's. */
static bool blocks_done(bool failed)
{
    if (failed)
        error_status(ITO_ERR_MEMORY,
                     "scaled_dot_product_attention: no memory for a block of scores");
    return !failed;
}

enum { SCORES = 2 };

static bool run_block(const attention *a, const block *b, int matrices_of_scores, block_function *f,
                      const void *context)
{
    char *scores[SCORES] = {NULL};
    bool done = true;
    for (int i = 0; i < matrices_of_scores && done; i++) {
        scores[i] = mem_alloc((size_t)(b->count * b->keys) * ito_dtype_size(a->dtype));
        done = scores[i] != NULL;
    }
    done = done && f(a, b, scores, context);
    for (int i = 0; i < matrices_of_scores; i++)
        mem_free(scores[i]);
    return done;
}

/* Blocks in any order, each of which has a result of its own. */
static bool for_blocks(const attention *a, int64_t batch, int matrices_of_scores, block_function *f,
                       const void *context)
{
    int64_t step = block_queries(a);
    if (batch == 0 || step == 0)
        return true;
    int64_t per_matrix = (a->q.rows + step - 1) / step, tasks = batch * per_matrix;
    int threads = 2 * tasks < ito_threads() ? 1 : threads_for(batch * a->q.rows * a->k.rows);
    bool failed = false;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < tasks; task++) {
        block b = block_at(a, task / per_matrix, task % per_matrix * step, step);
        if (!run_block(a, &b, matrices_of_scores, f, context)) {
#pragma omp atomic write
            failed = true;
        }
    }
    return blocks_done(failed);
}

static bool types_fit(const ito_tensor *q, const ito_tensor *k, const ito_tensor *v,
                      const ito_tensor *mask)
{
    static const char *const op = "scaled_dot_product_attention";
    const ito_tensor *t[] = {q, k, v};
    for (int i = 0; i < 3; i++) {
        if (t[i]->dtype != ITO_F32 && t[i]->dtype != ITO_F64 && t[i]->dtype != ITO_BF16)
            return error_false(ITO_ERR_DTYPE, "%s: takes f32, f64 or bf16, not %s (see ito_cast)",
                               op, ito_dtype_name(t[i]->dtype));
        if (t[i]->dtype != q->dtype)
            return error_false(ITO_ERR_DTYPE, "%s: %s %s and %s %s do not mix (see ito_cast)", op,
                               ito_dtype_name(q->dtype), tensor_shape_str(q),
                               ito_dtype_name(t[i]->dtype), tensor_shape_str(t[i]));
    }
    if (mask == NULL || mask->dtype == ITO_BOOL || mask->dtype == q->dtype ||
        (mask->dtype == ITO_F32 && q->dtype == ITO_BF16))
        return true;
    return error_false(ITO_ERR_DTYPE, "%s: the mask beside %s is bool or %s, not %s (see ito_cast)",
                       op, ito_dtype_name(q->dtype), ito_dtype_name(q->dtype),
                       ito_dtype_name(mask->dtype));
}

ito_tensor *op_scaled_dot_product_attention_forward(op_call *c)
{
    if (!types_fit(c->in[0], c->in[1], c->in[2], c->in[3]))
        return NULL;
    ito_shape shape = c->shape[0], rows = shape;
    rows.ndim--;
    shape.dim[shape.ndim - 1] = c->shape[2].dim[shape.ndim - 1];
    ito_tensor *out = tensor_empty(shape, c->dtype[0]);
    c->extra[0] = tensor_empty(rows, computed_in(c));
    c->extra[1] = tensor_empty(rows, computed_in(c));
    attention a;
    if (out == NULL || c->extra[0] == NULL || c->extra[1] == NULL || !attention_of(c, &a))
        return NULL;
    matrices to = matrices_of(out);
    return for_blocks(&a, batch_of(shape), 1, forward_block, &to) ? out : NULL;
}

/* ---- probabilities again, and what goes through softmax ---- */

/* Scores become probabilities, none of them dropped. */
static void recompute_row(const attention *a, const block *b, int64_t r, char *p, int64_t n)
{
    bool masked = a->mask.t != NULL;
    if (masked)
        mask_row(a, &a->mask, b, r, p, n);
    kernels(a->dtype)->softmax_recompute(p, p, 1, n, masked ? 1 : a->scale,
                                         statistic(a, a->peak, b, r),
                                         statistic(a, a->inverse, b, r));
}

/* What block_gradient does to one row. */
typedef void row_function(const attention *a, const block *b, int64_t r, char *p, char *ds,
                          const void *context);

/* scores becomes the probabilities that meet the values. ds goes through softmax in place, whose
 * Jacobian is symmetric: from the gradient of the probabilities to that of the scores, or from the
 * tangent of the scores to that of the probabilities. */
static void block_gradient(const attention *a, const block *b, char *scores, char *ds,
                           row_function *f, const void *context)
{
    int64_t row = b->keys * (int64_t)ito_dtype_size(a->dtype);
    const kernel_table *t = kernels(a->dtype);
#pragma omp parallel for num_threads(threads_for(2 * b->count * b->keys)) schedule(static)
    for (int64_t first = 0; first < b->count; first += ROWS) {
        int64_t rows = b->count - first < ROWS ? b->count - first : ROWS;
        char *p = scores + first * row, *d = ds + first * row;
        for (int64_t r = first; a->rows_differ && r < first + rows; r++)
            f(a, b, r, scores + r * row, ds + r * row, context);
        if (!a->rows_differ) {
            t->softmax_recompute(p, p, rows, b->keys, a->scale, statistic(a, a->peak, b, first),
                                 statistic(a, a->inverse, b, first));
            t->softmax_backward(d, p, d, rows, b->keys, a->scale);
        }
    }
}

/* ---- backward ---- */

typedef struct attention_backward {
    attention forward;
    matrices dy, dq, dk, dv; /* dq, dk, dv: t is NULL where not wanted */
    matrices dmask;          /* broadcast to the scores, likewise */
    bool dmask_shared;       /* by the matrices of the batch */
} attention_backward;

static void gradient_of_one_row(const attention *a, const block *b, int64_t r, char *p, char *ds,
                                const void *context)
{
    const attention_backward *w = context;
    int64_t n = keys_seen(a, b->first + r);
    recompute_row(a, b, r, p, n);
    drop_row(a, b, r, ds, n);
    kernels(a->dtype)->softmax_backward(ds, p, ds, 1, n, w->dmask.t != NULL ? 1 : a->scale);
    drop_row(a, b, r, p, n);
    clear_rest(a, b, p, n);
    clear_rest(a, b, ds, n);
}

/* A row's gradient goes to that of the mask, and becomes what the scores had before their scale. */
static void add_row_to_mask(const attention_backward *w, const block *b, int64_t r, char *ds)
{
    ito_dtype dtype = w->forward.dtype;
    const kernel_table *t = kernels(dtype);
    char *to = matrix_row(&w->dmask, b->i, b->first + r);
    if (w->dmask.column == 0) {
        double sum = dtype == ITO_F64 ? *(double *)to : (double)*(float *)to;
        t->sum_row(&sum, ds, 1, b->keys);
        if (dtype == ITO_F64)
            *(double *)to = sum;
        else
            *(float *)to = (float)sum;
    } else {
        t->add(to, to, 1, ds, 1, b->keys, 0, 0);
    }
    t->scale_shift(ds, ds, 1, b->keys, w->forward.scale, 0);
}

static void add_to_mask(const attention_backward *w, const block *b, char *ds)
{
    int64_t row = b->keys * (int64_t)ito_dtype_size(w->forward.dtype);
    int64_t work = w->dmask.row == 0 ? 0 : b->count * b->keys; /* one row for all: in order */
    PARALLEL_FOR(r, b->count, work, add_row_to_mask(w, b, r, ds + r * row));
}

static bool backward_block(const attention_backward *w, const block *b, char *scores, char *dp)
{
    const attention *a = &w->forward;
    if (!add_scores(a, b, &a->q, &a->k, scores, false) ||
        !add_scores(a, b, &w->dy, &a->v, dp, false))
        return false;
    block_gradient(a, b, scores, dp, gradient_of_one_row, w);
    if (w->dmask.t != NULL)
        add_to_mask(w, b, dp);
    if (w->dv.t != NULL && !add_to_keys(a, b, scores, &w->dy, &w->dv))
        return false;
    if (w->dk.t != NULL && !add_to_keys(a, b, dp, &a->q, &w->dk))
        return false;
    return w->dq.t == NULL || add_values(a, b, dp, &a->k, &w->dq, false);
}

/* All the blocks of one matrix, in order. */
static bool backward_matrix(const attention_backward *w, int64_t i)
{
    const attention *a = &w->forward;
    int64_t step = block_queries(a);
    size_t bytes = (size_t)(step * a->k.rows) * ito_dtype_size(a->dtype);
    char *scores = mem_alloc(bytes), *dp = scores == NULL ? NULL : mem_alloc(bytes);
    bool done = dp != NULL;
    for (int64_t first = 0; done && first < a->q.rows; first += step) {
        block b = block_at(a, i, first, step);
        done = backward_block(w, &b, scores, dp);
    }
    mem_free(scores);
    mem_free(dp);
    return done;
}

static bool backward_matrices(const attention_backward *w, int64_t batch)
{
    const attention *a = &w->forward;
    bool in_order = w->dmask_shared || 2 * batch < ito_threads();
    int threads = in_order ? 1 : threads_for(batch * a->q.rows * a->k.rows);
    bool failed = false;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < batch; i++)
        if (!backward_matrix(w, i)) {
#pragma omp atomic write
            failed = true;
        }
    return blocks_done(failed);
}

/* A gradient to be filled; zero at once where nothing may come, or it is added to. */
static bool make_gradient(const op_call *c, int64_t i, ito_dtype dtype, ito_tensor **dx,
                          matrices *m)
{
    if (!c->needs[i])
        return true;
    dx[i] = tensor_empty(c->shape[i], dtype);
    if (dx[i] == NULL)
        return false;
    const attention_params *p = c->params;
    if (i == 3 || p->causal || c->shape[0].dim[c->shape[0].ndim - 2] == 0)
        tensor_fill(dx[i], 0);
    ito_tensor *scores = NULL;
    if (i == 3)
        scores = broadcast_view(dx[3], attention_scores_shape(&c->shape[0], &c->shape[1]));
    if (i == 3 && scores == NULL)
        return false;
    *m = matrices_of(i == 3 ? scores : dx[i]);
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

/* Whether matrices of the batch lie in one place. */
static bool repeats(const ito_tensor *t)
{
    for (int i = 0; t != NULL && i < t->ndim - 2; i++)
        if (t->shape[i] > 1 && t->stride[i] == 0)
            return true;
    return false;
}

bool op_scaled_dot_product_attention_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    attention_backward w = {.dy = matrices_of(dy)};
    ito_dtype sums = computed_in(c);
    if (!attention_of(c, &w.forward) || !make_gradient(c, 0, c->dtype[0], dx, &w.dq) ||
        !make_gradient(c, 1, sums, dx, &w.dk) || !make_gradient(c, 2, sums, dx, &w.dv) ||
        !make_gradient(c, 3, sums, dx, &w.dmask))
        return false;
    w.dmask_shared = repeats(w.dmask.t);
    return backward_matrices(&w, batch_of(c->shape[0])) && round_gradient(c, 1, dx) &&
           round_gradient(c, 2, dx) && round_gradient(c, 3, dx);
}

/* ---- forward mode ---- */

/* O' = P' V + P V' with P' = P o (S' - rowsum(P o S')) and S' = scale (Q' K^T + Q K'^T) + mask'. */
typedef struct attention_tangent {
    matrices q, k, v, mask; /* tangents: t is NULL for zero */
    matrices out;
} attention_tangent;

static void tangent_of_one_row(const attention *a, const block *b, int64_t r, char *p, char *ds,
                               const void *context)
{
    const attention_tangent *w = context;
    int64_t n = keys_seen(a, b->first + r);
    recompute_row(a, b, r, p, n);
    if (w->mask.t != NULL)
        mask_row(a, &w->mask, b, r, ds, n);
    kernels(a->dtype)->softmax_backward(ds, p, ds, 1, n, w->mask.t != NULL ? 1 : a->scale);
    drop_row(a, b, r, ds, n);
    drop_row(a, b, r, p, n);
    clear_rest(a, b, p, n);
    clear_rest(a, b, ds, n);
}

static bool tangent_block(const attention *a, const block *b, char *const *scores,
                          const void *context)
{
    const attention_tangent *w = context;
    char *p = scores[0], *ds = scores[1];
    size_t bytes = (size_t)(b->count * b->keys) * ito_dtype_size(a->dtype);
    bool of_scores = w->q.t != NULL || w->k.t != NULL || w->mask.t != NULL;
    if (w->q.t == NULL)
        memset(ds, 0, bytes);
    if (!add_scores(a, b, &a->q, &a->k, p, false) ||
        (w->q.t != NULL && !add_scores(a, b, &w->q, &a->k, ds, false)) ||
        (w->k.t != NULL && !add_scores(a, b, &a->q, &w->k, ds, true)))
        return false;
    block_gradient(a, b, p, ds, tangent_of_one_row, w);
    return (!of_scores || add_values(a, b, ds, &a->v, &w->out, false)) &&
           (w->v.t == NULL || add_values(a, b, p, &w->v, &w->out, of_scores));
}

bool tangent_scaled_dot_product_attention(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    attention a;
    attention_tangent w = {0};
    matrices *tangents[] = {&w.q, &w.k, &w.v, &w.mask};
    ito_shape scores = attention_scores_shape(&c->shape[0], &c->shape[1]);
    ito_tensor *mask = t[3] == NULL ? NULL : broadcast_view(t[3], scores);
    ito_tensor *out =
        tensor_empty(ito_shape_of(c->out), computed_in(c)); /* sums are rounded once */
    if (out == NULL || (t[3] != NULL && mask == NULL) || !attention_of(c, &a))
        return false;
    for (int i = 0; i < 4; i++)
        if (t[i] != NULL)
            *tangents[i] = matrices_of(i == 3 ? mask : t[i]);
    w.out = matrices_of(out);
    if (!for_blocks(&a, batch_of(c->shape[0]), 2, tangent_block, &w))
        return false;
    *dt = out->dtype == c->dtype[0] ? out : tensor_empty(ito_shape_of(out), c->dtype[0]);
    if (*dt != NULL && *dt != out)
        tensor_copy(*dt, out);
    return *dt != NULL;
}
