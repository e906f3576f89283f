/* The network of ito-audio: patches of samples, and residual blocks whose convolutions reach
 * further and further (WaveNet: van den Oord et al. 2016, arXiv:1609.03499). */
#ifndef ITO_AUDIO_NETWORK_H
#define ITO_AUDIO_NETWORK_H

#include <ito/ito.h>

enum { WAVE_BLOCKS = 12 };

typedef struct wave_block {
    ito_group_norm_layer *norm;
    ito_linear_layer *film; /* of the time and the note: scales and shifts */
    ito_conv1d_layer *dilated, *out;
} wave_block;

typedef struct wave_net {
    ito_module base;
    ito_network network;
    ito_conv1d_layer *enter;
    ito_linear_layer *time;
    ito_embedding_layer *note;
    wave_block block[WAVE_BLOCKS];
    ito_group_norm_layer *norm;
    ito_conv_transpose1d_layer *leave;
} wave_net;

/* Of this many channels, a multiple of 8. Freed by ito_module_free(&m->base). NULL with an error
 * recorded. */
wave_net *wave_net_create(int64_t width, ito_generator *g);

#endif
