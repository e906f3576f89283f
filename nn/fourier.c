/* Layers of random Fourier features: of vectors, and EDM2's of a number. Their frequencies are
 * drawn once and are not trained. */
#include "autograd/ops.h"
#include "nn/init.h"
#include "nn/layer.h"
#include "nn/layers.h"
#include "nn/layers_mp.h"
#include "tensor/internal.h"

#include <math.h>

static const double tau = 6.283185307179586476925;

static bool is_finite(const char *name, const char *what, double value)
{
    return isfinite(value) ||
           error_false(ITO_ERR_RANGE, "%s: %s %g is not finite", name, what, value);
}

/* ---- of vectors --------------------------------------------------------------------------------
 */

static ito_tensor *features_forward(ito_module *self, ito_tensor *x)
{
    return ito_fourier_features_forward((ito_fourier_features_layer *)self, x);
}

ito_fourier_features_layer *ito_fourier_features_create_with(ito_module *parent, const char *name,
                                                             int64_t in, int64_t features,
                                                             ito_fourier_features_options o)
{
    if (in < 1 || features < 1)
        return error_null(ITO_ERR_ARGUMENT,
                          "fourier_features: %" PRId64 " inputs and %" PRId64
                          " frequencies; both must be positive",
                          in, features);
    if (!is_finite("fourier_features", "scale", o.scale) ||
        !layer_dtype_fits("fourier_features", o.dtype))
        return NULL;
    ito_fourier_features_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = features_forward;
    ito_tensor *b = ito_zeros(ITO_SHAPE(features, in), o.dtype);
    if (o.generator != NULL)
        b = ito_init_normal(b, 0, o.scale, o.generator);
    l->b = ito_module_buffer(&l->base, "B", b);
    if (l->b == NULL)
        goto fail;
    return l;
fail:
    ito_module_free(&l->base);
    return NULL;
}

ito_tensor *ito_fourier_features_forward(ito_fourier_features_layer *layer, ito_tensor *x)
{
    if (layer == NULL || x == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *angle = ito_mul_scalar(ito_linear(x, layer->b, NULL), tau);
    ito_tensor *y = ito_keep(ito_cat(ITO_TENSORS(ito_cos(angle), ito_sin(angle)), -1));
    ito_scope_end();
    return y;
}

/* ---- of a number -------------------------------------------------------------------------------
 */

static ito_tensor *mp_forward(ito_module *self, ito_tensor *x)
{
    return ito_mp_fourier_forward((ito_mp_fourier_layer *)self, x);
}

ito_mp_fourier_layer *ito_mp_fourier_create_with(ito_module *parent, const char *name,
                                                 int64_t channels, ito_mp_fourier_options o)
{
    if (channels < 1)
        return error_null(ITO_ERR_ARGUMENT, "mp_fourier: %" PRId64 " channels; there must be some",
                          channels);
    if (!is_finite("mp_fourier", "bandwidth", o.bandwidth) ||
        !layer_dtype_fits("mp_fourier", o.dtype))
        return NULL;
    ito_mp_fourier_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = mp_forward;
    ito_tensor *freqs = ito_zeros(ITO_SHAPE(channels), o.dtype);
    ito_tensor *phases = ito_zeros(ITO_SHAPE(channels), o.dtype);
    if (o.generator != NULL) {
        freqs = ito_init_normal(freqs, 0, tau * o.bandwidth, o.generator);
        phases = ito_init_uniform(phases, 0, tau, o.generator);
    }
    l->freqs = ito_module_buffer(&l->base, "freqs", freqs);
    l->phases = ito_module_buffer(&l->base, "phases", phases);
    if (l->freqs == NULL || l->phases == NULL)
        goto fail;
    return l;
fail:
    ito_module_free(&l->base);
    return NULL;
}

ito_tensor *ito_mp_fourier_forward(ito_mp_fourier_layer *layer, ito_tensor *x)
{
    if (layer == NULL || x == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *number = ito_unsqueeze(ito_cast(x, layer->freqs->dtype), -1);
    ito_tensor *angle = ito_add(ito_mul(number, layer->freqs), layer->phases);
    ito_tensor *y = ito_keep(ito_mul_scalar(ito_cos(angle), sqrt(2)));
    ito_scope_end();
    return y;
}
