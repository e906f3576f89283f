/* RMSprop, centered and with momentum. */
#include "nn/optim/optimizer.h"

static void rmsprop_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                         step_rates r)
{
    const ito_rmsprop_options *a = &o->options.rmsprop;
    k->rmsprop_step(s, r.lr, a->alpha, a->eps, a->momentum, r.weight_decay);
}

static const algorithm rmsprop = {
    .kind = "rmsprop",
    .prefix = {"square_avg.", "grad_avg.", "momentum_buffer."},
    .step = rmsprop_step,
};

ito_optimizer *ito_rmsprop_create_with(ito_module *model, ito_rmsprop_options options)
{
    if (!optimizer_in_range("rmsprop", "alpha", options.alpha, 1) ||
        !optimizer_in_range("rmsprop", "eps", options.eps, (double)INFINITY) ||
        !optimizer_in_range("rmsprop", "weight decay", options.weight_decay, (double)INFINITY) ||
        !optimizer_in_range("rmsprop", "momentum", options.momentum, 1))
        return NULL;
    unsigned states = 1u | (options.centered ? 2u : 0u) | (options.momentum > 0 ? 4u : 0u);
    return optimizer_create(model, &rmsprop, states, &options, sizeof options,
                            options.weight_decay);
}

static ito_optimizer *create(ito_module *model)
{
    return ito_rmsprop_create_with(model, ITO_OPTIONS(ito_rmsprop_options));
}

const ito_optimizer_algorithm ito_optimizer_rmsprop = {
    .name = "rmsprop",
    .help = "the gradient over its root mean square",
    .source = "Hinton 2012, lecture 6",
    .lr = 1e-2,
    .create = create,
};
