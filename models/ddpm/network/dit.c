/* The diffusion transformer: the way through. dit_create.c builds it.
 * Invariant: an image's output depends on that image, its time and its label alone. */
#include "models/ddpm/network/dit.h"

#include "autograd/ops.h"
#include "autograd/ops_attention.h"
#include "autograd/ops_shape.h"
#include "models/ddpm/network/dit_layers.h"
#include "tensor/internal.h"

#include <math.h>

/* silu(c) [N, hidden_size]: the embedding of time and class, as all modulations take it. The time
 * is one of cosines, then sines, in f64. */
static ito_tensor *embed(const ito_dit *d, ito_tensor *t, ito_tensor *labels)
{
    const struct dit_layers *l = d->layers;
    ito_scope_begin();
    ito_tensor *f = ito_arange(0, DIT_FREQUENCIES, 1, ITO_F64);
    f = ito_exp(ito_mul_scalar(f, -log(10000.0) / DIT_FREQUENCIES));
    ito_tensor *a = ito_mul(ito_unsqueeze(ito_cast(t, ITO_F64), 1), f);
    a = ito_cast(ito_cat(ITO_TENSORS(ito_cos(a), ito_sin(a)), 1), d->options.dtype);
    ito_tensor *c = ito_linear_forward(l->time_2, ito_silu(ito_linear_forward(l->time_1, a)));
    if (l->classes != NULL) {
        if (labels == NULL)
            labels = ito_full(ITO_SHAPE(t->shape[0]), (double)d->options.classes, ITO_I64);
        c = ito_add(c, ito_embedding_forward(l->classes, labels));
    }
    c = ito_keep(ito_cast(ito_silu(c), d->precision));
    ito_scope_end();
    return c;
}

/* The n parts of a modulation, [N, 1, hidden_size] each. */
static bool parts_of(ito_linear_layer *l, ito_tensor *c, int64_t n, ito_tensor **parts)
{
    ito_tensor *all = ito_unsqueeze(ito_linear_forward(l, c), 1);
    return all != NULL && ito_chunks(all, n, 2, parts) == ITO_OK;
}

/* norm(x) (1 + scale) + shift */
static ito_tensor *modulate(const ito_dit *d, ito_tensor *x, ito_tensor *shift, ito_tensor *scale)
{
    x = ito_layer_norm(x, ITO_SHAPE(d->options.hidden_size), NULL, NULL, .eps = 1e-6);
    return ito_add(ito_mul(x, ito_add_scalar(scale, 1.0)), shift);
}

static ito_tensor *rotated(const struct dit_layers *l, ito_tensor *x)
{
    return l->cosine != NULL ? ito_apply_rotary(x, l->cosine, l->sine, .interleaved = true) : x;
}

/* x [N, T, hidden_size] to the same. */
static ito_tensor *attend(const ito_dit *d, const dit_block *b, ito_tensor *x)
{
    if (x == NULL)
        return NULL;
    int64_t n = x->shape[0], t = x->shape[1], heads = d->options.num_heads;
    ito_tensor *p[3]; /* queries, keys and values [N, heads, T, width of a head] */
    x = ito_reshape(ito_linear_forward(b->qkv, x), n, t, 3, heads, d->options.hidden_size / heads);
    x = ito_permute(x, 2, 0, 3, 1, 4);
    if (x == NULL || ito_unbind(x, 0, 3, p) != ITO_OK)
        return NULL;
    x = ito_scaled_dot_product_attention(rotated(d->layers, p[0]), rotated(d->layers, p[1]), p[2]);
    x = ito_reshape(ito_permute(x, 0, 2, 1, 3), n, t, d->options.hidden_size);
    return ito_linear_forward(b->proj, x);
}

static ito_tensor *block_forward(const ito_dit *d, const dit_block *b, ito_tensor *x, ito_tensor *c)
{
    ito_tensor *m[6]; /* shift, scale and gate of attention and of the MLP */
    ito_scope_begin();
    bool good = parts_of(b->modulation, c, 6, m);
    if (good) {
        x = ito_add(x, ito_mul(m[2], attend(d, b, modulate(d, x, m[0], m[1]))));
        ito_tensor *h = ito_linear_forward(b->fc1, modulate(d, x, m[3], m[4]));
        h = ito_linear_forward(b->fc2, ito_gelu(h, .approximate = ITO_GELU_TANH));
        x = ito_add(x, ito_mul(m[5], h));
    }
    x = good ? ito_keep(x) : NULL;
    ito_scope_end();
    return x;
}

/* Tokens [N, T, p p C] to images. */
static ito_tensor *images_of(const ito_dit *d, ito_tensor *x)
{
    int64_t p = d->options.patch_size, channels = d->options.out_channels;
    x = ito_reshape(x, -1, d->height / p, d->width / p, p, p, channels);
    return ito_reshape(ito_permute(x, 0, 5, 1, 3, 2, 4), -1, channels, d->height, d->width);
}

static bool check_input(const ito_dit *d, const ito_tensor *x, const ito_tensor *t,
                        const ito_tensor *labels)
{
    if (x->dtype != d->options.dtype)
        return error_false(ITO_ERR_DTYPE, "dit: x is %s, and the parameters are %s",
                           ito_dtype_name(x->dtype), ito_dtype_name(d->options.dtype));
    ito_shape image = ITO_SHAPE(x->ndim == 4 ? x->shape[0] : 1, d->channels, d->height, d->width);
    if (!shape_equal(ito_shape_of(x), image) || t->ndim != 1 || t->shape[0] != x->shape[0])
        return error_false(
            ITO_ERR_SHAPE,
            "dit: x is %s and t %s; it takes [N, %" PRId64 ", %" PRId64 ", %" PRId64 "] and [N]",
            tensor_shape_str(x), tensor_shape_str(t), d->channels, d->height, d->width);
    if (labels == NULL)
        return true;
    if (d->layers->classes == NULL)
        return error_false(ITO_ERR_ARGUMENT, "dit: the network has no classes and takes no labels");
    return (labels->dtype == ITO_I64 && labels->ndim == 1 && labels->shape[0] == x->shape[0]) ||
           error_false(ITO_ERR_SHAPE, "dit: labels %s %s for %" PRId64 " images; it takes [N] i64",
                       ito_dtype_name(labels->dtype), tensor_shape_str(labels), x->shape[0]);
}

ito_tensor *ito_dit_forward_class(ito_dit *d, ito_tensor *x, ito_tensor *t, ito_tensor *labels)
{
    if (x == NULL || t == NULL || !check_input(d, x, t, labels))
        return NULL;
    const struct dit_layers *l = d->layers;
    ito_tensor *m[2];
    ito_scope_begin();
    ito_tensor *c = embed(d, t, labels);
    ito_tensor *h = ito_conv2d_forward(l->patches, ito_cast(x, d->precision));
    h = ito_reshape(ito_permute(h, 0, 2, 3, 1), x->shape[0], dit_tokens(d), d->options.hidden_size);
    if (l->pos_embed != NULL)
        h = ito_add(h, ito_cast(l->pos_embed, d->precision));
    for (int64_t i = 0; i < d->options.depth; i++)
        h = block_forward(d, &l->block[i], h, c);
    h = parts_of(l->last_modulation, c, 2, m) ? modulate(d, h, m[0], m[1]) : NULL;
    h = images_of(d, ito_linear_forward(l->last, h));
    h = ito_keep(ito_cast(h, d->options.dtype));
    ito_scope_end();
    return h;
}

ito_tensor *ito_dit_forward(ito_dit *d, ito_tensor *x, ito_tensor *t)
{
    return ito_dit_forward_class(d, x, t, NULL);
}

ito_tensor *dit_evaluate(ito_network *self, const ito_network_input *in)
{
    if (in->x_0 != NULL)
        return error_null(ITO_ERR_ARGUMENT, "dit: it takes no earlier estimate of the images");
    return ito_dit_forward_class(self->context, in->x, in->t, in->labels);
}

ito_status ito_dit_set_precision(ito_dit *d, ito_dtype precision)
{
    if (d == NULL)
        return ITO_ERR_ARGUMENT;
    bool wide = d->options.dtype == ITO_F64;
    if (precision != d->options.dtype && (wide || precision != ITO_BF16))
        return error_status(ITO_ERR_DTYPE,
                            wide ? "dit: precision %s is not that of the parameters, f64"
                                 : "dit: precision %s is neither f32 nor bf16",
                            ito_dtype_name(precision));
    d->precision = precision;
    return ITO_OK;
}
