/* Places in sorted lists, and counts of what falls where. */
#include "autograd/observe.h"
#include "autograd/ops.h"
#include "autograd/ops/index.h"
#include "autograd/ops/lines.h"

#include <math.h>

/* Row-major, as f64 or i64; NULL with an error. */
static const ito_tensor *widened(const ito_tensor *t)
{
    ito_tensor *y = tensor_empty(t->sizes, ito_dtype_is_float(t->dtype) ? ITO_F64 : ITO_I64);
    if (y != NULL)
        tensor_copy(y, t);
    return y;
}

/* ---- searchsorted ---------------------------------------------------------------------------- */

/* How many of n are below v (right: not above); as in PyTorch, NaN is above all. */
#define PLACE(type)                                                                                \
    static int64_t place_##type(const void *sorted, int64_t n, const void *value, bool right)      \
    {                                                                                              \
        const type *x = sorted, v = *(const type *)value;                                          \
        int64_t low = 0, high = n;                                                                 \
        while (low < high) {                                                                       \
            int64_t middle = low + (high - low) / 2;                                               \
            if (!(right ? x[middle] > v : x[middle] >= v))                                         \
                low = middle + 1;                                                                  \
            else                                                                                   \
                high = middle;                                                                     \
        }                                                                                          \
        return low;                                                                                \
    }
PLACE(double)
PLACE(int64_t)

static ito_tensor *searchsorted(const ito_tensor *sorted, const ito_tensor *values, bool right)
{
    const ito_tensor *x = widened(sorted), *v = widened(values);
    ito_tensor *y = tensor_empty(values->sizes, ITO_I64);
    if (x == NULL || v == NULL || y == NULL)
        return NULL;
    int64_t n = x->shape[x->ndim - 1], total = ito_numel(v);
    int64_t each = x->ndim == 1 ? 0 : v->shape[v->ndim - 1]; /* values of one list; 0: all */
    int64_t *to = tensor_data(y);
    const char *from = tensor_data(x), *value = tensor_data(v);
    int64_t (*place)(const void *, int64_t, const void *, bool) =
        x->dtype == ITO_F64 ? place_double : place_int64_t;
    PARALLEL_FOR(i, total, total * 32,
                 to[i] = place(from + (each == 0 ? 0 : i / each * n * 8), n, value + i * 8, right));
    return y;
}

/* The same by operations, for whoever follows these: counted one by one. */
static ito_tensor *count_below(ito_tensor *sorted, ito_tensor *values, bool right)
{
    ito_tensor *v = ito_unsqueeze(values, -1);
    ito_tensor *x = sorted->ndim == 1 ? sorted : ito_unsqueeze(sorted, -2);
    ito_tensor *above = right ? ito_gt(x, v) : ito_ge(x, v); /* of NaN none */
    ito_tensor *all = ito_scalar((double)ito_size(sorted, -1), ITO_I64);
    return ito_sub(all, ito_count_nonzero(above, .dims = ITO_DIMS(-1)));
}

static ito_tensor *search(const char *op, ito_tensor *sorted, ito_tensor *values, bool right)
{
    if (sorted == NULL || values == NULL || !takes_numbers(op, sorted))
        return NULL;
    if (sorted->dtype != values->dtype)
        return error_null(ITO_ERR_DTYPE, "%s: %s %s and %s %s do not mix (see ito_cast)", op,
                          ito_dtype_name(sorted->dtype), tensor_shape_str(sorted),
                          ito_dtype_name(values->dtype), tensor_shape_str(values));
    bool fits = sorted->ndim == 1 || (sorted->ndim == values->ndim && sorted->ndim > 0);
    for (int i = 0; fits && sorted->ndim > 1 && i < sorted->ndim - 1; i++)
        fits = sorted->shape[i] == values->shape[i];
    if (!fits)
        return error_null(ITO_ERR_SHAPE, "%s: values %s do not go into lists %s", op,
                          tensor_shape_str(values), tensor_shape_str(sorted));
    ito_scope_begin();
    ito_tensor *y = ito_keep(op_traced() ? count_below(sorted, values, right)
                                         : searchsorted(sorted, values, right));
    ito_scope_end();
    return y;
}

ito_tensor *ito_searchsorted_with(ito_tensor *sorted, ito_tensor *values,
                                  ito_searchsorted_options options)
{
    return search("searchsorted", sorted, values, options.right);
}

ito_tensor *ito_bucketize_with(ito_tensor *values, ito_tensor *boundaries,
                               ito_searchsorted_options options)
{
    if (boundaries != NULL && boundaries->ndim != 1)
        return error_null(ITO_ERR_SHAPE, "bucketize: the boundaries %s are not a list",
                          tensor_shape_str(boundaries));
    return search("bucketize", boundaries, values, options.right);
}

/* ---- histc ----------------------------------------------------------------------------------- */

/* The range of the bins: of the options, or else of the n numbers v; false with an error. */
static bool find_range(const ito_histc_options *options, const double *v, int64_t n, double *low,
                       double *high)
{
    *low = options->min;
    *high = options->max;
    if (*low == *high && n > 0) {
        *low = *high = v[0];
        for (int64_t i = 1; i < n; i++) {
            *low = v[i] < *low || isnan(v[i]) ? v[i] : *low;
            *high = v[i] > *high ? v[i] : *high;
        }
    }
    if (*low == *high) {
        *low -= 1;
        *high += 1;
    }
    if (isfinite(*low) && isfinite(*high) && *low < *high)
        return true;
    return error_false(ITO_ERR_ARGUMENT, "histc: no bins from %g to %g", *low, *high);
}

static ito_tensor *histc(const ito_tensor *x, const ito_histc_options *options)
{
    const ito_tensor *wide = widened(x);
    ito_tensor *sums = tensor_empty(ITO_SHAPE(options->bins), ITO_F64);
    ito_tensor *y = tensor_empty(ITO_SHAPE(options->bins), x->dtype);
    double low, high;
    if (wide == NULL || sums == NULL || y == NULL)
        return NULL;
    const double *v = tensor_data(wide);
    int64_t n = ito_numel(wide);
    if (!find_range(options, v, n, &low, &high))
        return NULL;
    tensor_fill(sums, 0);
    double *count = tensor_data(sums);
    for (int64_t i = 0; i < n; i++) {
        if (!(v[i] >= low && v[i] <= high))
            continue;
        int64_t bin = (int64_t)((v[i] - low) * (double)options->bins / (high - low));
        count[bin < options->bins ? bin : options->bins - 1]++;
    }
    tensor_copy(y, sums);
    return y;
}

ito_tensor *ito_histc_with(ito_tensor *x, ito_histc_options options)
{
    if (x == NULL || !takes_reals("histc", x))
        return NULL;
    if (options.bins < 1)
        return error_null(ITO_ERR_ARGUMENT, "histc: %" PRId64 " bins are not at least one",
                          options.bins);
    ito_scope_begin();
    ito_tensor *y = ito_keep(histc(x, &options));
    ito_scope_end();
    return y;
}

/* ---- bincount -------------------------------------------------------------------------------- */

ito_tensor *ito_bincount_with(ito_tensor *x, ito_bincount_options options)
{
    if (x == NULL)
        return NULL;
    ito_tensor *weights = options.weights;
    if (x->ndim != 1 || (weights != NULL && !shape_equal(x->sizes, weights->sizes)))
        return error_null(ITO_ERR_SHAPE, "bincount: %s is not a list, or its weights are not",
                          tensor_shape_str(x));
    if (options.minlength < 0)
        return error_null(ITO_ERR_ARGUMENT, "bincount: minlength is %" PRId64, options.minlength);
    if (!index_check("bincount", x, INT64_MAX))
        return NULL;
    ito_scope_begin();
    const ito_tensor *list = tensor_contiguous(x);
    const int64_t *v = list == NULL ? NULL : tensor_data(list);
    int64_t size = options.minlength;
    for (int64_t i = 0; v != NULL && i < x->shape[0]; i++)
        size = v[i] >= size ? v[i] + 1 : size;
    if (weights == NULL)
        weights = ito_ones(x->sizes, ITO_I64);
    ito_tensor *y = ito_keep(v == NULL ? NULL : index_add_to_zeros(weights, 0, x, size));
    ito_scope_end();
    return y;
}
