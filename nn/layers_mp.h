/* Magnitude-preserving layers: activations of unit variance stay so, in expectation, through every
 * operation, and weights cannot grow. Names, constants and parameters are those of EDM2's code.
 *
 * Source: Karras et al. 2024, arXiv:2312.02696, appendix B; equations are named below.
 *
 * Create and forward functions are as those of layers.h; dtypes too.
 */
#ifndef ITO_NN_LAYERS_MP_H
#define ITO_NN_LAYERS_MP_H

#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** silu(x) / 0.596: eq. (81). */
ITO_API ito_tensor *ito_mp_silu(ito_tensor *x);
/** ((1 - t) a + t b) / sqrt((1 - t)^2 + t^2): eq. (88). t in [0, 1], else ITO_ERR_RANGE. */
ITO_API ito_tensor *ito_mp_sum(ito_tensor *a, ito_tensor *b, double t);
/** a and b side by side along axis, scaled so that they contribute 1 - t to t to what follows,
 * however many channels they have: eq. (103). t in [0, 1], else ITO_ERR_RANGE. */
ITO_API ito_tensor *ito_mp_cat(ito_tensor *a, ito_tensor *b, int axis, double t);

/** x / (1e-4 + the root of the mean square along axis): pixel norm, for axis 1 of images;
 * figure 21. ITO_ERR_RANGE for an axis that x does not have. */
ITO_API ito_tensor *ito_mp_pixel_norm(ito_tensor *x, int axis);

/* ---- Fourier features --------------------------------------------------------------------------
 */

/** sqrt(2) cos(freqs x + phases): features of unit variance of a number, eq. (75). */
typedef struct ito_mp_fourier_layer {
    ito_module base;
    ito_tensor *freqs;  /* [channels], a buffer: 2 pi bandwidth times normal */
    ito_tensor *phases; /* [channels], a buffer: uniform in [0, 2 pi) */
} ito_mp_fourier_layer;

/** Options of ito_mp_fourier_create. */
typedef struct ito_mp_fourier_options {
    int reserved_;
    ito_generator *generator; /* draws freqs, then phases; NULL: zero, to be loaded */
    double bandwidth ITO_DEFAULT(1);
    ito_dtype dtype; /* of buffers and results: ITO_F32 (the default) or ITO_F64 */
} ito_mp_fourier_options;
#define ITO_DEFAULTS_ito_mp_fourier_options .bandwidth = 1

/** A layer of this many features: ito_mp_fourier_create(&m->base, "emb_fourier", 192, .generator =
 * &g). ITO_ERR_ARGUMENT unless channels are positive, ITO_ERR_RANGE unless the bandwidth is
 * finite. */
ITO_API ito_mp_fourier_layer *ito_mp_fourier_create_with(ito_module *parent, const char *name,
                                                         int64_t channels,
                                                         ito_mp_fourier_options options);
#define ito_mp_fourier_create(...)                                                                 \
    ITO_AT(ITO_CALL_3(ito_mp_fourier_create_with, ito_mp_fourier_options, __VA_ARGS__, ))
/** x [..] of any numbers to [.., channels]. */
ITO_API ito_tensor *ito_mp_fourier_forward(ito_mp_fourier_layer *layer, ito_tensor *x);

/* ---- linear and convolution --------------------------------------------------------------------
 */

/** Which version of a weight was normalised. For the layers alone. */
typedef struct ito_forced_norm {
    const void *storage;
    uint64_t version;
} ito_forced_norm;

/** y = gain x w^T with w = weight / |weight|, row by row: eq. (47). In training mode the weight
 * itself is brought back to |weight| = sqrt(in) before the first forward after each change (forced
 * weight normalisation, eq. (66)), since it would grow with every step. */
typedef struct ito_mp_linear_layer {
    ito_module base;
    ito_tensor *weight; /* [out, in] */
    ito_forced_norm forced;
} ito_mp_linear_layer;

/** Options of ito_mp_linear_create. */
typedef struct ito_mp_linear_options {
    int reserved_;
    ito_generator *generator; /* weight: standard normal; NULL: zero, to be loaded */
    ito_dtype dtype;          /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_mp_linear_options;
#define ITO_DEFAULTS_ito_mp_linear_options .reserved_ = 0

/** A linear layer without a bias: ito_mp_linear_create(&m->base, "emb", 128, 512, .generator = &g).
 * ITO_ERR_ARGUMENT unless both sizes are positive. */
ITO_API ito_mp_linear_layer *ito_mp_linear_create_with(ito_module *parent, const char *name,
                                                       int64_t in, int64_t out,
                                                       ito_mp_linear_options options);
#define ito_mp_linear_create(...)                                                                  \
    ITO_AT(ITO_CALL_4(ito_mp_linear_create_with, ito_mp_linear_options, __VA_ARGS__, ))
/** x [.., in] to [.., out]. */
ITO_API ito_tensor *ito_mp_linear_forward(ito_mp_linear_layer *layer, ito_tensor *x);
/** The same times gain, a parameter of one element, say. NULL gives NULL. */
ITO_API ito_tensor *ito_mp_linear_forward_gain(ito_mp_linear_layer *layer, ito_tensor *x,
                                               ito_tensor *gain);

/** A convolution whose filters are treated as the rows of ito_mp_linear_layer, padded by zeros to
 * keep the size of the image. */
typedef struct ito_mp_conv2d_layer {
    ito_module base;
    ito_tensor *weight; /* [out, in, kernel, kernel], channels-last in memory */
    ito_forced_norm forced;
} ito_mp_conv2d_layer;

/** Options of ito_mp_conv2d_create. */
typedef struct ito_mp_conv2d_options {
    int reserved_;
    ito_generator *generator; /* weight: standard normal; NULL: zero, to be loaded */
    ito_dtype dtype;          /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_mp_conv2d_options;
#define ITO_DEFAULTS_ito_mp_conv2d_options .reserved_ = 0

/** A convolution from `in` to `out` channels with a kernel x kernel window:
 * ito_mp_conv2d_create(&m->base, "conv_res0", 64, 128, 3, .generator = &g). ITO_ERR_ARGUMENT
 * unless all sizes are positive and the kernel is odd. */
ITO_API ito_mp_conv2d_layer *ito_mp_conv2d_create_with(ito_module *parent, const char *name,
                                                       int64_t in, int64_t out, int64_t kernel,
                                                       ito_mp_conv2d_options options);
#define ito_mp_conv2d_create(...)                                                                  \
    ITO_AT(ITO_CALL_5(ito_mp_conv2d_create_with, ito_mp_conv2d_options, __VA_ARGS__, ))
/** x [N, in, H, W] to [N, out, H, W]. */
ITO_API ito_tensor *ito_mp_conv2d_forward(ito_mp_conv2d_layer *layer, ito_tensor *x);
/** The same times gain, a parameter of one element, say. NULL gives NULL. */
ITO_API ito_tensor *ito_mp_conv2d_forward_gain(ito_mp_conv2d_layer *layer, ito_tensor *x,
                                               ito_tensor *gain);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_mp_silu(...) ITO_AT(ito_mp_silu(__VA_ARGS__))
#define ito_mp_sum(...) ITO_AT(ito_mp_sum(__VA_ARGS__))
#define ito_mp_cat(...) ITO_AT(ito_mp_cat(__VA_ARGS__))
#define ito_mp_pixel_norm(...) ITO_AT(ito_mp_pixel_norm(__VA_ARGS__))
#define ito_mp_fourier_forward(...) ITO_AT(ito_mp_fourier_forward(__VA_ARGS__))
#define ito_mp_linear_forward(...) ITO_AT(ito_mp_linear_forward(__VA_ARGS__))
#define ito_mp_linear_forward_gain(...) ITO_AT(ito_mp_linear_forward_gain(__VA_ARGS__))
#define ito_mp_conv2d_forward(...) ITO_AT(ito_mp_conv2d_forward(__VA_ARGS__))
#define ito_mp_conv2d_forward_gain(...) ITO_AT(ito_mp_conv2d_forward_gain(__VA_ARGS__))
#endif

#endif
