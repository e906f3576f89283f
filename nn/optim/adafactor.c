/* Adafactor: second moments by rows and columns. Every parameter is a matrix here, those with one
 * axis too: the size of a step depends on the whole of it. */
#include "autograd/ops.h"
#include "nn/optim/optimizer.h"
#include "nn/registry.h"
#include "tensor/scope.h"

#include <float.h>
#include <math.h>

static bool is_matrix(const ito_optimizer *o, const ito_tensor *p)
{
    (void)o;
    (void)p;
    return true;
}

static bool is_factored(const ito_tensor *p)
{
    return p->ndim >= 2;
}

static double root_mean_square(const module_flat *f, int64_t i, const ito_tensor *block)
{
    int64_t n = ito_numel(f->list->tensors[i]);
    return sqrt(kernels(f->dtype)->square_sum(flat_at(block, f->offset[i]), n) / (double)n);
}

/* var + weight (mean - var), which var is to become; NULL on failure. */
static ito_tensor *moved(ito_optimizer *o, ito_tensor *var, ito_tensor *mean, double weight)
{
    ito_tensor *value = ito_lerp(var, mean, weight);
    return optimizer_later(o, var, value) ? value : NULL;
}

/* The estimate V of the squares of g. */
static ito_tensor *estimate(ito_optimizer *o, int64_t i, ito_tensor *g, double eps1, double weight)
{
    ito_tensor **var = o->own->tensors + o->setting[i].own;
    ito_tensor *squares = ito_square(g);
    if (!is_factored(o->flat->list->tensors[i]))
        return moved(o, var[0], squares, weight);
    ito_tensor *row = ito_mean(squares, .dims = ITO_DIMS(-1), .keepdim = true);
    ito_tensor *col = ito_mean(squares, .dims = ITO_DIMS(-2), .keepdim = true);
    row = moved(o, var[0], row, weight);
    col = moved(o, var[1], col, weight);
    ito_tensor *mean = ito_mean(row, .dims = ITO_DIMS(-2), .keepdim = true);
    return ito_div(ito_mul(row, col), ito_clamp(mean, eps1, (double)INFINITY));
}

/* Write u / max(1, rms(u) / d) alpha to the place of parameter i in state[0]. */
static bool prepare_one(ito_optimizer *o, int64_t i, double lr, double scale)
{
    const ito_adafactor_options *a = &o->options.adafactor;
    const module_flat *f = o->flat;
    double eps1 = !isnan(a->eps1)       ? a->eps1
                  : f->dtype == ITO_F64 ? DBL_EPSILON
                                        : (double)FLT_EPSILON;
    double t = (double)o->steps, weight = pow(t, a->beta2_decay);
    ito_tensor *g = optimizer_gradient(o, i, scale), *u = optimizer_view(o, i, o->state[0]);
    ito_tensor *v = estimate(o, i, g, eps1, weight);
    v = ito_mul(g, ito_rsqrt(ito_clamp(v, eps1 * eps1, (double)INFINITY)));
    if (v == NULL || u == NULL)
        return false;
    tensor_copy(u, v);
    double alpha = fmax(a->eps2, root_mean_square(f, i, f->data)) * fmin(lr, 1 / sqrt(t));
    double large = root_mean_square(f, i, o->state[0]) / a->d;
    kernels(f->dtype)->scale(flat_at(o->state[0], f->offset[i]), ito_numel(u),
                             alpha / fmax(1, large));
    return true;
}

static bool prepare(ito_optimizer *o, double lr, double scale)
{
    bool done = true;
    for (int64_t i = 0; i < o->flat->list->n && done; i++)
        if (o->setting[i].matrix && optimizer_trains(o, i)) {
            ito_scope_begin();
            done = prepare_one(o, i, optimizer_rates(o, i, lr).lr, scale);
            ito_scope_end();
        }
    return done;
}

static void adafactor_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                           step_rates r)
{
    (void)o;
    step_arrays a = *s;
    a.g = s->state[0];
    a.state[0] = NULL;
    a.scale = 1;
    k->sgd_step(&a, 1, 0, 0, 0, 1 - r.lr * r.weight_decay, false);
}

static const algorithm adafactor = {
    .kind = "adafactor",
    .step = adafactor_step,
    .matrix_step = adafactor_step,
    .is_matrix = is_matrix,
    .prepare = prepare,
};

/* The tensors of second moments of all parameters. */
static bool make_moments(ito_optimizer *o)
{
    const ito_named_tensors *list = o->flat->list;
    size_t prefixes = sizeof "row_var." + sizeof "col_var.";
    if (!optimizer_reserve(o, 2 * list->n,
                           2 * named_tensors_bytes(list) + (size_t)list->n * prefixes, 2 * list->n))
        return false;
    for (int64_t i = 0; i < list->n; i++) {
        ito_shape row = ito_shape_of(list->tensors[i]), col = row;
        o->setting[i].own = o->own->n;
        if (!is_factored(list->tensors[i])) {
            if (!optimizer_own(o, "variance.", list->names[i], row, o->flat->dtype))
                return false;
            continue;
        }
        row.dim[row.ndim - 1] = col.dim[col.ndim - 2] = 1;
        if (!optimizer_own(o, "row_var.", list->names[i], row, o->flat->dtype) ||
            !optimizer_own(o, "col_var.", list->names[i], col, o->flat->dtype))
            return false;
    }
    return true;
}

ito_optimizer *ito_adafactor_create_with(ito_module *model, ito_adafactor_options options)
{
    if (!(options.beta2_decay <= 0 && options.beta2_decay > -(double)INFINITY))
        return error_null(ITO_ERR_RANGE, "adafactor: beta2_decay %g is above 0 or not finite",
                          options.beta2_decay);
    if (!(options.d >= 1 && options.d < (double)INFINITY))
        return error_null(ITO_ERR_RANGE, "adafactor: d %g is below 1 or not finite", options.d);
    if ((!isnan(options.eps1) &&
         !optimizer_in_range("adafactor", "eps1", options.eps1, (double)INFINITY)) ||
        !optimizer_in_range("adafactor", "eps2", options.eps2, (double)INFINITY) ||
        !optimizer_in_range("adafactor", "weight decay", options.weight_decay, (double)INFINITY))
        return NULL;
    ito_optimizer *o =
        optimizer_create(model, &adafactor, 1, &options, sizeof options, options.weight_decay);
    if (o != NULL && !make_moments(o)) {
        ito_optimizer_free(o);
        o = NULL;
    }
    return o;
}

static ito_optimizer *create(ito_module *model)
{
    return ito_adafactor_create_with(model, ITO_OPTIONS(ito_adafactor_options));
}

const ito_optimizer_algorithm ito_optimizer_adafactor = {
    .name = "adafactor",
    .help = "second moments by rows and columns alone: little state; steps relative to the weights",
    .source = "Shazeer, Stern 2018, arXiv:1804.04235",
    .lr = 1e-2,
    .create = create,
};
