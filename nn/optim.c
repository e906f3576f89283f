/* Optimisers: Adam, AdamW and SGD over a model's flat memory. */
#include "nn/optim.h"
#include "nn/flat.h"
#include "nn/registry.h"
#include "tensor/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STATES = 2 };

typedef struct algorithm {
    const char *kind;
    const char *prefix[MAX_STATES]; /* of the state tensors' names; NULL: not needed */
    void (*update)(const ito_optimizer *o, const kernel_table *k, flat_piece piece, double lr);
} algorithm;

struct ito_optimizer {
    const algorithm *algorithm;
    module_flat *flat; /* the model's */
    int64_t steps;
    ito_tensor *state[MAX_STATES]; /* [flat->n] references, beside the parameters */
    ito_adam_options adam;
    ito_sgd_options sgd;
};

static void *piece_of(const ito_tensor *t, flat_piece piece)
{
    return t == NULL ? NULL : flat_at(t, piece.begin);
}

/* ---- the algorithms ----------------------------------------------------------------------------
 */

/* o->steps counts this step already; the corrections are taken in double. */
static void adam_piece(const ito_optimizer *o, const kernel_table *k, flat_piece piece, double lr,
                       double decay, double shrink)
{
    double correction1 = 1 - pow(o->adam.beta1, (double)o->steps);
    double correction2 = 1 - pow(o->adam.beta2, (double)o->steps);
    k->adam_step(piece_of(o->flat->data, piece), piece_of(o->flat->grad, piece),
                 piece_of(o->state[0], piece), piece_of(o->state[1], piece),
                 piece.end - piece.begin, o->adam.beta1, o->adam.beta2, o->adam.eps, decay, shrink,
                 lr / correction1, sqrt(correction2));
}

static void adam_update(const ito_optimizer *o, const kernel_table *k, flat_piece piece, double lr)
{
    adam_piece(o, k, piece, lr, o->adam.weight_decay, 1);
}

static void adamw_update(const ito_optimizer *o, const kernel_table *k, flat_piece piece, double lr)
{
    adam_piece(o, k, piece, lr, 0, 1 - lr * o->adam.weight_decay);
}

static void sgd_update(const ito_optimizer *o, const kernel_table *k, flat_piece piece, double lr)
{
    k->sgd_step(piece_of(o->flat->data, piece), piece_of(o->flat->grad, piece),
                piece_of(o->state[0], piece), piece.end - piece.begin, lr, o->sgd.momentum,
                o->sgd.weight_decay, o->sgd.nesterov);
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

/* Whether value is in [0, limit); else an error. */
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
    if (options.beta1 == 0.0)
        options.beta1 = 0.9;
    if (options.beta2 == 0.0)
        options.beta2 = 0.999;
    if (options.eps == 0.0)
        options.eps = 1e-8;
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

ito_status ito_optimizer_step(ito_optimizer *opt, double lr)
{
    if (opt == NULL)
        return ITO_ERR_ARGUMENT;
    const char *kind = opt->algorithm->kind;
    if (!in_range(kind, "learning rate", lr, (double)INFINITY))
        return ITO_ERR_RANGE;
    if (!flat_check(opt->flat, kind))
        return ITO_ERR_ARGUMENT;
    static profile_row row = PROFILE_ROW("optimiser");
    profile_frame frame;
    profile_begin(&frame);
    module_flat *f = opt->flat;
    flat_gather_gradients(f);
    opt->steps++;
    const kernel_table *k = kernels(f->dtype);
    int64_t pieces = flat_pieces(f, false);
#pragma omp parallel for num_threads(threads_for(4 * f->n)) schedule(static)
    for (int64_t i = 0; i < pieces; i++)
        opt->algorithm->update(opt, k, f->piece[i], lr);
    ito_touch(f->data);
    profile_end(&frame, &row);
    return ITO_OK;
}

int64_t ito_optimizer_steps(const ito_optimizer *opt)
{
    return opt == NULL ? 0 : opt->steps;
}

ito_status ito_optimizer_set_steps(ito_optimizer *opt, int64_t steps)
{
    if (opt == NULL)
        return ITO_ERR_ARGUMENT;
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
        if (!flat_list(f, list, prefix[s], opt->state[s])) {
            ito_named_tensors_free(list);
            list = NULL;
        }
    return list;
}
