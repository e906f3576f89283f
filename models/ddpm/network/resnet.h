/* The residual block of DDPM's U-Net. Not installed.
 *     h = conv1(silu(norm1(x))) + time_emb_proj(silu(temb))
 *     y = shortcut(x) + conv2(dropout(silu(norm2(h)))), shortcut 1x1 where the width changes
 */
#ifndef ITO_DDPM_RESNET_H
#define ITO_DDPM_RESNET_H

#include "nn/layers.h"

#define UNET_NORM_EPS 1e-6

typedef struct resnet_block {
    ito_module base;
    ito_group_norm_layer *norm1, *norm2;
    ito_conv2d_layer *conv1, *conv2;
    ito_linear_layer *time_emb_proj;
    ito_dropout_layer *dropout;      /* NULL without dropout */
    ito_conv2d_layer *conv_shortcut; /* NULL where in == out */
} resnet_block;

/* Weights are zero at first; dtype is theirs. */
resnet_block *resnet_create(ito_module *parent, const char *name, int64_t in, int64_t out,
                            int64_t time, int64_t groups, double dropout, ito_dtype dtype);
/* x [N, in, H, W], and silu(temb) [N, time], which all blocks share: [N, out, H, W]. Dropout, in
 * training, draws from resnet_noise's generator. */
ito_tensor *resnet_forward(resnet_block *b, ito_tensor *x, ito_tensor *silu_temb);
/* The block's generator; NULL if it draws nothing. */
ito_generator *resnet_noise(resnet_block *b);

#endif
