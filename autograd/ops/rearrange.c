/* The order of axes and elements: composites of views and cat. */
#include "autograd/op.h"
#include "autograd/ops.h"

/* ---- axes ------------------------------------------------------------------------------------ */

/* axes[] of the list, non-negative; false with an error, as for one that occurs twice. */
static bool distinct_axes(const char *op, ito_shape list, int ndim, int *axes)
{
    unsigned seen = 0;
    for (int i = 0; i < list.ndim; i++) {
        axes[i] = axis_normalize(op, list.dim[i], ndim);
        if (axes[i] < 0)
            return false;
        if ((seen >> axes[i] & 1) != 0)
            return error_false(ITO_ERR_ARGUMENT, "%s: axis %d appears twice in %s", op, axes[i],
                               shape_str(list));
        seen |= 1u << axes[i];
    }
    return true;
}

ito_tensor *ito_movedim(ito_tensor *x, ito_shape source, ito_shape destination)
{
    int from[ITO_MAX_DIMS], to[ITO_MAX_DIMS];
    if (x == NULL)
        return NULL;
    if (source.ndim < 0 || source.ndim > ITO_MAX_DIMS || source.ndim != destination.ndim)
        return error_null(ITO_ERR_ARGUMENT, "movedim: %s and %s are not lists of one length",
                          shape_str(source), shape_str(destination));
    if (!distinct_axes("movedim", source, x->ndim, from) ||
        !distinct_axes("movedim", destination, x->ndim, to))
        return NULL;
    ito_shape order = {.ndim = x->ndim};
    bool taken[ITO_MAX_DIMS] = {false}, moved[ITO_MAX_DIMS] = {false};
    for (int i = 0; i < source.ndim; i++) {
        order.dim[to[i]] = from[i];
        taken[to[i]] = moved[from[i]] = true;
    }
    for (int i = 0, next = 0; i < x->ndim; i++) {
        if (taken[i])
            continue;
        while (moved[next])
            next++;
        order.dim[i] = next++;
    }
    return ito_permute_to(x, order);
}

ito_tensor *ito_swapaxes(ito_tensor *x, int axis0, int axis1)
{
    return ito_transpose(x, axis0, axis1);
}

ito_tensor *ito_broadcast_to(ito_tensor *x, ito_shape shape)
{
    return ito_expand_to(x, shape);
}

ito_tensor *ito_unflatten(ito_tensor *x, int axis, ito_shape sizes)
{
    int a = x == NULL ? -1 : axis_normalize("unflatten", axis, x->ndim);
    if (a < 0)
        return NULL;
    int64_t known = 1, open = -1, size = x->shape[a];
    bool fits = sizes.ndim > 0 && x->ndim - 1 + sizes.ndim <= ITO_MAX_DIMS;
    for (int i = 0; fits && i < sizes.ndim; i++) {
        if (sizes.dim[i] == -1 && open < 0)
            open = i;
        else
            known = checked_mul(known, sizes.dim[i]);
        fits = known >= 0;
    }
    ito_shape full = sizes;
    if (fits && open >= 0) {
        fits = known > 0 && size % known == 0;
        full.dim[open] = fits ? size / known : 0;
    } else if (fits) {
        fits = known == size;
    }
    if (!fits)
        return error_null(ITO_ERR_SHAPE, "unflatten: axis %d of %s does not become %s", a,
                          tensor_shape_str(x), shape_str(sizes));
    ito_shape shape = {0};
    for (int i = 0; i < x->ndim; i++)
        for (int j = 0; j < (i == a ? full.ndim : 1); j++)
            shape.dim[shape.ndim++] = i == a ? full.dim[j] : x->shape[i];
    return ito_reshape_to(x, shape);
}

/* ---- roll and rot90 -------------------------------------------------------------------------- */

static ito_tensor *roll(ito_tensor *x, int axis, int64_t shift)
{
    int64_t size = ito_size(x, axis);
    if (x == NULL || size == 0)
        return x;
    int64_t first = (size - shift % size) % size; /* of x's elements that come first */
    ito_tensor *front = ito_narrow(x, axis, first, size - first);
    return ito_cat(ITO_TENSORS(front, ito_narrow(x, axis, 0, first)), axis);
}

static ito_tensor *roll_axes(ito_tensor *x, ito_shape shifts, const int *axes)
{
    ito_tensor *y = x;
    for (int i = 0; i < shifts.ndim; i++)
        y = roll(y, axes[i], shifts.dim[i]);
    return y == x ? ito_clone(x) : y;
}

ito_tensor *ito_roll(ito_tensor *x, ito_shape shifts, ito_shape dims)
{
    int axes[ITO_MAX_DIMS];
    if (x == NULL)
        return NULL;
    bool all = dims.ndim == ITO_ALL_DIMS.ndim;
    if (shifts.ndim < 0 || shifts.ndim > ITO_MAX_DIMS || shifts.ndim != (all ? 1 : dims.ndim))
        return error_null(ITO_ERR_ARGUMENT, "roll: %d shifts for %d axes", shifts.ndim,
                          all ? 1 : dims.ndim);
    for (int i = 0; !all && i < dims.ndim; i++)
        if ((axes[i] = axis_normalize("roll", dims.dim[i], x->ndim)) < 0)
            return NULL;
    ito_scope_begin();
    ito_tensor *y =
        all ? ito_reshape_to(roll_axes(ito_flatten(x, 0, -1), shifts, (int[]){0}), x->sizes)
            : roll_axes(x, shifts, axes);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_rot90_with(ito_tensor *x, ito_rot90_options options)
{
    int axes[ITO_MAX_DIMS];
    if (x == NULL)
        return NULL;
    if (options.dims.ndim != 2)
        return error_null(ITO_ERR_ARGUMENT, "rot90: a plane has 2 axes, not %d", options.dims.ndim);
    if (!distinct_axes("rot90", options.dims, x->ndim, axes))
        return NULL;
    ito_scope_begin();
    ito_tensor *y = x;
    switch (((options.k % 4) + 4) % 4) {
    case 0:
        y = ito_clone(x);
        break;
    case 1:
        y = ito_transpose(ito_flip_to(x, ITO_DIMS(axes[1])), axes[0], axes[1]);
        break;
    case 2:
        y = ito_flip_to(x, ITO_DIMS(axes[0], axes[1]));
        break;
    default:
        y = ito_flip_to(ito_transpose(x, axes[0], axes[1]), ITO_DIMS(axes[1]));
        break;
    }
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

/* ---- images ---------------------------------------------------------------------------------- */

/* [.., C, H, W] as [B, C, H, W]; false with an error if it is no image. */
static bool image_of(const char *op, const ito_tensor *x, ito_shape *image)
{
    if (x->ndim < 3)
        return error_false(ITO_ERR_SHAPE, "%s: %s is no image [.., C, H, W]", op,
                           tensor_shape_str(x));
    *image = ITO_SHAPE(1, x->shape[x->ndim - 3], x->shape[x->ndim - 2], x->shape[x->ndim - 1]);
    for (int i = 0; i < x->ndim - 3; i++)
        image->dim[0] *= x->shape[i];
    return true;
}

/* x's shape with another image. */
static ito_shape with_image(const ito_tensor *x, int64_t c, int64_t h, int64_t w)
{
    ito_shape shape = x->sizes;
    shape.dim[x->ndim - 3] = c;
    shape.dim[x->ndim - 2] = h;
    shape.dim[x->ndim - 1] = w;
    return shape;
}

/* x as `from`, its axes in another order, and then as `to`. */
static ito_tensor *reordered(ito_tensor *x, ito_shape from, ito_shape order, ito_shape to)
{
    ito_scope_begin();
    ito_tensor *y = ito_permute_to(ito_reshape_to(x, from), order);
    y = ito_keep(ito_reshape_to(y, to));
    ito_scope_end();
    return y;
}

ito_tensor *ito_pixel_shuffle(ito_tensor *x, int64_t r)
{
    ito_shape s;
    if (x == NULL || !image_of("pixel_shuffle", x, &s))
        return NULL;
    int64_t n = s.dim[0], channels = s.dim[1], h = s.dim[2], w = s.dim[3];
    int64_t square = r < 1 ? -1 : checked_mul(r, r);
    if (square < 1 || channels % square != 0)
        return error_null(ITO_ERR_SHAPE,
                          "pixel_shuffle: %" PRId64 " channels are no multiple of %" PRId64 "^2",
                          channels, r);
    int64_t c = channels / square;
    return reordered(x, ITO_SHAPE(n, c, r, r, h, w), ITO_DIMS(0, 1, 4, 2, 5, 3),
                     with_image(x, c, h * r, w * r));
}

ito_tensor *ito_pixel_unshuffle(ito_tensor *x, int64_t r)
{
    ito_shape s;
    if (x == NULL || !image_of("pixel_unshuffle", x, &s))
        return NULL;
    int64_t n = s.dim[0], c = s.dim[1], h = s.dim[2], w = s.dim[3];
    if (r < 1 || h % r != 0 || w % r != 0)
        return error_null(ITO_ERR_SHAPE,
                          "pixel_unshuffle: height and width of %s are no multiples of %" PRId64,
                          tensor_shape_str(x), r);
    return reordered(x, ITO_SHAPE(n, c, h / r, r, w / r, r), ITO_DIMS(0, 1, 3, 5, 2, 4),
                     with_image(x, c * r * r, h / r, w / r));
}

ito_tensor *ito_channel_shuffle(ito_tensor *x, int64_t groups)
{
    if (x == NULL)
        return NULL;
    if (x->ndim < 3)
        return error_null(ITO_ERR_SHAPE, "channel_shuffle: %s is not [N, C, ..]",
                          tensor_shape_str(x));
    if (groups < 1 || x->shape[1] % groups != 0)
        return error_null(ITO_ERR_SHAPE,
                          "channel_shuffle: %" PRId64 " channels do not form %" PRId64 " groups",
                          x->shape[1], groups);
    int64_t inner = 1;
    for (int i = 2; i < x->ndim; i++)
        inner *= x->shape[i];
    return reordered(x, ITO_SHAPE(x->shape[0], groups, x->shape[1] / groups, inner),
                     ITO_DIMS(0, 2, 1, 3), x->sizes);
}
