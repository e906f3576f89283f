/* Layers of transformers: attention with several heads, and the blocks made of it. What layers.h
 * says of all layers holds here; names of parameters, defaults and meanings of masks are those of
 * PyTorch's MultiheadAttention, TransformerEncoderLayer and TransformerDecoderLayer.
 *
 * Sequences are [T, N, E], or [N, T, E] with .batch_first = true, as in PyTorch; [T, E] is one
 * sequence alone. In masks of bool, true hides a key (where ito_scaled_dot_product_attention has
 * true for what takes part).
 */
#ifndef ITO_NN_LAYERS_TRANSFORMER_H
#define ITO_NN_LAYERS_TRANSFORMER_H

#include "layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- keys and values of earlier steps ----------------------------------------------------------
 */

/** The keys and values of all positions so far, for making a sequence step by step: ito_kv_cache
 * cache = {0}, an empty one. One for each layer. */
typedef struct ito_kv_cache {
    ito_tensor *keys, *values; /* [N, kv heads, room, D], owned; NULL at first */
    int64_t length;            /* positions in use; 0 begins anew and keeps the memory */
} ito_kv_cache;

/** Release its memory; it is empty afterwards. Accepts NULL. */
ITO_API void ito_kv_cache_free(ito_kv_cache *cache);

/* ---- attention with several heads --------------------------------------------------------------
 */

/** Attention with several heads, between projections. */
typedef struct ito_multi_head_attention_layer {
    ito_module base;
    /* [(heads + 2 kv heads) D, E], rows of queries, keys and values; NULL with .kdim or .vdim. */
    ito_tensor *in_proj_weight;
    /* With .kdim or .vdim, else NULL: [heads D, E], [kv heads D, kdim], [kv heads D, vdim]. */
    ito_tensor *q_proj_weight, *k_proj_weight, *v_proj_weight;
    ito_tensor *in_proj_bias;   /* [(heads + 2 kv heads) D], or NULL */
    ito_linear_layer *out_proj; /* E to E */
    int64_t embed_dim, num_heads, num_kv_heads;
    double dropout;
    ito_generator generator; /* of dropout; registered as "generator" */
    bool batch_first, rotary, rotary_interleaved;
    double rotary_base;
} ito_multi_head_attention_layer;

/** Options of ito_multi_head_attention_create. */
typedef struct ito_multi_head_attention_options {
    int reserved_;
    ito_generator *generator; /* in_proj: Glorot uniform, out_proj: as linear layers, biases 0 */
    double dropout;           /* of the probabilities, in training; in [0, 1) */
    bool bias ITO_DEFAULT(true);
    int64_t kdim; /* features of the keys' input; 0: embed_dim */
    int64_t vdim; /* of the values' */
    bool batch_first;
    int64_t num_kv_heads; /* a divisor of num_heads, whose groups share keys and values; 0: all */
    bool rotary;          /* rotary position embedding of queries and keys */
    double rotary_base ITO_DEFAULT(10000);
    bool rotary_interleaved; /* as of ito_rotary_embedding */
    ito_dtype dtype;         /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_multi_head_attention_options;
#define ITO_DEFAULTS_ito_multi_head_attention_options .bias = true, .rotary_base = 10000

/** Attention over embed_dim features in num_heads heads of D = embed_dim / num_heads:
 * ito_multi_head_attention_create(&m->base, "self_attn", 512, 8, .generator = &g). Dropout draws
 * from a generator of the layer's own; call ito_module_seed on the finished network.
 * ITO_ERR_ARGUMENT unless embed_dim is positive and num_heads divides it, num_kv_heads divides
 * num_heads, and D is even with .rotary; ITO_ERR_RANGE for the dropout and the base.
 * Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2. */
ITO_API ito_multi_head_attention_layer *
ito_multi_head_attention_create_with(ito_module *parent, const char *name, int64_t embed_dim,
                                     int64_t num_heads, ito_multi_head_attention_options options);
#define ito_multi_head_attention_create(...)                                                       \
    ITO_AT(ITO_CALL_4(ito_multi_head_attention_create_with, ito_multi_head_attention_options,      \
                      __VA_ARGS__, ))

/** What ito_multi_head_attention_forward takes besides queries, keys and values. */
typedef struct ito_attend_options {
    int reserved_;
    ito_tensor *key_padding_mask; /* [N, S] ([S] for one sequence): bool, or added to the scores */
    ito_tensor *attn_mask;        /* [T, S] or [N heads, T, S]: bool, or added to the scores */
    bool is_causal;               /* position i sees positions 0 to i */
    ito_kv_cache *cache; /* keys and values are put behind those in it, and all are attended to */
} ito_attend_options;
#define ITO_DEFAULTS_ito_attend_options .reserved_ = 0

/**
 * out_proj(attention of query to key and value): ito_multi_head_attention_forward(l, x, x, x,
 * .is_causal = true). With a cache, positions (of .is_causal and of the rotary embedding) follow
 * those in it, and S counts them; only where no history is recorded.
 * @param query  [T, N, E], see above.
 * @param key    [S, N, kdim].
 * @param value  [S, N, vdim].
 * @return       shaped as query. A query that every key is hidden from gives out_proj's bias (NaN
 *               in PyTorch). NULL: ITO_ERR_SHAPE for inputs, masks or a cache that do not fit,
 *               ITO_ERR_GRAD for a cache where history is recorded.
 */
ITO_API ito_tensor *ito_multi_head_attention_forward_with(ito_multi_head_attention_layer *layer,
                                                          ito_tensor *query, ito_tensor *key,
                                                          ito_tensor *value,
                                                          ito_attend_options options);
#define ito_multi_head_attention_forward(...)                                                      \
    ITO_AT(ITO_CALL_4(ito_multi_head_attention_forward_with, ito_attend_options, __VA_ARGS__, ))

/* ---- blocks ------------------------------------------------------------------------------------
 */

/** A block of a transformer's encoder, or of a language model with .is_causal. */
typedef struct ito_transformer_encoder_layer {
    ito_module base;
    ito_multi_head_attention_layer *self_attn;
    ito_linear_layer *linear1, *linear2;
    ito_layer_norm_layer *norm1, *norm2;
    ito_dropout_layer *dropout, *dropout1, *dropout2; /* inside the MLP; of the two branches */
    ito_tensor *(*activation)(ito_tensor *x);
    bool norm_first;
} ito_transformer_encoder_layer;

/** A block of a transformer's decoder, which also attends to an encoder's result. */
typedef struct ito_transformer_decoder_layer {
    ito_module base;
    ito_multi_head_attention_layer *self_attn, *multihead_attn;
    ito_linear_layer *linear1, *linear2;
    ito_layer_norm_layer *norm1, *norm2, *norm3;
    ito_dropout_layer *dropout, *dropout1, *dropout2, *dropout3;
    ito_tensor *(*activation)(ito_tensor *x);
    bool norm_first;
} ito_transformer_decoder_layer;

/** Options of the blocks, and of stacks of them. */
typedef struct ito_transformer_options {
    int reserved_;
    ito_generator *generator; /* of the weights */
    int64_t dim_feedforward ITO_DEFAULT(2048);
    double dropout ITO_DEFAULT(0.1);          /* in training; in [0, 1) */
    ito_tensor *(*activation)(ito_tensor *x); /* of the MLP; NULL: ito_relu */
    double layer_norm_eps ITO_DEFAULT(1e-5);
    bool batch_first;
    bool norm_first; /* norms before attention and MLP (pre-norm), not after their sums */
    bool bias ITO_DEFAULT(true);
    int64_t num_kv_heads; /* of self-attention, with those that follow: as of attention layers */
    bool rotary;
    double rotary_base ITO_DEFAULT(10000);
    bool norm;       /* of a stack: a layer norm after its last block, "norm" */
    ito_dtype dtype; /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_transformer_options;
#define ITO_DEFAULTS_ito_transformer_options                                                       \
    .dim_feedforward = 2048, .dropout = 0.1, .layer_norm_eps = 1e-5, .bias = true,                 \
    .rotary_base = 10000

/** A block: ito_transformer_encoder_layer_create(&m->base, "block", 512, 8, .norm_first = true).
 * Errors are those of the layers in it. Dropouts draw from generators of their own; call
 * ito_module_seed on the finished network. Source: Vaswani et al. 2017, arXiv:1706.03762;
 * .norm_first: Xiong et al. 2020, arXiv:2002.04745. */
ITO_API ito_transformer_encoder_layer *
ito_transformer_encoder_layer_create_with(ito_module *parent, const char *name, int64_t d_model,
                                          int64_t nhead, ito_transformer_options options);
#define ito_transformer_encoder_layer_create(...)                                                  \
    ITO_AT(ITO_CALL_4(ito_transformer_encoder_layer_create_with, ito_transformer_options,          \
                      __VA_ARGS__, ))
/** src [T, N, d_model] to the same shape: ito_transformer_encoder_layer_forward(l, src, .is_causal
 * = true); masks and cache are those of its self-attention. */
ITO_API ito_tensor *ito_transformer_encoder_layer_forward_with(ito_transformer_encoder_layer *layer,
                                                               ito_tensor *src,
                                                               ito_attend_options options);
#define ito_transformer_encoder_layer_forward(...)                                                 \
    ITO_AT(                                                                                        \
        ITO_CALL_2(ito_transformer_encoder_layer_forward_with, ito_attend_options, __VA_ARGS__, ))

/** A block that attends to another sequence besides: arguments as for the encoder's. */
ITO_API ito_transformer_decoder_layer *
ito_transformer_decoder_layer_create_with(ito_module *parent, const char *name, int64_t d_model,
                                          int64_t nhead, ito_transformer_options options);
#define ito_transformer_decoder_layer_create(...)                                                  \
    ITO_AT(ITO_CALL_4(ito_transformer_decoder_layer_create_with, ito_transformer_options,          \
                      __VA_ARGS__, ))

/** What decoders take besides their two sequences: masks, causality and cache of the
 * self-attention, and masks of the attention to the memory. */
typedef struct ito_decode_options {
    int reserved_;
    ito_tensor *tgt_mask, *tgt_key_padding_mask;       /* as of ito_attend_options */
    ito_tensor *memory_mask, *memory_key_padding_mask; /* the same of the memory */
    bool tgt_is_causal;
    ito_kv_cache *cache; /* of a block; of a stack, [its blocks] */
} ito_decode_options;
#define ITO_DEFAULTS_ito_decode_options .reserved_ = 0

/** tgt [T, N, d_model], memory [S, N, d_model], an encoder's result, to the shape of tgt. */
ITO_API ito_tensor *ito_transformer_decoder_layer_forward_with(ito_transformer_decoder_layer *layer,
                                                               ito_tensor *tgt, ito_tensor *memory,
                                                               ito_decode_options options);
#define ito_transformer_decoder_layer_forward(...)                                                 \
    ITO_AT(                                                                                        \
        ITO_CALL_3(ito_transformer_decoder_layer_forward_with, ito_decode_options, __VA_ARGS__, ))

/** A stack of encoder or decoder blocks, "layers.0", ..., and a last norm if asked for. */
typedef struct ito_transformer_stack {
    ito_module base;
    int64_t num_layers;
    ito_module **layers;        /* [num_layers], blocks of the kind it was made with */
    ito_layer_norm_layer *norm; /* or NULL */
} ito_transformer_stack;

/** A stack: ito_transformer_encoder_create(&m->base, "encoder", 512, 8, 6, .norm = true).
 * ITO_ERR_ARGUMENT unless there are layers; the errors of the blocks. */
ITO_API ito_transformer_stack *ito_transformer_encoder_create_with(ito_module *parent,
                                                                   const char *name,
                                                                   int64_t d_model, int64_t nhead,
                                                                   int64_t num_layers,
                                                                   ito_transformer_options options);
/** The same of decoder blocks. */
ITO_API ito_transformer_stack *ito_transformer_decoder_create_with(ito_module *parent,
                                                                   const char *name,
                                                                   int64_t d_model, int64_t nhead,
                                                                   int64_t num_layers,
                                                                   ito_transformer_options options);
#define ito_transformer_encoder_create(...)                                                        \
    ITO_AT(ITO_CALL_5(ito_transformer_encoder_create_with, ito_transformer_options, __VA_ARGS__, ))
#define ito_transformer_decoder_create(...)                                                        \
    ITO_AT(ITO_CALL_5(ito_transformer_decoder_create_with, ito_transformer_options, __VA_ARGS__, ))
/** src through all blocks; .cache is an array, one for each block. */
ITO_API ito_tensor *ito_transformer_encoder_forward_with(ito_transformer_stack *stack,
                                                         ito_tensor *src,
                                                         ito_attend_options options);
/** tgt through all blocks, each of which attends to memory. */
ITO_API ito_tensor *ito_transformer_decoder_forward_with(ito_transformer_stack *stack,
                                                         ito_tensor *tgt, ito_tensor *memory,
                                                         ito_decode_options options);
#define ito_transformer_encoder_forward(...)                                                       \
    ITO_AT(ITO_CALL_2(ito_transformer_encoder_forward_with, ito_attend_options, __VA_ARGS__, ))
#define ito_transformer_decoder_forward(...)                                                       \
    ITO_AT(ITO_CALL_3(ito_transformer_decoder_forward_with, ito_decode_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
