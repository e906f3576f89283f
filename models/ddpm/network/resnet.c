/* The residual block of DDPM's U-Net: Ho et al. 2020, appendix B, with the authors' code. */
#include "models/ddpm/network/resnet.h"

#include "autograd/ops.h"
#include "tensor/internal.h"

resnet_block *resnet_create(ito_module *parent, const char *name, int64_t in, int64_t out,
                            int64_t time, int64_t groups, double dropout, ito_dtype dtype)
{
    resnet_block *b = ito_module_create(parent, name, sizeof *b);
    if (b == NULL)
        return NULL;
    ito_module *m = &b->base;
    b->norm1 = ito_group_norm_create(m, "norm1", in, groups, .eps = UNET_NORM_EPS, .dtype = dtype);
    b->conv1 = ito_conv2d_create(m, "conv1", in, out, 3, .padding = 1, .dtype = dtype);
    b->time_emb_proj = ito_linear_create(m, "time_emb_proj", time, out, .dtype = dtype);
    b->norm2 = ito_group_norm_create(m, "norm2", out, groups, .eps = UNET_NORM_EPS, .dtype = dtype);
    if (dropout > 0.0)
        b->dropout = ito_dropout_create(m, "dropout", dropout, ito_generator_make(0, 0));
    b->conv2 = ito_conv2d_create(m, "conv2", out, out, 3, .padding = 1, .dtype = dtype);
    if (in != out)
        b->conv_shortcut = ito_conv2d_create(m, "conv_shortcut", in, out, 1, .dtype = dtype);
    if (b->norm1 == NULL || b->conv1 == NULL || b->time_emb_proj == NULL || b->norm2 == NULL ||
        (dropout > 0.0 && b->dropout == NULL) || b->conv2 == NULL ||
        (in != out && b->conv_shortcut == NULL)) {
        ito_module_free(m);
        return NULL;
    }
    return b;
}

/* Convolutions add what is added to their results in the same pass. */
static ito_tensor *first_half(resnet_block *b, ito_tensor *x, ito_tensor *silu_temb)
{
    ito_scope_begin();
    ito_tensor *temb = ito_linear_forward(b->time_emb_proj, silu_temb);
    temb = ito_reshape(temb, x->shape[0], b->conv1->weight->shape[0], 1, 1);
    ito_tensor *h = ito_group_norm_silu_forward(b->norm1, x);
    h = ito_keep(ito_conv2d_forward_add(b->conv1, h, temb));
    ito_scope_end();
    return h;
}

ito_generator *resnet_noise(resnet_block *b)
{
    return b->dropout != NULL && b->dropout->base.training ? &b->dropout->generator : NULL;
}

static ito_tensor *second_half(resnet_block *b, ito_tensor *h, ito_tensor *shortcut)
{
    ito_generator *noise = resnet_noise(b);
    ito_scope_begin();
    h = ito_group_norm_silu_forward(b->norm2, h);
    if (noise != NULL)
        h = ito_dropout(h, b->dropout->p, noise);
    h = ito_keep(ito_conv2d_forward_add(b->conv2, h, shortcut));
    ito_scope_end();
    return h;
}

ito_tensor *resnet_forward(resnet_block *b, ito_tensor *x, ito_tensor *silu_temb)
{
    if (x == NULL || silu_temb == NULL)
        return NULL;
    ito_scope_begin();
    /* First, so that backward reaches both users of x one after the other, and a rematerialised x
     * lives only between them. */
    ito_tensor *shortcut = b->conv_shortcut != NULL ? ito_conv2d_forward(b->conv_shortcut, x) : x;
    ito_tensor *y = ito_keep(second_half(b, first_half(b, x, silu_temb), shortcut));
    ito_scope_end();
    return y;
}
