/* Encoding by DDIM, its steps taken upwards, and the round trip. */
#include "models/ddpm/edit/edit.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/random.h"
#include "models/ddpm/sampler/run.h"
#include "tensor/internal.h"

/* From `from` up to time t, where the network is evaluated. */
static ito_tensor *step_up(ito_sampler_state *s, ito_tensor *x, ito_level from, double t)
{
    network_heads heads;
    ito_step step = ito_step_between(s->d->process, t, s->d->process->t_clean);
    ito_preconditioning q = ito_prediction_to_eps(s->d->prediction, &step);
    if (!evaluate_at("encode", s->d, s->run->network, x, &step, &heads))
        return NULL;
    ito_tensor *eps = ito_axpby(q.c_skip, x, q.c_out, heads.prediction);
    ito_tensor *x_0 =
        limit_x_0(&s->o, ito_axpby(1.0 / from.signal, x, -from.noise / from.signal, eps));
    if (s->o.rederive_eps && from.noise > 0.0)
        eps = ito_axpby(1.0 / from.noise, x, -from.signal / from.noise, x_0);
    return ito_axpby(step.at.signal, x_0, step.at.noise, eps);
}

static ito_tensor *run_up(sampler_run *run, ito_tensor *x)
{
    ito_sampler_state *s = &run->state;
    bool go_on = true;
    ito_retain(x);
    for (int64_t i = s->n - 1; x != NULL && go_on && i >= 0; i--) {
        ito_scope_begin();
        ito_tensor *next =
            step_up(s, x, ito_process_level(s->d->process, run->times[i + 1]), run->times[i]);
        ito_retain(next);
        go_on = next == NULL || s->o.progress == NULL ||
                s->o.progress(s->n - i, s->n, next, s->o.progress_context);
        ito_release(x);
        x = next;
        ito_scope_end();
    }
    if (x != NULL && go_on)
        return tensor_adopt(x);
    ito_release(x);
    return NULL;
}

ito_tensor *ito_diffusion_encode_with(const ito_diffusion *d, ito_network *network, ito_tensor *x_0,
                                      ito_sample_options options)
{
    sampler_run run;
    if (x_0 == NULL)
        return NULL;
    options.dtype = x_0->dtype;
    options.sampler = &ito_sampler_ddim;
    if (sampler_run_begin(&run, d, network, ito_shape_of(x_0), options) != ITO_OK)
        return NULL;
    ito_no_grad_begin();
    ito_tensor *x = run_up(&run, x_0);
    ito_no_grad_end();
    sampler_run_end(&run);
    return x;
}

ito_status ito_diffusion_round_trip_with(const ito_diffusion *d, ito_network *network,
                                         ito_tensor *x_0, ito_sample_options options,
                                         ito_round_trip *out)
{
    if (options.sampler == NULL)
        options.sampler = &ito_sampler_ddim;
    ito_tensor *noise = ito_diffusion_encode_with(d, network, x_0, options);
    ito_tensor *image = ito_diffusion_sample_from_with(d, network, noise, options);
    ito_tensor *error =
        image == NULL ? NULL : ito_sqrt(example_mean(ito_square(ito_sub(image, ito_detach(x_0)))));
    if (error == NULL)
        return ito_error_code() == ITO_OK ? ITO_ERR_ARGUMENT : ito_error_code();
    *out = (ito_round_trip){noise, image, error};
    return ITO_OK;
}
