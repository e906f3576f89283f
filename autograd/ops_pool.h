/* Pooling: one number for each window of a signal, an image or a volume. What ops.h says of all
 * operations holds here.
 *
 * A signal is [N, C, L], an image [N, C, H, W], a volume [N, C, D, H, W]. A kernel, and each
 * option, is a number that holds for each axis; where axes differ, a list takes its place:
 * ito_max_pool2d(x, 0, .kernels = ITO_SHAPE(3, 2)). Along an axis of size L there are (L + 2
 * padding - dilation (kernel - 1) - 1) / stride + 1 windows, rounded down; with .ceil_mode rounded
 * up, but none begins behind the axis and its first padding. Errors: ITO_ERR_ARGUMENT for options
 * out of range, a padding of more than half of the kernel among them; ITO_ERR_SHAPE where no window
 * fits.
 */
#ifndef ITO_OPS_POOL_H
#define ITO_OPS_POOL_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** As a stride: as long as the kernel, so that windows lie side by side. */
#define ITO_STRIDE_KERNEL (-1)

/* ---- the largest element ---- */

/** What max pools take besides a tensor and the kernel. */
typedef struct ito_max_pool_options {
    int reserved_;
    int64_t stride ITO_DEFAULT(ITO_STRIDE_KERNEL);
    int64_t padding; /* by -infinity on both sides */
    int64_t dilation ITO_DEFAULT(1);
    bool ceil_mode;
    ito_tensor **indices; /* unless NULL, where to put the i64 places of the results in their
                           * channel, counted row-major */
    ito_shape kernels, strides, paddings, dilations;
} ito_max_pool_options;
#define ITO_DEFAULTS_ito_max_pool_options .stride = ITO_STRIDE_KERNEL, .dilation = 1

/** The largest element of each window of an image: ito_max_pool2d(x, 3, .stride = 2, .padding = 1).
 * Of equal ones the first has the gradient. A NaN gives NaN. ITO_ERR_SHAPE where a dilated window
 * sees no element. */
ITO_API ito_tensor *ito_max_pool2d_with(ito_tensor *x, int64_t kernel,
                                        ito_max_pool_options options);
/** Of a signal: as ito_max_pool2d. */
ITO_API ito_tensor *ito_max_pool1d_with(ito_tensor *x, int64_t kernel,
                                        ito_max_pool_options options);
/** Of a volume: as ito_max_pool2d. */
ITO_API ito_tensor *ito_max_pool3d_with(ito_tensor *x, int64_t kernel,
                                        ito_max_pool_options options);
#define ito_max_pool1d(...)                                                                        \
    ITO_AT(ITO_CALL_2(ito_max_pool1d_with, ito_max_pool_options, __VA_ARGS__, ))
#define ito_max_pool2d(...)                                                                        \
    ITO_AT(ITO_CALL_2(ito_max_pool2d_with, ito_max_pool_options, __VA_ARGS__, ))
#define ito_max_pool3d(...)                                                                        \
    ITO_AT(ITO_CALL_2(ito_max_pool3d_with, ito_max_pool_options, __VA_ARGS__, ))

/** The largest element of each of output_size windows that cover an image:
 * ito_adaptive_max_pool2d(x, ITO_SHAPE(7, 7), &indices). One size holds for each axis; -1 keeps the
 * axis's. Window i goes from i L / size, rounded down, to (i + 1) L / size, rounded up. indices may
 * be NULL; they, equal elements and NaN as in ito_max_pool2d. */
ITO_API ito_tensor *ito_adaptive_max_pool2d(ito_tensor *x, ito_shape output_size,
                                            ito_tensor **indices);
/** Of a signal: as ito_adaptive_max_pool2d. */
ITO_API ito_tensor *ito_adaptive_max_pool1d(ito_tensor *x, ito_shape output_size,
                                            ito_tensor **indices);
/** Of a volume: as ito_adaptive_max_pool2d. */
ITO_API ito_tensor *ito_adaptive_max_pool3d(ito_tensor *x, ito_shape output_size,
                                            ito_tensor **indices);

/** What max unpools take besides tensors and the kernel. */
typedef struct ito_max_unpool_options {
    int reserved_;
    int64_t stride ITO_DEFAULT(ITO_STRIDE_KERNEL);
    int64_t padding;
    ito_shape kernels, strides, paddings;
    ito_shape
        output_size; /* by default (L - 1) stride - 2 padding + kernel; less than a stride off */
} ito_max_unpool_options;
#define ITO_DEFAULTS_ito_max_unpool_options .stride = ITO_STRIDE_KERNEL

/** Zeros with the elements of x [N, C, H, W] at the places named by indices, i64 of x's shape, as
 * ito_max_pool2d with the same options gives them; of equal places the last counts, but all have
 * its gradient. ITO_ERR_RANGE for an index outside. */
ITO_API ito_tensor *ito_max_unpool2d_with(ito_tensor *x, ito_tensor *indices, int64_t kernel,
                                          ito_max_unpool_options options);
/** Of a signal: as ito_max_unpool2d. */
ITO_API ito_tensor *ito_max_unpool1d_with(ito_tensor *x, ito_tensor *indices, int64_t kernel,
                                          ito_max_unpool_options options);
/** Of a volume: as ito_max_unpool2d. */
ITO_API ito_tensor *ito_max_unpool3d_with(ito_tensor *x, ito_tensor *indices, int64_t kernel,
                                          ito_max_unpool_options options);
#define ito_max_unpool1d(...)                                                                      \
    ITO_AT(ITO_CALL_3(ito_max_unpool1d_with, ito_max_unpool_options, __VA_ARGS__, ))
#define ito_max_unpool2d(...)                                                                      \
    ITO_AT(ITO_CALL_3(ito_max_unpool2d_with, ito_max_unpool_options, __VA_ARGS__, ))
#define ito_max_unpool3d(...)                                                                      \
    ITO_AT(ITO_CALL_3(ito_max_unpool3d_with, ito_max_unpool_options, __VA_ARGS__, ))

/* ---- means ---- */

/** What average pools take besides a tensor and the kernel. */
typedef struct ito_avg_pool_options {
    int reserved_;
    int64_t stride ITO_DEFAULT(ITO_STRIDE_KERNEL);
    int64_t padding; /* by zeros on both sides */
    bool ceil_mode;
    bool count_include_pad ITO_DEFAULT(true); /* the padding counts in the number of elements */
    int64_t divisor_override;                 /* instead of that number, unless 0 */
    ito_shape kernels, strides, paddings;
} ito_avg_pool_options;
#define ITO_DEFAULTS_ito_avg_pool_options .stride = ITO_STRIDE_KERNEL, .count_include_pad = true

/** The mean of each window of an image: ito_avg_pool2d(x, 2). */
ITO_API ito_tensor *ito_avg_pool2d_with(ito_tensor *x, int64_t kernel,
                                        ito_avg_pool_options options);
/** Of a signal: as ito_avg_pool2d. */
ITO_API ito_tensor *ito_avg_pool1d_with(ito_tensor *x, int64_t kernel,
                                        ito_avg_pool_options options);
/** Of a volume: as ito_avg_pool2d. */
ITO_API ito_tensor *ito_avg_pool3d_with(ito_tensor *x, int64_t kernel,
                                        ito_avg_pool_options options);
#define ito_avg_pool1d(...)                                                                        \
    ITO_AT(ITO_CALL_2(ito_avg_pool1d_with, ito_avg_pool_options, __VA_ARGS__, ))
#define ito_avg_pool2d(...)                                                                        \
    ITO_AT(ITO_CALL_2(ito_avg_pool2d_with, ito_avg_pool_options, __VA_ARGS__, ))
#define ito_avg_pool3d(...)                                                                        \
    ITO_AT(ITO_CALL_2(ito_avg_pool3d_with, ito_avg_pool_options, __VA_ARGS__, ))

/** The mean of each of output_size windows: ito_adaptive_avg_pool2d(x, ITO_SHAPE(1, 1)). Windows as
 * in ito_adaptive_max_pool2d. */
ITO_API ito_tensor *ito_adaptive_avg_pool2d(ito_tensor *x, ito_shape output_size);
/** Of a signal: as ito_adaptive_avg_pool2d. */
ITO_API ito_tensor *ito_adaptive_avg_pool1d(ito_tensor *x, ito_shape output_size);
/** Of a volume: as ito_adaptive_avg_pool2d. */
ITO_API ito_tensor *ito_adaptive_avg_pool3d(ito_tensor *x, ito_shape output_size);

/** What lp pools take besides a tensor, the norm and the kernel. */
typedef struct ito_lp_pool_options {
    int reserved_;
    int64_t stride ITO_DEFAULT(ITO_STRIDE_KERNEL);
    bool ceil_mode; /* a window that is cut off counts as if it went on as it is */
    ito_shape kernels, strides;
} ito_lp_pool_options;
#define ITO_DEFAULTS_ito_lp_pool_options .stride = ITO_STRIDE_KERNEL

/** (sum x^p)^(1/p) of each window of an image: ito_lp_pool2d(x, 2, 3). As in PyTorch x^p and not
 * |x|^p, which an odd p shows, and no gradient where the sum is 0. */
ITO_API ito_tensor *ito_lp_pool2d_with(ito_tensor *x, double p, int64_t kernel,
                                       ito_lp_pool_options options);
/** Of a signal: as ito_lp_pool2d. */
ITO_API ito_tensor *ito_lp_pool1d_with(ito_tensor *x, double p, int64_t kernel,
                                       ito_lp_pool_options options);
/** Of a volume: as ito_lp_pool2d. */
ITO_API ito_tensor *ito_lp_pool3d_with(ito_tensor *x, double p, int64_t kernel,
                                       ito_lp_pool_options options);
#define ito_lp_pool1d(...)                                                                         \
    ITO_AT(ITO_CALL_3(ito_lp_pool1d_with, ito_lp_pool_options, __VA_ARGS__, ))
#define ito_lp_pool2d(...)                                                                         \
    ITO_AT(ITO_CALL_3(ito_lp_pool2d_with, ito_lp_pool_options, __VA_ARGS__, ))
#define ito_lp_pool3d(...)                                                                         \
    ITO_AT(ITO_CALL_3(ito_lp_pool3d_with, ito_lp_pool_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_adaptive_avg_pool1d(...) ITO_AT(ito_adaptive_avg_pool1d(__VA_ARGS__))
#define ito_adaptive_avg_pool2d(...) ITO_AT(ito_adaptive_avg_pool2d(__VA_ARGS__))
#define ito_adaptive_avg_pool3d(...) ITO_AT(ito_adaptive_avg_pool3d(__VA_ARGS__))
#define ito_adaptive_max_pool1d(...) ITO_AT(ito_adaptive_max_pool1d(__VA_ARGS__))
#define ito_adaptive_max_pool2d(...) ITO_AT(ito_adaptive_max_pool2d(__VA_ARGS__))
#define ito_adaptive_max_pool3d(...) ITO_AT(ito_adaptive_max_pool3d(__VA_ARGS__))
#endif
#endif
