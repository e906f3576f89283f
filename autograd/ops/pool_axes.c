/* Pooling in one, two and three dimensions, one implementation for all: largest elements by
 * max_pool.c, means by resample.c, an axis at a time. Average pools of square windows side by side
 * that tile an image have kernels of their own (pool.c).
 */
#include "autograd/ops/index.h"
#include "autograd/ops/max_pool.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/resample.h"

#include <math.h>

/* ---- a call and its checks ---- */

typedef struct pool_call {
    const char *name;
    int n; /* spatial axes */
    window_axes window;
    bool ceil_mode;
    int64_t size[SPATIAL_AXES];
} pool_call;

/* The number of elements from the first of a window to its last. */
static int64_t reach(const pool_call *c, int i)
{
    return (c->window.kernel[i] - 1) * c->window.dilation[i] + 1;
}

static bool read_options(pool_call *c, int64_t kernel, ito_shape kernels, int64_t stride,
                         ito_shape strides, int64_t padding, ito_shape paddings, int64_t dilation,
                         ito_shape dilations)
{
    window_axes *w = &c->window;
    if (!spatial_values(c->name, "kernels", c->n, kernel, kernels, w->kernel) ||
        !spatial_values(c->name, "strides", c->n, stride, strides, w->stride) ||
        !spatial_values(c->name, "paddings", c->n, padding, paddings, w->padding) ||
        !spatial_values(c->name, "dilations", c->n, dilation, dilations, w->dilation))
        return false;
    for (int i = 0; i < c->n; i++)
        if (w->stride[i] == ITO_STRIDE_KERNEL)
            w->stride[i] = w->kernel[i];
    return true;
}

static bool is_count(int64_t value, int64_t least)
{
    return value >= least && value <= INT32_MAX;
}

static bool options_fit(const pool_call *c)
{
    const window_axes *w = &c->window;
    bool fit = true;
    for (int i = 0; i < c->n; i++)
        fit = fit && is_count(w->kernel[i], 1) && is_count(w->stride[i], 1) &&
              is_count(w->padding[i], 0) && is_count(w->dilation[i], 1);
    char kernel[AXES_TEXT], stride[AXES_TEXT], padding[AXES_TEXT], dilation[AXES_TEXT];
    if (!fit)
        return error_false(
            ITO_ERR_ARGUMENT,
            "%s: kernel %s, stride %s, padding %s, dilation %s are out of range: at least 1, "
            "padding 0",
            c->name, spatial_text(kernel, c->n, w->kernel, false),
            spatial_text(stride, c->n, w->stride, false),
            spatial_text(padding, c->n, w->padding, false),
            spatial_text(dilation, c->n, w->dilation, false));
    for (int i = 0; i < c->n; i++)
        if (w->padding[i] > w->kernel[i] / 2)
            return error_false(ITO_ERR_ARGUMENT,
                               "%s: padding %" PRId64 " is more than half of a kernel of %" PRId64,
                               c->name, w->padding[i], w->kernel[i]);
    return true;
}

/* How many windows there are along axis i. */
static int64_t windows(const pool_call *c, int i)
{
    int64_t stride = c->window.stride[i], padding = c->window.padding[i];
    int64_t room = c->size[i] + 2 * padding - reach(c, i) + (c->ceil_mode ? stride - 1 : 0);
    if (room < 0 || c->size[i] < 1)
        return 0;
    int64_t n = room / stride + 1;
    return c->ceil_mode && (n - 1) * stride >= c->size[i] + padding ? n - 1 : n;
}

/* Checks all but what a kind of pool asks for besides, and counts windows. */
static bool call_fits(pool_call *c, ito_tensor *x)
{
    if (!op_inputs_fit(c->name, REAL, &x, 1, 0) || !options_fit(c) ||
        !spatial_rank_fits(c->name, x, c->n))
        return false;
    int64_t window[SPATIAL_AXES];
    bool fit = true;
    for (int i = 0; i < c->n; i++) {
        c->size[i] = x->shape[2 + i];
        c->window.out[i] = windows(c, i);
        window[i] = reach(c, i);
        fit = fit && c->window.out[i] >= 1;
    }
    char texts[3][AXES_TEXT];
    return fit ||
           error_false(ITO_ERR_SHAPE, "%s: a window of %s does not fit %s of %s with padding %s",
                       c->name, spatial_text(texts[0], c->n, window, true), spatial_word(c->n),
                       spatial_text(texts[1], c->n, c->size, true),
                       spatial_text(texts[2], c->n, c->window.padding, false));
}

/* The sizes of the result, as adaptive pools are told them. */
static bool adaptive_fits(pool_call *c, ito_tensor *x, ito_shape output_size)
{
    if (!op_inputs_fit(c->name, REAL, &x, 1, 0) || !spatial_rank_fits(c->name, x, c->n))
        return false;
    int64_t *out = c->window.out;
    ito_shape list = output_size.ndim == 1 ? ITO_SHAPE() : output_size;
    if (!spatial_values(c->name, "output_size", c->n,
                        output_size.ndim == 1 ? output_size.dim[0] : 0, list, out))
        return false;
    bool fit = true, any = true;
    char text[AXES_TEXT];
    for (int i = 0; i < c->n; i++) {
        c->size[i] = x->shape[2 + i];
        any = any && c->size[i] >= 1;
        fit = fit && (is_count(out[i], 1) || out[i] == -1);
    }
    if (!fit)
        return error_false(ITO_ERR_ARGUMENT,
                           "%s: output_size %s is out of range: at least 1, or -1", c->name,
                           spatial_text(text, c->n, out, false));
    for (int i = 0; i < c->n; i++)
        out[i] = out[i] == -1 ? c->size[i] : out[i];
    c->window.adaptive = true;
    return any || error_false(ITO_ERR_SHAPE, "%s: %s of %s has no element", c->name,
                              spatial_word(c->n), spatial_text(text, c->n, c->size, true));
}

/* ---- the largest element ---- */

/* Each window sees an element, which dilation may step over. */
static bool windows_see(const pool_call *c)
{
    for (int i = 0; i < c->n; i++)
        for (int64_t o = 0; o < c->window.out[i]; o++) {
            int64_t first = window_first(&c->window, i, o);
            int64_t start = o * c->window.stride[i] - c->window.padding[i];
            if (first >= c->size[i] || first >= start + reach(c, i))
                return error_false(ITO_ERR_SHAPE,
                                   "%s: a window of kernel %" PRId64 ", dilation %" PRId64
                                   " and padding %" PRId64 " steps over an axis of size %" PRId64,
                                   c->name, c->window.kernel[i], c->window.dilation[i],
                                   c->window.padding[i], c->size[i]);
        }
    return true;
}

static ito_tensor *largest(const pool_call *c, ito_tensor *x, ito_tensor **indices)
{
    ito_scope_begin();
    ito_tensor *places = max_pool_indices(x, &c->window);
    ito_tensor *y = gather_places(x, places);
    y = ito_keep(y);
    if (indices != NULL)
        *indices = y == NULL ? NULL : ito_keep(places);
    ito_scope_end();
    return y;
}

static ito_tensor *max_pool(const char *name, int n, ito_tensor *x, int64_t kernel,
                            const ito_max_pool_options *o)
{
    pool_call c = {.name = name, .n = n, .ceil_mode = o->ceil_mode};
    if (o->indices != NULL)
        *o->indices = NULL;
    if (x == NULL ||
        !read_options(&c, kernel, o->kernels, o->stride, o->strides, o->padding, o->paddings,
                      o->dilation, o->dilations) ||
        !call_fits(&c, x) || !windows_see(&c))
        return NULL;
    return largest(&c, x, o->indices);
}

static ito_tensor *adaptive_max_pool(const char *name, int n, ito_tensor *x, ito_shape output_size,
                                     ito_tensor **indices)
{
    pool_call c = {.name = name, .n = n};
    if (indices != NULL)
        *indices = NULL;
    return x == NULL || !adaptive_fits(&c, x, output_size) ? NULL : largest(&c, x, indices);
}

/* ---- back to their places ---- */

static bool unpooled_sizes(const pool_call *c, const ito_tensor *x, ito_shape wanted,
                           ito_shape *shape)
{
    const window_axes *w = &c->window;
    int64_t usual[SPATIAL_AXES];
    *shape = ito_shape_of(x);
    bool fit = true;
    for (int i = 0; i < c->n; i++) {
        int64_t apart = checked_mul(x->shape[2 + i] - 1, w->stride[i]);
        usual[i] = (apart < 0 ? 0 : apart) - 2 * w->padding[i] + w->kernel[i];
        shape->dim[2 + i] = wanted.ndim == 0 ? usual[i] : wanted.dim[i];
        fit = fit && shape->dim[2 + i] >= 1 && shape->dim[2 + i] > usual[i] - w->stride[i] &&
              shape->dim[2 + i] < usual[i] + w->stride[i];
    }
    char size[AXES_TEXT], middle[AXES_TEXT], stride[AXES_TEXT];
    return fit || error_false(ITO_ERR_SHAPE,
                              "%s: an output of %s is not at least 1 and less than a stride of %s "
                              "from %s",
                              c->name, spatial_text(size, c->n, shape->dim + 2, true),
                              spatial_text(stride, c->n, w->stride, false),
                              spatial_text(middle, c->n, usual, true));
}

static ito_tensor *unpool(const char *name, int n, ito_tensor *x, ito_tensor *indices,
                          int64_t kernel, const ito_max_unpool_options *o)
{
    pool_call c = {.name = name, .n = n};
    ito_shape shape;
    if (x == NULL || indices == NULL || !op_inputs_fit(name, REAL, &x, 1, 0) ||
        !read_options(&c, kernel, o->kernels, o->stride, o->strides, o->padding, o->paddings, 1,
                      ITO_SHAPE()) ||
        !options_fit(&c) || !spatial_rank_fits(name, x, n))
        return NULL;
    if (!shape_equal(ito_shape_of(x), ito_shape_of(indices)))
        return error_null(ITO_ERR_SHAPE, "%s: shapes %s of x and %s of indices differ", name,
                          tensor_shape_str(x), tensor_shape_str(indices));
    if (o->output_size.ndim != 0 && o->output_size.ndim != n)
        return error_null(ITO_ERR_ARGUMENT, "%s: output_size %s is not one for each of %d axes",
                          name, shape_str(o->output_size), n);
    if (!unpooled_sizes(&c, x, o->output_size, &shape))
        return NULL;
    int64_t places = 1;
    for (int i = 0; i < n; i++)
        places = checked_mul(places, shape.dim[2 + i]);
    return index_check(name, indices, places) ? scatter_places(x, indices, shape, false) : NULL;
}

/* ---- means ---- */

static void resampled_axis(const pool_call *c, int i, resample_params *p)
{
    *p = (resample_params){.rule = c->window.adaptive ? RESAMPLE_ADAPTIVE : RESAMPLE_WINDOWS,
                           .axis = 2 + i,
                           .in = c->size[i],
                           .out = c->window.out[i],
                           .kernel = c->window.kernel[i],
                           .stride = c->window.stride[i],
                           .padding = c->window.padding[i]};
}

/* Whether windows are square, side by side, and cover the image. */
static bool tiles(const pool_call *c)
{
    const window_axes *w = &c->window;
    bool tile = c->n == 2 && w->kernel[0] == w->kernel[1];
    for (int i = 0; i < c->n; i++)
        tile = tile && w->stride[i] == w->kernel[i] && w->padding[i] == 0 &&
               c->size[i] % w->kernel[i] == 0;
    return tile;
}

static ito_tensor *means(const pool_call *c, ito_tensor *x, bool count_include_pad, int64_t divisor)
{
    if (tiles(c) && divisor == 0)
        return avg_pool_tiles(x, c->window.kernel[0]);
    resample_params p[SPATIAL_AXES];
    for (int i = 0; i < c->n; i++) {
        resampled_axis(c, i, &p[i]);
        p[i].average = divisor != 0        ? AVERAGE_FACTOR
                       : count_include_pad ? AVERAGE_PADDED
                                           : AVERAGE_INSIDE;
        p[i].factor = i == 0 ? 1 / (double)divisor : 1;
    }
    return resample_axes(x, p, c->n);
}

static ito_tensor *avg_pool(const char *name, int n, ito_tensor *x, int64_t kernel,
                            const ito_avg_pool_options *o)
{
    pool_call c = {.name = name, .n = n, .ceil_mode = o->ceil_mode};
    if (x == NULL ||
        !read_options(&c, kernel, o->kernels, o->stride, o->strides, o->padding, o->paddings, 1,
                      ITO_SHAPE()) ||
        !call_fits(&c, x))
        return NULL;
    return means(&c, x, o->count_include_pad, o->divisor_override);
}

static ito_tensor *adaptive_avg_pool(const char *name, int n, ito_tensor *x, ito_shape output_size)
{
    pool_call c = {.name = name, .n = n};
    resample_params p[SPATIAL_AXES];
    if (x == NULL || !adaptive_fits(&c, x, output_size))
        return NULL;
    for (int i = 0; i < n; i++)
        resampled_axis(&c, i, &p[i]);
    return resample_axes(x, p, n);
}

static ito_tensor *lp_pool(const char *name, int n, ito_tensor *x, double order, int64_t kernel,
                           const ito_lp_pool_options *o)
{
    pool_call c = {.name = name, .n = n, .ceil_mode = o->ceil_mode};
    if (x == NULL ||
        !read_options(&c, kernel, o->kernels, o->stride, o->strides, 0, ITO_SHAPE(), 1,
                      ITO_SHAPE()) ||
        !call_fits(&c, x))
        return NULL;
    if (order == 0 || !isfinite(order))
        return error_null(ITO_ERR_ARGUMENT, "%s: p is %g; it must be finite and not 0", name,
                          order);
    double elements = 1;
    for (int i = 0; i < n; i++)
        elements *= (double)c.window.kernel[i];
    ito_scope_begin();
    ito_tensor *wide = x->dtype == ITO_BF16 ? ito_cast(x, ITO_F32) : x;
    ito_tensor *mean = means(&c, ito_pow_scalar(wide, order), true, 0);
    ito_tensor *y = ito_pow_scalar(ito_mul_scalar(mean, elements), 1 / order);
    y = ito_keep(y == NULL ? NULL : ito_cast(y, x->dtype));
    ito_scope_end();
    return y;
}

/* ---- the public functions ---- */

#define DIMENSIONS(n)                                                                              \
    ito_tensor *ito_max_pool##n##d_with(ito_tensor *x, int64_t kernel, ito_max_pool_options o)     \
    {                                                                                              \
        return max_pool("max_pool" #n "d", n, x, kernel, &o);                                      \
    }                                                                                              \
    ito_tensor *ito_adaptive_max_pool##n##d(ito_tensor *x, ito_shape output_size,                  \
                                            ito_tensor **indices)                                  \
    {                                                                                              \
        return adaptive_max_pool("adaptive_max_pool" #n "d", n, x, output_size, indices);          \
    }                                                                                              \
    ito_tensor *ito_max_unpool##n##d_with(ito_tensor *x, ito_tensor *indices, int64_t kernel,      \
                                          ito_max_unpool_options o)                                \
    {                                                                                              \
        return unpool("max_unpool" #n "d", n, x, indices, kernel, &o);                             \
    }                                                                                              \
    ito_tensor *ito_avg_pool##n##d_with(ito_tensor *x, int64_t kernel, ito_avg_pool_options o)     \
    {                                                                                              \
        return avg_pool("avg_pool" #n "d", n, x, kernel, &o);                                      \
    }                                                                                              \
    ito_tensor *ito_adaptive_avg_pool##n##d(ito_tensor *x, ito_shape output_size)                  \
    {                                                                                              \
        return adaptive_avg_pool("adaptive_avg_pool" #n "d", n, x, output_size);                   \
    }                                                                                              \
    ito_tensor *ito_lp_pool##n##d_with(ito_tensor *x, double p, int64_t kernel,                    \
                                       ito_lp_pool_options o)                                      \
    {                                                                                              \
        return lp_pool("lp_pool" #n "d", n, x, p, kernel, &o);                                     \
    }
DIMENSIONS(1)
DIMENSIONS(2)
DIMENSIONS(3)
