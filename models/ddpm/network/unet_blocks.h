/* The levels of a U-Net: residual blocks with or without attention, and what leads to the next
 * size. Not installed. */
#ifndef ITO_DDPM_UNET_BLOCKS_H
#define ITO_DDPM_UNET_BLOCKS_H

#include "models/ddpm/network/resnet.h"
#include "models/ddpm/network/unet.h"
#include "nn/layers.h"

enum {
    UNET_MAX_BLOCKS = 16,
    UNET_MAX_LAYERS = UNET_MAX_BLOCKS + 1,                  /* of a level of the up path */
    UNET_MAX_SKIPS = ITO_UNET_MAX_LEVELS * UNET_MAX_LAYERS, /* conv_in, layers, downsamplers */
};

typedef struct unet_layer {
    resnet_block *resnet;
    ito_attention_layer *attention; /* NULL where there is none */
    double scale;                   /* of the attention's result, as resnet's; 1: none */
} unet_layer;

/* A level of the down or up path, or the middle. */
typedef struct unet_level {
    int64_t n;
    unet_layer layer[UNET_MAX_LAYERS];
    /* To the next level, one of both; neither at the end of the path. */
    ito_conv2d_layer *conv;
    unet_layer resample;
} unet_level;

/* The widths of the skips, in the order of the down path. */
typedef struct unet_skips {
    int64_t n;
    int64_t width[UNET_MAX_SKIPS];
} unet_skips;

/* Add the layers of level i of the down path, the middle, or level i of the up path, for inputs of
 * *width channels, which becomes that of the result. */
bool unet_add_down(ito_unet *u, unet_level *l, int64_t i, int64_t *width, unet_skips *skips);
bool unet_add_middle(ito_unet *u, unet_level *l, int64_t width);
bool unet_add_up(ito_unet *u, unet_level *l, int64_t i, int64_t *width, unet_skips *skips);

/* x through a level. The down path puts its results behind the *n skips; the up path takes its own
 * from there, and releases them and what is not used any more. NULL ends up NULL. */
ito_tensor *unet_level_down(const ito_unet *u, unet_level *l, ito_tensor *x, ito_tensor *temb,
                            ito_tensor **skips, int64_t *n);
ito_tensor *unet_level_up(const ito_unet *u, unet_level *l, ito_tensor *x, ito_tensor *temb,
                          ito_tensor **skips, int64_t *n);
/* Perturbed: each position of its attention attends to itself alone. */
ito_tensor *unet_level_middle(const ito_unet *u, unet_level *l, ito_tensor *x, ito_tensor *temb,
                              bool perturbed);

#endif
