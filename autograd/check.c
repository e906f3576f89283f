/* Gradients against central differences, in f64.
 *
 * A function of any shape is checked through the number sum(u f(x)) with fixed random u. */
#include "autograd/graph.h"

#include <math.h>
#include <stdlib.h>

static ito_tensor *random_like(const ito_tensor *t, uint64_t stream)
{
    ito_generator g = ito_generator_make(20200619, stream);
    return ito_randn(&g, ito_shape_of(t), ITO_F64);
}

/* The number under test; NULL if f fails. */
static ito_tensor *project(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n)
{
    ito_tensor *y = f(inputs, n, context);
    if (y == NULL)
        return NULL;
    if (y->dtype != ITO_F64)
        return error_null(ITO_ERR_DTYPE, "gradcheck: the function gives %s, not f64",
                          ito_dtype_name(y->dtype));
    return ito_sum(ito_mul(y, random_like(y, 0)));
}

static bool value_at(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                     double *value)
{
    ito_scope_begin();
    ito_tensor *y = project(f, context, inputs, n);
    *value = ito_item(y);
    ito_scope_end();
    return y != NULL;
}

/* The address of t's i-th element in row-major order. */
static double *element(ito_tensor *t, int64_t i)
{
    int64_t at = 0;
    for (int axis = t->ndim - 1; axis >= 0; axis--) {
        at += i % t->shape[axis] * t->stride[axis];
        i /= t->shape[axis];
    }
    return (double *)tensor_data(t) + at;
}

/* (L(x + eps) - L(x - eps)) / 2 eps for element i of x; x is put back. */
static bool slope(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                  ito_tensor *x, int64_t i, double eps, double *result)
{
    double *at = element(x, i), original = *at, above = 0, below = 0;
    *at = original + eps;
    bool done = value_at(f, context, inputs, n, &above);
    *at = original - eps;
    done = done && value_at(f, context, inputs, n, &below);
    *at = original;
    *result = (above - below) / (2 * eps);
    return done;
}

static bool wants_check(const ito_tensor *t)
{
    return tensor_needs_grad(t);
}

/* The gradients of y by those inputs that want a check, in one sweep, in the current scope;
 * grads[i] of the others stays as it is. */
static bool gradients(ito_tensor *y, ito_tensor *const *inputs, int64_t n, ito_tensor **grads,
                      ito_backward_options options)
{
    ito_tensor **wanted = struct_alloc((size_t)(2 * n + 1) * sizeof(ito_tensor *));
    if (wanted == NULL)
        return false;
    ito_tensor **result = wanted + n;
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if (wants_check(inputs[i]))
            wanted[count++] = inputs[i];
    bool done = ito_grads(y, wanted, count, result, options) == ITO_OK;
    for (int64_t i = n - 1; done && i >= 0; i--)
        if (wants_check(inputs[i]))
            grads[i] = result[--count];
    free(wanted);
    return done;
}

/* The gradients that the graph gives, in the current scope; zeros where there is no path. */
static bool analytic(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                     ito_tensor **grads)
{
    ito_tensor *y = project(f, context, inputs, n);
    if (y == NULL)
        return false;
    if (tensor_needs_grad(y))
        return gradients(y, inputs, n, grads, ITO_OPTIONS(ito_backward_options));
    for (int64_t i = 0; i < n; i++) {
        grads[i] = ito_zeros_like(inputs[i]);
        if (grads[i] == NULL)
            return false;
    }
    return true;
}

/* The i-th element of t to check, of `elements`. */
static int64_t element_at(const ito_tensor *t, int64_t i, int64_t elements, ito_generator *g)
{
    int64_t n = ito_numel(t);
    if (elements == -1 || elements >= n)
        return i;
    int64_t drawn = (int64_t)(ito_uniform(g) * (double)n);
    return drawn < n ? drawn : n - 1;
}

static ito_status compare(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                          ito_tensor *const *grads, ito_gradcheck_options o)
{
    for (int64_t k = 0; k < n; k++) {
        int64_t count = wants_check(inputs[k]) ? ito_numel(inputs[k]) : 0;
        if (o.elements != -1 && o.elements < count)
            count = o.elements;
        ito_generator g = ito_generator_make(20200619, (uint64_t)k);
        for (int64_t drawn = 0; drawn < count; drawn++) {
            int64_t i = element_at(inputs[k], drawn, o.elements, &g);
            double numeric, exact = *element(grads[k], i);
            if (!slope(f, context, inputs, n, inputs[k], i, o.eps, &numeric))
                return ito_error_code();
            if (!(fabs(exact - numeric) <= o.atol + o.rtol * fabs(numeric)))
                return ito_error_set(ITO_ERR_GRAD,
                                     "gradcheck: element %" PRId64 " of input %" PRId64
                                     " %s: the graph gives %.9g, differences %.9g",
                                     i, k, tensor_shape_str(inputs[k]), exact, numeric);
        }
    }
    return ITO_OK;
}

ito_status ito_gradcheck_with(ito_function *f, void *context, ito_tensor *const *inputs, int64_t n,
                              ito_gradcheck_options o)
{
    if (!(o.eps > 0 && o.atol >= 0 && o.rtol >= 0))
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "gradcheck: eps %g, atol %g, rtol %g; eps must be more than 0, the "
                             "others 0 or more",
                             o.eps, o.atol, o.rtol);
    if (o.elements < 1 && o.elements != -1)
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "gradcheck: %" PRId64 " elements; there are 1 or more, or -1 for all",
                             o.elements);
    int64_t checked = 0;
    for (int64_t i = 0; i < n; i++) {
        if (inputs[i] == NULL)
            return error_missing("gradcheck", "an input");
        checked += wants_check(inputs[i]);
        if (wants_check(inputs[i]) && inputs[i]->dtype != ITO_F64)
            return ito_error_set(ITO_ERR_DTYPE, "gradcheck: input %" PRId64 " is %s, not f64", i,
                                 ito_dtype_name(inputs[i]->dtype));
    }
    if (checked == 0)
        return ito_error_set(ITO_ERR_ARGUMENT, "gradcheck: no input requires a gradient");
    ito_tensor **grads = struct_alloc((size_t)(n + 1) * sizeof(ito_tensor *));
    if (grads == NULL)
        return ITO_ERR_MEMORY;
    ito_scope_begin();
    ito_status status = analytic(f, context, inputs, n, grads)
                            ? compare(f, context, inputs, n, grads, o)
                            : ito_error_code();
    ito_scope_end();
    free(grads);
    return status;
}

/* ---- second derivatives
 * ---------------------------------------------------------------------------------- */

typedef struct second {
    ito_function *f;
    void *context;
} second;

/* sum over i of <w_i, df/dx_i> with fixed random w; NULL on error. */
static ito_tensor *weighted(ito_tensor *const *grads, int64_t n)
{
    ito_tensor *total = ito_scalar(0, ITO_F64);
    for (int64_t i = 0; i < n; i++)
        if (grads[i] != NULL)
            total =
                ito_add(total, ito_sum(ito_mul(grads[i], random_like(grads[i], (uint64_t)i + 1))));
    return total;
}

/* The same of df/dx_i (x; v): a function of x and the cotangent v. */
static ito_tensor *first_derivative(ito_tensor *const *inputs, int64_t n, void *context)
{
    const second *s = context;
    ito_tensor **grads = struct_alloc((size_t)(n + 1) * sizeof(ito_tensor *));
    if (grads == NULL)
        return NULL;
    int saved = grad_mode_enable();
    ito_tensor *y = s->f(inputs, n - 1, s->context), *total = NULL;
    ito_backward_options o =
        ITO_OPTIONS(ito_backward_options, .cotangent = inputs[n - 1], .create_graph = true);
    if (y != NULL && (!tensor_needs_grad(y) || gradients(y, inputs, n - 1, grads, o)))
        total = weighted(grads, n - 1);
    grad_mode_restore(saved);
    free(grads);
    return total;
}

ito_status ito_gradgradcheck_with(ito_function *f, void *context, ito_tensor *const *inputs,
                                  int64_t n, ito_gradcheck_options options)
{
    ito_tensor **all = struct_alloc((size_t)(n + 1) * sizeof(ito_tensor *));
    if (all == NULL)
        return ITO_ERR_MEMORY;
    ito_scope_begin();
    for (int64_t i = 0; i < n; i++)
        all[i] = inputs[i];
    ito_tensor *y = f(inputs, n, context);
    all[n] = y == NULL ? NULL : ito_requires_grad(random_like(y, 100), true);
    second s = {f, context};
    ito_status status = all[n] == NULL
                            ? (ito_error_code() != ITO_OK ? ito_error_code() : ITO_ERR_ARGUMENT)
                            : ito_gradcheck_with(first_derivative, &s, all, n + 1, options);
    ito_scope_end();
    free(all);
    return status;
}
