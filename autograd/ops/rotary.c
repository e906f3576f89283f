/* Rotary position embedding: pairs of features turned by angles. A turn is linear and its transpose
 * is the turn back, so backward is the same operation. It goes by rows of features, each of which
 * is read once. */
#include "autograd/ops/rotary.h"
#include "autograd/graph.h"
#include "autograd/ops.h"
#include "autograd/ops/params.h"
#include "tensor/convert.h"

#include <math.h>

/* What is done to each row. */
typedef struct rotary_rows {
    int64_t features, pairs, x_step, y_step; /* steps: from feature to feature */
    bool interleaved;
    double sign; /* of the angle */
} rotary_rows;

/* Pair j is feature `first` j, and the one `partner` further. */
#define ROTATE(name, type, real, load, store)                                                      \
    static inline void name##_by(type *restrict y, const type *restrict x,                         \
                                 const real *restrict cosine, const real *restrict sine,           \
                                 const rotary_rows *r, int64_t first, int64_t partner,             \
                                 int64_t x_step, int64_t y_step)                                   \
    {                                                                                              \
        const real sign = (real)r->sign;                                                           \
        for (int64_t j = 0; j < r->pairs; j++) {                                                   \
            int64_t i = j * first, k = i + partner;                                                \
            real a = load(x[i * x_step]), b = load(x[k * x_step]);                                 \
            real c = cosine[j], s = sign * sine[j];                                                \
            y[i * y_step] = store(a * c - b * s);                                                  \
            y[k * y_step] = store(b * c + a * s);                                                  \
        }                                                                                          \
        for (int64_t i = 2 * r->pairs; i < r->features; i++)                                       \
            y[i * y_step] = x[i * x_step];                                                         \
    }                                                                                              \
    static void name(void *y, const void *x, const void *cosine, const void *sine,                 \
                     const rotary_rows *r)                                                         \
    {                                                                                              \
        bool dense = r->x_step == 1 && r->y_step == 1;                                             \
        if (dense && r->interleaved)                                                               \
            name##_by(y, x, cosine, sine, r, 2, 1, 1, 1);                                          \
        else if (dense)                                                                            \
            name##_by(y, x, cosine, sine, r, 1, r->pairs, 1, 1);                                   \
        else                                                                                       \
            name##_by(y, x, cosine, sine, r, r->interleaved ? 2 : 1,                               \
                      r->interleaved ? 1 : r->pairs, r->x_step, r->y_step);                        \
    }
ROTATE(rotate_f32, float, float, , )
ROTATE(rotate_f64, double, double, , )
ROTATE(rotate_bf16, uint16_t, float, bf16_to_f32, f32_to_bf16)

/* Matrix i of a tensor that is shaped as x [.., T, D] or broadcasts to it, and how its rows follow.
 */
typedef struct row_walk {
    char *at;
    int64_t step; /* in bytes */
} row_walk;

static row_walk walk(const ito_tensor *t, const ito_shape *shape, int64_t i)
{
    int front = shape->ndim - t->ndim;
    int64_t at = 0, size = (int64_t)ito_dtype_size(t->dtype), step = 0;
    for (int axis = shape->ndim - 2; axis >= 0; axis--) {
        bool there = axis >= front && t->shape[axis - front] > 1;
        int64_t stride = there ? t->stride[axis - front] : 0;
        if (axis == shape->ndim - 2) {
            step = stride * size;
            continue;
        }
        at += i % shape->dim[axis] * stride;
        i /= shape->dim[axis];
    }
    return (row_walk){(char *)tensor_data(t) + at * size, step};
}

static void rotate_matrix(const op_call *c, ito_tensor *y, const ito_tensor *cosine,
                          const ito_tensor *sine, const rotary_rows *r, int64_t i)
{
    const ito_shape *shape = &c->shape[0];
    row_walk from = walk(c->in[0], shape, i), to = walk(y, shape, i);
    row_walk cos_at = walk(cosine, shape, i), sin_at = walk(sine, shape, i);
    int64_t rows = shape->ndim < 2 ? 1 : shape->dim[shape->ndim - 2];
    ito_dtype dtype = y->dtype;
    for (int64_t row = 0; row < rows; row++) {
        (dtype == ITO_F64   ? rotate_f64
         : dtype == ITO_F32 ? rotate_f32
                            : rotate_bf16)(to.at, from.at, cos_at.at, sin_at.at, r);
        to.at += to.step;
        from.at += from.step;
        cos_at.at += cos_at.step;
        sin_at.at += sin_at.step;
    }
}

ito_tensor *op_apply_rotary_forward(op_call *c)
{
    const rotary_params *p = c->params;
    const ito_tensor *x = c->in[0], *cosine = tensor_contiguous(c->in[1]);
    const ito_tensor *sine = tensor_contiguous(c->in[2]);
    ito_tensor *y = tensor_empty_as(x, x->dtype);
    if (y == NULL || cosine == NULL || sine == NULL)
        return NULL;
    int last = x->ndim - 1;
    rotary_rows r = {.features = x->shape[last],
                     .pairs = cosine->shape[cosine->ndim - 1],
                     .x_step = x->stride[last],
                     .y_step = y->stride[last],
                     .interleaved = p->interleaved,
                     .sign = p->back ? -1 : 1};
    int64_t matrices = 1;
    for (int i = 0; i < last - 1; i++)
        matrices *= x->shape[i];
    PARALLEL_FOR(i, matrices, 2 * ito_numel(x), rotate_matrix(c, y, cosine, sine, &r, i));
    return y;
}

/* Of x alone: where a table has a gradient, ito_apply_rotary takes the composite form. */
bool op_apply_rotary_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    rotary_params p = *(const rotary_params *)c->params;
    p.back = !p.back;
    dx[0] = op_apply(OP_apply_rotary, (ito_tensor *[]){dy, c->in[1], c->in[2]}, 3, &p, sizeof p);
    return dx[0] != NULL;
}

ito_tensor *apply_rotary_by_operations(ito_tensor *x, ito_tensor *cosine, ito_tensor *sine,
                                       bool interleaved)
{
    int64_t pairs = ito_size(cosine, -1), features = ito_size(x, -1);
    ito_tensor *turned = ito_narrow(x, -1, 0, 2 * pairs);
    ito_tensor *a =
        interleaved ? ito_slice(turned, -1, 0, 2 * pairs, 2) : ito_narrow(turned, -1, 0, pairs);
    ito_tensor *b =
        interleaved ? ito_slice(turned, -1, 1, 2 * pairs, 2) : ito_narrow(turned, -1, pairs, pairs);
    ito_tensor *c = ito_cast(cosine, x->dtype), *s = ito_cast(sine, x->dtype);
    ito_tensor *first = ito_sub(ito_mul(a, c), ito_mul(b, s));
    ito_tensor *second = ito_add(ito_mul(b, c), ito_mul(a, s));
    if (!interleaved)
        return ito_cat(
            ITO_TENSORS(first, second, ito_narrow(x, -1, 2 * pairs, features - 2 * pairs)), -1);
    ito_tensor *both =
        ito_cat(ITO_TENSORS(ito_unsqueeze(first, -1), ito_unsqueeze(second, -1)), -1);
    return ito_cat(
        ITO_TENSORS(ito_flatten(both, -2, -1), ito_narrow(x, -1, 2 * pairs, features - 2 * pairs)),
        -1);
}

/* By x as backward's transpose; the tables are factors, of what turns. */
bool tangent_apply_rotary(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    bool interleaved = ((const rotary_params *)c->params)->interleaved;
    if (((const rotary_params *)c->params)->back)
        return tangent_transpose(c, t, dt);
    if (t[0] != NULL)
        *dt = ito_apply_rotary(t[0], c->in[1], c->in[2], .interleaved = interleaved);
    if (t[0] != NULL && *dt == NULL)
        return false;
    if (t[1] == NULL && t[2] == NULL)
        return true;
    int64_t turned = 2 * ito_size(c->in[1], -1), features = ito_size(c->in[0], -1);
    ito_tensor *cosine = t[1] != NULL ? t[1] : ito_zeros_like(c->in[1]);
    ito_tensor *sine = t[2] != NULL ? t[2] : ito_zeros_like(c->in[2]);
    ito_tensor *x = ito_narrow(c->in[0], -1, 0, turned);
    ito_tensor *by_tables =
        ito_pad(apply_rotary_by_operations(x, cosine, sine, interleaved), 0, 0, features - turned);
    *dt = *dt == NULL ? by_tables : ito_add(*dt, by_tables);
    return *dt != NULL;
}

/* Whether a table [.., pairs] goes with x [.., D]. */
static bool table_fits(const ito_tensor *x, const ito_tensor *table)
{
    ito_shape rows = ito_shape_of(x), own = ito_shape_of(table), both;
    if (x->ndim < 1 || table->ndim < 1 || 2 * table->shape[table->ndim - 1] > x->shape[x->ndim - 1])
        return false;
    rows.ndim--;
    own.ndim--;
    return shape_broadcast(rows, own, &both) && shape_equal(both, rows);
}

ito_tensor *ito_apply_rotary_with(ito_tensor *x, ito_tensor *cosine, ito_tensor *sine,
                                  ito_apply_rotary_options options)
{
    rotary_params p = {.interleaved = options.interleaved};
    if (x == NULL || cosine == NULL || sine == NULL)
        return NULL;
    if (!table_fits(x, cosine) || !table_fits(x, sine) ||
        cosine->shape[cosine->ndim - 1] != sine->shape[sine->ndim - 1])
        return error_null(ITO_ERR_SHAPE,
                          "apply_rotary: cosines %s and sines %s do not fit x %s: [.., pairs] with "
                          "2 pairs up to D, broadcast to x [.., D]",
                          tensor_shape_str(cosine), tensor_shape_str(sine), tensor_shape_str(x));
    ito_dtype type = x->dtype == ITO_BF16 ? ITO_F32 : x->dtype;
    bool wanted = tensor_needs_grad(cosine) || tensor_needs_grad(sine);
    if (!wanted || cosine->dtype != type || sine->dtype != type) /* which refuses other types */
        return op_apply(OP_apply_rotary, (ito_tensor *[]){x, cosine, sine}, 3, &p, sizeof p);
    ito_scope_begin();
    ito_tensor *y = ito_keep(apply_rotary_by_operations(x, cosine, sine, options.interleaved));
    ito_scope_end();
    return y;
}

/* position base^(-2 j / features) for j < features / 2: [.., T, features / 2], f64. */
static ito_tensor *angles(ito_tensor *positions, int64_t features, double base)
{
    ito_tensor *frequency = tensor_empty(ITO_SHAPE(features / 2), ITO_F64);
    if (frequency == NULL)
        return NULL;
    double *f = tensor_data(frequency);
    for (int64_t j = 0; j < features / 2; j++)
        f[j] = pow(base, -2.0 * (double)j / (double)features);
    return ito_mul(ito_unsqueeze(ito_cast(positions, ITO_F64), -1), frequency);
}

ito_tensor *ito_rotary_embedding_with(ito_tensor *x, ito_rotary_embedding_options options)
{
    if (x == NULL)
        return NULL;
    if (x->ndim < 2)
        return error_null(ITO_ERR_SHAPE, "rotary_embedding: x %s is not [.., T, D]",
                          tensor_shape_str(x));
    int64_t features = options.dims == 0 ? x->shape[x->ndim - 1] : options.dims;
    if (features < 0 || features % 2 != 0 || features > x->shape[x->ndim - 1])
        return error_null(ITO_ERR_SHAPE,
                          "rotary_embedding: %" PRId64 " of the features of %s do not form pairs",
                          features, tensor_shape_str(x));
    if (!(options.base > 0))
        return error_null(ITO_ERR_ARGUMENT, "rotary_embedding: base %g is not above 0",
                          options.base);
    ito_scope_begin();
    double first = (double)options.start, end = (double)(options.start + x->shape[x->ndim - 2]);
    ito_tensor *positions =
        options.positions != NULL ? options.positions : ito_arange(first, end, 1, ITO_F64);
    ito_tensor *angle = angles(positions, features, options.base);
    ito_dtype dtype = x->dtype == ITO_F64 ? ITO_F64 : ITO_F32;
    ito_tensor *y =
        ito_apply_rotary(x, ito_cast(ito_cos(angle), dtype), ito_cast(ito_sin(angle), dtype),
                         .interleaved = options.interleaved);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}
