/* Sampling an image at the places of a grid, and the grid of an affine map. Along each axis a place
 * has a few taps, each a pixel and a weight that is a polynomial of the place; the sample is the
 * sum over all combinations of the weights' product times the pixel, which is a row of channels. It
 * is made of operations, so it can be differentiated any number of times, in x and in the grid.
 *
 * A pixel outside is a row of zeros behind all others, so that whatever x has is left alone.
 */
#include "autograd/autograd.h"
#include "autograd/op.h"
#include "autograd/ops/spatial.h"

#include <math.h>

/* ---- places ---- */

/* From -1 .. 1 to pixels: the first pixel's middle is 0. */
static ito_tensor *to_pixels(ito_tensor *g, int64_t size, bool align_corners)
{
    double half = (double)(align_corners ? size - 1 : size) / 2;
    return ito_add_scalar(ito_mul_scalar(g, half), align_corners ? half : half - 0.5);
}

/* Reflected between the middles of the corner pixels, or between their outer edges. */
static ito_tensor *reflected(ito_tensor *t, int64_t size, bool align_corners)
{
    double low = align_corners ? 0 : -0.5, span = (double)(align_corners ? size - 1 : size);
    if (span <= 0)
        return ito_mul_scalar(t, 0);
    t = ito_abs(ito_add_scalar(t, -low));
    ito_tensor *flips = ito_floor(ito_mul_scalar(ito_detach(t), 1 / span));
    ito_tensor *odd = ito_sub(flips, ito_mul_scalar(ito_floor(ito_mul_scalar(flips, 0.5)), 2));
    ito_tensor *extra = ito_sub(t, ito_mul_scalar(flips, span));
    ito_tensor *sign = ito_add_scalar(ito_mul_scalar(odd, -2), 1);
    return ito_add_scalar(ito_add(ito_mul(extra, sign), ito_mul_scalar(odd, span)), low);
}

static ito_tensor *inside(ito_tensor *t, int64_t size, const ito_grid_sample_options *o)
{
    if (o->padding_mode == ITO_GRID_ZEROS)
        return t;
    if (o->padding_mode == ITO_GRID_REFLECTION)
        t = reflected(t, size, o->align_corners);
    return ito_clamp(t, 0, (double)(size - 1));
}

/* ---- taps ---- */

enum { TAPS = 4 };

/* How a value is made of the pixels about place t: with f = t - floor(t), tap k is pixel
 * floor(t) + first + k with weight power[0][k] + power[1][k] f + ... For nearest, floor is round.
 */
typedef struct grid_kernel {
    int taps, degree, first;
    double power[4][TAPS];
} grid_kernel;

static const grid_kernel grid_kernels[] = {
    [ITO_GRID_BILINEAR] = {2, 1, 0, {{1, 0}, {-1, 1}}},
    [ITO_GRID_NEAREST] = {1, 0, 0, {{1}}},
/* Keys 1981, eq. (15), whose two pieces are at distances 1 + f, f, 1 - f and 2 - f. */
#define A (-0.75)
    [ITO_GRID_BICUBIC] =
        {4,
         3,
         -1,
         {{0, 1, 0, 0}, {A, 0, -A, 0}, {-2 * A, -(A + 3), 2 * A + 3, A}, {A, A + 2, -(A + 2), -A}}},
#undef A
};

/* A list of numbers as a tensor [n]. */
static ito_tensor *list_of(const double *value, int64_t n, ito_dtype dtype)
{
    return ito_cast(ito_from_data(value, ITO_SHAPE(n), ITO_F64), dtype);
}

/* Of each place [P, 1] along one axis, tap by tap [P, taps]: the pixel (a whole number, without a
 * gradient, maybe outside) and its weight. */
typedef struct axis_taps {
    ito_tensor *pixel, *weight;
} axis_taps;

static axis_taps taps_of(ito_tensor *g, int64_t size, const ito_grid_sample_options *o)
{
    const grid_kernel *k = &grid_kernels[o->mode];
    bool cubic = o->mode == ITO_GRID_BICUBIC;
    double offset[TAPS];
    for (int i = 0; i < k->taps; i++)
        offset[i] = k->first + i;
    ito_tensor *t = to_pixels(g, size, o->align_corners);
    t = cubic ? t : inside(t, size, o);
    if (t == NULL)
        return (axis_taps){0};
    ito_tensor *whole =
        o->mode == ITO_GRID_NEAREST ? ito_round(ito_detach(t)) : ito_floor(ito_detach(t));
    ito_tensor *f = ito_sub(t, whole);
    ito_tensor *weight = list_of(k->power[k->degree], k->taps, t->dtype);
    for (int i = k->degree - 1; i >= 0; i--)
        weight = ito_add(ito_mul(weight, f), list_of(k->power[i], k->taps, t->dtype));
    ito_tensor *pixel = ito_add(whole, list_of(offset, k->taps, t->dtype));
    weight = ito_expand_to(weight, ito_shape_of(pixel));
    return (axis_taps){cubic ? inside(pixel, size, o) : pixel, weight};
}

/* ---- the sum ---- */

/* Taps of all axes together: [P, taps, taps ..]. */
typedef struct all_taps {
    ito_tensor *row;     /* i64, of an image */
    ito_tensor *outside; /* bool */
    ito_tensor *weight;
} all_taps;

/* One axis more, with taps [P, taps], which goes last. */
static void combine(all_taps *all, const axis_taps *a, int64_t size)
{
    ito_dtype dtype = a->pixel->dtype;
    ito_tensor *outside = ito_add(ito_lt(a->pixel, ito_scalar(0, dtype)),
                                  ito_gt(a->pixel, ito_scalar((double)(size - 1), dtype)));
    ito_tensor *row = ito_cast(ito_masked_fill(a->pixel, outside, 0), ITO_I64);
    if (row == NULL || all->row == NULL) {
        *all = (all_taps){row, outside, a->weight};
        return;
    }
    ito_tensor *length = ito_cast(ito_scalar((double)size, ITO_F64), ITO_I64);
    ito_shape last = ito_shape_of(row);
    for (; last.ndim <= all->row->ndim; last.ndim++) {
        last.dim[last.ndim] = last.dim[last.ndim - 1];
        last.dim[last.ndim - 1] = 1;
    }
    all->row = ito_add(ito_mul(ito_unsqueeze(all->row, -1), length), ito_reshape_to(row, last));
    all->outside = ito_add(ito_unsqueeze(all->outside, -1), ito_reshape_to(outside, last));
    all->weight = ito_mul(ito_unsqueeze(all->weight, -1), ito_reshape_to(a->weight, last));
}

/* x [N, C, ...] as [rows, C], and a row of zeros. */
static ito_tensor *to_rows(ito_tensor *x, int64_t rows)
{
    if (x == NULL)
        return NULL;
    ito_shape axes = x->ndim == 4 ? ITO_SHAPE(0, 2, 3, 1) : ITO_SHAPE(0, 2, 3, 4, 1);
    ito_tensor *pixels = ito_reshape(ito_permute_to(x, axes), rows, x->shape[1]);
    return ito_cat(ITO_TENSORS(pixels, ito_zeros(ITO_SHAPE(1, x->shape[1]), x->dtype)), 0);
}

/* [P, 1]: the first row of each place's image. */
static ito_tensor *first_rows(int64_t images, int64_t places, int64_t pixels)
{
    ito_tensor *first = tensor_empty(ITO_SHAPE(images * places, 1), ITO_I64);
    int64_t *to = first == NULL ? NULL : tensor_data(first);
    for (int64_t i = 0; i < images * places && to != NULL; i++)
        to[i] = i / places * pixels;
    return first;
}

/* The samples [P, C]. */
static ito_tensor *weighted_rows(ito_tensor *rows, const all_taps *all, ito_tensor *first)
{
    if (rows == NULL || all->row == NULL || first == NULL)
        return NULL;
    int64_t places = first->shape[0], channels = rows->shape[1];
    int64_t taps = 1;
    for (int i = 1; i < all->row->ndim; i++)
        taps *= all->row->shape[i];
    ito_tensor *last = ito_cast(ito_scalar((double)(rows->shape[0] - 1), ITO_F64), ITO_I64);
    ito_tensor *row = ito_add(ito_reshape(all->row, places, taps), first);
    row = ito_where(ito_reshape(all->outside, places, taps), last, row);
    ito_tensor *value = ito_index_select(rows, 0, ito_reshape(row, places * taps));
    value = ito_mul(ito_reshape(value, places, taps, channels),
                    ito_reshape(all->weight, places, taps, 1));
    return ito_sum(value, .dims = ITO_DIMS(1));
}

/* Numbers: NaN counts as -1, what is infinite as far away, where differences are finite. */
static ito_tensor *numbers(ito_tensor *g)
{
    const double far = 0x1p20;
    return ito_masked_fill(ito_clamp(g, -far, far), ito_ne(g, g), -1);
}

static ito_tensor *sample(ito_tensor *x, ito_tensor *grid, const ito_grid_sample_options *o)
{
    int n = x->ndim - 2;
    ito_dtype dtype = x->dtype, wide = dtype == ITO_BF16 ? ITO_F32 : dtype;
    int64_t images = x->shape[0], places = 1, pixels = 1;
    for (int i = 0; i < n; i++) {
        places *= grid->shape[1 + i];
        pixels *= x->shape[2 + i];
    }
    ito_tensor *g = ito_reshape(numbers(ito_cast(grid, wide)), images * places, n);
    all_taps all = {0};
    for (int i = 0; i < n; i++) { /* the grid's x is the last axis */
        axis_taps a = taps_of(ito_narrow(g, 1, n - 1 - i, 1), x->shape[2 + i], o);
        if (a.pixel == NULL || a.weight == NULL)
            return NULL;
        combine(&all, &a, x->shape[2 + i]);
    }
    ito_tensor *y = weighted_rows(to_rows(ito_cast(x, wide), images * pixels), &all,
                                  first_rows(images, places, pixels));
    ito_shape shape = ito_shape_of(grid);
    shape.dim[n + 1] = x->shape[1];
    ito_shape axes = n == 2 ? ITO_SHAPE(0, 3, 1, 2) : ITO_SHAPE(0, 4, 1, 2, 3);
    return ito_permute_to(ito_reshape_to(ito_cast(y, dtype), shape), axes);
}

static bool sample_fits(const ito_tensor *x, const ito_tensor *grid,
                        const ito_grid_sample_options *o)
{
    const char *name = "grid_sample";
    if ((unsigned)o->mode > ITO_GRID_BICUBIC || (unsigned)o->padding_mode > ITO_GRID_REFLECTION)
        return error_false(ITO_ERR_ARGUMENT, "%s: mode %d or padding_mode %d does not exist", name,
                           (int)o->mode, (int)o->padding_mode);
    if ((x->ndim != 4 && x->ndim != 5) || grid->ndim != x->ndim || grid->shape[0] != x->shape[0] ||
        grid->shape[grid->ndim - 1] != x->ndim - 2)
        return error_false(ITO_ERR_SHAPE,
                           "%s: x %s and grid %s are not [N, C, H, W] and [N, OH, OW, 2], nor "
                           "[N, C, D, H, W] and [N, OD, OH, OW, 3]",
                           name, tensor_shape_str(x), tensor_shape_str(grid));
    if (o->mode == ITO_GRID_BICUBIC && x->ndim != 4)
        return error_false(ITO_ERR_SHAPE, "%s: bicubic takes [N, C, H, W], not %s", name,
                           tensor_shape_str(x));
    char text[AXES_TEXT];
    for (int i = 2; i < x->ndim; i++)
        if (x->shape[i] < 1)
            return error_false(ITO_ERR_SHAPE, "%s: %s of %s has no pixel", name,
                               spatial_word(x->ndim - 2),
                               spatial_text(text, x->ndim - 2, x->shape + 2, true));
    return true;
}

ito_tensor *ito_grid_sample_with(ito_tensor *x, ito_tensor *grid, ito_grid_sample_options o)
{
    if (x == NULL || grid == NULL ||
        !op_inputs_fit("grid_sample", REAL, (ito_tensor *[]){x, grid}, 2, 0) ||
        !sample_fits(x, grid, &o))
        return NULL;
    ito_scope_begin();
    ito_tensor *y = ito_keep(sample(x, grid, &o));
    ito_scope_end();
    return y;
}

/* ---- affine_grid ---- */

/* Where pixel i of n lies between -1 and 1. */
static double pixel_place(int64_t i, int64_t n, bool align_corners)
{
    if (!align_corners)
        return (2 * (double)i + 1) / (double)n - 1;
    return n > 1 ? 2 * (double)i / (double)(n - 1) - 1 : 0;
}

/* [pixels, n + 1]: (x, y, 1) or (x, y, z, 1) of each pixel. */
static ito_tensor *base_grid(ito_shape size, int n, bool align_corners)
{
    int64_t pixels = 1;
    for (int i = 0; i < n; i++)
        pixels = checked_mul(pixels, size.dim[2 + i]);
    ito_tensor *base = tensor_empty(ITO_SHAPE(pixels, (int64_t)n + 1), ITO_F64);
    double *to = base == NULL ? NULL : tensor_data(base);
    for (int64_t p = 0; p < pixels && to != NULL; p++, to += n + 1) {
        int64_t rest = p;
        for (int i = 0; i < n; i++) {
            int64_t length = size.dim[1 + n - i];
            to[i] = pixel_place(rest % length, length, align_corners);
            rest /= length;
        }
        to[n] = 1;
    }
    return base;
}

ito_tensor *ito_affine_grid(ito_tensor *theta, ito_shape size, bool align_corners)
{
    int n = size.ndim - 2;
    if (theta == NULL || !op_inputs_fit("affine_grid", REAL, &theta, 1, 0))
        return NULL;
    if ((n != 2 && n != 3) || theta->ndim != 3 || theta->shape[0] != size.dim[0] ||
        theta->shape[1] != n || theta->shape[2] != n + 1)
        return error_null(
            ITO_ERR_SHAPE,
            "affine_grid: theta %s and size %s are not [N, 2, 3] and [N, C, H, W], nor "
            "[N, 3, 4] and [N, C, D, H, W]",
            tensor_shape_str(theta), shape_str(size));
    for (int i = 1; i < size.ndim; i++)
        if (size.dim[i] < 1)
            return error_null(ITO_ERR_SHAPE, "affine_grid: size %s has no pixel", shape_str(size));
    ito_dtype wide = theta->dtype == ITO_BF16 ? ITO_F32 : theta->dtype;
    ito_shape shape = {.ndim = n + 2, .dim = {size.dim[0]}};
    for (int i = 0; i < n; i++)
        shape.dim[1 + i] = size.dim[2 + i];
    shape.dim[n + 1] = n;
    ito_scope_begin();
    ito_tensor *base = ito_cast(base_grid(size, n, align_corners), wide);
    ito_tensor *grid = ito_matmul(base, ito_transpose(ito_cast(theta, wide), 1, 2));
    ito_tensor *y = grid == NULL ? NULL : ito_reshape_to(ito_cast(grid, theta->dtype), shape);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}
