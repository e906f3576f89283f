/* Internal: what the loss, the bound, the samplers and the coder share of a diffusion. */
#ifndef ITO_DDPM_DIFFUSION_INTERNAL_H
#define ITO_DDPM_DIFFUSION_INTERNAL_H

#include "models/ddpm/diffusion.h"

/* Element i of a vector of numbers of any of i64, f32 and f64. */
double vector_at(const ito_tensor *v, int64_t i);

/* Whether t [n] are n times of p. */
bool times_fit(const char *op, const ito_process *p, const ito_tensor *t, int64_t n);
/* Whether x_0, eps [N, ...] and t [N] fit each other and p. */
bool batch_fits(const char *op, const ito_process *p, const ito_tensor *x_0, const ito_tensor *eps,
                const ito_tensor *t);

/* Time t[i], and the step from there to the one before it, or to the clean data. */
ito_step step_of_example(const ito_process *p, const ito_tensor *t, int64_t i);

/* A number of each example's step. */
typedef double number_of_step(const ito_diffusion *d, const ito_step *step);
/* [N, 1, ...] of like's axes and dtype. */
ito_tensor *number_per_example(const ito_diffusion *d, number_of_step *number,
                               const ito_tensor *like, const ito_tensor *t);

/* Coefficients of two tensors. */
typedef struct coefficients {
    double x, y;
} coefficients;
typedef coefficients coefficients_of_step(const ito_prediction *prediction, const ito_step *step);
/* Their sum with the coefficients of each example's step; x or y itself if it is that. */
ito_tensor *weighted_sum(const ito_process *p, coefficients_of_step *of,
                         const ito_prediction *prediction, ito_tensor *x, ito_tensor *y,
                         const ito_tensor *t);

/* The right output, of x_0 and eps; x_0, of x_t and the output. */
coefficients_of_step target_coefficients, x_0_coefficients;
/* What the squared error of the output counts. */
number_of_step output_weight;

/* [N, ...] without values, channels-last where these are images. */
ito_tensor *data_empty(ito_shape shape, ito_dtype dtype);
/* {N, 1, ...} of as many axes as x. */
ito_shape one_per_example(const ito_tensor *x);
/* The mean over all axes but the first. */
ito_tensor *example_mean(ito_tensor *x);

/* The network's output, parted: what predicts, and v or NULL. */
typedef struct network_heads {
    ito_tensor *prediction, *v;
} network_heads;

/* False with a sentence if it has not the shape that d needs of data x, or is NULL. */
bool part_heads(const char *op, const ito_diffusion *d, ito_tensor *output, const ito_tensor *x,
                network_heads *out);
/* What the network makes of x_t, where each example has a time of its own; a trajectory begins. */
bool evaluate_noised(const char *op, const ito_diffusion *d, ito_network *network, ito_tensor *x_t,
                     ito_tensor *t, network_heads *out);
/* The same where all are at the beginning of one step. No trajectory begins. */
bool evaluate_at(const char *op, const ito_diffusion *d, ito_network *network, ito_tensor *x_t,
                 const ito_step *step, network_heads *out);

#endif
