/* Layer norm (Ba, Kiros, Hinton 2016, arXiv:1607.06450) and rms norm (Zhang, Sennrich 2019,
 * arXiv:1910.07467), fused: both normalise rows, the last axes of x made one, and differ only in
 * whether a mean is taken off. Rows go in chunks whose size depends on their length alone. A
 * chunk's part of dweight and dbias has a place of its own, and these are added in order, so
 * results depend on neither threads nor, but for these two, on the other rows.
 */
#include "autograd/ops/elementwise.h"
#include "autograd/ops/params.h"
#include "tensor/kernels/kernels.h"

#include <float.h>
#include <math.h>

/* The columns of a gradient that are added up by one thread. */
enum { TOTAL_COLUMNS = 256 };

typedef struct row_norm {
    const kernel_table *kernels;
    int64_t rows, n;
    int64_t row;  /* bytes of a row of elements */
    int64_t real; /* bytes of a real: parameters, sums */
    bool centered;
} row_norm;

static ito_dtype parameter_dtype(ito_dtype x)
{
    return x == ITO_F64 ? ITO_F64 : ITO_F32;
}

static row_norm norm_of(const op_call *c)
{
    const layer_norm_params *p = c->params;
    row_norm s = {.kernels = kernels(c->dtype[0]),
                  .rows = 1,
                  .n = shape_numel(p->normalized_shape),
                  .real = (int64_t)ito_dtype_size(parameter_dtype(c->dtype[0])),
                  .centered = c->info == &op_table[OP_layer_norm]};
    for (int i = 0; i < c->shape[0].ndim - p->normalized_shape.ndim; i++)
        s.rows *= c->shape[0].dim[i];
    s.row = s.n * (int64_t)ito_dtype_size(c->dtype[0]);
    return s;
}

/* Enough elements to be worth a thread's while, few enough rows that sums of reals over them stay
 * accurate, and enough that their parts of dweight and dbias are smaller than the rows. */
static int64_t chunk_rows(const row_norm *s)
{
    enum { ELEMENTS = 1 << 15, MOST = 512, LEAST = 8 };
    int64_t rows = ELEMENTS / (s->n > 0 ? s->n : 1);
    return rows > MOST ? MOST : rows < LEAST ? LEAST : rows;
}

static int64_t chunk_count(const row_norm *s)
{
    int64_t step = chunk_rows(s);
    return (s->rows + step - 1) / step;
}

/* The rows of chunk i: from *first on. */
static int64_t chunk_at(const row_norm *s, int64_t i, int64_t *first)
{
    int64_t step = chunk_rows(s);
    *first = i * step;
    return s->rows - *first < step ? s->rows - *first : step;
}

/* The data of a parameter, dense; NULL if there is none or, with an error, no memory. */
static const void *parameter_data(const ito_tensor *t)
{
    const ito_tensor *dense = tensor_contiguous(t);
    return dense == NULL ? NULL : tensor_data(dense);
}

/* ---- forward ---- */

static bool layer_norm_fits(const op_call *c)
{
    const ito_shape *n = &((const layer_norm_params *)c->params)->normalized_shape;
    const ito_shape *x = &c->shape[0];
    const char *op = c->info->name;
    if (n->ndim < 1)
        return error_false(ITO_ERR_SHAPE, "%s: normalized_shape [] has no axis", op);
    bool ends = x->ndim >= n->ndim;
    for (int i = 1; i <= n->ndim && ends; i++)
        ends = x->dim[x->ndim - i] == n->dim[n->ndim - i];
    if (!ends)
        return error_false(ITO_ERR_SHAPE, "%s: x %s does not end in normalized_shape %s", op,
                           shape_str(*x), shape_str(*n));
    for (int64_t i = 1; i < c->n; i++)
        if (c->in[i] != NULL && !shape_equal(c->shape[i], *n))
            return error_false(ITO_ERR_SHAPE, "%s: %s %s is not shaped as normalized_shape %s", op,
                               i == 1 ? "weight" : "bias", shape_str(c->shape[i]), shape_str(*n));
    return true;
}

static void forward_rows(const row_norm *s, const op_call *c, char *y, const char *x,
                         const void *weight, const void *bias, bool measured)
{
    double eps = ((const layer_norm_params *)c->params)->eps;
    double *rstd = tensor_data(c->extra[0]);
    double *mean = s->centered ? tensor_data(c->extra[1]) : NULL;
    int64_t chunks = chunk_count(s);
#pragma omp parallel for num_threads(threads_for(s->rows * s->n)) schedule(static)
    for (int64_t i = 0; i < chunks; i++) {
        int64_t first, rows = chunk_at(s, i, &first);
        s->kernels->layer_norm(y + first * s->row, x + first * s->row, rows, s->n, eps, measured,
                               mean == NULL ? NULL : mean + first, rstd + first, weight, bias);
    }
}

ito_tensor *op_layer_norm_forward(op_call *c)
{
    if (!layer_norm_fits(c))
        return NULL;
    row_norm s = norm_of(c);
    bool measured = c->extra[0] != NULL; /* the first time */
    for (int i = 0; i < 1 + s.centered && !measured; i++)
        c->extra[i] = tensor_empty(ITO_SHAPE(s.rows), ITO_F64);
    const ito_tensor *x = tensor_contiguous(c->in[0]);
    ito_tensor *bias_in = s.centered ? c->in[2] : NULL;
    const void *weight = parameter_data(c->in[1]), *bias = parameter_data(bias_in);
    ito_tensor *y = tensor_empty(c->shape[0], c->dtype[0]);
    if (x == NULL || y == NULL || c->extra[0] == NULL || (s.centered && c->extra[1] == NULL) ||
        (c->in[1] != NULL && weight == NULL) || (bias_in != NULL && bias == NULL))
        return NULL;
    if (ito_numel(y) > 0)
        forward_rows(&s, c, tensor_data(y), tensor_data(x), weight, bias, measured);
    return y;
}

/* ---- backward ---- */

/* What the loop over chunks needs; dx may be NULL. */
typedef struct norm_backward {
    row_norm size;
    const char *x, *dy;
    char *dx;
    const double *mean, *rstd;
    const void *weight;
    char *sums; /* [chunks][wanted]: of dweight and of dbias, whichever is wanted */
    bool wanted[2];
} norm_backward;

/* Bytes of a chunk's part of the gradients of the parameters. */
static int64_t part_bytes(const norm_backward *b)
{
    return (b->wanted[0] + b->wanted[1]) * b->size.n * b->size.real;
}

static void backward_chunk(const norm_backward *b, int64_t i)
{
    const row_norm *s = &b->size;
    int64_t first, rows = chunk_at(s, i, &first), at = first * s->row;
    char *dweight = b->sums + i * part_bytes(b);
    char *dbias = b->wanted[0] ? dweight + s->n * s->real : dweight;
    s->kernels->layer_norm_backward(
        b->dx == NULL ? NULL : b->dx + at, b->wanted[0] ? dweight : NULL,
        b->wanted[1] ? dbias : NULL, b->x + at, b->dy + at, rows, s->n,
        b->mean == NULL ? NULL : b->mean + first, b->rstd + first, b->weight);
}

/* The chunks' parts of a gradient, which begin at `sums`, added up in order. */
static void total(const norm_backward *b, char *gradient, const char *sums)
{
    const row_norm *s = &b->size;
    int64_t chunks = chunk_count(s), stride = part_bytes(b) / s->real;
#pragma omp parallel for num_threads(threads_for(chunks * s->n / 2)) schedule(static)
    for (int64_t c = 0; c < s->n; c += TOTAL_COLUMNS)
        s->kernels->layer_norm_total(gradient + c * s->real, sums + c * s->real, chunks, stride,
                                     s->n - c < TOTAL_COLUMNS ? s->n - c : TOTAL_COLUMNS);
}

static bool backward_rows(norm_backward *b, const op_call *c, ito_tensor **dx)
{
    int64_t chunks = chunk_count(&b->size);
    b->sums = mem_alloc((size_t)(chunks * part_bytes(b)));
    bool done = b->sums != NULL;
    for (int i = 0; i < 2 && done; i++)
        if (b->wanted[i])
            done = (dx[1 + i] = tensor_empty(c->shape[1 + i], c->dtype[1 + i])) != NULL;
    if (done) {
#pragma omp parallel for num_threads(threads_for(2 * b->size.rows * b->size.n)) schedule(static)
        for (int64_t i = 0; i < chunks; i++)
            backward_chunk(b, i);
        int64_t at = 0;
        for (int i = 0; i < 2; i++)
            if (b->wanted[i]) {
                total(b, tensor_data(dx[1 + i]), b->sums + at);
                at += b->size.n * b->size.real;
            }
    }
    mem_free(b->sums);
    return done;
}

bool op_layer_norm_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    norm_backward b = {.size = norm_of(c), .wanted = {c->needs[1], c->n > 2 && c->needs[2]}};
    const ito_tensor *x = tensor_contiguous(c->in[0]);
    ito_tensor *g = tensor_contiguous(dy), *out = NULL;
    if (c->needs[0] && g != NULL) /* over dy, or over its copy */
        out = c->own_dy || g->storage != dy->storage ? g : tensor_empty(c->shape[0], c->dtype[0]);
    b.weight = parameter_data(c->in[1]);
    if (x == NULL || g == NULL || (c->needs[0] && out == NULL) ||
        (c->in[1] != NULL && b.weight == NULL))
        return false;
    b.x = tensor_data(x);
    b.dy = tensor_data(g);
    b.dx = out == NULL ? NULL : tensor_data(out);
    b.rstd = tensor_data(c->extra[0]);
    b.mean = b.size.centered ? tensor_data(c->extra[1]) : NULL;
    dx[0] = out;
    return backward_rows(&b, c, dx);
}

/* ---- the definition ---- */

/* eps, unless it was left to us. */
static double eps_of(double eps, ito_dtype dtype)
{
    return !isnan(eps) ? eps : dtype == ITO_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
}

static ito_tensor *composite(ito_tensor *const *in, int64_t n, const layer_norm_params *p,
                             bool centered)
{
    bool narrow = in[0]->dtype == ITO_BF16; /* beside f32 parameters */
    ito_tensor *x = narrow ? ito_cast(in[0], ITO_F32) : in[0];
    ito_shape axes = {.ndim = p->normalized_shape.ndim};
    for (int i = 0; i < axes.ndim; i++)
        axes.dim[i] = -1 - i;
    if (centered)
        x = ito_sub(x, ito_mean(x, .dims = axes, .keepdim = true));
    ito_tensor *square = ito_mean(ito_square(x), .dims = axes, .keepdim = true);
    ito_tensor *y = ito_mul(x, ito_rsqrt(ito_add_scalar(square, p->eps)));
    if (in[1] != NULL)
        y = ito_mul(y, in[1]);
    if (n > 2 && in[2] != NULL)
        y = ito_add(y, in[2]);
    return narrow ? ito_cast(y, ITO_BF16) : y;
}

ito_tensor *op_layer_norm_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    return composite(in, n, params, true);
}

/* The tangent of w x_hat + b: w S t + t_w x_hat + t_b, where x_hat has the Jacobian S, which is
 * symmetric: backward without a weight applies it. */
bool tangent_layer_norm(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    const layer_norm_params *p = c->params;
    ito_dtype dtype = c->dtype[0];
    ito_tensor *in[3] = {c->in[0], NULL, NULL}, *dx[3] = {NULL};
    op_call plain = *c;
    plain.in = in;
    plain.needs = (const bool[]){true, false, false};
    if (t[0] != NULL) {
        if (!op_layer_norm_backward(&plain, t[0], dx))
            return false;
        *dt = dx[0];
        if (c->in[1] != NULL) {
            ito_tensor *weight = ito_cast(c->in[1], dtype);
            if (weight == NULL)
                return false;
            map_binary_into(*dt, *dt, weight, kernels(dtype)->mul, 0, 0, COST_PLAIN);
        }
    }
    for (int64_t i = 1; i < c->n; i++) {
        if (t[i] == NULL)
            continue;
        ito_tensor *part = ito_cast(t[i], dtype);
        if (i == 1) {
            ito_tensor *plain_in[3] = {c->in[0], NULL, NULL};
            part = ito_mul(
                op_apply_optional((op_id)(c->info - op_table), plain_in, c->n, 6, p, sizeof *p),
                part);
        }
        *dt = *dt == NULL ? ito_expand_to(part, c->shape[0]) : ito_add(*dt, part);
        if (*dt == NULL)
            return false;
    }
    return *dt != NULL;
}

ito_tensor *op_rms_norm_forward(op_call *c)
{
    return op_layer_norm_forward(c);
}

bool op_rms_norm_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    return op_layer_norm_backward(c, dy, dx);
}

ito_tensor *op_rms_norm_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    return composite(in, n, params, false);
}

static bool eps_fits(const char *op, double eps)
{
    if (eps >= 0 && eps < HUGE_VAL)
        return true;
    return error_false(ITO_ERR_ARGUMENT, "%s: eps is %g; it must be 0 or more, finite", op, eps);
}

ito_tensor *ito_layer_norm_with(ito_tensor *x, ito_shape normalized_shape, ito_tensor *weight,
                                ito_tensor *bias, ito_layer_norm_options options)
{
    enum { WEIGHT_AND_BIAS_MAY_BE_NULL = 6 };
    if (!eps_fits("layer_norm", options.eps))
        return NULL;
    layer_norm_params p = {normalized_shape, options.eps};
    return op_apply_optional(OP_layer_norm, (ito_tensor *[]){x, weight, bias}, 3,
                             WEIGHT_AND_BIAS_MAY_BE_NULL, &p, sizeof p);
}

ito_tensor *ito_rms_norm_with(ito_tensor *x, ito_shape normalized_shape, ito_tensor *weight,
                              ito_rms_norm_options options)
{
    enum { WEIGHT_MAY_BE_NULL = 2 };
    layer_norm_params p = {normalized_shape, eps_of(options.eps, ito_dtype_of(x))};
    if (!eps_fits("rms_norm", p.eps))
        return NULL;
    return op_apply_optional(OP_rms_norm, (ito_tensor *[]){x, weight}, 2, WEIGHT_MAY_BE_NULL, &p,
                             sizeof p);
}
