/* Rows of a table named by an index, one by one or summed in bags. Made of index_select and
 * index_add, whose derivatives are each other; which rows belong to which bag is found out here. */
#include "autograd/ops.h"
#include "autograd/ops/composite.h"
#include "autograd/ops/index.h"

#include <math.h>
#include <string.h>

/* ---- rows ---- */

static bool check_table(const char *op, const ito_tensor *weight)
{
    if (weight->ndim != 2)
        return error_false(ITO_ERR_SHAPE, "%s: the weight %s is not a matrix", op,
                           tensor_shape_str(weight));
    return true;
}

/* padding, counted from the end if negative; *row is -1 for none. */
static bool padding_row(const char *op, int64_t padding, const ito_tensor *weight, int64_t *row)
{
    int64_t rows = weight->shape[0];
    *row = padding == ITO_NO_PADDING_IDX ? -1 : padding < 0 ? padding + rows : padding;
    if (padding == ITO_NO_PADDING_IDX || (*row >= 0 && *row < rows))
        return true;
    return error_false(ITO_ERR_RANGE, "%s: padding_idx %" PRId64 " is no row of %s", op, padding,
                       tensor_shape_str(weight));
}

#define RENORM(name, type)                                                                         \
    static void name(type *row, int64_t step, int64_t n, double most, double p)                    \
    {                                                                                              \
        double sum = 0, norm = 0;                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                          \
            double x = fabs((double)row[i * step]);                                                \
            sum += pow(x, p);                                                                      \
            norm = x > norm ? x : norm;                                                            \
        }                                                                                          \
        norm = isinf(p) ? norm : pow(sum, 1 / p);                                                  \
        for (int64_t i = 0; norm > most && i < n; i++)                                             \
            row[i * step] *= (type)(most / (norm + 1e-7));                                         \
    }
RENORM(renorm_f32, float)
RENORM(renorm_f64, double)

/* Named rows whose norm is larger than most are brought to it, in place. */
static bool renorm(const char *op, ito_tensor *weight, const ito_tensor *index, double most,
                   double p)
{
    if (weight->dtype != ITO_F32 && weight->dtype != ITO_F64)
        return error_false(ITO_ERR_DTYPE, "%s: max_norm takes f32 or f64, not %s", op,
                           ito_dtype_name(weight->dtype));
    if (!(most >= 0 && p > 0))
        return error_false(ITO_ERR_ARGUMENT, "%s: max_norm %g with norm_type %g", op, most, p);
    ito_scope_begin();
    const ito_tensor *list = tensor_contiguous(index);
    const int64_t *row = list == NULL ? NULL : tensor_data(list);
    for (int64_t i = 0, n = ito_numel(index); list != NULL && i < n; i++) {
        char *at = (char *)tensor_data(weight) +
                   row[i] * weight->stride[0] * (int64_t)ito_dtype_size(weight->dtype);
        if (weight->dtype == ITO_F32)
            renorm_f32((float *)at, weight->stride[1], weight->shape[1], most, p);
        else
            renorm_f64((double *)at, weight->stride[1], weight->shape[1], most, p);
    }
    ito_scope_end();
    ito_touch(weight);
    return list != NULL;
}

/* y with the gradient stopped where the index is `row`. */
static ito_tensor *without_gradient_of(ito_tensor *y, ito_tensor *index, int64_t row)
{
    ito_tensor *is_padding = ito_eq(index, ito_scalar((double)row, ITO_I64));
    return ito_where(ito_unsqueeze(is_padding, -1), ito_detach(y), y);
}

ito_tensor *ito_embedding_with(ito_tensor *weight, ito_tensor *index,
                               ito_embedding_lookup_options options)
{
    static const char *const op = "embedding";
    int64_t padding;
    if (weight == NULL || index == NULL || !check_table(op, weight))
        return NULL;
    if (index->ndim == ITO_MAX_DIMS)
        return error_null(ITO_ERR_SHAPE, "embedding: the index %s has too many axes",
                          tensor_shape_str(index));
    if (!index_check(op, index, weight->shape[0]) ||
        !padding_row(op, options.padding_idx, weight, &padding))
        return NULL;
    if (!isinf(options.max_norm) && !renorm(op, weight, index, options.max_norm, options.norm_type))
        return NULL;
    if (padding < 0)
        return index_select_entries(weight, 0, index);
    return COMPOSITE(without_gradient_of(index_select_entries(weight, 0, index), index, padding));
}

/* ---- bags ---- */

/* What one call is about: entry k takes row[k] of the table into bag[k]. */
typedef struct bags {
    ito_tensor *weight;
    const ito_embedding_bag_options *options;
    int64_t n, entries;
    ito_tensor *row, *bag, *place, *size; /* i64: [entries] thrice, place in the index; [n] */
} bags;

/* [n + 1] where each bag begins, and the end, of an index of `total` entries. */
static ito_tensor *bounds(const ito_tensor *index, const ito_tensor *offsets, bool include_last)
{
    int64_t total = ito_numel(index);
    if (index->ndim == 2) {
        ito_tensor *b = tensor_empty(ITO_SHAPE(index->shape[0] + 1), ITO_I64);
        for (int64_t i = 0; b != NULL && i <= index->shape[0]; i++)
            ((int64_t *)tensor_data(b))[i] = i * index->shape[1];
        return b;
    }
    int64_t given = offsets->shape[0], n = include_last ? given - 1 : given;
    const ito_tensor *list = tensor_contiguous(offsets);
    ito_tensor *b = tensor_empty(ITO_SHAPE(n + 1), ITO_I64);
    if (list == NULL || b == NULL)
        return NULL;
    int64_t *at = tensor_data(b);
    memcpy(at, tensor_data(list), (size_t)given * sizeof *at);
    if (!include_last)
        at[n] = total;
    for (int64_t i = 0; i <= n; i++)
        if (at[i] < (i == 0 ? 0 : at[i - 1]) || at[i] > total || (i == 0 && n > 0 && at[0] != 0))
            return error_null(ITO_ERR_RANGE,
                              "embedding_bag: offset %" PRId64 " is %" PRId64
                              "; they rise from 0 to at most %" PRId64,
                              i, at[i], total);
    if (at[n] != total)
        return error_null(ITO_ERR_RANGE,
                          "embedding_bag: the last offset is %" PRId64 ", not %" PRId64, at[n],
                          total);
    return b;
}

static bool check_bags(const ito_tensor *weight, const ito_tensor *index,
                       const ito_embedding_bag_options *o)
{
    const ito_tensor *offsets = o->offsets, *scale = o->per_sample_weights;
    if (index->ndim != (offsets == NULL ? 2 : 1))
        return error_false(
            ITO_ERR_SHAPE,
            "embedding_bag: the index %s is not [bags, size], or a list with offsets",
            tensor_shape_str(index));
    if (offsets != NULL && (offsets->dtype != ITO_I64 || offsets->ndim != 1))
        return error_false(ITO_ERR_SHAPE, "embedding_bag: the offsets, %s %s, are no list of i64",
                           ito_dtype_name(offsets->dtype), tensor_shape_str(offsets));
    if (offsets != NULL && o->include_last_offset && offsets->shape[0] == 0)
        return error_false(ITO_ERR_SHAPE, "embedding_bag: no last offset among none");
    if (scale == NULL)
        return true;
    if (o->mode != ITO_BAG_SUM)
        return error_false(ITO_ERR_ARGUMENT,
                           "embedding_bag: per_sample_weights go with a sum alone");
    if (!shape_equal(ito_shape_of(scale), ito_shape_of(index)) || scale->dtype != weight->dtype)
        return error_false(ITO_ERR_SHAPE, "embedding_bag: per_sample_weights, %s %s, are not %s %s",
                           ito_dtype_name(scale->dtype), tensor_shape_str(scale),
                           ito_dtype_name(weight->dtype), tensor_shape_str(index));
    return true;
}

/* Entries that name the padding row are left out. */
static bool sort_bags(bags *b, const ito_tensor *index, int64_t padding)
{
    const ito_tensor *list = tensor_contiguous(index);
    const ito_tensor *begin = bounds(index, b->options->offsets, b->options->include_last_offset);
    if (list == NULL || begin == NULL)
        return false;
    int64_t total = ito_numel(index);
    b->n = begin->shape[0] - 1;
    b->row = tensor_empty(ITO_SHAPE(total), ITO_I64);
    b->bag = tensor_empty(ITO_SHAPE(total), ITO_I64);
    b->place = tensor_empty(ITO_SHAPE(total), ITO_I64);
    b->size = tensor_empty(ITO_SHAPE(b->n), ITO_I64);
    if (b->row == NULL || b->bag == NULL || b->place == NULL || b->size == NULL)
        return false;
    const int64_t *value = tensor_data(list), *at = tensor_data(begin);
    int64_t *row = tensor_data(b->row), *bag = tensor_data(b->bag), *size = tensor_data(b->size);
    int64_t *place = tensor_data(b->place);
    for (int64_t i = 0; i < b->n; i++) {
        int64_t before = b->entries;
        for (int64_t k = at[i]; k < at[i + 1]; k++)
            if (value[k] != padding) {
                row[b->entries] = value[k];
                bag[b->entries] = i;
                place[b->entries++] = k;
            }
        size[i] = b->entries - before;
    }
    b->row = ito_narrow(b->row, 0, 0, b->entries);
    b->bag = ito_narrow(b->bag, 0, 0, b->entries);
    b->place = ito_narrow(b->place, 0, 0, b->entries);
    return b->row != NULL && b->bag != NULL && b->place != NULL;
}

/* Sums and means are made in f32 for bf16, and rounded once. */
static ito_tensor *sum_bags(const bags *b)
{
    ito_dtype dtype = b->weight->dtype, wide = dtype == ITO_BF16 ? ITO_F32 : dtype;
    ito_tensor *rows = index_select_entries(ito_cast(b->weight, wide), 0, b->row);
    ito_tensor *scale = b->options->per_sample_weights;
    if (scale != NULL) {
        scale = index_select_entries(ito_cast(ito_reshape(scale, -1), wide), 0, b->place);
        rows = ito_mul(rows, ito_unsqueeze(scale, 1));
    }
    ito_tensor *y = index_add_to_zeros(rows, 0, b->bag, b->n);
    if (b->options->mode == ITO_BAG_MEAN) {
        ito_tensor *size = ito_cast(ito_unsqueeze(b->size, 1), wide);
        y = ito_div(y, ito_maximum(size, ito_scalar(1, wide)));
    }
    return ito_cast(y, dtype);
}

/* For each bag and column the row with the first largest element; any row for an empty bag. */
static ito_tensor *largest_rows(const bags *b)
{
    int64_t columns = b->weight->shape[1];
    ito_tensor *best = ito_zeros(ITO_SHAPE(b->n, columns), ITO_I64);
    ito_dtype wide = b->weight->dtype == ITO_F64 ? ITO_F64 : ITO_F32;
    ito_tensor *rows = ito_cast(index_select_entries(ito_detach(b->weight), 0, b->row), wide);
    rows = ito_contiguous(rows);
    if (best == NULL || rows == NULL)
        return NULL;
    int64_t *to = tensor_data(best), first = 0;
    const int64_t *row = tensor_data(b->row), *size = tensor_data(b->size);
    for (int64_t i = 0; i < b->n; first += size[i++])
        for (int64_t j = 0; j < columns; j++) {
            double peak = 0;
            for (int64_t k = first; k < first + size[i]; k++) {
                double x = wide == ITO_F64
                               ? ((const double *)tensor_data(rows))[k * columns + j]
                               : (double)((const float *)tensor_data(rows))[k * columns + j];
                if (k == first || x > peak) {
                    peak = x;
                    to[i * columns + j] = row[k];
                }
            }
        }
    return best;
}

static ito_tensor *max_bags(const bags *b)
{
    ito_tensor *zero = ito_scalar(0, b->weight->dtype);
    if (b->weight->shape[0] == 0) /* every bag is empty */
        return ito_zeros(ITO_SHAPE(b->n, b->weight->shape[1]), b->weight->dtype);
    ito_tensor *y = index_gather(b->weight, 0, largest_rows(b));
    ito_tensor *is_empty = ito_eq(ito_unsqueeze(b->size, 1), ito_scalar(0, ITO_I64));
    return ito_where(is_empty, zero, y);
}

static ito_tensor *fill_bags(ito_tensor *weight, ito_tensor *index,
                             const ito_embedding_bag_options *o)
{
    bags b = {.weight = weight, .options = o};
    int64_t padding;
    if (!padding_row("embedding_bag", o->padding_idx, weight, &padding) ||
        !sort_bags(&b, index, padding))
        return NULL;
    return o->mode == ITO_BAG_MAX ? max_bags(&b) : sum_bags(&b);
}

ito_tensor *ito_embedding_bag_with(ito_tensor *weight, ito_tensor *index,
                                   ito_embedding_bag_options options)
{
    static const char *const op = "embedding_bag";
    if (weight == NULL || index == NULL || !check_table(op, weight))
        return NULL;
    if (weight->dtype != ITO_F32 && weight->dtype != ITO_F64 && weight->dtype != ITO_BF16)
        return error_null(ITO_ERR_DTYPE, "%s: takes f32, f64 or bf16, not %s (see ito_cast)", op,
                          ito_dtype_name(weight->dtype));
    if (!check_bags(weight, index, &options) || !index_check(op, index, weight->shape[0]))
        return NULL;
    if (!isinf(options.max_norm) && !renorm(op, weight, index, options.max_norm, options.norm_type))
        return NULL;
    return COMPOSITE(fill_bags(weight, index, &options));
}
