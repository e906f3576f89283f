/* Weights that are computed from other parameters. A module has a list of them; each knows the
 * parameter that it stands for and how its value is made.
 * Invariant: the value is made anew by each forward, so it always follows the parameters. */
#include "nn/parametrise.h"
#include "autograd/graph.h"
#include "autograd/ops.h"
#include "nn/registry.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ITERATIONS = 15 }; /* as in PyTorch */

typedef struct ito_parametrisation {
    ito_module_entry *entry; /* of the parameter it stands for */
    char *name;              /* the entry's name before */
    ito_tensor *(*value)(const ito_module *m, const struct ito_parametrisation *p);
    ito_tensor *g;     /* weight norm; like u and v borrowed from its entry */
    ito_tensor *u, *v; /* spectral norm: [rows], [columns] */
    int dim;
    int64_t iterations;
    double eps;
    struct ito_parametrisation *next;
} parametrisation;

void parametrisations_free(ito_module *m)
{
    while (m->parametrisations != NULL) {
        parametrisation *p = m->parametrisations;
        m->parametrisations = p->next;
        free(p->name);
        free(p);
    }
}

ito_tensor *ito_module_value(const ito_module *m, ito_tensor *parameter)
{
    if (m == NULL || parameter == NULL)
        return NULL;
    const parametrisation *p = m->parametrisations;
    while (p != NULL && p->entry->tensor != parameter)
        p = p->next;
    if (p == NULL)
        return parameter;
    ito_scope_begin();
    ito_tensor *value = ito_keep(p->value(m, p));
    ito_scope_end();
    return value;
}

/* ---- creation ----------------------------------------------------------------------------------
 */

/* Names of what belongs to a parameter. */
typedef struct part_name {
    char text[200];
} part_name;

static part_name name_of(const char *parameter, const char *part)
{
    part_name n;
    snprintf(n.text, sizeof n.text, "parametrizations.%.120s.%s", parameter, part);
    return n;
}

static ito_module_entry *find_parameter(const ito_module *m, const char *name)
{
    for (ito_module_entry *e = m->entries; e != NULL; e = e->next)
        if (e->kind == ENTRY_PARAMETER && strcmp(e->name, name) == 0)
            return e;
    return NULL;
}

/* Whether parameters of m may be changed for others. */
static bool may_change(const char *op, const ito_module *m)
{
    while (m->parent != NULL)
        m = m->parent;
    return m->flat == NULL ||
           error_false(ITO_ERR_ARGUMENT,
                       "%s: the model is flattened already, for an optimizer or an average", op);
}

/* The entry of the parameter of that name, if it may be changed and has the axis. */
static ito_module_entry *parameter_to_change(const char *op, const ito_module *m, const char *name,
                                             int dim, int least)
{
    if (m == NULL) {
        error_missing(op, "the module");
        return NULL;
    }
    ito_module_entry *e = find_parameter(m, name);
    if (e == NULL)
        return error_null(ITO_ERR_ARGUMENT, "%s: the module has no parameter \"%s\" of its own", op,
                          name);
    if (dim < least || dim >= e->tensor->ndim)
        return error_null(ITO_ERR_RANGE, "%s: axis %d of %s, which is %s", op, dim, name,
                          tensor_shape_str(e->tensor));
    return may_change(op, m) ? e : NULL;
}

/* A parametrisation of e with a copy of its name; NULL without memory. */
static parametrisation *begin(const ito_module_entry *e)
{
    parametrisation *p = struct_alloc(sizeof *p);
    if (p == NULL)
        return NULL;
    p->name = registry_copy_name(e->name);
    if (p->name == NULL) {
        free(p);
        return NULL;
    }
    return p;
}

/* Put p, which is complete, to use: e's name becomes new_name. */
static void put_to_use(ito_module *m, parametrisation *p, ito_module_entry *e, char *new_name)
{
    free(e->name);
    e->name = new_name;
    p->entry = e;
    p->next = m->parametrisations;
    m->parametrisations = p;
}

static void abandon(parametrisation *p, char *new_name)
{
    if (p != NULL)
        free(p->name);
    free(p);
    free(new_name);
}

/* ---- weight norm -------------------------------------------------------------------------------
 */

/* |v| for each index of axis dim, with axes of size 1 in place of the others; of all of v for -1.
 */
static ito_tensor *lengths(ito_tensor *v, int dim)
{
    if (v == NULL)
        return NULL;
    if (dim == -1)
        return ito_sqrt(ito_sum(ito_square(v)));
    ito_shape others = {.ndim = 0};
    for (int axis = 0; axis < v->ndim; axis++)
        if (axis != dim)
            others.dim[others.ndim++] = axis;
    return ito_sqrt(ito_sum(ito_square(v), .dims = others, .keepdim = true));
}

static ito_tensor *weight_norm_value(const ito_module *m, const parametrisation *p)
{
    (void)m;
    ito_tensor *v = p->entry->tensor;
    return ito_mul(v, ito_div(p->g, lengths(v, p->dim)));
}

ito_status ito_weight_norm_with(ito_module *m, ito_weight_norm_options o)
{
    o.name = o.name != NULL ? o.name : "weight";
    ito_module_entry *e = parameter_to_change("weight_norm", m, o.name, o.dim, -1);
    if (e == NULL)
        return ito_error_code();
    ito_scope_begin();
    parametrisation *p = begin(e);
    char *new_name = registry_copy_name(name_of(o.name, "original1").text);
    ito_tensor *g = p == NULL || new_name == NULL ? NULL : lengths(ito_detach(e->tensor), o.dim);
    g = ito_module_parameter(m, name_of(o.name, "original0").text, g);
    if (g != NULL) {
        p->value = weight_norm_value;
        p->g = g;
        p->dim = o.dim;
        put_to_use(m, p, e, new_name);
    } else {
        abandon(p, new_name);
    }
    ito_scope_end();
    return g != NULL ? ITO_OK : ito_error_code();
}

/* ---- spectral norm -----------------------------------------------------------------------------
 */

/* w as a matrix whose rows are axis dim. */
static ito_tensor *matrix_of(ito_tensor *w, int dim)
{
    if (w == NULL)
        return NULL;
    ito_shape axes = {.ndim = w->ndim, .dim = {dim}};
    for (int axis = 0, k = 1; axis < w->ndim; axis++)
        if (axis != dim)
            axes.dim[k++] = axis;
    return ito_reshape(ito_permute_to(w, axes), w->shape[dim], -1);
}

/* x / max(|x|, eps). */
static ito_tensor *unit(ito_tensor *x, double eps)
{
    return ito_div(x, ito_clamp(ito_sqrt(ito_sum(ito_square(x))), eps, HUGE_VAL));
}

/* n power iterations on u and v, in place. */
static bool iterate_power(const parametrisation *p, ito_tensor *w, int64_t n)
{
    bool done = true;
    ito_no_grad_begin();
    ito_tensor *matrix = matrix_of(ito_detach(w), p->dim);
    for (int64_t i = 0; done && i < n; i++) {
        ito_scope_begin();
        done = ito_copy_(p->u, unit(ito_matmul(matrix, p->v), p->eps)) != NULL &&
               ito_copy_(p->v, unit(ito_matmul(p->u, matrix), p->eps)) != NULL;
        ito_scope_end();
    }
    ito_no_grad_end();
    return done;
}

/* u and v are copied, since the next forward changes them before this one's backward may be done.
 */
static ito_tensor *spectral_norm_value(const ito_module *m, const parametrisation *p)
{
    ito_tensor *w = p->entry->tensor;
    if (m->training && !iterate_power(p, w, p->iterations))
        return NULL;
    ito_tensor *u = ito_clone(p->u), *v = ito_clone(p->v);
    return ito_div(w, ito_matmul(u, ito_matmul(matrix_of(w, p->dim), v)));
}

/* A first u or v: a unit vector of n elements. */
static ito_tensor *first_vector(int64_t n, ito_dtype dtype, const ito_spectral_norm_options *o)
{
    ito_tensor *x = o->generator != NULL ? ito_randn(o->generator, ITO_SHAPE(n), dtype)
                                         : ito_ones(ITO_SHAPE(n), dtype);
    return unit(x, o->eps);
}

static bool numbers_fit(const ito_spectral_norm_options *o)
{
    if (o->n_power_iterations < 1)
        return error_false(ITO_ERR_RANGE,
                           "spectral_norm: %" PRId64 " power iterations; at least 1 is needed",
                           o->n_power_iterations);
    return (o->eps > 0 && o->eps < HUGE_VAL) ||
           error_false(ITO_ERR_RANGE, "spectral_norm: eps %g; it must be above 0 and finite",
                       o->eps);
}

ito_status ito_spectral_norm_with(ito_module *m, ito_spectral_norm_options o)
{
    o.name = o.name != NULL ? o.name : "weight";
    ito_module_entry *e = parameter_to_change("spectral_norm", m, o.name, o.dim, 0);
    if (e == NULL || !numbers_fit(&o))
        return ito_error_code();
    ito_tensor *w = e->tensor;
    if (w->ndim < 2)
        return ito_error_set(ITO_ERR_SHAPE, "spectral_norm: %s is %s, and no matrix", o.name,
                             tensor_shape_str(w));
    ito_scope_begin();
    parametrisation *p = begin(e);
    char *new_name = registry_copy_name(name_of(o.name, "original").text);
    part_name u_name = name_of(o.name, "0._u"), v_name = name_of(o.name, "0._v");
    bool good = p != NULL && new_name != NULL;
    if (good) {
        int64_t rows = w->shape[o.dim];
        *p = (parametrisation){.name = p->name,
                               .value = spectral_norm_value,
                               .dim = o.dim,
                               .iterations = o.n_power_iterations,
                               .eps = o.eps,
                               .u = first_vector(rows, w->dtype, &o),
                               .v = first_vector(ito_numel(w) / rows, w->dtype, &o)};
        good = p->u != NULL && p->v != NULL && iterate_power(p, w, FIRST_ITERATIONS) &&
               ito_module_buffer(m, u_name.text, p->u) != NULL;
        if (good && ito_module_buffer(m, v_name.text, p->v) == NULL) {
            registry_remove(m, u_name.text);
            good = false;
        }
    }
    if (good)
        put_to_use(m, p, e, new_name);
    else
        abandon(p, new_name);
    ito_scope_end();
    return good ? ITO_OK : ito_error_code();
}

/* ---- removal -----------------------------------------------------------------------------------
 */

/* Where the list has the one that stands for the parameter of that name, or its end. */
static parametrisation **place_of(ito_module *m, const char *name)
{
    parametrisation **at = &m->parametrisations;
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

ito_status ito_remove_parametrisation(ito_module *m, const char *name)
{
    if (m == NULL || name == NULL)
        return error_missing("remove_parametrisation", m == NULL ? "the module" : "the name");
    parametrisation **at = place_of(m, name), *p = *at;
    if (p == NULL)
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "remove_parametrisation: nothing was applied to a parameter \"%s\"",
                             name);
    if (!may_change("remove_parametrisation", m))
        return ITO_ERR_ARGUMENT;
    ito_scope_begin();
    ito_no_grad_begin();
    /* Not in training mode: the value that it has, without another iteration. */
    bool training = m->training;
    m->training = false;
    ito_tensor *value = p->value(m, p);
    m->training = training;
    bool good = value != NULL && ito_copy_(p->entry->tensor, value) != NULL;
    ito_no_grad_end();
    ito_scope_end();
    if (!good)
        return ito_error_code();
    const char *const parts[] = {"original0", "0._u", "0._v"};
    for (int i = 0; i < 3; i++)
        registry_remove(m, name_of(name, parts[i]).text);
    free(p->entry->name);
    p->entry->name = p->name;
    *at = p->next;
    free(p);
    return ITO_OK;
}
