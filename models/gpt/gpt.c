/* GPT-2: embeddings, blocks with the norm before each branch, a last norm and the head. */
#include "models/gpt/gpt.h"

#include "autograd/ops.h"
#include "autograd/ops_activation.h"
#include "autograd/ops_embedding.h"
#include "autograd/ops_loss.h"
#include "nn/init.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const ito_rename ito_gpt_renames[ITO_GPT_RENAMES] = {
    {"transformer.wte", "wte"},
    {"transformer.wpe", "wpe"},
    {"transformer.h", "h"},
    {"transformer.ln_f", "ln_f"},
    {"attn.c_attn.weight", "attn.in_proj_weight"},
    {"attn.c_attn.bias", "attn.in_proj_bias"},
    {"attn.c_proj", "attn.out_proj"},
};

static const double deviation = 0.02; /* of initial weights */

/* ---- creation ----------------------------------------------------------------------------------
 */

static bool draw(ito_tensor *weight, double std, const ito_gpt_options *o)
{
    return o->generator == NULL || ito_init_normal(weight, 0, std, o->generator) != NULL;
}

static ito_layer_norm_layer *add_norm(ito_module *m, const char *name, const ito_gpt_options *o)
{
    return ito_layer_norm_create(m, name, ITO_SHAPE(o->n_embd), .bias = o->bias, .dtype = o->dtype);
}

static ito_dropout_layer *add_dropout(ito_module *m, const char *name, const ito_gpt_options *o)
{
    return ito_dropout_create(m, name, o->dropout, ito_generator_make(0, 0));
}

static ito_linear_layer *add_linear(ito_module *m, const char *name, int64_t in, int64_t out,
                                    const ito_gpt_options *o)
{
    return ito_linear_create(m, name, in, out, .bias = o->bias, .dtype = o->dtype);
}

static ito_gpt_block *add_block(ito_gpt *gpt, int64_t i, const ito_gpt_options *o)
{
    char name[32];
    snprintf(name, sizeof name, "h.%" PRId64, i);
    ito_gpt_block *b = ito_module_create(&gpt->base, name, sizeof *b);
    if (b == NULL)
        return NULL;
    ito_module *m = &b->base;
    b->ln_1 = add_norm(m, "ln_1", o);
    b->attn = ito_multi_head_attention_create(m, "attn", o->n_embd, o->n_head, .bias = o->bias,
                                              .dropout = o->dropout, .batch_first = true,
                                              .rotary = o->rotary, .dtype = o->dtype);
    b->attn_dropout = add_dropout(m, "attn.resid_dropout", o);
    b->ln_2 = add_norm(m, "ln_2", o);
    b->c_fc = add_linear(m, "mlp.c_fc", o->n_embd, 4 * o->n_embd, o);
    b->c_proj = add_linear(m, "mlp.c_proj", 4 * o->n_embd, o->n_embd, o);
    b->mlp_dropout = add_dropout(m, "mlp.dropout", o);
    double last = deviation / sqrt(2 * (double)o->n_layer);
    if (b->ln_1 == NULL || b->attn == NULL || b->attn_dropout == NULL || b->ln_2 == NULL ||
        b->c_fc == NULL || b->c_proj == NULL || b->mlp_dropout == NULL ||
        !draw(b->attn->in_proj_weight, deviation, o) || !draw(b->attn->out_proj->weight, last, o) ||
        !draw(b->c_fc->weight, deviation, o) || !draw(b->c_proj->weight, last, o))
        return NULL;
    return b;
}

static bool add_embeddings(ito_gpt *gpt, const ito_gpt_options *o)
{
    ito_module *m = &gpt->base;
    gpt->wte = ito_embedding_create(m, "wte", gpt->vocab_size, o->n_embd, .dtype = o->dtype);
    if (gpt->wte == NULL || !draw(gpt->wte->weight, deviation, o))
        return false;
    if (!o->rotary) {
        gpt->wpe = ito_embedding_create(m, "wpe", gpt->block_size, o->n_embd, .dtype = o->dtype);
        if (gpt->wpe == NULL || !draw(gpt->wpe->weight, deviation, o))
            return false;
    }
    gpt->drop = add_dropout(m, "drop", o);
    return gpt->drop != NULL;
}

static bool add_head(ito_gpt *gpt, const ito_gpt_options *o)
{
    ito_module *head = ito_module_create(&gpt->base, "lm_head", sizeof *head);
    ito_tensor *weight = gpt->wte->weight;
    if (!o->tie_weights) {
        weight = ito_zeros(ITO_SHAPE(gpt->vocab_size, o->n_embd), o->dtype);
        if (weight == NULL || !draw(weight, deviation, o))
            return false;
    }
    gpt->lm_head = head == NULL ? NULL : ito_module_parameter(head, "weight", weight);
    return gpt->lm_head != NULL;
}

static void destroy(ito_module *m)
{
    free(((ito_gpt *)m)->h);
}

static ito_tensor *forward(ito_module *m, ito_tensor *tokens)
{
    return ito_gpt_forward((ito_gpt *)m, tokens);
}

ito_gpt *ito_gpt_create_with(int64_t vocab_size, int64_t block_size, ito_gpt_options o)
{
    if (vocab_size < 1 || block_size < 1)
        return error_null(ITO_ERR_ARGUMENT,
                          "gpt: %" PRId64 " tokens and a block of %" PRId64
                          "; both must be positive",
                          vocab_size, block_size);
    if (o.n_layer < 1 || o.n_layer > 1000000)
        return error_null(ITO_ERR_ARGUMENT, "gpt: %" PRId64 " layers; there are 1 to 1000000",
                          o.n_layer);
    ito_gpt *gpt = ito_module_create(NULL, "", sizeof *gpt);
    if (gpt == NULL)
        return NULL;
    gpt->base.destroy = destroy;
    gpt->base.forward = forward;
    gpt->activation = o.activation != NULL ? o.activation : (ito_gelu);
    gpt->vocab_size = vocab_size;
    gpt->block_size = block_size;
    gpt->n_layer = o.n_layer;
    gpt->h = struct_alloc((size_t)o.n_layer * sizeof *gpt->h);
    bool good = gpt->h != NULL && add_embeddings(gpt, &o);
    for (int64_t i = 0; good && i < o.n_layer; i++)
        good = (gpt->h[i] = add_block(gpt, i, &o)) != NULL;
    if (good && (gpt->ln_f = add_norm(&gpt->base, "ln_f", &o)) != NULL && add_head(gpt, &o))
        return gpt;
    ito_module_free(&gpt->base);
    return NULL;
}

/* ---- forward -----------------------------------------------------------------------------------
 */

static ito_tensor *embed(ito_gpt *gpt, ito_tensor *tokens, int64_t past)
{
    ito_tensor *x = ito_embedding_forward(gpt->wte, tokens);
    if (gpt->wpe != NULL)
        x = ito_add(x, ito_narrow(gpt->wpe->weight, 0, past, tokens->shape[1]));
    return ito_dropout_forward(gpt->drop, x);
}

static ito_tensor *block(const ito_gpt *gpt, const ito_gpt_block *b, ito_tensor *x,
                         ito_kv_cache *cache)
{
    ito_tensor *h = ito_layer_norm_forward(b->ln_1, x);
    h = ito_multi_head_attention_forward(b->attn, h, h, h, .is_causal = true, .cache = cache);
    x = ito_add(x, ito_dropout_forward(b->attn_dropout, h));
    h = ito_linear_forward(b->c_fc, ito_layer_norm_forward(b->ln_2, x));
    h = h == NULL ? NULL : ito_linear_forward(b->c_proj, gpt->activation(h));
    return ito_add(x, ito_dropout_forward(b->mlp_dropout, h));
}

ito_tensor *ito_gpt_forward_with(ito_gpt *gpt, ito_tensor *tokens, ito_gpt_forward_options o)
{
    if (gpt == NULL || tokens == NULL)
        return NULL;
    if (tokens->ndim != 2)
        return error_null(ITO_ERR_SHAPE, "gpt: tokens are [N, T], not %s",
                          tensor_shape_str(tokens));
    int64_t past = o.cache != NULL && o.cache->keys != NULL ? o.cache->length : 0;
    if (tokens->shape[1] > gpt->block_size - past)
        return error_null(ITO_ERR_RANGE,
                          "gpt: %" PRId64 " tokens and %" PRId64
                          " in the cache do not fit in a block of %" PRId64,
                          tokens->shape[1], past, gpt->block_size);
    ito_scope_begin();
    ito_tensor *x = embed(gpt, tokens, past);
    for (int64_t i = 0; x != NULL && i < gpt->n_layer; i++)
        x = block(gpt, gpt->h[i], x, o.cache == NULL ? NULL : &o.cache[i]);
    x = ito_keep(ito_linear(ito_layer_norm_forward(gpt->ln_f, x), gpt->lm_head, NULL));
    for (int64_t i = 0; x == NULL && o.cache != NULL && i < gpt->n_layer; i++)
        o.cache[i].length = past;
    ito_scope_end();
    return x;
}

ito_tensor *ito_gpt_loss(ito_gpt *gpt, ito_tensor *tokens, ito_tensor *targets)
{
    if (gpt == NULL || tokens == NULL || targets == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *logits = ito_gpt_forward(gpt, tokens);
    ito_tensor *loss =
        ito_keep(ito_cross_entropy(ito_flatten(logits, 0, 1), ito_flatten(targets, 0, 1)));
    ito_scope_end();
    return loss;
}
