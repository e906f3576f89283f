/* Magnitude-preserving functions: EDM2's replacements of silu, sums and concatenations. */
#include "autograd/ops.h"
#include "nn/layers_mp.h"
#include "tensor/internal.h"

#include <math.h>

static bool share_fits(const char *op, double t)
{
    return (t >= 0 && t <= 1) || error_false(ITO_ERR_RANGE, "%s: t %g is not in [0, 1]", op, t);
}

ito_tensor *ito_mp_silu(ito_tensor *x)
{
    ito_scope_begin();
    ito_tensor *y = ito_keep(ito_mul_scalar(ito_silu(x), 1 / 0.596));
    ito_scope_end();
    return y;
}

ito_tensor *ito_mp_sum(ito_tensor *a, ito_tensor *b, double t)
{
    if (!share_fits("mp_sum", t))
        return NULL;
    double length = hypot(1 - t, t);
    return ito_axpby((1 - t) / length, a, t / length, b);
}

ito_tensor *ito_mp_pixel_norm(ito_tensor *x, int axis)
{
    ito_scope_begin();
    ito_tensor *mean = ito_mean(ito_square(x), .dims = ITO_DIMS(axis), .keepdim = true);
    ito_tensor *y = ito_keep(ito_div(x, ito_add_scalar(ito_sqrt(mean), 1e-4)));
    ito_scope_end();
    return y;
}

ito_tensor *ito_mp_cat(ito_tensor *a, ito_tensor *b, int axis, double t)
{
    if (a == NULL || b == NULL || !share_fits("mp_cat", t))
        return NULL;
    int from_front = axis < 0 ? axis + a->ndim : axis;
    if (from_front < 0 || from_front >= a->ndim || b->ndim != a->ndim)
        return error_null(ITO_ERR_SHAPE, "mp_cat: %s and %s have no axis %d in common",
                          tensor_shape_str(a), tensor_shape_str(b), axis);
    double n_a = (double)a->shape[from_front], n_b = (double)b->shape[from_front];
    double scale = sqrt(n_a + n_b) / hypot(1 - t, t);
    ito_scope_begin();
    a = ito_mul_scalar(a, n_a > 0 ? scale / sqrt(n_a) * (1 - t) : 0);
    b = ito_mul_scalar(b, n_b > 0 ? scale / sqrt(n_b) * t : 0);
    ito_tensor *y = ito_keep(ito_cat(ITO_TENSORS(a, b), axis));
    ito_scope_end();
    return y;
}
