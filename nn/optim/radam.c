/* Rectified Adam. */
#include "nn/optim/optimizer.h"

#include <math.h>

static void radam_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                       step_rates r)
{
    const ito_radam_options *a = &o->options.radam;
    double t = (double)o->steps, power = pow(a->beta2, t);
    double correction1 = 1 - pow(a->beta1, t), correction2 = 1 - power;
    double rho_inf = 2 / (1 - a->beta2) - 1, rho = rho_inf - 2 * t * power / correction2;
    double decay = a->decoupled_weight_decay ? 0 : r.weight_decay;
    double shrink = a->decoupled_weight_decay ? 1 - r.lr * r.weight_decay : 1;
    double step = r.lr / correction1;
    /* Without rectification the step is m itself: an infinite root and 1 as eps divide by 1. */
    double eps = 1, root = (double)INFINITY;
    if (rho > 5) {
        step *= sqrt(correction2) *
                sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho));
        eps = a->eps;
        root = 1;
    }
    k->adam_step(s, a->beta1, a->beta2, eps, decay, shrink, step, root);
}

static const algorithm radam = {
    .kind = "radam",
    .prefix = {"exp_avg.", "exp_avg_sq."},
    .step = radam_step,
};

ito_optimizer *ito_radam_create_with(ito_module *model, ito_radam_options options)
{
    if (!adam_in_range("radam", (adam_settings){options.beta1, options.beta2, options.eps}) ||
        !optimizer_in_range("radam", "weight decay", options.weight_decay, (double)INFINITY))
        return NULL;
    return optimizer_create(model, &radam, 3, &options, sizeof options, options.weight_decay);
}

static ito_optimizer *create(ito_module *model)
{
    return ito_radam_create_with(model, ITO_OPTIONS(ito_radam_options));
}

const ito_optimizer_algorithm ito_optimizer_radam = {
    .name = "radam",
    .help = "Adam that begins as momentum, until the mean of squares can be trusted",
    .source = "Liu et al. 2019, arXiv:1908.03265",
    .lr = 1e-3,
    .create = create,
};
