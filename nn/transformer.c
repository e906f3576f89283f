/* Blocks of transformers and stacks of them. */
#include "autograd/ops.h"
#include "nn/layers_transformer.h"
#include "tensor/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- parts of both blocks ----------------------------------------------------------------------
 */

static ito_multi_head_attention_layer *add_attention(ito_module *m, const char *name,
                                                     int64_t d_model, int64_t nhead,
                                                     const ito_transformer_options *o, bool to_self)
{
    return ito_multi_head_attention_create(
        m, name, d_model, nhead, .generator = o->generator, .dropout = o->dropout, .bias = o->bias,
        .batch_first = o->batch_first, .num_kv_heads = to_self ? o->num_kv_heads : 0,
        .rotary = to_self && o->rotary, .rotary_base = o->rotary_base, .dtype = o->dtype);
}

static ito_linear_layer *add_linear(ito_module *m, const char *name, int64_t in, int64_t out,
                                    const ito_transformer_options *o)
{
    return ito_linear_create(m, name, in, out, .generator = o->generator, .bias = o->bias,
                             .dtype = o->dtype);
}

static ito_layer_norm_layer *add_norm(ito_module *m, const char *name, int64_t d_model,
                                      const ito_transformer_options *o)
{
    return ito_layer_norm_create(m, name, ITO_SHAPE(d_model), .eps = o->layer_norm_eps,
                                 .bias = o->bias, .dtype = o->dtype);
}

static ito_dropout_layer *add_dropout(ito_module *m, const char *name,
                                      const ito_transformer_options *o)
{
    return ito_dropout_create(m, name, o->dropout, ito_generator_make(0, 0));
}

static ito_tensor *(*activation_of(const ito_transformer_options *o))(ito_tensor *)
{
    return o->activation != NULL ? o->activation : ito_relu;
}

/* ---- the encoder's block -----------------------------------------------------------------------
 */

typedef ito_transformer_encoder_layer encoder_layer;

static ito_tensor *encoder_layer_forward(ito_module *self, ito_tensor *x)
{
    return ito_transformer_encoder_layer_forward((encoder_layer *)self, x);
}

ito_transformer_encoder_layer *
ito_transformer_encoder_layer_create_with(ito_module *parent, const char *name, int64_t d_model,
                                          int64_t nhead, ito_transformer_options o)
{
    encoder_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    ito_module *m = &l->base;
    m->forward = encoder_layer_forward;
    l->activation = activation_of(&o);
    l->norm_first = o.norm_first;
    if ((l->self_attn = add_attention(m, "self_attn", d_model, nhead, &o, true)) != NULL &&
        (l->linear1 = add_linear(m, "linear1", d_model, o.dim_feedforward, &o)) != NULL &&
        (l->dropout = add_dropout(m, "dropout", &o)) != NULL &&
        (l->linear2 = add_linear(m, "linear2", o.dim_feedforward, d_model, &o)) != NULL &&
        (l->norm1 = add_norm(m, "norm1", d_model, &o)) != NULL &&
        (l->norm2 = add_norm(m, "norm2", d_model, &o)) != NULL &&
        (l->dropout1 = add_dropout(m, "dropout1", &o)) != NULL &&
        (l->dropout2 = add_dropout(m, "dropout2", &o)) != NULL)
        return l;
    ito_module_free(m);
    return NULL;
}

static ito_tensor *encoder_attention(encoder_layer *l, ito_tensor *x, ito_attend_options o)
{
    return ito_dropout_forward(l->dropout1,
                               ito_multi_head_attention_forward_with(l->self_attn, x, x, x, o));
}

static ito_tensor *encoder_mlp(encoder_layer *l, ito_tensor *x)
{
    ito_tensor *h = ito_linear_forward(l->linear1, x);
    h = h == NULL ? NULL : ito_dropout_forward(l->dropout, l->activation(h));
    return ito_dropout_forward(l->dropout2, h == NULL ? NULL : ito_linear_forward(l->linear2, h));
}

ito_tensor *ito_transformer_encoder_layer_forward_with(ito_transformer_encoder_layer *l,
                                                       ito_tensor *x, ito_attend_options o)
{
    if (l == NULL || x == NULL)
        return NULL;
    ito_scope_begin();
    if (l->norm_first) {
        x = ito_add(x, encoder_attention(l, ito_layer_norm_forward(l->norm1, x), o));
        x = ito_add(x, encoder_mlp(l, ito_layer_norm_forward(l->norm2, x)));
    } else {
        x = ito_layer_norm_forward(l->norm1, ito_add(x, encoder_attention(l, x, o)));
        x = ito_layer_norm_forward(l->norm2, ito_add(x, encoder_mlp(l, x)));
    }
    x = ito_keep(x);
    ito_scope_end();
    return x;
}

/* ---- the decoder's block -----------------------------------------------------------------------
 */

typedef ito_transformer_decoder_layer decoder_layer;

ito_transformer_decoder_layer *
ito_transformer_decoder_layer_create_with(ito_module *parent, const char *name, int64_t d_model,
                                          int64_t nhead, ito_transformer_options o)
{
    decoder_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    ito_module *m = &l->base;
    l->activation = activation_of(&o);
    l->norm_first = o.norm_first;
    if ((l->self_attn = add_attention(m, "self_attn", d_model, nhead, &o, true)) != NULL &&
        (l->multihead_attn = add_attention(m, "multihead_attn", d_model, nhead, &o, false)) !=
            NULL &&
        (l->linear1 = add_linear(m, "linear1", d_model, o.dim_feedforward, &o)) != NULL &&
        (l->dropout = add_dropout(m, "dropout", &o)) != NULL &&
        (l->linear2 = add_linear(m, "linear2", o.dim_feedforward, d_model, &o)) != NULL &&
        (l->norm1 = add_norm(m, "norm1", d_model, &o)) != NULL &&
        (l->norm2 = add_norm(m, "norm2", d_model, &o)) != NULL &&
        (l->norm3 = add_norm(m, "norm3", d_model, &o)) != NULL &&
        (l->dropout1 = add_dropout(m, "dropout1", &o)) != NULL &&
        (l->dropout2 = add_dropout(m, "dropout2", &o)) != NULL &&
        (l->dropout3 = add_dropout(m, "dropout3", &o)) != NULL)
        return l;
    ito_module_free(m);
    return NULL;
}

static ito_tensor *decoder_attention(decoder_layer *l, ito_tensor *x, const ito_decode_options *o)
{
    ito_tensor *y =
        ito_multi_head_attention_forward(l->self_attn, x, x, x, .attn_mask = o->tgt_mask,
                                         .key_padding_mask = o->tgt_key_padding_mask,
                                         .is_causal = o->tgt_is_causal, .cache = o->cache);
    return ito_dropout_forward(l->dropout1, y);
}

static ito_tensor *decoder_memory(decoder_layer *l, ito_tensor *x, ito_tensor *memory,
                                  const ito_decode_options *o)
{
    ito_tensor *y = ito_multi_head_attention_forward(
        l->multihead_attn, x, memory, memory, .attn_mask = o->memory_mask,
        .key_padding_mask = o->memory_key_padding_mask);
    return ito_dropout_forward(l->dropout2, y);
}

static ito_tensor *decoder_mlp(decoder_layer *l, ito_tensor *x)
{
    ito_tensor *h = ito_linear_forward(l->linear1, x);
    h = h == NULL ? NULL : ito_dropout_forward(l->dropout, l->activation(h));
    return ito_dropout_forward(l->dropout3, h == NULL ? NULL : ito_linear_forward(l->linear2, h));
}

ito_tensor *ito_transformer_decoder_layer_forward_with(ito_transformer_decoder_layer *l,
                                                       ito_tensor *x, ito_tensor *memory,
                                                       ito_decode_options o)
{
    if (l == NULL || x == NULL || memory == NULL)
        return NULL;
    ito_scope_begin();
    if (l->norm_first) {
        x = ito_add(x, decoder_attention(l, ito_layer_norm_forward(l->norm1, x), &o));
        x = ito_add(x, decoder_memory(l, ito_layer_norm_forward(l->norm2, x), memory, &o));
        x = ito_add(x, decoder_mlp(l, ito_layer_norm_forward(l->norm3, x)));
    } else {
        x = ito_layer_norm_forward(l->norm1, ito_add(x, decoder_attention(l, x, &o)));
        x = ito_layer_norm_forward(l->norm2, ito_add(x, decoder_memory(l, x, memory, &o)));
        x = ito_layer_norm_forward(l->norm3, ito_add(x, decoder_mlp(l, x)));
    }
    x = ito_keep(x);
    ito_scope_end();
    return x;
}

/* ---- stacks ------------------------------------------------------------------------------------
 */

static void stack_destroy(ito_module *m)
{
    free(((ito_transformer_stack *)m)->layers);
}

static ito_tensor *encoder_forward(ito_module *self, ito_tensor *x)
{
    return ito_transformer_encoder_forward((ito_transformer_stack *)self, x);
}

static bool add_layers(ito_transformer_stack *s, int64_t d_model, int64_t nhead, bool decodes,
                       const ito_transformer_options *o)
{
    s->layers = struct_alloc((size_t)s->num_layers * sizeof *s->layers);
    for (int64_t i = 0; s->layers != NULL && i < s->num_layers; i++) {
        char name[32];
        snprintf(name, sizeof name, "layers.%" PRId64, i);
        if (decodes) {
            decoder_layer *l =
                ito_transformer_decoder_layer_create_with(&s->base, name, d_model, nhead, *o);
            s->layers[i] = l == NULL ? NULL : &l->base;
        } else {
            encoder_layer *l =
                ito_transformer_encoder_layer_create_with(&s->base, name, d_model, nhead, *o);
            s->layers[i] = l == NULL ? NULL : &l->base;
        }
        if (s->layers[i] == NULL)
            return false;
    }
    if (s->layers != NULL && o->norm)
        s->norm = add_norm(&s->base, "norm", d_model, o);
    return s->layers != NULL && (s->norm != NULL || !o->norm);
}

static ito_transformer_stack *create_stack(ito_module *parent, const char *name, int64_t d_model,
                                           int64_t nhead, int64_t num_layers, bool decodes,
                                           const ito_transformer_options *o)
{
    if (num_layers < 1 || num_layers > 1000000)
        return error_null(ITO_ERR_ARGUMENT,
                          "transformer: %" PRId64 " layers; there are 1 to 1000000", num_layers);
    ito_transformer_stack *s = ito_module_create(parent, name, sizeof *s);
    if (s == NULL)
        return NULL;
    s->base.destroy = stack_destroy;
    s->base.forward = decodes ? NULL : encoder_forward;
    s->num_layers = num_layers;
    if (add_layers(s, d_model, nhead, decodes, o))
        return s;
    ito_module_free(&s->base);
    return NULL;
}

ito_transformer_stack *ito_transformer_encoder_create_with(ito_module *parent, const char *name,
                                                           int64_t d_model, int64_t nhead,
                                                           int64_t num_layers,
                                                           ito_transformer_options options)
{
    return create_stack(parent, name, d_model, nhead, num_layers, false, &options);
}

ito_transformer_stack *ito_transformer_decoder_create_with(ito_module *parent, const char *name,
                                                           int64_t d_model, int64_t nhead,
                                                           int64_t num_layers,
                                                           ito_transformer_options options)
{
    return create_stack(parent, name, d_model, nhead, num_layers, true, &options);
}

static ito_tensor *last_norm(const ito_transformer_stack *s, ito_tensor *x)
{
    return s->norm == NULL ? x : ito_layer_norm_forward(s->norm, x);
}

ito_tensor *ito_transformer_encoder_forward_with(ito_transformer_stack *stack, ito_tensor *src,
                                                 ito_attend_options options)
{
    if (stack == NULL || src == NULL)
        return NULL;
    ito_kv_cache *caches = options.cache;
    ito_scope_begin();
    for (int64_t i = 0; i < stack->num_layers; i++) {
        options.cache = caches == NULL ? NULL : &caches[i];
        src = ito_transformer_encoder_layer_forward_with((encoder_layer *)stack->layers[i], src,
                                                         options);
    }
    src = ito_keep(last_norm(stack, src));
    ito_scope_end();
    return src;
}

ito_tensor *ito_transformer_decoder_forward_with(ito_transformer_stack *stack, ito_tensor *tgt,
                                                 ito_tensor *memory, ito_decode_options options)
{
    if (stack == NULL || tgt == NULL || memory == NULL)
        return NULL;
    ito_kv_cache *caches = options.cache;
    ito_scope_begin();
    for (int64_t i = 0; i < stack->num_layers; i++) {
        options.cache = caches == NULL ? NULL : &caches[i];
        tgt = ito_transformer_decoder_layer_forward_with((decoder_layer *)stack->layers[i], tgt,
                                                         memory, options);
    }
    tgt = ito_keep(last_norm(stack, tgt));
    ito_scope_end();
    return tgt;
}
