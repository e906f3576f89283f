/* Muon: a momentum brought near the closest matrix with orthonormal rows; AdamW for the rest. */
#include "autograd/ops.h"
#include "nn/optim/optimizer.h"
#include "tensor/scope.h"

#include <math.h>

/* state[0]: the momentum, exp_avg of others; state[1]: scratch for a matrix's direction,
 * exp_avg_sq of others. */

static bool is_matrix(const ito_optimizer *o, const ito_tensor *p)
{
    (void)o;
    return p->ndim >= 2;
}

/* x [m, n], m <= n: singular values near 1. */
static ito_tensor *newton_schulz(const ito_muon_options *a, ito_tensor *x)
{
    for (int64_t k = 0; k < a->ns_steps; k++) {
        ito_tensor *gram = ito_matmul(x, ito_transpose(x, 0, 1));
        ito_tensor *update =
            ito_add(ito_mul_scalar(gram, a->ns_b), ito_mul_scalar(ito_matmul(gram, gram), a->ns_c));
        x = ito_add(ito_mul_scalar(x, a->ns_a), ito_matmul(update, x));
    }
    return x;
}

static double adjusted(ito_muon_adjust how, double rows, double columns)
{
    switch (how) {
    case ITO_MUON_MATCH_RMS_ADAMW:
        return 0.2 * sqrt(fmax(rows, columns));
    case ITO_MUON_SPECTRAL_UNCLAMPED:
        return sqrt(rows / columns);
    case ITO_MUON_ORIGINAL:
    default:
        return sqrt(fmax(1, rows / columns));
    }
}

/* The direction of matrix i, in place of its momentum in state[1]. */
static bool orthogonalise(const ito_optimizer *o, int64_t i)
{
    const ito_muon_options *a = &o->options.muon;
    ito_tensor *to = optimizer_view(o, i, o->state[1]), *x = to;
    if (to == NULL)
        return false;
    int64_t n = ito_numel(to), rows = to->shape[0], columns = n / rows;
    double norm = sqrt(kernels(o->flat->dtype)->square_sum(tensor_data(to), n));
    x = ito_mul_scalar(ito_reshape(x, rows, columns), 1 / fmax(norm, a->eps));
    x = newton_schulz(a, rows > columns ? ito_transpose(x, 0, 1) : x);
    x = rows > columns ? ito_transpose(x, 0, 1) : x;
    x = ito_mul_scalar(x, adjusted(a->adjust_lr_fn, (double)rows, (double)columns));
    x = ito_reshape_to(x, ito_shape_of(to));
    if (x != NULL)
        tensor_copy(to, x);
    return x != NULL;
}

static void momentum_piece(const ito_optimizer *o, const flat_piece *piece, double scale)
{
    const ito_muon_options *a = &o->options.muon;
    if (piece->frozen || !o->setting[piece->run].matrix)
        return;
    kernels(o->flat->dtype)
        ->muon_momentum(flat_at(o->state[1], piece->begin), flat_at(o->state[0], piece->begin),
                        flat_at(o->flat->grad, piece->begin), piece->end - piece->begin, scale,
                        a->momentum, a->nesterov);
}

static bool prepare(ito_optimizer *o, double lr, double scale)
{
    (void)lr;
    module_flat *f = o->flat;
    int64_t pieces = flat_pieces(f, o->run);
    PARALLEL_FOR(i, pieces, 3 * f->n, momentum_piece(o, &f->piece[i], scale));
    bool done = true;
    for (int64_t i = 0; i < f->list->n && done; i++)
        if (o->setting[i].matrix && optimizer_trains(o, i)) {
            ito_scope_begin();
            done = orthogonalise(o, i);
            ito_scope_end();
        }
    return done;
}

static void muon_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                      step_rates r)
{
    k->muon_step(s, o->options.muon.momentum, 1 - r.lr * r.weight_decay, r.lr);
}

static void others_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                        step_rates r)
{
    const ito_muon_options *a = &o->options.muon;
    adam_arrays(o, k, s, (adam_settings){a->adamw_beta1, a->adamw_beta2, a->adamw_eps},
                r.lr * a->adamw_lr, 0, r.weight_decay);
}

static const algorithm muon = {
    .kind = "muon",
    .prefix = {"exp_avg.", "exp_avg_sq."},
    .matrix_prefix = {"momentum_buffer."},
    .step = others_step,
    .matrix_step = muon_step,
    .is_matrix = is_matrix,
    .prepare = prepare,
};

static bool in_range(const ito_muon_options *a)
{
    const double limit = (double)INFINITY;
    if (a->ns_steps < 0 || a->ns_steps >= 100)
        return error_false(ITO_ERR_RANGE, "muon: ns_steps %" PRId64 " is not in [0, 100)",
                           a->ns_steps);
    if (!isfinite(a->ns_a) || !isfinite(a->ns_b) || !isfinite(a->ns_c))
        return error_false(ITO_ERR_RANGE, "muon: the coefficients %g, %g, %g are not finite",
                           a->ns_a, a->ns_b, a->ns_c);
    if (!(a->eps > 0 && a->eps < limit))
        return error_false(ITO_ERR_RANGE, "muon: eps %g is not above 0 and finite", a->eps);
    if (a->adjust_lr_fn < ITO_MUON_ORIGINAL || a->adjust_lr_fn > ITO_MUON_SPECTRAL_UNCLAMPED)
        return error_false(ITO_ERR_RANGE, "muon: there is no adjust_lr_fn %d",
                           (int)a->adjust_lr_fn);
    return optimizer_in_range("muon", "momentum", a->momentum, 1) &&
           optimizer_in_range("muon", "weight decay", a->weight_decay, limit) &&
           optimizer_in_range("muon", "adamw_lr", a->adamw_lr, limit) &&
           optimizer_in_range("muon", "adamw_weight_decay", a->adamw_weight_decay, limit) &&
           adam_in_range("muon", (adam_settings){a->adamw_beta1, a->adamw_beta2, a->adamw_eps});
}

ito_optimizer *ito_muon_create_with(ito_module *model, ito_muon_options options)
{
    if (!in_range(&options))
        return NULL;
    ito_optimizer *o =
        optimizer_create(model, &muon, 3, &options, sizeof options, options.adamw_weight_decay);
    if (o != NULL)
        o->matrix_weight_decay = options.weight_decay;
    return o;
}

static ito_optimizer *create(ito_module *model)
{
    return ito_muon_create_with(model, ITO_OPTIONS(ito_muon_options));
}

const ito_optimizer_algorithm ito_optimizer_muon = {
    .name = "muon",
    .help = "momentum of matrices made orthogonal; AdamW for all other parameters",
    .source = "Jordan et al. 2024; Liu et al. 2025, arXiv:2502.16982",
    .lr = 1e-3,
    .create = create,
};
