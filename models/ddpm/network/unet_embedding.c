/* The embedding of times and labels of the U-Net, under diffusers' names.
 * Invariant: features of times are computed in double and rounded once. */
#include "models/ddpm/network/unet_embedding.h"

#include "autograd/observe.h"
#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "models/ddpm/network/resnet.h"
#include "models/ddpm/network/unet_config.h"
#include "tensor/internal.h"

#include <math.h>

/* ---- features of times ---- */

/* y[i] = value, rounded to y's dtype. */
static void store(ito_tensor *y, int64_t i, double value)
{
    if (y->dtype == ITO_F64)
        ((double *)tensor_data(y))[i] = value;
    else
        ((float *)tensor_data(y))[i] = (float)value;
}

/* The same by operations, for whoever follows these. */
static ito_tensor *waves_by_operations(ito_tensor *t, ito_tensor *frequency, bool logarithm,
                                       bool cosines_first, ito_dtype dtype)
{
    ito_tensor *time = ito_unsqueeze(ito_cast(t, ITO_F64), 1);
    ito_tensor *angle = ito_mul(logarithm ? ito_log(time) : time, frequency);
    ito_tensor *sine = ito_sin(angle), *cosine = ito_cos(angle);
    ito_tensor *y = cosines_first ? ito_cat(ITO_TENSORS(cosine, sine), 1)
                                  : ito_cat(ITO_TENSORS(sine, cosine), 1);
    return ito_cast(y, dtype);
}

/* [N, 2 n]: the sines, then the cosines, of t [N] or its logarithm times frequency [n] f64. */
static ito_tensor *waves(ito_tensor *t, ito_tensor *frequency, bool logarithm, bool cosines_first,
                         ito_dtype dtype)
{
    if (op_traced())
        return waves_by_operations(t, frequency, logarithm, cosines_first, dtype);
    int64_t n = frequency->shape[0], sines = cosines_first ? n : 0;
    ito_tensor *y = tensor_empty(ITO_SHAPE(t->shape[0], 2 * n), dtype);
    for (int64_t i = 0; y != NULL && i < t->shape[0]; i++)
        for (int64_t k = 0; k < n; k++) {
            double time = vector_at(t, i);
            double angle = (logarithm ? log(time) : time) * vector_at(frequency, k);
            store(y, i * 2 * n + sines + k, sin(angle));
            store(y, i * 2 * n + n - sines + k, cos(angle));
        }
    return y;
}

static bool are_numbers(const ito_tensor *t)
{
    return t->dtype == ITO_I64 || t->dtype == ITO_F32 || t->dtype == ITO_F64;
}

ito_tensor *ito_time_embedding_with(ito_tensor *t, int64_t channels,
                                    ito_time_embedding_options options)
{
    if (t == NULL)
        return NULL;
    if (t->ndim != 1 || !are_numbers(t) || channels < 4 || channels % 2 != 0)
        return error_null(ITO_ERR_SHAPE,
                          "time_embedding: t is %s %s, channels %" PRId64
                          "; it takes [N] i64, f32 or f64 and an even number from 4 up",
                          tensor_shape_str(t), ito_dtype_name(t->dtype), channels);
    if (options.dtype != ITO_F32 && options.dtype != ITO_F64)
        return error_null(ITO_ERR_DTYPE, "time_embedding: the result is f32 or f64, not %s",
                          ito_dtype_name(options.dtype));
    if (options.freq_divisor < 0)
        return error_null(ITO_ERR_RANGE,
                          "time_embedding: freq_divisor is %" PRId64 "; it must be 0 or more",
                          options.freq_divisor);
    int64_t half = channels / 2;
    int64_t divisor = options.freq_divisor != 0 ? options.freq_divisor : half - 1;
    ito_scope_begin();
    ito_tensor *frequency = tensor_empty(ITO_SHAPE(half), ITO_F64), *y = NULL;
    for (int64_t k = 0; k < half && frequency != NULL; k++)
        ((double *)tensor_data(frequency))[k] = exp(-log(10000.0) * (double)k / (double)divisor);
    if (frequency != NULL)
        y = ito_keep(waves(t, frequency, false, options.flip_sin_to_cos, options.dtype));
    ito_scope_end();
    return y;
}

/* Song et al. 2021, arXiv:2011.13456: sin, then cos of 2 pi w log t, of t above 0. */
static ito_tensor *fourier_features(const ito_tensor *w, ito_tensor *t, ito_dtype dtype)
{
    const double tau = 6.283185307179586476925;
    int64_t n = w->shape[0];
    ito_tensor *frequency = tensor_empty(ITO_SHAPE(n), ITO_F64);
    for (int64_t k = 0; k < n && frequency != NULL; k++)
        ((double *)tensor_data(frequency))[k] = tau * vector_at(w, k);
    return frequency == NULL ? NULL : waves(t, frequency, true, false, dtype);
}

static ito_tensor *features(const ito_unet *u, const unet_embedding *e, ito_tensor *t)
{
    const ito_unet_config *c = &u->config;
    if (e->fourier != NULL)
        return fourier_features(e->fourier, t, c->dtype);
    if (e->learned != NULL)
        return ito_embedding_forward(e->learned, ito_cast(t, ITO_I64));
    return ito_time_embedding(t, c->channels, .dtype = c->dtype, .freq_divisor = c->freq_divisor,
                              .flip_sin_to_cos = c->flip_sin_to_cos);
}

/* ---- layers ---- */

static bool create_features(ito_unet *u, unet_embedding *e)
{
    const ito_unet_config *c = &u->config;
    if (c->time == ITO_UNET_TIME_FOURIER) {
        e->fourier = ito_module_buffer(&u->base, "time_proj.weight",
                                       ito_zeros(ITO_SHAPE(c->channels), c->dtype));
        return e->fourier != NULL;
    }
    if (c->time == ITO_UNET_TIME_LEARNED) {
        e->learned =
            ito_embedding_create(&u->base, "time_proj", c->times, c->channels, .dtype = c->dtype);
        return e->learned != NULL;
    }
    return true;
}

static bool create_labels(ito_unet *u, unet_embedding *e, int64_t in, int64_t out)
{
    const ito_unet_config *c = &u->config;
    if (c->class_kind == ITO_UNET_CLASS_TIMESTEP) {
        e->class_linear_1 =
            ito_linear_create(&u->base, "class_embedding.linear_1", in, out, .dtype = c->dtype);
        e->class_linear_2 =
            ito_linear_create(&u->base, "class_embedding.linear_2", out, out, .dtype = c->dtype);
        return e->class_linear_1 != NULL && e->class_linear_2 != NULL;
    }
    if (c->classes == 0)
        return true;
    int64_t rows = c->class_kind == ITO_UNET_CLASS_OR_NONE ? c->classes + 1 : c->classes;
    e->class_embedding =
        ito_embedding_create(&u->base, "class_embedding", rows, out, .dtype = c->dtype);
    return e->class_embedding != NULL;
}

bool unet_embedding_create(ito_unet *u, unet_embedding *e)
{
    const ito_unet_config *c = &u->config;
    int64_t in = c->time == ITO_UNET_TIME_FOURIER ? 2 * c->channels : c->channels;
    int64_t out = unet_time_channels(c);
    if (!create_features(u, e))
        return false;
    e->linear_1 =
        ito_linear_create(&u->base, "time_embedding.linear_1", in, out, .dtype = c->dtype);
    e->linear_2 =
        ito_linear_create(&u->base, "time_embedding.linear_2", out, out, .dtype = c->dtype);
    return e->linear_1 != NULL && e->linear_2 != NULL && create_labels(u, e, in, out);
}

/* ---- what fits ---- */

/* Whether features can be made of t, a time or a label. */
static bool check_times(const ito_unet_config *c, const char *what, const ito_tensor *t)
{
    if (c->time == ITO_UNET_TIME_SINES)
        return true;
    if (!are_numbers(t))
        return error_false(ITO_ERR_DTYPE, "unet: %s of %s; it is i64, f32 or f64", what,
                           ito_dtype_name(t->dtype));
    bool learned = c->time == ITO_UNET_TIME_LEARNED;
    for (int64_t i = 0; i < t->shape[0]; i++) {
        double x = vector_at(t, i);
        if (learned && !(x >= 0.0 && x < (double)c->times && floor(x) == x))
            return error_false(ITO_ERR_RANGE,
                               "unet: %s %g is none of the learned ones, the whole numbers from 0 "
                               "to %" PRId64,
                               what, x, c->times - 1);
        if (!learned && !(x > 0.0))
            return error_false(ITO_ERR_RANGE,
                               "unet: %s %g; Fourier features are of its logarithm, and it must be "
                               "above 0",
                               what, x);
    }
    return true;
}

static bool check_numbers(const ito_unet_config *c, const ito_tensor *labels, int64_t n)
{
    if (labels->ndim == 1 && labels->shape[0] == n && are_numbers(labels))
        return check_times(c, "a label", labels);
    return error_false(ITO_ERR_SHAPE,
                       "unet: labels %s %s for %" PRId64 " images; it takes [N] i64, f32 or f64",
                       ito_dtype_name(labels->dtype), tensor_shape_str(labels), n);
}

static bool check_rows(const ito_unet_config *c, const ito_tensor *labels, int64_t n)
{
    int64_t width = unet_time_channels(c);
    if (labels->ndim == 2 && labels->shape[0] == n && labels->shape[1] == width &&
        labels->dtype == c->dtype)
        return true;
    return error_false(ITO_ERR_SHAPE,
                       "unet: labels %s %s for %" PRId64 " images; it takes [N, %" PRId64 "] %s",
                       ito_dtype_name(labels->dtype), tensor_shape_str(labels), n, width,
                       ito_dtype_name(c->dtype));
}

static bool check_classes(const ito_unet_config *c, const ito_tensor *labels, int64_t n)
{
    if (c->classes == 0)
        return error_false(ITO_ERR_ARGUMENT,
                           "unet: the network has no classes and takes no labels");
    if (labels->dtype == ITO_I64 && labels->ndim == 1 && labels->shape[0] == n)
        return true;
    return error_false(ITO_ERR_SHAPE, "unet: labels %s %s for %" PRId64 " images; it takes [N] i64",
                       ito_dtype_name(labels->dtype), tensor_shape_str(labels), n);
}

bool unet_embedding_check(const ito_unet *u, const ito_tensor *t, const ito_tensor *labels)
{
    const ito_unet_config *c = &u->config;
    int64_t n = t->shape[0];
    if (!check_times(c, "a time", t))
        return false;
    if (labels == NULL)
        return c->class_kind == ITO_UNET_CLASS_OR_NONE ||
               error_false(ITO_ERR_ARGUMENT,
                           "unet: the network needs a label for each image, and there are none");
    return c->class_kind == ITO_UNET_CLASS_TIMESTEP   ? check_numbers(c, labels, n)
           : c->class_kind == ITO_UNET_CLASS_EMBEDDED ? check_rows(c, labels, n)
                                                      : check_classes(c, labels, n);
}

/* ---- the way through ---- */

static ito_tensor *embed_label(const ito_unet *u, const unet_embedding *e, ito_tensor *labels)
{
    if (u->config.class_kind == ITO_UNET_CLASS_EMBEDDED)
        return labels;
    if (e->class_embedding != NULL)
        return ito_embedding_forward(e->class_embedding, labels);
    ito_tensor *h = ito_linear_forward(e->class_linear_1, features(u, e, labels));
    return ito_linear_forward(e->class_linear_2, ito_silu(h));
}

ito_tensor *unet_embed(const ito_unet *u, const unet_embedding *e, ito_tensor *t,
                       ito_tensor *labels)
{
    ito_scope_begin();
    ito_tensor *h = ito_linear_forward(e->linear_1, features(u, e, t));
    h = ito_linear_forward(e->linear_2, ito_silu(h));
    if (labels == NULL && e->class_embedding != NULL)
        labels = ito_full(ITO_SHAPE(t->shape[0]), (double)u->config.classes, ITO_I64);
    if (labels != NULL)
        h = ito_add(h, embed_label(u, e, labels));
    h = ito_keep(unet_activate(u->config.activation, h));
    ito_scope_end();
    return h;
}
