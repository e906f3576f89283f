/* Schedule-Free AdamW and SGD. The model holds y; z is state[0]; x = y + (1 - 1 / beta1) (z - y).
 */
#include "nn/optim/optimizer.h"

#include <math.h>
#include <string.h>

/* The numbers that grow with the steps, which checkpoints have. */
static double *own_number(const ito_optimizer *o, int which)
{
    return tensor_data(o->own->tensors[which]);
}

/* At the first step z = y. The weight of z in the mean of x, over that of all so far, goes to
 * now[0]. */
static void begin(ito_optimizer *o, double lr)
{
    const ito_schedule_free_adamw_options *a = &o->options.schedule_free;
    const module_flat *f = o->flat;
    double *lr_max = own_number(o, 0), *weight_sum = own_number(o, 1);
    if (o->steps == 1) {
        memcpy(tensor_data(o->state[0]), tensor_data(f->data),
               (size_t)f->n * ito_dtype_size(f->dtype));
        *lr_max = *weight_sum = 0;
    }
    *lr_max = fmax(lr, *lr_max);
    double weight = pow((double)o->steps, a->r) * pow(*lr_max, a->weight_lr_power);
    *weight_sum += weight;
    o->now[0] = *weight_sum > 0 ? weight / *weight_sum : 0;
}

static double evaluation_weight(const ito_optimizer *o)
{
    return 1 - 1 / o->options.schedule_free.beta1;
}

static void schedule_free_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                               step_rates r)
{
    const ito_schedule_free_adamw_options *a = &o->options.schedule_free;
    double c = o->now[0], correction2 = 1 - pow(a->beta2, (double)o->steps);
    k->schedule_free_step(s, r.lr, a->beta2, a->eps, sqrt(correction2), r.weight_decay, c,
                          r.lr * (a->beta1 * (1 - c) - 1), evaluation_weight(o));
}

static ito_optimizer *create(ito_module *model, const algorithm *kind, unsigned states,
                             ito_schedule_free_adamw_options options)
{
    if (!optimizer_in_range(kind->kind, "weight decay", options.weight_decay, (double)INFINITY) ||
        !optimizer_in_range(kind->kind, "r", options.r, (double)INFINITY) ||
        !optimizer_in_range(kind->kind, "weight_lr_power", options.weight_lr_power,
                            (double)INFINITY))
        return NULL;
    ito_optimizer *o =
        optimizer_create(model, kind, states, &options, sizeof options, options.weight_decay);
    if (o != NULL && (!optimizer_reserve(o, 2, sizeof "lr_max" + sizeof "weight_sum", 0) ||
                      !optimizer_own(o, "", "lr_max", ITO_SHAPE(1), ITO_F64) ||
                      !optimizer_own(o, "", "weight_sum", ITO_SHAPE(1), ITO_F64))) {
        ito_optimizer_free(o);
        o = NULL;
    }
    return o;
}

/* Whether value is in (0, 1): x is y + (1 - 1 / value) (z - y). */
static bool is_between(const char *op, const char *what, double value)
{
    if (value > 0 && value < 1)
        return true;
    return error_false(ITO_ERR_RANGE, "%s: %s %g is not in (0, 1)", op, what, value);
}

/* ---- adamw ---- */

static const algorithm schedule_free_adamw = {
    .kind = "schedule_free_adamw",
    .prefix = {"z.", "exp_avg_sq."},
    .step = schedule_free_step,
    .begin = begin,
    .evaluation_weight = evaluation_weight,
};

ito_optimizer *ito_schedule_free_adamw_create_with(ito_module *model,
                                                   ito_schedule_free_adamw_options options)
{
    const char *op = schedule_free_adamw.kind;
    if (!is_between(op, "beta1", options.beta1) ||
        !optimizer_in_range(op, "beta2", options.beta2, 1) ||
        !optimizer_in_range(op, "eps", options.eps, (double)INFINITY))
        return NULL;
    return create(model, &schedule_free_adamw, 3, options);
}

static ito_optimizer *create_adamw(ito_module *model)
{
    return ito_schedule_free_adamw_create_with(model, ITO_OPTIONS(ito_schedule_free_adamw_options));
}

const ito_optimizer_algorithm ito_optimizer_schedule_free_adamw = {
    .name = "schedule_free_adamw",
    .help = "AdamW at a constant rate, with a mean of its path in place of a schedule",
    .source = "Defazio et al. 2024, arXiv:2405.15682",
    .lr = 2.5e-3,
    .create = create_adamw,
};

/* ---- sgd ---- */

static const algorithm schedule_free_sgd = {
    .kind = "schedule_free_sgd",
    .prefix = {"z."},
    .step = schedule_free_step,
    .begin = begin,
    .evaluation_weight = evaluation_weight,
};

ito_optimizer *ito_schedule_free_sgd_create_with(ito_module *model,
                                                 ito_schedule_free_sgd_options options)
{
    if (!is_between(schedule_free_sgd.kind, "momentum", options.momentum))
        return NULL;
    return create(model, &schedule_free_sgd, 1,
                  ITO_OPTIONS(ito_schedule_free_adamw_options, .beta1 = options.momentum,
                              .weight_decay = options.weight_decay, .r = options.r,
                              .weight_lr_power = options.weight_lr_power));
}

static ito_optimizer *create_sgd(ito_module *model)
{
    return ito_schedule_free_sgd_create_with(model, ITO_OPTIONS(ito_schedule_free_sgd_options));
}

const ito_optimizer_algorithm ito_optimizer_schedule_free_sgd = {
    .name = "schedule_free_sgd",
    .help = "gradient descent at a constant rate, with a mean of its path in place of a schedule",
    .source = "Defazio et al. 2024, arXiv:2405.15682",
    .lr = 1.0,
    .create = create_sgd,
};
