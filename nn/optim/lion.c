/* Lion: the sign of a momentum. */
#include "nn/optim/optimizer.h"

static void lion_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                      step_rates r)
{
    const ito_lion_options *a = &o->options.lion;
    k->lion_step(s, r.lr, a->beta1, a->beta2, 1 - r.lr * r.weight_decay);
}

static const algorithm lion = {
    .kind = "lion",
    .prefix = {"exp_avg."},
    .step = lion_step,
};

ito_optimizer *ito_lion_create_with(ito_module *model, ito_lion_options options)
{
    if (!optimizer_in_range("lion", "beta1", options.beta1, 1) ||
        !optimizer_in_range("lion", "beta2", options.beta2, 1) ||
        !optimizer_in_range("lion", "weight decay", options.weight_decay, (double)INFINITY))
        return NULL;
    return optimizer_create(model, &lion, 1, &options, sizeof options, options.weight_decay);
}

static ito_optimizer *create(ito_module *model)
{
    return ito_lion_create_with(model, ITO_OPTIONS(ito_lion_options));
}

const ito_optimizer_algorithm ito_optimizer_lion = {
    .name = "lion",
    .help = "the sign of a momentum: every number moves by the learning rate",
    .source = "Chen et al. 2023, arXiv:2302.06675",
    .lr = 1e-4,
    .create = create,
};
