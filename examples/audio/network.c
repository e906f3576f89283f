/* Convolutions along time, told the time of the diffusion and the note by scales and shifts. */
#include "examples/audio/network.h"

#include "examples/audio/sound.h"

#include <stdio.h>

enum { PATCH = 8, EMBEDDING = 64 };

static ito_tensor *wave_evaluate(ito_network *self, const ito_network_input *in)
{
    wave_net *m = self->context;
    ito_tensor *e = ito_linear_forward(m->time, ito_time_embedding(in->t, EMBEDDING));
    e = ito_silu(ito_add(e, ito_embedding_forward(m->note, in->labels)));
    ito_tensor *x = ito_conv1d_forward(m->enter, in->x); /* [N, width, LENGTH / PATCH] */
    for (const wave_block *b = m->block; b < m->block + WAVE_BLOCKS; b++) {
        ito_tensor *film = ito_unsqueeze(ito_linear_forward(b->film, e), 2);
        ito_tensor *scale = ito_add_scalar(ito_chunk(film, 2, 1, 0), 1.0);
        ito_tensor *h = ito_mul(ito_group_norm_forward(b->norm, x), scale);
        h = ito_silu(ito_add(h, ito_chunk(film, 2, 1, 1)));
        h = ito_silu(ito_conv1d_forward(b->dilated, h));
        x = ito_add(x, ito_conv1d_forward(b->out, h));
    }
    return ito_conv_transpose1d_forward(m->leave, ito_silu(ito_group_norm_forward(m->norm, x)));
}

static bool add_block(ito_module *parent, wave_block *b, int i, int64_t c, ito_generator *g)
{
    char name[16];
    snprintf(name, sizeof name, "block.%d", i);
    ito_module *m = ito_module_create(parent, name, sizeof *m);
    int64_t far = 1 << i % 6;
    return m != NULL && (b->norm = ito_group_norm_create(m, "norm", c, 8)) != NULL &&
           (b->film = ito_linear_create(m, "film", c, 2 * c, .generator = g)) != NULL &&
           (b->dilated = ito_conv1d_create(m, "dilated", c, c, 3, .padding = far, .dilation = far,
                                           .generator = g)) != NULL &&
           (b->out = ito_conv1d_create(m, "out", c, c, 1, .generator = g)) != NULL;
}

static bool build(wave_net *m, int64_t c, ito_generator *g)
{
    m->network = (ito_network){.evaluate = wave_evaluate, .context = m};
    m->enter = ito_conv1d_create(&m->base, "enter", 1, c, 2 * PATCH, .stride = PATCH,
                                 .padding = PATCH / 2, .generator = g);
    m->time = ito_linear_create(&m->base, "time", EMBEDDING, c, .generator = g);
    m->note = ito_embedding_create(&m->base, "note", NOTES, c, .generator = g);
    m->norm = ito_group_norm_create(&m->base, "norm", c, 8);
    m->leave = ito_conv_transpose1d_create(&m->base, "leave", c, 1, 2 * PATCH, .stride = PATCH,
                                           .padding = PATCH / 2, .generator = g);
    bool good = m->enter != NULL && m->time != NULL && m->note != NULL && m->norm != NULL;
    for (int i = 0; i < WAVE_BLOCKS; i++)
        good = good && add_block(&m->base, &m->block[i], i, c, g);
    return good && m->leave != NULL;
}

wave_net *wave_net_create(int64_t width, ito_generator *g)
{
    wave_net *m = ito_module_create(NULL, "", sizeof *m);
    if (m != NULL && !build(m, width, g)) {
        ito_module_free(&m->base);
        return NULL;
    }
    return m;
}
