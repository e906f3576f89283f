/* Magnitude-preserving linear and convolution layers.
 * Invariant: forward uses weights of unit length; in training the parameter has length sqrt(fan in)
 * from the first forward after each change of it on. */
#include "autograd/ops.h"
#include "nn/init.h"
#include "nn/layer.h"
#include "nn/layers_mp.h"
#include "tensor/internal.h"

#include <math.h>

/* Added to lengths, as a share of the usual one: EDM2's. */
static const double epsilon = 1e-4;

static double fan_in(const ito_tensor *w)
{
    return (double)(ito_numel(w) / w->shape[0]);
}

/* 1 / (eps + |w| / sqrt(fan in)) of each output's weights, [out, 1, ...]. */
static ito_tensor *inverse_lengths(ito_tensor *w)
{
    if (w == NULL)
        return NULL;
    ito_shape inputs = {.ndim = w->ndim - 1, .dim = {1, 2, 3}};
    ito_tensor *length = ito_sqrt(ito_sum(ito_square(w), .dims = inputs, .keepdim = true));
    return ito_reciprocal(ito_add_scalar(ito_mul_scalar(length, 1 / sqrt(fan_in(w))), epsilon));
}

/* Forced weight normalisation: the parameter's own length becomes sqrt(fan in).
 *
 * The version of its storage stays: no graph has saved the weight since its last change, and other
 * parameters of a flattened model, which share the storage and have been saved, are not touched.
 * For the same reason it is done once after each change, not in every forward as in EDM2's code:
 * recomputation sees the same bits, and so does a second use in one graph. */
static bool force(ito_forced_norm *forced, ito_tensor *w)
{
    uint64_t version = w->storage->version;
    if (forced->storage == w->storage && forced->version == version)
        return true;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *value = ito_detach(w);
    value = ito_mul(value, inverse_lengths(value));
    if (value != NULL) {
        tensor_copy(w, value);
        *forced = (ito_forced_norm){w->storage, version};
    }
    ito_no_grad_end();
    ito_scope_end();
    return value != NULL;
}

/* The weight to compute with: of unit length, times gain unless that is NULL. */
static ito_tensor *effective(ito_module *m, ito_forced_norm *forced, ito_tensor *w,
                             ito_tensor *gain)
{
    if (m->training && !force(forced, w))
        return NULL;
    ito_tensor *scale = ito_mul_scalar(inverse_lengths(w), 1 / sqrt(fan_in(w)));
    return ito_mul(w, gain == NULL ? scale : ito_mul(scale, gain));
}

/* ---- linear ------------------------------------------------------------------------------------
 */

static ito_tensor *linear_forward(ito_module *self, ito_tensor *x)
{
    return ito_mp_linear_forward((ito_mp_linear_layer *)self, x);
}

ito_mp_linear_layer *ito_mp_linear_create_with(ito_module *parent, const char *name, int64_t in,
                                               int64_t out, ito_mp_linear_options options)
{
    if (in < 1 || out < 1)
        return error_null(ITO_ERR_ARGUMENT,
                          "mp_linear: %" PRId64 " inputs and %" PRId64
                          " outputs; both must be positive",
                          in, out);
    if (!layer_dtype_fits("mp_linear", options.dtype))
        return NULL;
    ito_mp_linear_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = linear_forward;
    ito_tensor *weight = ito_zeros(ITO_SHAPE(out, in), options.dtype);
    if (options.generator != NULL)
        weight = ito_init_normal(weight, 0, 1, options.generator);
    l->weight = ito_module_parameter(&l->base, "weight", weight);
    if (l->weight == NULL)
        goto fail;
    return l;
fail:
    ito_module_free(&l->base);
    return NULL;
}

static ito_tensor *linear(ito_mp_linear_layer *l, ito_tensor *x, ito_tensor *gain)
{
    if (l == NULL || x == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *w = effective(&l->base, &l->forced, l->weight, gain);
    ito_tensor *y = ito_keep(w == NULL ? NULL : ito_linear(x, w, NULL));
    ito_scope_end();
    return y;
}

ito_tensor *ito_mp_linear_forward(ito_mp_linear_layer *layer, ito_tensor *x)
{
    return linear(layer, x, NULL);
}

ito_tensor *ito_mp_linear_forward_gain(ito_mp_linear_layer *layer, ito_tensor *x, ito_tensor *gain)
{
    return gain == NULL ? NULL : linear(layer, x, gain);
}

/* ---- convolution -------------------------------------------------------------------------------
 */

static ito_tensor *conv2d_forward(ito_module *self, ito_tensor *x)
{
    return ito_mp_conv2d_forward((ito_mp_conv2d_layer *)self, x);
}

ito_mp_conv2d_layer *ito_mp_conv2d_create_with(ito_module *parent, const char *name, int64_t in,
                                               int64_t out, int64_t kernel,
                                               ito_mp_conv2d_options options)
{
    if (in < 1 || out < 1 || kernel < 1 || kernel % 2 == 0)
        return error_null(ITO_ERR_ARGUMENT,
                          "mp_conv2d: %" PRId64 " channels in, %" PRId64
                          " out and a kernel of %" PRId64 "; all must be positive, the kernel odd",
                          in, out, kernel);
    if (!layer_dtype_fits("mp_conv2d", options.dtype))
        return NULL;
    ito_mp_conv2d_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = conv2d_forward;
    ito_tensor *weight =
        tensor_empty_channels_last(ITO_SHAPE(out, in, kernel, kernel), options.dtype);
    weight = options.generator != NULL ? ito_init_normal(weight, 0, 1, options.generator)
                                       : ito_init_constant(weight, 0);
    l->weight = ito_module_parameter(&l->base, "weight", weight);
    if (l->weight == NULL)
        goto fail;
    return l;
fail:
    ito_module_free(&l->base);
    return NULL;
}

static ito_tensor *convolve(ito_mp_conv2d_layer *l, ito_tensor *x, ito_tensor *gain)
{
    if (l == NULL || x == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *w = effective(&l->base, &l->forced, l->weight, gain);
    ito_tensor *y = w == NULL ? NULL : ito_conv2d(x, w, NULL, .padding = l->weight->shape[2] / 2);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_mp_conv2d_forward(ito_mp_conv2d_layer *layer, ito_tensor *x)
{
    return convolve(layer, x, NULL);
}

ito_tensor *ito_mp_conv2d_forward_gain(ito_mp_conv2d_layer *layer, ito_tensor *x, ito_tensor *gain)
{
    return gain == NULL ? NULL : convolve(layer, x, gain);
}
