/* Dropout of whole channels, and the dropouts that keep mean and variance of SELU's activations.
 * The mask is drawn for what goes together and kept, a byte for each. */
#include "autograd/ops.h"
#include "autograd/ops/composite.h"
#include "autograd/ops/dropout.h"

#include <math.h>

/* What one call is about. */
typedef struct dropping {
    const char *op;
    double p;
    int axes; /* of x that have a mask of their own, from the front; -1: all */
} dropping;

static bool check(const dropping *d, const ito_tensor *x, const ito_generator *g)
{
    if (x->dtype != ITO_F32 && x->dtype != ITO_F64 && x->dtype != ITO_BF16)
        return error_false(ITO_ERR_DTYPE, "%s: takes f32, f64 or bf16, not %s (see ito_cast)",
                           d->op, ito_dtype_name(x->dtype));
    if (!(d->p >= 0 && d->p < 1))
        return error_false(ITO_ERR_RANGE, "%s: probability %g is not in [0, 1)", d->op, d->p);
    if (g == NULL)
        return error_false(ITO_ERR_ARGUMENT, "%s: no generator", d->op);
    return true;
}

/* true where x stays, broadcast to it. */
static ito_tensor *draw(const dropping *d, const ito_tensor *x, ito_generator *g)
{
    ito_shape shape = ito_shape_of(x);
    for (int i = d->axes; d->axes >= 0 && i < shape.ndim; i++)
        shape.dim[i] = 1;
    return ito_bernoulli(g, 1 - d->p, shape, ITO_BOOL);
}

/* Kept elements are scaled; the others are 0. */
static ito_tensor *drop(const dropping *d, ito_tensor *x, ito_generator *g)
{
    if (d->p == 0)
        return ito_view_to(x, ito_shape_of(x));
    ito_tensor *zero = ito_scalar(0, x->dtype);
    return COMPOSITE(ito_mul_scalar(ito_where(draw(d, x, g), x, zero), 1 / (1 - d->p)));
}

/* Dropped elements are what SELU tends to, -alpha; then a line brings back mean 0 and variance 1.
 */
static ito_tensor *drop_alpha(const dropping *d, ito_tensor *x, ito_generator *g)
{
    static const double alpha = 1.7580993408473766; /* SELU's scale times its alpha */
    if (d->p == 0)
        return ito_view_to(x, ito_shape_of(x));
    double a = 1 / sqrt((alpha * alpha * d->p + 1) * (1 - d->p));
    ito_tensor *low = ito_scalar(-alpha, ITO_F64);
    return COMPOSITE(ito_add_scalar(
        ito_mul_scalar(ito_where(draw(d, x, g), x, ito_cast(low, x->dtype)), a), alpha * a * d->p));
}

static ito_tensor *drop_channels(const char *op, ito_tensor *x, double p, ito_generator *g,
                                 int spatial, int others)
{
    if (x == NULL)
        return NULL;
    dropping d = {op, p, 2};
    if (!check(&d, x, g))
        return NULL;
    if (x->ndim == spatial + 1 && x->ndim != others)
        d.axes = 1; /* [C, ..], without a batch */
    else if (x->ndim != spatial + 2 && x->ndim != others)
        return error_null(ITO_ERR_SHAPE, "%s: %s has neither %d nor %d axes", op,
                          tensor_shape_str(x), spatial + 1, spatial + 2);
    return drop(&d, x, g);
}

ito_tensor *ito_dropout1d(ito_tensor *x, double p, ito_generator *g)
{
    return drop_channels("dropout1d", x, p, g, 1, 0);
}

/* [N, C, L] is taken, as by PyTorch, for a batch of signals. */
ito_tensor *ito_dropout2d(ito_tensor *x, double p, ito_generator *g)
{
    return drop_channels("dropout2d", x, p, g, 2, 3);
}

ito_tensor *ito_dropout3d(ito_tensor *x, double p, ito_generator *g)
{
    return drop_channels("dropout3d", x, p, g, 3, 0);
}

ito_tensor *ito_alpha_dropout(ito_tensor *x, double p, ito_generator *g)
{
    dropping d = {"alpha_dropout", p, -1};
    return x == NULL || !check(&d, x, g) ? NULL : drop_alpha(&d, x, g);
}

ito_tensor *ito_feature_alpha_dropout(ito_tensor *x, double p, ito_generator *g)
{
    dropping d = {"feature_alpha_dropout", p, 2};
    if (x == NULL || !check(&d, x, g))
        return NULL;
    if (x->ndim < 2)
        return error_null(ITO_ERR_SHAPE, "feature_alpha_dropout: %s is not [N, C, ..]",
                          tensor_shape_str(x));
    return drop_alpha(&d, x, g);
}
