/* All that a training step works on, for its tests: a tiny network and four images. */
#ifndef TESTS_DDPM_TRAIN_WORLD_H
#define TESTS_DDPM_TRAIN_WORLD_H

#include "autograd/ops.h"
#include "models/ddpm/network/unet.h"
#include "models/ddpm/train.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <stdlib.h>
#include <string.h>

typedef struct world {
    ito_unet *unet;
    ito_diffusion *diffusion;
    ito_optimizer *optimizer;
    ito_ema *ema;
    ito_diffusion_trainer trainer;
    ito_tensor *x_0;
} world;

static inline world begin(double dropout)
{
    world w = {.unet = NULL};
    ito_unet_config c = tiny_unet_config(1);
    c.attention[1] = false;
    c.groups = 0;
    c.dropout = dropout;
    ito_generator init = ito_diffusion_generator(4, ITO_DRAW_INIT, 0);
    w.unet = ito_unet_create(&c, &init);
    w.diffusion = ito_diffusion_create();
    w.optimizer = ito_adam_create(&w.unet->base, .beta1 = 0.9);
    w.ema = ito_ema_create(&w.unet->base, .decay = 0.9);
    cr_assert_not_null(w.ema, "%s", ito_error());
    w.trainer = (ito_diffusion_trainer){.diffusion = w.diffusion,
                                        .network = &w.unet->network,
                                        .model = &w.unet->base,
                                        .optimizer = w.optimizer,
                                        .ema = w.ema,
                                        .max_norm = 1.0,
                                        .seed = 4};
    ito_generator g = ito_generator_make(8, 8);
    w.x_0 = ito_clamp(ito_randn(&g, ITO_SHAPE(4, 1, 8, 8), ITO_F32), -1.0, 1.0);
    return w;
}

static inline void end(world *w)
{
    ito_ema_free(w->ema);
    ito_optimizer_free(w->optimizer);
    ito_diffusion_free(w->diffusion);
    ito_module_free(&w->unet->base);
}

/* All parameters and averages in a row; freed with free(). */
static inline float *weights(const world *w, int64_t *n)
{
    ito_named_tensors *lists[] = {ito_module_parameters(&w->unet->base), ito_ema_state(w->ema)};
    float *all = malloc(1 << 22);
    *n = 0;
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; i < lists[k]->n; i++) {
            cr_assert(*n + ito_numel(lists[k]->tensors[i]) <= 1 << 20);
            ito_to_data(lists[k]->tensors[i], all + *n, ITO_F32);
            *n += ito_numel(lists[k]->tensors[i]);
        }
        ito_named_tensors_free(lists[k]);
    }
    return all;
}

static inline bool equal_weights(const world *a, const world *b)
{
    int64_t n, m;
    float *x = weights(a, &n), *y = weights(b, &m);
    bool equal = n == m && memcmp(x, y, (size_t)n * sizeof *x) == 0;
    free(x);
    free(y);
    return equal;
}

static inline ito_train_result step(world *w, int64_t number)
{
    ito_train_result r;
    cr_assert_eq(ito_diffusion_train_step(&w->trainer, w->x_0, number, 1e-3, &r), ITO_OK, "%s",
                 ito_error());
    return r;
}

#endif
