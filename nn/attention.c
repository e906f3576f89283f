/* The self-attention layer of DDPM's U-Net: norm, attention over positions, input added. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "tensor/internal.h"

static ito_tensor *forward(ito_module *self, ito_tensor *x)
{
    return ito_attention_forward((ito_attention_layer *)self, x);
}

ito_attention_layer *ito_attention_create_with(ito_module *parent, const char *name,
                                               int64_t channels, int64_t groups,
                                               ito_attention_options options)
{
    if (options.heads < 1 || channels % options.heads != 0)
        return error_null(ITO_ERR_SHAPE,
                          "attention: %" PRId64 " channels do not form %" PRId64 " heads", channels,
                          options.heads);
    ito_attention_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward;
    l->channels = channels;
    l->heads = options.heads;
    ito_linear_options linear =
        ITO_OPTIONS(ito_linear_options, .generator = options.generator, .dtype = options.dtype);
    ito_module *m = &l->base;
    if (options.group_norm)
        l->group_norm = ito_group_norm_create(m, "group_norm", channels, groups, .eps = options.eps,
                                              .dtype = options.dtype);
    if (options.group_norm && l->group_norm == NULL)
        goto fail;
    l->to_q = ito_linear_create_with(m, "to_q", channels, channels, linear);
    l->to_k = ito_linear_create_with(m, "to_k", channels, channels, linear);
    l->to_v = ito_linear_create_with(m, "to_v", channels, channels, linear);
    l->to_out = ito_linear_create_with(m, "to_out.0", channels, channels, linear);
    if (l->to_q == NULL || l->to_k == NULL || l->to_v == NULL || l->to_out == NULL)
        goto fail;
    return l;
fail:
    ito_module_free(&l->base);
    return NULL;
}

/* [N, T, C] to [N, heads, T, C / heads]. */
static ito_tensor *part(const ito_attention_layer *l, ito_tensor *x)
{
    if (x == NULL)
        return NULL;
    int64_t n = x->shape[0], t = x->shape[1];
    return ito_transpose(ito_reshape(x, n, t, l->heads, l->channels / l->heads), 1, 2);
}

/* y = to_out(softmax(q k^T / sqrt(C / heads)) v), head by head, of h [N, T, C]. */
static ito_tensor *attend(ito_attention_layer *l, ito_tensor *h)
{
    ito_tensor *q = ito_linear_forward(l->to_q, h);
    ito_tensor *k = ito_linear_forward(l->to_k, h);
    ito_tensor *v = ito_linear_forward(l->to_v, h);
    if (l->heads == 1)
        return ito_linear_forward(l->to_out, ito_scaled_dot_product_attention(q, k, v));
    if (h == NULL)
        return NULL;
    ito_tensor *y = ito_scaled_dot_product_attention(part(l, q), part(l, k), part(l, v));
    y = ito_reshape(ito_transpose(y, 1, 2), h->shape[0], h->shape[1], l->channels);
    return ito_linear_forward(l->to_out, y);
}

static ito_tensor *normalise(ito_attention_layer *l, ito_tensor *x)
{
    return l->group_norm != NULL ? ito_group_norm_forward(l->group_norm, x) : x;
}

/* x [N, C, H, W]: in channels-last memory the changes of shape are views. */
static ito_tensor *over_image(ito_attention_layer *l, ito_tensor *x)
{
    int64_t n = x->shape[0], c = x->shape[1], height = x->shape[2], width = x->shape[3];
    ito_tensor *h = normalise(l, x);
    h = ito_reshape(ito_permute(h, 0, 2, 3, 1), n, height * width, c);
    h = ito_reshape(attend(l, h), n, height, width, c);
    return ito_add(ito_permute(h, 0, 3, 1, 2), x);
}

/* x [N, T, C]: the norm takes channels as axis 1. */
static ito_tensor *over_sequence(ito_attention_layer *l, ito_tensor *x)
{
    ito_tensor *h = normalise(l, ito_transpose(x, 1, 2));
    return ito_add(attend(l, ito_transpose(h, 1, 2)), x);
}

ito_tensor *ito_attention_forward(ito_attention_layer *layer, ito_tensor *x)
{
    if (layer == NULL || x == NULL)
        return NULL;
    if (x->ndim != 3 && x->ndim != 4)
        return error_null(ITO_ERR_SHAPE, "attention: %s is neither [N, C, H, W] nor [N, T, C]",
                          tensor_shape_str(x));
    if (x->shape[x->ndim == 4 ? 1 : 2] != layer->channels)
        return error_null(ITO_ERR_SHAPE, "attention: %s does not have %" PRId64 " channels",
                          tensor_shape_str(x), layer->channels);
    ito_scope_begin();
    ito_tensor *y = ito_keep(x->ndim == 4 ? over_image(layer, x) : over_sequence(layer, x));
    ito_scope_end();
    return y;
}
