/* Interpolation to any size, an axis at a time, by the weights of resample.c. Factors and sizes
 * follow PyTorch: a factor that is given is used as it is, also where the size that it makes is
 * rounded down.
 */
#include "autograd/ops/resample.h"
#include "autograd/ops/spatial.h"

#include <math.h>

static const char name[] = "interpolate";

/* What each mode is called, the rank it is for (0: any), and its rule. */
static const struct mode {
    const char *name;
    int axes;
    resample_rule rule;
    bool aligns, antialiases;
} modes[] = {
    [ITO_INTERPOLATE_NEAREST] = {"nearest", 0, RESAMPLE_NEAREST, false, false},
    [ITO_INTERPOLATE_NEAREST_EXACT] = {"nearest-exact", 0, RESAMPLE_NEAREST_EXACT, false, false},
    [ITO_INTERPOLATE_LINEAR] = {"linear", 1, RESAMPLE_LINEAR, true, false},
    [ITO_INTERPOLATE_BILINEAR] = {"bilinear", 2, RESAMPLE_LINEAR, true, true},
    [ITO_INTERPOLATE_TRILINEAR] = {"trilinear", 3, RESAMPLE_LINEAR, true, false},
    [ITO_INTERPOLATE_BICUBIC] = {"bicubic", 2, RESAMPLE_CUBIC, true, true},
    [ITO_INTERPOLATE_AREA] = {"area", 0, RESAMPLE_ADAPTIVE, false, false},
};

static bool mode_fits(const ito_interpolate_options *o, const ito_tensor *x)
{
    static const char *const shapes[] = {"", "[N, C, L]", "[N, C, H, W]", "[N, C, D, H, W]"};
    if ((unsigned)o->mode >= sizeof modes / sizeof *modes)
        return error_false(ITO_ERR_ARGUMENT, "%s: %d is no mode", name, (int)o->mode);
    const struct mode *m = &modes[o->mode];
    if (x->ndim < 3 || x->ndim > 5)
        return error_false(ITO_ERR_SHAPE, "%s: x %s has not one to three axes behind N and C", name,
                           tensor_shape_str(x));
    if (m->axes != 0 && x->ndim != m->axes + 2)
        return error_false(ITO_ERR_SHAPE, "%s: mode %s takes %s, not %s", name, m->name,
                           shapes[m->axes], tensor_shape_str(x));
    if (o->align_corners && !m->aligns)
        return error_false(ITO_ERR_ARGUMENT, "%s: mode %s has no align_corners", name, m->name);
    if (o->antialias && !m->antialiases)
        return error_false(ITO_ERR_ARGUMENT, "%s: mode %s has no antialias", name, m->name);
    return true;
}

/* out[i] and, where a factor counts rather than sizes, scale[i] = 1 / factor, else 0. */
static bool sizes_of(const ito_interpolate_options *o, const ito_tensor *x, int64_t *out,
                     double *scale)
{
    int n = x->ndim - 2;
    bool by_axis = o->scale_factors[0] != 0, by_factor = by_axis || o->scale_factor != 0;
    if (by_factor == (o->size.ndim != 0))
        return error_false(ITO_ERR_ARGUMENT, "%s: takes either a size or a scale_factor", name);
    if (!by_factor && o->recompute_scale_factor)
        return error_false(ITO_ERR_ARGUMENT,
                           "%s: with a size there is no scale_factor to recompute", name);
    ito_shape list = o->size.ndim == 1 ? ITO_SHAPE() : o->size;
    if (!spatial_values(name, "size", n, o->size.dim[0], list, out))
        return false;
    for (int i = 0; i < n; i++) {
        double factor = by_axis ? o->scale_factors[i] : o->scale_factor;
        scale[i] = 0;
        if (!by_factor)
            continue;
        double size = floor((double)x->shape[2 + i] * factor);
        if (!(factor > 0) || !(size <= INT32_MAX))
            return error_false(ITO_ERR_ARGUMENT,
                               "%s: scale_factor %g of an axis of size %" PRId64 " is out of range",
                               name, factor, x->shape[2 + i]);
        out[i] = (int64_t)size;
        scale[i] = o->recompute_scale_factor ? 0 : 1 / factor;
    }
    return true;
}

static bool sizes_fit(const ito_tensor *x, const int64_t *out)
{
    int n = x->ndim - 2;
    bool fit = true;
    for (int i = 0; i < n; i++)
        fit = fit && x->shape[2 + i] >= 1 && out[i] >= 1 && out[i] <= INT32_MAX;
    char from[AXES_TEXT], to[AXES_TEXT];
    return fit ||
           error_false(ITO_ERR_SHAPE, "%s: %s of %s cannot become one of %s", name, spatial_word(n),
                       spatial_text(from, n, x->shape + 2, true), spatial_text(to, n, out, true));
}

/* Input pixels from an output pixel to the next. PyTorch forgets the factor where antialiasing
 * keeps a size, and where nearest keeps or doubles one of an image; there it rounds to f32, too. */
static double scale_of(const resample_params *p, int n, double given)
{
    if (p->align_corners)
        return p->out > 1 ? (double)(p->in - 1) / (double)(p->out - 1) : 0;
    bool image = n == 2, whole = p->out == p->in || p->out == 2 * p->in;
    bool forget = p->antialias ? p->out == p->in : p->rule == RESAMPLE_NEAREST && image && whole;
    double scale = given > 0 && !forget ? given : (double)p->in / (double)p->out;
    bool nearest = p->rule == RESAMPLE_NEAREST || p->rule == RESAMPLE_NEAREST_EXACT;
    return nearest && image ? (double)(float)scale : scale;
}

/* The whole factor by which an image grows in both axes, or 0. */
static int64_t whole_factor(const resample_params *p, int n)
{
    int64_t factor = n == 2 ? p[0].out / p[0].in : 0;
    for (int i = 0; i < n; i++)
        if (p[i].rule != RESAMPLE_NEAREST || p[i].out != factor * p[i].in ||
            p[i].scale != (double)(float)(1 / (double)factor))
            return 0;
    return factor;
}

ito_tensor *ito_interpolate_with(ito_tensor *x, ito_interpolate_options o)
{
    int64_t out[SPATIAL_AXES];
    double scale[SPATIAL_AXES];
    if (x == NULL || !op_inputs_fit(name, REAL, &x, 1, 0) || !mode_fits(&o, x) ||
        !sizes_of(&o, x, out, scale) || !sizes_fit(x, out))
        return NULL;
    resample_params p[SPATIAL_AXES];
    int n = x->ndim - 2;
    for (int i = 0; i < n; i++) {
        p[i] = (resample_params){.rule = modes[o.mode].rule,
                                 .axis = 2 + i,
                                 .in = x->shape[2 + i],
                                 .out = out[i],
                                 .align_corners = o.align_corners,
                                 .antialias = o.antialias};
        p[i].scale = scale_of(&p[i], n, scale[i]);
    }
    int64_t factor = whole_factor(p, n);
    return factor > 0 ? ito_upsample_nearest2d(x, factor) : resample_axes(x, p, n);
}
