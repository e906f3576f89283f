/* Adam and AdamW, with amsgrad. */
#include "nn/optim/optimizer.h"

#include <math.h>

/* o->steps counts this step already; the corrections are taken in double. */
void adam_arrays(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                 adam_settings a, double lr, double decay, double shrink)
{
    double correction1 = 1 - pow(a.beta1, (double)o->steps);
    double correction2 = 1 - pow(a.beta2, (double)o->steps);
    k->adam_step(s, a.beta1, a.beta2, a.eps, decay, 1 - lr * shrink, lr / correction1,
                 sqrt(correction2));
}

bool adam_in_range(const char *op, adam_settings a)
{
    return optimizer_in_range(op, "beta1", a.beta1, 1) &&
           optimizer_in_range(op, "beta2", a.beta2, 1) &&
           optimizer_in_range(op, "eps", a.eps, (double)INFINITY);
}

/* ---- adam ---- */

static void adam_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                      step_rates r)
{
    const ito_adam_options *a = &o->options.adam;
    adam_arrays(o, k, s, (adam_settings){a->beta1, a->beta2, a->eps}, r.lr, r.weight_decay, 0);
}

static const algorithm adam = {
    .kind = "adam",
    .prefix = {"exp_avg.", "exp_avg_sq.", "max_exp_avg_sq."},
    .step = adam_step,
};

ito_optimizer *ito_adam_create_with(ito_module *model, ito_adam_options options)
{
    if (!adam_in_range("adam", (adam_settings){options.beta1, options.beta2, options.eps}) ||
        !optimizer_in_range("adam", "weight decay", options.weight_decay, (double)INFINITY))
        return NULL;
    return optimizer_create(model, &adam, options.amsgrad ? 7 : 3, &options, sizeof options,
                            options.weight_decay);
}

static ito_optimizer *create_adam(ito_module *model)
{
    return ito_adam_create_with(model, ITO_OPTIONS(ito_adam_options));
}

const ito_optimizer_algorithm ito_optimizer_adam = {
    .name = "adam",
    .help = "means of the gradient and of its square decide each number's step",
    .source = "Kingma, Ba 2014, arXiv:1412.6980",
    .lr = 1e-3,
    .create = create_adam,
};

/* ---- adamw ---- */

static void adamw_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                       step_rates r)
{
    const ito_adamw_options *a = &o->options.adamw;
    adam_arrays(o, k, s, (adam_settings){a->beta1, a->beta2, a->eps}, r.lr, 0, r.weight_decay);
}

static const algorithm adamw = {
    .kind = "adamw",
    .prefix = {"exp_avg.", "exp_avg_sq.", "max_exp_avg_sq."},
    .step = adamw_step,
};

ito_optimizer *ito_adamw_create_with(ito_module *model, ito_adamw_options options)
{
    if (!adam_in_range("adamw", (adam_settings){options.beta1, options.beta2, options.eps}) ||
        !optimizer_in_range("adamw", "weight decay", options.weight_decay, (double)INFINITY))
        return NULL;
    return optimizer_create(model, &adamw, options.amsgrad ? 7 : 3, &options, sizeof options,
                            options.weight_decay);
}

static ito_optimizer *create_adamw(ito_module *model)
{
    return ito_adamw_create_with(model, ITO_OPTIONS(ito_adamw_options));
}

const ito_optimizer_algorithm ito_optimizer_adamw = {
    .name = "adamw",
    .help = "Adam whose weight decay does not go through the gradient",
    .source = "Loshchilov, Hutter 2017, arXiv:1711.05101",
    .lr = 1e-3,
    .create = create_adamw,
};
