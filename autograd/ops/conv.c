/* Convolutions in one, two and three dimensions and their transposes, all by way of conv2d and its
 * gradient with respect to the image (conv2d.c). A signal is an image of height 1. Of a volume, the
 * slices that a slice of the result sees are laid side by side as channels:
 *     y[n, d] = conv2d(x[n, d s + k t] for each depth k of the kernel, w),
 * and the transpose adds the channels of conv2d_data up again.
 */
#include "autograd/ops/conv2d.h"
#include "autograd/ops/index.h"
#include "autograd/ops/pad.h"
#include "autograd/ops/spatial.h"

#include "autograd/ops.h"

/* ---- a call and its checks ---- */

typedef struct conv_call {
    const char *name;
    int n; /* spatial axes */
    bool transposed;
    int64_t stride[SPATIAL_AXES], padding[SPATIAL_AXES], dilation[SPATIAL_AXES];
    int64_t end[SPATIAL_AXES]; /* further padding at the end; of a transpose, output padding */
    int64_t groups;
    int64_t kernel[SPATIAL_AXES], size[SPATIAL_AXES], out[SPATIAL_AXES];
    int64_t channels; /* of the result */
} conv_call;

static const char *const image_axes[] = {"", "L", "H, W", "D, H, W"};
static const char *const kernel_axes[] = {"", "K", "KH, KW", "KD, KH, KW"};

static bool is_count(int64_t value, int64_t least)
{
    return value >= least && value <= INT32_MAX;
}

static bool options_fit(const conv_call *c)
{
    bool fit = c->groups >= 1;
    for (int i = 0; i < c->n; i++)
        fit =
            fit && is_count(c->stride[i], 1) && is_count(c->dilation[i], 1) &&
            (is_count(c->padding[i], 0) || (!c->transposed && c->padding[i] == ITO_PADDING_SAME)) &&
            is_count(c->end[i], 0);
    if (fit)
        return true;
    char stride[AXES_TEXT], padding[AXES_TEXT], end[AXES_TEXT], dilation[AXES_TEXT];
    return error_false(ITO_ERR_ARGUMENT,
                       "%s: stride %s, %s %s and %s, dilation %s, groups %" PRId64
                       " are out of range: at least 1, padding 0",
                       c->name, spatial_text(stride, c->n, c->stride, false),
                       c->transposed ? "padding and output_padding" : "padding",
                       spatial_text(padding, c->n, c->padding, false),
                       spatial_text(end, c->n, c->end, false),
                       spatial_text(dilation, c->n, c->dilation, false), c->groups);
}

static bool channels_fit(conv_call *c, const ito_tensor *x, const ito_tensor *w)
{
    int64_t in = x->shape[1], rows = w->shape[0], columns = w->shape[1];
    if (in % c->groups != 0 || rows % c->groups != 0)
        return error_false(ITO_ERR_SHAPE,
                           "%s: %" PRId64 " groups do not divide %" PRId64 " and %" PRId64
                           " channels",
                           c->name, c->groups, in, rows);
    if (c->transposed && in != rows)
        return error_false(ITO_ERR_SHAPE, "%s: x has %" PRId64 " channels, weight takes %" PRId64,
                           c->name, in, rows);
    if (!c->transposed && in / c->groups != columns)
        return error_false(ITO_ERR_SHAPE,
                           "%s: x has %" PRId64 " channels in %" PRId64
                           " groups, weight takes %" PRId64 " a group",
                           c->name, in, c->groups, columns);
    c->channels = c->transposed ? checked_mul(columns, c->groups) : rows;
    return true;
}

/* How many places a kernel takes along axis i; 0 if it does not fit. */
static int64_t places(const conv_call *c, int i)
{
    int64_t padded = c->size[i] + 2 * c->padding[i] + c->end[i];
    int64_t reach = checked_mul(c->kernel[i] - 1, c->dilation[i]);
    return reach < 0 || reach >= padded ? 0 : (padded - reach - 1) / c->stride[i] + 1;
}

/* The size that c->stride and so on make of c->size; 0 or less if nothing is left. */
static int64_t spread(const conv_call *c, int i)
{
    int64_t reach = checked_mul(c->kernel[i] - 1, c->dilation[i]);
    int64_t apart = checked_mul(c->size[i] - 1, c->stride[i]), sum;
    if (reach < 0 || apart < 0 || __builtin_add_overflow(reach, apart, &sum) ||
        __builtin_add_overflow(sum, c->end[i] + 1, &sum))
        return 0;
    return sum - 2 * c->padding[i];
}

/* ITO_PADDING_SAME becomes numbers. */
static bool same_padding(conv_call *c)
{
    for (int i = 0; i < c->n; i++) {
        if (c->transposed || c->padding[i] != ITO_PADDING_SAME)
            continue;
        if (c->stride[i] != 1)
            return error_false(ITO_ERR_ARGUMENT,
                               "%s: ITO_PADDING_SAME goes with stride 1, not %" PRId64, c->name,
                               c->stride[i]);
        int64_t reach = checked_mul(c->kernel[i] - 1, c->dilation[i]);
        c->padding[i] = reach < 0 ? 0 : reach / 2;
        c->end[i] += reach < 0 ? 0 : reach % 2;
    }
    return true;
}

static bool sizes_fit(conv_call *c)
{
    bool fit = true;
    for (int i = 0; i < c->n; i++) {
        c->out[i] = c->kernel[i] < 1 ? 0 : c->transposed ? spread(c, i) : places(c, i);
        fit = fit && c->out[i] >= 1;
    }
    if (fit)
        return true;
    char kernel[AXES_TEXT], dilation[AXES_TEXT], size[AXES_TEXT], padding[AXES_TEXT],
        end[AXES_TEXT], stride[AXES_TEXT];
    spatial_text(kernel, c->n, c->kernel, true);
    spatial_text(dilation, c->n, c->dilation, false);
    spatial_text(size, c->n, c->size, true);
    spatial_text(padding, c->n, c->padding, false);
    spatial_text(end, c->n, c->end, false);
    spatial_text(stride, c->n, c->stride, false);
    if (!c->transposed)
        return error_false(
            ITO_ERR_SHAPE,
            "%s: a kernel of %s, dilation %s, does not fit %s of %s with padding %s and %s",
            c->name, kernel, dilation, spatial_word(c->n), size, padding, end);
    return error_false(ITO_ERR_SHAPE,
                       "%s: a kernel of %s, dilation %s, stride %s, makes nothing of %s of %s with "
                       "padding %s and output_padding %s",
                       c->name, kernel, dilation, stride, spatial_word(c->n), size, padding, end);
}

static bool output_padding_fits(const conv_call *c)
{
    for (int i = 0; i < c->n && c->transposed; i++)
        if (c->end[i] >= c->stride[i] && c->end[i] >= c->dilation[i])
            return error_false(ITO_ERR_ARGUMENT,
                               "%s: output_padding %" PRId64 " is less than neither stride %" PRId64
                               " nor dilation %" PRId64,
                               c->name, c->end[i], c->stride[i], c->dilation[i]);
    return true;
}

/* Checks everything but .add, and fills in the sizes. */
static bool call_fits(conv_call *c, ito_tensor *x, ito_tensor *w, ito_tensor *b, ito_tensor *add)
{
    enum { BIAS_AND_ADD_MAY_BE_NULL = 12 };
    if (!op_inputs_fit(c->name, MIXED, (ito_tensor *[]){x, w, b, add}, 4,
                       BIAS_AND_ADD_MAY_BE_NULL) ||
        !options_fit(c))
        return false;
    if (x->ndim != c->n + 2 || w->ndim != c->n + 2)
        return error_false(ITO_ERR_SHAPE, "%s: x %s and weight %s must be [N, C, %s] and [%s, %s]",
                           c->name, tensor_shape_str(x), tensor_shape_str(w), image_axes[c->n],
                           c->transposed ? "C, O / groups" : "O, C / groups", kernel_axes[c->n]);
    if (!channels_fit(c, x, w))
        return false;
    for (int i = 0; i < c->n; i++) {
        c->size[i] = x->shape[2 + i];
        c->kernel[i] = w->shape[2 + i];
    }
    if (!same_padding(c) || !output_padding_fits(c) || !sizes_fit(c))
        return false;
    if (b != NULL && !shape_equal(ito_shape_of(b), ITO_SHAPE(c->channels)))
        return error_false(ITO_ERR_SHAPE, "%s: bias %s does not fit weight %s", c->name,
                           tensor_shape_str(b), tensor_shape_str(w));
    return true;
}

/* ---- one, two and three dimensions ---- */

/* The options of the last two axes; of a signal, of its only one. */
static conv_params last_axes(const conv_call *c)
{
    conv_params p = {.stride = {1, 1}, .dilation = {1, 1}, .groups = c->groups};
    p.size[0] = 1;
    for (int i = c->n > 2 ? c->n - 2 : 0; i < c->n; i++) {
        int to = i + 2 - c->n;
        p.stride[to] = c->stride[i];
        p.padding[to] = c->padding[i];
        p.padding_end[to] = c->transposed ? -c->end[i] : c->end[i];
        p.dilation[to] = c->dilation[i];
        p.size[to] = c->out[i];
    }
    return p;
}

/* [N, D, H, W, ..] as [N D, .., H, W], and so without a copy where it lies so. */
static ito_tensor *slices_of(ito_tensor *x, int64_t channels)
{
    if (x == NULL)
        return NULL;
    ito_tensor *flat =
        ito_reshape_to(x, ITO_SHAPE(x->shape[0] * x->shape[1], x->shape[2], x->shape[3], channels));
    return ito_permute_to(flat, ITO_SHAPE(0, 3, 1, 2));
}

/* [N, C, D, H, W] as [N, D, H, W, C], row-major. */
static ito_tensor *channels_behind(ito_tensor *x)
{
    return ito_contiguous(ito_permute_to(x, ITO_SHAPE(0, 2, 3, 4, 1)));
}

/* [O, C, KD, KH, KW] as [O, KD C, KH, KW]. */
static ito_tensor *depth_to_channels(ito_tensor *w)
{
    ito_shape s = ito_shape_of(w);
    return ito_reshape_to(ito_permute_to(w, ITO_SHAPE(0, 2, 1, 3, 4)),
                          ITO_SHAPE(s.dim[0], s.dim[1] * s.dim[2], s.dim[3], s.dim[4]));
}

/* The slices that each slice of the result sees: [N OD, groups KD C / groups, H, W]. */
static ito_tensor *seen_slices(ito_tensor *x, const conv_call *c)
{
    int64_t kernel = c->kernel[0], channels = x->shape[1];
    pad_params pad = {.before = {0, c->padding[0]}, .after = {0, c->padding[0] + c->end[0]}};
    ito_tensor *padded = channels_behind(x);
    if (pad.after[1] > 0)
        padded = pad_axes(padded, &pad);
    ito_tensor **part = mem_alloc((size_t)kernel * sizeof *part);
    if (part == NULL)
        return NULL;
    for (int64_t k = 0; k < kernel; k++) {
        int64_t first = k * c->dilation[0], last = first + (c->out[0] - 1) * c->stride[0];
        part[k] = ito_slice(padded, 1, first, last + 1, c->stride[0]);
        part[k] = ito_reshape_to(part[k], ITO_SHAPE(x->shape[0], c->out[0], x->shape[3],
                                                    x->shape[4], c->groups, channels / c->groups));
    }
    ito_tensor *seen = kernel == 1 ? part[0] : ito_cat(part, kernel, 5);
    mem_free(part);
    return slices_of(seen, kernel * channels);
}

/* [N, O, OD, OH, OW] as [N OD, O, OH, OW]; what all pixels of an image share, for each slice. */
static ito_tensor *add_to_slices(ito_tensor *add, const conv_call *c)
{
    if (add == NULL)
        return NULL;
    ito_shape s = ito_shape_of(add);
    s.dim[2] = c->out[0];
    return slices_of(ito_permute_to(ito_expand_to(add, s), ITO_SHAPE(0, 2, 3, 4, 1)), s.dim[1]);
}

/* [N D, C, H, W] as [N, C, D, H, W]. */
static ito_tensor *from_slices(ito_tensor *y, int64_t n, int64_t depth)
{
    if (y == NULL)
        return NULL;
    ito_shape s = ito_shape_of(y);
    ito_tensor *split = ito_reshape_to(ito_permute_to(y, ITO_SHAPE(0, 2, 3, 1)),
                                       ITO_SHAPE(n, depth, s.dim[2], s.dim[3], s.dim[1]));
    return ito_permute_to(split, ITO_SHAPE(0, 4, 1, 2, 3));
}

static ito_tensor *convolve(ito_tensor *x, ito_tensor *w, ito_tensor *b, ito_tensor *add,
                            const conv_call *c)
{
    conv_params p = last_axes(c);
    if (c->n == 1)
        return ito_squeeze(conv2d_apply(ito_unsqueeze(x, 2), ito_unsqueeze(w, 2), b,
                                        add == NULL ? NULL : ito_unsqueeze(add, 2), &p),
                           2);
    if (c->n == 2)
        return conv2d_apply(x, w, b, add, &p);
    ito_tensor *slices = add_to_slices(add, c);
    if (add != NULL && slices == NULL)
        return NULL;
    return from_slices(conv2d_apply(seen_slices(x, c), depth_to_channels(w), b, slices, &p),
                       x->shape[0], c->out[0]);
}

/* ---- convolution ---- */

static bool add_fits(const conv_call *c, const ito_tensor *x, const ito_tensor *add)
{
    ito_shape y = {.ndim = c->n + 2, .dim = {x->shape[0], c->channels}}, image = y;
    for (int i = 0; i < c->n; i++) {
        y.dim[2 + i] = c->out[i];
        image.dim[2 + i] = 1;
    }
    if (add == NULL)
        return true;
    return tensor_has_shape(add, &y) || tensor_has_shape(add, &image) ||
           error_false(ITO_ERR_SHAPE, "%s: add is %s; it can be %s, as the result, or %s", c->name,
                       tensor_shape_str(add), shape_str(y), shape_str(image));
}

/* x with its own pixels around it in place of padding. */
static ito_tensor *padded_by_mode(ito_tensor *x, conv_call *c, ito_padding_mode mode)
{
    for (int i = 0; i < c->n; i++) {
        int64_t before = c->padding[i], after = c->padding[i] + c->end[i];
        if (!spatial_mode_fits(c->name, c->size[i], before, after, mode))
            return NULL;
        x = spatial_pad(x, 2 + i, before, after, mode);
        c->padding[i] = c->end[i] = 0;
    }
    return x;
}

static ito_tensor *convolution(const char *name, int n, ito_tensor *x, ito_tensor *w, ito_tensor *b,
                               ito_conv_options o)
{
    conv_call c = {.name = name, .n = n, .groups = o.groups};
    if (x == NULL || w == NULL ||
        !spatial_values(name, "strides", n, o.stride, o.strides, c.stride) ||
        !spatial_values(name, "paddings", n, o.padding, o.paddings, c.padding) ||
        !spatial_values(name, "dilations", n, o.dilation, o.dilations, c.dilation) ||
        !spatial_values(name, "", n, o.padding_end, ITO_SHAPE(), c.end) ||
        !call_fits(&c, x, w, b, o.add) || !add_fits(&c, x, o.add))
        return NULL;
    ito_scope_begin();
    if (o.padding_mode != ITO_PADDING_ZEROS)
        x = padded_by_mode(x, &c, o.padding_mode);
    ito_tensor *y = x == NULL ? NULL : ito_keep(convolve(x, w, b, o.add, &c));
    ito_scope_end();
    return y;
}

ito_tensor *ito_conv1d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b, ito_conv_options options)
{
    return convolution("conv1d", 1, x, w, b, options);
}

ito_tensor *ito_conv2d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b, ito_conv_options options)
{
    return convolution("conv2d", 2, x, w, b, options);
}

ito_tensor *ito_conv3d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b, ito_conv_options options)
{
    return convolution("conv3d", 3, x, w, b, options);
}

/* ---- transposed convolution ---- */

/* What each slice and depth of the kernel give, z [N D, groups KD C, H, W], added up where it lies
 * in the result: [N, groups C, OD, OH, OW]. */
static ito_tensor *add_slices(ito_tensor *z, const conv_call *c, int64_t n)
{
    int64_t depth = c->size[0], kernel = c->kernel[0], share = c->channels / c->groups;
    ito_tensor *index = tensor_empty(ITO_SHAPE(depth * kernel), ITO_I64);
    if (z == NULL || index == NULL)
        return NULL;
    int64_t h = z->shape[2], w = z->shape[3], *to = tensor_data(index);
    for (int64_t i = 0; i < depth * kernel; i++)
        to[i] = i / kernel * c->stride[0] + i % kernel * c->dilation[0];
    ito_tensor *parts = ito_reshape_to(ito_permute_to(z, ITO_SHAPE(0, 2, 3, 1)),
                                       ITO_SHAPE(n, depth, h, w, c->groups, kernel, share));
    parts = ito_reshape_to(ito_permute_to(parts, ITO_SHAPE(1, 5, 0, 2, 3, 4, 6)),
                           ITO_SHAPE(depth * kernel, n, h, w, c->channels));
    ito_tensor *sums = index_add_to_zeros(parts, 0, index, c->out[0] + 2 * c->padding[0]);
    return ito_permute_to(ito_narrow(sums, 0, c->padding[0], c->out[0]), ITO_SHAPE(1, 4, 0, 2, 3));
}

static ito_tensor *spread_out(ito_tensor *x, ito_tensor *w, const conv_call *c)
{
    conv_params p = last_axes(c);
    if (c->n == 1)
        return ito_squeeze(conv2d_data_apply(ito_unsqueeze(x, 2), ito_unsqueeze(w, 2), &p), 2);
    if (c->n == 2)
        return conv2d_data_apply(x, w, &p);
    ito_tensor *slices = slices_of(channels_behind(x), x->shape[1]);
    return add_slices(conv2d_data_apply(slices, depth_to_channels(w), &p), c, x->shape[0]);
}

static ito_tensor *transposed(const char *name, int n, ito_tensor *x, ito_tensor *w, ito_tensor *b,
                              ito_conv_transpose_options o)
{
    conv_call c = {.name = name, .n = n, .transposed = true, .groups = o.groups};
    if (x == NULL || w == NULL ||
        !spatial_values(name, "strides", n, o.stride, o.strides, c.stride) ||
        !spatial_values(name, "paddings", n, o.padding, o.paddings, c.padding) ||
        !spatial_values(name, "dilations", n, o.dilation, o.dilations, c.dilation) ||
        !spatial_values(name, "output_paddings", n, o.output_padding, o.output_paddings, c.end) ||
        !call_fits(&c, x, w, b, NULL))
        return NULL;
    ito_scope_begin();
    ito_tensor *y = spread_out(x, w, &c);
    if (b != NULL && y != NULL) {
        ito_shape along = {.ndim = n + 1, .dim = {c.channels, 1, 1, 1}};
        y = ito_add(y, ito_reshape_to(ito_cast(b, y->dtype), along));
    }
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_conv_transpose1d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b,
                                      ito_conv_transpose_options options)
{
    return transposed("conv_transpose1d", 1, x, w, b, options);
}

ito_tensor *ito_conv_transpose2d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b,
                                      ito_conv_transpose_options options)
{
    return transposed("conv_transpose2d", 2, x, w, b, options);
}

ito_tensor *ito_conv_transpose3d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b,
                                      ito_conv_transpose_options options)
{
    return transposed("conv_transpose3d", 3, x, w, b, options);
}
