/* One training step, for custom training loops: draw times and noise, loss, backward, clip,
 * optimiser, averages.
 *
 * The random numbers of a step depend only on (seed, step number), and on earlier losses if the law
 * of times uses them. A resumed run and a run with another number of threads draw the same noise.
 * With slices (parallel.h), times and noise are those of the batch in one; dropout and dropped
 * labels are drawn for each slice. A step whose loss or gradient is not finite changes nothing.
 */
#ifndef ITO_DDPM_TRAIN_H
#define ITO_DDPM_TRAIN_H

#include "../../nn/ema.h"
#include "../../nn/optim.h"
#include "../../nn/parallel.h"
#include "diffusion.h"
#include "objective/uncertainty.h"
#include "process/timestep_sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The purpose of random numbers. Example i of a sampler draws from stream i; purposes never use
 * it. */
typedef enum ito_draw_purpose {
    ITO_DRAW_INIT = 1, /* the network's initial weights */
    ITO_DRAW_T,
    ITO_DRAW_EPS,
    ITO_DRAW_DROPOUT,
    ITO_DRAW_LABEL /* which labels are dropped: for ito_class_condition */
} ito_draw_purpose;

/** A generator at the start of the random stream for this purpose and step; 0 <= step < 2^40. */
ITO_API ito_generator ito_diffusion_generator(uint64_t seed, ito_draw_purpose purpose,
                                              int64_t step);

/** The parts of a training run; all are borrowed. */
typedef struct ito_diffusion_trainer {
    const ito_diffusion *diffusion;
    ito_network *network;
    ito_module *model; /* the network's parameters: a root, in training mode */
    ito_optimizer *optimizer;
    ito_ema *ema;                    /* NULL: no averages */
    ito_timestep_sampler *timesteps; /* how t is drawn; NULL: uniformly. Its recorded losses are
                                        part of the training state: see timestep_sampler.h */
    ito_uncertainty *uncertainty;    /* a part of the model; NULL: none */
    double max_norm;                 /* of the gradient; 0: no clipping */
    uint64_t seed;
    bool each; /* also report the time and the loss of each example, which changes no bit */
    ito_parallel *parallel; /* of model and optimizer: slices, and ranks; NULL: one of each */
    /* With parallel: called before each slice, so that what the network takes beside noisy data
     * (labels, generators) is of its rows. NULL: nothing is. */
    ito_status (*slice)(ito_batch_slice s, void *context);
    void *slice_context;
} ito_diffusion_trainer;

/** A generator for slice `index` of what `g` draws for a batch: g itself for the first, and far
 * from it for others. */
ITO_API ito_generator ito_slice_generator(ito_generator g, int64_t index);

/** What a training step did. */
typedef struct ito_train_result {
    double loss;       /* of the diffusion: without what an uncertainty makes of it */
    double grad_norm;  /* before clipping; NaN if the loss was not finite */
    bool applied;      /* false: a number was not finite, and nothing has changed */
    char culprit[160]; /* what was not finite: "the gradient of conv_in.weight", ... */
    /* With trainer->each, else NULL; of the caller's scope. */
    ito_tensor *t;      /* [N] the times that were drawn */
    ito_tensor *losses; /* [N] the loss of the diffusion at each, without the weights of the law of
                           times and what an uncertainty makes of it */
} ito_train_result;

/**
 * Train on one batch.
 *
 * @param x_0   [N, ...] f32; images have pixels scaled to [-1, 1]. The whole batch, on every rank.
 * @param step  counts from 0.
 * @param lr    learning rate of this step.
 * @param out   written on success; a step that is not applied is a success too.
 * @return      ITO_OK, or an error of the network, of memory, of the arguments or of other ranks;
 *              ITO_ERR_SHAPE for fewer examples than slices.
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
