/* Stochastic gradient descent, with momentum, dampening and Nesterov's form. */
#include "nn/optim/optimizer.h"

static void sgd_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                     step_rates r)
{
    const ito_sgd_options *a = &o->options.sgd;
    double add = o->steps == 1 ? 1 : 1 - a->dampening;
    k->sgd_step(s, r.lr, a->momentum, add, r.weight_decay, 1, a->nesterov);
}

static const algorithm sgd = {
    .kind = "sgd",
    .prefix = {"momentum_buffer."},
    .step = sgd_step,
};

ito_optimizer *ito_sgd_create_with(ito_module *model, ito_sgd_options options)
{
    if (!optimizer_in_range("sgd", "momentum", options.momentum, 1) ||
        !optimizer_in_range("sgd", "weight decay", options.weight_decay, (double)INFINITY))
        return NULL;
    if (!(options.dampening >= 0 && options.dampening <= 1))
        return error_null(ITO_ERR_RANGE, "sgd: dampening %g is not in [0, 1]", options.dampening);
    if (options.nesterov && options.momentum == 0.0)
        return error_null(ITO_ERR_ARGUMENT, "sgd: nesterov needs momentum");
    if (options.nesterov && options.dampening > 0.0)
        return error_null(ITO_ERR_ARGUMENT, "sgd: nesterov does not go with dampening");
    return optimizer_create(model, &sgd, options.momentum > 0 ? 1 : 0, &options, sizeof options,
                            options.weight_decay);
}

static ito_optimizer *create(ito_module *model)
{
    return ito_sgd_create_with(model, ITO_OPTIONS(ito_sgd_options));
}

const ito_optimizer_algorithm ito_optimizer_sgd = {
    .name = "sgd",
    .help = "gradient descent; with momentum, in Nesterov's form too",
    .source = "Robbins, Monro 1951; Sutskever et al. 2013",
    .lr = 1e-3,
    .create = create,
};
