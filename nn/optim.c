/* Optimisers: Adam, AdamW and SGD over a model's flat memory. */
#include "nn/optim.h"
#include "nn/clip.h"
#include "nn/ema_pass.h"
#include "nn/registry.h"
#include "tensor/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STATES = 2 };

typedef struct algorithm {
    const char *kind;
    const char *prefix[MAX_STATES]; /* of the state tensors' names; NULL: not needed */
    void (*update)(const ito_optimizer *o, const kernel_table *k, const step_arrays *s, double lr);
} algorithm;

struct ito_optimizer {
    const algorithm *algorithm;
    module_flat *flat; /* the model's */
    int64_t steps;
    ito_tensor *state[MAX_STATES]; /* [flat->n] references, beside the parameters */
    ito_adam_options adam;
    ito_sgd_options sgd;
};

/* ---- the algorithms ----------------------------------------------------------------------------
 */

/* o->steps counts this step already; the corrections are taken in double. */
static void adam_arrays(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                        double lr, double decay, double shrink)
{
    double correction1 = 1 - pow(o->adam.beta1, (double)o->steps);
    double correction2 = 1 - pow(o->adam.beta2, (double)o->steps);
    k->adam_step(s, o->adam.beta1, o->adam.beta2, o->adam.eps, decay, shrink, lr / correction1,
                 sqrt(correction2));
}

static void adam_update(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                        double lr)
{
    adam_arrays(o, k, s, lr, o->adam.weight_decay, 1);
}

static void adamw_update(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                         double lr)
{
    adam_arrays(o, k, s, lr, 0, 1 - lr * o->adam.weight_decay);
}

static void sgd_update(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                       double lr)
{
    k->sgd_step(s, lr, o->sgd.momentum, o->sgd.weight_decay, o->sgd.nesterov);
}

static const algorithm adam = {"adam", {"exp_avg.", "exp_avg_sq."}, adam_update};
static const algorithm adamw = {"adamw", {"exp_avg.", "exp_avg_sq."}, adamw_update};
static const algorithm sgd = {"sgd", {NULL, NULL}, sgd_update};
static const algorithm sgd_momentum = {"sgd", {"momentum_buffer.", NULL}, sgd_update};

/* ---- creation ----------------------------------------------------------------------------------
 */

static ito_optimizer *create(ito_module *model, const algorithm *a)
{
    module_flat *flat = flat_of(model);
    ito_optimizer *o = flat == NULL ? NULL : struct_alloc(sizeof *o);
    if (o == NULL)
        return NULL;
    o->algorithm = a;
    o->flat = flat;
    for (int i = 0; i < MAX_STATES; i++)
        if (a->prefix[i] != NULL) {
            o->state[i] = flat_zeros(flat);
            if (o->state[i] == NULL)
                goto fail;
        }
    return o;
fail:
    ito_optimizer_free(o);
    return NULL;
}

void ito_optimizer_free(ito_optimizer *opt)
{
    if (opt == NULL)
        return;
    for (int i = 0; i < MAX_STATES; i++)
        ito_release(opt->state[i]);
    free(opt);
}

/* Whether value is in [0, limit); if not, an error says so. */
static bool in_range(const char *op, const char *what, double value, double limit)
{
    if (value >= 0 && value < limit)
        return true;
    if (isinf(limit))
        ito_error_set(ITO_ERR_RANGE, "%s: %s %g is negative or not finite", op, what, value);
    else
        ito_error_set(ITO_ERR_RANGE, "%s: %s %g is not in [0, %g)", op, what, value, limit);
    return false;
}

static ito_optimizer *create_adam(ito_module *model, const algorithm *a, ito_adam_options options)
{
    if (!in_range(a->kind, "beta1", options.beta1, 1) ||
        !in_range(a->kind, "beta2", options.beta2, 1) ||
        !in_range(a->kind, "eps", options.eps, (double)INFINITY) ||
        !in_range(a->kind, "weight decay", options.weight_decay, (double)INFINITY))
        return NULL;
    ito_optimizer *o = create(model, a);
    if (o != NULL)
        o->adam = options;
    return o;
}

ito_optimizer *ito_adam_create_with(ito_module *model, ito_adam_options options)
{
    return create_adam(model, &adam, options);
}

ito_optimizer *ito_adamw_create_with(ito_module *model, ito_adam_options options)
{
    return create_adam(model, &adamw, options);
}

ito_optimizer *ito_sgd_create_with(ito_module *model, ito_sgd_options options)
{
    if (!in_range("sgd", "momentum", options.momentum, 1) ||
        !in_range("sgd", "weight decay", options.weight_decay, (double)INFINITY))
        return NULL;
    if (options.nesterov && options.momentum == 0.0)
        return error_null(ITO_ERR_ARGUMENT, "sgd: nesterov needs momentum");
    ito_optimizer *o = create(model, options.momentum > 0 ? &sgd_momentum : &sgd);
    if (o != NULL)
        o->sgd = options;
    return o;
}

/* ---- use ---------------------------------------------------------------------------------------
 */

/* Whether a step can be taken. */
static ito_status check_step(const ito_optimizer *o, double lr, const ito_step_options *options)
{
    const char *kind = o->algorithm->kind;
    if (!in_range(kind, "learning rate", lr, (double)INFINITY))
        return ITO_ERR_RANGE;
    if (!(options->max_norm >= 0))
        return ito_error_set(ITO_ERR_RANGE, "%s: max_norm %g is negative or not a number", kind,
                             options->max_norm);
    if (options->ema != NULL && options->ema->flat != o->flat)
        return ito_error_set(ITO_ERR_ARGUMENT, "%s: the averages are those of another model", kind);
    if (!flat_check(o->flat, kind) || (options->ema != NULL && !ema_ready(options->ema)))
        return ITO_ERR_ARGUMENT;
    return ITO_OK;
}

static void *block_at(const ito_tensor *block, int64_t i)
{
    return block == NULL ? NULL : flat_at(block, i);
}

/* A frozen piece is only averaged. */
static void step_piece(const ito_optimizer *o, const flat_piece *piece, double lr, double scale,
                       const ito_tensor *average, double weight)
{
    const module_flat *f = o->flat;
    const kernel_table *k = kernels(f->dtype);
    int64_t at = piece->begin;
    step_arrays s = {
        .p = flat_at(f->data, at),
        .g = flat_at(f->grad, at),
        .state = {block_at(o->state[0], at), block_at(o->state[1], at)},
        .average = block_at(average, at),
        .n = piece->end - at,
        .scale = scale,
        .weight = weight,
    };
    if (!piece->frozen)
        o->algorithm->update(o, k, &s, lr);
    else if (average != NULL)
        k->ema_step(s.average, s.p, s.n, weight);
}

/* One pass over everything. */
static void step_all(const ito_optimizer *o, double lr, double scale, const ito_ema *ema,
                     int64_t pieces)
{
    const module_flat *f = o->flat;
    const ito_tensor *average = ema == NULL ? NULL : ema->average;
    double weight = 1 - ito_ema_decay(ema);
    PARALLEL_FOR(i, pieces, 4 * f->n, step_piece(o, &f->piece[i], lr, scale, average, weight));
}

/* The step itself. It fails, and changes nothing, if the norm is needed and not finite. */
static ito_status step(ito_optimizer *o, double lr, const ito_step_options *options)
{
    module_flat *f = o->flat;
    flat_gather_gradients(f);
    int64_t pieces = flat_pieces(f);
    double scale = 1;
    bool clips = options->max_norm < (double)INFINITY;
    if (clips || options->grad_norm != NULL) {
        double norm = clip_norm(f, pieces);
        if (options->grad_norm != NULL)
            *options->grad_norm = norm;
        if (!isfinite(norm))
            return ito_error_set(ITO_ERR_NUMERIC, "%s: the norm of the gradients is %s",
                                 o->algorithm->kind, isnan(norm) ? "nan" : "inf");
        if (clips)
            scale = clip_factor(norm, options->max_norm);
    }
    o->steps++;
    step_all(o, lr, scale, options->ema, pieces);
    ito_touch(f->data);
    if (options->ema != NULL)
        ema_advance(options->ema);
    return ITO_OK;
}

ito_status ito_optimizer_step_with(ito_optimizer *opt, double lr, ito_step_options options)
{
    if (opt == NULL)
        return error_missing("optimizer_step", "the optimiser");
    ito_status status = check_step(opt, lr, &options);
    if (status != ITO_OK)
        return status;
    static profile_row row = PROFILE_ROW("optimiser");
    profile_frame frame;
    profile_begin(&frame);
    status = step(opt, lr, &options);
    profile_end(&frame, &row);
    return status;
}

int64_t ito_optimizer_steps(const ito_optimizer *opt)
{
    return opt == NULL ? 0 : opt->steps;
}

ito_status ito_optimizer_set_steps(ito_optimizer *opt, int64_t steps)
{
    if (opt == NULL)
        return error_missing("optimizer_set_steps", "the optimiser");
    if (steps < 0)
        return ito_error_set(ITO_ERR_RANGE, "%s: %" PRId64 " steps", opt->algorithm->kind, steps);
    opt->steps = steps;
    return ITO_OK;
}

const char *ito_optimizer_kind(const ito_optimizer *opt)
{
    return opt == NULL ? "" : opt->algorithm->kind;
}

ito_named_tensors *ito_optimizer_state(const ito_optimizer *opt)
{
    if (opt == NULL)
        return NULL;
    const char *const *prefix = opt->algorithm->prefix;
    const module_flat *f = opt->flat;
    size_t bytes = MAX_STATES * named_tensors_bytes(f->list);
    for (int s = 0; s < MAX_STATES && prefix[s] != NULL; s++)
        bytes += (size_t)f->list->n * strlen(prefix[s]);
    ito_named_tensors *list = named_tensors_create(MAX_STATES * f->list->n, bytes);
    for (int s = 0; s < MAX_STATES && prefix[s] != NULL && list != NULL; s++)
        if (!flat_append_views(f, list, prefix[s], opt->state[s])) {
            ito_named_tensors_free(list);
            list = NULL;
        }
    return list;
}
