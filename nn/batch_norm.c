/* The layers of batch and instance norm, whose running statistics are buffers. */
#include "autograd/ops.h"
#include "nn/layer.h"
#include "nn/layers_norm.h"
#include "tensor/internal.h"

#include <math.h>

typedef ito_running_norm_layer norm_layer;

static ito_tensor *forward(ito_module *self, ito_tensor *x)
{
    return ito_running_norm_forward((norm_layer *)self, x);
}

static bool add_tensors(norm_layer *l, int64_t channels, bool affine, bool tracks, ito_dtype dtype)
{
    ito_module *m = &l->base;
    ito_shape shape = ITO_SHAPE(channels);
    if (affine) {
        l->weight = ito_module_parameter(m, "weight", ito_ones(shape, dtype));
        l->bias = ito_module_parameter(m, "bias", ito_zeros(shape, dtype));
        if (l->weight == NULL || l->bias == NULL)
            return false;
    }
    if (!tracks)
        return true;
    l->running_mean = ito_module_buffer(m, "running_mean", ito_zeros(shape, dtype));
    l->running_var = ito_module_buffer(m, "running_var", ito_ones(shape, dtype));
    l->num_batches_tracked =
        ito_module_buffer(m, "num_batches_tracked", ito_zeros(ITO_SHAPE(), ITO_I64));
    return l->running_mean != NULL && l->running_var != NULL && l->num_batches_tracked != NULL;
}

static norm_layer *create(const char *op, ito_module *parent, const char *name, int64_t channels,
                          ito_batch_norm_layer_options o, bool by_image)
{
    if (channels < 1)
        return error_null(ITO_ERR_ARGUMENT, "%s: %" PRId64 " channels; there must be some", op,
                          channels);
    if (!(o.eps >= 0 && o.eps < HUGE_VAL))
        return error_null(ITO_ERR_RANGE, "%s: eps %g is negative or not finite", op, o.eps);
    if (!(o.momentum >= 0 && o.momentum <= 1) && !(isnan(o.momentum) && !by_image))
        return error_null(ITO_ERR_RANGE, "%s: momentum %g is not in [0, 1]", op, o.momentum);
    if (!layer_dtype_fits(op, o.dtype))
        return NULL;
    norm_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward;
    l->eps = o.eps;
    l->momentum = o.momentum;
    l->by_image = by_image;
    if (add_tensors(l, channels, o.affine, o.track_running_stats, o.dtype))
        return l;
    ito_module_free(&l->base);
    return NULL;
}

ito_running_norm_layer *ito_batch_norm_create_with(ito_module *parent, const char *name,
                                                   int64_t channels,
                                                   ito_batch_norm_layer_options options)
{
    return create("batch_norm", parent, name, channels, options, false);
}

ito_running_norm_layer *ito_instance_norm_create_with(ito_module *parent, const char *name,
                                                      int64_t channels,
                                                      ito_instance_norm_layer_options options)
{
    ito_batch_norm_layer_options o = {.eps = options.eps,
                                      .momentum = options.momentum,
                                      .affine = options.affine,
                                      .track_running_stats = options.track_running_stats,
                                      .dtype = options.dtype};
    return create("instance_norm", parent, name, channels, o, true);
}

/* The share of this batch in the running statistics, which has been counted. */
static double share_of(const norm_layer *l, int64_t batches)
{
    return isnan(l->momentum) ? 1 / (double)batches : l->momentum;
}

ito_tensor *ito_running_norm_forward(ito_running_norm_layer *layer, ito_tensor *x)
{
    if (layer == NULL || x == NULL)
        return NULL;
    bool tracks = layer->running_mean != NULL, training = layer->base.training || !tracks;
    if (layer->by_image)
        return ito_instance_norm(x, layer->running_mean, layer->running_var, layer->weight,
                                 layer->bias, .use_input_stats = training,
                                 .momentum = layer->momentum, .eps = layer->eps);
    int64_t *batches = tracks ? tensor_data(layer->num_batches_tracked) : NULL;
    double share = tracks && training ? share_of(layer, *batches + 1) : 0;
    ito_tensor *y =
        ito_batch_norm(x, layer->running_mean, layer->running_var, layer->weight, layer->bias,
                       .training = training, .momentum = share, .eps = layer->eps);
    if (y != NULL && tracks && training) {
        ++*batches;
        ito_touch(layer->num_batches_tracked);
    }
    return y;
}
