/* Indexing: what ops.h does not have of it. What stands at its top holds here, too. Indices are i64
 * and checked. Where several entries go to one place, they do so in the order of the index,
 * whatever the number of threads: of those that replace, the last one stays and takes the gradient.
 */
#ifndef ITO_OPS_INDEX_H
#define ITO_OPS_INDEX_H

#include "ops_shape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- by an index for each element, as ito_gather ---- */

/** x with y[i][index[i][j][k]][k] = src[i][j][k] for axis 1. Any dtype. src may be larger than
 * index, which counts. */
ITO_API ito_tensor *ito_scatter(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src);
/** The same with one value, converted to x's dtype. */
ITO_API ito_tensor *ito_scatter_value(ito_tensor *x, int axis, ito_tensor *index, double value);

/** What becomes of several numbers that go to one place. */
typedef enum ito_scatter_reduction {
    ITO_SCATTER_SUM,
    ITO_SCATTER_PROD,
    ITO_SCATTER_MEAN,
    ITO_SCATTER_AMAX,
    ITO_SCATTER_AMIN,
} ito_scatter_reduction;

/** What ito_scatter_reduce and ito_index_reduce take. */
typedef struct ito_scatter_reduce_options {
    int reserved_;
    bool include_self ITO_DEFAULT(true); /* x's own element is one of the numbers */
} ito_scatter_reduce_options;
#define ITO_DEFAULTS_ito_scatter_reduce_options .include_self = true

/** ito_scatter, where each place becomes the reduction of what goes there:
 * ito_scatter_reduce(x, 0, index, src, ITO_SCATTER_AMAX). f32, f64 or bf16; sum, amax and amin of
 * i32 and i64, too. Ties share the gradient of amax and amin. */
ITO_API ito_tensor *ito_scatter_reduce_with(ito_tensor *x, int axis, ito_tensor *index,
                                            ito_tensor *src, ito_scatter_reduction reduction,
                                            ito_scatter_reduce_options options);
#define ito_scatter_reduce(...)                                                                    \
    ITO_AT(ITO_CALL_5(ito_scatter_reduce_with, ito_scatter_reduce_options, __VA_ARGS__, ))

/** ito_gather where x and index broadcast along the other axes: ito_take_along_dim(x,
 * ito_argsort(x), .dim = -1). */
ITO_API ito_tensor *ito_take_along_dim_with(ito_tensor *x, ito_tensor *index,
                                            ito_dim_options options);
#define ito_take_along_dim(...)                                                                    \
    ITO_AT(ITO_CALL_2(ito_take_along_dim_with, ito_dim_options, __VA_ARGS__, ))

/* ---- by a list of entries along an axis ---- */

/** x with entry index[k] of axis replaced by entry k of src, which is shaped as x but for index [K]
 * there. Any dtype. */
ITO_API ito_tensor *ito_index_copy(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src);
/** x with every element of the entries index [K] of axis = value. */
ITO_API ito_tensor *ito_index_fill(ito_tensor *x, int axis, ito_tensor *index, double value);
/** ito_index_copy, where each entry becomes the reduction of what goes there: see
 * ito_scatter_reduce. */
ITO_API ito_tensor *ito_index_reduce_with(ito_tensor *x, int axis, ito_tensor *index,
                                          ito_tensor *src, ito_scatter_reduction reduction,
                                          ito_scatter_reduce_options options);
#define ito_index_reduce(...)                                                                      \
    ITO_AT(ITO_CALL_5(ito_index_reduce_with, ito_scatter_reduce_options, __VA_ARGS__, ))
/** x with src, of x's shape without axis, as entry `index` of axis. Any dtype. */
ITO_API ito_tensor *ito_select_scatter(ito_tensor *x, ito_tensor *src, int axis, int64_t index);
/** x with src in place of ito_slice(x, axis, start, end, step), whose shape it has. Any dtype. */
ITO_API ito_tensor *ito_slice_scatter(ito_tensor *x, ito_tensor *src, int axis, int64_t start,
                                      int64_t end, int64_t step);

/* ---- by coordinates; negative ones count from the end ---- */

/** x[i0, i1, ..]: ito_index(x, ITO_TENSORS(i0, i1)) of indices that broadcast to [..], one for each
 * of x's first n axes, whose place [..] takes. Any dtype. */
ITO_API ito_tensor *ito_index(ito_tensor *x, ito_tensor *const *indices, int64_t n);

/** What ito_index_put takes. */
typedef struct ito_index_put_options {
    int reserved_;
    bool accumulate; /* add to what is there; f32, f64, bf16, i32 or i64 */
} ito_index_put_options;
#define ITO_DEFAULTS_ito_index_put_options .reserved_ = 0

/** x with x[i0, i1, ..] = values, which broadcast to the shape of ito_index:
 * ito_index_put(x, ITO_TENSORS(i0, i1), values, .accumulate = true). Any dtype. */
ITO_API ito_tensor *ito_index_put_with(ito_tensor *x, ito_tensor *const *indices, int64_t n,
                                       ito_tensor *values, ito_index_put_options options);
#define ito_index_put(...)                                                                         \
    ITO_AT(ITO_CALL_4(ito_index_put_with, ito_index_put_options, __VA_ARGS__, ))
/** x's elements at these places in row-major order, shaped as index. Any dtype. */
ITO_API ito_tensor *ito_take(ito_tensor *x, ito_tensor *index);

/* ---- by a mask ---- */

/** x's elements where the bool mask holds, both broadcast: a list. Any dtype. */
ITO_API ito_tensor *ito_masked_select(ito_tensor *x, ito_tensor *mask);
/** x, and where mask (bool, broadcast to x's shape) holds, the elements of src one after another.
 * Any dtype. ITO_ERR_SHAPE if src has too few. */
ITO_API ito_tensor *ito_masked_scatter(ito_tensor *x, ito_tensor *mask, ito_tensor *src);
/** The coordinates of the numbers that are not 0, i64 [count, axes]. No gradient. */
ITO_API ito_tensor *ito_nonzero(ito_tensor *x);
/** Which of x's numbers are among those of test, of any shape: bool, shaped as x. NaN is nowhere.
 */
ITO_API ito_tensor *ito_isin(ito_tensor *x, ito_tensor *test);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_index(...) ITO_AT(ito_index(__VA_ARGS__))
#define ito_index_copy(...) ITO_AT(ito_index_copy(__VA_ARGS__))
#define ito_index_fill(...) ITO_AT(ito_index_fill(__VA_ARGS__))
#define ito_isin(...) ITO_AT(ito_isin(__VA_ARGS__))
#define ito_masked_scatter(...) ITO_AT(ito_masked_scatter(__VA_ARGS__))
#define ito_masked_select(...) ITO_AT(ito_masked_select(__VA_ARGS__))
#define ito_nonzero(...) ITO_AT(ito_nonzero(__VA_ARGS__))
#define ito_scatter(...) ITO_AT(ito_scatter(__VA_ARGS__))
#define ito_scatter_value(...) ITO_AT(ito_scatter_value(__VA_ARGS__))
#define ito_select_scatter(...) ITO_AT(ito_select_scatter(__VA_ARGS__))
#define ito_slice_scatter(...) ITO_AT(ito_slice_scatter(__VA_ARGS__))
#define ito_take(...) ITO_AT(ito_take(__VA_ARGS__))
#endif

#endif
