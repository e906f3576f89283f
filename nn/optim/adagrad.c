/* Adagrad. */
#include "nn/optim/optimizer.h"

static void adagrad_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                         step_rates r)
{
    const ito_adagrad_options *a = &o->options.adagrad;
    double lr = r.lr / (1 + (double)(o->steps - 1) * a->lr_decay);
    k->adagrad_step(s, lr, a->eps, r.weight_decay);
}

static const algorithm adagrad = {
    .kind = "adagrad",
    .prefix = {"sum."},
    .step = adagrad_step,
};

ito_optimizer *ito_adagrad_create_with(ito_module *model, ito_adagrad_options options)
{
    if (!optimizer_in_range("adagrad", "lr_decay", options.lr_decay, (double)INFINITY) ||
        !optimizer_in_range("adagrad", "weight decay", options.weight_decay, (double)INFINITY) ||
        !optimizer_in_range("adagrad", "initial_accumulator_value",
                            options.initial_accumulator_value, (double)INFINITY) ||
        !optimizer_in_range("adagrad", "eps", options.eps, (double)INFINITY))
        return NULL;
    ito_optimizer *o =
        optimizer_create(model, &adagrad, 1, &options, sizeof options, options.weight_decay);
    if (o != NULL)
        tensor_fill(o->state[0], options.initial_accumulator_value);
    return o;
}

static ito_optimizer *create(ito_module *model)
{
    return ito_adagrad_create_with(model, ITO_OPTIONS(ito_adagrad_options));
}

const ito_optimizer_algorithm ito_optimizer_adagrad = {
    .name = "adagrad",
    .help = "the gradient over the root of the sum of all its squares",
    .source = "Duchi, Hazan, Singer 2011",
    .lr = 1e-2,
    .create = create,
};
