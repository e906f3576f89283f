/* Writing at places named by an index: replacing, and reducing what goes to one place. A line of
 * the result along the indexed axis has one writer, which goes through the index in order. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/lines.h"
#include "autograd/ops/scan.h"

#include <math.h>

/* ---- scatter --------------------------------------------------------------------------------- */

/* y[k[j]] = x[j] for j < n, in order; strides in elements. */
typedef void scatter_line(void *y, int64_t ys, const int64_t *k, int64_t ks, const void *x,
                          int64_t xs, int64_t n);

/* The line for each line of the index; y has the shape of the call's first input. */
static void scatter_lines(const op_call *c, ito_tensor *y, int axis, scatter_line *line)
{
    const ito_tensor *index = c->in[1], *src = c->in[2];
    const ito_shape *shape = &index->sizes;
    int64_t n = shape->dim[axis], lines = line_count(shape, axis);
    int64_t size = (int64_t)ito_dtype_size(y->dtype);
    char *to = tensor_data(y);
    const char *from = tensor_data(src);
    const int64_t *k = tensor_data(index);
    PARALLEL_FOR(r, lines, lines * n,
                 line(to + line_begin(y, shape, axis, r) * size, y->stride[axis],
                      k + line_begin(index, shape, axis, r), index->stride[axis],
                      from + line_begin(src, shape, axis, r) * size, src->stride[axis], n));
}

static ito_tensor *copy_of(const ito_tensor *x)
{
    ito_tensor *y = tensor_empty_as(x, x->dtype);
    if (y != NULL)
        tensor_copy(y, x);
    return y;
}

#define REPLACE(bits)                                                                              \
    static void replace_##bits(void *y, int64_t ys, const int64_t *k, int64_t ks, const void *x,   \
                               int64_t xs, int64_t n)                                              \
    {                                                                                              \
        for (int64_t j = 0; j < n; j++)                                                            \
            ((uint##bits##_t *)y)[k[j * ks] * ys] = ((const uint##bits##_t *)x)[j * xs];           \
    }
REPLACE(8)
REPLACE(16)
REPLACE(32)
REPLACE(64)

/* A copy of the first input with the third in place of what the second names. */
static ito_tensor *replaced(const op_call *c, int axis)
{
    ito_tensor *y = copy_of(c->in[0]);
    if (y == NULL)
        return NULL;
    size_t size = ito_dtype_size(y->dtype);
    scatter_lines(c, y, axis,
                  size == 4   ? replace_32
                  : size == 8 ? replace_64
                  : size == 2 ? replace_16
                              : replace_8);
    return y;
}

ito_tensor *op_scatter_forward(op_call *c)
{
    return replaced(c, *(const int *)c->params);
}

/* index and src, of one shape, have been checked. */
static ito_tensor *scatter(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src)
{
    return op_apply(OP_scatter, (ito_tensor *[]){x, index, src}, 3, &axis, sizeof axis);
}

/* Where something goes to: bool, of this shape. */
static ito_tensor *hit(ito_shape shape, int axis, ito_tensor *index)
{
    return scatter(ito_zeros(shape, ITO_BOOL), axis, index, ito_ones(index->sizes, ITO_BOOL));
}

/* Which entries of the index are the last ones at their places: bool, shaped as it. */
static ito_tensor *last_ones(ito_shape shape, int axis, ito_tensor *index)
{
    ito_shape line = {.ndim = index->ndim};
    for (int i = 0; i < line.ndim; i++)
        line.dim[i] = i == axis ? index->shape[axis] : 1;
    ito_tensor *own = ito_arange(0, (double)index->shape[axis], 1, ITO_I64);
    own = ito_expand_to(ito_reshape_to(own, line), index->sizes);
    ito_tensor *last = scatter(ito_zeros(shape, ITO_I64), axis, index, own);
    return ito_eq(index_gather(last, axis, index), own);
}

bool op_scatter_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    int axis = *(const int *)c->params;
    ito_tensor *index = c->in[1];
    if (c->needs[0])
        dx[0] = scatter(dy, axis, index, ito_zeros(c->shape[2], dy->dtype));
    if (c->needs[2])
        dx[2] = grad_where(last_ones(c->shape[0], axis, index), index_gather(dy, axis, index));
    return (!c->needs[0] || dx[0] != NULL) && (!c->needs[2] || dx[2] != NULL);
}

/* axis of x, non-negative, if index goes with it; or -1 with an error. */
static int axis_to_index(const char *op, const ito_tensor *x, int axis, const ito_tensor *index)
{
    int a = x == NULL || index == NULL ? -1 : axis_normalize(op, axis, x->ndim);
    return a < 0 || !gather_check(op, x, a, index) ? -1 : a;
}

/* src as far as index goes, of x's dtype; NULL with an error. */
static ito_tensor *source(const char *op, const ito_tensor *x, const ito_tensor *index,
                          ito_tensor *src)
{
    if (src->dtype != x->dtype)
        return error_null(ITO_ERR_DTYPE, "%s: %s %s and %s %s do not mix (see ito_cast)", op,
                          ito_dtype_name(x->dtype), tensor_shape_str(x), ito_dtype_name(src->dtype),
                          tensor_shape_str(src));
    bool fits = src->ndim == index->ndim;
    for (int i = 0; fits && i < src->ndim; i++)
        fits = index->shape[i] <= src->shape[i];
    if (!fits)
        return error_null(ITO_ERR_SHAPE, "%s: the index %s is larger than the source %s", op,
                          tensor_shape_str(index), tensor_shape_str(src));
    for (int i = 0; i < index->ndim; i++)
        if (src != NULL && src->shape[i] > index->shape[i])
            src = ito_narrow(src, i, 0, index->shape[i]);
    return src;
}

ito_tensor *ito_scatter(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src)
{
    int a = src == NULL ? -1 : axis_to_index("scatter", x, axis, index);
    if (a < 0)
        return NULL;
    ito_scope_begin();
    src = source("scatter", x, index, src);
    ito_tensor *y = ito_keep(src == NULL ? NULL : scatter(x, a, index, src));
    ito_scope_end();
    return y;
}

static ito_tensor *scatter_value(ito_tensor *x, int axis, ito_tensor *index, double value)
{
    ito_scope_begin();
    ito_tensor *src = ito_expand_to(ito_scalar(value, x->dtype), index->sizes);
    ito_tensor *y = ito_keep(scatter(x, axis, index, src));
    ito_scope_end();
    return y;
}

ito_tensor *ito_scatter_value(ito_tensor *x, int axis, ito_tensor *index, double value)
{
    int a = axis_to_index("scatter_value", x, axis, index);
    return a < 0 ? NULL : scatter_value(x, a, index, value);
}

/* ---- the largest or smallest ----------------------------------------------------------------- */

typedef struct extreme_params {
    int axis;
    bool largest, include_self;
} extreme_params;

#define EXTREME_LINE(op, better, type, name, value)                                                \
    static void op##_##name(void *y_, int64_t ys, const int64_t *k, int64_t ks, const void *x_,    \
                            int64_t xs, int64_t n)                                                 \
    {                                                                                              \
        type *y = y_;                                                                              \
        const type *x = x_;                                                                        \
        for (int64_t j = 0; j < n; j++) {                                                          \
            type *at = y + k[j * ks] * ys;                                                         \
            if (value(x[j * xs]) better value(*at) || isnan((double)value(x[j * xs])))             \
                *at = x[j * xs];                                                                   \
        }                                                                                          \
    }
#define EXTREME_LINES(id, type, name, wide, value)                                                 \
    EXTREME_LINE(amax, >, type, name, value) EXTREME_LINE(amin, <, type, name, value)
LINE_NUMBERS(EXTREME_LINES)

/* Where x's own element does not count, one of those that go there is put in its place first. */
ito_tensor *op_scatter_extreme_forward(op_call *c)
{
#define ENTRY(id, type, name, wide, value) [id] = {amin_##name, amax_##name},
    static scatter_line *const rows[ITO_DTYPES][2] = {LINE_NUMBERS(ENTRY)};
#undef ENTRY
    const extreme_params *p = c->params;
    ito_tensor *y = p->include_self ? copy_of(c->in[0]) : replaced(c, p->axis);
    if (y != NULL)
        scatter_lines(c, y, p->axis, rows[y->dtype][p->largest]);
    return y;
}

/* All that equal the result share its gradient. */
bool op_scatter_extreme_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const extreme_params *p = c->params;
    ito_tensor *index = c->in[1];
    ito_dtype dtype = dy->dtype;
    ito_tensor *chosen = ito_eq(c->in[2], index_gather(c->out, p->axis, index));
    ito_tensor *count = scatter_add_to_zeros(ito_cast(chosen, dtype), p->axis, index, c->shape[0]);
    /* Whether x's own element is the result, one of several, or alone where it does not count. */
    ito_tensor *own =
        p->include_self ? ito_eq(c->in[0], c->out)
                        : ito_ne(hit(c->shape[0], p->axis, index), ito_ones(c->shape[0], ITO_BOOL));
    count = ito_add(count, ito_cast(own, dtype));
    ito_tensor *share = ito_div(dy, count);
    if (c->needs[0])
        dx[0] = grad_where(own, share);
    if (c->needs[2])
        dx[2] = grad_where(chosen, index_gather(share, p->axis, index));
    return (!c->needs[0] || dx[0] != NULL) && (!c->needs[2] || dx[2] != NULL);
}

/* ---- products -------------------------------------------------------------------------------- */

/* x as far as index goes along the axes other than `axis`. */
static ito_tensor *within(ito_tensor *x, int axis, const ito_tensor *index)
{
    for (int i = 0; i < index->ndim && x != NULL; i++)
        if (i != axis && index->shape[i] < x->shape[i])
            x = ito_narrow(x, i, 0, index->shape[i]);
    return x;
}

/* x with `part`, shaped as within(x), in its place. */
static ito_tensor *around(ito_tensor *part, ito_tensor *x, int axis, const ito_tensor *index)
{
    for (int i = index->ndim - 1; i >= 0 && part != NULL; i--) {
        int64_t size = index->shape[i];
        if (i == axis || size == x->shape[i])
            continue;
        ito_tensor *rest = ito_narrow(x, i, size, x->shape[i] - size);
        for (int j = 0; j < i && rest != NULL; j++)
            if (j != axis)
                rest = ito_narrow(rest, j, 0, index->shape[j]);
        part = ito_cat(ITO_TENSORS(part, rest), i);
    }
    return part;
}

/* Elements and what goes to them are put side by side, sorted by place, and multiplied by a
 * recurrence that begins anew at each place; the last product at a place is the result. Nothing is
 * divided in its gradient, so zeros do no harm. */
static ito_tensor *scatter_prod(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src,
                                bool include_self)
{
    ito_tensor *own = within(x, axis, index);
    if (own == NULL)
        return NULL;
    if (!include_self)
        own = ito_where(hit(own->sizes, axis, index), ito_scalar(1, x->dtype), own);
    ito_shape line = {.ndim = x->ndim};
    for (int i = 0; i < line.ndim; i++)
        line.dim[i] = i == axis ? x->shape[axis] : 1;
    ito_tensor *places = ito_arange(0, (double)x->shape[axis], 1, ITO_I64);
    places = own == NULL ? NULL : ito_expand_to(ito_reshape_to(places, line), own->sizes);
    places = ito_cat(ITO_TENSORS(places, index), axis);
    ito_tensor *order = ito_argsort(places, .dim = axis);
    ito_tensor *v = index_gather(ito_cat(ITO_TENSORS(own, src), axis), axis, order);
    ito_tensor *first = ito_lt(order, ito_scalar((double)x->shape[axis], ITO_I64));
    ito_tensor *product = recurrence(grad_unless(first, v), grad_where(first, v), axis, false);
    ito_tensor *ones = places == NULL ? NULL : ito_ones(places->sizes, ITO_I64);
    ito_tensor *count = own == NULL ? NULL : scatter_add_to_zeros(ones, axis, places, own->sizes);
    ito_tensor *last = ito_sub(ito_cumsum(count, axis), ito_scalar(1, ITO_I64));
    return around(index_gather(product, axis, last), x, axis, index);
}

/* ---- scatter_reduce -------------------------------------------------------------------------- */

static ito_tensor *scatter_sum(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src,
                               bool include_self)
{
    if (!include_self)
        x = ito_where(hit(x->sizes, axis, index), ito_scalar(0, x->dtype), x);
    return x == NULL ? NULL : ito_add(x, scatter_add_to_zeros(src, axis, index, x->sizes));
}

static ito_tensor *scatter_mean(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src,
                                bool include_self)
{
    ito_tensor *self = ito_ones(x->sizes, ITO_BOOL), *one = ito_ones(index->sizes, x->dtype);
    if (!include_self)
        self = ito_ne(hit(x->sizes, axis, index), self);
    ito_tensor *count = scatter_add_to_zeros(one, axis, index, x->sizes);
    count = ito_add(count, ito_cast(self, x->dtype));
    return ito_div(scatter_sum(x, axis, index, src, include_self), count);
}

/* Whether the reduction takes x's dtype, or an error. */
static bool can_reduce(const char *op, const ito_tensor *x, ito_scatter_reduction reduction)
{
    if ((unsigned)reduction > ITO_SCATTER_AMIN)
        return error_false(ITO_ERR_ARGUMENT, "%s: %d is no reduction", op, (int)reduction);
    bool integers = reduction != ITO_SCATTER_PROD && reduction != ITO_SCATTER_MEAN;
    return (integers && (x->dtype == ITO_I32 || x->dtype == ITO_I64)) || takes_reals(op, x);
}

static ito_tensor *scatter_reduce(const char *op, ito_tensor *x, int axis, ito_tensor *index,
                                  ito_tensor *src, ito_scatter_reduction reduction, bool self)
{
    extreme_params p = {axis, reduction == ITO_SCATTER_AMAX, self};
    ito_tensor *y = NULL;
    if (!can_reduce(op, x, reduction))
        return NULL;
    ito_scope_begin();
    src = source(op, x, index, src);
    if (src == NULL)
        ; /* with an error */
    else if (reduction == ITO_SCATTER_SUM)
        y = scatter_sum(x, axis, index, src, self);
    else if (reduction == ITO_SCATTER_MEAN)
        y = scatter_mean(x, axis, index, src, self);
    else if (reduction == ITO_SCATTER_PROD)
        y = scatter_prod(x, axis, index, src, self);
    else
        y = op_apply(OP_scatter_extreme, (ito_tensor *[]){x, index, src}, 3, &p, sizeof p);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_scatter_reduce_with(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src,
                                    ito_scatter_reduction reduction,
                                    ito_scatter_reduce_options options)
{
    int a = src == NULL ? -1 : axis_to_index("scatter_reduce", x, axis, index);
    return a < 0 ? NULL
                 : scatter_reduce("scatter_reduce", x, a, index, src, reduction,
                                  options.include_self);
}

/* ---- by a list of entries -------------------------------------------------------------------- */

/* index [K], checked, for each element of an x with K entries along axis; NULL with an error. */
static ito_tensor *for_each_element(const char *op, const ito_tensor *x, int axis,
                                    ito_tensor *index)
{
    if (index->ndim != 1)
        return error_null(ITO_ERR_SHAPE, "%s: the index %s is not a list", op,
                          tensor_shape_str(index));
    if (!index_check(op, index, x->shape[axis]))
        return NULL;
    ito_shape line = {.ndim = x->ndim}, full = x->sizes;
    for (int i = 0; i < line.ndim; i++)
        line.dim[i] = i == axis ? index->shape[0] : 1;
    full.dim[axis] = index->shape[0];
    return ito_expand_to(ito_reshape_to(index, line), full);
}

static bool same_shape(const char *op, const ito_tensor *src, ito_shape shape, const ito_tensor *x)
{
    if (shape_equal(src->sizes, shape))
        return true;
    return error_false(ITO_ERR_SHAPE, "%s: the source %s is not %s, as %s asks for", op,
                       tensor_shape_str(src), shape_str(shape), tensor_shape_str(x));
}

ito_tensor *ito_index_copy(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src)
{
    int a = x == NULL || index == NULL || src == NULL ? -1
                                                      : axis_normalize("index_copy", axis, x->ndim);
    if (a < 0)
        return NULL;
    ito_scope_begin();
    ito_tensor *each = for_each_element("index_copy", x, a, index), *y = NULL;
    if (each != NULL && same_shape("index_copy", src, each->sizes, x))
        y = source("index_copy", x, each, src) == NULL ? NULL : scatter(x, a, each, src);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_index_fill(ito_tensor *x, int axis, ito_tensor *index, double value)
{
    int a = x == NULL || index == NULL ? -1 : axis_normalize("index_fill", axis, x->ndim);
    if (a < 0)
        return NULL;
    ito_scope_begin();
    ito_tensor *each = for_each_element("index_fill", x, a, index);
    ito_tensor *y = ito_keep(each == NULL ? NULL : scatter_value(x, a, each, value));
    ito_scope_end();
    return y;
}

ito_tensor *ito_index_reduce_with(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src,
                                  ito_scatter_reduction reduction,
                                  ito_scatter_reduce_options options)
{
    const char *op = "index_reduce";
    int a = x == NULL || index == NULL || src == NULL ? -1 : axis_normalize(op, axis, x->ndim);
    if (a < 0)
        return NULL;
    ito_scope_begin();
    ito_tensor *each = for_each_element(op, x, a, index), *y = NULL;
    if (each != NULL && same_shape(op, src, each->sizes, x))
        y = scatter_reduce(op, x, a, each, src, reduction, options.include_self);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

/* x with src as the entries start, start + step, ... of axis, which exist. */
static ito_tensor *replace_entries(const char *op, ito_tensor *x, ito_tensor *src, int axis,
                                   int64_t start, int64_t step)
{
    ito_scope_begin();
    ito_tensor *y = NULL, *list = tensor_empty(ITO_SHAPE(src->shape[axis]), ITO_I64);
    int64_t *k = list == NULL ? NULL : tensor_data(list);
    for (int64_t i = 0; k != NULL && i < src->shape[axis]; i++)
        k[i] = start + i * step;
    ito_tensor *each = list == NULL ? NULL : for_each_element(op, x, axis, list);
    if (each != NULL && source(op, x, each, src) != NULL)
        y = scatter(x, axis, each, src);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_select_scatter(ito_tensor *x, ito_tensor *src, int axis, int64_t index)
{
    int a = x == NULL || src == NULL ? -1 : axis_normalize("select_scatter", axis, x->ndim);
    if (a < 0)
        return NULL;
    int64_t size = x->shape[a], i = index < 0 ? index + size : index;
    if (i < 0 || i >= size)
        return error_null(ITO_ERR_RANGE, "select_scatter: axis %d of %s has no index %" PRId64, a,
                          tensor_shape_str(x), index);
    ito_shape shape = x->sizes, wide = x->sizes;
    for (int j = a; j + 1 < shape.ndim; j++)
        shape.dim[j] = shape.dim[j + 1];
    shape.ndim--;
    wide.dim[a] = 1;
    if (!same_shape("select_scatter", src, shape, x))
        return NULL;
    ito_scope_begin();
    src = ito_reshape_to(src, wide);
    ito_tensor *y = src == NULL ? NULL : replace_entries("select_scatter", x, src, a, i, 1);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_slice_scatter(ito_tensor *x, ito_tensor *src, int axis, int64_t start, int64_t end,
                              int64_t step)
{
    int a = x == NULL || src == NULL ? -1 : axis_normalize("slice_scatter", axis, x->ndim);
    if (a < 0)
        return NULL;
    if (step < 1)
        return error_null(ITO_ERR_ARGUMENT, "slice_scatter: step %" PRId64 " is not positive",
                          step);
    int64_t size = x->shape[a], bound[2] = {start, end};
    for (int i = 0; i < 2; i++) {
        bound[i] += bound[i] < 0 ? size : 0;
        bound[i] = bound[i] < 0 ? 0 : bound[i] > size ? size : bound[i];
    }
    ito_shape shape = x->sizes;
    shape.dim[a] = bound[0] < bound[1] ? (bound[1] - bound[0] - 1) / step + 1 : 0;
    if (!same_shape("slice_scatter", src, shape, x))
        return NULL;
    return replace_entries("slice_scatter", x, src, a, bound[0], shape.dim[a] > 1 ? step : 1);
}
