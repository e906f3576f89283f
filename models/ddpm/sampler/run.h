/* Internal: a sampling run, for sampling and editing. */
#ifndef ITO_DDPM_SAMPLER_RUN_H
#define ITO_DDPM_SAMPLER_RUN_H

#include "models/ddpm/diffusion_internal.h"
#include "models/ddpm/sampler/sampler.h"

/* What a run holds besides the sampler's state; made and freed by sampler_run_begin and _end. */
typedef struct sampler_run {
    ito_sampler_state state;
    ito_network *network;
    ito_generator *generators; /* one for each example */
    double *times;             /* [state.n + 1] visited; the last one is where the run ends */
    ito_tensor *mask, *given;  /* inpainting: the given data, where mask is 1; or NULL */
} sampler_run;

/* Check d, network and options for data of this shape, make the list of times and begin a
 * trajectory. A failed one is ended too. */
ito_status sampler_run_begin(sampler_run *run, const ito_diffusion *d, ito_network *network,
                             ito_shape shape, ito_sample_options options);
void sampler_run_end(sampler_run *run);
/* From x, which counts as data at the first time, along all times: the result, of the current
 * scope. NULL after an error, or if progress stopped it. */
ito_tensor *sampler_run_from(sampler_run *run, const ito_tensor *x);
/* x at `from` noised on to `to`, which is noisier; amount is the deviation of the noise. */
ito_tensor *noise_up(ito_sampler_state *s, ito_tensor *x, ito_level from, ito_level to,
                     double amount);
/* The order of a step i that can use n_past earlier estimates. */
int order_at(const ito_sampler_state *s, int n_past, int64_t i);
/* x_0-hat clipped, thresholded or unchanged. */
ito_tensor *limit_x_0(const ito_sample_options *o, ito_tensor *x_0);
/* The step with one slope eps throughout: x / signal moves by eps in sigma = noise / signal. */
ito_tensor *slope_step(ito_tensor *x, ito_level at, ito_level to, ito_tensor *eps);
/* Whether the signal, as a share of both, grows more than tenfold over the step: from next to none.
 * There a slope eps in sigma is no guide: sigma falls by thousands, and eps errs by what x_0-hat
 * changes. */
bool leaps(const ito_step *step);
/* Euler's step, from the estimate alone; valid to and from the ends of the process. */
ito_tensor *euler_step(const ito_sampler_state *s);
/* Heun's method; also the first step of plain PNDM. */
ito_tensor *heun_step(ito_sampler_state *s);
/* x + the integral over the step of the polynomial through n values of eps at these nodes, whose
 * power k has the integral moments[k]; the first node is this step's, the others are the past's. */
ito_tensor *polynomial_step(ito_sampler_state *s, const double *nodes, const double *moments,
                            int n);
/* Level j of the run's past; 0 is the step's own. */
ito_level past_level(const ito_sampler_state *s, int j);

#endif
