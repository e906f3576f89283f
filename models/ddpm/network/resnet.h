/* The residual block of DDPM's U-Net, in the forms that diffusers' UNet2DModel has. Not installed.
 *     h = conv1(resample(act(norm1(x)))) + time_emb_proj(act(temb))
 *     y = (shortcut(resample(x)) + conv2(dropout(act(norm2(h))))) / scale
 * with a 1x1 shortcut where the width changes. With scale_shift, the halves a and b of the
 * projected time are not added: (1 + a) norm2(h) + b takes the place of norm2(h).
 */
#ifndef ITO_DDPM_RESNET_H
#define ITO_DDPM_RESNET_H

#include "models/ddpm/network/unet.h"
#include "nn/layers.h"

#define UNET_NORM_EPS 1e-6

typedef enum resnet_resample { RESNET_KEEP, RESNET_HALVE, RESNET_DOUBLE } resnet_resample;

typedef struct resnet_options {
    int64_t in, out, time; /* channels of images and of the time's embedding */
    int64_t groups;        /* of the norms */
    double eps;            /* of the norms */
    double dropout;
    double scale; /* of the result; 1: none */
    ito_unet_activation activation;
    resnet_resample resample; /* means of 2 x 2 pixels, or each pixel four times */
    bool scale_shift;
    ito_dtype dtype; /* of the weights */
} resnet_options;

typedef struct resnet_block {
    ito_module base;
    resnet_options options;
    ito_group_norm_layer *norm1, *norm2;
    ito_conv2d_layer *conv1, *conv2;
    ito_linear_layer *time_emb_proj;
    ito_dropout_layer *dropout;      /* NULL without dropout */
    ito_conv2d_layer *conv_shortcut; /* NULL where in == out */
} resnet_block;

/* Weights are zero at first. */
resnet_block *resnet_create(ito_module *parent, const char *name, const resnet_options *options);
/* x [N, in, H, W], and act(temb) [N, time], which all blocks share: [N, out, H, W], resampled.
 * Dropout, in training, draws from resnet_noise's generator. */
ito_tensor *resnet_forward(resnet_block *b, ito_tensor *x, ito_tensor *act_temb);
/* The block's generator; NULL if it draws nothing. */
ito_generator *resnet_noise(resnet_block *b);

/* The activation of x. */
ito_tensor *unet_activate(ito_unet_activation activation, ito_tensor *x);

#endif
