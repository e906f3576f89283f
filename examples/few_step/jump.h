/* Steps of a batch whose examples have times of their own: t, r, s [N] f64, whole numbers of a
 * process in steps, from t_clean (the clean data) to t_max. Nothing is drawn at random. */
#ifndef ITO_EXAMPLES_FEW_STEP_JUMP_H
#define ITO_EXAMPLES_FEW_STEP_JUMP_H

#include <ito/ito.h>

/* signal(t) x_0 + noise(t) eps, [N, ...]: x_0 itself at t_clean. */
ito_tensor *jump_noised(const ito_process *p, ito_tensor *x_0, ito_tensor *eps, ito_tensor *t);

/* One step of ddim from x_t at t to r, as the sampler takes it: x_0-hat is clipped to [-1, 1], eps
 * is the network's. Where t is t_clean, x_t itself. Records no gradients. */
ito_tensor *jump_ddim(const ito_diffusion *d, ito_network *network, ito_tensor *x_t, ito_tensor *t,
                      ito_tensor *r);

/* The x_0-hat with which a step of ddim leads from x_t at t to x_s at s:
 *     (x_s - noise_s / noise_t x_t) / (signal_s - noise_s / noise_t signal_t)
 * Source: Salimans, Ho 2022, arXiv:2202.00512, algorithm 2. */
ito_tensor *jump_x_0(const ito_process *p, ito_tensor *x_t, ito_tensor *t, ito_tensor *x_s,
                     ito_tensor *s);

/* f(level) at the time of each example: [N, 1, ...] with as many axes as like, and its dtype. */
typedef double jump_number(ito_level level);
ito_tensor *jump_numbers(const ito_process *p, ito_tensor *t, const ito_tensor *like,
                         jump_number *f);

#endif
