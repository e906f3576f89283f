/* Attention. The rules of ops.h hold: results, dtypes, errors, negative axes. */
#ifndef ITO_OPS_ATTENTION_H
#define ITO_OPS_ATTENTION_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What attention takes besides queries, keys and values. */
typedef struct ito_scaled_dot_product_attention_options {
    int reserved_;
    /* Broadcast to the scores [.., T, S]. Bool: true takes part. Else it is added to the scores, in
     * the dtype of q (or f32 beside bf16), and has a gradient. NULL, none, is no error: ask for one
     * where the mask may have failed. */
    ito_tensor *attn_mask;
    double dropout_p; /* of the probabilities, in [0, 1) */
    bool is_causal;   /* query i sees keys 0 to i alone, beside what attn_mask says */
    double scale ITO_DEFAULT(__builtin_nan("")); /* by default (NaN) 1 / sqrt(D) */
    bool enable_gqa;          /* a group of query heads shares a head of keys and values */
    ito_generator *generator; /* that dropout draws from, and advances */
} ito_scaled_dot_product_attention_options;
#define ITO_DEFAULTS_ito_scaled_dot_product_attention_options .scale = __builtin_nan("")

/**
 * softmax(scale q k^T + mask) v: ito_scaled_dot_product_attention(q, k, v, .is_causal = true). Of
 * the T x S scores only a block is in memory at a time, in backward, too; a block whose keys are
 * all hidden by .is_causal is not computed.
 * @param q  [.., T, D], queries.
 * @param k  [.., S, D], keys; batch axes broadcast.
 * @param v  [.., S, E], values.
 * @return   [.., T, E]; 0 for a query that every key is hidden from.
 *
 * With .enable_gqa, q is [.., heads, T, D], k and v are [.., groups, S, D] and [.., groups, S, E],
 * and groups divides heads: head h uses group h / (heads / groups) (Ainslie et al. 2023,
 * arXiv:2305.13245). One axis less is allowed then: 7.
 * Dropout draws ceil(B T S / 4) blocks of four words, and draws again in backward (B: the product
 * of the batch axes). Which probability takes which number depends on its place in [.., T, S]
 * alone. Unlike PyTorch's, .is_causal and .attn_mask may stand together. ITO_ERR_SHAPE for shapes
 * that do not fit, ITO_ERR_DTYPE for a mask of another type, ITO_ERR_RANGE for another dropout_p,
 * ITO_ERR_ARGUMENT for dropout without a generator.
 * Source: Vaswani et al. 2017, arXiv:1706.03762, eq. (1).
 */
ITO_API ito_tensor *
ito_scaled_dot_product_attention_with(ito_tensor *q, ito_tensor *k, ito_tensor *v,
                                      ito_scaled_dot_product_attention_options options);
#define ito_scaled_dot_product_attention(...)                                                      \
    ITO_AT(ITO_CALL_3(ito_scaled_dot_product_attention_with,                                       \
                      ito_scaled_dot_product_attention_options, __VA_ARGS__, ))

/** What ito_apply_rotary takes besides tensors. */
typedef struct ito_apply_rotary_options {
    int reserved_;
    bool interleaved; /* features 2 j and 2 j + 1 are a pair; by default j and j + pairs are */
} ito_apply_rotary_options;
#define ITO_DEFAULTS_ito_apply_rotary_options .reserved_ = 0

/**
 * Pairs (a, b) of the first 2 pairs features become (a cos - b sin, b cos + a sin); the other
 * features stay: ito_apply_rotary(q, cosine, sine).
 * @param x       [.., D].
 * @param cosine  [.., pairs], with 2 pairs at most D; the other axes broadcast to x's. f32 where x
 * is bf16. Its gradient, and that of sine, costs more: the composite form is taken.
 * @param sine    the same.
 * @return        shaped as x. ITO_ERR_SHAPE for tables that do not fit.
 * Source: Su et al. 2021, arXiv:2104.09864, eq. (34), whose pairs are interleaved; pairs of halves
 * are those of GPT-NeoX and LLaMA's published code.
 */
ITO_API ito_tensor *ito_apply_rotary_with(ito_tensor *x, ito_tensor *cosine, ito_tensor *sine,
                                          ito_apply_rotary_options options);
#define ito_apply_rotary(...)                                                                      \
    ITO_AT(ITO_CALL_3(ito_apply_rotary_with, ito_apply_rotary_options, __VA_ARGS__, ))

/** What ito_rotary_embedding takes besides x. */
typedef struct ito_rotary_embedding_options {
    int reserved_;
    ito_tensor *positions; /* [.., T], of any dtype; by default start, start + 1, ... */
    int64_t start;         /* the first position, where positions is NULL: what a cache holds */
    double base ITO_DEFAULT(10000); /* more than 0 */
    int64_t dims;                   /* how many features are turned: even; by default (0) all */
    bool interleaved;               /* as of ito_apply_rotary */
} ito_rotary_embedding_options;
#define ITO_DEFAULTS_ito_rotary_embedding_options .base = 10000

/**
 * Rotary position embedding of queries or keys [.., T, D]: pair j is turned by the angle
 * position base^(-2 j / dims), so that products of queries and keys depend on differences of
 * positions: ito_rotary_embedding(q). Angles are computed in f64; where they are used often, make
 * tables of them and call ito_apply_rotary.
 * @return  shaped as x. ITO_ERR_SHAPE for an odd number of features or one above D,
 *          ITO_ERR_ARGUMENT for a base that is not above 0.
 * Source: Su et al. 2021, arXiv:2104.09864, eq. (15).
 */
ITO_API ito_tensor *ito_rotary_embedding_with(ito_tensor *x, ito_rotary_embedding_options options);
#define ito_rotary_embedding(...)                                                                  \
    ITO_AT(ITO_CALL_1(ito_rotary_embedding_with, ito_rotary_embedding_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
