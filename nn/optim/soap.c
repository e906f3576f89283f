/* SOAP: Adam in the eigenbasis of Shampoo's preconditioner. */
#include "autograd/ops.h"
#include "nn/optim/optimizer.h"
#include "nn/registry.h"
#include "tensor/eigen.h"
#include "tensor/scope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* state[0] and state[1]: exp_avg and exp_avg_sq; state[2]: the direction of a matrix. */

/* ---- shapes and bases --------------------------------------------------------------------------
 */

/* The shape that a parameter is seen in: neighbours are joined as long as there is room. */
static ito_shape seen_shape(const ito_soap_options *a, const ito_tensor *p)
{
    ito_shape seen = {.ndim = 0}, of = ito_shape_of(p);
    if (!a->merge_dims)
        return of;
    int64_t joined = 1;
    for (int i = 0; i < of.ndim; i++) {
        int64_t product = checked_mul(joined, of.dim[i]);
        if (product >= 0 && product <= a->max_precond_dim) {
            joined = product;
            continue;
        }
        seen.dim[seen.ndim++] = joined > 1 ? joined : of.dim[i];
        joined = joined > 1 ? of.dim[i] : 1;
    }
    if (joined > 1 || seen.ndim == 0)
        seen.dim[seen.ndim++] = joined;
    return seen;
}

/* Whether an axis of p, of this size as it is seen, has GG and Q. */
static bool has_basis(const ito_soap_options *a, const ito_tensor *p, int64_t size)
{
    return size <= a->max_precond_dim && (p->ndim >= 2 || a->precondition_1d);
}

/* What needs more than Adam's step by elements: a basis, or the norm of its update. */
static bool is_matrix(const ito_optimizer *o, const ito_tensor *p)
{
    const ito_soap_options *a = &o->options.soap;
    return p->ndim >= 2 || (p->ndim == 1 && a->precondition_1d) || a->normalize_grads;
}

/* A matrix at work: its shape, and GG and Q of each axis, NULL where it has none. */
typedef struct matrix {
    int64_t place;
    ito_shape shape;
    ito_tensor *gg[ITO_MAX_DIMS], *q[ITO_MAX_DIMS];
} matrix;

static matrix matrix_of(const ito_optimizer *o, int64_t i)
{
    const ito_tensor *p = o->flat->list->tensors[i];
    matrix m = {.place = i, .shape = seen_shape(&o->options.soap, p)};
    ito_tensor **own = o->own->tensors + o->setting[i].own;
    for (int axis = 0; axis < m.shape.ndim; axis++)
        if (has_basis(&o->options.soap, p, m.shape.dim[axis])) {
            m.gg[axis] = *own++;
            m.q[axis] = *own++;
        }
    return m;
}

/* Whether no basis has been found yet: all of Q is 0 then. */
static bool is_new(const ito_optimizer *o, const matrix *m)
{
    for (int axis = 0; axis < m->shape.ndim; axis++)
        if (m->q[axis] != NULL)
            return kernels(o->flat->dtype)
                       ->square_sum(tensor_data(m->q[axis]), ito_numel(m->q[axis])) == 0;
    return o->steps == 1;
}

/* x with its first axis put last, after a product with q along it unless q is NULL. */
static ito_tensor *turn(ito_tensor *x, ito_tensor *q)
{
    if (x == NULL)
        return NULL;
    ito_shape shape = ito_shape_of(x);
    int64_t first = shape.dim[0];
    ito_tensor *t = ito_transpose(ito_reshape(x, first, -1), 0, 1);
    for (int i = 0; i + 1 < shape.ndim; i++)
        shape.dim[i] = shape.dim[i + 1];
    shape.dim[shape.ndim - 1] = first;
    return ito_reshape_to(q != NULL ? ito_matmul(t, q) : t, shape);
}

/* x in the basis q of its axes, or from there back. */
static ito_tensor *project(const matrix *m, ito_tensor *const *q, ito_tensor *x, bool back)
{
    for (int axis = 0; axis < m->shape.ndim; axis++) {
        ito_tensor *basis = q[axis] != NULL && back ? ito_transpose(q[axis], 0, 1) : q[axis];
        x = q[axis] != NULL && basis == NULL ? NULL : turn(x, basis);
    }
    return x;
}

/* ---- new bases ---------------------------------------------------------------------------------
 */

/* Room for k matrices of n x n doubles. */
static double *room_for(int64_t n, int64_t k)
{
    int64_t bytes = checked_mul(checked_mul(n, n), k * (int64_t)sizeof(double));
    return mem_alloc(bytes < 0 ? SIZE_MAX : (size_t)bytes);
}

/* The matrix [n, n] whose column j is row from[j] of rows, or row j without from. */
static ito_tensor *columns(const double *rows, const int64_t *from, int64_t n, double *scratch,
                           ito_dtype dtype)
{
    for (int64_t j = 0; j < n; j++)
        for (int64_t r = 0; r < n; r++)
            scratch[r * n + j] = rows[(from == NULL ? j : from[j]) * n + r];
    return ito_cast(ito_from_data(scratch, ITO_SHAPE(n, n), ITO_F64), dtype);
}

/* The eigenvectors of gg, largest eigenvalue first. */
static ito_tensor *eigenvectors(ito_tensor *gg)
{
    int64_t n = gg->shape[0];
    double *a = room_for(n, 2), *values = mem_alloc((size_t)n * sizeof *values);
    int64_t *from = mem_alloc((size_t)n * sizeof *from);
    ito_tensor *q = NULL;
    if (a != NULL && values != NULL && from != NULL && ito_to_data(gg, a, ITO_F64) == ITO_OK &&
        symmetric_eigen(a, n, values, a + n * n) == ITO_OK) {
        for (int64_t j = 0; j < n; j++)
            from[j] = n - 1 - j;
        q = columns(a + n * n, from, n, a, gg->dtype);
    }
    mem_free(from);
    mem_free(values);
    mem_free(a);
    return q;
}

typedef struct ranked {
    double value;
    int64_t index;
} ranked;

static int by_falling_value(const void *a_, const void *b_)
{
    const ranked *a = a_, *b = b_;
    if (a->value != b->value)
        return a->value < b->value ? 1 : -1;
    return (a->index > b->index) - (a->index < b->index);
}

/* Axes of q by q^T gg q, largest first: order [n]. gq is gg q; both are row-major in double. */
static void rank_axes(const double *q, const double *gq, int64_t n, ranked *order)
{
    for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        for (int64_t r = 0; r < n; r++)
            sum += q[r * n + j] * gq[r * n + j];
        order[j] = (ranked){sum, j};
    }
    qsort(order, (size_t)n, sizeof *order, by_falling_value);
}

/* One power iteration and a QR: the next q, and in *index [n] which axis of q each of its axes
 * comes from. */
static ito_tensor *next_basis(ito_tensor *gg, ito_tensor *q, ito_tensor **index)
{
    int64_t n = gg->shape[0];
    double *a = room_for(n, 3);
    ranked *order = mem_alloc((size_t)n * sizeof *order);
    ito_tensor *next = NULL, *product = ito_matmul(gg, q);
    *index = ito_empty(ITO_SHAPE(n), ITO_I64);
    if (a != NULL && order != NULL && *index != NULL && ito_to_data(q, a, ITO_F64) == ITO_OK &&
        ito_to_data(product, a + n * n, ITO_F64) == ITO_OK) {
        double *gq = a + n * n, *sorted = gq + n * n;
        rank_axes(a, gq, n, order);
        int64_t *at = tensor_data(*index);
        for (int64_t j = 0; j < n; j++) {
            at[j] = order[j].index;
            for (int64_t r = 0; r < n; r++)
                sorted[j * n + r] = gq[r * n + at[j]];
        }
        if (orthonormal_rows(sorted, n, a) == ITO_OK)
            next = columns(a, NULL, n, gq, gg->dtype);
    }
    mem_free(order);
    mem_free(a);
    return next;
}

/* ---- the step of a matrix ----------------------------------------------------------------------
 */

/* GG of this step, which it is to become. */
static bool next_preconditioner(ito_optimizer *o, const matrix *m, ito_tensor *g, ito_tensor **gg)
{
    const ito_soap_options *a = &o->options.soap;
    double keep = a->shampoo_beta >= 0 ? a->shampoo_beta : a->beta2;
    for (int axis = 0; axis < m->shape.ndim; axis++) {
        if (m->gg[axis] != NULL) {
            ito_tensor *rows = ito_reshape(g, m->shape.dim[axis], -1);
            gg[axis] = ito_lerp(m->gg[axis], ito_matmul(rows, ito_transpose(rows, 0, 1)), 1 - keep);
            if (!optimizer_later(o, m->gg[axis], gg[axis]))
                return false;
        }
        g = turn(g, NULL);
    }
    return g != NULL;
}

static bool first_bases(ito_optimizer *o, const matrix *m, ito_tensor *const *gg)
{
    for (int axis = 0; axis < m->shape.ndim; axis++)
        if (gg[axis] != NULL && !optimizer_later(o, m->q[axis], eigenvectors(gg[axis])))
            return false;
    return true;
}

/* New bases; the averages, in the old ones, are carried over. */
static bool next_bases(ito_optimizer *o, const matrix *m, ito_tensor *const *gg, ito_tensor **mean,
                       ito_tensor **squares)
{
    ito_tensor *q[ITO_MAX_DIMS] = {NULL}, *index;
    for (int axis = 0; axis < m->shape.ndim; axis++) {
        if (gg[axis] == NULL)
            continue;
        q[axis] = next_basis(gg[axis], m->q[axis], &index);
        if (!optimizer_later(o, m->q[axis], q[axis]))
            return false;
        *squares = ito_index_select(*squares, axis, index);
    }
    *mean = project(m, q, project(m, m->q, *mean, true), false);
    return true;
}

/* The update, from Adam in the basis, to its place in state[2]. */
static bool set_direction(const ito_optimizer *o, const matrix *m, ito_tensor *mean,
                          ito_tensor *squares)
{
    const ito_soap_options *a = &o->options.soap;
    ito_tensor *to = optimizer_view(o, m->place, o->state[2]);
    ito_tensor *d = ito_div(mean, ito_add_scalar(ito_sqrt(squares), a->eps));
    d = project(m, m->q, d, true);
    if (a->normalize_grads) {
        ito_tensor *rms = ito_sqrt(ito_mean(ito_square(d)));
        d = ito_div(d, ito_add_scalar(rms, 1e-30));
    }
    d = to == NULL ? NULL : ito_reshape_to(d, ito_shape_of(to));
    if (d != NULL)
        tensor_copy(to, d);
    return d != NULL;
}

/* to, a view shaped as the parameter, is to become value. */
static bool keep_average(ito_optimizer *o, ito_tensor *to, ito_tensor *value)
{
    return to != NULL && optimizer_later(o, to, ito_reshape_to(value, ito_shape_of(to)));
}

static bool prepare_one(ito_optimizer *o, int64_t i, double scale)
{
    const ito_soap_options *a = &o->options.soap;
    matrix m = matrix_of(o, i);
    ito_tensor *gg[ITO_MAX_DIMS] = {NULL};
    ito_tensor *g = ito_reshape_to(optimizer_gradient(o, i, scale), m.shape);
    if (!next_preconditioner(o, &m, g, gg))
        return false;
    if (is_new(o, &m)) {
        ito_tensor *none = optimizer_view(o, i, o->state[2]);
        if (none != NULL)
            tensor_fill(none, 0);
        return none != NULL && first_bases(o, &m, gg);
    }
    ito_tensor *mean_at = optimizer_view(o, i, o->state[0]);
    ito_tensor *squares_at = optimizer_view(o, i, o->state[1]);
    g = project(&m, m.q, g, false);
    ito_tensor *mean = ito_lerp(ito_reshape_to(mean_at, m.shape), g, 1 - a->beta1);
    ito_tensor *squares =
        ito_lerp(ito_reshape_to(squares_at, m.shape), ito_square(g), 1 - a->beta2);
    if (!set_direction(o, &m, mean, squares))
        return false;
    if ((o->steps - 1) % a->precondition_frequency == 0 && !next_bases(o, &m, gg, &mean, &squares))
        return false;
    return keep_average(o, mean_at, mean) && keep_average(o, squares_at, squares);
}

static bool prepare(ito_optimizer *o, double lr, double scale)
{
    (void)lr;
    bool done = true;
    for (int64_t i = 0; i < o->flat->list->n && done; i++)
        if (o->setting[i].matrix && optimizer_trains(o, i)) {
            ito_scope_begin();
            done = prepare_one(o, i, scale);
            ito_scope_end();
        }
    return done;
}

/* ---- the pass ----------------------------------------------------------------------------------
 */

/* The first step makes bases only, and other parameters wait for it, too. */
static bool waits(const ito_optimizer *o, const kernel_table *k, const step_arrays *s)
{
    if (o->steps > 1)
        return false;
    if (s->average != NULL)
        k->ema_step(s->average, s->p, s->n, s->weight);
    return true;
}

static double step_size(const ito_optimizer *o, double lr)
{
    const ito_soap_options *a = &o->options.soap;
    double t = (double)(o->steps - 1);
    return a->correct_bias ? lr * sqrt(1 - pow(a->beta2, t)) / (1 - pow(a->beta1, t)) : lr;
}

/* The decay comes after the step, so that it shrinks that as well. */
static void matrix_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                        step_rates r)
{
    if (waits(o, k, s))
        return;
    double shrink = 1 - r.lr * r.weight_decay;
    step_arrays a = *s;
    a.g = s->state[2];
    a.state[0] = NULL;
    a.scale = 1;
    k->sgd_step(&a, shrink * step_size(o, r.lr), 0, 0, 0, shrink, false);
}

static void others_step(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                        step_rates r)
{
    if (waits(o, k, s))
        return;
    const ito_soap_options *a = &o->options.soap;
    double shrink = 1 - r.lr * r.weight_decay;
    step_arrays plain = *s;
    plain.state[2] = NULL;
    k->adam_step(&plain, a->beta1, a->beta2, a->eps, 0, shrink, shrink * step_size(o, r.lr), 1);
}

static const algorithm soap = {
    .kind = "soap",
    .prefix = {"exp_avg.", "exp_avg_sq."},
    .matrix_prefix = {"exp_avg.", "exp_avg_sq."},
    .step = others_step,
    .matrix_step = matrix_step,
    .is_matrix = is_matrix,
    .prepare = prepare,
};

/* ---- creation ----------------------------------------------------------------------------------
 */

/* GG and Q of one parameter. */
static bool make_axes(ito_optimizer *o, int64_t i)
{
    const ito_tensor *p = o->flat->list->tensors[i];
    ito_shape shape = seen_shape(&o->options.soap, p);
    const char *name = o->flat->list->names[i];
    o->setting[i].own = o->own->n;
    for (int axis = 0; axis < shape.ndim; axis++) {
        char gg[16], q[16];
        snprintf(gg, sizeof gg, "GG.%d.", axis);
        snprintf(q, sizeof q, "Q.%d.", axis);
        int64_t n = shape.dim[axis];
        if (has_basis(&o->options.soap, p, n) &&
            (!optimizer_own(o, gg, name, ITO_SHAPE(n, n), o->flat->dtype) ||
             !optimizer_own(o, q, name, ITO_SHAPE(n, n), o->flat->dtype)))
            return false;
    }
    return true;
}

static bool make_bases(ito_optimizer *o)
{
    const ito_named_tensors *list = o->flat->list;
    int64_t axes = 0;
    size_t bytes = 1;
    for (int64_t i = 0; i < list->n; i++) {
        axes += list->tensors[i]->ndim;
        bytes += (size_t)list->tensors[i]->ndim * 2 * (strlen(list->names[i]) + sizeof "GG.0.");
    }
    if (!optimizer_reserve(o, 2 * axes, bytes, 2 * axes + 2 * list->n))
        return false;
    for (int64_t i = 0; i < list->n; i++)
        if (o->setting[i].matrix && !make_axes(o, i))
            return false;
    return true;
}

static bool in_range(const ito_soap_options *a)
{
    if (!(a->shampoo_beta < 1 && a->shampoo_beta > -(double)INFINITY))
        return error_false(ITO_ERR_RANGE, "soap: shampoo_beta %g is not below 1 or not finite",
                           a->shampoo_beta);
    if (a->precondition_frequency < 1)
        return error_false(ITO_ERR_RANGE, "soap: precondition_frequency %" PRId64 " is below 1",
                           a->precondition_frequency);
    if (a->max_precond_dim < 0)
        return error_false(ITO_ERR_RANGE, "soap: max_precond_dim %" PRId64 " is negative",
                           a->max_precond_dim);
    return adam_in_range("soap", (adam_settings){a->beta1, a->beta2, a->eps}) &&
           optimizer_in_range("soap", "weight decay", a->weight_decay, (double)INFINITY);
}

ito_optimizer *ito_soap_create_with(ito_module *model, ito_soap_options options)
{
    if (!in_range(&options))
        return NULL;
    ito_optimizer *o =
        optimizer_create(model, &soap, 7, &options, sizeof options, options.weight_decay);
    if (o != NULL && !make_bases(o)) {
        ito_optimizer_free(o);
        o = NULL;
    }
    return o;
}

static ito_optimizer *create(ito_module *model)
{
    return ito_soap_create_with(model, ITO_OPTIONS(ito_soap_options));
}

const ito_optimizer_algorithm ito_optimizer_soap = {
    .name = "soap",
    .help = "Adam in the basis in which the gradients of a matrix do not correlate",
    .source = "Vyas et al. 2024, arXiv:2409.11321",
    .lr = 3e-3,
    .create = create,
};
