/* 2-D convolution and its gradients for those who have checked shapes: conv.c makes all others of
 * them. Internal. */
#ifndef ITO_OPS_CONV2D_H
#define ITO_OPS_CONV2D_H

#include "autograd/op.h"

/* The options by axis (height, width), and the sizes that cannot be told from two of x, w and y.
 * padding_end, added to the padding at the bottom and right, may be negative. */
typedef struct conv_params {
    int64_t stride[2], padding[2], padding_end[2], dilation[2], groups;
    int64_t size[2];   /* of x, for conv2d_data */
    int64_t kernel[2]; /* for conv2d_weight */
} conv_params;

/* x [N, C, H, W], w [O, C / groups, KH, KW]; bias [O] and add may be NULL. */
ito_tensor *conv2d_apply(ito_tensor *x, ito_tensor *w, ito_tensor *bias, ito_tensor *add,
                         const conv_params *p);
/* The gradient of x [N, C, size] given that of y. */
ito_tensor *conv2d_data_apply(ito_tensor *dy, ito_tensor *w, const conv_params *p);

#endif
