/* One step of training, for loops of one's own: draw times and noise, loss, backward, clip,
 * optimiser, averages.
 *
 * What a step draws is a function of (seed, step number) alone, and of the losses before it if
 * times are drawn by these, so a run that is resumed, and one on other threads, sees the same
 * noise. A step whose loss or gradient is not finite changes nothing.
 */
#ifndef ITO_DDPM_TRAIN_H
#define ITO_DDPM_TRAIN_H

#include "../../nn/ema.h"
#include "../../nn/optim.h"
#include "diffusion.h"
#include "process/timestep_sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What random numbers are for. Example i of a sampler has stream i; purposes never use it. */
typedef enum ito_draw_purpose {
    ITO_DRAW_INIT = 1, /* the network's initial weights */
    ITO_DRAW_T,
    ITO_DRAW_EPS,
    ITO_DRAW_DROPOUT,
    ITO_DRAW_LABEL /* which labels are left out: for ito_class_condition */
} ito_draw_purpose;

/** The beginning of the stream for this purpose in this step; 0 <= step < 2^40. */
ITO_API ito_generator ito_diffusion_generator(uint64_t seed, ito_draw_purpose purpose,
                                              int64_t step);

/** What is trained and how; everything is borrowed. */
typedef struct ito_diffusion_trainer {
    const ito_diffusion *diffusion;
    ito_network *network;
    ito_module *model; /* the network's parameters: a root, in training mode */
    ito_optimizer *optimizer;
    ito_ema *ema;                    /* NULL: no averages */
    ito_timestep_sampler *timesteps; /* how t is drawn; NULL: uniformly. What it remembers of losses
                                        is then state of the training too: see timestep_sampler.h */
    double max_norm;                 /* of the gradient; 0: as it comes */
    uint64_t seed;
} ito_diffusion_trainer;

/** What a training step did. */
typedef struct ito_train_result {
    double loss;
    double grad_norm;  /* before clipping; NaN if the loss was not finite */
    bool applied;      /* false: something was not finite, and nothing has changed */
    char culprit[160]; /* then: "the gradient of conv_in.weight", ... */
} ito_train_result;

/**
 * Train on one batch.
 *
 * @param x_0   [N, ...] f32; images have pixels scaled to [-1, 1].
 * @param step  counts from 0.
 * @param lr    learning rate of this step.
 * @param out   written on success, which an unapplied step is.
 * @return      an error of the network, of memory or of the arguments.
 * Source: Ho et al. 2020, algorithm 1.
 */
ITO_API ito_status ito_diffusion_train_step(const ito_diffusion_trainer *trainer, ito_tensor *x_0,
                                            int64_t step, double lr, ito_train_result *out);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_diffusion_train_step(...) ITO_AT(ito_diffusion_train_step(__VA_ARGS__))
#endif

#endif
