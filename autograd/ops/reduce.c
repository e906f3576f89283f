/* Reductions over axes: sum, max, min and what is composed of them. Those of integers, and others
 * that need no kernel, are in reduce_lines.c. */
#include "autograd/ops/reduce.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/lines.h"

#include <math.h>

bool reduce_resolve(const char *op, const ito_tensor *x, const ito_reduce_options *options,
                    reduce_params *params)
{
    *params = (reduce_params){.keepdim = options->keepdim, .divisor = 1};
    if (options->dims.ndim == ITO_ALL_DIMS.ndim) {
        params->axes = (1u << x->ndim) - 1;
        return true;
    }
    if (options->dims.ndim < 0 || options->dims.ndim > ITO_MAX_DIMS)
        return error_false(ITO_ERR_ARGUMENT, "%s: a list of %d axes to reduce; there can be 0 to 8",
                           op, options->dims.ndim);
    for (int i = 0; i < options->dims.ndim; i++) {
        int axis = axis_normalize(op, options->dims.dim[i], x->ndim);
        if (axis < 0)
            return false;
        if ((params->axes >> axis & 1) != 0)
            return error_false(ITO_ERR_ARGUMENT, "%s: axis %d appears twice in %s", op, axis,
                               shape_str(options->dims));
        params->axes |= 1u << axis;
    }
    return true;
}

bool check_axes(const char *op, const ito_tensor *x, ito_shape dims)
{
    reduce_params params;
    ito_reduce_options options = {.dims = dims};
    return reduce_resolve(op, x, &options, &params);
}

/* How many terms each result has. */
static int64_t terms(ito_shape shape, unsigned axes)
{
    int64_t n = 1;
    for (int i = 0; i < shape.ndim; i++)
        n *= (axes >> i & 1) != 0 ? shape.dim[i] : 1;
    return n;
}

ito_shape kept_shape(ito_shape shape, unsigned axes)
{
    for (int i = 0; i < shape.ndim; i++)
        if ((axes >> i & 1) != 0)
            shape.dim[i] = 1;
    return shape;
}

/* Uninitialised; the kept axes lie in memory as x's do. */
static ito_tensor *result_for(const ito_tensor *x, const reduce_params *params, ito_dtype dtype)
{
    ito_shape shape = {0};
    int64_t stride[ITO_MAX_DIMS];
    for (int i = 0; i < x->ndim; i++) {
        bool gone = (params->axes >> i & 1) != 0;
        if (gone && !params->keepdim)
            continue;
        stride[shape.ndim] = x->stride[i];
        shape.dim[shape.ndim++] = gone ? 1 : x->shape[i];
    }
    return tensor_empty_ordered(shape, stride, dtype);
}

static ito_tensor *reduce_forward(const op_call *c, const reducer *r)
{
    const reduce_params *params = c->params;
    ito_tensor *y = result_for(c->in[0], params, c->dtype[0]);
    return y != NULL && reduce_axes(y, c->in[0], params->axes, r) ? y : NULL;
}

ito_tensor *reduce_apply(op_id id, const char *name, ito_tensor *x,
                         const ito_reduce_options *options)
{
    reduce_params params;
    if (x == NULL || !reduce_resolve(name, x, options, &params))
        return NULL;
    return op_apply(id, &x, 1, &params, sizeof params);
}

/* ---- sum ------------------------------------------------------------------------------------- */

static double combine_sum(double a, double b)
{
    return a + b;
}

ito_tensor *op_sum_forward(op_call *c)
{
    if (!ito_dtype_is_float(c->dtype[0]))
        return reduce_integers(INTEGER_SUM, c);
    const kernel_table *k = kernels(c->dtype[0]);
    const reduce_params *params = c->params;
    reducer r = {0, combine_sum, k->sum_row, k->sum_columns, params->divisor};
    return reduce_forward(c, &r);
}

bool op_sum_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const reduce_params *params = c->params;
    if (params->divisor != 1)
        dy = ito_mul_scalar(dy, 1 / params->divisor);
    ito_tensor *kept = ito_reshape_to(dy, kept_shape(c->shape[0], params->axes));
    dx[0] = ito_expand_to(kept, c->shape[0]);
    return dx[0] != NULL;
}

ito_tensor *ito_sum_with(ito_tensor *x, ito_reduce_options options)
{
    return reduce_apply(OP_sum, "sum", x, &options);
}

ito_tensor *sum_over(ito_tensor *x, const reduce_params *params, double divisor)
{
    reduce_params p = *params;
    p.divisor = divisor;
    return op_apply(OP_sum, &x, 1, &p, sizeof p);
}

/* ---- max, min -------------------------------------------------------------------------------- */

static double combine_max(double a, double b)
{
    return a != a || a > b ? a : b;
}

static double combine_min(double a, double b)
{
    return a != a || a < b ? a : b;
}

static bool extreme_exists(const op_call *c)
{
    const reduce_params *params = c->params;
    if (terms(c->shape[0], params->axes) > 0)
        return true;
    return error_false(ITO_ERR_SHAPE, "%s: no elements along the axes of %s", c->info->name,
                       shape_str(c->shape[0]));
}

ito_tensor *op_max_forward(op_call *c)
{
    if (!extreme_exists(c))
        return NULL;
    if (!ito_dtype_is_float(c->dtype[0]))
        return reduce_integers(INTEGER_MAX, c);
    const kernel_table *k = kernels(c->dtype[0]);
    reducer r = {-HUGE_VAL, combine_max, k->max_row, k->max_columns, 1};
    return reduce_forward(c, &r);
}

ito_tensor *op_min_forward(op_call *c)
{
    if (!extreme_exists(c))
        return NULL;
    if (!ito_dtype_is_float(c->dtype[0]))
        return reduce_integers(INTEGER_MIN, c);
    const kernel_table *k = kernels(c->dtype[0]);
    reducer r = {HUGE_VAL, combine_min, k->min_row, k->min_columns, 1};
    return reduce_forward(c, &r);
}

/* The elements that equal the result share its gradient. */
static bool extreme_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const reduce_params *params = c->params;
    ito_shape kept = kept_shape(c->shape[0], params->axes);
    ito_dtype dtype = c->dtype[0];
    ito_tensor *chosen = ito_eq(c->in[0], ito_reshape_to(c->out, kept));
    ito_tensor *count = ito_where(chosen, ito_scalar(1, dtype), ito_scalar(0, dtype));
    count = sum_to_shape(count, kept);
    dx[0] = grad_where(chosen, ito_div(ito_reshape_to(dy, kept), count));
    return dx[0] != NULL;
}

bool op_max_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    return extreme_backward(c, dy, dx);
}

bool op_min_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    return extreme_backward(c, dy, dx);
}

/* The mean of the tangents of the elements that equal the result: each result's gradient weighs
 * them. */
bool tangent_extreme(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    ito_tensor *weight = NULL;
    if (!extreme_backward(c, ito_ones_like(c->out), &weight))
        return false;
    *dt = sum_over(ito_mul(weight, t[0]), c->params, 1);
    return *dt != NULL;
}

ito_tensor *ito_max_with(ito_tensor *x, ito_reduce_options options)
{
    return reduce_apply(OP_max, "max", x, &options);
}

ito_tensor *ito_min_with(ito_tensor *x, ito_reduce_options options)
{
    return reduce_apply(OP_min, "min", x, &options);
}

/* ---- composites ------------------------------------------------------------------------------ */

ito_tensor *ito_mean_with(ito_tensor *x, ito_reduce_options options)
{
    reduce_params params;
    if (x == NULL || !takes_reals("mean", x) || !reduce_resolve("mean", x, &options, &params))
        return NULL;
    return sum_over(x, &params, (double)terms(ito_shape_of(x), params.axes));
}

/* Two passes, since sum(x^2) - n mean^2 cancels. */
ito_tensor *ito_var_with(ito_tensor *x, ito_reduce_options options)
{
    reduce_params params;
    if (x == NULL || !takes_reals("var", x) || !reduce_resolve("var", x, &options, &params))
        return NULL;
    double n = (double)terms(ito_shape_of(x), params.axes), freedom = n - options.correction;
    reduce_params keep = params;
    keep.keepdim = true;
    ito_scope_begin();
    ito_tensor *deviation = ito_sub(x, sum_over(x, &keep, n));
    ito_tensor *y = sum_over(ito_square(deviation), &params, freedom > 0 ? freedom : 0);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

/* The largest of the elements behind each result, or 0 where it is infinite: a constant that keeps
 * exp from overflowing and cancels out. */
static ito_tensor *finite_max(ito_tensor *x, const reduce_params *params)
{
    ito_tensor *m = op_apply(OP_max, (ito_tensor *[]){ito_detach(x)}, 1, params, sizeof *params);
    ito_tensor *infinite = ito_eq(ito_abs(m), m == NULL ? NULL : ito_scalar(HUGE_VAL, m->dtype));
    return m == NULL ? NULL : ito_where(infinite, ito_scalar(0, m->dtype), m);
}

ito_tensor *ito_logsumexp_with(ito_tensor *x, ito_reduce_options options)
{
    reduce_params params;
    if (x == NULL || !takes_reals("logsumexp", x) ||
        !reduce_resolve("logsumexp", x, &options, &params))
        return NULL;
    reduce_params keep = params;
    keep.keepdim = true;
    ito_scope_begin();
    ito_tensor *y;
    if (terms(ito_shape_of(x), params.axes) == 0) {
        y = ito_log(sum_over(x, &params, 1)); /* -infinity: log of an empty sum */
    } else {
        ito_tensor *m = finite_max(x, &keep);
        ito_tensor *sum = sum_over(ito_exp(ito_sub(x, m)), &params, 1);
        y = sum == NULL ? NULL : ito_add(ito_log(sum), ito_reshape_to(m, ito_shape_of(sum)));
    }
    y = ito_keep(y);
    ito_scope_end();
    return y;
}
