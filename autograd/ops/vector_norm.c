/* Norms over axes and what is made of them. Where a root or a power has an infinite slope at 0, the
 * gradient is 0, in each order of differentiation. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"

#include <math.h>

/* f of x where x is not 0, else 0: f sees 1 there. */
static ito_tensor *but_at_zero(ito_tensor *x, ito_tensor *(*f)(ito_tensor *x, double p), double p)
{
    ito_tensor *is_zero = ito_eq(x, number_like(0, x));
    ito_tensor *y = f(ito_where(is_zero, number_like(1, x), x), p);
    return grad_unless(is_zero, y);
}

static ito_tensor *root(ito_tensor *x, double unused)
{
    (void)unused;
    return ito_sqrt(x);
}

static ito_tensor *sum_of_powers(ito_tensor *x, double p, ito_reduce_options over)
{
    ito_tensor *size = ito_abs(x);
    ito_tensor *power = p > 0 ? but_at_zero(size, ito_pow_scalar, p) : ito_pow_scalar(size, p);
    ito_tensor *sum = ito_sum_with(power, over);
    return p > 0 ? but_at_zero(sum, ito_pow_scalar, 1 / p) : ito_pow_scalar(sum, 1 / p);
}

static ito_tensor *norm(ito_tensor *x, double ord, ito_reduce_options over)
{
    if (ord == 2)
        return but_at_zero(ito_sum_with(ito_square(x), over), root, 0);
    if (ord == 1)
        return ito_sum_with(ito_abs(x), over);
    if (ord == 0) /* of the signs, which have a gradient of 0 */
        return ito_sum_with(ito_abs(ito_sign(x)), over);
    if (isinf(ord))
        return ord > 0 ? ito_max_with(ito_abs(x), over) : ito_min_with(ito_abs(x), over);
    return sum_of_powers(x, ord, over);
}

static ito_reduce_options along(int axis, bool keepdim)
{
    return ITO_OPTIONS(ito_reduce_options, .dims = ITO_DIMS(axis), .keepdim = keepdim);
}

static bool check_order(const char *op, double p)
{
    return !isnan(p) || error_false(ITO_ERR_ARGUMENT, "%s: the order is NaN", op);
}

ito_tensor *ito_norm_with(ito_tensor *x, ito_norm_options options)
{
    if (!check_real("norm", &x, 1) || !check_axes("norm", x, options.dims) ||
        !check_order("norm", options.ord))
        return NULL;
    ito_reduce_options over =
        ITO_OPTIONS(ito_reduce_options, .dims = options.dims, .keepdim = options.keepdim);
    ito_scope_begin();
    return leave_scope(norm(x, options.ord, over));
}

/* max(norm, eps) along an axis, which stays. */
static ito_tensor *length(ito_tensor *x, double p, int axis, double eps)
{
    return ito_clamp(norm(x, p, along(axis, true)), eps, HUGE_VAL);
}

ito_tensor *ito_normalize_with(ito_tensor *x, ito_normalize_options options)
{
    if (!check_real("normalize", &x, 1) || !check_order("normalize", options.p))
        return NULL;
    int axis = axis_normalize("normalize", options.dim, x->ndim);
    if (axis < 0)
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_div(x, length(x, options.p, axis, options.eps)));
}

ito_tensor *ito_cosine_similarity_with(ito_tensor *x1, ito_tensor *x2,
                                       ito_cosine_similarity_options options)
{
    if (!check_real("cosine_similarity", (ito_tensor *[]){x1, x2}, 2) ||
        !check_broadcast("cosine_similarity", x1, x2))
        return NULL;
    int ndim = x1->ndim > x2->ndim ? x1->ndim : x2->ndim;
    int axis = axis_normalize("cosine_similarity", options.dim, ndim);
    if (axis < 0)
        return NULL;
    axis -= ndim; /* from the end, where axes of both meet */
    ito_shape shape;
    (void)shape_broadcast(ito_shape_of(x1), ito_shape_of(x2), &shape);
    ito_scope_begin();
    x1 = ito_expand_to(x1, shape);
    x2 = ito_expand_to(x2, shape);
    ito_tensor *cosines = ito_mul(ito_div(x1, length(x1, 2, axis, options.eps)),
                                  ito_div(x2, length(x2, 2, axis, options.eps)));
    return leave_scope(ito_sum_with(cosines, along(axis, false)));
}

ito_tensor *ito_pairwise_distance_with(ito_tensor *x1, ito_tensor *x2,
                                       ito_pairwise_distance_options options)
{
    if (!check_real("pairwise_distance", (ito_tensor *[]){x1, x2}, 2) ||
        !check_broadcast("pairwise_distance", x1, x2) ||
        !check_order("pairwise_distance", options.p))
        return NULL;
    if (x1->ndim == 0 && x2->ndim == 0)
        return error_null(ITO_ERR_SHAPE, "pairwise_distance: numbers have no axis of coordinates");
    ito_scope_begin();
    ito_tensor *difference = ito_add_scalar(ito_sub(x1, x2), options.eps);
    return leave_scope(norm(difference, options.p, along(-1, options.keepdim)));
}

/* ---- deviations -------------------------------------------------------------------------------
 */

static ito_tensor *deviation(const char *op, ito_tensor *x, ito_tensor **mean,
                             ito_reduce_options options, bool is_root)
{
    if (mean != NULL)
        *mean = NULL;
    if (!check_real(op, &x, 1) || !check_axes(op, x, options.dims))
        return NULL;
    ito_tensor *m = mean == NULL ? NULL : ito_mean_with(x, options);
    if (mean != NULL && m == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *variance = ito_var_with(x, options);
    ito_tensor *y = leave_scope(is_root ? but_at_zero(variance, root, 0) : variance);
    if (mean != NULL && y != NULL)
        *mean = m;
    return y;
}

ito_tensor *ito_std_with(ito_tensor *x, ito_reduce_options options)
{
    return deviation("std", x, NULL, options, true);
}

ito_tensor *ito_var_mean_with(ito_tensor *x, ito_tensor **mean, ito_reduce_options options)
{
    return deviation("var_mean", x, mean, options, false);
}

ito_tensor *ito_std_mean_with(ito_tensor *x, ito_tensor **mean, ito_reduce_options options)
{
    return deviation("std_mean", x, mean, options, true);
}
