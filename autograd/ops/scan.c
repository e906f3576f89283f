/* Cumulative operations along an axis. Each line has one writer, which goes through it in order, in
 * double. Gradients of products are recurrences: nothing is divided, so zeros do no harm. */
#include "autograd/ops/scan.h"
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/lines.h"
#include "autograd/ops/pad.h"
#include "autograd/ops/params.h"

#include <math.h>

/* y along x; strides in elements. In reverse the caller begins at the end. */
typedef void scan_line(void *y, int64_t y_stride, const void *x, int64_t x_stride, int64_t n);

/* y, shaped as x, of this dtype. */
static ito_tensor *scan(const op_call *c, ito_dtype dtype, scan_line *row)
{
    const scan_params *p = c->params;
    const ito_tensor *x = c->in[0];
    ito_tensor *y = tensor_empty_as(x, dtype);
    if (y == NULL)
        return NULL;
    int64_t n = x->shape[p->axis], lines = line_count(&x->sizes, p->axis);
    int64_t xs = x->stride[p->axis], ys = y->stride[p->axis],
            last = p->reverse && n > 0 ? n - 1 : 0;
    int64_t xe = (int64_t)ito_dtype_size(x->dtype), ye = (int64_t)ito_dtype_size(dtype);
    const char *from = (const char *)tensor_data(x) + last * xs * xe;
    char *to = (char *)tensor_data(y) + last * ys * ye;
    int64_t sign = p->reverse ? -1 : 1;
    PARALLEL_FOR(r, lines, lines * n,
                 row(to + line_begin(y, &x->sizes, p->axis, r) * ye, sign * ys,
                     from + line_begin(x, &x->sizes, p->axis, r) * xe, sign * xs, n));
    return y;
}

static ito_tensor *apply(op_id id, ito_tensor *x, int axis, bool reverse)
{
    scan_params p = {.axis = axis, .reverse = reverse};
    return op_apply(id, &x, 1, &p, sizeof p);
}

static ito_tensor *cumulative(const char *op, op_id id, ito_tensor *x, int dim)
{
    int axis;
    ito_scope_begin();
    ito_tensor *line = along(op, x, dim, &axis);
    ito_tensor *y = line == NULL ? NULL : along_back(apply(id, line, axis, false), x);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

/* t[i - by] in place i of axis, `value` where there is none; by is 1 or -1. */
static ito_tensor *shifted(ito_tensor *t, int axis, int by, double value)
{
    if (t == NULL || t->shape[axis] == 0)
        return t;
    pad_params p = {.value = value};
    p.before[axis] = by;
    p.after[axis] = -by;
    return pad_axes(t, &p);
}

/* ---- recurrence ------------------------------------------------------------------------------ */

#define RECURRENCE(id, type, name, wide, value)                                                    \
    static void recurrence_##name(void *h_, int64_t hs, const void *a_, int64_t as,                \
                                  const void *b_, int64_t bs, int64_t n)                           \
    {                                                                                              \
        type *h = h_;                                                                              \
        const type *a = a_, *b = b_;                                                               \
        double state = 0;                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                          \
            double own = value(b[i * bs]);                                                         \
            state = i == 0 ? own : value(a[i * as]) * state + own;                                 \
            h[i * hs] = real_to_##name(state);                                                     \
        }                                                                                          \
    }
LINE_REALS(RECURRENCE)

ito_tensor *op_recurrence_forward(op_call *c)
{
    const scan_params *p = c->params;
    const ito_tensor *a = c->in[0], *b = c->in[1];
    ito_tensor *h = tensor_empty_as(b, b->dtype);
    if (h == NULL)
        return NULL;
    int axis = p->axis;
    int64_t n = b->shape[axis], lines = line_count(&b->sizes, axis);
    int64_t e = (int64_t)ito_dtype_size(b->dtype), sign = p->reverse ? -1 : 1;
    int64_t last = p->reverse && n > 0 ? n - 1 : 0;
    const ito_tensor *t[3] = {h, a, b};
    char *begin[3];
    for (int i = 0; i < 3; i++)
        begin[i] = (char *)tensor_data(t[i]) + last * t[i]->stride[axis] * e;
    void (*row)(void *, int64_t, const void *, int64_t, const void *, int64_t, int64_t) =
        b->dtype == ITO_F64    ? recurrence_f64
        : b->dtype == ITO_BF16 ? recurrence_bf16
                               : recurrence_f32;
    PARALLEL_FOR(r, lines, lines * n,
                 row(begin[0] + line_begin(h, &b->sizes, axis, r) * e, sign * h->stride[axis],
                     begin[1] + line_begin(a, &b->sizes, axis, r) * e, sign * a->stride[axis],
                     begin[2] + line_begin(b, &b->sizes, axis, r) * e, sign * b->stride[axis], n));
    return h;
}

/* db[i] = dh[i] + a[i + 1] db[i + 1]; da[i] = db[i] h[i - 1]. */
bool op_recurrence_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const scan_params *p = c->params;
    int on = p->reverse ? -1 : 1; /* the way that the recurrence goes */
    ito_tensor *db = recurrence(shifted(c->in[0], p->axis, -on, 0), dy, p->axis, !p->reverse);
    if (c->needs[0])
        dx[0] = ito_mul(db, shifted(c->out, p->axis, on, 0));
    if (c->needs[1])
        dx[1] = db;
    return db != NULL && (!c->needs[0] || dx[0] != NULL);
}

/* dh[i] = a[i] dh[i - 1] + da[i] h[i - 1] + db[i]. */
bool tangent_recurrence(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    const scan_params *p = c->params;
    ito_tensor *b = t[1];
    if (t[0] != NULL) {
        ito_tensor *by_a = ito_mul(t[0], shifted(c->out, p->axis, p->reverse ? -1 : 1, 0));
        b = b == NULL ? by_a : ito_add(by_a, b);
    }
    *dt = recurrence(c->in[0], b, p->axis, p->reverse);
    return *dt != NULL;
}

ito_tensor *recurrence(ito_tensor *a, ito_tensor *b, int axis, bool reverse)
{
    scan_params p = {.axis = axis, .reverse = reverse};
    return op_apply(OP_recurrence, (ito_tensor *[]){a, b}, 2, &p, sizeof p);
}

/* ---- cumsum and cumprod ---------------------------------------------------------------------- */

#define REAL_SCANS(id, type, name, wide, value)                                                    \
    static void cumsum_##name(void *y, int64_t ys, const void *x, int64_t xs, int64_t n)           \
    {                                                                                              \
        double sum = 0;                                                                            \
        for (int64_t i = 0; i < n; i++) {                                                          \
            sum += value(((const type *)x)[i * xs]);                                               \
            ((type *)y)[i * ys] = real_to_##name(sum);                                             \
        }                                                                                          \
    }                                                                                              \
    static void cumprod_##name(void *y, int64_t ys, const void *x, int64_t xs, int64_t n)          \
    {                                                                                              \
        double product = 1;                                                                        \
        for (int64_t i = 0; i < n; i++) {                                                          \
            product *= value(((const type *)x)[i * xs]);                                           \
            ((type *)y)[i * ys] = real_to_##name(product);                                         \
        }                                                                                          \
    }
LINE_REALS(REAL_SCANS)

/* Unsigned, so that what is too large wraps. */
#define INTEGER_SCANS(id, type, name, wide, value)                                                 \
    static void cumsum_##name(void *y, int64_t ys, const void *x, int64_t xs, int64_t n)           \
    {                                                                                              \
        uint64_t sum = 0;                                                                          \
        for (int64_t i = 0; i < n; i++)                                                            \
            ((int64_t *)y)[i * ys] = (int64_t)(sum += (uint64_t)((const type *)x)[i * xs]);        \
    }                                                                                              \
    static void cumprod_##name(void *y, int64_t ys, const void *x, int64_t xs, int64_t n)          \
    {                                                                                              \
        uint64_t product = 1;                                                                      \
        for (int64_t i = 0; i < n; i++)                                                            \
            ((int64_t *)y)[i * ys] = (int64_t)(product *= (uint64_t)((const type *)x)[i * xs]);    \
    }
LINE_INTEGERS(INTEGER_SCANS)

static ito_dtype sum_dtype(ito_dtype dtype)
{
    return ito_dtype_is_float(dtype) ? dtype : ITO_I64;
}

ito_tensor *op_cumsum_forward(op_call *c)
{
#define ENTRY(id, type, name, wide, value) [id] = cumsum_##name,
    static scan_line *const rows[ITO_DTYPES] = {LINE_NUMBERS(ENTRY)};
#undef ENTRY
    return scan(c, sum_dtype(c->dtype[0]), rows[c->dtype[0]]);
}

bool op_cumsum_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const scan_params *p = c->params;
    dx[0] = apply(OP_cumsum, dy, p->axis, !p->reverse);
    return dx[0] != NULL;
}

ito_tensor *ito_cumsum(ito_tensor *x, int axis)
{
    return cumulative("cumsum", OP_cumsum, x, axis);
}

ito_tensor *op_cumprod_forward(op_call *c)
{
#define ENTRY(id, type, name, wide, value) [id] = cumprod_##name,
    static scan_line *const rows[ITO_DTYPES] = {LINE_NUMBERS(ENTRY)};
#undef ENTRY
    return scan(c, sum_dtype(c->dtype[0]), rows[c->dtype[0]]);
}

/* y[j] hangs on x[i] by y[i - 1] x[i + 1] .. x[j]. */
bool op_cumprod_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    int axis = ((const scan_params *)c->params)->axis;
    ito_tensor *behind = recurrence(shifted(c->in[0], axis, -1, 0), dy, axis, true);
    dx[0] = ito_mul(behind, shifted(c->out, axis, 1, 1));
    return dx[0] != NULL;
}

bool tangent_cumprod(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    int axis = ((const scan_params *)c->params)->axis;
    *dt = recurrence(c->in[0], ito_mul(t[0], shifted(c->out, axis, 1, 1)), axis, false);
    return *dt != NULL;
}

ito_tensor *ito_cumprod(ito_tensor *x, int axis)
{
    return cumulative("cumprod", OP_cumprod, x, axis);
}

/* ---- logcumsumexp ---------------------------------------------------------------------------- */

static double log_add_exp(double a, double b)
{
    if (isnan(a) || isnan(b))
        return a + b;
    double high = a > b ? a : b, low = a > b ? b : a;
    return isinf(high) ? high : high + log1p(exp(low - high));
}

#define LOG_SCAN(id, type, name, wide, value)                                                      \
    static void logcumsumexp_##name(void *y, int64_t ys, const void *x, int64_t xs, int64_t n)     \
    {                                                                                              \
        double sum = -HUGE_VAL;                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                          \
            sum = log_add_exp(sum, value(((const type *)x)[i * xs]));                              \
            ((type *)y)[i * ys] = real_to_##name(sum);                                             \
        }                                                                                          \
    }
LINE_REALS(LOG_SCAN)

ito_tensor *op_logcumsumexp_forward(op_call *c)
{
    return scan(c, c->dtype[0],
                c->dtype[0] == ITO_F64    ? logcumsumexp_f64
                : c->dtype[0] == ITO_BF16 ? logcumsumexp_bf16
                                          : logcumsumexp_f32);
}

/* *share = exp(x[i] - y[i]), by which y[i] hangs on x[i], and *ratio = exp(y[i - 1] - y[i]), by
 * which it hangs on what was before (0 for the first). Both are 0 where nothing but exp(-infinity)
 * has been added. false with an error. */
static bool log_weights(const op_call *c, int axis, ito_tensor **share, ito_tensor **ratio)
{
    ito_tensor *nothing = ito_eq(c->out, ito_scalar(-HUGE_VAL, c->dtype[0]));
    ito_tensor *y = grad_unless(nothing, c->out);
    ito_tensor *before = shifted(c->out, axis, 1, -HUGE_VAL);
    *share = grad_unless(nothing, ito_exp(ito_sub(c->in[0], y)));
    *ratio = grad_unless(nothing, ito_exp(ito_sub(before, y)));
    return *share != NULL && *ratio != NULL;
}

bool op_logcumsumexp_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    int axis = ((const scan_params *)c->params)->axis;
    ito_tensor *share, *ratio;
    if (!log_weights(c, axis, &share, &ratio))
        return false;
    dx[0] = ito_mul(share, recurrence(shifted(ratio, axis, -1, 0), dy, axis, true));
    return dx[0] != NULL;
}

bool tangent_logcumsumexp(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    int axis = ((const scan_params *)c->params)->axis;
    ito_tensor *share, *ratio;
    if (!log_weights(c, axis, &share, &ratio))
        return false;
    *dt = recurrence(ratio, ito_mul(share, t[0]), axis, false);
    return *dt != NULL;
}

ito_tensor *ito_logcumsumexp(ito_tensor *x, int axis)
{
    return cumulative("logcumsumexp", OP_logcumsumexp, x, axis);
}

/* ---- cummax and cummin ----------------------------------------------------------------------- */

/* The place of the best element so far, of equal ones the last; from a NaN on, of the last NaN. */
#define BEST_SCAN(op, better, type, name, value)                                                   \
    static void op##_##name(void *y, int64_t ys, const void *x_, int64_t xs, int64_t n)            \
    {                                                                                              \
        const type *x = x_;                                                                        \
        int64_t best = 0;                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                          \
            bool still = !isnan((double)value(x[best * xs]));                                      \
            if (isnan((double)value(x[i * xs])) ||                                                 \
                (still && value(x[i * xs]) better value(x[best * xs])))                            \
                best = i;                                                                          \
            ((int64_t *)y)[i * ys] = best;                                                         \
        }                                                                                          \
    }
#define BEST_SCANS(id, type, name, wide, value)                                                    \
    BEST_SCAN(cummax, >=, type, name, value) BEST_SCAN(cummin, <=, type, name, value)
LINE_NUMBERS(BEST_SCANS)

static ito_tensor *cumulative_best(const char *op, op_id id, ito_tensor *x, int dim,
                                   ito_tensor **indices)
{
    int axis;
    ito_tensor *y = NULL, *at = NULL;
    ito_scope_begin();
    ito_tensor *line = along(op, x, dim, &axis);
    ito_tensor *places = line == NULL ? NULL : apply(id, line, axis, false);
    if (places != NULL) {
        y = along_back(index_gather(line, axis, places), x);
        at = along_back(places, x);
    }
    y = keep_both(y, at, indices);
    ito_scope_end();
    return y;
}

#define CUMULATIVE_BEST(op, ENTRY)                                                                 \
    ito_tensor *op_##op##_forward(op_call *c)                                                      \
    {                                                                                              \
        static scan_line *const rows[ITO_DTYPES] = {LINE_NUMBERS(ENTRY)};                          \
        return scan(c, ITO_I64, rows[c->dtype[0]]);                                                \
    }                                                                                              \
    ito_tensor *ito_##op(ito_tensor *x, int axis, ito_tensor **indices)                            \
    {                                                                                              \
        return cumulative_best(#op, OP_##op, x, axis, indices);                                    \
    }
#define CUMMAX_ENTRY(id, type, name, wide, value) [id] = cummax_##name,
#define CUMMIN_ENTRY(id, type, name, wide, value) [id] = cummin_##name,
CUMULATIVE_BEST(cummax, CUMMAX_ENTRY)
CUMULATIVE_BEST(cummin, CUMMIN_ENTRY)
