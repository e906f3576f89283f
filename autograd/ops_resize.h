/* Images of another size: interpolation, and sampling at any places. What ops.h says of all
 * operations holds here.
 */
#ifndef ITO_OPS_RESIZE_H
#define ITO_OPS_RESIZE_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Each pixel of [N, C, H, W] repeated scale x scale times: [N, C, scale H, scale W]. */
ITO_API ito_tensor *ito_upsample_nearest2d(ito_tensor *x, int64_t scale);

/** How ito_interpolate finds a value between pixels, PyTorch's names. */
typedef enum ito_interpolate_mode {
    ITO_INTERPOLATE_NEAREST,       /* of any rank; a place is rounded down */
    ITO_INTERPOLATE_NEAREST_EXACT, /* of any rank; the nearest middle of a pixel */
    ITO_INTERPOLATE_LINEAR,        /* of [N, C, L] */
    ITO_INTERPOLATE_BILINEAR,      /* of [N, C, H, W] */
    ITO_INTERPOLATE_TRILINEAR,     /* of [N, C, D, H, W] */
    ITO_INTERPOLATE_BICUBIC,       /* of [N, C, H, W], with a = -0.75; may overshoot */
    ITO_INTERPOLATE_AREA           /* of any rank: ito_adaptive_avg_pool */
} ito_interpolate_mode;

/** What ito_interpolate takes besides a tensor. Either a size or a factor is given. */
typedef struct ito_interpolate_options {
    int reserved_;
    ito_shape size;          /* of the result, one for each axis behind N and C, or one for all */
    double scale_factor;     /* for all axes */
    double scale_factors[3]; /* or by axis: .scale_factors = {2, 0.5} */
    ito_interpolate_mode mode;
    bool align_corners;          /* the middles of corner pixels fall together, not their corners */
    bool recompute_scale_factor; /* from the sizes, where the factor gave one rounded down */
    bool antialias; /* bilinear and bicubic: shrinking takes means; cubic with a = -0.5 */
} ito_interpolate_options;
#define ITO_DEFAULTS_ito_interpolate_options .size = {.ndim = 0}

/**
 * x [N, C, ...] with one to three axes behind N and C in another size:
 * ito_interpolate(x, .size = ITO_SHAPE(64, 48), .mode = ITO_INTERPOLATE_BILINEAR).
 * @return  [N, C, size]; of a factor the size is that of x times the factor, rounded down.
 *          ITO_ERR_SHAPE for sizes below 1, ITO_ERR_ARGUMENT for options that do not go together.
 * Source of cubic: Keys 1981, IEEE Trans. ASSP 29, eq. (15).
 */
ITO_API ito_tensor *ito_interpolate_with(ito_tensor *x, ito_interpolate_options options);
#define ito_interpolate(...)                                                                       \
    ITO_AT(ITO_CALL_1(ito_interpolate_with, ito_interpolate_options, __VA_ARGS__, ))

/** How ito_grid_sample finds a value between pixels. */
typedef enum ito_grid_mode {
    ITO_GRID_BILINEAR, /* of volumes trilinear */
    ITO_GRID_NEAREST,
    ITO_GRID_BICUBIC /* of images, with a = -0.75 */
} ito_grid_mode;

/** What ito_grid_sample sees outside of an image: zeros, the nearest pixel of the border, or the
 * image's reflection. */
typedef enum ito_grid_padding {
    ITO_GRID_ZEROS,
    ITO_GRID_BORDER,
    ITO_GRID_REFLECTION
} ito_grid_padding;

/** What ito_grid_sample takes besides tensors. */
typedef struct ito_grid_sample_options {
    int reserved_;
    ito_grid_mode mode;
    ito_grid_padding padding_mode;
    bool align_corners; /* -1 and 1 are the middles of corner pixels, not their outer edges */
} ito_grid_sample_options;
#define ITO_DEFAULTS_ito_grid_sample_options .mode = ITO_GRID_BILINEAR

/**
 * x at the places that a grid names: ito_grid_sample(x, grid, .padding_mode = ITO_GRID_BORDER).
 * @param x     [N, C, H, W] or [N, C, D, H, W].
 * @param grid  [N, OH, OW, 2] or [N, OD, OH, OW, 3]: x, y and z from -1 (left, top, front) to 1;
 * the same dtype. NaN counts as -1, and places beyond 2^20
 *              as 2^20.
 * @return      [N, C, OH, OW] or [N, C, OD, OH, OW]; differentiable in both, but for the grid of
 *              nearest, whose gradient is 0.
 * Source: Jaderberg et al. 2015, arXiv:1506.02025, eq. (5).
 */
ITO_API ito_tensor *ito_grid_sample_with(ito_tensor *x, ito_tensor *grid,
                                         ito_grid_sample_options options);
#define ito_grid_sample(...)                                                                       \
    ITO_AT(ITO_CALL_2(ito_grid_sample_with, ito_grid_sample_options, __VA_ARGS__, ))

/** The grid of an affine map, for ito_grid_sample: theta [N, 2, 3] times (x, y, 1) at each pixel of
 * an image of size [N, C, H, W]: [N, H, W, 2]; or theta [N, 3, 4] of a volume of size [N, C, D, H,
 * W]: [N, D, H, W, 3]. With align_corners, corner pixels are at -1 and 1. */
ITO_API ito_tensor *ito_affine_grid(ito_tensor *theta, ito_shape size, bool align_corners);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_affine_grid(...) ITO_AT(ito_affine_grid(__VA_ARGS__))
#define ito_upsample_nearest2d(...) ITO_AT(ito_upsample_nearest2d(__VA_ARGS__))
#endif
#endif
