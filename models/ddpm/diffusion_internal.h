/* Internal: functions of a diffusion that the loss, the bound, the samplers and the coder share. */
#ifndef ITO_DDPM_DIFFUSION_INTERNAL_H
#define ITO_DDPM_DIFFUSION_INTERNAL_H

#include "models/ddpm/diffusion.h"

/* Replace choices that are NULL by the defaults. */
void fill_choices(ito_diffusion_options *o);

/* Element i of a vector of i64, f32 or f64. */
double vector_at(const ito_tensor *v, int64_t i);

/* Whether t [n] are n times of p. */
bool times_fit(const char *op, const ito_process *p, const ito_tensor *t, int64_t n);
/* Whether x_0, eps [N, ...] and t [N] fit each other and p. */
bool batch_fits(const char *op, const ito_process *p, const ito_tensor *x_0, const ito_tensor *eps,
                const ito_tensor *t);

/* The step from time t[i] to the step before it, or to the clean data. */
ito_step step_of_example(const ito_process *p, const ito_tensor *t, int64_t i);

/* A number that depends on an example's step. */
typedef double number_of_step(const ito_diffusion *d, const ito_step *step);
/* That number for each example: [N, 1, ...] with as many axes as like, and its dtype. */
ito_tensor *number_per_example(const ito_diffusion *d, number_of_step *number,
                               const ito_tensor *like, const ito_tensor *t);

/* Coefficients of two tensors. */
typedef struct coefficients {
    double x, y;
} coefficients;
typedef coefficients coefficients_of_step(const ito_prediction *prediction, const ito_step *step);
/* The sum of x and y with the coefficients of each example's step; x or y itself where the sum
 * equals it. */
ito_tensor *weighted_sum(const ito_process *p, coefficients_of_step *of,
                         const ito_prediction *prediction, ito_tensor *x, ito_tensor *y,
                         const ito_tensor *t);

/* ito_diffusion_loss, and, unless `each` is NULL, the losses [N] that it is the mean of, without
 * gradients. The loss has the same bits in either case. */
ito_tensor *diffusion_loss(const ito_diffusion *d, ito_network *network, ito_tensor *x_0,
                           ito_tensor *t, ito_tensor *eps, ito_tensor **each);

/* The target as a sum of x_0 and eps; x_0 as a sum of x_t and the output. */
coefficients_of_step target_coefficients, x_0_coefficients;
/* The weight of the squared error of the output. */
number_of_step output_weight;

/* [N, ...], not initialised; channels-last if the data are images. */
ito_tensor *data_empty(ito_shape shape, ito_dtype dtype);
/* {N, 1, ...} with as many axes as x. */
ito_shape one_per_example(const ito_tensor *x);
/* The mean over all axes but the first. */
ito_tensor *example_mean(ito_tensor *x);

/* The network's output split into its heads: the prediction, and v or NULL. */
typedef struct network_heads {
    ito_tensor *prediction, *v;
} network_heads;

/* False with a sentence if it has not the shape that d needs of data x, or is NULL. */
bool part_heads(const char *op, const ito_diffusion *d, ito_tensor *output, const ito_tensor *x,
                network_heads *out);
/* The network's output for x_t, where each example has its own time. A trajectory begins. */
bool evaluate_noised(const char *op, const ito_diffusion *d, ito_network *network, ito_tensor *x_t,
                     ito_tensor *t, network_heads *out);
/* The same where all examples are at the start of one step. No trajectory begins. */
bool evaluate_at(const char *op, const ito_diffusion *d, ito_network *network, ito_tensor *x_t,
                 const ito_step *step, network_heads *out);

#endif
