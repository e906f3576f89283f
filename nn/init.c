/* Initial values. Numbers are drawn in row-major order whatever the memory order of the parameter,
 * so that the layout of weights in memory never changes a run. */
#include "nn/init.h"
#include "tensor/internal.h"

#include <math.h>

static bool can_initialise(const ito_tensor *t)
{
    if (t == NULL)
        return false;
    if (t->dtype == ITO_F32 || t->dtype == ITO_F64)
        return true;
    ito_error_set(ITO_ERR_DTYPE, "init: fills f32 or f64, not %s", ito_dtype_name(t->dtype));
    return false;
}

typedef ito_tensor *draw_fn(ito_generator *g, ito_shape shape, ito_dtype dtype);

/* t = shift + scale * draw, computed in double and rounded once. */
static ito_tensor *fill(ito_tensor *t, draw_fn *draw, double shift, double scale, ito_generator *g)
{
    ito_scope_begin();
    ito_tensor *drawn = draw(g, ito_shape_of(t), t->dtype);
    int64_t n = ito_numel(drawn);
    if (drawn != NULL && t->dtype == ITO_F32) {
        float *x = tensor_data(drawn);
        for (int64_t i = 0; i < n; i++)
            x[i] = (float)(shift + scale * (double)x[i]);
    } else if (drawn != NULL) {
        double *x = tensor_data(drawn);
        for (int64_t i = 0; i < n; i++)
            x[i] = shift + scale * x[i];
    }
    if (drawn != NULL) {
        tensor_copy(t, drawn);
        ito_touch(t);
    }
    ito_scope_end();
    return drawn == NULL ? NULL : t;
}

ito_tensor *ito_init_constant(ito_tensor *t, double value)
{
    if (!can_initialise(t))
        return NULL;
    tensor_fill(t, value);
    ito_touch(t);
    return t;
}

ito_tensor *ito_init_uniform(ito_tensor *t, double low, double high, ito_generator *g)
{
    return can_initialise(t) ? fill(t, ito_rand, low, high - low, g) : NULL;
}

ito_tensor *ito_init_normal(ito_tensor *t, double mean, double std, ito_generator *g)
{
    return can_initialise(t) ? fill(t, ito_randn, mean, std, g) : NULL;
}

/* fan_in, the inputs of one output, and fan_out, the outputs of one input. */
static bool fans(const ito_tensor *t, double *in, double *out)
{
    if (!can_initialise(t))
        return false;
    if (t->ndim < 2) {
        ito_error_set(ITO_ERR_SHAPE, "init: %s has no fan; a weight has at least 2 axes",
                      tensor_shape_str(t));
        return false;
    }
    double receptive = 1;
    for (int i = 2; i < t->ndim; i++)
        receptive *= (double)t->shape[i];
    *in = receptive * (double)t->shape[1];
    *out = receptive * (double)t->shape[0];
    return true;
}

/* Uniform with this variance: that of uniform in +-b is b^2 / 3. */
static ito_tensor *uniform_of_variance(ito_tensor *t, double variance, ito_generator *g)
{
    double bound = sqrt(3 * variance);
    return fill(t, ito_rand, -bound, 2 * bound, g);
}

ito_tensor *ito_init_glorot_uniform(ito_tensor *t, double scale, ito_generator *g)
{
    double in, out;
    return fans(t, &in, &out) ? uniform_of_variance(t, scale * 2 / (in + out), g) : NULL;
}

ito_tensor *ito_init_kaiming_uniform(ito_tensor *t, double gain, ito_generator *g)
{
    double in, out;
    return fans(t, &in, &out) ? uniform_of_variance(t, gain * gain / in, g) : NULL;
}

ito_tensor *ito_init_kaiming_normal(ito_tensor *t, double gain, ito_generator *g)
{
    double in, out;
    return fans(t, &in, &out) ? fill(t, ito_randn, 0, gain / sqrt(in), g) : NULL;
}
