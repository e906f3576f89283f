/* Rows of a table, one by one or in bags. The rules of ops.h hold: results, dtypes, errors. Indices
 * are i64 and checked.
 */
#ifndef ITO_OPS_EMBEDDING_H
#define ITO_OPS_EMBEDDING_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** In place of padding_idx: no row is padding. */
#define ITO_NO_PADDING_IDX INT64_MIN

/** What ito_embedding takes besides tensors. */
typedef struct ito_embedding_lookup_options {
    int reserved_;
    /* A row that gets no gradient, counted from the end if negative. */
    int64_t padding_idx ITO_DEFAULT(ITO_NO_PADDING_IDX);
    /* Rows that are named and longer are first brought to this length, in place, as in PyTorch; f32
     * or f64. */
    double max_norm ITO_DEFAULT(__builtin_inf());
    double norm_type ITO_DEFAULT(2); /* the p of that length, more than 0 */
} ito_embedding_lookup_options;
#define ITO_DEFAULTS_ito_embedding_lookup_options                                                  \
    .padding_idx = ITO_NO_PADDING_IDX, .max_norm = __builtin_inf(), .norm_type = 2

/**
 * Rows of weight [V, D] named by index [..]: ito_embedding(weight, index, .padding_idx = 0).
 * @return  [.., D]. ITO_ERR_RANGE for an index or padding_idx that is no row, ITO_ERR_ARGUMENT for
 * a max_norm below 0.
 */
ITO_API ito_tensor *ito_embedding_with(ito_tensor *weight, ito_tensor *index,
                                       ito_embedding_lookup_options options);
#define ito_embedding(...)                                                                         \
    ITO_AT(ITO_CALL_2(ito_embedding_with, ito_embedding_lookup_options, __VA_ARGS__, ))

/** What becomes of the rows of a bag. */
typedef enum ito_bag_mode {
    ITO_BAG_MEAN, /* 0 of none */
    ITO_BAG_SUM,
    ITO_BAG_MAX /* element by element, 0 of none; the first of equal ones has the gradient */
} ito_bag_mode;

/** What ito_embedding_bag takes besides weight and index. */
typedef struct ito_embedding_bag_options {
    int reserved_;
    ito_tensor *offsets; /* [bags] i64: where in the list each begins, rising from 0 */
    double max_norm ITO_DEFAULT(__builtin_inf()); /* as of ito_embedding */
    double norm_type ITO_DEFAULT(2);
    ito_bag_mode mode;
    ito_tensor *per_sample_weights; /* shaped as index: a factor for each row; of sums alone */
    bool include_last_offset;       /* offsets has one more: the length of the list */
    int64_t padding_idx ITO_DEFAULT(ITO_NO_PADDING_IDX); /* a row that bags leave out */
} ito_embedding_bag_options;
#define ITO_DEFAULTS_ito_embedding_bag_options                                                     \
    .max_norm = __builtin_inf(), .norm_type = 2, .padding_idx = ITO_NO_PADDING_IDX

/**
 * The mean, sum or maximum of the rows in each bag: ito_embedding_bag(weight, index, .offsets = o).
 * @param weight  [V, D].
 * @param index   [bags, size], or with .offsets a list.
 * @return        [bags, D]. ITO_ERR_RANGE for an index that is no row and offsets that do not rise,
 *                ITO_ERR_SHAPE for shapes that do not fit, ITO_ERR_ARGUMENT for weights of a mean
 * or a maximum.
 */
ITO_API ito_tensor *ito_embedding_bag_with(ito_tensor *weight, ito_tensor *index,
                                           ito_embedding_bag_options options);
#define ito_embedding_bag(...)                                                                     \
    ITO_AT(ITO_CALL_2(ito_embedding_bag_with, ito_embedding_bag_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
