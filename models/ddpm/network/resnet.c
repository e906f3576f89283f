/* The residual block of DDPM's U-Net: Ho et al. 2020, appendix B, with the authors' code; scale and
 * shift by the time, and resampling inside, as Dhariwal, Nichol 2021, arXiv:2105.05233, have them.
 */
#include "models/ddpm/network/resnet.h"

#include "autograd/ops.h"
#include "tensor/internal.h"

resnet_block *resnet_create(ito_module *parent, const char *name, const resnet_options *o)
{
    resnet_block *b = ito_module_create(parent, name, sizeof *b);
    if (b == NULL)
        return NULL;
    ito_module *m = &b->base;
    b->options = *o;
    int64_t in = o->in, out = o->out, time = o->scale_shift ? 2 * out : out;
    b->norm1 = ito_group_norm_create(m, "norm1", in, o->groups, .eps = o->eps, .dtype = o->dtype);
    b->conv1 = ito_conv2d_create(m, "conv1", in, out, 3, .padding = 1, .dtype = o->dtype);
    b->time_emb_proj = ito_linear_create(m, "time_emb_proj", o->time, time, .dtype = o->dtype);
    b->norm2 = ito_group_norm_create(m, "norm2", out, o->groups, .eps = o->eps, .dtype = o->dtype);
    if (o->dropout > 0.0)
        b->dropout = ito_dropout_create(m, "dropout", o->dropout, ito_generator_make(0, 0));
    b->conv2 = ito_conv2d_create(m, "conv2", out, out, 3, .padding = 1, .dtype = o->dtype);
    if (in != out)
        b->conv_shortcut = ito_conv2d_create(m, "conv_shortcut", in, out, 1, .dtype = o->dtype);
    if (b->norm1 == NULL || b->conv1 == NULL || b->time_emb_proj == NULL || b->norm2 == NULL ||
        (o->dropout > 0.0 && b->dropout == NULL) || b->conv2 == NULL ||
        (in != out && b->conv_shortcut == NULL)) {
        ito_module_free(m);
        return NULL;
    }
    return b;
}

ito_tensor *unet_activate(ito_unet_activation activation, ito_tensor *x)
{
    switch (activation) {
    case ITO_UNET_GELU:
        return ito_gelu(x);
    case ITO_UNET_MISH:
        return ito_mish(x);
    case ITO_UNET_RELU:
        return ito_relu(x);
    default:
        return ito_silu(x);
    }
}

static ito_tensor *normalise_activate(const resnet_block *b, ito_group_norm_layer *norm,
                                      ito_tensor *x)
{
    ito_unet_activation activation = b->options.activation;
    return activation == ITO_UNET_SILU ? ito_group_norm_silu_forward(norm, x)
                                       : unet_activate(activation, ito_group_norm_forward(norm, x));
}

/* x at the block's size. */
static ito_tensor *resampled(const resnet_block *b, ito_tensor *x)
{
    resnet_resample r = b->options.resample;
    return r == RESNET_HALVE    ? ito_avg_pool2d(x, 2)
           : r == RESNET_DOUBLE ? ito_upsample_nearest2d(x, 2)
                                : x;
}

/* What the block makes of the time: [N, out or 2 out, 1, 1]. */
static ito_tensor *project(const resnet_block *b, ito_tensor *act_temb)
{
    ito_tensor *t = ito_linear_forward(b->time_emb_proj, act_temb);
    return ito_reshape(t, act_temb->shape[0], b->time_emb_proj->weight->shape[0], 1, 1);
}

/* Convolutions add what is added to their results in the same pass. */
static ito_tensor *first_half(resnet_block *b, ito_tensor *x, ito_tensor *temb)
{
    ito_scope_begin();
    ito_tensor *h = resampled(b, normalise_activate(b, b->norm1, x));
    h = ito_keep(b->options.scale_shift ? ito_conv2d_forward(b->conv1, h)
                                        : ito_conv2d_forward_add(b->conv1, h, temb));
    ito_scope_end();
    return h;
}

ito_generator *resnet_noise(resnet_block *b)
{
    return b->dropout != NULL && b->dropout->base.training ? &b->dropout->generator : NULL;
}

/* act((1 + a) norm2(h) + b). */
static ito_tensor *modulate(resnet_block *b, ito_tensor *h, ito_tensor *temb)
{
    ito_tensor *scale = ito_add_scalar(ito_chunk(temb, 2, 1, 0), 1.0);
    h = ito_mul(ito_group_norm_forward(b->norm2, h), scale);
    return unet_activate(b->options.activation, ito_add(h, ito_chunk(temb, 2, 1, 1)));
}

static ito_tensor *second_half(resnet_block *b, ito_tensor *h, ito_tensor *temb,
                               ito_tensor *shortcut)
{
    ito_generator *noise = resnet_noise(b);
    ito_scope_begin();
    h = b->options.scale_shift ? modulate(b, h, temb) : normalise_activate(b, b->norm2, h);
    if (noise != NULL)
        h = ito_dropout(h, b->dropout->p, noise);
    h = ito_keep(ito_conv2d_forward_add(b->conv2, h, shortcut));
    ito_scope_end();
    return h;
}

ito_tensor *resnet_forward(resnet_block *b, ito_tensor *x, ito_tensor *act_temb)
{
    if (x == NULL || act_temb == NULL)
        return NULL;
    ito_scope_begin();
    /* First, so that backward reaches both users of x one after the other, and a rematerialised x
     * lives only between them. */
    ito_tensor *shortcut = resampled(b, x);
    if (b->conv_shortcut != NULL)
        shortcut = ito_conv2d_forward(b->conv_shortcut, shortcut);
    ito_tensor *temb = project(b, act_temb);
    ito_tensor *y = second_half(b, first_half(b, x, temb), temb, shortcut);
    if (b->options.scale != 1.0)
        y = ito_mul_scalar(y, 1.0 / b->options.scale);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}
