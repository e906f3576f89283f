/* Rotary position embedding: pairs of features turned by angles. A turn is linear and its transpose
 * is the turn back, so backward is the same operation. It goes by rows of features, each of which
 * is read once. */
#include "autograd/graph.h"
#include "autograd/ops.h"
#include "tensor/convert.h"

#include <math.h>

typedef struct rotary_params {
    bool interleaved;
    bool back; /* by -angle */
} rotary_params;

/* Where a row's pairs lie: feature `first` j and `partner` further. */
typedef struct rotary_row {
    int64_t features, pairs, first, partner;
    int64_t x_step, y_step;
    double sign; /* of the angle */
} rotary_row;

#define ROTATE(name, type, real, load, store)                                                      \
    static void name(type *y, const type *x, const real *cosine, const real *sine,                 \
                     const rotary_row *r)                                                          \
    {                                                                                              \
        const real sign = (real)r->sign;                                                           \
        for (int64_t j = 0; j < r->pairs; j++) {                                                   \
            int64_t i = j * r->first, k = i + r->partner;                                          \
            real a = load(x[i * r->x_step]), b = load(x[k * r->x_step]);                           \
            real c = cosine[j], s = sign * sine[j];                                                \
            y[i * r->y_step] = store(a * c - b * s);                                               \
            y[k * r->y_step] = store(b * c + a * s);                                               \
        }                                                                                          \
        for (int64_t i = 2 * r->pairs; i < r->features; i++)                                       \
            y[i * r->y_step] = x[i * r->x_step];                                                   \
    }
ROTATE(rotate_f32, float, float, , )
ROTATE(rotate_f64, double, double, , )
ROTATE(rotate_bf16, uint16_t, float, bf16_to_f32, f32_to_bf16)

/* The offset of row i of t, whose axes but the last are as in shape, or broadcast to it. */
static int64_t row_offset(const ito_tensor *t, const ito_shape *shape, int64_t i)
{
    int64_t at = 0;
    for (int axis = shape->ndim - 2, front = shape->ndim - t->ndim; axis >= 0; axis--) {
        if (axis >= front && t->shape[axis - front] > 1)
            at += i % shape->dim[axis] * t->stride[axis - front];
        i /= shape->dim[axis];
    }
    return at;
}

static void rotate_row(const op_call *c, ito_tensor *y, const ito_tensor *cosine,
                       const ito_tensor *sine, const rotary_row *r, int64_t row)
{
    const ito_tensor *x = c->in[0];
    const ito_shape *shape = &c->shape[0];
    int64_t from = row_offset(x, shape, row), to = row_offset(y, shape, row);
    int64_t angle = row_offset(cosine, shape, row), sine_at = row_offset(sine, shape, row);
    if (x->dtype == ITO_F64)
        rotate_f64((double *)tensor_data(y) + to, (double *)tensor_data(x) + from,
                   (double *)tensor_data(cosine) + angle, (double *)tensor_data(sine) + sine_at, r);
    else if (x->dtype == ITO_F32)
        rotate_f32((float *)tensor_data(y) + to, (float *)tensor_data(x) + from,
                   (float *)tensor_data(cosine) + angle, (float *)tensor_data(sine) + sine_at, r);
    else
        rotate_bf16((uint16_t *)tensor_data(y) + to, (uint16_t *)tensor_data(x) + from,
                    (float *)tensor_data(cosine) + angle, (float *)tensor_data(sine) + sine_at, r);
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
    int64_t pairs = cosine->shape[cosine->ndim - 1], rows = 1;
    rotary_row r = {.features = x->shape[last],
                    .pairs = pairs,
                    .first = p->interleaved ? 2 : 1,
                    .partner = p->interleaved ? 1 : pairs,
                    .x_step = x->stride[last],
                    .y_step = y->stride[last],
                    .sign = p->back ? -1 : 1};
    for (int i = 0; i < last; i++)
        rows *= x->shape[i];
    PARALLEL_FOR(i, rows, 2 * ito_numel(x), rotate_row(c, y, cosine, sine, &r, i));
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

static ito_tensor *by_operations(ito_tensor *x, ito_tensor *cosine, ito_tensor *sine,
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
        ito_pad(by_operations(x, cosine, sine, interleaved), 0, 0, features - turned);
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
    ito_tensor *y = ito_keep(by_operations(x, cosine, sine, options.interleaved));
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
