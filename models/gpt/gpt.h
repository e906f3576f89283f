/* GPT-2: a transformer that predicts each token from those before it (Radford et al. 2019,
 * "Language models are unsupervised multitask learners"), and the making of text with it.
 *
 *     ito_gpt *gpt = ito_gpt_create(65, 128, .n_layer = 4, .n_head = 4, .n_embd = 128,
 *                                   .generator = &g);
 *     ito_tensor *loss = ito_gpt_loss(gpt, tokens, next_tokens);
 *     ...
 *     ito_module_train(&gpt->base, false);
 *     ito_tensor *text = ito_gpt_generate(gpt, prompt, 500, &g, .top_p = 0.9);
 *
 * A token is a number in [0, vocab_size). Names of options and parameters are those of GPT-2 and
 * nanoGPT (wte, wpe, h.0.ln_1, ..., ln_f, lm_head), but those of attention, which are PyTorch's
 * MultiheadAttention: h.0.attn.in_proj_weight and so on. ito_gpt_renames reads nanoGPT's names.
 */
#ifndef ITO_GPT_H
#define ITO_GPT_H

#include "../../nn/layers_transformer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the network -------------------------------------------------------------------------------
 */

/** A block: x + attention(norm(x)), then the same with an MLP. */
typedef struct ito_gpt_block {
    ito_module base;
    ito_layer_norm_layer *ln_1, *ln_2;
    ito_multi_head_attention_layer *attn;
    ito_linear_layer *c_fc, *c_proj;               /* registered as "mlp.c_fc", "mlp.c_proj" */
    ito_dropout_layer *attn_dropout, *mlp_dropout; /* of the two branches' results */
} ito_gpt_block;

/** The network: a module whose parameters, training mode and so on are those of base. */
typedef struct ito_gpt {
    ito_module base;
    ito_embedding_layer *wte; /* of tokens: [vocab_size, n_embd] */
    ito_embedding_layer *wpe; /* of positions: [block_size, n_embd]; NULL with .rotary */
    ito_dropout_layer *drop;  /* of their sum */
    ito_gpt_block **h;        /* [n_layer] */
    ito_layer_norm_layer *ln_f;
    ito_tensor *lm_head;                      /* "lm_head.weight"; wte's weight where tied */
    ito_tensor *(*activation)(ito_tensor *x); /* of the MLPs */
    int64_t vocab_size, block_size, n_layer;
} ito_gpt;

/** Options of ito_gpt_create; the defaults are those of the smallest GPT-2. */
typedef struct ito_gpt_options {
    int reserved_;
    int64_t n_layer ITO_DEFAULT(12);
    int64_t n_head ITO_DEFAULT(12);
    int64_t n_embd ITO_DEFAULT(768);
    /* As GPT-2: normal of deviation 0.02, over sqrt(2 n_layer) at the end of each branch; biases 0.
     * NULL: all weights zero, to be loaded. */
    ito_generator *generator;
    double dropout; /* of embeddings, probabilities of attention and branches; in [0, 1) */
    bool bias ITO_DEFAULT(true);        /* of linear layers and norms */
    bool tie_weights ITO_DEFAULT(true); /* lm_head is wte (Press, Wolf 2016, arXiv:1608.05859) */
    bool rotary; /* rotary position embedding in place of wpe (Su et al. 2021, arXiv:2104.09864) */
    /* Of the MLPs; NULL: ito_gelu, nanoGPT's. GPT-2's own is its approximation by tanh. */
    ito_tensor *(*activation)(ito_tensor *x);
    ito_dtype dtype; /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_gpt_options;
#define ITO_DEFAULTS_ito_gpt_options                                                               \
    .n_layer = 12, .n_head = 12, .n_embd = 768, .bias = true, .tie_weights = true

/**
 * A network for this many different tokens, which sees block_size of them at most.
 *
 * Dropout draws from generators of the layers; call ito_module_seed on it before training.
 * @return  owned by the caller, freed by ito_module_free(&gpt->base). NULL on error:
 *          ITO_ERR_ARGUMENT unless all numbers are positive and n_head divides n_embd, into an even
 *          number with .rotary; ITO_ERR_RANGE for the dropout, ITO_ERR_DTYPE, ITO_ERR_MEMORY.
 */
ITO_API ito_gpt *ito_gpt_create_with(int64_t vocab_size, int64_t block_size,
                                     ito_gpt_options options);
#define ito_gpt_create(...) ITO_AT(ITO_CALL_2(ito_gpt_create_with, ito_gpt_options, __VA_ARGS__, ))

/** What ito_gpt_forward takes besides tokens. */
typedef struct ito_gpt_forward_options {
    int reserved_;
    /* [n_layer], {{0}} at first: the tokens follow those that it has seen, and only where no
     * history is recorded. On error its lengths are as they were. */
    ito_kv_cache *cache;
} ito_gpt_forward_options;
#define ITO_DEFAULTS_ito_gpt_forward_options .cache = NULL

/**
 * Scores of the token after each one: ito_gpt_forward(gpt, tokens). Position i depends on tokens 0
 * to i alone.
 * @param tokens  [N, T] i64.
 * @return        logits [N, T, vocab_size], of the current scope; differentiable. NULL:
 *                ITO_ERR_SHAPE for other axes, ITO_ERR_RANGE for a number that is no token or more
 *                than block_size positions, the cache's included (with .rotary a larger
 *                gpt->block_size may be set); the errors of the layers, or NULL was given.
 */
ITO_API ito_tensor *ito_gpt_forward_with(ito_gpt *gpt, ito_tensor *tokens,
                                         ito_gpt_forward_options options);
#define ito_gpt_forward(...)                                                                       \
    ITO_AT(ITO_CALL_2(ito_gpt_forward_with, ito_gpt_forward_options, __VA_ARGS__, ))

/** The mean of -log p(target) in nats, by ito_cross_entropy; tokens and targets are [N, T] i64. */
ITO_API ito_tensor *ito_gpt_loss(ito_gpt *gpt, ito_tensor *tokens, ito_tensor *targets);

/** Names of nanoGPT's state dict as they are here. Its checkpoint as safetensors is read by
 * ito_module_load(&gpt->base, path, .renames = ito_gpt_renames, .n_renames = ITO_GPT_RENAMES), with
 * .partial = true if tied weights are in it once. */
ITO_API extern const ito_rename ito_gpt_renames[];
/** The number of ito_gpt_renames. */
#define ITO_GPT_RENAMES 7

/* ---- text --------------------------------------------------------------------------------------
 */

/** How a token is drawn. */
typedef struct ito_gpt_draw_options {
    int reserved_;
    double temperature ITO_DEFAULT(1); /* logits are divided by it; 0: the most probable token */
    int64_t top_k;                     /* of the k most probable tokens alone; by default (0) all */
    /* Of the fewest most probable tokens whose probabilities add to it, in (0, 1]; after top_k.
     * Source: Holtzman et al. 2019, arXiv:1904.09751. */
    double top_p ITO_DEFAULT(1);
} ito_gpt_draw_options;
#define ITO_DEFAULTS_ito_gpt_draw_options .temperature = 1, .top_p = 1

/**
 * A token for each row of logits: ito_gpt_draw(logits, &g, .temperature = 0.8, .top_k = 40).
 * @param logits  [N, V].
 * @param g       advances; may be NULL for a temperature of 0.
 * @return        [N] i64, of the current scope. NULL: ITO_ERR_RANGE for options, ITO_ERR_SHAPE,
 *                ITO_ERR_ARGUMENT without a generator.
 */
ITO_API ito_tensor *ito_gpt_draw_with(ito_tensor *logits, ito_generator *g,
                                      ito_gpt_draw_options options);
#define ito_gpt_draw(...) ITO_AT(ITO_CALL_2(ito_gpt_draw_with, ito_gpt_draw_options, __VA_ARGS__, ))

/** What ito_gpt_generate takes besides the prompt. */
typedef struct ito_gpt_generate_options {
    int reserved_;
    double temperature ITO_DEFAULT(1); /* these three as of ito_gpt_draw */
    int64_t top_k;
    double top_p ITO_DEFAULT(1);
    /* Where the text outgrows block_size, its beginning is left out: `stride` tokens more each time
     * that the context is full, and the rest is read again. By default (0) half of block_size; 1 is
     * nanoGPT's moving window, in which the cache is of no use. */
    int64_t stride;
    bool use_cache ITO_DEFAULT(true); /* false: compute all positions again for each token */
} ito_gpt_generate_options;
#define ITO_DEFAULTS_ito_gpt_generate_options .temperature = 1, .top_p = 1, .use_cache = true

/**
 * The prompt and this many new tokens: ito_gpt_generate(gpt, prompt, 500, &g, .top_k = 40). Nothing
 * is recorded. The network keeps its mode: call ito_module_train(&gpt->base, false) first, or
 * dropout is active.
 * @param prompt  [N, T] i64, T of 1 or more, of any length.
 * @return        [N, T + max_new_tokens] i64, of the current scope. NULL: ITO_ERR_SHAPE and
 *                ITO_ERR_RANGE for the prompt, ITO_ERR_RANGE for options and a negative number,
 *                the errors of ito_gpt_forward and ito_gpt_draw, or NULL was given.
 */
ITO_API ito_tensor *ito_gpt_generate_with(ito_gpt *gpt, ito_tensor *prompt, int64_t max_new_tokens,
                                          ito_generator *g, ito_gpt_generate_options options);
#define ito_gpt_generate(...)                                                                      \
    ITO_AT(ITO_CALL_4(ito_gpt_generate_with, ito_gpt_generate_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_gpt_loss(...) ITO_AT(ito_gpt_loss(__VA_ARGS__))
#endif

#endif
