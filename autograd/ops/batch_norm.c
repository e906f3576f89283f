/* Batch and instance normalisation, and local response normalisation. With all pixels of a batch
 * seen as those of one image, batch norm is a group norm of as many groups as channels; instance
 * norm is one anyway. So both have its two passes, its kernels and its gradients. By running
 * statistics they are x scale + shift.
 */
#include "autograd/autograd.h"
#include "autograd/op.h"
#include "autograd/ops/group_norm.h"
#include "autograd/ops/resample.h"

#include <math.h>

/* ---- checks ---- */

typedef struct norm_call {
    const char *name;
    ito_tensor *x, *running_mean, *running_var, *weight, *bias;
    bool measure; /* the statistics of x, not the running ones */
    double momentum, eps;
} norm_call;

static bool channel_vector(const norm_call *c, const char *what, const ito_tensor *t)
{
    if (t == NULL || (t->ndim == 1 && t->shape[0] == c->x->shape[1]))
        return true;
    return error_false(ITO_ERR_SHAPE, "%s: %s %s does not fit %" PRId64 " channels", c->name, what,
                       tensor_shape_str(t), c->x->shape[1]);
}

static bool running_fits(const norm_call *c, const char *what, ito_tensor *t)
{
    if (t == NULL)
        return c->measure ||
               error_false(ITO_ERR_ARGUMENT, "%s: without statistics of x, %s must not be NULL",
                           c->name, what);
    return op_inputs_fit(c->name, REAL, &t, 1, 0) && channel_vector(c, what, t);
}

static bool call_fits(const norm_call *c, int least_axes)
{
    enum { WEIGHT_AND_BIAS_MAY_BE_NULL = 6 };
    if (!op_inputs_fit(c->name, MIXED, (ito_tensor *[]){c->x, c->weight, c->bias}, 3,
                       WEIGHT_AND_BIAS_MAY_BE_NULL))
        return false;
    if (c->x->ndim < least_axes)
        return error_false(ITO_ERR_SHAPE, "%s: x %s is not [N, C, %s...]", c->name,
                           tensor_shape_str(c->x), least_axes > 2 ? "L, " : "");
    if (!(c->eps >= 0 && isfinite(c->eps)))
        return error_false(ITO_ERR_ARGUMENT, "%s: eps is %g; it must be 0 or more, finite", c->name,
                           c->eps);
    return running_fits(c, "running_mean", c->running_mean) &&
           running_fits(c, "running_var", c->running_var) &&
           channel_vector(c, "weight", c->weight) && channel_vector(c, "bias", c->bias);
}

/* ---- by running statistics ---- */

static ito_dtype wide(ito_dtype dtype)
{
    return dtype == ITO_BF16 ? ITO_F32 : dtype;
}

/* x scale + shift by channel; NULL for 1 and 0. */
static ito_tensor *affine(ito_tensor *x, ito_tensor *scale, ito_tensor *shift)
{
    ito_shape along = {.ndim = x->ndim - 1, .dim = {x->shape[1], 1, 1, 1, 1, 1, 1}};
    ito_tensor *y = ito_cast(x, wide(x->dtype));
    if (scale != NULL)
        y = ito_mul(y, ito_reshape_to(scale, along));
    if (shift != NULL)
        y = ito_add(y, ito_reshape_to(shift, along));
    return y == NULL ? NULL : ito_cast(y, x->dtype);
}

static ito_tensor *by_running(const norm_call *c)
{
    ito_dtype dtype = wide(c->x->dtype);
    ito_tensor *mean = ito_cast(ito_detach(c->running_mean), dtype);
    ito_tensor *var = ito_cast(ito_detach(c->running_var), dtype);
    ito_tensor *scale = ito_rsqrt(ito_add_scalar(var, c->eps));
    if (c->weight != NULL)
        scale = ito_mul(scale, c->weight);
    ito_tensor *shift = ito_neg(ito_mul(mean, scale));
    if (c->bias != NULL)
        shift = ito_add(shift, c->bias);
    return scale == NULL || shift == NULL ? NULL : affine(c->x, scale, shift);
}

/* ---- by x's own ---- */

/* [N, C, ...] as [N, ..., C]. */
static ito_tensor *channels_last_axis(ito_tensor *x)
{
    ito_shape axes = {.ndim = x->ndim};
    for (int i = 1; i + 1 < x->ndim; i++)
        axes.dim[i] = i + 1;
    axes.dim[x->ndim - 1] = 1;
    return ito_permute_to(x, axes);
}

/* The same, [pixels, C]; without a copy where x lies so. */
static ito_tensor *pixel_rows(ito_tensor *x)
{
    int64_t channels = x->shape[1];
    return ito_reshape_to(channels_last_axis(x), ITO_SHAPE(ito_numel(x) / channels, channels));
}

/* Pixel rows back in the shape of x. */
static ito_tensor *from_rows(ito_tensor *rows, ito_tensor *x)
{
    ito_shape shape = ito_shape_of(x), axes = {.ndim = x->ndim};
    for (int i = 1; i + 1 < x->ndim; i++) {
        shape.dim[i] = x->shape[i + 1];
        axes.dim[i + 1] = i;
    }
    shape.dim[x->ndim - 1] = x->shape[1];
    axes.dim[1] = x->ndim - 1;
    return ito_permute_to(ito_reshape_to(rows, shape), axes);
}

/* *running += momentum (now - *running), for now f64 [N, C] of which the mean counts; not recorded.
 */
static bool move(ito_tensor *running, ito_tensor *now, double momentum)
{
    if (running == NULL)
        return true;
    ito_tensor *mean = ito_mean(now, .dims = ITO_DIMS(0));
    return ito_copy_(running, ito_lerp(ito_cast(running, ITO_F64), mean, momentum)) != NULL;
}

/* The running statistics follow those of x [N, C, ...]. */
static bool move_running(const norm_call *c, ito_tensor *x)
{
    if (c->running_mean == NULL && c->running_var == NULL)
        return true;
    double n = (double)(ito_numel(x) / (x->shape[0] * x->shape[1]));
    ito_no_grad_begin();
    ito_tensor *mean, *var;
    bool moved = group_norm_measure(x, x->shape[1], &mean, &var) &&
                 move(c->running_mean, mean, c->momentum) &&
                 move(c->running_var, ito_mul_scalar(var, n / (n - 1)), c->momentum);
    ito_no_grad_end();
    return moved;
}

static ito_tensor *by_batch(const norm_call *c)
{
    ito_tensor *rows = pixel_rows(c->x);
    ito_tensor *image = ito_unsqueeze(ito_transpose(rows, 0, 1), 0); /* [1, C, pixels] */
    ito_tensor *y = ito_group_norm(image, c->x->shape[1], c->weight, c->bias, c->eps);
    if (y == NULL || !move_running(c, image))
        return NULL;
    return from_rows(ito_transpose(ito_squeeze(y, 0), 0, 1), c->x);
}

static ito_tensor *by_image(const norm_call *c)
{
    ito_tensor *y = ito_group_norm(c->x, c->x->shape[1], c->weight, c->bias, c->eps);
    return y == NULL || !move_running(c, c->x) ? NULL : y;
}

static ito_tensor *normalize(const norm_call *c, ito_tensor *(*measured)(const norm_call *))
{
    ito_scope_begin();
    ito_tensor *y = !c->measure            ? by_running(c)
                    : ito_numel(c->x) == 0 ? affine(c->x, c->weight, c->bias)
                                           : measured(c);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_batch_norm_with(ito_tensor *x, ito_tensor *running_mean, ito_tensor *running_var,
                                ito_tensor *weight, ito_tensor *bias, ito_batch_norm_options o)
{
    norm_call c = {"batch_norm", x,          running_mean, running_var, weight,
                   bias,         o.training, o.momentum,   o.eps};
    if (x == NULL || !call_fits(&c, 2))
        return NULL;
    if (c.measure && ito_numel(x) == x->shape[1] && x->shape[1] > 0)
        return error_null(ITO_ERR_SHAPE,
                          "batch_norm: x %s has one element in a channel; training takes more",
                          tensor_shape_str(x));
    return normalize(&c, by_batch);
}

ito_tensor *ito_instance_norm_with(ito_tensor *x, ito_tensor *running_mean, ito_tensor *running_var,
                                   ito_tensor *weight, ito_tensor *bias,
                                   ito_instance_norm_options o)
{
    norm_call c = {"instance_norm",   x,          running_mean, running_var, weight, bias,
                   o.use_input_stats, o.momentum, o.eps};
    if (x == NULL || !call_fits(&c, 3))
        return NULL;
    if (c.measure && ito_numel(x) > 0 && ito_numel(x) == x->shape[0] * x->shape[1])
        return error_null(
            ITO_ERR_SHAPE,
            "instance_norm: x %s has one element in a channel of an image; statistics take more",
            tensor_shape_str(x));
    return normalize(&c, by_image);
}

/* ---- local response norm ---- */

ito_tensor *ito_local_response_norm_with(ito_tensor *x, int64_t size,
                                         ito_local_response_norm_options o)
{
    if (x == NULL || !op_inputs_fit("local_response_norm", REAL, &x, 1, 0))
        return NULL;
    if (x->ndim < 3)
        return error_null(ITO_ERR_SHAPE, "local_response_norm: x %s is not [N, C, L, ...]",
                          tensor_shape_str(x));
    if (size < 1 || size > INT32_MAX)
        return error_null(ITO_ERR_ARGUMENT,
                          "local_response_norm: size %" PRId64 " is out of range: at least 1",
                          size);
    if (ito_numel(x) == 0)
        return ito_clone(x);
    resample_params channels = {.rule = RESAMPLE_WINDOWS,
                                .axis = 1,
                                .in = x->shape[1],
                                .out = x->shape[1],
                                .kernel = size,
                                .stride = 1,
                                .padding = size / 2,
                                .average = AVERAGE_FACTOR,
                                .factor = o.alpha / (double)size};
    ito_scope_begin();
    ito_tensor *v = ito_cast(x, wide(x->dtype));
    ito_tensor *sum = ito_add_scalar(resample(ito_square(v), &channels), o.k);
    ito_tensor *y = ito_mul(v, ito_pow_scalar(sum, -o.beta));
    y = ito_keep(y == NULL ? NULL : ito_cast(y, x->dtype));
    ito_scope_end();
    return y;
}
