/* Reductions, cumulative sums, orders: what ops.h does not have of them. What stands at its top
 * holds here, too. "Numbers" are f32, f64, bf16, i32, i64, u8 and bool. NaN counts as larger than
 * everything. A single number is treated as a list of one.
 *
 * Functions with two results give the second through a pointer, which may be NULL; on failure it is
 * set to NULL. Indices are i64 and count along the axis. Values that are chosen pass their gradient
 * on to where they were.
 */
#ifndef ITO_OPS_REDUCE_H
#define ITO_OPS_REDUCE_H

#include "ops_shape.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What reductions take. With ITO_DIMS(), and for one element, sum, mean, max, min and logsumexp
 * give the element itself; var gives 0 with .correction = 0, else NaN: no degree of freedom. */
typedef struct ito_reduce_options {
    int reserved_;
    /* Axes to reduce, ITO_DIMS(1, 2); by default all. ITO_DIMS() reduces none, as axis=() does in
     * NumPy: each element is reduced by itself. */
    ito_shape dims ITO_DEFAULT(ITO_ALL_DIMS);
    bool keepdim;                     /* leave them with size 1 */
    double correction ITO_DEFAULT(1); /* var: the sum of squares is divided by n - correction */
} ito_reduce_options;
#define ITO_DEFAULTS_ito_reduce_options .dims = {.ndim = -1}, .correction = 1

/* ---- reductions over axes: see ito_sum ---- */

/** The product over axes; of integers and bool in i64, which wraps. 1 for no elements. */
ITO_API ito_tensor *ito_prod_with(ito_tensor *x, ito_reduce_options options);
#define ito_prod(...) ITO_AT(ITO_CALL_1(ito_prod_with, ito_reduce_options, __VA_ARGS__, ))
/** The sum over axes, NaN left out. */
ITO_API ito_tensor *ito_nansum_with(ito_tensor *x, ito_reduce_options options);
#define ito_nansum(...) ITO_AT(ITO_CALL_1(ito_nansum_with, ito_reduce_options, __VA_ARGS__, ))
/** The mean over axes, NaN left out; NaN where nothing is left. */
ITO_API ito_tensor *ito_nanmean_with(ito_tensor *x, ito_reduce_options options);
#define ito_nanmean(...) ITO_AT(ITO_CALL_1(ito_nanmean_with, ito_reduce_options, __VA_ARGS__, ))
/** Whether one of the numbers is not 0, as bool; false for none. */
ITO_API ito_tensor *ito_any_with(ito_tensor *x, ito_reduce_options options);
#define ito_any(...) ITO_AT(ITO_CALL_1(ito_any_with, ito_reduce_options, __VA_ARGS__, ))
/** Whether none of the numbers is 0, as bool; true for none. */
ITO_API ito_tensor *ito_all_with(ito_tensor *x, ito_reduce_options options);
#define ito_all(...) ITO_AT(ITO_CALL_1(ito_all_with, ito_reduce_options, __VA_ARGS__, ))
/** How many numbers are not 0, as i64. */
ITO_API ito_tensor *ito_count_nonzero_with(ito_tensor *x, ito_reduce_options options);
#define ito_count_nonzero(...)                                                                     \
    ITO_AT(ITO_CALL_1(ito_count_nonzero_with, ito_reduce_options, __VA_ARGS__, ))
/** ito_min, and ito_max through the pointer. */
ITO_API ito_tensor *ito_aminmax_with(ito_tensor *x, ito_tensor **largest,
                                     ito_reduce_options options);
#define ito_aminmax(...) ITO_AT(ITO_CALL_2(ito_aminmax_with, ito_reduce_options, __VA_ARGS__, ))

/* ---- one element along an axis ---- */

/** The type of a place that nothing goes to. */
typedef enum ito_reserved { ITO_RESERVED } ito_reserved;

/** What functions take that choose among all elements, or those along one axis. */
typedef struct ito_arg_options {
    ito_reserved reserved_;
    int dim ITO_DEFAULT(ITO_NO_DIM); /* by default: all elements in row-major order */
    bool keepdim;                    /* leave the axis with size 1; all axes by default */
} ito_arg_options;
/* The last initialiser makes ito_argmax(x, 1) axis 1, as it was before there were options. C++,
 * where it would be the first, refuses it for its type. */
#define ITO_DEFAULTS_ito_arg_options .dim = ITO_NO_DIM, .reserved_ = ITO_RESERVED

/** i64 index of the first largest of the numbers: ito_argmax(x, .dim = 1). No gradient.
 * ITO_ERR_SHAPE for no elements, as of all in this part. */
ITO_API ito_tensor *ito_argmax_with(ito_tensor *x, ito_arg_options options);
#define ito_argmax(...) ITO_AT(ITO_CALL_1(ito_argmax_with, ito_arg_options, __VA_ARGS__, ))
/** i64 index of the first smallest of the numbers; of the first NaN if there is one. */
ITO_API ito_tensor *ito_argmin_with(ito_tensor *x, ito_arg_options options);
#define ito_argmin(...) ITO_AT(ITO_CALL_1(ito_argmin_with, ito_arg_options, __VA_ARGS__, ))
/** The lower median of the numbers; NaN if there is one. */
ITO_API ito_tensor *ito_median_with(ito_tensor *x, ito_tensor **indices, ito_arg_options options);
#define ito_median(...) ITO_AT(ITO_CALL_2(ito_median_with, ito_arg_options, __VA_ARGS__, ))
/** The lower median of the numbers that are not NaN; NaN for none. */
ITO_API ito_tensor *ito_nanmedian_with(ito_tensor *x, ito_tensor **indices,
                                       ito_arg_options options);
#define ito_nanmedian(...) ITO_AT(ITO_CALL_2(ito_nanmedian_with, ito_arg_options, __VA_ARGS__, ))

/** What functions take that work along one axis, which stays or goes. */
typedef struct ito_along_options {
    int reserved_;
    int dim ITO_DEFAULT(-1);
    bool keepdim; /* leave the axis with size 1 */
} ito_along_options;
#define ITO_DEFAULTS_ito_along_options .dim = -1

/** The first largest number along an axis, and where: ito_max_dim(x, &indices, .dim = 1). PyTorch's
 * max(x, dim). The gradient goes to that element alone. */
ITO_API ito_tensor *ito_max_dim_with(ito_tensor *x, ito_tensor **indices,
                                     ito_along_options options);
#define ito_max_dim(...) ITO_AT(ITO_CALL_2(ito_max_dim_with, ito_along_options, __VA_ARGS__, ))
/** The first smallest number along an axis, and where; a NaN if there is one. */
ITO_API ito_tensor *ito_min_dim_with(ito_tensor *x, ito_tensor **indices,
                                     ito_along_options options);
#define ito_min_dim(...) ITO_AT(ITO_CALL_2(ito_min_dim_with, ito_along_options, __VA_ARGS__, ))
/** The k-th smallest number along an axis, from k = 1 on; of equal ones the first. ITO_ERR_RANGE
 * for another k. */
ITO_API ito_tensor *ito_kthvalue_with(ito_tensor *x, int64_t k, ito_tensor **indices,
                                      ito_along_options options);
#define ito_kthvalue(...) ITO_AT(ITO_CALL_3(ito_kthvalue_with, ito_along_options, __VA_ARGS__, ))
/** The most frequent number along an axis, of several the smallest; the index is of the last. */
ITO_API ito_tensor *ito_mode_with(ito_tensor *x, ito_tensor **indices, ito_along_options options);
#define ito_mode(...) ITO_AT(ITO_CALL_2(ito_mode_with, ito_along_options, __VA_ARGS__, ))

/** What a quantile is between two elements. */
typedef enum ito_interpolation {
    ITO_INTERPOLATION_LINEAR,
    ITO_INTERPOLATION_LOWER,
    ITO_INTERPOLATION_HIGHER,
    ITO_INTERPOLATION_MIDPOINT,
    ITO_INTERPOLATION_NEAREST, /* half way: the one at an even place */
} ito_interpolation;

/** What ito_quantile takes. */
typedef struct ito_quantile_options {
    int reserved_;
    int dim ITO_DEFAULT(ITO_NO_DIM); /* by default: all elements in row-major order */
    bool keepdim;                    /* leave the axis with size 1; all axes by default */
    ito_interpolation interpolation;
} ito_quantile_options;
#define ITO_DEFAULTS_ito_quantile_options .dim = ITO_NO_DIM

/** The element at place q (n - 1) of n in order: ito_quantile(x, 0.9, .dim = 1). NaN if there is
 * one. ITO_ERR_RANGE for a q outside [0, 1]. */
ITO_API ito_tensor *ito_quantile_with(ito_tensor *x, double q, ito_quantile_options options);
#define ito_quantile(...) ITO_AT(ITO_CALL_2(ito_quantile_with, ito_quantile_options, __VA_ARGS__, ))

/* ---- cumulative: shaped as x ---- */

/** y[i] = x[0] + .. + x[i] along axis; of integers and bool in i64, which wraps. Sums run in
 * double. */
ITO_API ito_tensor *ito_cumsum(ito_tensor *x, int axis);
/** y[i] = x[0] .. x[i] along axis; of integers and bool in i64, which wraps. */
ITO_API ito_tensor *ito_cumprod(ito_tensor *x, int axis);
/** y[i] = log(exp(x[0]) + .. + exp(x[i])) along axis, without overflow. */
ITO_API ito_tensor *ito_logcumsumexp(ito_tensor *x, int axis);
/** The largest of the numbers x[0] .. x[i] along axis, and where it was last; NaN from the first
 * one on. */
ITO_API ito_tensor *ito_cummax(ito_tensor *x, int axis, ito_tensor **indices);
/** The smallest of the numbers x[0] .. x[i], with the same rules. */
ITO_API ito_tensor *ito_cummin(ito_tensor *x, int axis, ito_tensor **indices);

/* ---- orders ---- */

/** What ito_sort and ito_argsort take. */
typedef struct ito_sort_options {
    int reserved_;
    int dim ITO_DEFAULT(-1);
    bool descending;
} ito_sort_options;
#define ITO_DEFAULTS_ito_sort_options .dim = -1

/** The numbers in order along an axis, and where they were: ito_sort(x, &indices, .descending =
 * true). Equal ones keep their order. */
ITO_API ito_tensor *ito_sort_with(ito_tensor *x, ito_tensor **indices, ito_sort_options options);
#define ito_sort(...) ITO_AT(ITO_CALL_2(ito_sort_with, ito_sort_options, __VA_ARGS__, ))
/** The indices of ito_sort alone. No gradient. */
ITO_API ito_tensor *ito_argsort_with(ito_tensor *x, ito_sort_options options);
#define ito_argsort(...) ITO_AT(ITO_CALL_1(ito_argsort_with, ito_sort_options, __VA_ARGS__, ))

/** What ito_topk takes. */
typedef struct ito_topk_options {
    int reserved_;
    int dim ITO_DEFAULT(-1);
    bool largest ITO_DEFAULT(true);
    bool sorted ITO_DEFAULT(true); /* the best first; else in x's order */
} ito_topk_options;
#define ITO_DEFAULTS_ito_topk_options .dim = -1, .largest = true, .sorted = true

/** The k largest numbers along an axis, and where they were: ito_topk(x, 5, &indices). Of equal
 * ones the first. ITO_ERR_RANGE for a k beyond the axis. */
ITO_API ito_tensor *ito_topk_with(ito_tensor *x, int64_t k, ito_tensor **indices,
                                  ito_topk_options options);
#define ito_topk(...) ITO_AT(ITO_CALL_3(ito_topk_with, ito_topk_options, __VA_ARGS__, ))

/** The different numbers in x, in order, as a list. No gradient. NaN equals nothing, so each stays.
 * @param inverse  where each element of x is in the list, i64 and shaped as x; or NULL.
 * @param counts   how often each occurs, i64; or NULL. */
ITO_API ito_tensor *ito_unique(ito_tensor *x, ito_tensor **inverse, ito_tensor **counts);

/** What ito_searchsorted and ito_bucketize take. */
typedef struct ito_searchsorted_options {
    int reserved_;
    bool right; /* behind elements that equal the value, not before */
} ito_searchsorted_options;
#define ITO_DEFAULTS_ito_searchsorted_options .reserved_ = 0

/** i64 places at which values go into a sorted list, shaped as values: how many elements are below
 * (with .right: not above). No gradient.
 * @param sorted  [.., N], numbers of values' dtype, with axes as values [.., M]; or a list [N] for
 *                all values. */
ITO_API ito_tensor *ito_searchsorted_with(ito_tensor *sorted, ito_tensor *values,
                                          ito_searchsorted_options options);
#define ito_searchsorted(...)                                                                      \
    ITO_AT(ITO_CALL_2(ito_searchsorted_with, ito_searchsorted_options, __VA_ARGS__, ))
/** The same of values among boundaries [N], the arguments exchanged. */
ITO_API ito_tensor *ito_bucketize_with(ito_tensor *values, ito_tensor *boundaries,
                                       ito_searchsorted_options options);
#define ito_bucketize(...)                                                                         \
    ITO_AT(ITO_CALL_2(ito_bucketize_with, ito_searchsorted_options, __VA_ARGS__, ))

/** What ito_histc takes. */
typedef struct ito_histc_options {
    int reserved_;
    int64_t bins ITO_DEFAULT(100);
    double min, max; /* the range; equal ones: that of x */
} ito_histc_options;
#define ITO_DEFAULTS_ito_histc_options .bins = 100

/** How many elements fall into each of the bins of equal width, in x's dtype [bins]. Others are not
 * counted; max itself belongs to the last bin. No gradient. ITO_ERR_ARGUMENT for no bins, or a
 * range that is not finite or falls. */
ITO_API ito_tensor *ito_histc_with(ito_tensor *x, ito_histc_options options);
#define ito_histc(...) ITO_AT(ITO_CALL_1(ito_histc_with, ito_histc_options, __VA_ARGS__, ))

/** What ito_bincount takes. */
typedef struct ito_bincount_options {
    int reserved_;
    ito_tensor *weights; /* shaped as x: their sums in place of counts; or NULL */
    int64_t minlength;   /* of the result */
} ito_bincount_options;
#define ITO_DEFAULTS_ito_bincount_options .reserved_ = 0

/** How often each number from 0 on occurs in the list x (i64, 0 or more): i64, or of the weights'
 * dtype, through which gradients pass. */
ITO_API ito_tensor *ito_bincount_with(ito_tensor *x, ito_bincount_options options);
#define ito_bincount(...) ITO_AT(ITO_CALL_1(ito_bincount_with, ito_bincount_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_cummax(...) ITO_AT(ito_cummax(__VA_ARGS__))
#define ito_cummin(...) ITO_AT(ito_cummin(__VA_ARGS__))
#define ito_cumprod(...) ITO_AT(ito_cumprod(__VA_ARGS__))
#define ito_cumsum(...) ITO_AT(ito_cumsum(__VA_ARGS__))
#define ito_logcumsumexp(...) ITO_AT(ito_logcumsumexp(__VA_ARGS__))
#define ito_unique(...) ITO_AT(ito_unique(__VA_ARGS__))
#endif

#endif
