/* What a diffusion transformer is made of. Not installed. */
#ifndef ITO_DDPM_DIT_LAYERS_H
#define ITO_DDPM_DIT_LAYERS_H

#include "models/ddpm/network/dit.h"
#include "nn/layers.h"

enum { DIT_FREQUENCIES = 128 }; /* of the embedding of the time: cosines and sines of so many */

typedef struct dit_block {
    ito_linear_layer *qkv, *proj, *fc1, *fc2, *modulation;
} dit_block;

struct dit_layers {
    ito_conv2d_layer *patches;
    ito_linear_layer *time_1, *time_2;
    ito_embedding_layer *classes; /* NULL without any */
    ito_linear_layer *last, *last_modulation;
    ito_tensor *pos_embed;     /* [1, tokens, hidden_size], the module's; NULL with rotary ones */
    ito_tensor *cosine, *sine; /* of these: [tokens, pairs], owned */
    dit_block block[];         /* [depth] */
};

static inline int64_t dit_tokens(const ito_dit *d)
{
    int64_t p = d->options.patch_size;
    return d->height / p * (d->width / p);
}

/* The network's function: see network.h. */
ito_tensor *dit_evaluate(ito_network *self, const ito_network_input *in);

#endif
