/* Reductions that need no kernel: of integers and bool, products, and questions of truth. Each
 * result is a loop over a row-major line. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/lines.h"
#include "autograd/ops/pad.h"
#include "autograd/ops/reduce.h"

#include <math.h>

/* The axes of x in this order: those that stay, then those that are reduced. */
static ito_shape reduced_last(int ndim, unsigned axes, int *kept)
{
    ito_shape order = {0};
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < ndim; i++)
            if ((axes >> i & 1) == (unsigned)pass)
                order.dim[order.ndim++] = i;
        if (pass == 0)
            *kept = order.ndim;
    }
    return order;
}

ito_tensor *reduce_lines(const ito_tensor *x, const reduce_params *params, ito_dtype dtype,
                         line_reducer *f)
{
    int kept;
    ito_shape order = reduced_last(x->ndim, params->axes, &kept), sorted = {.ndim = x->ndim};
    ito_shape shape = kept_shape(x->sizes, params->axes);
    int64_t stride[ITO_MAX_DIMS], results = 1, n = 1;
    for (int i = 0; i < x->ndim; i++) {
        sorted.dim[i] = x->shape[order.dim[i]];
        stride[i] = x->stride[order.dim[i]];
        *(i < kept ? &results : &n) *= sorted.dim[i];
    }
    if (!params->keepdim) {
        shape.ndim = kept;
        for (int i = 0; i < kept; i++)
            shape.dim[i] = sorted.dim[i];
    }
    const ito_tensor *view = tensor_view(x, sorted, stride, x->offset);
    const ito_tensor *lines = view == NULL ? NULL : tensor_contiguous(view);
    ito_tensor *y = tensor_empty(shape, dtype);
    if (lines == NULL || y == NULL)
        return NULL;
    char *to = tensor_data(y);
    const char *from = tensor_data(lines);
    size_t size = ito_dtype_size(dtype), line = (size_t)n * ito_dtype_size(x->dtype);
    PARALLEL_FOR(r, results, results * n, f(to + (size_t)r * size, from + (size_t)r * line, n));
    return y;
}

/* ---- integers -------------------------------------------------------------------------------- */

/* Sums wrap as unsigned ones do. */
#define INTEGER_LINES(id, type, name, wide, value)                                                 \
    static void sum_##name(void *y, const void *line, int64_t n)                                   \
    {                                                                                              \
        uint64_t sum = 0;                                                                          \
        for (int64_t i = 0; i < n; i++)                                                            \
            sum += (uint64_t)((const type *)line)[i];                                              \
        *(int64_t *)y = (int64_t)sum;                                                              \
    }                                                                                              \
    static void prod_##name(void *y, const void *line, int64_t n)                                  \
    {                                                                                              \
        uint64_t product = 1;                                                                      \
        for (int64_t i = 0; i < n; i++)                                                            \
            product *= (uint64_t)((const type *)line)[i];                                          \
        *(int64_t *)y = (int64_t)product;                                                          \
    }                                                                                              \
    static void max_##name(void *y, const void *line, int64_t n)                                   \
    {                                                                                              \
        const type *x = line;                                                                      \
        type best = x[0];                                                                          \
        for (int64_t i = 1; i < n; i++)                                                            \
            best = x[i] > best ? x[i] : best;                                                      \
        *(type *)y = best;                                                                         \
    }                                                                                              \
    static void min_##name(void *y, const void *line, int64_t n)                                   \
    {                                                                                              \
        const type *x = line;                                                                      \
        type best = x[0];                                                                          \
        for (int64_t i = 1; i < n; i++)                                                            \
            best = x[i] < best ? x[i] : best;                                                      \
        *(type *)y = best;                                                                         \
    }
LINE_INTEGERS(INTEGER_LINES)

ito_tensor *reduce_integers(integer_reduction kind, const op_call *c)
{
#define ENTRY(id, type, name, wide, value) [id] = {sum_##name, max_##name, min_##name},
    static line_reducer *const rows[ITO_DTYPES][3] = {LINE_INTEGERS(ENTRY)};
#undef ENTRY
    ito_dtype dtype = c->dtype[0];
    return reduce_lines(c->in[0], c->params, kind == INTEGER_SUM ? ITO_I64 : dtype,
                        rows[dtype][kind]);
}

/* ---- prod ------------------------------------------------------------------------------------ */

#define REAL_PROD(id, type, name, wide, value)                                                     \
    static void prod_##name(void *y, const void *line, int64_t n)                                  \
    {                                                                                              \
        double product = 1;                                                                        \
        for (int64_t i = 0; i < n; i++)                                                            \
            product *= value(((const type *)line)[i]);                                             \
        *(type *)y = real_to_##name(product);                                                      \
    }
LINE_REALS(REAL_PROD)

ito_tensor *op_prod_forward(op_call *c)
{
#define ENTRY(id, type, name, wide, value) [id] = prod_##name,
    static line_reducer *const rows[ITO_DTYPES] = {LINE_NUMBERS(ENTRY)};
#undef ENTRY
    ito_dtype dtype = c->dtype[0];
    return reduce_lines(c->in[0], c->params, ito_dtype_is_float(dtype) ? dtype : ITO_I64,
                        rows[dtype]);
}

/* For each element the product of the others behind the same result: of those before times those
 * after. Nothing is divided, so zeros do no harm. */
static ito_tensor *product_of_others(ito_tensor *x, unsigned axes)
{
    int kept;
    ito_shape order = reduced_last(x->ndim, axes, &kept), inverse = {.ndim = x->ndim};
    if (ito_numel(x) == 0 || axes == 0)
        return ito_ones_like(x);
    for (int i = 0; i < x->ndim; i++)
        inverse.dim[order.dim[i]] = i;
    ito_tensor *sorted = ito_permute_to(x, order), *line = ito_flatten(sorted, kept, -1);
    pad_params shift = {.value = 1};
    shift.before[kept] = 1;
    shift.after[kept] = -1;
    ito_tensor *before = pad_axes(ito_cumprod(line, kept), &shift);
    ito_tensor *after = pad_axes(ito_cumprod(ito_flip(line, kept), kept), &shift);
    ito_tensor *y = ito_mul(before, ito_flip(after, kept));
    return sorted == NULL ? NULL : ito_permute_to(ito_reshape_to(y, sorted->sizes), inverse);
}

bool op_prod_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const reduce_params *p = c->params;
    ito_tensor *wide = ito_reshape_to(dy, kept_shape(c->shape[0], p->axes));
    dx[0] = ito_mul(product_of_others(c->in[0], p->axes), wide);
    return dx[0] != NULL;
}

bool tangent_prod(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    const reduce_params *p = c->params;
    *dt = sum_over(ito_mul(product_of_others(c->in[0], p->axes), t[0]), p, 1);
    return *dt != NULL;
}

ito_tensor *ito_prod_with(ito_tensor *x, ito_reduce_options options)
{
    return reduce_apply(OP_prod, "prod", x, &options);
}

/* ---- any, all, count_nonzero ----------------------------------------------------------------- */

#define TRUTH_LINES(id, type, name, wide, value)                                                   \
    static void any_##name(void *y, const void *line, int64_t n)                                   \
    {                                                                                              \
        int64_t i = 0;                                                                             \
        while (i < n && value(((const type *)line)[i]) == 0)                                       \
            i++;                                                                                   \
        *(bool *)y = i < n;                                                                        \
    }                                                                                              \
    static void all_##name(void *y, const void *line, int64_t n)                                   \
    {                                                                                              \
        int64_t i = 0;                                                                             \
        while (i < n && value(((const type *)line)[i]) != 0)                                       \
            i++;                                                                                   \
        *(bool *)y = i == n;                                                                       \
    }                                                                                              \
    static void count_nonzero_##name(void *y, const void *line, int64_t n)                         \
    {                                                                                              \
        int64_t count = 0;                                                                         \
        for (int64_t i = 0; i < n; i++)                                                            \
            count += value(((const type *)line)[i]) != 0;                                          \
        *(int64_t *)y = count;                                                                     \
    }
LINE_NUMBERS(TRUTH_LINES)

#define TRUTH(op, out, ENTRY)                                                                      \
    ito_tensor *op_##op##_forward(op_call *c)                                                      \
    {                                                                                              \
        static line_reducer *const rows[ITO_DTYPES] = {LINE_NUMBERS(ENTRY)};                       \
        return reduce_lines(c->in[0], c->params, out, rows[c->dtype[0]]);                          \
    }                                                                                              \
    ito_tensor *ito_##op##_with(ito_tensor *x, ito_reduce_options options)                         \
    {                                                                                              \
        return reduce_apply(OP_##op, #op, x, &options);                                            \
    }
#define ANY_ENTRY(id, type, name, wide, value) [id] = any_##name,
#define ALL_ENTRY(id, type, name, wide, value) [id] = all_##name,
#define COUNT_ENTRY(id, type, name, wide, value) [id] = count_nonzero_##name,
TRUTH(any, ITO_BOOL, ANY_ENTRY)
TRUTH(all, ITO_BOOL, ALL_ENTRY)
TRUTH(count_nonzero, ITO_I64, COUNT_ENTRY)

/* ---- composites ------------------------------------------------------------------------------ */

/* x with 0 in place of NaN, and where NaN was. */
static ito_tensor *without_nan(ito_tensor *x, ito_tensor **nan_at)
{
    *nan_at = ito_ne(x, x);
    return grad_unless(*nan_at, x);
}

ito_tensor *ito_nansum_with(ito_tensor *x, ito_reduce_options options)
{
    reduce_params params;
    if (x == NULL || !takes_reals("nansum", x) || !reduce_resolve("nansum", x, &options, &params))
        return NULL;
    ito_scope_begin();
    ito_tensor *nan_at;
    ito_tensor *y = ito_keep(sum_over(without_nan(x, &nan_at), &params, 1));
    ito_scope_end();
    return y;
}

ito_tensor *ito_nanmean_with(ito_tensor *x, ito_reduce_options options)
{
    reduce_params params;
    if (x == NULL || !takes_reals("nanmean", x) || !reduce_resolve("nanmean", x, &options, &params))
        return NULL;
    ito_scope_begin();
    ito_tensor *nan_at, *sum = sum_over(without_nan(x, &nan_at), &params, 1);
    ito_tensor *one = ito_scalar(1, x->dtype);
    ito_tensor *y = ito_div(sum, sum_over(grad_unless(nan_at, one), &params, 1));
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_aminmax_with(ito_tensor *x, ito_tensor **largest, ito_reduce_options options)
{
    ito_tensor *max = ito_max_with(x, options);
    ito_tensor *min = max == NULL ? NULL : ito_min_with(x, options);
    if (largest != NULL)
        *largest = min == NULL ? NULL : max;
    return min;
}
