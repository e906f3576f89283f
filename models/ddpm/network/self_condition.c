/* Self-conditioning around a network.
 * Invariant: an example's estimate depends on that example alone; no estimate has history. */
#include "models/ddpm/network/self_condition.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "tensor/internal.h"

#include <stdlib.h>

static void forget(ito_self_condition *s)
{
    ito_release(s->last);
    s->last = NULL;
}

/* The clean data that an output implies, without history. */
static ito_tensor *estimate(const ito_self_condition *s, const ito_network_input *in,
                            ito_tensor *output)
{
    network_heads heads;
    const ito_diffusion *d = s->diffusion;
    if (!part_heads("self_condition", d, output, in->x_t, &heads))
        return NULL;
    ito_tensor *x_0 = weighted_sum(d->process, x_0_coefficients, d->prediction, in->x_t,
                                   ito_detach(heads.prediction), in->time);
    return ito_clamp(ito_detach(x_0), -1.0, 1.0);
}

/* For half of the batches, the network's own estimate, made without one. */
static ito_tensor *training_estimate(ito_self_condition *s, const ito_network_input *in)
{
    ito_network_input without = *in;
    without.x_0 = ito_zeros_like(in->x);
    if (without.x_0 == NULL || ito_uniform(s->generator) < 0.5)
        return without.x_0;
    ito_no_grad_begin();
    ito_tensor *x_0 = estimate(s, in, ito_network_evaluate(s->network, &without));
    ito_no_grad_end();
    return x_0;
}

static ito_tensor *last_estimate(const ito_self_condition *s, const ito_network_input *in,
                                 double time)
{
    bool goes_on = s->last != NULL && time <= s->last_time && s->last->dtype == in->x->dtype &&
                   shape_equal(ito_shape_of(s->last), ito_shape_of(in->x));
    return goes_on ? s->last : ito_zeros_like(in->x);
}

static ito_tensor *evaluate(ito_network *self, const ito_network_input *in)
{
    ito_self_condition *s = (ito_self_condition *)self;
    ito_network_input given = *in;
    double time = in->x->shape[0] > 0 ? vector_at(in->time, 0) : 0.0;
    given.x_0 = s->generator != NULL ? training_estimate(s, in) : last_estimate(s, in, time);
    if (given.x_0 == NULL)
        return NULL;
    ito_tensor *output = ito_network_evaluate(s->network, &given);
    if (s->generator != NULL || output == NULL)
        return output;
    ito_tensor *next = estimate(s, in, output);
    if (next == NULL)
        return NULL;
    forget(s);
    s->last = ito_retain(next);
    s->last_time = time;
    return output;
}

static void begin(ito_network *self)
{
    ito_self_condition *s = (ito_self_condition *)self;
    forget(s);
    ito_network_begin(s->network);
}

static void destroy(ito_network *self)
{
    forget((ito_self_condition *)self);
    free(self);
}

ito_self_condition *ito_self_condition_create(const ito_diffusion *d, ito_network *network)
{
    if (d == NULL || network == NULL)
        return error_null(ITO_ERR_ARGUMENT, "self_condition: the %s is NULL",
                          d == NULL ? "diffusion" : "network");
    ito_self_condition *s = struct_alloc(sizeof *s);
    if (s != NULL)
        *s = (ito_self_condition){.base = {.evaluate = evaluate, .begin = begin, .free = destroy},
                                  .diffusion = d,
                                  .network = network};
    return s;
}
