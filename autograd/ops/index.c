/* Reading and adding at places named by an i64 tensor. index_select and index_add are each other's
 * transpose, and so are gather and scatter_add: each is the other's backward.
 *
 * Indices are checked before anything runs. Sums have one writer for each element of the result,
 * which adds in the order of the index, so their bits do not depend on the number of threads. */
#include "autograd/ops/index.h"
#include "autograd/ops/layout.h"
#include "autograd/ops/lines.h"
#include "autograd/ops/params.h"

#include <string.h>

/* ---- checks
 * -------------------------------------------------------------------------------------- */

static bool index_error(const char *op, const ito_tensor *index, int64_t at, int64_t value,
                        int64_t size)
{
    ito_shape place = ito_shape_of(index);
    for (int i = place.ndim - 1; i >= 0; i--) {
        int64_t length = index->shape[i];
        place.dim[i] = at % length;
        at /= length;
    }
    if (size == 0)
        return error_false(ITO_ERR_RANGE, "%s: index %" PRId64 " at %s of an axis of size 0", op,
                           value, shape_str(place));
    return error_false(ITO_ERR_RANGE, "%s: index %" PRId64 " at %s is outside 0..%" PRId64, op,
                       value, shape_str(place), size - 1);
}

bool index_check(const char *op, const ito_tensor *index, int64_t size)
{
    if (index->dtype != ITO_I64)
        return error_false(ITO_ERR_DTYPE, "%s: indices are i64, not %s", op,
                           ito_dtype_name(index->dtype));
    ito_scope_begin();
    const ito_tensor *list = tensor_contiguous(index);
    bool fine = list != NULL;
    const int64_t *value = fine ? tensor_data(list) : NULL;
    for (int64_t i = 0, n = ito_numel(index); fine && i < n; i++)
        if (value[i] < 0 || value[i] >= size)
            fine = index_error(op, index, i, value[i], size);
    ito_scope_end();
    return fine;
}

/* ---- index_select
 * -------------------------------------------------------------------------------- */

/* A row-major [outer, size, inner] as seen from one axis. */
typedef struct axis_split {
    int64_t outer, size, inner;
} axis_split;

static axis_split split_at(const ito_shape *shape, int axis)
{
    axis_split s = {.outer = 1, .size = shape->dim[axis], .inner = 1};
    for (int i = 0; i < axis; i++)
        s.outer *= shape->dim[i];
    for (int i = axis + 1; i < shape->ndim; i++)
        s.inner *= shape->dim[i];
    return s;
}

static void copy_entry(char *y, const char *x, size_t bytes)
{
    if (bytes == 4) /* constant sizes become single moves */
        memcpy(y, x, 4);
    else if (bytes == 8)
        memcpy(y, x, 8);
    else
        memcpy(y, x, bytes);
}

/* shape with its axis replaced by those of the index. */
static ito_shape selected_shape(const ito_shape *shape, int axis, const ito_shape *index)
{
    ito_shape out = {.ndim = 0};
    for (int i = 0; i < axis; i++)
        out.dim[out.ndim++] = shape->dim[i];
    for (int i = 0; i < index->ndim; i++)
        out.dim[out.ndim++] = index->dim[i];
    for (int i = axis + 1; i < shape->ndim; i++)
        out.dim[out.ndim++] = shape->dim[i];
    return out;
}

/* Whether x is dense with entries of axis 0 in one piece each, so that any order within will do. */
static bool entries_in_one_piece(const ito_tensor *x)
{
    int64_t inner = 1;
    for (int i = 1; i < x->ndim; i++)
        inner *= x->shape[i];
    return tensor_is_dense(x) && x->stride[0] == inner;
}

/* The index may have any number of axes, for embedding. */
ito_tensor *op_index_select_forward(op_call *c)
{
    int axis = *(const int *)c->params;
    const ito_tensor *x = c->in[0], *index = tensor_contiguous(c->in[1]);
    ito_shape shape = selected_shape(&c->shape[0], axis, &c->shape[1]);
    bool as_it_is = axis == 0 && index != NULL && index->ndim == 1 && entries_in_one_piece(x);
    if (!as_it_is)
        x = tensor_contiguous(x);
    if (x == NULL || index == NULL)
        return NULL;
    ito_tensor *out =
        as_it_is ? empty_in_order_of(x, shape, x->dtype) : tensor_empty(shape, x->dtype);
    if (out == NULL)
        return NULL;
    axis_split s = split_at(&c->shape[0], axis);
    const int64_t *k = tensor_data(index);
    int64_t count = ito_numel(index);
    size_t entry = (size_t)s.inner * ito_dtype_size(x->dtype);
    const char *from = tensor_data(x);
    char *to = tensor_data(out);
    PARALLEL_FOR(r, s.outer * count, s.outer * count * s.inner,
                 copy_entry(to + (size_t)r * entry,
                            from + (size_t)(r / count * s.size + k[r % count]) * entry, entry));
    return out;
}

/* Of an index with several axes: they are made one first, in the gradient too. */
bool op_index_select_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    int axis = *(const int *)c->params;
    ito_tensor *index = c->in[1];
    if (index->ndim != 1) {
        ito_shape list = ITO_SHAPE(ito_numel(index));
        dy = ito_reshape_to(dy, selected_shape(&c->shape[0], axis, &list));
        index = ito_reshape_to(index, list);
    }
    dx[0] = index_add_to_zeros(dy, axis, index, c->shape[0].dim[axis]);
    return dx[0] != NULL;
}

ito_tensor *index_select_entries(ito_tensor *x, int axis, ito_tensor *index)
{
    return op_apply(OP_index_select, (ito_tensor *[]){x, index}, 2, &axis, sizeof axis);
}

ito_tensor *ito_index_select(ito_tensor *x, int axis, ito_tensor *index)
{
    int a = x == NULL || index == NULL ? -1 : axis_normalize("index_select", axis, x->ndim);
    if (a < 0)
        return NULL;
    if (index->ndim != 1)
        return error_null(ITO_ERR_SHAPE, "index_select: the index %s is not a list",
                          tensor_shape_str(index));
    if (!index_check("index_select", index, x->shape[a]))
        return NULL;
    return index_select_entries(x, a, index);
}

/* ---- index_add
 * ----------------------------------------------------------------------------------- */

#define ADD_TYPES(F) F(ITO_F32, float) F(ITO_F64, double) F(ITO_I32, int32_t) F(ITO_I64, int64_t)

static bool can_add(const char *op, ito_dtype dtype)
{
    if (dtype == ITO_F32 || dtype == ITO_F64 || dtype == ITO_I32 || dtype == ITO_I64)
        return true;
    return error_false(ITO_ERR_DTYPE, "%s: adds f32, f64, bf16, i32 or i64, not %s", op,
                       ito_dtype_name(dtype));
}

static ito_tensor *converted(const ito_tensor *t, ito_dtype dtype)
{
    ito_tensor *y = t == NULL ? NULL : tensor_empty_as(t, dtype);
    if (y != NULL)
        tensor_copy(y, t);
    return y;
}

/* A forward that adds, of bf16: sums run in f32 and are rounded once. */
static ito_tensor *add_bf16(const op_call *c, op_forward_fn *forward)
{
    ito_tensor *wide = converted(c->in[0], ITO_F32);
    op_call f32 = *c;
    f32.in = (ito_tensor *[]){wide, c->in[1]};
    return wide == NULL ? NULL : converted(forward(&f32), ITO_BF16);
}

/* y[k[j]][..] += x[j][..] for j < count, in this order, where k[j] lies in [low, high). */
#define INDEX_ADD(id, type)                                                                        \
    static void index_add_##type(type *restrict y, const type *restrict x, const int64_t *k,       \
                                 int64_t count, int64_t inner, int64_t low, int64_t high)          \
    {                                                                                              \
        for (int64_t j = 0; j < count; j++)                                                        \
            if (k[j] >= low && k[j] < high)                                                        \
                for (int64_t i = 0; i < inner; i++)                                                \
                    y[k[j] * inner + i] += x[j * inner + i];                                       \
    }
ADD_TYPES(INDEX_ADD)

ito_tensor *op_index_add_forward(op_call *c)
{
    const index_add_params *p = c->params;
    const ito_tensor *x = c->in[0], *index = tensor_contiguous(c->in[1]);
    if (x->dtype == ITO_BF16)
        return add_bf16(c, op_index_add_forward);
    if (!can_add("index_add", x->dtype))
        return NULL;
    ito_shape shape = c->shape[0];
    shape.dim[p->axis] = p->size;
    bool as_it_is = p->axis == 0 && entries_in_one_piece(x);
    if (!as_it_is)
        x = tensor_contiguous(x);
    if (x == NULL || index == NULL)
        return NULL;
    ito_tensor *out =
        as_it_is ? empty_in_order_of(x, shape, x->dtype) : tensor_empty(shape, x->dtype);
    if (out == NULL)
        return NULL;
    tensor_fill(out, 0);
    axis_split s = split_at(&c->shape[0], p->axis);
    const int64_t *k = tensor_data(index);
    int threads = threads_for(s.outer * s.size * s.inner);
    int64_t parts =
        s.outer < threads ? threads : 1; /* of the entries of out, one writer for each */
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t r = 0; r < s.outer * parts; r++) {
        int64_t part = r % parts, to = r / parts * p->size * s.inner;
        int64_t low = p->size / parts * part, from = r / parts * s.size * s.inner;
        int64_t high = part + 1 < parts ? p->size / parts * (part + 1) : p->size;
        switch (x->dtype) {
#define CASE(id, type)                                                                             \
    case id:                                                                                       \
        index_add_##type((type *)tensor_data(out) + to, (const type *)tensor_data(x) + from, k,    \
                         s.size, s.inner, low, high);                                              \
        break;
            ADD_TYPES(CASE)
#undef CASE
        default:
            break;
        }
    }
    return out;
}

bool op_index_add_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const index_add_params *p = c->params;
    dx[0] = index_select_entries(dy, p->axis, c->in[1]);
    return dx[0] != NULL;
}

ito_tensor *index_add_to_zeros(ito_tensor *src, int axis, ito_tensor *index, int64_t size)
{
    index_add_params p = {.axis = axis, .size = size};
    return op_apply(OP_index_add, (ito_tensor *[]){src, index}, 2, &p, sizeof p);
}

ito_tensor *ito_index_add_with(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src,
                               ito_index_add_options options)
{
    if (x == NULL || index == NULL || src == NULL)
        return NULL;
    int a = axis_normalize("index_add", axis, x->ndim);
    if (a < 0)
        return NULL;
    ito_shape wanted = ito_shape_of(x);
    wanted.dim[a] = index->ndim == 1 ? index->shape[0] : -1;
    if (!shape_equal(wanted, ito_shape_of(src)))
        return error_null(ITO_ERR_SHAPE, "index_add: %s at %s along axis %d of %s does not fit",
                          tensor_shape_str(src), tensor_shape_str(index), a, tensor_shape_str(x));
    if (!index_check("index_add", index, x->shape[a]))
        return NULL;
    ito_scope_begin();
    if (options.alpha != 1 && ito_dtype_is_float(src->dtype))
        src = ito_mul_scalar(src, options.alpha);
    else if (options.alpha != 1)
        src = ito_mul(src, ito_scalar(options.alpha, src->dtype));
    ito_tensor *y = ito_keep(ito_add(x, index_add_to_zeros(src, a, index, x->shape[a])));
    ito_scope_end();
    return y;
}

/* ---- gather
 * -------------------------------------------------------------------------------------- */

/* Lines of the index along its last axis: where each begins in a tensor whose `axis` is indexed.
 * Element i of a line with index k lies at begin + i * step + k * jump. */
static int64_t row_begin(const ito_tensor *t, const ito_shape *index, int axis, int64_t line)
{
    int64_t begin = 0;
    for (int i = index->ndim - 2; i >= 0; i--) {
        begin += i == axis ? 0 : line % index->dim[i] * t->stride[i];
        line /= index->dim[i];
    }
    return begin;
}

#define GATHER(bits)                                                                               \
    static void gather_##bits(void *y_, const void *x_, const int64_t *k, int64_t n, int64_t step, \
                              int64_t jump)                                                        \
    {                                                                                              \
        uint##bits##_t *y = y_;                                                                    \
        const uint##bits##_t *x = x_;                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = x[i * step + k[i] * jump];                                                      \
    }
GATHER(8)
GATHER(16)
GATHER(32)
GATHER(64)

ito_tensor *op_gather_forward(op_call *c)
{
    int axis = *(const int *)c->params;
    const ito_tensor *x = c->in[0], *index = tensor_contiguous(c->in[1]);
    ito_tensor *out = index == NULL ? NULL : tensor_empty(c->shape[1], x->dtype);
    if (out == NULL)
        return NULL;
    ito_shape shape = c->shape[1];
    int last = shape.ndim - 1;
    int64_t total = shape_numel(shape), n = shape.dim[last], lines = total == 0 ? 0 : total / n;
    int64_t jump = x->stride[axis], step = axis == last ? 0 : x->stride[last];
    size_t size = ito_dtype_size(x->dtype);
    const int64_t *k = tensor_data(index);
    const char *from = tensor_data(x);
    char *to = tensor_data(out);
#pragma omp parallel for num_threads(threads_for(total)) schedule(static)
    for (int64_t r = 0; r < lines; r++) {
        const char *line = from + (size_t)row_begin(x, &shape, axis, r) * size;
        char *y = to + (size_t)(r * n) * size;
        (size == 4   ? gather_32
         : size == 8 ? gather_64
         : size == 2 ? gather_16
                     : gather_8)(y, line, k + r * n, n, step, jump);
    }
    return out;
}

ito_tensor *scatter_add_to_zeros(ito_tensor *src, int axis, ito_tensor *index, ito_shape shape)
{
    scatter_add_params p = {.axis = axis, .shape = shape};
    return op_apply(OP_scatter_add, (ito_tensor *[]){src, index}, 2, &p, sizeof p);
}

bool op_gather_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = scatter_add_to_zeros(dy, *(const int *)c->params, c->in[1], c->shape[0]);
    return dx[0] != NULL;
}

bool gather_check(const char *op, const ito_tensor *x, int axis, const ito_tensor *index)
{
    bool fits = index->ndim == x->ndim;
    for (int i = 0; fits && i < x->ndim; i++)
        fits = i == axis || index->shape[i] <= x->shape[i];
    if (!fits)
        ito_error_set(ITO_ERR_SHAPE, "%s: the index %s does not fit axis %d of %s", op,
                      tensor_shape_str(index), axis, tensor_shape_str(x));
    return fits && index_check(op, index, x->shape[axis]);
}

ito_tensor *index_gather(ito_tensor *x, int axis, ito_tensor *index)
{
    return op_apply(OP_gather, (ito_tensor *[]){x, index}, 2, &axis, sizeof axis);
}

ito_tensor *ito_gather(ito_tensor *x, int axis, ito_tensor *index)
{
    int a = x == NULL || index == NULL ? -1 : axis_normalize("gather", axis, x->ndim);
    return a < 0 || !gather_check("gather", x, a, index) ? NULL : index_gather(x, a, index);
}

/* ---- scatter_add
 * --------------------------------------------------------------------------------- */

/* Lines here run along the indexed axis, so each line of the result has one writer. */
#define SCATTER(id, type)                                                                          \
    static void scatter_add_##type(type *y, int64_t y_jump, const type *x, int64_t x_jump,         \
                                   const int64_t *k, int64_t k_jump, int64_t n)                    \
    {                                                                                              \
        for (int64_t j = 0; j < n; j++)                                                            \
            y[k[j * k_jump] * y_jump] += x[j * x_jump];                                            \
    }
ADD_TYPES(SCATTER)

ito_tensor *op_scatter_add_forward(op_call *c)
{
    const scatter_add_params *p = c->params;
    const ito_tensor *x = c->in[0], *index = c->in[1];
    if (x->dtype == ITO_BF16)
        return add_bf16(c, op_scatter_add_forward);
    if (!can_add("scatter_add", x->dtype))
        return NULL;
    ito_tensor *out = tensor_empty(p->shape, x->dtype);
    if (out == NULL)
        return NULL;
    tensor_fill(out, 0);
    const ito_shape *shape = &c->shape[1];
    int a = p->axis;
    int64_t total = shape_numel(*shape), n = shape->dim[a], lines = total == 0 ? 0 : total / n;
#pragma omp parallel for num_threads(threads_for(total)) schedule(static)
    for (int64_t r = 0; r < lines; r++) {
        int64_t to = line_begin(out, shape, a, r), from = line_begin(x, shape, a, r);
        const int64_t *k = (const int64_t *)tensor_data(index) + line_begin(index, shape, a, r);
        switch (x->dtype) {
#define CASE(id, type)                                                                             \
    case id:                                                                                       \
        scatter_add_##type((type *)tensor_data(out) + to, out->stride[a],                          \
                           (const type *)tensor_data(x) + from, x->stride[a], k, index->stride[a], \
                           n);                                                                     \
        break;
            ADD_TYPES(CASE)
#undef CASE
        default:
            break;
        }
    }
    return out;
}

bool op_scatter_add_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = index_gather(dy, ((const scatter_add_params *)c->params)->axis, c->in[1]);
    return dx[0] != NULL;
}

ito_tensor *ito_scatter_add(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src)
{
    if (x == NULL || index == NULL || src == NULL)
        return NULL;
    int a = axis_normalize("scatter_add", axis, x->ndim);
    if (a < 0)
        return NULL;
    if (!shape_equal(ito_shape_of(index), ito_shape_of(src)))
        return error_null(ITO_ERR_SHAPE, "scatter_add: shapes %s of index and %s differ",
                          tensor_shape_str(index), tensor_shape_str(src));
    if (!gather_check("scatter_add", x, a, index))
        return NULL;
    return ito_add(x, scatter_add_to_zeros(src, a, index, ito_shape_of(x)));
}

/* ---- one_hot
 * ------------------------------------------------------------------------------------- */

ito_tensor *op_one_hot_forward(op_call *c)
{
    const one_hot_params *p = c->params;
    const ito_tensor *index = tensor_contiguous(c->in[0]);
    ito_shape shape = c->shape[0];
    shape.dim[shape.ndim++] = p->classes;
    ito_tensor *one = tensor_empty(ITO_SHAPE(), p->dtype), *out = tensor_empty(shape, p->dtype);
    if (index == NULL || one == NULL || out == NULL)
        return NULL;
    tensor_fill(one, 1);
    tensor_fill(out, 0);
    const int64_t *k = tensor_data(index);
    size_t size = ito_dtype_size(p->dtype);
    char *y = tensor_data(out);
    for (int64_t i = 0, n = ito_numel(index); i < n; i++)
        copy_entry(y + (size_t)(i * p->classes + k[i]) * size, tensor_data(one), size);
    return out;
}

ito_tensor *ito_one_hot(ito_tensor *index, int64_t classes, ito_dtype dtype)
{
    if (index == NULL)
        return NULL;
    if (classes < 1)
        return error_null(ITO_ERR_ARGUMENT, "one_hot: %" PRId64 " classes are not at least one",
                          classes);
    if (index->ndim == ITO_MAX_DIMS)
        return error_null(ITO_ERR_SHAPE, "one_hot: the index %s has too many axes",
                          tensor_shape_str(index));
    if (!index_check("one_hot", index, classes))
        return NULL;
    one_hot_params p = {.classes = classes, .dtype = dtype};
    return op_apply(OP_one_hot, &index, 1, &p, sizeof p);
}
