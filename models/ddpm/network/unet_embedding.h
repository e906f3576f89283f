/* What a U-Net makes of times and labels. Not installed. */
#ifndef ITO_DDPM_UNET_EMBEDDING_H
#define ITO_DDPM_UNET_EMBEDDING_H

#include "models/ddpm/network/unet.h"
#include "nn/layers.h"

typedef struct unet_embedding {
    ito_tensor *fourier;          /* [ch]: ITO_UNET_TIME_FOURIER's; else NULL */
    ito_embedding_layer *learned; /* ITO_UNET_TIME_LEARNED's; else NULL */
    ito_linear_layer *linear_1, *linear_2;
    ito_embedding_layer *class_embedding; /* of the first two kinds of labels; else NULL */
    ito_linear_layer *class_linear_1, *class_linear_2; /* ITO_UNET_CLASS_TIMESTEP's; else NULL */
} unet_embedding;

/* Add the layers to the module of the U-Net. */
bool unet_embedding_create(ito_unet *unet, unet_embedding *out);
/* Whether these times and labels, or NULL, fit n images. */
bool unet_embedding_check(const ito_unet *unet, const ito_tensor *t, const ito_tensor *labels);
/* act(temb) [N, time_channels] for all blocks: the embedding of the time, and of the label if there
 * are any. */
ito_tensor *unet_embed(const ito_unet *unet, const unet_embedding *e, ito_tensor *t,
                       ito_tensor *labels);

#endif
